"""The methods of exact planning, each from a :class:`Problem` to a :class:`Solution`.

All work on rows of outcomes; at discount 1 on those of the collapsed model that :mod:`rlgrid.undiscounted` makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.certificate import accuracy_of, certified
from rlgrid.errors import InputError
from rlgrid.graph import Floats, Ints, predecessors, uniform_weights
from rlgrid.kernels.planning import (
    NO_WEIGHT,
    OUTWARD,
    Accuracy,
    Rows,
    choose_rows,
    iterate,
    settled,
    slack,
    sweep,
    sweep_in_place,
)
from rlgrid.kernels.queue import back_up_first, empty_queue, fill_queue
from rlgrid.learner import TIE
from rlgrid.linear_program import basic_policy
from rlgrid.model import TabularModel
from rlgrid.undiscounted import Collapsed

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


# -- methods ---------------------------------------------------------------------------------------------------------


def value_iteration(problem: Problem) -> Solution:
    """Synchronous sweeps from v = 0 (Zhao, Alg. 4.1)."""
    return sweep_until_settled(problem, NO_WEIGHT)


def policy_iteration(problem: Problem) -> Solution:
    """Direct solves and improvements, from the uniform policy or one that ends (Zhao, Alg. 4.2)."""
    _, v, k, change, size = improved(problem, None if problem.collapsed is None else problem.collapsed.ending)
    return Solution(v, certified(problem.model, problem.accuracy, change, size, problem.tol), k)


def linear_programming(problem: Problem) -> Solution:
    """The program finds a policy, a direct solve its values; were it not the best one, it would be improved."""
    choice, pivots = basic_policy(problem.rows, problem.epsilon, problem.model.name)
    _, v, _, change, size = improved(problem, choice)
    return Solution(v, certified(problem.model, problem.accuracy, change, size, problem.tol), pivots)


def improved(problem: Problem, choice: Ints | None) -> tuple[Ints, Floats, int, float, float]:
    """Policy iteration from the rows chosen, else from the uniform policy.

    Stops when the greedy policy no longer changes, or is one of those before it: rounding alone leads back there.
    Returns the last choice, its values, the number of policies, max |T v - v| and max |v|.
    """
    weight = uniform_weights(problem.rows) if choice is None else problem.soft(choice)
    choice = np.full(problem.n_states, -1) if choice is None else choice
    # At discount 1 a row that is better by rounding only could lead away from every end.
    tie = problem.accuracy.rounding if problem.collapsed is None else TIE
    seen = {choice.tobytes()}
    for k in range(1, problem.max_sweeps + 1):
        v = solve_linear(problem.rows, weight)
        problem.report(k, v)
        greedy = choice.copy()
        change, size = choose_rows(problem.rows, problem.epsilon, v, greedy, tie)
        if (found := greedy.tobytes()) in seen:
            return (choice if (choice >= 0).all() else greedy), v, k, change, size
        seen.add(found)
        choice, weight = greedy, problem.soft(greedy)
    raise gave_up(problem.max_sweeps)


def truncated_policy_iteration(problem: Problem) -> Solution:
    """From the uniform policy and v = 0; at discount 1 from the values of a policy that ends, below their T v.

    From there convergence is monotone; from elsewhere it is not certain at discount 1. One sweep of T ends it.
    """
    rows, epsilon, accuracy = problem.rows, problem.epsilon, problem.accuracy
    if problem.collapsed is None:
        weight, v = uniform_weights(rows), np.zeros(problem.n_states)
    else:
        weight = problem.soft(problem.collapsed.ending)
        v = solve_linear(rows, weight)
    choice, work = np.full(problem.n_states, -1), np.empty_like(v)
    for k in range(1, problem.max_sweeps + 1):
        iterate(rows, weight, 0.0, v, work, accuracy, -1.0, problem.evaluation_sweeps)
        problem.report(k, v)
        change, size = choose_rows(rows, epsilon, v, choice, 0.0)
        if settled(accuracy, change, size, problem.tol):
            iterate(rows, NO_WEIGHT, epsilon, v, work, accuracy, -1.0, 1)
            bound = certified(problem.model, accuracy, accuracy.contraction * change, size, problem.tol)
            return Solution(v, bound, k)
        weight = problem.soft(choice)
    raise gave_up(problem.max_sweeps)


def backward_induction(problem: Problem) -> Solution:
    """v_k = T v_(k-1) from v_0 = 0; each backup adds its rounding error to what it passes on."""
    assert problem.horizon is not None
    v, before, error = np.zeros(problem.n_states), np.zeros(problem.n_states), 0.0
    for k in range(1, problem.horizon + 1):
        v, before = before, v
        _, size = sweep(problem.rows, NO_WEIGHT, problem.epsilon, before, v)
        error = OUTWARD * (problem.accuracy.contraction * error + slack(problem.accuracy, size))
        problem.report(k, v)
    return Solution(v, error, problem.horizon, before)


def gauss_seidel(problem: Problem) -> Solution:
    """In-place sweeps over the states in order, from v = 0: a backup sees what the same sweep has found before it.

    Such a sweep brings values as much closer in the largest norm as a synchronous one, so the same bounds hold.
    """
    v, tol, accuracy = np.zeros(problem.n_states), problem.tol, problem.accuracy
    for k in range(1, problem.max_sweeps + 1):
        change, size = sweep_in_place(problem.rows, problem.epsilon, v)
        problem.report(k, v)
        if settled(accuracy, change, size, tol):
            return Solution(v, certified(problem.model, accuracy, accuracy.contraction * change, size, tol), k)
    raise gave_up(problem.max_sweeps)


def prioritized_sweeping(problem: Problem) -> Solution:
    """Always the state whose backup would change it most (Moore & Atkeson 1993; Sutton & Barto 2e, Sec. 8.4).

    A sweep is as many backups as there are states.
    """
    rows, accuracy, n = problem.rows, problem.accuracy, problem.n_states
    beta = accuracy.contraction
    queue = empty_queue(n)
    v, work, before = np.zeros(n), np.empty(n), predecessors(rows)
    theta = problem.tol * (1.0 - beta) / 2.0 if beta < 1.0 else problem.tol / 1e3
    k = 0
    while True:
        fill_queue(rows, problem.epsilon, v, queue, theta)
        while queue.length[0] > 0:
            if k == problem.max_sweeps:
                raise gave_up(problem.max_sweeps)
            back_up_first(rows, *before, problem.epsilon, v, queue, theta, n)
            k += 1
            problem.report(k, v)
        change, size = sweep(rows, NO_WEIGHT, problem.epsilon, v, work)
        if settled(accuracy, change, size, problem.tol):
            bound = certified(problem.model, accuracy, beta * change, size, problem.tol)
            return Solution(work, bound, max(k, 1))
        theta = max(min(theta, change) / 8.0, slack(accuracy, size) / 8.0)


# -- what they share --------------------------------------------------------------------------------------------------


def gave_up(max_sweeps: int) -> InputError:
    """The sentence for an iteration that did not settle."""
    return InputError(
        f"max_sweeps: not settled after {max_sweeps}; allowed: more, a larger tol, a smaller discount or another method"
    )


def sweep_until_settled(problem: Problem, weight: Floats) -> Solution:
    """Sweep from v = 0 until nothing more is gained: with weights for a policy, without for the optimum."""
    rows, accuracy, tol = problem.rows, problem.accuracy, problem.tol
    v, work, done = np.zeros(problem.n_states), np.empty(problem.n_states), 0
    chunk = 1 if problem.on_sweep else max(1, CHUNK // len(rows.next_state))
    while done < problem.max_sweeps:
        limit = min(chunk, problem.max_sweeps - done)
        n, change, size = iterate(rows, weight, problem.epsilon, v, work, accuracy, tol, limit)
        done += n
        problem.report(done, v)
        if settled(accuracy, change, size, tol):
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
    reward = np.bincount(state, share * rows.paid[rows.code], n_states)
    going = share * rows.going[rows.code]
    if n_states <= DENSE:
        moves = np.bincount(state * n_states + rows.next_state, going, n_states**2).reshape(n_states, n_states)
        return np.asarray(np.linalg.solve(np.eye(n_states) - moves, reward), dtype=np.float64)
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    kept = going > 0
    diagonal = np.arange(n_states)
    entries = np.concatenate([np.ones(n_states), -going[kept]])
    places = np.concatenate([diagonal, state[kept]]), np.concatenate([diagonal, rows.next_state[kept]])
    matrix = csc_array((entries, places), shape=(n_states, n_states))
    return np.asarray(splu(matrix).solve(reward), dtype=np.float64)
