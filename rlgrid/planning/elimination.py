"""Linear systems x = right + P x of a chain that ends, solved without subtractions, entry by entry.

``I - P`` is an M-matrix, and an M-matrix that is known by its off-diagonal entries and its row sums (here: chances to
end) determines each entry of its inverse to a relative accuracy (O'Cinneide, Numerische Mathematik 65, 1993). An entry
of the inverse is a ratio of sums over forests of the chain's graph, and a forest has at most one edge out of a state:
where all numbers of one row change by factors of at most 1 + u, an entry changes by a factor of about 1 + 2 u at most.
To eliminate a state changes the rows of those states that lead to it by a few roundings each, and its own by the
roundings of a sum. So the relative error is at most a few roundings for each entry of the factors and for each term of
the longest sum of each state; what is seen is a few roundings in all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.components import Pattern
from rlgrid.kernels.dense_elimination import (
    eliminate_panel,
    hand_on,
    scatter,
    substitute_dense,
    substitute_dense_transposed,
)
from rlgrid.kernels.elimination import (
    Blocks,
    Factors,
    count_entries,
    eliminate,
    find_parents,
    place_entries,
    substitute,
    substitute_transposed,
)
from rlgrid.planning.certificate import UNIT
from rlgrid.planning.components import Components, components_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Numbers in the factors: more would take more than 2 GiB.
MOST_ENTRIES = 60_000_000

#: Multiplications of an elimination that are worth waiting for: half a minute.
MOST_OPERATIONS = 2e10

#: A matrix is dense where one of so many entries is not 0.
_FULL = 8

#: States up to which chains are kept as dense matrices.
SMALL = 128

#: States of a panel of a larger dense matrix, and rows below it that are updated together.
_PANEL, _BELOW = 128, 1024

#: A multiplication of a sparse elimination takes as long as so many of a dense one.
_SPARSE_COST = 16

#: Cells of a part of a map that are eliminated as they come.
_SMALL_PART = 16

#: Chances to leave a state below this could have lost digits to underflow.
LEAST = 1e-280


class TooLarge(InputError):
    """The factors would fill in too much."""


class Dense(NamedTuple):
    """The factors of a chain as one matrix."""

    A: Floats  # [N, N] F below the diagonal, U above it
    T: Floats  # [N] chance to leave each state for one after it, or to end

    @property
    def error(self) -> float:
        """Relative error of a solution, in roundings."""
        return len(self.T) * (1.5 * len(self.T) + 4.0)


class Sparse(NamedTuple):
    """The factors of each component of a chain."""

    factors: Factors
    blocks: Blocks

    @property
    def T(self) -> Floats:
        """Chance to leave each state for one after it, or to end, [N]."""
        return self.factors.T

    @property
    def error(self) -> float:
        """Relative error of a solution, in roundings."""
        longest = [np.diff(first).max(initial=0) for first in (self.factors.F_first, self.factors.U_first)]
        longest.append(np.diff(self.blocks.outer.first).max(initial=0))
        return len(self.factors.F) + len(self.T) * (float(sum(longest)) + 4.0)


class Ordered(NamedTuple):
    """A chain's states in the order in which they are eliminated, component after component."""

    order: Ints  # [N]
    inner: csr_array[Any]  # [N, N] probabilities of going on within a component, without self loops
    outer: csr_array[Any]  # [N, N] into a component before
    end: Floats  # [N] probabilities of leaving the component, by ending or otherwise
    begin: Ints  # [B + 1] where each component begins


class Elimination:
    """(I - P)^-1 for some states of a chain, from each of which an end, or another state, can be reached.

    Args:
        P: probabilities of going on, [S, S].
        end: probabilities of ending with the next step, [S].
        kept: the states whose equations are solved, bool [S]; to leave them is to end. All by default.
        shape: rows and columns of the map, where the states are its cells.
        components: those of P, where they are known.

    Attributes:
        error: relative error of each entry of a solution whose right side has one sign, at most.

    Raises:
        InputError: where the factors would not fit the memory, or an end is too unlikely for a float.

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
        components: Components | None = None,
    ) -> None:
        part = np.ones(len(end), np.bool_) if kept is None else kept
        sparse: Sparse | None = None
        if len(end) <= SMALL or (_FULL * P.nnz > len(end) ** 2 and len(end) ** 2 <= MOST_ENTRIES):
            self.order = np.flatnonzero(part)
        else:
            ordered = _ordered(P, end, part, shape, components_of(P) if components is None else components)
            self.order, sparse = ordered.order, _factorized(ordered)
        self._factors = sparse or _dense(P, end, self.order)
        if not self._factors.T.min(initial=1.0) >= LEAST:
            raise InputError(
                f"a chance to end, or to leave some states, is below {LEAST:g}: float64 cannot tell it from 0; "
                "allowed: exact fractions, or a discount below 1"
            )
        self.error = 8.0 * UNIT * (self._factors.error + len(self.order) * float(np.diff(P.indptr).max(initial=0)))

    def solve(self, right: Floats) -> Floats:
        """x = right + P x, [S]; 0 for states that are not kept."""
        return self._in_order(right, substitute_dense, substitute)

    def solve_transposed(self, right: Floats) -> Floats:
        """x = right + P^T x, [S]."""
        return self._in_order(right, substitute_dense_transposed, substitute_transposed)

    def _in_order(self, right: Floats, dense: Any, sparse: Any) -> Floats:
        inner = np.ascontiguousarray(right[self.order], dtype=np.float64)
        if isinstance(self._factors, Dense):
            dense(*self._factors, inner)
        else:
            sparse(*self._factors, inner)
        if not np.isfinite(inner).all():
            raise InputError(
                "a number is above 1.8e308, the largest float64; allowed: exact fractions, or a discount below 1"
            )
        x = np.zeros(len(right))
        x[self.order] = inner
        return x


def _dense(P: csr_array[Any], end: Floats, order: Ints) -> Dense:
    """Eliminate the states in ``order`` [N] as a dense matrix."""
    n_states = len(order)
    number = np.full(len(end), -1)
    number[order] = np.arange(n_states)
    A, T, ends = np.zeros((n_states, n_states)), np.empty(n_states), end[order]
    scatter(_pattern(P), P.data, number, A, ends)
    room = np.empty(_BELOW * n_states if n_states > _PANEL else 0)
    for begin in range(0, n_states, _PANEL):
        stop = min(begin + _PANEL, n_states)
        eliminate_panel(A, ends, T, begin, stop)
        if stop < n_states:
            hand_on(A, T, begin, stop)
            ends[stop:] += A[stop:, begin:stop] @ ends[begin:stop]
            for top in range(stop, n_states, _BELOW):
                below = A[top : top + _BELOW]
                gained = room[: below[:, stop:].size].reshape(len(below), -1)
                below[:, stop:] += np.matmul(below[:, begin:stop], A[begin:stop, stop:], out=gained)
    return Dense(A, T)


def _ordered(
    P: csr_array[Any], end: Floats, kept: Bools, shape: tuple[int, int] | None, components: Components
) -> Ordered:
    """Order the states that are kept, and tell what goes on within a component from what leaves it."""
    from scipy.sparse import csr_array

    label, total = components.label, len(end)
    row, column = np.repeat(np.arange(total), np.diff(P.indptr)), P.indices
    leaves = kept[row] & ((label[row] != label[column]) | ~kept[column])
    inner = kept[row] & ~leaves & (row != column)
    ends = end + np.bincount(row[leaves], P.data[leaves], total)
    order = elimination_order(csr_array((P.data[inner], (row[inner], column[inner])), shape=(total, total)), shape)
    order = order[kept[order]]
    order = order[np.argsort(label[order], kind="stable")]
    number = np.full(total, -1)
    number[order] = np.arange(len(order))

    def renumbered(which: Bools) -> csr_array[Any]:
        places = number[row[which]], number[column[which]]
        return csr_array((P.data[which], places), shape=(len(order), len(order)))

    begin = np.flatnonzero(np.diff(label[order], prepend=-1, append=-1))
    return Ordered(order, renumbered(inner), renumbered(leaves & kept[column]), ends[order], begin)


def elimination_order(P: csr_array[Any], shape: tuple[int, int] | None) -> Ints:
    """An order in which little fills in: nested dissection of a map, else reverse Cuthill-McKee."""
    if shape is not None and shape[0] * shape[1] == P.shape[0]:
        return _dissected(*shape)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    return reverse_cuthill_mckee(csr_array(P + P.T), symmetric_mode=True).astype(np.int64)


@lru_cache(maxsize=2)
def _dissected(rows: int, columns: int) -> Ints:
    """Nested dissection of a map, which is the same for all policies."""
    parts: list[Ints] = []
    _dissect(np.arange(rows * columns).reshape(rows, columns), parts)
    order = np.concatenate(parts)
    order.flags.writeable = False
    return order


def _dissect(cells: Ints, parts: list[Ints]) -> None:
    """The cells of a part of a map: both halves, then the line between them (George 1973)."""
    if cells.size <= _SMALL_PART:
        parts.append(cells.ravel())
        return
    if cells.shape[0] < cells.shape[1]:
        cells = cells.T
    middle = len(cells) // 2
    _dissect(cells[:middle], parts)
    _dissect(cells[middle + 1 :], parts)
    parts.append(cells[middle])


def _factorized(ordered: Ordered) -> Sparse | None:
    """Eliminate each component; None where a dense matrix takes less time.

    Raises:
        InputError: where neither fits the memory.
    """
    from scipy.sparse import csr_array

    P, n_states = ordered.inner, len(ordered.order)
    symmetric = csr_array(P + P.T)
    pattern = _pattern(symmetric)
    parent, mark, in_row, in_column = (np.empty(n_states, np.int64) for _ in range(4))
    stack = np.empty(n_states + 1, np.int64)
    find_parents(pattern, parent, mark)
    entries = count_entries(pattern, parent, mark, stack, in_row, in_column, MOST_ENTRIES)
    operations = np.inf if entries > MOST_ENTRIES else float((in_column.astype(np.float64) ** 2).sum())
    if n_states**2 <= MOST_ENTRIES and _SPARSE_COST * operations > n_states**3 / 3:
        return None
    if operations > MOST_OPERATIONS:
        raise TooLarge(
            f"the equations of {n_states:,} states fill in to more numbers than can be solved for in a short time; "
            "allowed: a discount below 1"
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
    eliminate(_pattern(P), P.data, ordered.end.copy(), factors, np.zeros(n_states))
    return Sparse(factors, Blocks(ordered.begin, _pattern(ordered.outer), ordered.outer.data))


def _pattern(matrix: csr_array[Any]) -> Pattern:
    return Pattern(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64))
