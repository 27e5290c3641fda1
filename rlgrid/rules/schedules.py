"""What acting remembers: a tally of steps, episodes and visits, and exploration that shrinks with it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from rlgrid.arrays import Ints
from rlgrid.choices import choice, named, rule, rule_with_default, unsigned
from rlgrid.errors import MOST
from rlgrid.toml import Keys


class NoTally(NamedTuple):
    """Nothing is counted."""


class Tally(NamedTuple):
    """What has been done so far; a transition is counted before the next action is drawn."""

    taken: Ints  # [S, A] actions taken; [S, 1] visits of states; [0, 0] where nobody asks
    clock: Ints  # [2] steps, episodes finished


def new_tally(taken: tuple[int, int]) -> Tally:
    """A tally that has counted nothing yet; ``taken`` is the shape of its counts."""
    return Tally(np.zeros(taken, np.int64), np.zeros(2, np.int64))


@rule_with_default
def count(tally: Any, state: int, action: int, ends: bool) -> None:
    """Count a transition: what was done where, and whether the episode is over."""


@choice(count, Tally)
def _count(tally: Tally, state: int, action: int, ends: bool) -> None:
    if tally.taken.shape[0] > 0:
        column = action if tally.taken.shape[1] > 1 else 0
        tally.taken[unsigned(state), unsigned(column)] += 1
    tally.clock[0] += 1
    tally.clock[1] += ends


class Decaying(NamedTuple):
    """a / (b + k)^power, at least ``least`` and at most 1; k counts from 1.

    ``per`` says what k counts: episodes of the run (0), steps of the run (1), or visits of the state (2).
    """

    a: float
    b: float
    power: float
    least: float
    per: int
    tally: Tally


class Falling(NamedTuple):
    """Falls from ``first`` in a straight line to ``last``, which it reaches after so many steps and keeps."""

    first: float
    last: float
    steps: int
    tally: Tally


Schedule: TypeAlias = Decaying | Falling


@rule
def current(schedule: Any, state: int) -> float:  # type: ignore[empty-body]
    """The value of a schedule for an action drawn in a state now."""


@choice(current, Decaying)
def _decaying(schedule: Decaying, state: int) -> float:
    if schedule.per == 2:
        done = schedule.tally.taken[unsigned(state), 0]
    else:
        done = schedule.tally.clock[0] if schedule.per == 1 else schedule.tally.clock[1]
    value: float = min(1.0, max(schedule.least, schedule.a / (schedule.b + done + 1) ** schedule.power))
    return value


@choice(current, Falling)
def _falling(schedule: Falling, state: int) -> float:
    share: float = min(1.0, schedule.tally.clock[0] / schedule.steps)
    return schedule.first + share * (schedule.last - schedule.first)


class HarmonicEpsilonKeys(Keys, frozen=True, tag_field="kind", tag="harmonic"):
    """``{ kind = "harmonic", a = 1, b = 0, least = 0, per = "episode" }``: a / (b + k), at most 1."""

    a: float = 1.0
    b: float = 0.0
    least: float = 0.0
    per: Literal["episode", "step", "visit"] = "episode"

    def __post_init__(self) -> None:
        _check_decay(self.a, self.b, 1.0, self.least)


@named("epsilon", "harmonic", keys=HarmonicEpsilonKeys)
def _make_harmonic(keys: HarmonicEpsilonKeys, n_states: int) -> Decaying:
    return _decay(keys.a, keys.b, 1.0, keys.least, keys.per, n_states)


class PolynomialEpsilonKeys(Keys, frozen=True, tag_field="kind", tag="polynomial"):
    """``{ kind = "polynomial", a = 1, b = 0, power = 0.5, least = 0, per = "episode" }``: a / (b + k)^power."""

    a: float = 1.0
    b: float = 0.0
    power: float = 0.5
    least: float = 0.0
    per: Literal["episode", "step", "visit"] = "episode"

    def __post_init__(self) -> None:
        _check_decay(self.a, self.b, self.power, self.least)


@named("epsilon", "polynomial", keys=PolynomialEpsilonKeys)
def _make_polynomial(keys: PolynomialEpsilonKeys, n_states: int) -> Decaying:
    return _decay(keys.a, keys.b, keys.power, keys.least, keys.per, n_states)


class LinearEpsilonKeys(Keys, frozen=True, tag_field="kind", tag="linear"):
    """``{ kind = "linear", first = 1, last = 0, steps = 100_000 }``: a straight line, then ``last``."""

    steps: int
    first: float = 1.0
    last: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.first <= 1 and 0 <= self.last <= 1 and 1 <= self.steps <= MOST):
            found = f"first = {self.first:g}, last = {self.last:g}, steps = {self.steps}"
            raise ValueError(f"found {found}; allowed: first and last from 0 to 1, steps 1 to {MOST:,}")


@named("epsilon", "linear", keys=LinearEpsilonKeys)
def _make_linear(keys: LinearEpsilonKeys, n_states: int) -> Falling:
    return Falling(keys.first, keys.last, keys.steps, new_tally((0, 0)))


def _check_decay(a: float, b: float, power: float, least: float) -> None:
    if not (0 < a < float("inf") and -1 < b < float("inf") and 0 <= power < float("inf")):
        found = f"a = {a:g}, b = {b:g}, power = {power:g}"
        raise ValueError(f"found {found}; allowed: a above 0, b above -1, power at least 0")
    if not 0 <= least <= 1:
        raise ValueError(f"found least = {least:g}; allowed: 0 to 1")


def _decay(a: float, b: float, power: float, least: float, per: str, n_states: int) -> Decaying:
    tally = new_tally((n_states, 1) if per == "visit" else (0, 0))
    return Decaying(a, b, power, least, ("episode", "step", "visit").index(per), tally)
