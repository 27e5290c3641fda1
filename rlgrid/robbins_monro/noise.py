"""Random numbers of a recursion: of one run, or of each of many from a stream of its own."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from rlgrid.arrays import Floats
from rlgrid.errors import InputError, check_seed, shown

Seed: TypeAlias = int | np.random.SeedSequence | None

#: Standard deviation of normal noise, or a function that draws one number from a generator; none: no noise.
Noise: TypeAlias = float | Callable[[np.random.Generator], float] | None

#: Updates whose random numbers are drawn together; it bounds the memory of many runs.
BLOCK = 512


def generators(seed: Seed, runs: int | None) -> list[np.random.Generator]:
    """A generator for the one run, or one for each of many: run r is the one run with the r-th seed spawned."""
    if not isinstance(seed, np.random.SeedSequence):
        check_seed(seed)
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    if runs is None:
        return [np.random.default_rng(sequence)]
    return [np.random.default_rng(child) for child in sequence.spawn(runs)]


def random_numbers(
    sources: list[np.random.Generator], draw: Callable[[np.random.Generator, int], Any], steps: int, many: bool
) -> Callable[[int], Any]:
    """The random numbers of update k, as a function of k = 0, 1, ...: each source draws its own, a block at a time.

    ``draw(generator, n)`` gives those of n updates, [n, ...]; the function gives [...] or, for many runs, [R, ...].
    """
    block: list[Any] = [np.zeros(0)]

    def of_update(k: int) -> Any:
        if k % BLOCK == 0:
            pieces = [np.asarray(draw(source, min(BLOCK, steps - k))) for source in sources]
            block[0] = np.stack(pieces, axis=1) if many else pieces[0]
        return block[0][k % BLOCK]

    return of_update


def noise_in(noise: Noise, seed: Seed, steps: int, runs: int | None) -> tuple[Callable[[int], Any], float]:
    """The noise of update k, a number or [R], and its variance (of a function, estimated from 4,096 draws).

    Raises:
        InputError: for a standard deviation that is negative or not finite.
    """
    if noise is None:
        return (lambda _: 0.0), 0.0
    if callable(noise):
        draw_one = noise
        sample = np.random.default_rng(0)
        variance = float(np.var([draw_one(sample) for _ in range(4096)]))

        def draw(generator: np.random.Generator, n: int) -> Floats:
            return np.array([draw_one(generator) for _ in range(n)])
    else:
        if not isinstance(noise, Real) or not 0 <= noise < np.inf:
            raise InputError(f"noise: found {shown(noise)}; allowed: a standard deviation of at least 0, or a function")
        std, variance = float(noise), float(noise) ** 2

        def draw(generator: np.random.Generator, n: int) -> Floats:
            return std * generator.standard_normal(n)

    return random_numbers(generators(seed, runs), draw, steps, runs is not None), variance
