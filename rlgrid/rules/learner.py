"""The record of a learner: a table with the choices that make an algorithm of the one update.

    w  <-  (1 - alpha W) w + alpha W T

What acts on it stands in ``rlgrid.rules.update``. The parts are typed loosely here, because their files read this
record: the comments say where each one lives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rlgrid.arrays import Floats, Ints
from rlgrid.rules.behaviors import Table


class Learner(NamedTuple):
    """A table of S states and C columns (A actions for q, one for v), its counters, and its choices."""

    table: Table  # q [S, A], or v [S, 1]; with features what the weights make of them (see rlgrid.rules.gradient)
    visits: Floats  # [S, C] weights of the updates so far, summed by the step size
    clock: Ints  # [1] updates counted by the step size
    discount: float
    target: Any  # what it aims at: rlgrid.rules.targets
    window: Any  # how far it looks ahead: rlgrid.rules.windows
    step_size: Any  # how far it moves: rlgrid.rules.step_sizes
    credit: Any  # where and when that lands: rlgrid.rules.credits, traces, gradient
    improvement: Any  # whether a stored policy is improved: rlgrid.rules.update
    correction: Any  # how the actions of another policy count: rlgrid.rules.corrections
    planning: Any  # updates from a model learned on the way: rlgrid.rules.dyna
    tally: Any  # what acting remembers: rlgrid.rules.schedules
