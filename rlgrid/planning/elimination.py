"""Linear systems x = right + P x of a chain that ends, solved without subtractions, entry by entry.

``I - P`` is an M-matrix, and an M-matrix that is known by its off-diagonal entries and its row sums (here: chances to
end) determines each entry of its inverse to a relative accuracy (O'Cinneide, Numerische Mathematik 65, 1993): where
every such number changes by a factor of at most 1 + u, an entry of the solution for a right side of one sign changes by
about 2 S u of itself at most. Each of the S steps of an elimination is such a change by a few roundings, so that the
relative error stays below about S² times a few roundings; what is seen is a few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.elimination import (
    Factors,
    Pattern,
    count_entries,
    eliminate,
    find_parents,
    place_entries,
    substitute,
    substitute_transposed,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Numbers in the factors: more would take more than 2 GiB.
MOST_ENTRIES = 60_000_000

#: Cells of a part of a map that are eliminated as they come.
_SMALL = 16

#: What one rounding changes, relative.
_UNIT = 2.0**-53


class Elimination:
    """(I - P)^-1 for some states of a chain, from each of which an end, or another state, can be reached.

    Args:
        P: probabilities of going on, [S, S].
        end: probabilities of ending with the next step, [S].
        kept: the states whose equations are solved, bool [S]; to leave them is to end. All by default.
        shape: rows and columns of the map, where the states are its cells.

    Attributes:
        error: relative error of each entry of a solution whose right side has one sign, at most.

    Raises:
        InputError: where the factors would not fit the memory.

    >>> from scipy.sparse import csr_array
    >>> chain = Elimination(csr_array(np.array([[0.0, 1.0], [1.0, 0.0]])), np.array([0.0, 1e-30]))
    >>> bool(abs(chain.solve(np.ones(2))[0] / 2e30 - 1) < 1e-15)
    True
    """

    def __init__(
        self,
        P: csr_array[Any],
        end: Floats,
        kept: Bools | None = None,
        shape: tuple[int, int] | None = None,
    ) -> None:
        from scipy.sparse import csr_array

        order = elimination_order(P, shape)
        self.order = order if kept is None else order[kept[order]]
        rows = csr_array(P[self.order])
        ordered = csr_array(rows[:, self.order])
        leaves = end[self.order] if kept is None else end[self.order] + rows @ (~kept).astype(np.float64)
        self._factors = _factorize(ordered, leaves)
        n_states = len(self.order)
        in_a_row = int(np.diff(self._factors.F_first).max(initial=0)) + int(np.diff(ordered.indptr).max(initial=0))
        self.error = 4.0 * n_states * (n_states + in_a_row + 4) * _UNIT

    def solve(self, right: Floats) -> Floats:
        """x = right + P x, [S]; 0 for states that are not kept."""
        return self._in_order(right, substitute)

    def solve_transposed(self, right: Floats) -> Floats:
        """x = right + P^T x, [S]."""
        return self._in_order(right, substitute_transposed)

    def _in_order(self, right: Floats, solver: Any) -> Floats:
        inner = np.ascontiguousarray(right[self.order], dtype=np.float64)
        solver(self._factors, inner)
        x = np.zeros(len(right))
        x[self.order] = inner
        return x


def elimination_order(P: csr_array[Any], shape: tuple[int, int] | None) -> Ints:
    """An order in which little fills in: nested dissection of a map, else reverse Cuthill-McKee."""
    if shape is not None and shape[0] * shape[1] == P.shape[0]:
        parts: list[Ints] = []
        _dissect(np.arange(P.shape[0]).reshape(shape), parts)
        return np.concatenate(parts)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    return reverse_cuthill_mckee(csr_array(P + P.T), symmetric_mode=True).astype(np.int64)


def _dissect(cells: Ints, parts: list[Ints]) -> None:
    """The cells of a part of a map: both halves, then the line between them (George 1973)."""
    if cells.size <= _SMALL:
        parts.append(cells.ravel())
        return
    if cells.shape[0] < cells.shape[1]:
        cells = cells.T
    middle = len(cells) // 2
    _dissect(cells[:middle], parts)
    _dissect(cells[middle + 1 :], parts)
    parts.append(cells[middle])


def _factorize(P: csr_array[Any], end: Floats) -> Factors:
    from scipy.sparse import csr_array

    n_states = len(end)
    symmetric = csr_array(P + P.T)
    pattern = Pattern(symmetric.indptr.astype(np.int64), symmetric.indices.astype(np.int64))
    parent, mark, in_row, in_column = (np.empty(n_states, np.int64) for _ in range(4))
    stack = np.empty(n_states + 1, np.int64)
    find_parents(pattern, parent, mark)
    count_entries(pattern, parent, mark, stack, in_row, in_column)
    entries = int(in_row.sum())
    if entries > MOST_ENTRIES:
        raise InputError(
            f"the equations of {n_states:,} states fill in to {entries:,} numbers; allowed: {MOST_ENTRIES:,}, or a "
            "discount below 1"
        )
    factors = Factors(
        F_first=np.concatenate([[0], np.cumsum(in_row)]),
        F_column=np.empty(entries, np.int64),
        F=np.empty(entries),
        U_first=np.concatenate([[0], np.cumsum(in_column)]),
        U_column=np.empty(entries, np.int64),
        U=np.empty(entries),
        T=np.empty(n_states),
    )
    place_entries(pattern, parent, mark, stack, factors, factors.U_first[:-1].copy())
    rows = Pattern(P.indptr.astype(np.int64), P.indices.astype(np.int64))
    eliminate(rows, P.data.astype(np.float64), end.copy(), factors, np.zeros(n_states))
    return factors
