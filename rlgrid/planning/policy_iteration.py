"""Methods that improve policies: policy iteration, truncated policy iteration, linear programming."""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.kernels.sweeps import NO_WEIGHT, choose_rows, converged, iterate
from rlgrid.models.tables import TIE
from rlgrid.planning.certificate import certified
from rlgrid.planning.graph import uniform_weights
from rlgrid.planning.linear_program import basic_policy
from rlgrid.planning.linear_system import policy_values
from rlgrid.planning.problem import MethodResult, Problem, gave_up


def policy_iteration(problem: Problem) -> MethodResult:
    """Direct solves and improvements, from the uniform policy or one that ends (Zhao, Alg. 4.2)."""
    _, v, k, change, size = policy_iterations(problem, None if problem.collapsed is None else problem.collapsed.ending)
    return MethodResult(v, certified(problem.model, problem.accuracy, change, size, problem.tol), k)


def linear_programming(problem: Problem) -> MethodResult:
    """The linear program finds a policy, a direct solve its values; policy iteration makes sure that it is optimal."""
    choice, pivots = basic_policy(problem.rows, problem.epsilon, problem.model.name)
    _, v, _, change, size = policy_iterations(problem, choice)
    return MethodResult(v, certified(problem.model, problem.accuracy, change, size, problem.tol), pivots)


def policy_iterations(problem: Problem, choice: Ints | None) -> tuple[Ints, Floats, int, float, float]:
    """Policy iteration from the rows chosen [Q], or from the uniform policy.

    It stops when the greedy policy no longer changes, or is one of those before it: rounding alone leads back there.
    Returns the last choice, its values [Q], the number of policies evaluated, max |T v - v| and max |v|.
    """
    weight = uniform_weights(problem.rows) if choice is None else problem.soft(choice)
    choice = np.full(problem.n_states, -1) if choice is None else choice
    # At discount 1 a row that is better by rounding only could lead away from every end.
    tie = problem.accuracy.rounding if problem.collapsed is None else TIE
    seen = {choice.tobytes()}
    for k in range(1, problem.max_sweeps + 1):
        v = policy_values(problem.rows, weight)
        problem.report(k, v)
        greedy = choice.copy()
        change, size = choose_rows(problem.rows, problem.epsilon, v, greedy, tie)
        if (found := greedy.tobytes()) in seen:
            return (choice if (choice >= 0).all() else greedy), v, k, change, size
        seen.add(found)
        choice, weight = greedy, problem.soft(greedy)
    raise gave_up(problem.max_sweeps)


def truncated_policy_iteration(problem: Problem) -> MethodResult:
    """Some sweeps for each policy, then an improvement (Zhao, Alg. 4.3); a last sweep of T makes the values certain.

    From the uniform policy and v = 0, or at discount 1 from a policy that ends and its values: as these are at most
    T v, convergence is monotone, while from other values it is not certain at discount 1.
    """
    rows, epsilon, accuracy = problem.rows, problem.epsilon, problem.accuracy
    if problem.collapsed is None:
        weight, v = uniform_weights(rows), np.zeros(problem.n_states)
    else:
        weight = problem.soft(problem.collapsed.ending)
        v = policy_values(rows, weight)
    choice, work = np.full(problem.n_states, -1), np.empty_like(v)
    for k in range(1, problem.max_sweeps + 1):
        iterate(rows, weight, 0.0, v, work, accuracy, -1.0, problem.evaluation_sweeps)
        problem.report(k, v)
        change, size = choose_rows(rows, epsilon, v, choice, 0.0)
        if converged(accuracy, change, size, problem.tol):
            iterate(rows, NO_WEIGHT, epsilon, v, work, accuracy, -1.0, 1)
            bound = certified(problem.model, accuracy, accuracy.contraction * change, size, problem.tol)
            return MethodResult(v, bound, k)
        weight = problem.soft(choice)
    raise gave_up(problem.max_sweeps)
