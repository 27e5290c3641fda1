"""What Numba compiles, and how. Private: the rest of rlgrid calls it, users do not.

Importing this module tells Numba about the rules and plain functions of ``rlgrid.choices``. What is compiled is kept on
disk for the next process, because compiling takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import event
from numba.extending import overload, register_jitable

from rlgrid import choices
from rlgrid.compile_cache import DiskCache, is_listed

F = TypeVar("F", bound=Callable[..., Any])

#: Numba's error model: a division by zero gives inf or nan instead of raising, which rules never rely on.
OPTIONS = {"forceinline": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """Compile a function when it is first called, and keep the result on disk.

    With ``NUMBA_DISABLE_JIT=1`` the plain function runs; its unsigned integers then wrap around silently, as compiled
    ones do.
    """
    if numba.config.DISABLE_JIT:
        return np.errstate(over="ignore")(function)
    # _nrt: without it every array of a record is reference-counted at every use, which halves the speed.
    compiled_when_called: Any = numba.njit(nogil=True, _nrt=False, **OPTIONS)(function)
    if is_listed(function):
        compiled_when_called._cache = DiskCache(function)  # what Numba's own cache=True sets, too
    kernel: F = compiled_when_called
    return kernel


class _Once(event.Listener):  # type: ignore[misc]
    """Calls back when the first of several events starts."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: Any) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, event: Any) -> None:
        """Nothing."""


@contextmanager
def telling_of_compilation(tell: Callable[[], None]) -> Iterator[None]:
    """Call back once where something is compiled; not where everything is found in the cache."""
    with event.install_listener("numba:compile", _Once(tell)):
        yield


def _teach_numba(rule_or_function: Callable[..., Any]) -> None:
    if rule_or_function not in choices.RULES:
        register_jitable(**OPTIONS)(rule_or_function)
        return
    table = choices.RULES[rule_or_function]

    def chosen(choice: Any, *args: Any) -> Callable[..., Any]:
        return table[choice.instance_class]

    overload(rule_or_function, strict=False, jit_options=OPTIONS)(chosen)


@overload(choices.unsigned, strict=False, jit_options=OPTIONS)
def _unsigned(index: Any) -> Callable[..., Any]:
    return lambda index: np.uint64(index)  # noqa: PLW0108 (Numba takes functions only)


choices.listen(_teach_numba)
