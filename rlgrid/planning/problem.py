"""What a method of planning gets, a :class:`Problem`, and what it finds, a :class:`MethodResult`.

Methods work on rows of outcomes: those of the model, or at discount 1 those of the collapsed model that
:mod:`rlgrid.planning.undiscounted` makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import Accuracy, Rows
from rlgrid.models.model import TabularModel
from rlgrid.planning.certificate import accuracy_of
from rlgrid.planning.graph import uniform_weights
from rlgrid.planning.undiscounted import Collapsed

OnSweep: TypeAlias = Callable[[int, Floats], object]


@dataclass(frozen=True, eq=False)
class Problem:
    """A model to solve. Q states and R rows: those of ``rows``, which are collapsed at discount 1.

    Attributes:
        model: what is to be solved.
        rows: what the method works on.
        discount: 1 for the mean reward a step.
        collapsed: how the rows came from those of the model, at discount 1.
        epsilon: the best policy is sought among those that take every available action with epsilon / |A| or more.
        tol, max_sweeps, on_sweep, evaluation_sweeps, horizon: as in :func:`rlgrid.solve`.
        heaviest: where a given policy is evaluated, the largest sum of its probabilities in a state, which rounding can
            make a little more than 1; else 0.
    """

    model: TabularModel
    rows: Rows
    discount: float
    collapsed: Collapsed | None
    epsilon: float
    tol: float
    max_sweeps: int
    on_sweep: OnSweep | None
    evaluation_sweeps: int = 1
    horizon: int | None = None
    heaviest: float = 0.0

    @cached_property
    def accuracy(self) -> Accuracy:
        """How accurate a backup is."""
        accuracy = accuracy_of(self.model, self.rows, self.discount, mixed=self.epsilon > 0 or self.heaviest > 0)
        return accuracy._replace(contraction=accuracy.contraction * max(1.0, self.heaviest))

    @property
    def n_states(self) -> int:
        """Q."""
        return len(self.rows.begin) - 1

    def report(self, k: int, v: Floats) -> None:
        """Tell ``on_sweep`` about the values [Q] after sweep k."""
        if self.on_sweep:
            self.on_sweep(k, self.values(v))

    def values(self, v: Floats) -> Floats:
        """A copy of values [Q], for the states of the model [S]."""
        return v.copy() if self.collapsed is None else v[self.collapsed.number]

    def soft(self, choice: Ints) -> Floats:
        """Probability of each row [R] under the (epsilon-soft) policy that chooses one row for each state [Q]."""
        weight = self.epsilon * uniform_weights(self.rows) if self.epsilon else np.zeros(len(self.rows.first) - 1)
        weight[choice] += 1.0 - self.epsilon
        return weight


class MethodResult(NamedTuple):
    """What a method found."""

    v: Floats  # [Q]
    bound: float  # infinite at discount 1: not known yet
    iterations: int
    before: Floats | None = None  # [Q] with a horizon: values with one step less to go
    method: str = ""  # where another one than was asked for did the work
    gain: float | None = None  # the best mean reward a step, where that was sought; v is then relative, and [S]
    choice: Ints | None = None  # [S] with a gain: greedy row of the model; -1 where no start leads


def gave_up(max_sweeps: int) -> InputError:
    """The sentence for an iteration that has not converged."""
    return InputError(
        f"max_sweeps: not settled after {max_sweeps}; allowed: more, a larger tol, a smaller discount or another method"
    )
