"""Which method solves a problem fastest; the methods by name."""

from __future__ import annotations

from collections.abc import Callable
from math import log

from rlgrid.planning.block_gauss_seidel import block_gauss_seidel, grid_of
from rlgrid.planning.policy_iteration import linear_programming, policy_iteration, truncated_policy_iteration
from rlgrid.planning.problem import Problem, Solution, gave_up
from rlgrid.planning.sweeping import backward_induction, gauss_seidel, prioritized_sweeping, value_iteration

#: Outcomes that value iteration may look at before a direct solve is faster.
QUICK = 100_000

#: States up to which a direct solve is fast whatever the discount, and up to which it can be done.
FEW, MANY = 2_000, 200_000

#: Passes over a stencil after which values are taken to go round in it.
PATIENCE = 2_000


def auto(problem: Problem) -> Solution:
    """The fastest method known for a problem's size and structure.

    A few quick sweeps where these are enough, policy iteration on small problems, block Gauss-Seidel on grids, and
    Gauss-Seidel on the rest.
    """
    if problem.n_states <= FEW:
        beta = problem.accuracy.contraction
        sweeps = log(problem.tol * (1.0 - beta)) / log(beta) if 0.0 < beta < 1.0 else 1.0 if beta == 0.0 else QUICK
        quick = sweeps * len(problem.rows.next_state) <= QUICK
        return _chosen("value_iteration" if quick else "policy_iteration", problem)
    grid = grid_of(problem)
    found = block_gauss_seidel(problem, grid, min(PATIENCE, problem.max_sweeps)) if grid else None
    if found is not None:
        return found._replace(method="block_gauss_seidel")
    return _chosen("policy_iteration" if problem.n_states <= MANY else "gauss_seidel", problem)


def _chosen(method: str, problem: Problem) -> Solution:
    return METHODS[method](problem)._replace(method=method)


def on_blocks(problem: Problem) -> Solution:
    """Block Gauss-Seidel; plain Gauss-Seidel where cells are too different for a stencil, or epsilon is above 0."""
    grid = grid_of(problem)
    if grid is None:
        return _chosen("gauss_seidel", problem)
    found = block_gauss_seidel(problem, grid, problem.max_sweeps)
    if found is None:
        raise gave_up(problem.max_sweeps)
    return found


METHODS: dict[str, Callable[[Problem], Solution]] = {
    "auto": auto,
    "value_iteration": value_iteration,
    "gauss_seidel": gauss_seidel,
    "block_gauss_seidel": on_blocks,
    "prioritized_sweeping": prioritized_sweeping,
    "policy_iteration": policy_iteration,
    "truncated_policy_iteration": truncated_policy_iteration,
    "linear_programming": linear_programming,
    "backward_induction": backward_induction,
}
