"""Methods that sweep: value iteration, Gauss-Seidel, prioritized sweeping, backward induction; evaluation by sweeps."""

from __future__ import annotations

import numpy as np

from rlgrid.kernels.queue import back_up_first, empty_queue, fill_queue
from rlgrid.kernels.sweeps import NO_WEIGHT, OUTWARD, converged, error_bound, iterate, slack, sweep, sweep_in_place
from rlgrid.planning.graph import predecessors
from rlgrid.planning.problem import MethodResult, Problem

#: Outcomes looked at between two chances to interrupt.
CHUNK = 2**24


def value_iteration(problem: Problem) -> MethodResult:
    """Synchronous sweeps from v = 0 (Zhao, Alg. 4.1); of a given policy: iterative policy evaluation."""
    rows, weight, accuracy, tol = problem.rows, problem.weight, problem.accuracy, problem.tol
    v, work, done = np.zeros(problem.n_states), np.empty(problem.n_states), 0
    chunk = 1 if problem.on_sweep else max(1, CHUNK // len(rows.next_state))
    while done < problem.max_sweeps:
        limit = min(chunk, problem.max_sweeps - done)
        n, change, size = iterate(rows, weight, problem.epsilon, v, work, accuracy, tol, limit)
        done += n
        problem.report(done, v)
        if converged(accuracy, change, size, tol):
            bound = error_bound(problem.accuracy, accuracy.contraction * change, size)
            return MethodResult(v, bound, done)
    return problem.at_limit(v, accuracy.contraction * change, size, done)


def backward_induction(problem: Problem) -> MethodResult:
    """v_k = T v_(k-1) from v_0 = 0 (Puterman, Sec. 4.5); the error bound grows by the rounding of each backup."""
    assert problem.horizon is not None
    v, before, error = np.zeros(problem.n_states), np.zeros(problem.n_states), 0.0
    for k in range(1, problem.horizon + 1):
        v, before = before, v
        _, size = sweep(problem.rows, NO_WEIGHT, problem.epsilon, before, v)
        error = OUTWARD * (problem.accuracy.contraction * error + slack(problem.accuracy, size))
        problem.report(k, v)
    return MethodResult(v, error, problem.horizon, before)


def gauss_seidel(problem: Problem) -> MethodResult:
    """In-place sweeps over the states in order, from v = 0: a backup reads the values that the same sweep has changed.

    In the maximum norm such a sweep is as much of a contraction as a synchronous one, so the same bounds hold.
    """
    v, tol, accuracy = np.zeros(problem.n_states), problem.tol, problem.accuracy
    for k in range(1, problem.max_sweeps + 1):
        change, size = sweep_in_place(problem.rows, problem.weight, problem.epsilon, v)
        problem.report(k, v)
        if converged(accuracy, change, size, tol):
            return MethodResult(v, error_bound(problem.accuracy, accuracy.contraction * change, size), k)
    return problem.at_limit(v, accuracy.contraction * change, size, k)


def prioritized_sweeping(problem: Problem) -> MethodResult:
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
                change, size = sweep(rows, NO_WEIGHT, problem.epsilon, v, work)
                return problem.at_limit(v, change, size, k)
            back_up_first(rows, *before, problem.epsilon, v, queue, theta, n)
            k += 1
            problem.report(k, v)
        change, size = sweep(rows, NO_WEIGHT, problem.epsilon, v, work)
        if converged(accuracy, change, size, problem.tol):
            bound = error_bound(problem.accuracy, beta * change, size)
            return MethodResult(work, bound, max(k, 1))
        theta = max(min(theta, change) / 8.0, slack(accuracy, size) / 8.0)
