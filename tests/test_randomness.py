"""Random streams: one at a time as in bulk, uniform, and strangers to one another.

All seeds are fixed, so a test that passes always passes; a p-value below 1e-6 would mean that the generator is wrong
rather than unlucky.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import stats

import rlgrid.compiled  # noqa: F401 (tells Numba about the plain functions)
from rlgrid.randomness import new_stream, normal, stream_of, uniform, uniforms

LEAST_P = 1e-6
N = 100_000


def streams(count: int, seed: int = 2024) -> list[np.ndarray]:
    return [new_stream(child) for child in np.random.SeedSequence(seed).spawn(count)]


@numba.njit
def normals(stream: np.ndarray, count: int) -> np.ndarray:
    drawn = np.empty(count)
    for i in range(count):
        drawn[i] = normal(stream)
    return drawn


@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 5000])
def test_one_at_a_time_and_in_bulk_are_the_same_numbers(count: int) -> None:
    for one, bulk in zip(streams(3), streams(3), strict=True):
        with np.errstate(over="ignore"):
            singly = [uniform(one) for _ in range(count)]
        assert singly == uniforms(bulk, count).tolist()
        assert one.tolist() == bulk.tolist()
        with np.errstate(over="ignore"):
            assert uniform(one) == uniforms(bulk, 1)[0]


def test_a_copied_stream_repeats_and_the_original_does_not() -> None:
    stream = streams(1)[0]
    copy = stream.copy()
    assert uniforms(stream, 100).tolist() == uniforms(copy, 100).tolist()
    assert uniforms(stream, 100).tolist() == uniforms(copy, 100).tolist()
    assert uniforms(stream, 100).tolist() != uniforms(stream, 100).tolist()


@pytest.mark.parametrize("increment", [0, 1, 2, 3, 2**63, 2**64 - 1, 0x5555555555555555, 0x00FF00FF00FF00FF])
def test_a_weak_increment_is_made_odd_and_busy(increment: int) -> None:
    """Increments with few changes between neighbouring bits mix badly (Steele, Lea and Flood, Sec. 5)."""
    made = int(stream_of(0, increment)[1])
    assert made % 2 == 1
    assert (made ^ (made >> 1)).bit_count() >= 24
    assert stats.kstest(uniforms(stream_of(1, increment), N), "uniform").pvalue > LEAST_P


def test_numbers_are_uniform() -> None:
    for stream in streams(20):
        drawn = uniforms(stream, N)
        assert drawn.min() >= 0 and drawn.max() < 1
        assert stats.chisquare(np.bincount((drawn * 256).astype(int), minlength=256)).pvalue > LEAST_P
        low_bits = (drawn * 2.0**53).astype(np.uint64) % 256
        assert stats.chisquare(np.bincount(low_bits.astype(int), minlength=256)).pvalue > LEAST_P


def test_neighbouring_numbers_are_independent() -> None:
    for stream in streams(10):
        drawn = (uniforms(stream, N) * 16).astype(int)
        for lag in (1, 2, 3):
            pairs = np.bincount(drawn[:-lag:4] * 16 + drawn[lag::4][: len(drawn[:-lag:4])], minlength=256)
            assert stats.chisquare(pairs).pvalue > LEAST_P


def test_spawned_streams_do_not_meet() -> None:
    """Two million draws of 53 bits from one source would repeat one with probability 2e-4."""
    drawn = np.concatenate([uniforms(stream, N) for stream in streams(20)])
    assert len(np.unique(drawn)) == len(drawn)
    increments = {int(stream[1]) for stream in streams(1000)}
    assert len(increments) == 1000


def test_spawned_streams_are_uncorrelated() -> None:
    drawn = np.array([uniforms(stream, N) for stream in streams(20)])
    correlation = np.corrcoef(drawn)[np.triu_indices(20, 1)]
    # 190 pairs, each about normal with standard deviation 1/sqrt(N); |z| > 5.6 has p = 2e-8, for all pairs 4e-6.
    assert np.abs(correlation).max() * np.sqrt(N) < 5.6
    for a, b in [(0, 1), (3, 17), (18, 19)]:
        pairs = np.bincount(((drawn[a] * 16).astype(int) * 16 + (drawn[b] * 16).astype(int)), minlength=256)
        assert stats.chisquare(pairs).pvalue > LEAST_P


def test_first_numbers_of_streams_with_neighbouring_seeds_are_uniform() -> None:
    first = np.array([uniforms(new_stream(np.random.SeedSequence(seed)), 1)[0] for seed in range(4000)])
    assert stats.kstest(first, "uniform").pvalue > LEAST_P
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) * np.sqrt(len(first)) < 5


def test_normal_numbers() -> None:
    for stream in streams(5):
        drawn = normals(stream, N)
        assert abs(drawn.mean()) < 5 / np.sqrt(N)
        assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / N)
        assert abs(stats.skew(drawn)) < 5 * np.sqrt(6 / N)
        assert abs(stats.kurtosis(drawn)) < 5 * np.sqrt(24 / N)
        assert stats.kstest(drawn, "norm").pvalue > LEAST_P
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / np.sqrt(N)


def test_a_normal_number_takes_two_uniform_ones() -> None:
    one, other = streams(1)[0], streams(1)[0]
    normals(one, 50)
    uniforms(other, 100)
    assert one.tolist() == other.tolist()
