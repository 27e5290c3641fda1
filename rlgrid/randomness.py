"""Random streams of two words each: SplitMix64 with a stream-specific odd increment.

Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. The state is a counter, so a
stream can be copied, saved, and run ahead in bulk; ``uniform`` and ``uniforms`` give the same numbers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rlgrid.choices import function

Stream = NDArray[np.uint64]  # [2] counter and increment

_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53
_TWO_PI = 2.0 * math.pi


def stream_of(counter: int, increment: int) -> Stream:
    """A stream from two random words; the increment is made odd, with bits that change often enough."""
    increment |= 1
    if (increment ^ (increment >> 1)).bit_count() < 24:
        increment ^= 0xAAAAAAAAAAAAAAAA
    return np.array([counter, increment], dtype=np.uint64)


def new_stream(seed: np.random.SeedSequence) -> Stream:
    """A stream from a seed sequence."""
    counter, increment = seed.generate_state(2, np.uint64).tolist()
    return stream_of(counter, increment)


@function
def uniform(stream: Stream) -> float:
    """The next number of a stream, uniform on [0, 1) with 53 bits."""
    stream[0] = stream[0] + stream[1]
    z = stream[0]
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    z = z ^ (z >> _SHIFT_31)
    return float(z >> _SHIFT_11) * _UNIT


@function
def normal(stream: Stream) -> float:
    """A standard normal number, by Box and Muller's method; takes two uniform ones."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(stream)))
    return radius * math.cos(_TWO_PI * uniform(stream))


def uniforms(stream: Stream, count: int) -> NDArray[np.float64]:
    """The next ``count`` numbers at once, [count]; the stream moves on as after as many calls of ``uniform``."""
    z = stream[0] + stream[1] * np.arange(1, count + 1, dtype=np.uint64)
    stream[0] = z[-1]
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    z = z ^ (z >> _SHIFT_31)
    numbers: NDArray[np.float64] = (z >> _SHIFT_11).astype(np.float64) * _UNIT
    return numbers
