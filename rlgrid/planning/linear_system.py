"""The values of a policy by a direct solve of its linear system, dense for few states and sparse for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats
from rlgrid.errors import InputError
from rlgrid.kernels.components import Pattern
from rlgrid.kernels.elimination import count_operations, find_parents
from rlgrid.kernels.sweeps import Rows

if TYPE_CHECKING:
    from scipy.sparse import csc_array

#: States up to which systems are solved as dense ones: four times as fast for 64 states, no slower for these.
DENSE = 128

#: States up to which no elimination takes long, and multiplications beyond which one takes minutes or more.
SURE, MOST_OPERATIONS = 3_000, 5e10


def policy_values(rows: Rows, weight: Floats) -> Floats:
    """v = r + P v [S] of the policy that takes each row with probability ``weight`` [R].

    Raises:
        InputError: where elimination would fill the matrix in, so that it would take minutes or more.
        LinAlgError: where rounding has made the matrix singular, as may happen at the last floats before 1.
    """
    n_states = len(rows.begin) - 1
    share = np.repeat(weight, np.diff(rows.first))
    state = np.repeat(np.arange(n_states), np.diff(rows.first[rows.begin]))
    reward = np.bincount(state, share * rows.reward_share[rows.code], n_states)
    continuation = share * rows.continuation[rows.code]
    if n_states <= DENSE:
        P = np.bincount(state * n_states + rows.next_state, continuation, n_states**2).reshape(n_states, n_states)
        return np.asarray(np.linalg.solve(np.eye(n_states) - P, reward), dtype=np.float64)
    from scipy.sparse import csc_array

    kept = continuation > 0
    if not can_be_eliminated(state[kept], rows.next_state[kept], n_states):
        raise InputError(
            f"a direct solve of these {n_states:,} equations would take more than {MOST_OPERATIONS:.0e} "
            'multiplications; allowed: the methods "auto", "modified_policy_iteration" and those that sweep'
        )
    diagonal = np.arange(n_states)
    entries = np.concatenate([np.ones(n_states), -continuation[kept]])
    places = np.concatenate([diagonal, state[kept]]), np.concatenate([diagonal, rows.next_state[kept]])
    try:
        return solve_sparse(csc_array((entries, places), shape=(n_states, n_states)), reward)
    except RuntimeError as error:
        raise np.linalg.LinAlgError(str(error)) from None


def can_be_eliminated(state: NDArray[Any], next_state: NDArray[Any], n_states: int) -> bool:
    """Whether a system whose matrix has entries at (state, next state) is solved by elimination before long.

    It is looked at in an order that keeps neighbours together (reverse Cuthill-McKee), where what fills in is known by
    the elimination tree. SuperLU's own order is rarely much worse, and often better.
    """
    if n_states <= SURE:
        return True
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    graph = csr_array((np.ones(len(state), np.int8), (state, next_state)), shape=(n_states, n_states))
    graph = csr_array(graph + graph.T)
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    ordered = csr_array(graph[order][:, order])
    pattern = Pattern(ordered.indptr.astype(np.int64), ordered.indices.astype(np.int64))
    parent, mark, in_column = (np.empty(n_states, np.int64) for _ in range(3))
    find_parents(pattern, parent, mark)
    stack = np.empty(n_states + 1, np.int64)
    return count_operations(pattern, parent, mark, stack, in_column, MOST_OPERATIONS) <= MOST_OPERATIONS


def solve_sparse(matrix: csc_array[Any], right: NDArray[Any]) -> Floats:
    """The solution x [S] of ``matrix`` [S, S] x = ``right`` [S], by elimination.

    Raises:
        RuntimeError: where the matrix is exactly singular.
    """
    from scipy.sparse.linalg import splu

    return np.asarray(splu(matrix).solve(right), dtype=np.float64)
