"""Methods that improve policies: policy iteration, truncated policy iteration, linear programming."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.kernels.sweeps import NO_WEIGHT, choose_rows, converged, error_bound, iterate
from rlgrid.models.tables import TIE
from rlgrid.planning.chain import discounted_values, values_of_weights
from rlgrid.planning.graph import uniform_weights
from rlgrid.planning.linear_program import basic_policy
from rlgrid.planning.problem import MethodResult, Problem


class Improved(NamedTuple):
    """Where policy iteration stopped."""

    choice: Ints  # [Q] the last policy
    v: Floats  # [Q] its values
    policies: int  # evaluated
    change: float  # max |T v - v|
    size: float  # max |v|
    settled: bool  # False: ``max_sweeps`` stopped it


def policy_iteration(problem: Problem) -> MethodResult:
    """Direct solves and improvements (Zhao, Alg. 4.2): from a given policy, the uniform one, or one that ends."""
    found = policy_iterations(problem)
    return _result(problem, found, found.policies)


def linear_programming(problem: Problem) -> MethodResult:
    """The linear program finds a policy, a direct solve its values; policy iteration makes sure that it is optimal."""
    choice, pivots = basic_policy(problem.rows, problem.epsilon, problem.model.name)
    return _result(problem, policy_iterations(problem, choice), pivots)


def policy_iterations(problem: Problem, choice: Ints | None = None) -> Improved:
    """Policy iteration from the rows chosen [Q], or else from the problem's first policy.

    It stops when the greedy policy no longer changes, or is one of those before it: rounding alone leads back there.
    """
    if choice is None and problem.first is None and problem.collapsed is not None:
        choice = problem.collapsed.ending
    weight = _first_policy(problem) if choice is None else problem.soft(choice)
    if choice is None:
        sure = np.flatnonzero(weight == 1.0)
        choice = sure if len(sure) == problem.n_states else np.full(problem.n_states, -1)
    # At discount 1 a row that is better by rounding only could lead away from every end.
    tie = problem.accuracy.rounding if problem.collapsed is None else TIE
    seen = {choice.tobytes()}
    for k in range(1, problem.max_sweeps + 1):
        v = _values(problem, weight)
        problem.report(k, v)
        greedy = choice.copy()
        change, size = choose_rows(problem.rows, problem.epsilon, v, greedy, tie)
        settled = (found := greedy.tobytes()) in seen
        if settled:
            break
        seen.add(found)
        choice, weight = greedy, problem.soft(greedy)
    return Improved(choice if (choice >= 0).all() else greedy, v, k, change, size, settled)


def truncated_policy_iteration(problem: Problem) -> MethodResult:
    """Some sweeps for each policy, then an improvement (Zhao, Alg. 4.3); a last sweep of T makes the values certain.

    From v = 0, or at discount 1 from the values of the first policy: as these are at most T v, convergence is monotone,
    while from other values it is not certain at discount 1.
    """
    rows, epsilon, accuracy = problem.rows, problem.epsilon, problem.accuracy
    weight = _first_policy(problem)
    v = np.zeros(problem.n_states) if problem.collapsed is None else _values(problem, weight)
    choice, work = np.full(problem.n_states, -1), np.empty_like(v)
    for k in range(1, problem.max_sweeps + 1):
        iterate(rows, weight, 0.0, v, work, accuracy, -1.0, problem.evaluation_sweeps)
        problem.report(k, v)
        if problem.collapsed is None:
            choice[:] = -1  # of actions that are equally good the first
        change, size = choose_rows(rows, epsilon, v, choice, TIE)
        if converged(accuracy, change, size, problem.tol):
            iterate(rows, NO_WEIGHT, epsilon, v, work, accuracy, -1.0, 1)
            bound = error_bound(problem.accuracy, accuracy.contraction * change, size)
            return MethodResult(v, bound, k)
        weight = problem.soft(choice)
    return problem.at_limit(v, change, size, k)


def _first_policy(problem: Problem) -> Floats:
    """Probability of each row [R] under the policy to begin with."""
    if problem.first is not None:
        return problem.first
    return uniform_weights(problem.rows) if problem.collapsed is None else problem.soft(problem.collapsed.ending)


def _values(problem: Problem, weight: Floats) -> Floats:
    """The values [Q] of a policy that takes each row with a probability [R]; at discount 1 one that ends."""
    if problem.collapsed is None:
        return discounted_values(problem.model, problem.rows, problem.discount, weight)
    return values_of_weights(problem.model, problem.rows, 1.0, weight).v


def _result(problem: Problem, found: Improved, iterations: int) -> MethodResult:
    if not found.settled:
        return problem.at_limit(found.v, found.change, found.size, iterations)
    bound = error_bound(problem.accuracy, found.change, found.size)
    return MethodResult(found.v, bound, iterations)
