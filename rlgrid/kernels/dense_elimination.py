"""The elimination of ``rlgrid.kernels.elimination`` in a dense matrix, a panel of states at a time.

``A`` [S, S] begins as the probabilities P of going on. What stands above its diagonal becomes U, what stands below it
becomes F; its diagonal, the self loops, is never read. A panel's rows are made complete first, then the shares that all
rows below hand on to it. What these rows get for that is a product of two matrices, which is left to the caller.
"""

from __future__ import annotations

from rlgrid.arrays import Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.kernels.components import Pattern


@compiled
def scatter(rows: Pattern, P: Floats, number: Ints, A: Floats, end: Floats) -> None:
    """Enter a sparse matrix into ``A`` [N, N]; ``number`` [S] is -1 for states that are left out: there it ends."""
    for s in range(len(number)):
        i = number[unsigned(s)]
        if i >= 0:
            for p in range(rows.first[unsigned(s)], rows.first[unsigned(s + 1)]):
                j = number[unsigned(rows.column[unsigned(p)])]
                if j >= 0:
                    A[unsigned(i), unsigned(j)] += P[unsigned(p)]
                else:
                    end[unsigned(i)] += P[unsigned(p)]


@compiled
def eliminate_panel(A: Floats, end: Floats, T: Floats, begin: int, stop: int) -> None:
    """Eliminate the states ``begin`` to ``stop``, those before them being eliminated."""
    n_states = len(T)
    for i in range(begin, stop):
        for k in range(begin, i):
            share = A[unsigned(i), unsigned(k)] / T[unsigned(k)]
            A[unsigned(i), unsigned(k)] = share
            if share > 0.0:
                end[unsigned(i)] += share * end[unsigned(k)]
                for j in range(k + 1, n_states):
                    A[unsigned(i), unsigned(j)] += share * A[unsigned(k), unsigned(j)]
        leaves = 0.0
        for j in range(i + 1, n_states):
            leaves += A[unsigned(i), unsigned(j)]
        T[unsigned(i)] = leaves + end[unsigned(i)]


@compiled
def hand_on(A: Floats, T: Floats, begin: int, stop: int) -> None:
    """The shares F of all rows below a panel, in its columns."""
    for i in range(stop, len(T)):
        for k in range(begin, stop):
            share = A[unsigned(i), unsigned(k)] / T[unsigned(k)]
            A[unsigned(i), unsigned(k)] = share
            if share > 0.0:
                for j in range(k + 1, stop):
                    A[unsigned(i), unsigned(j)] += share * A[unsigned(k), unsigned(j)]


@compiled
def substitute_dense(A: Floats, T: Floats, x: Floats) -> None:
    """Make of ``x`` [S] the solution of x = right + P x, where ``x`` is the right side; in place."""
    n_states = len(T)
    for i in range(n_states):
        for k in range(i):
            x[unsigned(i)] += A[unsigned(i), unsigned(k)] * x[unsigned(k)]
    for i in range(n_states - 1, -1, -1):
        total = x[unsigned(i)]
        for j in range(i + 1, n_states):
            total += A[unsigned(i), unsigned(j)] * x[unsigned(j)]
        x[unsigned(i)] = total / T[unsigned(i)]


@compiled
def substitute_dense_transposed(A: Floats, T: Floats, x: Floats) -> None:
    """The same for x = right + P^T x."""
    n_states = len(T)
    for i in range(n_states):
        x[unsigned(i)] /= T[unsigned(i)]
        for j in range(i + 1, n_states):
            x[unsigned(j)] += x[unsigned(i)] * A[unsigned(i), unsigned(j)]
    for i in range(n_states - 1, -1, -1):
        for k in range(i):
            x[unsigned(k)] += x[unsigned(i)] * A[unsigned(i), unsigned(k)]
