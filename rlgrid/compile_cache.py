"""Where compiled code is kept for the next process: in ``~/.cache/rlgrid``, or in the folder ``NUMBA_CACHE_DIR``.

Where nothing can be kept, one line on stderr says so and every process compiles anew.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import os
import pickle
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from rlgrid import choices
from rlgrid.files import write_atomically

#: Every file whose code can end up in compiled code. A test checks that all kernels and rules stand in these files and
#: that they read nothing, such as a constant, from other files of rlgrid.
SOURCES = (
    "arrays.py",
    "batch.py",
    "choices.py",
    "compiled.py",
    "kernels/*.py",
    "models/sampling.py",
    "models/tables.py",
    "randomness.py",
    "rules/*.py",
    "worlds/mazes.py",
)

#: The settings of Numba that change compiled code. The processor and its features are part of the key anyway.
SETTINGS = (
    "BOUNDSCHECK",
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "DISABLE_INTEL_SVML",
    "LLVM_REFPRUNE_PASS",
    "LLVM_REFPRUNE_FLAGS",
    "DEBUGINFO_DEFAULT",
    "EXTEND_VARIABLE_LIFETIMES",
)

_PACKAGE = __name__.partition(".")[0]


def _read_sources() -> dict[str, bytes]:
    """The listed files by the names of their modules."""
    root = Path(__file__).parent
    paths = sorted(path for pattern in SOURCES for path in root.glob(pattern))
    return {".".join((_PACKAGE, *path.relative_to(root).with_suffix("").parts)): path.read_bytes() for path in paths}


#: Read when Python imports them: a file that is edited later must not lend its hash to code that is already in use.
_SOURCES = _read_sources()


class DiskCache(NullCache):  # type: ignore[misc]
    """Keeps the compiled versions of one function, each in a file of its own; a dispatcher of Numba calls it.

    Numba's own cache would compile again when a comment changes, because it compares whole files and line numbers. It
    also has one index for all versions of a function, which two processes that compile at once can mix up.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__.removeprefix(_PACKAGE + '.')}.{function.__qualname__}"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The version for a signature, or None where it has to be compiled."""
        target_context.refresh()  # as Numba's own cache does
        numba.config.reload_config()  # as the compiler does: the environment may have changed since the import
        file = self._file(signature, target_context.codegen())
        if file is None:
            return None
        try:
            content = file.read_bytes()
        except OSError:
            return None
        checksum, pickled = content[:32], content[32:]
        if hashlib.sha256(pickled).digest() != checksum:  # damaged
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(pickled))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a version for the next process."""
        file = self._file(signature, result.codegen)
        if file is None or result.library.has_dynamic_globals:  # the latter holds addresses of this process
            return
        pickled = dumps(result._reduce())
        try:
            _make_private(file.parent.parent, file.parent)
            write_atomically(file, hashlib.sha256(pickled).digest() + pickled)
        except OSError as error:
            if not file.exists():  # otherwise another process has just written it, and Windows lets only one
                _say_once(f"{file.parent}: {error.strerror}")

    def _file(self, signature: Any, codegen: Any) -> Path | None:
        """The file of a version, named by a hash of all that decides about its code beside the sources."""
        types = getattr(signature, "args", signature)
        records = list(_records(types))
        folder = _folder() if _holds_listed_code_only(records) else None
        if folder is None:
            return None
        key = [repr(signature), *(f"{record.__module__}.{record.__qualname__}{record._fields}" for record in records)]
        key += [repr(codegen.magic_tuple()), *(f"{name}={getattr(numba.config, name, None)!r}" for name in SETTINGS)]
        return folder / f"{self._name}-{_hash(*(part.encode() for part in key))}"


def _records(types: Iterable[Any]) -> Iterator[Any]:
    """The classes of the NamedTuples in a sequence of Numba types, each before those within it."""
    for kind in types:
        if isinstance(kind, numba.types.BaseTuple):
            if isinstance(kind, numba.types.BaseNamedTuple):
                yield kind.instance_class
            yield from _records(kind)


def is_listed(function: Any) -> bool:
    """Whether a function stands in one of the listed files."""
    return function.__module__ in _SOURCES


def _is_ours(record: type) -> bool:
    return record.__module__.partition(".")[0] == _PACKAGE


def _holds_listed_code_only(records: list[Any]) -> bool:
    """Whether the hash of the sources covers a version: its rules are all rlgrid's own.

    A rule from elsewhere has a record from elsewhere, or it takes the place of rlgrid's rule for a record of rlgrid.
    Versions that hold one are compiled anew in every process, because nobody would notice that its code has changed.
    """
    rules = [item for table in choices.RULES.values() for item in table.items()]
    replaced = any(_is_ours(record) and not is_listed(rule) for record, rule in rules)
    return all(_is_ours(record) for record in records) and not replaced


@cache
def _folder() -> Path | None:
    """The folder of this code, named by its hash; None, and a line on stderr, where there can be none."""
    try:
        home = _home()
        _make_private(home)
        folder = home / _code_hash(home / "rlgrid_sources")
        _make_private(folder)
    except RuntimeError:
        _say_once("the home folder is not known")
    except OSError as error:
        _say_once(f"{error.filename}: {error.strerror}")
    else:
        return folder
    return None


def _home() -> Path:
    """The folder above that of this code, without symbolic links, so that what is checked is what is used.

    Raises:
        RuntimeError: where the user's home is not known.
    """
    home = os.environ.get("NUMBA_CACHE_DIR")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "rlgrid")
    return Path(os.path.realpath(home))


def _make_private(*folders: Path) -> None:
    """Make folders into which only the user can write, or check that they are: what is read from them is executed.

    Raises:
        OSError: where they cannot be made, or are a symbolic link, somebody else's or open to others.
    """
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if sys.platform != "win32" and not (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.getuid()
            and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        ):
            raise PermissionError(errno.EPERM, "a link, somebody else's, or open to others", str(folder))


def _code_hash(known: Path) -> str:
    """A hash of the code in the sources and of the versions of what compiles it.

    Parsing the sources takes 0.1 s, so the latest hash is kept in a file, beside that of the sources as they stand.

    Raises:
        OSError: where there are no sources, so that nothing would tell one version from the next.
    """
    if f"{_PACKAGE}.compiled" not in _SOURCES:
        raise FileNotFoundError(errno.ENOENT, "no sources", str(Path(__file__).parent))
    python = f"{sys.implementation.cache_tag}-O{sys.flags.optimize}"  # -O leaves assertions out
    versions = f"{python} numba {numba.__version__} numpy {np.__version__}".encode()
    as_they_stand = _hash(versions, *(part for name, text in _SOURCES.items() for part in (name.encode(), text)))
    with suppress(OSError):
        found = re.fullmatch(rb"%b ([0-9a-f]{32})" % as_they_stand.encode(), known.read_bytes())
        if found is not None:
            return found[1].decode()
    code = _hash(versions, *(f"{name} {_code(text)}".encode() for name, text in _SOURCES.items()))
    with suppress(OSError):
        write_atomically(known, f"{as_they_stand} {code}".encode())
    return code


def _code(source: bytes) -> str:
    """The code of a source without comments, docstrings and line numbers."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a file that this process does not import, in the middle of a change
        return repr(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return ast.dump(tree)


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


_said: list[str] = []


def _say_once(why: str) -> None:
    if not _said:
        _said.append(
            f"rlgrid: compiled code cannot be kept for the next process: {why}; "
            "allowed: a folder that only you can write to, which NUMBA_CACHE_DIR may name"
        )
        print(_said[0], file=sys.stderr, flush=True)
