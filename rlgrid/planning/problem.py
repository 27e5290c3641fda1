"""The methods of exact planning, each from a :class:`Problem` to a :class:`Solution`.

All work on rows of outcomes; at discount 1 on those of the collapsed model that :mod:`rlgrid.planning.undiscounted`
makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import Accuracy, Rows, converged, iterate
from rlgrid.models.model import TabularModel
from rlgrid.planning.certificate import accuracy_of, certified
from rlgrid.planning.graph import uniform_weights
from rlgrid.planning.undiscounted import Collapsed

OnSweep: TypeAlias = Callable[[int, Floats], object]

#: Outcomes looked at between two chances to interrupt.
CHUNK = 2**24

#: States up to which linear systems are solved as dense ones: four times as fast for 64 states, no slower for these.
DENSE = 128


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method has to solve. Q states and R rows, those of the collapsed model at discount 1."""

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
    heaviest: float = 0.0  # of a policy that is evaluated: the largest sum of its probabilities in a state; 0: none is

    @cached_property
    def accuracy(self) -> Accuracy:
        """How accurate a backup is."""
        accuracy = accuracy_of(self.model, self.rows, self.discount, mixed=self.epsilon > 0 or self.heaviest > 0)
        return accuracy._replace(contraction=accuracy.contraction * max(1.0, self.heaviest))

    @property
    def n_states(self) -> int:
        return len(self.rows.begin) - 1

    def report(self, k: int, v: Floats) -> None:
        """Tell ``on_sweep`` about the values after sweep k."""
        if self.on_sweep:
            self.on_sweep(k, self.values(v))

    def values(self, v: Floats) -> Floats:
        """A copy of values [Q], for the states of the model [S]."""
        return v.copy() if self.collapsed is None else v[self.collapsed.number]

    def soft(self, choice: Ints) -> Floats:
        """Probability of each row under the (epsilon-soft) policy that chooses one row for each state."""
        weight = self.epsilon * uniform_weights(self.rows) if self.epsilon else np.zeros(len(self.rows.first) - 1)
        weight[choice] += 1.0 - self.epsilon
        return weight


class Solution(NamedTuple):
    """What a method found."""

    v: Floats  # [Q]
    bound: float  # infinite at discount 1: not known yet
    iterations: int
    before: Floats | None = None  # [Q] with a horizon: values with one step less to go
    method: str = ""  # where it was not the caller who chose


# -- what they share --------------------------------------------------------------------------------------------------


def gave_up(max_sweeps: int) -> InputError:
    """The sentence for an iteration that did not settle."""
    return InputError(
        f"max_sweeps: not settled after {max_sweeps}; allowed: more, a larger tol, a smaller discount or another method"
    )


def sweep_until_converged(problem: Problem, weight: Floats) -> Solution:
    """Sweep from v = 0 until nothing more is gained: with weights for a policy, without for the optimum."""
    rows, accuracy, tol = problem.rows, problem.accuracy, problem.tol
    v, work, done = np.zeros(problem.n_states), np.empty(problem.n_states), 0
    chunk = 1 if problem.on_sweep else max(1, CHUNK // len(rows.next_state))
    while done < problem.max_sweeps:
        limit = min(chunk, problem.max_sweeps - done)
        n, change, size = iterate(rows, weight, problem.epsilon, v, work, accuracy, tol, limit)
        done += n
        problem.report(done, v)
        if converged(accuracy, change, size, tol):
            return Solution(v, certified(problem.model, accuracy, accuracy.contraction * change, size, tol), done)
    raise gave_up(problem.max_sweeps)


def solve_linear(rows: Rows, weight: Floats, resting: NDArray[np.bool_] | None = None) -> Floats:
    """v = r + P v for the rows' weights; 0 in the states that rest."""
    n_states = len(rows.begin) - 1
    length = np.diff(rows.first)
    share = np.repeat(weight, length)
    state = np.repeat(np.arange(n_states), np.diff(rows.first[rows.begin]))
    if resting is not None:
        share[resting[state]] = 0.0
    reward = np.bincount(state, share * rows.reward_share[rows.code], n_states)
    continuation = share * rows.continuation[rows.code]
    if n_states <= DENSE:
        moves = np.bincount(state * n_states + rows.next_state, continuation, n_states**2).reshape(n_states, n_states)
        return np.asarray(np.linalg.solve(np.eye(n_states) - moves, reward), dtype=np.float64)
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    kept = continuation > 0
    diagonal = np.arange(n_states)
    entries = np.concatenate([np.ones(n_states), -continuation[kept]])
    places = np.concatenate([diagonal, state[kept]]), np.concatenate([diagonal, rows.next_state[kept]])
    matrix = csc_array((entries, places), shape=(n_states, n_states))
    return np.asarray(splu(matrix).solve(reward), dtype=np.float64)
