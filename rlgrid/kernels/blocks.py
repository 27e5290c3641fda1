"""Corrections of a policy's values by blocks of states: what is wrong with v by a constant in each block.

Sweeps soon make the error of v smooth, from where to where a few steps lead, and then take long to reduce it. With the
states in blocks as wide as a step, what is left of the equations, summed over each block, is a small system for a
constant in each (Bertsekas & Castanon, Adaptive aggregation methods for infinite horizon dynamic programming, IEEE
Transactions on Automatic Control 34 (1989); a two-level multigrid method). Where blocks lead to few others its matrix
has a narrow band.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.kernels.policy_chain import Backups, Chain


class Blocks(NamedTuple):
    """S states in B blocks, which lead to blocks whose numbers differ by H at most."""

    of_state: NDArray[np.int32]  # [S]
    size: Floats  # [B] states in each
    band: Floats  # [B, 2 H + 1] the matrix, then its factors: the column J of row I stands at J - I + H
    right: Floats  # [B]


@compiled
def find_edges(b: Backups, order: Ints, of_state: NDArray[np.int32], mark: Ints, source: Ints, target: Ints) -> int:
    """Write which blocks lead to which others; how many pairs there are, or -1 where there is no room for them.

    ``order`` [S] are the states block by block; ``mark`` [B] is -1 before.
    """
    n = 0
    for k in range(len(order)):
        s = order[unsigned(k)]
        here = of_state[unsigned(s)]
        for i in range(b.first[unsigned(b.begin[unsigned(s)])], b.first[unsigned(b.begin[unsigned(s + 1)])]):
            there = of_state[unsigned(b.next_state[unsigned(i)])]
            if mark[unsigned(there)] != here:
                if n == len(source):
                    return -1
                mark[unsigned(there)] = here
                source[unsigned(n)], target[unsigned(n)] = here, there
                n += 1
    return n


@compiled
def factorize(chain: Chain, blocks: Blocks) -> None:
    """Factorise I - P, summed over blocks, by elimination without pivots: its diagonal dominates."""
    band, half = blocks.band, blocks.band.shape[1] // 2
    n = len(band)
    for block in range(n):
        for j in range(2 * half + 1):
            band[block, j] = 0.0
        band[block, half] = blocks.size[block]
    for s in range(len(blocks.of_state)):
        here = blocks.of_state[unsigned(s)]
        for i in range(chain.first[unsigned(s)], chain.last[unsigned(s)]):
            there = blocks.of_state[unsigned(chain.next_state[unsigned(i)])]
            band[unsigned(here), unsigned(there - here + half)] -= chain.weight[unsigned(i)]
    for k in range(n):
        for i in range(k + 1, min(n, k + half + 1)):
            factor = band[i, k - i + half] / band[k, half]
            band[i, k - i + half] = factor
            if factor != 0.0:
                for j in range(k + 1, min(n, k + half + 1)):
                    band[i, j - i + half] -= factor * band[k, j - k + half]


@compiled
def correct(blocks: Blocks, v: Floats, out: Floats) -> None:
    """Add to v the constant of each block that the difference out - v = r + P v - v calls for."""
    band, right, half = blocks.band, blocks.right, blocks.band.shape[1] // 2
    n = len(right)
    for block in range(n):
        right[block] = 0.0
    for s in range(len(v)):
        right[unsigned(blocks.of_state[unsigned(s)])] += out[unsigned(s)] - v[unsigned(s)]
    for i in range(n):
        for k in range(max(0, i - half), i):
            right[i] -= band[i, k - i + half] * right[k]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, min(n, i + half + 1)):
            right[i] -= band[i, k - i + half] * right[k]
        right[i] /= band[i, half]
    for s in range(len(v)):
        v[unsigned(s)] += right[unsigned(blocks.of_state[unsigned(s)])]
