"""Robbins-Monro without an environment: estimating a mean, finding a root.

Both are the update of :mod:`rlgrid.learner` on a table with one entry: the target is the sample itself, or
``w - g(w)`` (Zhao, Secs 6.1 and 6.2; Sutton & Barto 2e, Sec. 2.4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.errors import InputError
from rlgrid.learner import Entry, Learner, NoImprovement, OneStep, land
from rlgrid.step_sizes import Harmonic, RobbinsMonro, StepSize
from rlgrid.targets import Return


class Path(NamedTuple):
    """Where a recursion went.

    ``diverged_at`` is the number of the first iterate that is no longer finite, counted from 1 as in the books;
    the path ends before it. ``None``: it stayed finite.
    """

    iterates: NDArray[np.float64]  # [n] w_1, w_2, ...
    conditions: RobbinsMonro
    diverged_at: int | None

    @property
    def last(self) -> float:
        """The latest iterate."""
        return float(self.iterates[-1])


def mean_estimation(samples: ArrayLike, *, step_size: StepSize = Harmonic(), start: float = 0.0) -> Path:  # noqa: B008
    """Estimate a mean from samples: w <- w + alpha (x - w) (Zhao, eq. 6.4).

    With the default step size 1/k the estimate is the mean of the samples so far, and ``start`` does not matter.

    Args:
        samples: [n] finite numbers, in order.
        step_size: of sample k.
        start: w_1, before the first sample.

    Raises:
        InputError: where a sample is not finite.

    >>> mean_estimation([1.0, 2.0, 6.0]).iterates
    array([0. , 1. , 1.5, 3. ])
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError("samples: allowed: a list of finite numbers")
    return _iterate((lambda _, k: float(values[k])), len(values), step_size, start)


def find_root(
    g: Callable[[float], float],
    *,
    start: float = 0.0,
    steps: int = 1000,
    step_size: StepSize = Harmonic(),  # noqa: B008
    noise: Callable[[np.random.Generator], float] | None = None,
    seed: int | None = 0,
) -> Path:
    """Find a root of a function seen through noise: w <- w - alpha (g(w) + eta) (Zhao, eq. 6.5).

    It converges almost surely where g' is between two positive bounds, the step sizes meet the Robbins-Monro
    conditions and the noise has mean 0 and bounded variance (Zhao, Theorem 6.1). Where g grows faster than linearly
    it may diverge; the path then says where.

    Args:
        g: the function.
        start: w_1.
        steps: how many updates.
        step_size: of update k.
        noise: draws eta from a generator; none by default.
        seed: of that generator.

    Raises:
        InputError: for less than one step.

    >>> import math
    >>> find_root(lambda w: math.tanh(w - 1), start=3.0, steps=2).iterates.round(4)
    array([3.    , 2.036 , 1.6478])
    >>> find_root(lambda w: w**3 - 5, steps=20).diverged_at
    8
    """
    if steps < 1:
        raise InputError(f"steps: found {steps}; allowed: at least 1")
    generator = np.random.default_rng(seed)

    def target(w: float, _: int) -> float:
        return w - (g(w) + (noise(generator) if noise is not None else 0.0))

    return _iterate(target, steps, step_size, start)


def _iterate(target: Callable[[float, int], float], steps: int, step_size: StepSize, start: float) -> Path:
    table = np.full((1, 1), float(start))
    visits, clock = np.zeros((1, 1)), np.zeros(1, np.int64)
    learner = Learner(table, visits, clock, 0.0, Return(), OneStep(), step_size, Entry(), NoImprovement())
    iterates = np.empty(steps + 1)
    iterates[0] = start
    for k in range(steps):
        try:
            land(learner.credit, learner, 0, 0, target(float(table[0, 0]), k), 1.0)
        except OverflowError:
            table[0, 0] = np.inf
        if not np.isfinite(table[0, 0]):
            return Path(iterates[: k + 1], step_size.conditions, k + 2)
        iterates[k + 1] = table[0, 0]
    return Path(iterates, step_size.conditions, None)
