"""The Robbins-Monro update of a table, put together from its choices.

    w  <-  (1 - alpha W) w + alpha W T

``learn`` is called for one transition after the other, by ``agent.update(batch)`` and by the compiled loop that also
acts; ``settle`` at the end of a batch, where updates land that wait for it and a stored policy is improved. The other
choices stand in modules of their own: ``targets``, ``corrections``, ``windows``, ``step_sizes``, ``credits``,
``traces``, ``linear`` and ``dyna``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Transition
from rlgrid.behaviors import Table, greatest
from rlgrid.corrections import Correction, NoCorrection
from rlgrid.credits import Entry, EntryOfTwo, Nowhere, Together, crowded, land, land_rest
from rlgrid.dispatch import at, choice, function, rule
from rlgrid.dyna import Dyna, NoPlanning, plan
from rlgrid.linear import Gradient
from rlgrid.schedules import NoTally, Tally
from rlgrid.step_sizes import StepSize
from rlgrid.targets import Target
from rlgrid.traces import Trace
from rlgrid.windows import OneStep, Window, absorb, full

__all__ = [
    "TIE",
    "Entry",
    "Improvement",
    "Learner",
    "NoImprovement",
    "Nowhere",
    "OneStep",
    "Together",
    "land",
    "learn",
    "make_greedy",
    "no_room",
    "settle",
]

Ints: TypeAlias = NDArray[np.int64]

#: Actions whose values differ by less than this, relative to their size, count as equally good in an improvement.
TIE = 1e-12


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

    table: Table  # q [S, A], or v [S, 1]; with features what the weights make of them (see rlgrid.linear)
    visits: NDArray[np.float64]  # [S, C] weights of the updates so far, summed by the step size
    clock: Ints  # [1] updates counted by the step size
    discount: float
    target: Target
    window: OneStep | Window
    step_size: StepSize
    credit: Entry | EntryOfTwo | Trace | Together | Nowhere | Gradient
    improvement: NoImprovement | Improvement
    correction: Correction = NoCorrection()
    planning: NoPlanning | Dyna = NoPlanning()
    tally: NoTally | Tally = NoTally()


@function
def learn(learner: Learner, step: Transition) -> None:
    """Learn from a transition."""
    absorb(learner.window, learner, step)
    plan(learner.planning, learner, step)


@function
def no_room(learner: Learner) -> bool:
    """Whether something that waits in the learner has to grow before it can take another transition."""
    return bool(full(learner.window) or crowded(learner.credit))


@function
def settle(learner: Learner) -> None:
    """End a batch."""
    change = land_rest(learner.credit, learner)
    improve(learner.improvement, learner, change)


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
        size = 0.0
        for a in range(table.shape[1]):
            if table[at(state), at(a)] > -float("inf"):
                size = max(size, abs(table[at(state), at(a)]))
        good = best - TIE * size
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
