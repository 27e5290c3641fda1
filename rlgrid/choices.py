"""Choices: rules that the type of their first argument picks, and the names that recipes call choices by.

A rule is one name (``bootstrap``, ``rate``, ``land``, ...) with one plain function for each choice. The *type* of a
small NamedTuple picks the function, in plain Python and in compiled code alike: ``rlgrid.compiled`` tells Numba about
every rule made here, so that the very same functions run compiled. This module knows nothing of Numba, and importing it
costs nothing.

A recipe names choices by family: ``target = "greedy"``, ``behavior = { kind = "softmax", temperature = 1 }``. Whoever
writes a choice registers its name beside its record, with a function that makes the record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

#: Every rule with its table of functions; every plain function that rules call.
RULES: dict[Callable[..., Any], dict[type, Callable[..., Any]]] = {}
FUNCTIONS: list[Callable[..., Any]] = []

_listeners: list[Callable[[Callable[..., Any]], None]] = []


class Rule(Protocol):
    """A rule, called as ``rule(choice, ...)``."""

    __name__: str

    def __call__(self, choice: Any, *args: Any) -> Any: ...


class _Table(dict[type, Callable[..., Any]]):
    """From the type of a choice to its function; the default function, where there is one, serves all the others."""

    def __init__(self, name: str, default: Callable[..., Any] | None) -> None:
        super().__init__()
        self._name = name
        self._default = default

    def __missing__(self, kind: type) -> Callable[..., Any]:
        if self._default is None:
            name = kind.__qualname__
            raise KeyError(f"{self._name}: no function for {name}; allowed: one with @choice({self._name}, {name})")
        return self._default


def _make_rule(stub: Callable[..., Any], default: Callable[..., Any] | None) -> Rule:
    table = _Table(stub.__name__, default)

    def call(choice: Any, *args: Any) -> Any:
        return table[type(choice)](choice, *args)

    call.__name__, call.__doc__ = stub.__name__, stub.__doc__
    RULES[call] = table
    _tell(call)
    return call


def rule(stub: Callable[..., Any]) -> Rule:
    """Make a rule of a function that only has a name, parameters and a docstring: every choice brings its own body."""
    return _make_rule(stub, None)


def rule_with_default(body: Callable[..., Any]) -> Rule:
    """Make a rule whose own body serves every choice that brings none."""
    return _make_rule(body, body)


def choice(of: Rule, kind: type) -> Callable[[F], F]:
    """Decorate the function that a rule uses for a kind of choice."""

    def add(function: F) -> F:
        RULES[of][kind] = function
        return function

    return add


def function(plain: F) -> F:
    """Decorate a plain function that rules and loops call."""
    FUNCTIONS.append(plain)
    _tell(plain)
    return plain


def listen(listener: Callable[[Callable[..., Any]], None]) -> None:
    """Call ``listener`` with every rule and plain function: now with those that exist, later with each new one."""
    for known in (*FUNCTIONS, *RULES):
        listener(known)
    _listeners.append(listener)


def _tell(new: Callable[..., Any]) -> None:
    for listener in _listeners:
        listener(new)


def unsigned(index: int) -> int:
    """Mark an index that cannot be negative; used only inside the brackets of an array, as in ``q[unsigned(state)]``.

    Compiled code reads it as unsigned and need not ask whether it counts from the end, which spares a third of the
    time of a vector environment's step.
    """
    return index


class Named(NamedTuple):
    """A choice as recipes know it."""

    make: Callable[..., Any]  # makes its record; what it is called with depends on the family
    traits: frozenset[str]  # what recipes have to know of it, to see whether choices go together
    keys: type[Any] | None  # the struct of its settings, where a recipe writes it as a table


#: Every choice that a recipe can name, by its family and its name.
NAMED: dict[str, dict[str, Named]] = {}


def named(family: str, name: str, *traits: str, keys: type[Any] | None = None) -> Callable[[F], F]:
    """Decorate the function that makes a choice: recipes call the choice by this name, within its family."""

    def add(make: F) -> F:
        NAMED.setdefault(family, {})[name] = Named(make, frozenset(traits), keys)
        return make

    return add
