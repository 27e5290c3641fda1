"""Methods that improve policies: policy iteration, truncated policy iteration, linear programming."""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.kernels.sweeps import NO_WEIGHT, choose_rows, converged, iterate
from rlgrid.models.tables import TIE
from rlgrid.planning.certificate import certified
from rlgrid.planning.graph import uniform_weights
from rlgrid.planning.linear_program import basic_policy
from rlgrid.planning.problem import Problem, Solution, gave_up, solve_linear


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
        if converged(accuracy, change, size, problem.tol):
            iterate(rows, NO_WEIGHT, epsilon, v, work, accuracy, -1.0, 1)
            bound = certified(problem.model, accuracy, accuracy.contraction * change, size, problem.tol)
            return Solution(v, bound, k)
        weight = problem.soft(choice)
    raise gave_up(problem.max_sweeps)
