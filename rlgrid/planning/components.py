"""The graph of a chain: its strongly connected components, its recurrent classes, and what leads to where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.kernels.components import Pattern, Search, find_reaching, strong_components

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Components(NamedTuple):
    """The strongly connected components of a chain's probabilities of going on, P [S, S]."""

    pattern: Pattern  # of P
    label: Ints  # [S] number of each state's component, above those to which it leads
    order: Ints  # [S] the states, component after component

    def reaching(self, target: Bools) -> Bools:
        """States from which a target [S] can be reached, the targets among them, [S]."""
        reaches = np.zeros(len(target), np.bool_)
        if target.any():
            find_reaching(self.pattern, self.label, self.order, target, reaches)
        return reaches

    def recurrent(self, ending: Floats) -> Bools:
        """States in components that are never left and do not end, [S]; ``ending`` [S] is the chance of a state."""
        column_label = self.label[self.pattern.column]
        own_label = np.repeat(self.label, np.diff(self.pattern.first))
        is_open = np.zeros(len(self.label), np.bool_)
        is_open[own_label[own_label != column_label]] = True
        is_open[self.label[ending > 0]] = True
        return ~is_open[self.label]


def components_of(P: csr_array[Any]) -> Components:
    """The components of a chain with probabilities of going on P [S, S]; each entry that is stored is above 0."""
    n_states = len(P.indptr) - 1
    pattern = Pattern(P.indptr.astype(np.int64), P.indices.astype(np.int64))
    label, order = np.empty(n_states, np.int64), np.empty(n_states, np.int64)
    strong_components(pattern, label, order, Search(*(np.empty(n_states, np.int64) for _ in range(5))))
    return Components(pattern, label, order)
