"""The compile cache: what its hash covers, which folders it trusts, and what the next process finds."""

from __future__ import annotations

import ast
import os
import pkgutil
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from numba.core import event
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

import rlgrid
from rlgrid import choices, compile_cache, compiled, library

ROOT = Path(rlgrid.__file__).parent

Kernel = Callable[..., Any]


# --------------------------------------------------------------------------- what the hash covers


LISTED = tuple(compile_cache._SOURCES)


def compilable() -> set[Kernel]:
    """Every kernel, every rule and every function that these call."""
    modules = [import_module(module.name) for module in pkgutil.walk_packages([str(ROOT)], "rlgrid.")]
    kernels = {value.py_func for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
    rules: set[Kernel] = set()
    for table in choices.RULES.values():
        rules |= set(table.values())
        with suppress(KeyError):
            rules.add(table[object])  # the default
    assert len(kernels) > 30 and len(rules) > 50
    return {
        function for function in {*kernels, *rules, *choices.FUNCTIONS} if function.__module__.startswith("rlgrid.")
    }


def test_all_that_numba_compiles_stands_in_the_listed_files() -> None:
    found = {f"{function.__module__}.{function.__qualname__}" for function in compilable()}
    assert not {name for name in found if not name.startswith(tuple(f"{module}." for module in LISTED))}


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def names_from_elsewhere(tree: ast.Module) -> set[str]:
    """The names of a file that come from a file of rlgrid which is not listed, and those that are made of them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("rlgrid") and node.module not in LISTED:
            found |= {name.asname or name.name for name in node.names if f"{node.module}.{name.name}" not in LISTED}
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value and found & names_in(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found = found.union(*map(names_in, targets))
    return found


def names_used(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(names_used, inner))


def test_compiled_code_reads_nothing_from_files_that_are_not_listed() -> None:
    """A constant, for example: Numba would write its value into the code, and its file is not part of the hash."""
    tainted = {module: names_from_elsewhere(ast.parse(text)) for module, text in compile_cache._SOURCES.items()}
    assert "InputError" in tainted["rlgrid.batch"]  # used by functions that are not compiled
    offenders = {
        f"{function.__module__}.{function.__qualname__} uses {name}"
        for function in compilable()
        for name in names_used(function.__code__) & tainted[function.__module__]
    }
    assert not offenders


def test_names_from_elsewhere() -> None:
    imports = "from rlgrid.files import A as B\nfrom rlgrid.batch import C\nfrom rlgrid import batch, files\n"
    assert names_from_elsewhere(ast.parse(imports + "D = B + 1\nE: int = D\nF = C\n")) == {"B", "D", "E", "files"}


CODE = '"""What it is."""\n\nclass A:\n    def f(self, x):\n        return x + 1\n'


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace("What it is", "Something else"),
        CODE.replace('"""What it is."""\n', ""),
        CODE.replace("return", "# why\n        return"),
        CODE.replace("x + 1", "(x\n +  1)  # one more"),
        CODE.replace("class A:\n", 'class A:\n    """An A."""\n\n\n'),
        CODE.replace("f(self, x):\n", 'f(self, x):\n        """One more than x."""\n'),
    ],
)
def test_comments_docstrings_and_lines_are_no_code(same: str) -> None:
    assert same != CODE
    assert compile_cache._code(same.encode()) == compile_cache._code(CODE.encode())


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("1", "1.0"),
        CODE.replace("x + 1", "1 + x"),
        CODE + "B = 3\n",
        CODE.replace("return x", "assert x\n        return x"),
        CODE.replace("        return", '        "no docstring"; """two"""\n        return').replace("return", "yield"),
        CODE + "def",
    ],
)
def test_everything_else_is_code(other: str) -> None:
    assert compile_cache._code(other.encode()) != compile_cache._code(CODE.encode())


def test_the_hash_of_the_code_is_remembered_beside_that_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "known"
    sources = {compiled.__name__: b"A = 1", "rlgrid.batch": b"B = 1\n"}
    monkeypatch.setattr(compile_cache, "_SOURCES", sources)
    first = compile_cache._code_hash(known)
    with monkeypatch.context() as parsing:
        parsing.delattr(compile_cache, "_code")  # must not be needed
        assert compile_cache._code_hash(known) == first
    sources["rlgrid.batch"] = b"# a comment\nB = 1\n"
    assert compile_cache._code_hash(known) == first
    sources["rlgrid.batch"] = b"B = 2\n"
    second = compile_cache._code_hash(known)
    assert second != first
    known.write_bytes(b"\xff garbage")
    assert compile_cache._code_hash(known) == second


@pytest.mark.parametrize("package", ["numba", "np"])
def test_the_hash_names_the_versions(
    package: str, fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_cache._code_hash(tmp_path / "known")
    monkeypatch.setattr(getattr(compile_cache, package), "__version__", "0.0")
    assert compile_cache._code_hash(tmp_path / "known") != first


def test_the_hash_tells_code_without_assertions_apart(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compile_cache._code_hash(tmp_path / "known")
    optimized = SimpleNamespace(implementation=sys.implementation, flags=SimpleNamespace(optimize=1))
    monkeypatch.setattr(compile_cache, "sys", optimized)
    assert compile_cache._code_hash(tmp_path / "known") != first


# --------------------------------------------------------------------------- which folders it trusts


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: no folder has been looked for, nothing has been said. Sources are not parsed."""
    monkeypatch.setattr(compile_cache, "_code", repr)
    monkeypatch.setattr(compile_cache, "_folder", compile_cache._folder.__wrapped__)
    monkeypatch.setattr(compile_cache, "_said", [])


def sentence(why: str) -> str:
    return (
        f"rlgrid: compiled code cannot be kept for the next process: {why}; "
        "allowed: a folder that only you can write to, which NUMBA_CACHE_DIR may name\n"
    )


def test_it_makes_a_folder_that_is_the_users_alone(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    umask = os.umask(0)
    try:
        folder = compile_cache._folder()
    finally:
        os.umask(umask)
    assert folder is not None and folder.parent == tmp_path / "caches" / "rlgrid"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    assert compile_cache._folder() == folder
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    assert compile_cache._folder() == tmp_path / "named" / folder.name
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
@pytest.mark.parametrize("above", [True, False])
def test_folders_open_to_others_are_not_used(
    mode: int,
    above: bool,
    fresh: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    folder = compile_cache._folder()
    assert folder is not None
    opened = folder.parent if above else folder
    opened.chmod(mode)
    assert compile_cache._folder() is None and compile_cache._folder() is None
    assert capsys.readouterr().err == sentence(f"{opened}: a link, somebody else's, or open to others")


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes")
def test_folders_of_others_are_not_used(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compile_cache._folder() is not None
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert compile_cache._folder() is None
    assert capsys.readouterr().err == sentence(f"{tmp_path}: a link, somebody else's, or open to others")


def test_symbolic_links_are_followed_above_and_refused_below(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "link"))
    folder = compile_cache._folder()
    assert folder is not None and folder.parent == tmp_path / "real"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert compile_cache._folder() is None
    assert capsys.readouterr().err == sentence(f"{folder}: a link, somebody else's, or open to others")


def test_where_there_can_be_no_folder_it_says_so_once(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert compile_cache._folder() is None and compile_cache._folder() is None
    assert capsys.readouterr().err == sentence(f"{tmp_path / 'file'}: File exists")


def test_a_user_without_a_home(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert compile_cache._folder() is None
    assert capsys.readouterr().err == sentence("the home folder is not known")
    assert list(tmp_path.iterdir()) == []


def test_without_sources_nothing_is_kept(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing would tell the code of one version from that of the next."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compile_cache, "_SOURCES", {})
    assert compile_cache._folder() is None
    assert capsys.readouterr().err == sentence(f"{ROOT}: no sources")


# --------------------------------------------------------------------------- what is found


def third(array: Any) -> Any:
    return array[3]


@pytest.fixture
def kept(fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which ``third`` is kept, as if it stood in a listed file."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiled, "is_listed", lambda function: True)
    folder = compile_cache._folder()
    assert folder is not None
    monkeypatch.setattr(compile_cache, "_folder", lambda: folder)  # looked for once
    return folder


@contextmanager
def compilations() -> Iterator[list[str]]:
    """The functions that are compiled meanwhile."""
    names: list[str] = []

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            names.append(event.data["dispatcher"].py_func.__name__)

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield names


def use(length: int = 4) -> tuple[float, int]:
    """The last of so many numbers, from a new dispatcher; how many functions were compiled."""
    with compilations() as names:
        value = compiled.compiled(third)(np.arange(float(length)))
    return value, len(names)


def test_what_is_compiled_once_is_found(kept: Path) -> None:
    assert use() == (3.0, 1)
    assert use() == (3.0, 0)
    (file,) = kept.iterdir()
    assert file.name.startswith(f"{third.__module__}.third-")


@pytest.mark.parametrize("length", [0, 10, 31, 32, 5000, -1])
def test_damaged_files_are_compiled_anew(length: int, kept: Path) -> None:
    use()
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    assert use() == (3.0, 1)
    file.write_bytes(whole[:1000] + b"garbage" + whole[1007:])
    assert use() == (3.0, 1)
    assert use() == (3.0, 0)


def test_bounds_checking_never_finds_code_without(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use()
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    try:
        assert use() == (3.0, 1)
        assert use() == (3.0, 0)
        with pytest.raises(IndexError):
            use(3)
    finally:
        monkeypatch.delenv("NUMBA_BOUNDSCHECK")
        numba.config.reload_config()
    assert use() == (3.0, 0)
    assert len(list(kept.iterdir())) == 2


@pytest.mark.parametrize("setting", compile_cache.SETTINGS)
def test_every_setting_is_part_of_the_key(setting: str, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hasattr(numba.config, setting)
    before = file_of(())
    monkeypatch.setattr(numba.config, setting, "something else")
    assert file_of(()) != before


def file_of(arguments: tuple[Any, ...]) -> Path | None:
    types = tuple(numba.typeof(argument) for argument in arguments)
    return compile_cache.DiskCache(third)._file(types, cpu_target.target_context.codegen())


class Pair(NamedTuple):
    a: float
    b: float


class Outer(NamedTuple):
    pair: Pair
    number: int


def test_records_are_told_apart_by_module_and_fields(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Same(NamedTuple):
        a: float
        b: float

    monkeypatch.setattr(compile_cache, "_is_ours", lambda record: True)
    before = file_of((Outer(Pair(1.0, 2.0), 3),))
    Same.__name__, Same.__qualname__ = Pair.__name__, Pair.__qualname__
    assert file_of((Outer(Same(1.0, 2.0), 3),)) == before  # type: ignore[arg-type]
    Same.__module__ = "rlgrid.other"
    assert file_of((Outer(Same(1.0, 2.0), 3),)) not in (None, before)  # type: ignore[arg-type]
    monkeypatch.setattr(Same, "__module__", Pair.__module__)
    monkeypatch.setattr(Same, "_fields", ("b", "a"))
    assert file_of((Outer(Same(1.0, 2.0), 3),)) not in (None, before)  # type: ignore[arg-type]


def test_records_from_elsewhere_are_not_kept(kept: Path) -> None:
    assert file_of((Outer(Pair(1.0, 2.0), 3),)) is None
    assert file_of(((1, (Pair(1.0, 2.0),)),)) is None
    assert file_of(((1, (2.0,)),)) is not None


def test_a_full_disk_stops_nothing_and_is_told_once(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compile_cache, "write_atomically", full)
    assert use() == (3.0, 1)
    assert use() == (3.0, 1)
    assert capsys.readouterr().err == sentence(f"{kept}: No space left on device")


def test_a_folder_that_was_deleted_is_made_again(kept: Path, tmp_path: Path) -> None:
    shutil.rmtree(kept)
    assert use() == (3.0, 1)
    assert use() == (3.0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="owners and modes")
def test_a_folder_that_was_opened_meanwhile_is_not_written_to(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept.chmod(0o777)
    assert use() == (3.0, 1)
    assert list(kept.iterdir()) == []
    assert capsys.readouterr().err == sentence(f"{kept}: a link, somebody else's, or open to others")


# --------------------------------------------------------------------------- what the next process finds

COUNTING = """
import os, sys
from numba.core import event

class Counting(event.Listener):
    compiled = 0

    def on_start(self, event):
        self.compiled += 1
        if "stop" in sys.argv:
            print("compiles")
            sys.stdout.flush()
            os._exit(0)

    def on_end(self, event):
        pass

counting = Counting()
event.register("numba:compile", counting)
"""

TRAIN = """
from rlgrid import GridWorld, load_agent
from rlgrid.feeds.feed_for import feed_for

env = GridWorld("frozen_lake_4x4")
agent = load_agent("q_learning", env)
feed_for(agent, env).advance(agent, 100, 100, record=False)
print(counting.compiled)
"""

PROBE = """

from rlgrid.rules.schedules import current


@compiled
def probe(schedule: Any, state: int) -> float:
    return current(schedule, state)
"""


class Copy(NamedTuple):
    """A copy of the package, with a cache of its own."""

    root: Path

    def begin(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(self.root), "NUMBA_CACHE_DIR": str(self.root / "cache")}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", COUNTING + textwrap.dedent(script), *arguments],
            env=environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str) -> str:
        process = self.begin(script, *arguments)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        return out.strip()

    def append(self, file: str, code: str) -> None:
        path = self.root / "rlgrid" / file
        path.write_text(path.read_text(encoding="utf-8") + code, encoding="utf-8")

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.root / "rlgrid" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    shutil.copytree(ROOT, tmp_path / "rlgrid", ignore=shutil.ignore_patterns("__pycache__"))
    for kind in ("agents", "envs"):  # where a wheel has them
        shutil.copytree(library.folder(kind), tmp_path / "rlgrid" / "_library" / kind, dirs_exist_ok=True)
    return Copy(tmp_path)


@pytest.mark.slow
def test_a_changed_comment_or_docstring_recompiles_nothing(copy: Copy) -> None:
    assert int(copy.run(TRAIN)) > 10
    copy.replace("rules/targets.py", '"""', '"""Another docstring. ')
    copy.replace("rules/targets.py", "\n@choice(", "\n# A comment above a rule.\n\n\n@choice(")
    copy.replace("kernels/interaction.py", "@compiled", "# A comment above a kernel.\n\n\n@compiled")
    assert copy.run(TRAIN) == "0"
    copy.replace(
        "rules/step_sizes.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"
    )
    assert copy.run(TRAIN, "stop") == "compiles"


@pytest.mark.slow
def test_rules_from_elsewhere_are_never_outdated(copy: Copy) -> None:
    """Neither those for records of their own nor those that take the place of one of rlgrid's."""
    copy.append("kernels/interaction.py", PROBE)
    own = """
        from typing import NamedTuple
        from rlgrid.choices import choice
        from rlgrid.rules.schedules import current{records}

        class Fixed(NamedTuple):
            value: float

        @choice(current, {record})
        def fixed(schedule, state):
            return {number}
    """
    use = """
        from rlgrid.kernels.interaction import probe
        from rlgrid.rules.schedules import Falling, new_tally

        def falling():
            return probe(Falling(1.0, 0.0, 4, new_tally((0, 0))), 0)
    """

    def write(record: str, number: float) -> None:
        records = f", {record}" if record != "Fixed" else ""
        text = textwrap.dedent(own).format(records=records, record=record, number=number)
        (copy.root / "own.py").write_text(text, encoding="utf-8")

    def run(script: str) -> str:
        return copy.run(textwrap.dedent(use) + script)

    write("Fixed", 1.5)
    mine = "from own import Fixed\nprint(probe(Fixed(0.0), 0), falling(), counting.compiled > 0)"
    assert run(mine) == "1.5 1.0 True"
    write("Fixed", 2.5)
    assert run(mine) == "2.5 1.0 True"
    assert run("print(falling(), counting.compiled)") == "1.0 0"
    write("Falling", 3.5)
    assert run("import own\nprint(falling())") == "3.5"
    assert run("print(falling(), counting.compiled)") == "1.0 0"


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_mix_up_their_versions(copy: Copy) -> None:
    copy.append("kernels/interaction.py", PROBE)
    use = """
        import sys
        from rlgrid.kernels.interaction import probe
        from rlgrid.rules.schedules import Decaying, Falling, new_tally

        tally = new_tally((0, 0))
        kinds = {"falling": Falling(1.0, 0.0, 4, tally), "decaying": Decaying(3.0, 5.0, 1.0, 0.0, 0, tally)}
        print(*(probe(kinds[name], 0) for name in sys.argv[1:]), counting.compiled > 0)
    """
    orders = [["falling", "decaying"], ["decaying", "falling"]]
    processes = [copy.begin(use, *order) for order in orders]
    answers = [process.communicate() for process in processes]
    assert answers == [("1.0 0.5 True\n", ""), ("0.5 1.0 True\n", "")]
    assert copy.run(use, *orders[0]) == "1.0 0.5 False"
