"""Everything that Numba compiles. Private: the rest of rlgrid calls it, users do not.

Importing this package tells Numba about the rules and plain functions of the modules below; what is compiled is kept
on disk for the next process, in a folder named by a hash of rlgrid's sources, because Numba itself does not notice
that a called function has changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.extending import overload, register_jitable

from rlgrid import dispatch, learner, sampling  # noqa: F401 (the last two make the rules)

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = {"forceinline": True, "error_model": "numpy"}


@cache
def _cache_folder() -> str:
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted([*package.glob("*.py"), *package.glob("kernels/*.py")]):
        digest.update(source.read_bytes())
    home = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rlgrid"
    )
    return os.path.join(home, digest.hexdigest()[:16])


def compiled(function: F) -> F:
    """Compile a function when it is first called, and keep the result on disk.

    With ``NUMBA_DISABLE_JIT=1`` the plain function runs; its unsigned integers then wrap around silently, as compiled
    ones do.
    """
    if numba.config.DISABLE_JIT:
        return cast(F, np.errstate(over="ignore")(function))
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _cache_folder()
    try:
        return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function))
    finally:
        numba.config.CACHE_DIR = before


def _teach_numba() -> None:
    for plain in dispatch.FUNCTIONS:
        register_jitable(**OPTIONS)(plain)
    for rule, table in dispatch.RULES.items():

        def chosen(choice: Any, *args: Any, table: dict[type, Callable[..., Any]] = table) -> Callable[..., Any]:
            return table[choice.instance_class]

        overload(rule, strict=False, jit_options=OPTIONS)(chosen)


_teach_numba()
