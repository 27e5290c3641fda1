"""Every method of :func:`rlgrid.solve` in one table, and ``auto``, which takes the fastest one for a problem."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf, log
from typing import NamedTuple

import numpy as np

from rlgrid.planning.average_reward import average_reward
from rlgrid.planning.block_gauss_seidel import MOST_PASSES, block_gauss_seidel, proved_at_discount_1
from rlgrid.planning.graph import edges
from rlgrid.planning.linear_system import can_be_eliminated
from rlgrid.planning.modified_policy_iteration import modified_policy_iteration, settled
from rlgrid.planning.policy_iteration import linear_programming, policy_iteration, truncated_policy_iteration
from rlgrid.planning.problem import MethodResult, Problem, gave_up
from rlgrid.planning.stencils import grid_of, outcomes_repeat
from rlgrid.planning.sweeping import backward_induction, gauss_seidel, prioritized_sweeping, value_iteration

#: Outcomes that value iteration may look at, in all its sweeps, before a direct solve is faster.
QUICK_OUTCOMES = 100_000

#: States up to which direct solves are fast whatever the discount.
DIRECT_STATES = 2_000


class Criterion(Enum):
    """What an optimal policy is the best in."""

    DISCOUNTED = "the discounted sum of rewards, at any discount from 0 to 1"
    FINITE_HORIZON = "the same over a number of steps"
    AVERAGE_REWARD = "the mean reward a step in the long run"


class Method(NamedTuple):
    """A way to an optimum."""

    solve: Callable[[Problem], MethodResult]
    criterion: Criterion = Criterion.DISCOUNTED
    improves: bool = False  # policies, beginning with a given one
    at_once: Callable[[Problem], MethodResult | None] | None = None  # at discount 1: an attempt without the graph


def auto(problem: Problem) -> MethodResult:
    """The fastest method known for a problem's size and structure.

    A few quick sweeps where these are enough, policy iteration on small problems, block Gauss-Seidel on grids, modified
    policy iteration on the rest; where that does not settle, policy iteration if a direct solve fits the memory, and
    Gauss-Seidel if not.
    """
    if problem.n_states <= DIRECT_STATES:
        quick = _sweeps_needed(problem) * len(problem.rows.next_state) <= QUICK_OUTCOMES
        return _solve_by("value_iteration" if quick else "policy_iteration", problem)
    if outcomes_repeat(problem):
        grid = grid_of(problem)
        found = block_gauss_seidel(problem, grid, min(MOST_PASSES, problem.max_sweeps)) if grid else None
        if found is not None:
            return found._replace(method="block_gauss_seidel")
    if (found := settled(problem)) is not None:
        return found._replace(method="modified_policy_iteration")
    _, state, next_state = edges(problem.rows, np.diff(problem.rows.first) > 0)
    direct = can_be_eliminated(state, next_state, problem.n_states)
    return _solve_by("policy_iteration" if direct else "gauss_seidel", problem)


def auto_at_once(problem: Problem) -> MethodResult | None:
    """Large grids at discount 1 by block Gauss-Seidel, with its own proof; ``None`` where the graph has to be known."""
    found = blocks_at_once(problem) if problem.n_states > DIRECT_STATES else None
    return found and found._replace(method="block_gauss_seidel")


def blocks_at_once(problem: Problem) -> MethodResult | None:
    """Block Gauss-Seidel at discount 1; ``None`` where there is no stencil, or no proof without the graph."""
    grid = grid_of(problem)
    return proved_at_discount_1(problem, grid, min(MOST_PASSES, problem.max_sweeps)) if grid else None


def _sweeps_needed(problem: Problem) -> float:
    """About how many sweeps value iteration takes; more than are quick at discount 1."""
    beta = problem.accuracy.contraction
    if 0.0 < beta < 1.0:
        return log(problem.tol * (1.0 - beta)) / log(beta)
    return 1.0 if beta == 0.0 else inf


def blocks_or_states(problem: Problem) -> MethodResult:
    """Block Gauss-Seidel; plain Gauss-Seidel where cells are too different for a stencil."""
    grid = grid_of(problem)
    if grid is None:
        return _solve_by("gauss_seidel", problem)
    found = block_gauss_seidel(problem, grid, problem.max_sweeps)
    if found is None and problem.on_limit == "return":
        return _solve_by("gauss_seidel", problem)
    if found is None:
        raise gave_up(problem.max_sweeps)
    return found


def _solve_by(name: str, problem: Problem) -> MethodResult:
    return METHODS[name].solve(problem)._replace(method=name)


METHODS: dict[str, Method] = {
    "auto": Method(auto, at_once=auto_at_once),
    "value_iteration": Method(value_iteration),
    "gauss_seidel": Method(gauss_seidel),
    "block_gauss_seidel": Method(blocks_or_states, at_once=blocks_at_once),
    "prioritized_sweeping": Method(prioritized_sweeping),
    "policy_iteration": Method(policy_iteration, improves=True),
    "modified_policy_iteration": Method(modified_policy_iteration),
    "truncated_policy_iteration": Method(truncated_policy_iteration, improves=True),
    "linear_programming": Method(linear_programming),
    "backward_induction": Method(backward_induction, Criterion.FINITE_HORIZON),
    "average_reward": Method(average_reward, Criterion.AVERAGE_REWARD),
}
