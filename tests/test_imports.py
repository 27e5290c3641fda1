"""The way of the imports: from the ground up, and no circle, wherever in a file an import stands."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rlgrid

ROOT = Path(rlgrid.__file__).parent

#: From the ground up: a file imports from its own folder and from what stands before it here.
ORDER = (
    "errors", "arrays", "choices", "batch", "randomness", "toml", "files", "library", "compile_cache", "compiled",
    "worlds", "view", "models", "rules", "kernels", "robbins_monro", "planning", "environments", "analysis", "book",
    "approximation", "learning", "feeds", "runs", "cli", "__main__",
)  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: Every module but the package's face, which hands out names of all of them.
FILES = {module_name(path): path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"}


def imported(path: Path) -> Iterator[str]:
    """The modules of rlgrid that a file imports, for type checking and within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found = {name if name in FILES else str(node.module) for name in names}
            yield from sorted(found & {*FILES, "rlgrid"})


IMPORTS = {name: set(imported(path)) for name, path in FILES.items()}


def place(module: str) -> int:
    """How high a module stands; the package's face stands above all."""
    return ORDER.index(module.split(".")[1]) if module != "rlgrid" else len(ORDER)


def test_every_file_and_folder_has_its_place() -> None:
    assert {name.split(".")[1] for name in FILES} == set(ORDER)


def test_no_import_runs_against_the_flow() -> None:
    wrong = [f"{a} imports {b}" for a, many in sorted(IMPORTS.items()) for b in sorted(many) if place(a) < place(b)]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    """A checker that saw nothing would pass all else."""
    text = """
    import rlgrid.errors
    from typing import TYPE_CHECKING
    from rlgrid import library, World
    if TYPE_CHECKING:
        from rlgrid.worlds.world import World
    def late():
        from rlgrid.planning import solve, plan as plans
        import numpy
    """
    (tmp_path / "planted.py").write_text(textwrap.dedent(text), encoding="utf-8")
    found = {"rlgrid.errors", "rlgrid.library", "rlgrid", "rlgrid.worlds.world", "rlgrid.planning.solve"}
    assert set(imported(tmp_path / "planted.py")) == found | {"rlgrid.planning.plan"}


@pytest.mark.parametrize("folder", [name for name in ORDER if (ROOT / name).is_dir()])
def test_a_folder_says_what_it_is_for_and_what_it_may_import(folder: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    assert "Imports" in text


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("view.palette", "pygame"),
        ("worlds.generators, worlds.mazes, environments.grid_world, environments.changing", "rlgrid.rules"),
        ("environments.vector", "rlgrid.learning"),
        ("planning.solve, analysis.phases, book.catalog", "rlgrid.rules"),
    ],
)
def test_what_is_imported_does_not_load(modules: str, absent: str) -> None:
    """A colour no window; generators, planners and environments nothing that learns."""
    code = f"import sys\nfor name in {modules.split(', ')}: __import__('rlgrid.' + name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout.split()
    assert "rlgrid." + modules.split(", ")[-1] in loaded
    assert not [name for name in loaded if name == absent or name.startswith(absent + ".")]


def test_of_the_rules_a_vector_environment_loads_what_draws_actions_alone() -> None:
    """Whatever stands between: an import within a function counts, too."""
    needed = {"rlgrid.environments.vector"}
    while more := set().union(*(IMPORTS[name] for name in needed)) - needed:
        needed |= more
    rules = {name for name in needed if name.startswith("rlgrid.rules.")}
    assert "rlgrid.rules.behaviors" in rules
    assert rules <= {"rlgrid.rules.behaviors", "rlgrid.rules.schedules"}
