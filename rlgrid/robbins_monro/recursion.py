"""The Robbins-Monro recursion w <- (1 - alpha) w + alpha T for numbers and vectors, one run or thousands side by side.

It is the update of :mod:`rlgrid.rules.update` on a table with one entry, or with one for each of many runs.
:mod:`rlgrid.robbins_monro.roots` and :mod:`rlgrid.robbins_monro.minima` say what the targets T are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Floats, Ints
from rlgrid.errors import InputError, numbers, shown, whole
from rlgrid.robbins_monro.asymptotics import KieferWolfowitz, Prediction, no_prediction
from rlgrid.rules.step_sizes import RobbinsMonro, StepSize, rate

Conditions: TypeAlias = RobbinsMonro | KieferWolfowitz


class Projection(NamedTuple):
    """Iterates are put back into the box from ``low`` to ``high`` (Kushner and Yin 2003, Sec. 4.3)."""

    low: float
    high: float


class ExpandingTruncation(NamedTuple):
    """An iterate outside the ball of radius ``first * factor**n`` goes back to the start, n being how often it did.

    So no bound on the root has to be known, and only finitely many truncations happen where the recursion would
    converge (Chen, Guo and Gao, Stochastic Processes and their Applications 27, 1988).
    """

    first: float = 1.0
    factor: float = 2.0


Within: TypeAlias = Projection | ExpandingTruncation | None

#: From the last iterate: the variance that theory predicts of the iterate, and of the average.
Predict: TypeAlias = Callable[[Floats], tuple[Prediction, Prediction]]


class Recursion(NamedTuple):
    """What a recursion is made of, for one run or, with a leading axis [R], for many."""

    aim: Callable[[Any, int], Any]  # the target of update k (from 0) at w
    start: Floats  # [], [D], [R] or [R, D]
    steps: int
    step_size: StepSize
    within: Within
    conditions: Conditions
    many: bool


class Path(NamedTuple):
    """Where a recursion went.

    ``diverged_at`` is the number of the first iterate that is no longer finite, counted from 1 as in the books;
    the path ends before it. ``None``: it stayed finite. ``print(path)`` says how it went in a sentence.
    """

    iterates: Floats  # [n] or [n, D]: w_1, w_2, ...
    conditions: Conditions
    diverged_at: int | None
    truncations: int  # how often ``within`` took an iterate back
    predicted: Prediction  # of the variance of the iterate
    predicted_average: Prediction  # of the variance of the average

    @property
    def last(self) -> Any:
        """The latest iterate: a number, or [D]."""
        return self.iterates[-1] if self.iterates.ndim > 1 else float(self.iterates[-1])

    @property
    def averages(self) -> Floats:
        """The mean of the iterates that the updates have made so far, [n - 1] or [n - 1, D] (Polyak and Ruppert)."""
        made = self.iterates[1:]
        counted = np.arange(1.0, len(made) + 1)
        return np.asarray(np.cumsum(made, axis=0) / counted.reshape(-1, *[1] * (made.ndim - 1)))

    @property
    def verdict(self) -> str:
        """How it went, in one sentence."""
        if self.diverged_at is not None:
            return _diverged(f"It diverged: iterate {self.diverged_at} is not finite", self.conditions)
        restarts = f", was taken back {self.truncations} times" if self.truncations else ""
        return f"It stayed finite{restarts} and ended at {_shown(self.last)}; {_met(self.conditions)}."

    def __str__(self) -> str:
        return self.verdict


class Runs(NamedTuple):
    """Many independent runs side by side, R of them, for numbers or vectors [D].

    Means and variances are over the runs that are still finite. Index k of the axis [n + 1] is after k updates.
    """

    last: Floats  # [R] or [R, D], nan where a run diverged
    averages: Floats  # [R] or [R, D] of the iterates that the updates made
    mean: Floats  # [n + 1] or [n + 1, D]
    variance: Floats  # [n + 1] or [n + 1, D] of the iterates, unbiased
    average_variance: Floats  # [n + 1] or [n + 1, D] of their averages
    conditions: Conditions
    diverged_at: Ints  # [R] as in Path; 0 where the run stayed finite
    truncations: Ints  # [R]
    predicted: Prediction
    predicted_average: Prediction

    @property
    def finite(self) -> int:
        """How many runs stayed finite."""
        return int((self.diverged_at == 0).sum())

    def interval(self, level: float = 0.99, *, averaged: bool = False) -> tuple[Floats, Floats]:
        """Bounds of the true variance at a confidence level, from the chi-square distribution; [n + 1] each.

        Right where iterates are normally distributed, as they are with normal noise and a linear g.
        """
        from scipy.stats import chi2

        degrees = self.finite - 1
        low, high = (float(chi2.ppf(share, degrees)) for share in ((1 - level) / 2, (1 + level) / 2))
        measured = self.average_variance if averaged else self.variance
        return measured * (degrees / high), measured * (degrees / low)

    @property
    def verdict(self) -> str:
        """How they went, in one sentence."""
        runs = len(self.diverged_at)
        if self.finite < runs:
            return _diverged(f"{runs - self.finite:,} of {runs:,} runs diverged", self.conditions)
        return f"All {runs:,} runs stayed finite, around {_shown(self.mean[-1])}; {_met(self.conditions)}."

    def __str__(self) -> str:
        return self.verdict


def _named(conditions: Conditions) -> str:
    return "Robbins-Monro" if isinstance(conditions, RobbinsMonro) else "Kiefer-Wolfowitz"


def _met(conditions: Conditions) -> str:
    return f"its steps {'meet' if conditions.hold else 'do not meet'} the {_named(conditions)} conditions"


def _diverged(what: str, conditions: Conditions) -> str:
    cure = "start with smaller steps (a larger b), or keep the iterates within bounds"
    if not conditions.hold:
        return f"{what}; {_met(conditions)}: {cure}."
    return (
        f"{what}, although {_met(conditions)}: far from the root the target grows too fast for its first steps; {cure}."
    )


def _shown(w: Any) -> str:
    return np.array2string(np.asarray(w), precision=6, separator=", ", threshold=6)


def starting(start: ArrayLike, runs: int | None, *, vector: bool = True) -> Floats:
    """The start as an array [] or [D]; for many runs one copy for each, [R] or [R, D].

    Raises:
        InputError: where it is not a finite number or, if that is allowed, vector; or ``runs`` is less than 2.
    """
    allowed = "a finite number, or a list of finite numbers" if vector else "a finite number"
    w = numbers("start", start, allowed).copy()
    if w.ndim > int(vector) or not np.isfinite(w).all():
        raise InputError(f"start: found {shown(start)}; allowed: {allowed}")
    if runs is None:
        return w
    return np.repeat(w[None], whole("runs", runs, 2, other="none for a single path"), axis=0)


def check_within(within: Within, start: Floats) -> None:
    """Refuse bounds that bound nothing, or that the start lies outside of."""
    if not isinstance(within, Within):
        raise InputError(f"within: found {shown(within)}; allowed: Projection(low, high), or ExpandingTruncation()")
    if isinstance(within, Projection) and not (
        within.low < within.high and ((start >= within.low) & (start <= within.high)).all()
    ):
        raise InputError(f"within: found {within.low:g} to {within.high:g}; allowed: bounds around the start")
    if isinstance(within, ExpandingTruncation) and not (within.first > 0 and within.factor > 1):
        raise InputError(
            f"within: found first {within.first:g}, factor {within.factor:g}; allowed: first above 0, factor above 1"
        )


def iterate(recursion: Recursion) -> Iterator[tuple[Any, Ints]]:
    """The iterates after the first, second, ... update (a number: a float), with the truncations so far."""
    visits, clock = np.zeros((1, 1), np.int64), np.zeros(1, np.int64)
    number = recursion.start.ndim == 0
    w: Any = float(recursion.start) if number else recursion.start
    truncations = np.zeros(recursion.start.shape[: int(recursion.many)], np.int64)
    for k in range(recursion.steps):
        alpha = rate(recursion.step_size, visits, clock, 0, 0)
        try:
            target = recursion.aim(w, k)
        except OverflowError:  # how Python's own numbers overflow
            target = np.inf
        if k == 0 and np.shape(target) != np.shape(w):
            raise InputError(
                f"start: found shape {np.shape(w)}, and the first update aims at shape {np.shape(target)}; "
                "allowed: a start of the shape that the function gives"
            )
        w = (1.0 - alpha) * w + alpha * target
        if recursion.within is not None:
            w = _held(recursion, np.asarray(w), truncations)
        if number:
            w = float(w)
        yield w, truncations


def _held(recursion: Recursion, w: Floats, truncations: Ints) -> Floats:
    """The iterate, put back where it is out of bounds; ``truncations`` [] or [R] count how often."""
    within = recursion.within
    per_run = w.reshape(*truncations.shape, -1)
    if isinstance(within, Projection):
        truncations += ((per_run < within.low) | (per_run > within.high)).any(axis=-1)
        return np.asarray(np.clip(w, within.low, within.high))
    assert within is not None
    inside = np.sqrt((per_run**2).sum(axis=-1)) <= within.first * within.factor**truncations
    truncations += ~inside
    return np.where(np.reshape(inside, truncations.shape + (1,) * (w.ndim - truncations.ndim)), w, recursion.start)


@np.errstate(over="ignore", invalid="ignore")
def follow(recursion: Recursion, predict: Predict) -> Path:
    """Run once; ``predict`` gives the variances that theory predicts around the last iterate."""
    iterates = np.empty((recursion.steps + 1, *recursion.start.shape))
    iterates[0] = recursion.start
    number = recursion.start.ndim == 0
    taken_back = np.zeros((), np.int64)
    for k, (w, taken_back) in enumerate(iterate(recursion), 1):
        if not (math.isfinite(w) if number else np.isfinite(w).all()):
            none = no_prediction("it diverged")
            return Path(iterates[:k], recursion.conditions, k + 1, int(taken_back), none, none)
        iterates[k] = w
    return Path(iterates, recursion.conditions, None, int(taken_back), *predict(iterates[-1]))


@np.errstate(over="ignore", invalid="ignore")
def follow_many(recursion: Recursion, predict: Predict) -> Runs:
    """Run many times side by side."""
    shape = (recursion.steps + 1, *recursion.start.shape[1:])
    mean, variance, average_variance = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    mean[0], variance[0], average_variance[0] = recursion.start[0], 0.0, 0.0
    last, total = recursion.start.copy(), np.zeros_like(recursion.start)
    runs = len(last)
    diverged_at, truncations = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
    for k, (w, so_far) in enumerate(iterate(recursion), 1):
        truncations = so_far
        finite = np.isfinite(w.reshape(runs, -1)).all(axis=1)
        diverged_at[~finite & (diverged_at == 0)] = k + 1
        alive = diverged_at == 0
        last = w
        total += w
        kept, averages = (w, total / k) if alive.all() else (w[alive], total[alive] / k)
        if len(kept) > 1:
            mean[k], variance[k] = kept.mean(axis=0), kept.var(axis=0, ddof=1)
            average_variance[k] = averages.var(axis=0, ddof=1)
    last, averages = last.copy(), total / recursion.steps
    last[diverged_at > 0] = averages[diverged_at > 0] = np.nan
    ended = (diverged_at == 0).sum() > 1
    none = no_prediction("fewer than two runs stayed finite")
    predicted = predict(mean[-1]) if ended else (none, none)
    return Runs(
        last,
        averages,
        mean,
        variance,
        average_variance,
        recursion.conditions,
        diverged_at,
        truncations.copy(),
        *predicted,
    )


def run(recursion: Recursion, predict: Predict) -> Path | Runs:
    """Run once, or many times where the recursion is of many runs."""
    return follow_many(recursion, predict) if recursion.many else follow(recursion, predict)
