"""How long files and functions may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATHS = {folder: sorted((ROOT / folder).rglob("*.py")) for folder in ("rlgrid", "tests", "scripts")}

#: A file is one subject and as long as that; beyond this it is likely to have grown into a second one.
FILE = 600

#: A function fits on a screen; its docstring may stand above it.
FUNCTION = 60


def functions(node: ast.AST) -> Iterator[tuple[int, str, int]]:
    """Each function: the line where it begins, its name, its number of lines without those of its docstring."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            first = child.body[0]
            docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(child) is not None else 0
            yield child.lineno, child.name, (child.end_lineno or 0) - child.lineno + 1 - docstring
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):  # expressions hold none
            yield from functions(child)


@pytest.mark.parametrize("folder", PATHS)
def test_a_file_holds_one_subject(folder: str) -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in PATHS[folder]
    }
    assert lengths and {path: length for path, length in lengths.items() if length > FILE} == {}


@pytest.mark.parametrize("folder", PATHS)
def test_a_function_fits_on_a_screen(folder: str) -> None:
    lengths = {
        f"{path.relative_to(ROOT).as_posix()}:{line} {name}": length
        for path in PATHS[folder]
        for line, name, length in functions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert lengths and {where: length for where, length in lengths.items() if length > FUNCTION} == {}


def test_lines_of_docstrings_do_not_count() -> None:
    text = """
class A:
    def f(self):
        '''Two

        paragraphs.'''
        try:
            def g():
                return 1
        except ValueError:
            async def h(): pass
        return g
"""
    assert list(functions(ast.parse(text))) == [(3, "f", 7), (8, "g", 2), (11, "h", 1)]
