"""Which states the edges of a graph lead to: breadth-first search from several states at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def search_order(graph: csr_array[Any], sources: Ints) -> NDArray[np.int32]:
    """The states that can be reached, [n], as a breadth-first search finds them; the sources come first.

    ``graph`` [S, S] has an edge from s to t where there is an entry (s, t), whatever its value.
    """
    from scipy.sparse import csr_array  # SciPy loads when it is used
    from scipy.sparse.csgraph import breadth_first_order

    n_states = graph.shape[0]  # the search begins in one node more, which leads to all sources
    target = np.concatenate([graph.indices, sources.astype(graph.indices.dtype)])
    begin = np.append(graph.indptr, graph.indptr.dtype.type(len(target)))
    with_root = csr_array((np.ones(len(target)), target, begin), shape=(n_states + 1, n_states + 1))
    order: NDArray[np.int32] = breadth_first_order(with_root, n_states, return_predecessors=False)
    return order[1:]


def reached_from(graph: csr_array[Any], sources: Ints) -> Bools:
    """Which states can be reached from the sources, these among them, bool [S]."""
    reached = np.zeros(graph.shape[0], np.bool_)
    reached[search_order(graph, sources)] = True
    return reached
