"""Robbins-Monro without an environment: estimating a mean, finding a root.

Both are the update of :mod:`rlgrid.rules.update` on a table with one entry: the target is the sample itself, or
``w - g(w)`` (Zhao, Secs 6.1 and 6.2; Sutton & Barto 2e, Sec. 2.4). ``docs/stochastic_approximation.md`` is the guide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Floats
from rlgrid.errors import InputError, numbers, shown, whole
from rlgrid.robbins_monro.asymptotics import Prediction, predictions
from rlgrid.robbins_monro.noise import Noise, Seed, noise_in
from rlgrid.robbins_monro.recursion import Path, Recursion, Runs, Within, check_within, follow, run, starting
from rlgrid.rules.step_sizes import Harmonic, StepSize, as_step_size


def mean_estimation(samples: ArrayLike, *, step_size: StepSize | float = Harmonic(), start: float = 0.0) -> Path:  # noqa: B008
    """Estimate a mean from samples: w <- w + alpha (x - w) (Zhao, eq. 6.4).

    With the default step size 1/k the estimate is the mean of the samples so far, and ``start`` does not matter. It is
    the root of g(w) = w - E[x], so for many runs at once see :func:`find_root`.

    Args:
        samples: [n] finite numbers, in order.
        step_size: of sample k; a number is a constant one.
        start: w_1, before the first sample.

    Raises:
        InputError: where a sample is not finite, or a step size not above 0.

    >>> mean_estimation([1.0, 2.0, 6.0]).iterates
    array([0. , 1. , 1.5, 3. ])
    """
    values = numbers("samples", samples, "a list of finite numbers")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"samples: found {shown(samples)}; allowed: a list of finite numbers")
    step_size = as_step_size(step_size)
    conditions = step_size.conditions
    w = starting(start, None, vector=False)
    recursion = Recursion(lambda _, k: values[k], w, len(values), step_size, None, conditions, False)
    variance = float(values.var()) if values.size else 0.0
    return follow(recursion, lambda _: predictions(step_size, 1.0, variance))


@overload
def find_root(
    g: Callable[[Any], Any], *, start: float = ..., steps: int = ..., step_size: StepSize | float = ...,
    noise: Noise = ..., seed: Seed = ..., within: Within = ..., runs: None = ...,
) -> Path: ...  # fmt: skip


@overload
def find_root(
    g: Callable[[Any], Any], *, start: float = ..., steps: int = ..., step_size: StepSize | float = ...,
    noise: Noise = ..., seed: Seed = ..., within: Within = ..., runs: int,
) -> Runs: ...  # fmt: skip


def find_root(
    g: Callable[[Any], Any],
    *,
    start: float = 0.0,
    steps: int = 1000,
    step_size: StepSize | float = Harmonic(),  # noqa: B008
    noise: Noise = None,
    seed: Seed = 0,
    within: Within = None,
    runs: int | None = None,
) -> Path | Runs:
    """Find a root of a function seen through noise: w <- w - alpha (g(w) + eta) (Zhao, eq. 6.5).

    It converges almost surely where g' is between two positive bounds, the step sizes meet the Robbins-Monro
    conditions and the noise has mean 0 and bounded variance (Zhao, Theorem 6.1). Where g grows faster than linearly
    it may diverge; the path then says where, and ``within`` is the cure.

    Args:
        g: the function; with ``runs`` it is called with an array [R] and has to work on each of its numbers.
        start: w_1.
        steps: how many updates.
        step_size: of update k; a number is a constant one.
        noise: the standard deviation of normal noise, or a function that draws eta from a generator; none by default.
        seed: of the noise.
        within: a :class:`rlgrid.Projection` or :class:`rlgrid.ExpandingTruncation`, so that iterates do not diverge.
        runs: so many independent runs side by side; run r is the path with the r-th seed that
            ``numpy.random.SeedSequence(seed)`` spawns.

    Returns:
        a :class:`Path`, or :class:`Runs`.

    Raises:
        InputError: for less than one step, negative noise, or bounds that leave the start outside.

    >>> import math
    >>> find_root(lambda w: math.tanh(w - 1), start=3.0, steps=2).iterates.round(4)
    array([3.    , 2.036 , 1.6478])
    >>> print(find_root(lambda w: w**3 - 5, steps=20).verdict[:41])
    It diverged: iterate 8 is not finite, alt
    """
    steps, step_size = whole("steps", steps), as_step_size(step_size)
    w = starting(start, runs, vector=False)
    check_within(within, w)
    noise_of, noise_variance = noise_in(noise, seed, steps, runs)
    many = runs is not None
    conditions = step_size.conditions
    recursion = Recursion(lambda w, k: w - (g(w) + noise_of(k)), w, steps, step_size, within, conditions, many)

    def predict(last: Floats) -> tuple[Prediction, Prediction]:
        return predictions(step_size, _slope(g, last.reshape(1) if many else float(last)), noise_variance)

    return run(recursion, predict)


def _slope(g: Callable[[Any], Any], w: Any) -> float:
    """g' by a central difference; nan where g cannot be evaluated there."""
    h = 1e-5 * max(1.0, float(np.abs(w).max()))
    try:
        return float(np.squeeze(g(w + h) - g(w - h))) / (2 * h)
    except (ArithmeticError, ValueError):
        return float("nan")
