"""What theory says about the variance of a Robbins-Monro recursion: in the limit, and exactly after k updates.

Near a root the recursion is linear in the error e = w - root,

    e  <-  (1 - alpha_k c) e  -  alpha_k eta,

with c the slope of g at the root and eta the noise, of variance sigma^2. Everything here is about this one line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import number, whole
from rlgrid.rules.step_sizes import Constant, Harmonic, Polynomial, StepSize, as_step_size, rate


class Prediction(NamedTuple):
    """A limit: ``k**power`` times the variance after k updates goes to ``variance``.

    ``variance`` is ``None`` where theory gives no such limit. ``reason`` is the formula, or why there is none.
    """

    variance: float | None
    power: float
    reason: str


def no_prediction(reason: str) -> Prediction:
    """A prediction that cannot be made, with the reason."""
    return Prediction(None, 0.0, reason)


def asymptotic_variance(
    step_size: StepSize | float, slope: float, noise_variance: float, *, averaged: bool = False
) -> Prediction:
    """The variance of the iterate, or of the average of the iterates, after many updates.

    Args:
        step_size: of update k; a number is a constant one.
        slope: c = g'(root).
        noise_variance: sigma^2.
        averaged: of the average of the iterates instead of the iterate itself.

    Sources: Chung, On a stochastic approximation method, Ann. Math. Statist. 25 (1954), for harmonic and polynomial
    steps; Polyak and Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control Optim. 30
    (1992), Theorem 1, for averages; the stationary variance of a first-order autoregression for constant steps.

    >>> asymptotic_variance(Harmonic(2.0), slope=1.0, noise_variance=1.0)
    Prediction(variance=1.3333333333333333, power=1.0, reason='k Var -> a^2 sigma^2 / (2 a c - 1)')
    >>> asymptotic_variance(Harmonic(0.25), 1.0, 1.0).reason
    'with 2 a c = 0.5 (above 1 is needed) the variance falls more slowly than 1/k'
    """
    step_size = as_step_size(step_size)
    if not 0 < slope < np.inf:
        return no_prediction(f"the slope is {slope:.3g}, and only a root where g rises attracts the iterates")
    if isinstance(step_size, Constant):
        return _constant(step_size.alpha, slope, noise_variance, averaged)
    power = 1.0 if isinstance(step_size, Harmonic) else step_size.power
    if averaged:
        if not 0.5 < power < 1:
            return no_prediction("averaging has a limit of its own only for steps a / k^power with 1/2 < power < 1")
        return Prediction(noise_variance / slope**2, 1.0, "k Var -> sigma^2 / c^2, the least possible")
    if power > 1 or power == 0:
        return no_prediction(f"steps a / k^{power:g} do not settle at the root")
    if power < 1:
        return Prediction(step_size.a * noise_variance / (2 * slope), power, "k^power Var -> a sigma^2 / (2 c)")
    twice = 2 * step_size.a * slope
    if twice <= 1:
        return no_prediction(f"with 2 a c = {twice:.3g} (above 1 is needed) the variance falls more slowly than 1/k")
    limit = step_size.a**2 * noise_variance / (twice - 1)
    return Prediction(limit, 1.0, "k Var -> a^2 sigma^2 / (2 a c - 1)")


def predictions(step_size: StepSize, slope: float, noise_variance: float) -> tuple[Prediction, Prediction]:
    """The variances that theory predicts: of the iterate, and of the average."""
    if not noise_variance > 0:
        none = no_prediction("there is no noise, and so no variance")
        return none, none
    return (
        asymptotic_variance(step_size, slope, noise_variance),
        asymptotic_variance(step_size, slope, noise_variance, averaged=True),
    )


def _constant(alpha: float, slope: float, noise_variance: float, averaged: bool) -> Prediction:
    moved = alpha * slope
    if not 0 < moved < 2:
        return no_prediction(f"with alpha c = {moved:.3g} (between 0 and 2 is needed) the recursion is not stable")
    if averaged:
        return Prediction(noise_variance / slope**2, 1.0, "k Var -> sigma^2 / c^2, where g is linear")
    return Prediction(
        alpha * noise_variance / (slope * (2 - moved)),
        0.0,
        "Var -> alpha sigma^2 / (c (2 - alpha c)): it never settles",
    )


def exact_variance(
    step_size: StepSize | float, slope: float, noise_variance: float, steps: int, *, averaged: bool = False
) -> NDArray[np.float64]:
    """The variance of the linear recursion after 0, 1, ..., ``steps`` updates from a fixed start, [steps + 1].

    With V the variance of e, S the sum of the iterates so far and C its covariance with the latest,

        V  <-  (1 - alpha c)^2 V + alpha^2 sigma^2,    C  <-  (1 - alpha c) C + V,    Var S  <-  Var S + 2 C - V.

    The average is that of the iterates that the updates have made; ``start`` is none of them.

    Raises:
        InputError: for less than one step, or numbers that are not finite.

    >>> exact_variance(Harmonic(), 1.0, 1.0, 4).round(6).tolist()
    [0.0, 1.0, 0.5, 0.333333, 0.25]
    """
    steps, step_size = whole("steps", steps), as_step_size(step_size)
    slope = number("slope", slope, lambda _: True, "a finite number")
    noise_variance = number("noise_variance", noise_variance, lambda x: x >= 0, "at least 0, and finite")
    visits, clock = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
    found = np.zeros(steps + 1)
    variance = with_sum = of_sum = 0.0
    for k in range(1, steps + 1):
        alpha = rate(step_size, visits, clock, 0, 0)
        stays = 1.0 - alpha * slope
        variance = stays**2 * variance + alpha**2 * noise_variance
        with_sum = stays * with_sum + variance
        of_sum += 2.0 * with_sum - variance
        found[k] = of_sum / k**2 if averaged else variance
    return found


class KieferWolfowitz(NamedTuple):
    """Whether steps and widths meet the conditions of Kiefer and Wolfowitz, Ann. Math. Statist. 23 (1952)."""

    sum_diverges: bool  # sum of alpha
    width_vanishes: bool  # c -> 0
    bias_converges: bool  # sum of alpha c
    noise_converges: bool  # sum of (alpha / c)^2

    @property
    def hold(self) -> bool:
        """All four hold."""
        return all(self)


def kiefer_wolfowitz_conditions(step_size: StepSize | float, width: StepSize | float) -> KieferWolfowitz:
    """The conditions, from the powers of k with which steps and widths shrink.

    >>> kiefer_wolfowitz_conditions(Harmonic(), Polynomial(power=1 / 3)).hold
    True
    >>> kiefer_wolfowitz_conditions(Harmonic(), Polynomial(power=0.5)).noise_converges
    False
    """
    p, q = _power(as_step_size(step_size)), _power(as_step_size(width, "width"))
    return KieferWolfowitz(p <= 1, q > 0, p + q > 1, 2 * (p - q) > 1)


def _power(step_size: StepSize) -> float:
    if isinstance(step_size, Polynomial):
        return step_size.power
    return 1.0 if isinstance(step_size, Harmonic) else 0.0
