"""Phase diagrams: which policies are optimal as two numbers of a world change."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.analysis.phase_picture import PhaseDiagram, deepest_point
from rlgrid.analysis.phases import ParametricWorld, Point, finite_optimum, is_optimal_at
from rlgrid.errors import InputError, numbers
from rlgrid.planning.plan import Plan
from rlgrid.planning.solve import solve
from rlgrid.worlds.parameters import checked_path, with_number
from rlgrid.worlds.world import World


def phase_diagram(
    world: World, x: tuple[str, ArrayLike], y: tuple[str, ArrayLike], *, discount: float | None = None
) -> PhaseDiagram:
    """Solve a world on a grid of two of its numbers, and find the regions with one set of optimal policies each.

    Args:
        world: the world; its other numbers stay as they are.
        x: a number, as in :func:`rlgrid.with_number`, and its values [N].
        y: another one, and its values [M].
        discount: by default the world's own, else 0.99.

    Points are compared with the phases found so far: one belongs to a phase whose policy is optimal there. A point
    where two phases meet counts as one of them.

    Raises:
        InputError: for a number that the world does not have, or values that are not allowed.

    >>> import rlgrid
    >>> steps, gammas = np.linspace(-1, -0.1, 4), [0.5, 0.9]
    >>> rlgrid.phase_diagram(rlgrid.load_world("book_grid"), ("reward.step", steps), ("discount", gammas)).labels.T
    array([[1, 2, 0, 3],
           [1, 2, 0, 0]])
    """
    paths, values = (checked_path(x[0]), checked_path(y[0])), (_values(*x), _values(*y))
    if paths[0] == paths[1]:
        raise InputError(f"{paths[0]}: found it twice; allowed: two different numbers")
    labels = np.full((len(values[0]), len(values[1])), -1)
    found: list[tuple[NDArray[np.float64], list[tuple[int, int]]]] = []
    # The discount is the inner one, so that one model serves a whole row of points.
    swapped = paths[0] == "discount"
    outer, inner = (1, 0) if swapped else (0, 1)
    for i, a in enumerate(values[outer].tolist()):
        parametric = ParametricWorld(with_number(world, paths[outer], a), paths[inner], discount)
        near = 0
        for j, b in enumerate(values[inner].tolist()):
            at = (j, i) if swapped else (i, j)
            if (point := _point(parametric, b)) is None:
                continue
            order = sorted(range(len(found)), key=lambda label: label != near)
            near = next((label for label in order if _belongs(point, found[label][0])), len(found))
            if near == len(found):
                found.append((point.plan.policy, []))
            found[near][1].append(at)
            labels[at] = near
    rank = np.argsort([-len(members) for _, members in found], kind="stable")
    labels = np.append(np.argsort(rank), -1)[labels]
    plans = [_plan_within(world, paths, values, labels == k, discount) for k in range(len(found))]
    return PhaseDiagram(world, paths, values, labels, plans)


def _values(path: str, values: ArrayLike) -> NDArray[np.float64]:
    array = numbers(path, values, "two or more, in increasing order")
    if array.ndim != 1 or len(array) < 2 or not (np.diff(array) > 0).all():
        raise InputError(f"{path}: found values of shape {array.shape}; allowed: two or more, in increasing order")
    return array


def _point(parametric: ParametricWorld, value: float) -> Point | None:
    """The optimum at a point, where it is finite."""
    model, discount = parametric.model_at(value)
    try:
        return Point(value, model, discount, finite_optimum(model, discount))
    except InputError:
        return None


def _belongs(point: Point, policy: NDArray[np.float64]) -> bool:
    """Whether a policy is optimal at a point; its actions are looked at first, which costs nothing."""
    return not (policy > 0)[~point.plan.optimal_actions].any() and is_optimal_at(policy, point)


def _plan_within(
    world: World,
    paths: tuple[str, str],
    values: tuple[NDArray[np.float64], NDArray[np.float64]],
    region: NDArray[np.bool_],
    discount: float | None,
) -> Plan:
    (i, j), _ = deepest_point(region)
    for path, value in zip(paths, (values[0][i], values[1][j]), strict=True):
        world = with_number(world, path, float(value))
    return solve(world, "policy_iteration", discount=world.discount if "discount" in paths else discount)
