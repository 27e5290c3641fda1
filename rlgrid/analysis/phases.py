"""Phases: the ranges of a world's numbers in which the optimal policies stay the same.

As a number of the world changes, an optimal policy stays optimal for a while. ``phases`` finds these intervals of one
number; :func:`rlgrid.phase_diagram` finds the regions of two.

Between two values a and b with optimal policies p and q the search looks where v_p and v_q, summed over the states, are
equal. If p is still optimal there, this is the one point at which the optimum changes; if not, some third policy is
better there, and both halves are searched in the same way. The value of a policy is affine in a reward, so that v*, the
maximum over policies, is convex and piecewise affine in it. Then a policy that is optimal at a and at b is optimal
between them, and this search, the method of Eisner and Severance (Mathematical techniques for efficient record
segmentation in large shared databases, Journal of the ACM 23 (1976)), finds every phase. Values are rational functions
of a discount or a probability, and a policy may become optimal again: there the search begins on a grid, and a phase
that lies between two of its points can be missed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats
from rlgrid.errors import InputError, number, shown, whole
from rlgrid.models.checks import resolve_discount
from rlgrid.models.model import TabularModel
from rlgrid.planning.evaluation import evaluate_exact
from rlgrid.planning.plan import Plan
from rlgrid.planning.solve import solve
from rlgrid.worlds.parameters import checked_path, with_number
from rlgrid.worlds.world import World

#: A policy whose values are within this of v*, relative to the largest value, counts as optimal.
OPTIMAL = 1e-9

#: The ends of a range are moved inwards by this share of it: at the very end (a step reward of 0, a slip of 0) all
#: policies may be equally good, or episodes may never end.
INSET = 1e-6

#: Points of a grid: each is a model to be solved.
MOST_SAMPLES = 100_000

#: The search goes no further than to this share of the range.
RESOLUTION = 1e-9

#: Spacing of floats just above 1.
EPS = float(np.finfo(np.float64).eps)


class Phase(NamedTuple):
    """An interval in which the set of optimal policies is one and the same."""

    low: float
    high: float
    plan: Plan  # solved in the middle of the interval

    @property
    def policy(self) -> Floats:
        """An optimal policy, [S, A]."""
        return self.plan.policy

    @property
    def optimal_actions(self) -> NDArray[np.bool_]:
        """All optimal actions, bool [S, A]."""
        return self.plan.optimal_actions


def phases(
    world: World, path: str, between: tuple[float, float], *, discount: float | None = None, samples: int = 33
) -> list[Phase]:
    """The intervals of one number of a world in which the set of optimal policies does not change.

    Args:
        world: the world; its other numbers stay as they are.
        path: the number, as in :func:`with_number`.
        between: the range of the number. Its ends are open: nothing is said about the ends themselves, nor about the
            outermost millionth of the range on either side.
        discount: by default the world's own, else 0.99.
        samples: points of the grid that the search begins on, for a number that is no reward. For a reward (in
            ``reward`` or ``cells``) the ends are enough: no phase can be missed.

    Returns:
        Phases in order; each begins where the one before ends. Where two meet, both their policies are optimal.
        The points are exact up to rounding, and no phase is missed but one that is shorter than 1e-9 of the range, or
        in which the optimum is less than 1e-9 (relative to the largest value) above both neighbours.

    Raises:
        InputError: for a number that the world does not have, a value in the range that is not allowed, or one at which
            the optimum is infinite or undefined.

    >>> import rlgrid
    >>> for phase in phases(rlgrid.load_world("aima_4x3"), "reward.step", (-2, 0))[-3:]:
    ...     print(f"{phase.low:.4f} {phase.high:.4f}")
    -0.0448 -0.0274
    -0.0274 -0.0221
    -0.0221 0.0000
    """
    low, high = _checked_range(checked_path(path), between)
    samples = whole("samples", samples, 2, most=MOST_SAMPLES)
    parametric = ParametricWorld(world, path, discount, RESOLUTION * (high - low))
    inset = INSET * (high - low)
    n_points = 2 if parametric.affine else samples
    points = [parametric.point(value) for value in np.linspace(low + inset, high - inset, n_points).tolist()]
    found: list[_Piece] = []
    for left, right in pairwise(points):
        for piece in parametric.pieces(left, right):
            if found and parametric.same(found[-1], piece):
                found[-1] = found[-1]._replace(high=piece.high)
            else:
                found.append(piece)
    found[0] = found[0]._replace(low=low)
    found[-1] = found[-1]._replace(high=high)
    return [Phase(piece.low, piece.high, parametric.point((piece.low + piece.high) / 2).plan) for piece in found]


class Point(NamedTuple):
    """The world at one value of the number, and its optimum."""

    value: float
    model: TabularModel
    discount: float
    plan: Plan


class _Piece(NamedTuple):
    """An interval with a policy [S, A] that is optimal in it."""

    low: float
    high: float
    policy: Floats


def finite_optimum(model: TabularModel, discount: float) -> Plan:
    """The optimum by policy iteration.

    Raises:
        InputError: where a value is not finite.
    """
    plan = solve(model, "policy_iteration", discount=discount)
    if not np.isfinite(plan.v).all():
        raise InputError(f"{model.name}: from some cells no policy reaches an end; allowed: a discount below 1")
    return plan


class ParametricWorld:
    """A world as a function of one of its numbers.

    Attributes:
        affine: whether the number is a reward, in which the values of a policy are affine.
        resolution: two points of the search are no nearer to each other than this.
    """

    def __init__(self, world: World, path: str, discount: float | None, resolution: float = 0.0) -> None:
        if path == "discount" and discount is not None:
            raise InputError(f"discount: found {discount:g} beside a range of it; allowed: one of them")
        self.world, self.path, self.resolution = world, path, resolution
        self.affine = path.split(".")[0] in ("reward", "cells")
        self.discount = resolve_discount(discount, world.discount)
        self.model = TabularModel.from_world(world)

    def model_at(self, value: float) -> tuple[TabularModel, float]:
        """The model and the discount at a value of the number."""
        if self.path == "discount":
            return self.model, resolve_discount(value)
        return TabularModel.from_world(with_number(self.world, self.path, value)), self.discount

    def point(self, value: float) -> Point:
        """The optimum at a value of the number."""
        model, discount = self.model_at(value)
        try:
            return Point(value, model, discount, finite_optimum(model, discount))
        except InputError as error:
            raise InputError(f"{error} ({self.path} = {value:.6g})") from None

    def same(self, left: _Piece, right: _Piece) -> bool:
        """Whether two neighbouring intervals belong to one phase."""
        if np.array_equal(left.policy, right.policy):
            return True
        return is_optimal_at(left.policy, self.point((right.low + right.high) / 2))

    def pieces(self, left: Point, right: Point) -> list[_Piece]:
        """Pieces from one point to another."""
        p, q = left.plan.policy, right.plan.policy
        if is_optimal_at(p, right):
            return [_Piece(left.value, right.value, p)]
        if is_optimal_at(q, left):
            return [_Piece(left.value, right.value, q)]
        middle = self.point(self._crossing(left, right))
        if right.value - left.value <= self.resolution or (is_optimal_at(p, middle) and is_optimal_at(q, middle)):
            return [_Piece(left.value, middle.value, p), _Piece(middle.value, right.value, q)]
        return self.pieces(left, middle) + self.pieces(middle, right)

    def _crossing(self, left: Point, right: Point) -> float:
        """Where the optimal policies of two points have equal values, summed over the states; else the middle."""
        from scipy.optimize import brentq

        def lead(model: TabularModel, discount: float) -> float:
            """By how much the left policy is better; 0 where neither has a finite value."""
            p, q = (float(_values(model, discount, point.plan.policy).sum()) for point in (left, right))
            return p - q if np.isfinite(p) or np.isfinite(q) else 0.0

        def lead_at(value: float) -> float:
            return lead(*self.model_at(value))

        ends = lead(left.model, left.discount), lead(right.model, right.discount)
        low, high = left.value, right.value
        if ends[0] > 0 > ends[1] and np.isfinite(ends).all():
            margin, width = self.resolution / 2, high - low
            if self.affine:
                root = low + width * ends[0] / (ends[0] - ends[1])
            else:
                root = float(brentq(lead_at, low, high, xtol=1e-15 * width, rtol=4 * EPS))
            if low + margin < root < high - margin:
                return root
        return (low + high) / 2


def _values(model: TabularModel, discount: float, policy: Floats) -> Floats:
    """v_policy [S]; minus infinity where it has no finite value."""
    try:
        return evaluate_exact(model, policy, discount=discount)
    except InputError:
        return np.full(model.n_states, -np.inf)


def is_optimal_at(policy: Floats, point: Point) -> bool:
    """Whether a policy is optimal at a point."""
    v = point.plan.v
    gap = (v - _values(point.model, point.discount, policy)).max()
    return bool(gap <= OPTIMAL * max(1.0, np.abs(v).max()))


def _checked_range(path: str, between: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (number(path, end, lambda _: True, "finite numbers") for end in between)
    except (TypeError, ValueError):
        low = high = np.nan
    if not low < high:
        raise InputError(
            f"{path}: found the range {shown(between)}; allowed: two finite numbers, the smaller one first"
        )
    return low, high
