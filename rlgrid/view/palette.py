"""Colours that stay distinct under the common forms of colour blindness, and the scale of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

PAGE: Colour = (255, 255, 255)
FLOOR: Colour = (246, 247, 249)
GRID: Colour = (211, 217, 225)
WALL: Colour = (62, 76, 92)
INK: Colour = (31, 41, 51)
MUTED: Colour = (117, 129, 143)

GOOD: Colour = (0, 122, 92)
GOOD_TINT: Colour = (205, 235, 223)
BAD: Colour = (213, 112, 20)
BAD_TINT: Colour = (252, 231, 206)
PIT: Colour = (43, 53, 66)
PIT_TINT: Colour = (225, 229, 234)
JUMP: Colour = (112, 72, 160)
JUMP_TINT: Colour = (234, 226, 245)
WIND: Colour = (150, 186, 219)
AGENT: Colour = (194, 24, 91)

ZERO: Colour = (252, 252, 253)
POSITIVE: Colour = (98, 163, 221)
NEGATIVE: Colour = (229, 132, 108)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour that lies ``share`` of the way from ``a`` to ``b``."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def value_colours(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of finite values, uint8 [N, 3].

    Values of both signs diverge from near white at 0 to blue and red, with one scale for both sides. Values of one sign
    run from pale (the one nearest to 0) to full, so that differences far from 0 stay visible. All colours are light
    enough for dark text.
    """
    if not len(values):
        return np.zeros((0, 3), dtype=np.uint8)
    size = np.abs(values)
    largest = float(size.max())
    nearest = 0.0 if values.min() < 0 < values.max() else float(size.min())
    # Divided before subtracting: the difference of two huge values would overflow, that of two shares cannot.
    span = 1.0 - nearest / largest if largest > 0.0 else 0.0
    share = (size / largest - nearest / largest) / span if span > 1e-12 else np.where(size > 0.0, 0.5, 0.0)
    if nearest > 0.0:
        share = 0.08 + 0.92 * share
    full = np.where(values[:, None] < 0, np.array(NEGATIVE), np.array(POSITIVE))
    return np.asarray(np.rint(ZERO + share[:, None] * (full - np.array(ZERO))), dtype=np.uint8)
