"""The Robbins-Monro update of a table, put together from a target, a window, a step size and a credit.

    w  <-  (1 - alpha W) w + alpha W T

``learn`` is called for one transition after the other, by ``agent.update(batch)`` and by the compiled loop that also
acts; ``settle`` at the end of a batch, where updates land that wait for it and a stored policy is improved.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Batch
from rlgrid.behaviors import Table, greatest
from rlgrid.dispatch import at, choice, function, rule
from rlgrid.schedules import NoTally, Tally, count
from rlgrid.step_sizes import StepSize, rate
from rlgrid.targets import Target, bootstrap

Ints: TypeAlias = NDArray[np.int64]

#: Actions whose values differ by less than this, relative to their size, count as equally good in an improvement.
TIE = 1e-12


class OneStep(NamedTuple):
    """Every transition is a target of its own."""


class Episode(NamedTuple):
    """A window without end: transitions wait for the end of their episode and then aim at the return.

    ``visits`` says which of an episode's transitions count: its first one only (0, as in MC basic), the first visit
    of each entry (1), or every visit (2).
    """

    state: Ints  # [capacity]
    column: Ints  # [capacity]
    reward: NDArray[np.float64]  # [capacity]
    length: Ints  # [1]
    seen: Ints  # [S, C] visits within the episode; [0, 0] unless first visits count
    visits: int


class Entry(NamedTuple):
    """The entry moves at once."""


class Nowhere(NamedTuple):
    """Nothing is learned: acting only."""


class Together(NamedTuple):
    """All entries move at the end of the batch, each towards the weighted mean of its targets."""

    total: Table  # [S, C] sum of weight times target
    weight: Table  # [S, C]


class NoImprovement(NamedTuple):
    """No policy is stored."""


class Improvement(NamedTuple):
    """A stored policy becomes greedy after every so many batches, or as soon as its values have converged."""

    policy: Table  # [S, A]
    every: int
    tolerance: float  # converged: no entry moved further than this in a batch
    batches: Ints  # [2] batches since the last improvement; improvements so far
    change: NDArray[np.float64]  # [1] how far the farthest entry moved in the last batch


class Learner(NamedTuple):
    """A table with the choices that make an algorithm of the one update."""

    table: Table  # q [S, A], or v [S, 1]
    visits: Ints  # [S, C] counted by the step size
    clock: Ints  # [1] updates counted by the step size
    discount: float
    target: Target
    window: OneStep | Episode
    step_size: StepSize
    credit: Entry | Together | Nowhere
    improvement: NoImprovement | Improvement
    tally: NoTally | Tally = NoTally()


@function
def count_recorded(learner: Learner, batch: Batch, i: int) -> None:
    """Count transition i of a batch."""
    ends = batch.terminated[at(i)] or batch.truncated[at(i)]
    count(learner.tally, batch.state[at(i)], batch.action[at(i)], ends)


@function
def learn(learner: Learner, batch: Batch, i: int) -> None:
    """Learn from transition i."""
    absorb(learner.window, learner, batch, i)


@rule
def absorb(window: Any, learner: Learner, batch: Batch, i: int) -> None:
    """Take transition i into the window, and update what has become due."""


@choice(absorb, OneStep)
def _absorb_one_step(window: OneStep, learner: Learner, batch: Batch, i: int) -> None:
    value = bootstrap(learner.target, learner.table, batch, i)
    target = batch.reward[at(i)] + learner.discount * (1.0 - batch.terminated[at(i)]) * value
    column = batch.action[at(i)] if learner.table.shape[1] > 1 else 0
    land(learner.credit, learner, batch.state[at(i)], column, target, batch.weight[at(i)])


@choice(absorb, Episode)
def _absorb_episode(window: Episode, learner: Learner, batch: Batch, i: int) -> None:
    n = window.length[0]
    column = batch.action[at(i)] if learner.table.shape[1] > 1 else 0
    window.state[at(n)], window.column[at(n)], window.reward[at(n)] = batch.state[at(i)], column, batch.reward[at(i)]
    window.length[0] = n + 1
    if window.visits == 1:
        window.seen[at(batch.state[at(i)]), at(column)] += 1
    if batch.terminated[at(i)] or batch.truncated[at(i)]:
        _land_returns(window, learner)


@function
def _land_returns(window: Episode, learner: Learner) -> None:
    """Walk an ended episode backwards: G <- r + discount G (Zhao, Alg. 5.2 and 5.3)."""
    total = 0.0
    for j in range(window.length[0] - 1, -1, -1):
        state, column = window.state[at(j)], window.column[at(j)]
        total = window.reward[at(j)] + learner.discount * total
        counts = window.visits == 2 or j == 0
        if window.visits == 1:
            window.seen[at(state), at(column)] -= 1
            counts = window.seen[at(state), at(column)] == 0
        if counts:
            land(learner.credit, learner, state, column, total, 1.0)
    window.length[0] = 0


@rule
def full(window: Any) -> bool:  # type: ignore[empty-body]
    """Whether the window has no room for another transition."""


@choice(full, OneStep)
def _full_one_step(window: OneStep) -> bool:
    return False


@choice(full, Episode)
def _full_episode(window: Episode) -> bool:
    return bool(window.length[0] == len(window.state))


@rule
def land(credit: Any, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    """Credit a target to entry (state, column)."""


@choice(land, Entry)
def _land_entry(credit: Entry, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    alpha = rate(learner.step_size, learner.visits, learner.clock, state, column) * weight
    learner.table[at(state), at(column)] = (1.0 - alpha) * learner.table[at(state), at(column)] + alpha * target


@choice(land, Nowhere)
def _land_nowhere(credit: Nowhere, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    pass


@choice(land, Together)
def _land_together(credit: Together, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    credit.total[at(state), at(column)] += weight * target
    credit.weight[at(state), at(column)] += weight


@function
def settle(learner: Learner) -> None:
    """End a batch."""
    change = land_rest(learner.credit, learner)
    improve(learner.improvement, learner, change)


@rule
def land_rest(credit: Any, learner: Learner) -> float:  # type: ignore[empty-body]
    """Let everything land that waited for the end of the batch; how far the farthest entry moved."""


@choice(land_rest, Entry)
def _land_rest_entry(credit: Entry, learner: Learner) -> float:
    return np.inf


@choice(land_rest, Nowhere)
def _land_rest_nowhere(credit: Nowhere, learner: Learner) -> float:
    return np.inf


@choice(land_rest, Together)
def _land_rest_together(credit: Together, learner: Learner) -> float:
    change = 0.0
    for state in range(learner.table.shape[0]):
        for column in range(learner.table.shape[1]):
            weight = credit.weight[at(state), at(column)]
            if weight > 0.0:
                alpha = rate(learner.step_size, learner.visits, learner.clock, state, column)
                old = learner.table[at(state), at(column)]
                new = (1.0 - alpha) * old + alpha * (credit.total[at(state), at(column)] / weight)
                learner.table[at(state), at(column)] = new
                change = max(change, abs(new - old))
                credit.total[at(state), at(column)] = 0.0
                credit.weight[at(state), at(column)] = 0.0
    return change


@rule
def improve(improvement: Any, learner: Learner, change: float) -> None:
    """Improve the stored policy where it is due."""


@choice(improve, NoImprovement)
def _no_improvement(improvement: NoImprovement, learner: Learner, change: float) -> None:
    pass


@choice(improve, Improvement)
def _improvement(improvement: Improvement, learner: Learner, change: float) -> None:
    improvement.change[0] = change
    improvement.batches[0] += 1
    if improvement.batches[0] >= improvement.every or change <= improvement.tolerance:
        improvement.batches[0] = 0
        improvement.batches[1] += 1
        make_greedy(improvement.policy, learner.table)


@function
def make_greedy(policy: Table, table: Table) -> None:
    """Make a policy greedy in place; of equally good actions it keeps the one it takes, else takes the first."""
    for state in range(table.shape[0]):
        best = greatest(table, (), state)
        good = best - TIE * max(1.0, abs(best))
        chosen = 0
        for a in range(table.shape[1] - 1, -1, -1):
            if table[at(state), at(a)] >= good:
                chosen = a
        for a in range(table.shape[1]):
            if policy[at(state), at(a)] == 1.0 and table[at(state), at(a)] >= good:
                chosen = a
        for a in range(table.shape[1]):
            policy[at(state), at(a)] = 0.0
        policy[at(state), at(chosen)] = 1.0
