"""Minimising without an environment: stochastic gradient descent, and Kiefer and Wolfowitz without a gradient.

Both find the root of a gradient: the target is ``w - grad`` (Zhao, Sec. 6.4; Sutton & Barto 2e, Sec. 9.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Floats
from rlgrid.errors import InputError, numbers, whole
from rlgrid.robbins_monro.asymptotics import Prediction, kiefer_wolfowitz_conditions, no_prediction, predictions
from rlgrid.robbins_monro.noise import Noise, Seed, generators, noise_in, random_numbers
from rlgrid.robbins_monro.recursion import Path, Recursion, Runs, Within, check_within, run, starting
from rlgrid.rules.step_sizes import Harmonic, Polynomial, StepSize, as_step_size, rate


@overload
def sgd(
    gradient: Callable[[Any, Any], Any], samples: ArrayLike, *, start: ArrayLike = ..., steps: int = ...,
    step_size: StepSize | float = ..., batch_size: int | Literal["full"] = ..., seed: Seed = ..., within: Within = ...,
    runs: None = ...,
) -> Path: ...  # fmt: skip


@overload
def sgd(
    gradient: Callable[[Any, Any], Any], samples: ArrayLike, *, start: ArrayLike = ..., steps: int = ...,
    step_size: StepSize | float = ..., batch_size: int | Literal["full"] = ..., seed: Seed = ..., within: Within = ...,
    runs: int,
) -> Runs: ...  # fmt: skip


def sgd(
    gradient: Callable[[Any, Any], Any],
    samples: ArrayLike,
    *,
    start: ArrayLike = 0.0,
    steps: int = 1000,
    step_size: StepSize | float = Harmonic(),  # noqa: B008
    batch_size: int | Literal["full"] = 1,
    seed: Seed = 0,
    within: Within = None,
    runs: int | None = None,
) -> Path | Runs:
    """Minimise the mean of f(w, x) over samples: w <- w - alpha grad f(w, x) (Zhao, Sec. 6.4).

    Args:
        gradient: of f in w, ``gradient(w, x)``; w is a number or [D], x one sample. With ``runs`` both have a leading
            axis [R], along which the function has to work.
        samples: [N] or [N, ...].
        start: w_1, a number or [D].
        steps: how many updates.
        step_size: of update k; a number is a constant one.
        batch_size: samples drawn with replacement for an update: 1 is SGD, more is mini-batch, ``"full"`` takes the
            mean over all samples instead and draws nothing (batch gradient descent).
        seed: of the draws.
        within: a :class:`rlgrid.Projection` or :class:`rlgrid.ExpandingTruncation`, so that iterates do not diverge.
        runs: so many independent runs side by side, as in :func:`rlgrid.find_root`.

    Returns:
        a :class:`Path`, or :class:`Runs`.

    Raises:
        InputError: for samples that are not finite, a batch size that is not allowed, or less than one step.

    With steps 1/k and f = (w - x)^2 / 2 it estimates the mean:

    >>> round(sgd(lambda w, x: w - x, [1.0, 2.0, 6.0], batch_size="full", steps=5).last, 12)
    3.0
    """
    data = numbers("samples", samples, "at least one sample, of finite numbers")
    steps, step_size = whole("steps", steps), as_step_size(step_size)
    if not data.ndim or not len(data) or not np.isfinite(data).all():
        raise InputError("samples: allowed: at least one sample, of finite numbers")
    if batch_size != "full":
        batch_size = whole("batch_size", batch_size, other='"full"')
    w = starting(start, runs)
    check_within(within, w)
    many = runs is not None
    n = len(data)
    if batch_size == "full":
        everyone = np.repeat(np.arange(n)[None], runs, axis=0) if runs is not None else np.arange(n)
        chosen: Callable[[int], Any] = lambda _: everyone  # noqa: E731 (a constant function)
    else:
        size = batch_size
        chosen = random_numbers(
            generators(seed, runs), lambda source, k: source.integers(n, size=(k, size)), steps, many
        )

    def mean_gradient(w: Any, k: int) -> Any:
        index = chosen(k)
        total: Any = 0.0
        for j in range(index.shape[-1]):  # one sample after the other: the same sums in one run and in many
            total = total + np.asarray(gradient(w, data[index[..., j]]))
        return total / index.shape[-1]

    def predict(last: Floats) -> tuple[Prediction, Prediction]:
        if last.ndim or batch_size == "full":
            none = no_prediction("w is a vector" if last.ndim else "the full batch has no noise, and so no variance")
            return none, none
        return _around(gradient, data, last, many, batch_size, step_size)

    recursion = Recursion(lambda w, k: w - mean_gradient(w, k), w, steps, step_size, within, step_size.conditions, many)
    return run(recursion, predict)


def _around(
    gradient: Callable[[Any, Any], Any], data: Floats, last: Floats, many: bool, batch_size: int, step_size: StepSize
) -> tuple[Prediction, Prediction]:
    """Predicted variances from the slope of the mean gradient at ``last`` and the spread of its samples there."""

    def gradients(w: float) -> Floats:
        at, each = (np.full(1, w), data[:, None]) if many else (w, data)
        return np.array([float(np.squeeze(gradient(at, x))) for x in each])

    h = 1e-5 * max(1.0, abs(float(last)))
    slope = float((gradients(float(last) + h) - gradients(float(last) - h)).mean()) / (2 * h)
    return predictions(step_size, slope, float(gradients(float(last)).var()) / batch_size)


@overload
def kiefer_wolfowitz(
    f: Callable[[Any], Any], *, start: ArrayLike = ..., steps: int = ..., step_size: StepSize | float = ...,
    width: StepSize | float = ..., noise: Noise = ..., seed: Seed = ..., within: Within = ..., runs: None = ...,
) -> Path: ...  # fmt: skip


@overload
def kiefer_wolfowitz(
    f: Callable[[Any], Any], *, start: ArrayLike = ..., steps: int = ..., step_size: StepSize | float = ...,
    width: StepSize | float = ..., noise: Noise = ..., seed: Seed = ..., within: Within = ..., runs: int,
) -> Runs: ...  # fmt: skip


def kiefer_wolfowitz(
    f: Callable[[Any], Any],
    *,
    start: ArrayLike = 0.0,
    steps: int = 1000,
    step_size: StepSize | float = Harmonic(),  # noqa: B008
    width: StepSize | float = Polynomial(power=1 / 6),  # noqa: B008
    noise: Noise = None,
    seed: Seed = 0,
    within: Within = None,
    runs: int | None = None,
) -> Path | Runs:
    """Minimise a function that is only seen through noise, without a gradient.

    In place of the gradient stands a central difference of two noisy values, one coordinate after the other,

        w  <-  w - alpha_k (f(w + c_k) + eta - f(w - c_k) - eta') / (2 c_k)

    (Kiefer and Wolfowitz, Ann. Math. Statist. 23, 1952). Steps and widths have to go together: see ``path.conditions``.

    Args:
        f: the function; with ``runs`` it is called with [R] or [R, D] and has to work along the first axis.
        start: w_1, a number or [D].
        steps: how many updates.
        step_size: alpha_k of update k; a number is a constant one.
        width: c_k, a sequence that shrinks; with a constant one the minimum is missed by a bias.
        noise, seed, within, runs: as in :func:`rlgrid.find_root`.

    Returns:
        a :class:`Path`, or :class:`Runs`.

    Raises:
        InputError: for less than one step, or noise or bounds that are not allowed.

    >>> round(kiefer_wolfowitz(lambda w: (w - 2) ** 2, start=5.0, steps=500, step_size=Harmonic(0.5)).last, 6)
    2.0
    """
    steps, step_size, width = whole("steps", steps), as_step_size(step_size), as_step_size(width, "width")
    w = starting(start, runs)
    check_within(within, w)
    many = runs is not None
    vector = w.ndim > int(many)
    sides = 2 * (w.shape[-1] if vector else 1)
    draws, _ = noise_in(noise, seed, steps * sides, runs)
    counted, clock = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)

    def slope(w: Any, k: int) -> Any:
        c = rate(width, counted, clock, 0, 0)
        if not vector:
            up, down = f(w + c) + draws(k * sides), f(w - c) + draws(k * sides + 1)
            return (up - down) / (2 * c)
        found = np.empty_like(w)
        for d in range(w.shape[-1]):
            aside = np.zeros(w.shape[-1])
            aside[d] = c
            up, down = f(w + aside) + draws(k * sides + 2 * d), f(w - aside) + draws(k * sides + 2 * d + 1)
            found[..., d] = (up - down) / (2 * c)
        return found

    none = no_prediction("its variance depends on the third derivative of f as well")
    conditions = kiefer_wolfowitz_conditions(step_size, width)
    recursion = Recursion(lambda w, k: w - slope(w, k), w, steps, step_size, within, conditions, many)
    return run(recursion, lambda _: (none, none))
