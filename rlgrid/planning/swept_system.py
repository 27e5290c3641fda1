"""Linear systems x = right + P x of a chain that are too large to be eliminated: swept, then enclosed entry by entry.

P has no negative entries, and from each state the episode ends, or leaves for others that are not solved for. Let c be
at least |right + P x - x| relative to x, rounding included, and z > 0 with z - P z >= x: another system, which need not
be solved as well. Then u = x + c z satisfies u >= right + P u, and l = x - c z satisfies l <= right + P l. From u,
x -> right + P x goes down, from l it goes up, and P^k u goes to 0, as P u < u by a share of x: so both ways end at the
one solution, which lies between. The same holds for P transposed. To x a tiny part of its largest entry is added, below
which nothing is relative any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError
from rlgrid.kernels.chain_layout import sweep_chain
from rlgrid.models.reachability import search_order
from rlgrid.planning.certificate import UNIT
from rlgrid.planning.components import Components
from rlgrid.planning.elimination import Elimination, TooLarge

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Entries of P to look at, in all sweeps for one right side: about half a minute.
MOST_ENTRIES = 2**33

#: Sweeps between two looks at what is left; of these the first foresees, and the last goes backwards.
SWEEPS = 8

#: Where sweeps no longer bring what is left, relative, below this, rounding is all that moves.
SETTLED = 1e-12

#: A larger relative error than this is not accepted.
MOST_ERROR = 1e-6

#: Entries are relative down to this part of the largest one.
LEAST = 1e-200

#: The second system is good enough where z - P z is this share of x.
SHARE = 0.75


class SweptSystem:
    """(I - P)^-1 for some states of a chain, as :class:`rlgrid.planning.elimination.Elimination` has it.

    Attributes:
        error: relative error of each entry of the solutions so far, at most; entries below 1e-200 of the largest one
            count as if they were so large.
    """

    def __init__(self, P: csr_array[Any], end: Floats, kept: Bools) -> None:
        from scipy.sparse import csr_array

        leaves = end + P @ (~kept).astype(np.float64)
        order = search_order(csr_array(P.T), np.flatnonzero(kept & (leaves > 0)))
        self.order = order[kept[order]]
        rows = csr_array(P[self.order])
        self._P = csr_array(rows[:, self.order])
        self._P.sum_duplicates()
        self._P.eliminate_zeros()
        self._leaves = leaves[self.order] + self._P.sum(axis=1) - self._P.diagonal()
        self.error = 0.0

    def solve(self, right: Floats) -> Floats:
        """x = right + P x, [S]; 0 for states that are not kept. No entry of ``right`` is negative."""
        return self._enclosed(self._P, right, slice(None))

    def solve_transposed(self, right: Floats) -> Floats:
        """x = right + P^T x, [S]."""
        from scipy.sparse import csr_array

        backwards = slice(None, None, -1)  # what is visited lies before what is reached
        transposed = csr_array(csr_array(self._P.T)[::-1])
        return self._enclosed(csr_array(transposed[:, ::-1]), right, backwards)

    def _enclosed(self, P: csr_array[Any], right: Floats, way: slice) -> Floats:
        order, leaves = self.order[way], np.ascontiguousarray(self._leaves[way])
        b = np.ascontiguousarray(right[order], dtype=np.float64)
        rounding = 2.0 * (int(np.diff(P.indptr).max(initial=0)) + 8) * UNIT
        x, size, left = np.zeros(len(order)), np.zeros(len(order)), np.inf
        for _ in self._sweeps(P, b, leaves, x):
            size = x + LEAST * x.max(initial=0.0)
            before, left = left, float((np.abs(b + P @ x - x) / np.maximum(size, 1e-300)).max(initial=0.0))
            if left <= rounding or before <= left <= SETTLED:
                break
        c = 2.0 * (left + 2.0 * rounding) / SHARE
        z, found = size.copy(), False
        for _ in self._sweeps(P, size, leaves, z):
            if found := bool((z - P @ z - rounding * z >= SHARE * size).all()):
                break
        error = c * float((z / np.maximum(size, 1e-300)).max(initial=0.0))
        if not (found and error <= MOST_ERROR):
            raise _too_long(len(order))
        self.error = max(self.error, error)
        solution = np.zeros(len(right))
        solution[order] = x
        return solution

    def _sweeps(self, P: csr_array[Any], right: Floats, leaves: Floats, x: Floats) -> Any:
        """Sweep x in place, again and again, as long as that is worth waiting for."""
        first, column = P.indptr.astype(np.int64), P.indices.astype(np.int32)
        for _ in range(MOST_ENTRIES // (SWEEPS * (len(x) + len(column)) + 1)):
            for k in range(SWEEPS):
                sweep_chain(first, column, P.data, right, leaves, x, k < SWEEPS - 1, k == 0)
            yield


def system_of(
    P: csr_array[Any],
    end: Floats,
    kept: Bools | None,
    shape: tuple[int, int] | None,
    components: Components | None = None,
) -> Elimination | SweptSystem:
    """The equations of the states kept, eliminated where they are few enough."""
    try:
        return Elimination(P, end, kept, shape, components)
    except TooLarge:
        return SweptSystem(P, end, np.ones(len(end), np.bool_) if kept is None else kept)


def _too_long(n_states: int) -> InputError:
    return InputError(
        f"the equations of {n_states:,} states are too many to be eliminated, and the policy takes too long to end for "
        "sweeps to settle; allowed: a smaller world, a policy that ends sooner, or a discount below 1"
    )
