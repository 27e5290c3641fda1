"""What acting remembers: a tally of steps, episodes and visits, and exploration that shrinks with it."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rlgrid.arrays import Ints
from rlgrid.choices import choice, rule, rule_with_default, unsigned


class NoTally(NamedTuple):
    """Nothing is counted."""


class Tally(NamedTuple):
    """What has been done so far; a transition is counted before the next action is drawn."""

    taken: Ints  # [S, A] actions taken; [S, 1] visits of states; [0, 0] where nobody asks
    clock: Ints  # [2] steps, episodes finished


def new_tally(taken: tuple[int, int]) -> Tally:
    """A tally that begins at nothing, with room for the counts of this shape."""
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
    """From ``first`` in a straight line to ``last``, which it reaches after so many steps and keeps."""

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
