"""Eligibility traces: the credit of TD(lambda), Sarsa(lambda) and Q(lambda).

A trace is a list of recent visits. A target's error moves all of them, each by the step size at its visit times what
its eligibility has faded to since. Visits that have faded below a threshold leave the list, so that a step costs as
much as the list is long.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.batch import NO_LIMIT, Transition
from rlgrid.choices import choice, function, named, rule_with_default, unsigned
from rlgrid.rules.credits import is_full, land, note_next
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.step_sizes import rate
from rlgrid.rules.targets import follows


class Accumulating(NamedTuple):
    """A new visit adds to what is left of earlier ones (Sutton & Barto 2e, eq. 12.5)."""


class Replacing(NamedTuple):
    """A new visit takes the place of earlier ones (Singh & Sutton, Machine Learning 22, 1996)."""


class Dutch(NamedTuple):
    """True online learning: equal to the online lambda-return algorithm (S&B 2e, Sec. 12.5).

    van Seijen et al., True online temporal-difference learning, JMLR 17, 2016, Algorithm 1.
    """


class Trace(NamedTuple):
    """Recent visits of the episode, the latest last."""

    kind: Any  # Accumulating, Replacing, Dutch, or another record with rules for kept and drift
    decay: float  # lambda
    longest: int  # most visits that a target moves
    state: Ints  # [capacity]
    column: Ints  # [capacity]
    size: Floats  # [capacity] eligibility times the step size of the visit
    span: Ints  # [2] where the visits begin and end
    now: Floats  # [2] the factor by which visits fade at this step; the value of its entry, one step ago
    ahead: Floats  # [2] the same for the next step


def longest_trace(fade: float, cut: float) -> int:
    """How many steps it takes until an eligibility, fading by a factor at every step, is below a threshold.

    >>> longest_trace(0.9, 1e-3), longest_trace(0.0, 1e-3), longest_trace(0.5, 0.5)
    (66, 1, 2)
    """
    if fade == 0.0:
        return 1
    if fade == 1.0 or cut == 0.0:
        return NO_LIMIT
    return math.floor(math.log(cut) / math.log(fade)) + 1


#: Room for visits to begin with; it grows.
_ROOM = 256


def new_trace(kind: Any, made: Ingredients) -> Trace:
    """An empty trace of a kind, with the decay and the threshold of a recipe."""
    longest = longest_trace(made.discount * made.recipe.trace_decay, made.recipe.trace_cut)
    room = min(2 * longest, _ROOM)
    return Trace(
        kind=kind,
        decay=made.recipe.trace_decay,
        longest=longest,
        state=np.zeros(room, np.int64),
        column=np.zeros(room, np.int64),
        size=np.zeros(room),
        span=np.zeros(2, np.int64),
        now=np.zeros(2),
        ahead=np.zeros(2),
    )


@named("credit", "accumulating_trace", "trace")
def _make_accumulating(made: Ingredients) -> Trace:
    return new_trace(Accumulating(), made)


@named("credit", "replacing_trace", "trace")
def _make_replacing(made: Ingredients) -> Trace:
    return new_trace(Replacing(), made)


@named("credit", "dutch_trace", "trace")
def _make_dutch(made: Ingredients) -> Trace:
    return new_trace(Dutch(), made)


@rule_with_default
def kept(kind: Any, alpha: float) -> float:
    """The share of earlier visits of an entry that a new one leaves: 1 by default."""
    return 1.0


@choice(kept, Replacing)
def _kept_replacing(kind: Replacing, alpha: float) -> float:
    return 0.0


@choice(kept, Dutch)
def _kept_dutch(kind: Dutch, alpha: float) -> float:
    return 1.0 - alpha


@rule_with_default
def drift(kind: Any, moved: float) -> float:
    """What earlier visits make good where an entry has moved since its value served as the next one: 0 by default."""
    return 0.0


@choice(drift, Dutch)
def _drift_dutch(kind: Dutch, moved: float) -> float:
    return moved


@choice(note_next, Trace)
def _note_next(credit: Trace, learner: Learner, step: Transition) -> None:
    if step.terminated or step.truncated:
        credit.ahead[0] = 0.0
        return
    column = step.next_action if learner.table.shape[1] > 1 else 0
    goes_on = follows(learner.target, learner.table, step)
    credit.ahead[0] = learner.discount * credit.decay if goes_on else 0.0
    credit.ahead[1] = learner.table[unsigned(step.next_state), unsigned(column)]


@choice(land, Trace)
def _land_trace(credit: Trace, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    table = learner.table
    alpha = rate(learner.step_size, learner.visits, learner.clock, state, column, weight) * weight
    old = table[unsigned(state), unsigned(column)]
    error = target - old
    fade, share = credit.now[0], kept(credit.kind, alpha)
    earlier = error + drift(credit.kind, old - credit.now[1])
    for k in range(credit.span[0], credit.span[1]):
        size = credit.size[unsigned(k)] * fade
        if credit.state[unsigned(k)] == state and credit.column[unsigned(k)] == column:
            size *= share
        credit.size[unsigned(k)] = size
        table[unsigned(credit.state[unsigned(k)]), unsigned(credit.column[unsigned(k)])] += size * earlier
    table[unsigned(state), unsigned(column)] += alpha * error
    credit.now[0], credit.now[1] = credit.ahead[0], credit.ahead[1]
    _remember(credit, state, column, alpha)


@function
def _remember(credit: Trace, state: int, column: int, alpha: float) -> None:
    """Put a visit at the end of the list, and drop those that have faded."""
    begin, end = credit.span[0], credit.span[1]
    if credit.now[0] == 0.0:
        credit.span[0], credit.span[1] = 0, 0
        return
    if end == len(credit.state):
        for k in range(begin, end):
            credit.state[unsigned(k - begin)], credit.column[unsigned(k - begin)] = (
                credit.state[unsigned(k)],
                credit.column[unsigned(k)],
            )
            credit.size[unsigned(k - begin)] = credit.size[unsigned(k)]
        begin, end = 0, end - begin
    credit.state[unsigned(end)], credit.column[unsigned(end)], credit.size[unsigned(end)] = state, column, alpha
    end += 1
    if end - begin >= credit.longest:
        begin += 1
    credit.span[0], credit.span[1] = begin, end


@choice(is_full, Trace)
def _is_full(credit: Trace) -> bool:
    return bool(credit.span[1] - credit.span[0] == len(credit.state))
