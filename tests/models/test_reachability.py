"""Breadth-first search from several states, against a search that is written plainly."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from scipy.sparse import csr_array

from rlgrid.models.reachability import reached_from, search_order


def plain_order(edges: set[tuple[int, int]], sources: list[int]) -> list[int]:
    order, queue = list(sources), deque(sources)
    while queue:
        state = queue.popleft()
        for new in sorted(t for s, t in edges if s == state and t not in order):
            order.append(new)
            queue.append(new)
    return order


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_that_of_a_plain_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    edges = {(int(s), int(t)) for s, t in rng.integers(n, size=(int(rng.integers(1, 2 * n)), 2))}
    source, target = np.array(sorted(edges)).T
    graph = csr_array((np.zeros(len(edges)), (source, target)), shape=(n, n))  # an entry is an edge, whatever its value
    sources = np.unique(rng.integers(n, size=2))
    order = plain_order(edges, sources.tolist())
    assert search_order(graph, sources).tolist() == order
    assert np.flatnonzero(reached_from(graph, sources)).tolist() == sorted(order)


def test_without_sources_nothing_is_reached() -> None:
    graph = csr_array(np.ones((3, 3)))
    assert not reached_from(graph, np.zeros(0, np.int64)).any()
