"""Credits: where and when a target lands: in its entry now, in a trace of entries, or at the end of a batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Ints
from rlgrid.batch import Transition
from rlgrid.choices import choice, function, named, rule, rule_with_default, unsigned
from rlgrid.rules.behaviors import Table
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.step_sizes import rate
from rlgrid.rules.targets import Double


class Entry(NamedTuple):
    """The entry moves at once."""


class EntryOfTwo(NamedTuple):
    """The entry moves in one of two tables; the learner's own holds their mean (see ``targets.Double``)."""

    first: Table  # [S, A]
    second: Table  # [S, A]
    turn: Ints  # [1] which of them
    visits: NDArray[np.float64]  # [S, A] counted by the step size for the second one


@named("credit", "entry")
def _make_entry(made: Ingredients) -> Entry | EntryOfTwo:
    if isinstance(made.target, Double):
        return EntryOfTwo(made.target.first, made.target.second, made.target.turn, np.zeros(made.table.shape))
    return Entry()


class Nowhere(NamedTuple):
    """Nothing is learned: acting only."""


class Together(NamedTuple):
    """All entries move at the end of the batch, each towards the weighted mean of its targets."""

    total: Table  # [S, C] sum of weight times target
    weight: Table  # [S, C]


@named("credit", "together", "at_end")
def _make_together(made: Ingredients) -> Together:
    return Together(np.zeros(made.table.shape), np.zeros(made.table.shape))


@rule_with_default
def refresh(credit: Any, table: Table, state: int) -> None:
    """Bring the values of a state up to date before it is acted in or bootstrapped from; entries always are."""


@rule
def land(credit: Any, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    """Credit a target to entry (state, column)."""


@choice(land, Entry)
def _land_entry(credit: Entry, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    _move(learner.table, learner.visits, learner, state, column, target, weight)


@function
def _move(
    table: Table,
    visits: NDArray[np.float64],
    learner: Learner,
    state: int,
    column: int,
    target: float,
    weight: float,
) -> None:
    """The Robbins-Monro update of one entry: w <- (1 - alpha W) w + alpha W T."""
    alpha = rate(learner.step_size, visits, learner.clock, state, column, weight) * weight
    table[unsigned(state), unsigned(column)] = (1.0 - alpha) * table[unsigned(state), unsigned(column)] + alpha * target


@choice(land, EntryOfTwo)
def _land_entry_of_two(
    credit: EntryOfTwo, learner: Learner, state: int, column: int, target: float, weight: float
) -> None:
    if credit.turn[0] == 0:
        _move(credit.first, learner.visits, learner, state, column, target, weight)
    else:
        _move(credit.second, credit.visits, learner, state, column, target, weight)
    mean = (
        0.5 * credit.first[unsigned(state), unsigned(column)] + 0.5 * credit.second[unsigned(state), unsigned(column)]
    )
    learner.table[unsigned(state), unsigned(column)] = mean


@choice(land, Nowhere)
def _land_nowhere(credit: Nowhere, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    pass


@choice(land, Together)
def _land_together(credit: Together, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    credit.total[unsigned(state), unsigned(column)] += weight * target
    credit.weight[unsigned(state), unsigned(column)] += weight


@rule_with_default
def note_next(credit: Any, learner: Learner, step: Transition) -> None:
    """Note what a trace has to know of the step that follows a transition, before anything lands."""


@rule_with_default
def is_full(waiting: Any) -> bool:
    """Whether a window, a trace or a learner has no room for another transition."""
    return False


@rule_with_default
def land_rest(credit: Any, learner: Learner) -> float:
    """Let everything land that waited for the end of the batch.

    Returns:
        the greatest change of an entry; inf where entries have moved before the end.
    """
    return np.inf


@choice(land_rest, Together)
def _land_rest_together(credit: Together, learner: Learner) -> float:
    change = 0.0
    for state in range(learner.table.shape[0]):
        for column in range(learner.table.shape[1]):
            weight = credit.weight[unsigned(state), unsigned(column)]
            if weight > 0.0:
                alpha = rate(learner.step_size, learner.visits, learner.clock, state, column)
                old = learner.table[unsigned(state), unsigned(column)]
                new = (1.0 - alpha) * old + alpha * (credit.total[unsigned(state), unsigned(column)] / weight)
                learner.table[unsigned(state), unsigned(column)] = new
                change = max(change, abs(new - old))
                credit.total[unsigned(state), unsigned(column)] = 0.0
                credit.weight[unsigned(state), unsigned(column)] = 0.0
    return change
