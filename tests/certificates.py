"""Certificates for tests: the checker as a module, and what is true of a certificate's model, solved once more.

Nothing here is rlgrid's: values come from an elimination in fractions for every stationary policy.
"""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from random_models import solve_rational

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_certificate.py"

#: A value that is a fraction, or plus or minus infinity.
Value = Fraction | float

Row = tuple[Fraction, list[tuple[int, Fraction]]]  # reward, and discount times probability of each next state


def load_checker() -> ModuleType:
    """``scripts/check_certificate.py`` as a module."""
    spec = importlib.util.spec_from_file_location("check_certificate", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Undefined(Exception):
    """Some policy collects rewards of both signs for ever, so that the best value is no number."""


class Truth(NamedTuple):
    """What is true of a certificate's model."""

    best: list[Value]  # [S]
    of_policy: list[Value]  # [S] values of the policy that is named


def well_formed(certificate: dict[str, Any]) -> bool:
    """Whether what stands in a certificate is a Markov decision process with a discount, and lists that fit it."""
    try:
        n = len(certificate["states"])
        good = 0 <= Fraction(certificate["discount"]) <= 1 and Fraction(certificate["bound"]) >= 0
        for actions, name, low in zip(certificate["states"], certificate["policy"], certificate["lower"], strict=True):
            good &= len(actions) > 0 and (low is None or name in actions)
            for reward, outcomes in actions.values():
                Fraction(reward)
                good &= sum(Fraction(p) for _, p, _ in outcomes) == 1
                good &= all(Fraction(p) > 0 and 0 <= t < n for t, p, _ in outcomes)
        for key in ("values", "lower", "upper"):
            good &= len([None if x is None else Fraction(x) for x in certificate[key]]) == n
        return good
    except (ValueError, ZeroDivisionError):
        return False


def is_true(certificate: dict[str, Any], truth: Truth) -> bool:
    """Whether all that a certificate claims is true."""
    bound = Fraction(certificate["bound"])
    for s, best in enumerate(truth.best):
        v, low, high = (certificate[key][s] for key in ("values", "lower", "upper"))
        if v is not None and not abs(best - Fraction(v)) <= bound:
            return False
        if low is not None and not Fraction(low) <= truth.of_policy[s] <= best:
            return False
        if high is not None and not Fraction(high) >= best:
            return False
    return True


def solved(certificate: dict[str, Any]) -> Truth:
    """The best values and those of the policy, exactly.

    Raises:
        Undefined: where they are no numbers.
    """
    discount = Fraction(certificate["discount"])
    states = [{name: _row(*action, discount) for name, action in actions.items()} for actions in certificate["states"]]
    policies = product(*(actions.values() for actions in states))
    best = list(map(max, zip(*(_policy_values(list(rows), discount) for rows in policies), strict=True)))
    named = [
        actions.get(name, next(iter(actions.values())))  # without a claim about the policy any action will do
        for actions, name in zip(states, certificate["policy"], strict=True)
    ]
    return Truth(best, _policy_values(named, discount))


def _row(reward: str, outcomes: list[tuple[int, str, bool]], discount: Fraction) -> Row:
    return Fraction(reward), [(t, discount * Fraction(p)) for t, p, ends in outcomes if not ends and discount]


def _policy_values(rows: list[Row], discount: Fraction) -> list[Value]:
    n = len(rows)
    v: list[Value | None] = [None] * n
    if discount == 1:
        reach = _reached(rows)
        for s in range(n):
            recurrent = all(s in reach[t] for t in reach[s]) and all(
                sum(p for _, p in rows[t][1]) == 1 for t in reach[s]
            )
            v[s] = _endless_value(rows, sorted(reach[s])) if recurrent else None
        known = list(v)
        for s in range(n):
            infinite = {x for t in reach[s] if (x := known[t]) is not None and x != 0}
            if len(infinite) > 1:
                raise Undefined
            v[s] = infinite.pop() if infinite else known[s]
    open_ = [s for s in range(n) if v[s] is None]
    index = {s: i for i, s in enumerate(open_)}
    matrix = [[Fraction(int(s == t)) for t in open_] for s in open_]
    for s in open_:
        for t, p in rows[s][1]:
            if t in index:  # others are at rest, and worth 0
                matrix[index[s]][index[t]] -= p
    for s, x in zip(open_, solve_rational(matrix, [rows[s][0] for s in open_]), strict=True):
        v[s] = x
    return [x for x in v if x is not None]


def _reached(rows: list[Row]) -> list[set[int]]:
    """The states that each state leads to, itself among them."""
    reach = [{s, *(t for t, _ in row[1])} for s, row in enumerate(rows)]
    for _ in rows:
        reach = [set().union(*(reach[t] for t in states)) for states in reach]
    return reach


def _endless_value(rows: list[Row], states: list[int]) -> Value:
    """What is collected for ever in a class of states: by the sign of the mean reward a step, g + h = r + P h."""
    if all(rows[s][0] == 0 for s in states):
        return Fraction(0)
    index = {s: i for i, s in enumerate(states)}
    matrix = [[Fraction(int(s == t)) for t in states] for s in states]
    for s in states:
        for t, p in rows[s][1]:
            matrix[index[s]][index[t]] -= p
    for line in matrix:
        line[0] = Fraction(1)  # h of the first state is 0; g takes its column
    gain = solve_rational(matrix, [rows[s][0] for s in states])[0]
    if gain == 0:
        raise Undefined
    return float("inf") if gain > 0 else float("-inf")
