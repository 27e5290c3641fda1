"""Certificates: how far computed values can be from v*, rounding included.

Below discount 1 the residual max |T v - v| bounds the error (:func:`rlgrid.kernels.sweeps.error_bound`); at
discount 1 values from above and from below enclose v* (:func:`enclosure`). Both hold for the numbers as they are
stored and for those that they were rounded from.
"""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import (
    NO_WEIGHT,
    Accuracy,
    Rows,
    count_steps,
    measure,
    raise_steps,
    slack,
    sweep,
)
from rlgrid.models.model import TabularModel
from rlgrid.models.tables import ROW_SUM_TOLERANCE
from rlgrid.planning.graph import closed_rows, end_components, values_of_rows

#: No more sweeps than this for the expected steps, however small the model.
MOST_SWEEPS = 20_000

#: Unit roundoff of float64.
UNIT = 2.0**-53

#: Relative change of the expected steps at which quick passes end.
QUICK_CHANGE = 1e-9

#: Actions within this of the best, relative to the largest value or reward, count as nearly optimal; the largest that
#: serves is taken.
NEARLY = (1e-7, 1e-10, 1e-13, 1e-15)

#: Outcomes to look at for the expected steps to an end, whatever finding the values took, before these are given up:
#: some seconds.
MOST_OUTCOMES = 2**29


def accuracy_of(model: TabularModel, rows: Rows, discount: float, *, mixed: bool) -> Accuracy:
    """How accurate a backup of these rows is; ``mixed`` where it averages over the rows of a state."""
    return accuracy_from(model, measure(rows), discount, mixed=mixed)


def accuracy_from(
    model: TabularModel, measured: tuple[float, float, int, int], discount: float, *, mixed: bool
) -> Accuracy:
    """The same of rows that :func:`rlgrid.kernels.sweeps.measure` has gone over."""
    continuation, reward, longest, widest = measured
    rounding = rounding_of(longest, widest if mixed else 0)
    accuracy = Accuracy(continuation * (1 + 2 * rounding), reward * (1 + 2 * rounding), rounding)
    if discount == 1 and continuation > 1 - 2 * ROW_SUM_TOLERANCE:  # such a row goes on for sure, whatever its sum says
        accuracy = accuracy._replace(contraction=max(1.0, accuracy.contraction))
    if not accuracy.reward <= 1e150:
        raise InputError(f"{model.name}: a reward is as large as {reward:g}; allowed: up to 1e150")
    return accuracy


def rounding_of(longest: int, widest: int) -> float:
    """Relative rounding error of a backup over rows of so many outcomes, and a mixture of so many rows (0: of none).

    An outcome's terms carry at most 6 roundings (of probability, reward or discount, two products, and a weight), a
    row of n outcomes 2 n additions, a mixture of A rows A + 4 more operations. k roundings make a relative error of
    at most k u / (1 - k u) (Higham, Accuracy and Stability of Numerical Algorithms, Lemma 3.1).
    """
    k = (6 + 2 * longest + (widest + 4 if widest else 0)) * UNIT
    return k / (1 - k)


def enclosure(rows: Rows, accuracy: Accuracy, epsilon: float, v: Floats, sweeps: int) -> float:
    """A proven bound on max |v - v*| in a collapsed model, or infinity where none was found.

    ``sweeps`` is how many finding v has taken; x below may take about four times as many, or some seconds.

    Theorem. In a collapsed model, u >= T u implies u >= v*, and l <= T l implies l <= v*.
    Proof. For every policy that ends, u >= T u >= T_policy u >= ... >= T_policy^k u -> v_policy; and v* is the
    supremum of these. Take a policy with T_policy l = T l >= l, so T_policy^k l >= l for all k: if it did not end,
    T_policy^k l would go to minus infinity somewhere; so it ends, and v* >= v_policy = lim T_policy^k l >= l.

    Candidates are v + d x and v - d x, where x are the most expected steps to an end under actions that are nearly
    optimal: T changes d x by about -d for these, which pays for residual and rounding. What is returned rests on the
    two inequalities alone, checked with the rounding error of the check added.
    """
    out = np.empty_like(v)
    change, size = sweep(rows, NO_WEIGHT, epsilon, v, out)
    near = _nearly_optimal(rows, epsilon, v, max(size, accuracy.reward))
    if near is None:
        return np.inf
    x, pace = _most_steps(rows, epsilon, v, near, 4 * sweeps + MOST_OUTCOMES // len(rows.next_state))
    if not pace > 0:
        return np.inf
    step = 1.05 * (change + 4.0 * slack(accuracy, 2.0 * size)) / pace
    upper, lower = v + step * x, v - step * x
    _, size = sweep(rows, NO_WEIGHT, epsilon, upper, out)
    above = (out + 2.0 * slack(accuracy, size) <= upper).all()
    _, size = sweep(rows, NO_WEIGHT, epsilon, lower, out)
    below = (out - 2.0 * slack(accuracy, size) >= lower).all()
    if not (above and below):
        return np.inf
    return float(max((upper - v).max(), (v - lower).max()) * (1.0 + 2.0**-50))


def _nearly_optimal(rows: Rows, epsilon: float, v: Floats, size: float) -> Bools | None:
    """Rows [R] that are within some margin of the best, with which every policy ends; ``None`` where there are none."""
    q, best = values_of_rows(rows, v)
    closed = closed_rows(rows)
    for margin in NEARLY:
        near: Bools = q >= best - margin * size
        if epsilon > 0 or (end_components(rows, near & closed) < 0).all():  # else x would be infinite
            return near
    return None


def _most_steps(rows: Rows, epsilon: float, v: Floats, near: Bools, limit: int) -> tuple[Floats, float]:
    """About the most expected steps x [Q] to an end by the rows that are near the best, and min (x - P x).

    The minimum is 0 where no such x was found.
    """
    x, out = np.full_like(v, 1e-300), np.empty_like(v)
    if epsilon == 0.0:
        order = np.argsort(-v, kind="stable")  # from where it is best outwards, so that a pass sees what it has found
        for _ in range(min(limit, MOST_SWEEPS)):
            if raise_steps(rows, near, order, x) <= QUICK_CHANGE:
                break
    for _ in range(min(limit, MOST_SWEEPS)):
        change = count_steps(rows, near, epsilon, x, out)
        if change <= 0.5:
            return x, 1.0 - change
        x, out = out, x
    return x, 0.0
