"""Block Gauss-Seidel: sweeps over a stencil, outwards from where reward comes in.

Passes stay within a window of blocks of cells that still move. Below discount 1 the values are certified by how far a
backup moves them; at discount 1 by the theorem of :mod:`rlgrid.planning.inductive_proof`, without a look at the graph.
"""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Floats
from rlgrid.kernels.stencil import Stencil, guess, relax, residual
from rlgrid.kernels.sweeps import OUTWARD, error_bound, slack, sweep
from rlgrid.models.model import TabularModel
from rlgrid.models.tables import TIE
from rlgrid.planning.inductive_proof import MOST_DEVIATION, bound_from_costs
from rlgrid.planning.problem import MethodResult, Problem
from rlgrid.planning.stencils import Grid, grid_of

#: Passes after which ``auto`` gives it up: values then go round in circles for long.
MOST_PASSES = 2_000

#: Passes between two chances to interrupt.
PASSES = 64

#: A tolerance that is never met; and the relative error of what counts as found.
LEAST_TOL, CLOSE = 1e-250, 1e-9

#: The margin of the two vectors around v at discount 1, in residuals of v.
MARGIN = 8.0

#: Passes for each of these vectors, in those that finding v took, before they are given up.
PATIENCE = 8


def block_gauss_seidel(problem: Problem, grid: Grid, limit: int) -> MethodResult | None:
    """Gauss-Seidel by blocks on a stencil; ``None`` where so many passes were not enough.

    Below discount 1 until the values are certified, else until only rounding moves them.
    """
    stencil, accuracy = grid.stencil, grid.accuracy
    beta = accuracy.contraction
    passes = _Passes(problem, grid, limit)
    v = passes.first_values()
    theta = problem.tol * (1.0 - beta) / 4.0 if beta < 1.0 else problem.tol / 1e3
    while True:
        if not passes.settle(v, theta):
            return None
        change, size = residual(stencil, v)
        rounding = slack(accuracy, size)
        if beta < 1.0 and error_bound(accuracy, change, size) <= problem.tol:
            return MethodResult(passes.all_states(v), error_bound(accuracy, change, size), passes.made)
        if change <= 2.0 * rounding:
            return _swept(problem, passes.all_states(v), passes.made)
        theta = max(min(theta, change) / 8.0, rounding / 16.0)


def proved_at_discount_1(problem: Problem, grid: Grid, limit: int) -> MethodResult | None:
    """Values at discount 1 with a proven bound, at most ``tol`` where float64 can; ``None`` where there is no proof.

    Then the optimum may be infinite, cells between which one can move for free may be worth less than they seem, or
    rewards of both signs may be too close to each other.
    """
    if not (grid.ends and (grid.costs.some or len(problem.weight))):  # a policy that can end everywhere does end
        return None
    stencil, accuracy = grid.stencil, grid.accuracy
    passes = _Passes(problem, grid, limit)
    v = passes.first_values()
    theta = _first_change(problem, grid, v)
    while passes.settle(v, theta):
        change, size = residual(stencil, v)
        rounding = slack(accuracy, size)
        bound = bound_from_costs(grid.costs, OUTWARD * (change + rounding), float(v.min()))
        if bound == np.inf and grid.costs.deviation <= MOST_DEVIATION:
            bound = _bound_from_neighbours(grid, passes, v, change, rounding)
        if bound <= problem.tol or (change <= 2.0 * rounding and bound < np.inf):
            ties = 4.0 * (change + rounding + TIE * (accuracy.reward + size))
            return MethodResult(passes.all_states(v), bound, passes.made, surely_ends=ties < grid.costs.closed)
        if change <= 2.0 * rounding:
            return None
        theta = max(min(theta, change) * min(0.125, problem.tol / (4.0 * bound)), rounding / 16.0)
    return None


def collected(model: TabularModel, policy: Floats, reward: Floats) -> Floats | None:
    """What a policy [S, A] collects until it ends where each step pays ``reward`` [S], as closely as float64 can tell.

    ``None`` where that is not proven to 1e-9 of the largest value, or of a reward.
    """
    problem = Problem(model, None, 1.0, None, 0.0, LEAST_TOL, MOST_PASSES, None, weight=policy.ravel())
    grid = grid_of(problem, reward)
    found = proved_at_discount_1(problem, grid, MOST_PASSES) if grid else None
    if found is None or not found.bound <= CLOSE * max(float(np.abs(found.v).max()), float(np.abs(reward).max())):
        return None
    return found.v


def _first_change(problem: Problem, grid: Grid, v: Floats) -> float:
    """The change at which to look at the bound first, from first values: what they say of the length of episodes."""
    cost = grid.costs.closed
    if not 0 < cost < np.inf:
        return problem.tol / 1e3
    return 0.25 * problem.tol * cost / (cost + grid.costs.greatest - float(v.min()))


def _bound_from_neighbours(grid: Grid, passes: _Passes, v: Floats, change: float, rounding: float) -> float:
    """A bound on |v - v*| from the optima with a little more, and a little less, reward a step; infinity: no proof.

    Where q_u + more <= u + moved and moved + rounding < more, u - q_u is positive; likewise for l.
    """
    more, far = MARGIN * (change + rounding), 0.0
    limit, passes.limit = passes.limit, min(passes.limit, (1 + PATIENCE) * passes.made + PASSES)
    for side in (more, -more):
        w = v.copy()
        if not passes.settle(w, more / (2.0 * MARGIN), side):
            far = np.inf
            break
        moved, size = residual(with_more(grid.stencil, side), w)
        if not moved + slack(grid.accuracy, size) < more / OUTWARD:
            far = np.inf
            break
        far = max(far, float(np.abs(w - v).max()))
    passes.limit = limit
    return OUTWARD * far


def with_more(stencil: Stencil, more: float) -> Stencil:
    """The same with so much more reward in every step."""
    return stencil._replace(constant=stencil.constant + more / stencil.moving)


def _swept(problem: Problem, v: Floats, passes: int) -> MethodResult:
    """The result of one more sweep over all outcomes, whose rounding errors are smaller: as close as float64 comes."""
    out, accuracy = np.empty_like(v), problem.accuracy
    change, size = sweep(problem.rows, problem.weight, problem.epsilon, v, out)
    return MethodResult(out, error_bound(accuracy, accuracy.contraction * change, size), passes)


class _Passes:
    """Passes over a stencil, counted."""

    def __init__(self, problem: Problem, grid: Grid, limit: int) -> None:
        self.problem, self.grid, self.limit, self.made = problem, grid, limit, 0
        self._choice = np.full(len(grid.order), -1, np.int32)

    def first_values(self) -> Floats:
        """A first guess, [m + 1]; the last one is that of all states that are worth 0."""
        v = np.zeros(len(self.grid.order) + 1)
        guess(self.grid.stencil, v)
        return v

    def settle(self, v: Floats, theta: float, more: float = 0.0) -> bool:
        """Sweep until no state moves by more than theta, with ``more`` reward a step; False where that fails."""
        links = self.grid.links
        stencil = with_more(self.grid.stencil, more) if more != 0.0 else self.grid.stencil
        active, foreseen, low = np.ones(len(links), np.bool_), np.zeros(len(links), np.int32), 0
        while low < len(active):
            if self.made >= self.limit:
                return False
            most = min(PASSES, self.limit - self.made)
            low, made = relax(stencil, v, self._choice, active, links, low, theta, most, foreseen)
            self.made += made
            if self.problem.on_sweep and more == 0.0:
                self.problem.report(self.made, self.all_states(v))
        return bool(np.isfinite(v).all())

    def all_states(self, v: Floats) -> Floats:
        """Values [m + 1] in the order of the passes, for all states."""
        values = np.zeros(self.problem.n_states)
        values[self.grid.order] = v[:-1]
        return values
