"""Elimination of the states of a chain without subtractions (Grassmann, Taksar & Heyman, Operations Research, 1985).

A chain goes from state i to state j with probability P[i, j] and ends with probability e[i]. Eliminating state k leaves
a chain on the other states: whoever went to k goes on to where k leads. All that is added and multiplied is
positive, so that no digit is lost, however unlikely the end. Self loops are never looked at: a state leaves itself with
the probability e[k] + sum of P[k, j] over the others, which is summed, not taken from 1.

With T the diagonal of these sums, U the rows at the time of their elimination, and F the shares that are handed on,
I - P = (I - F)(T - U), F below the diagonal and U above it, in the order of elimination. Which entries can differ from
0 is found first, by the elimination tree of the pattern of P + P^T (Davis, Direct Methods for Sparse Linear Systems,
2006, Sections 4.1 and 4.2).

Only what a strongly connected component does within itself is eliminated. The components follow each other so that each
leads only to those before it: what happens there is known when a component's equations are solved, and to go there is
among its chances to end.
"""

from __future__ import annotations

from typing import NamedTuple

from rlgrid.arrays import Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.kernels.components import Pattern


class Factors(NamedTuple):
    """I - P = (I - F)(T - U) of a chain with S states, in the order in which they are eliminated."""

    F_first: Ints  # [S + 1]
    F_column: Ints  # [N] below the diagonal
    F: Floats  # [N]
    U_first: Ints  # [S + 1]
    U_column: Ints  # [N] above the diagonal
    U: Floats  # [N]
    T: Floats  # [S]


class Blocks(NamedTuple):
    """The components in the order of the states, and the probabilities of going from one into another."""

    begin: Ints  # [B + 1] where each component begins
    outer: Pattern  # [S + 1], [M] states in components before
    P: Floats  # [M]


@compiled
def find_parents(pattern: Pattern, parent: Ints, ancestor: Ints) -> None:
    """The elimination tree of a symmetric pattern: the parent of each state, -1 for roots; ``ancestor`` [S] is room."""
    for i in range(len(parent)):
        parent[unsigned(i)] = -1
        ancestor[unsigned(i)] = -1
        for p in range(pattern.first[unsigned(i)], pattern.first[unsigned(i + 1)]):
            k = pattern.column[unsigned(p)]
            while k != -1 and k < i:
                following = ancestor[unsigned(k)]
                ancestor[unsigned(k)] = i
                if following == -1:
                    parent[unsigned(k)] = i
                k = following


@compiled
def reach(i: int, pattern: Pattern, parent: Ints, mark: Ints, stack: Ints) -> int:
    """States before i with an entry in row i of F, each after those that lead to it: ``stack`` from this place on.

    ``mark`` [S] says for which row a state was met last.
    """
    top = len(parent)
    mark[unsigned(i)] = i
    for p in range(pattern.first[unsigned(i)], pattern.first[unsigned(i + 1)]):
        k = pattern.column[unsigned(p)]
        length = 0
        while k < i and mark[unsigned(k)] != i:
            stack[unsigned(length)] = k
            mark[unsigned(k)] = i
            length += 1
            k = parent[unsigned(k)]
        while length > 0:
            length -= 1
            top -= 1
            stack[unsigned(top)] = stack[unsigned(length)]
    return top


@compiled
def count_entries(
    pattern: Pattern, parent: Ints, mark: Ints, stack: Ints, in_row: Ints, in_column: Ints, most: int
) -> int:
    """How many entries each row of F and each row of U has, [S] each, and all of F; it stops above ``most``."""
    n_states = len(parent)
    for i in range(n_states):
        mark[unsigned(i)] = -1
        in_row[unsigned(i)] = 0
        in_column[unsigned(i)] = 0
    entries = 0
    for i in range(n_states):
        if entries <= most:
            top = reach(i, pattern, parent, mark, stack)
            in_row[unsigned(i)] = n_states - top
            entries += n_states - top
            for q in range(top, n_states):
                in_column[unsigned(stack[unsigned(q)])] += 1
    return entries


@compiled
def count_operations(pattern: Pattern, parent: Ints, mark: Ints, stack: Ints, in_column: Ints, most: float) -> float:
    """About how many multiplications an elimination takes: the squares of what stands in each column of F, added up.

    Counting ends where there are more than ``most``.
    """
    total = 0.0
    for i in range(len(parent)):
        mark[unsigned(i)] = -1
        in_column[unsigned(i)] = 0
    for i in range(len(parent)):
        for q in range(reach(i, pattern, parent, mark, stack), len(parent)):
            k = stack[unsigned(q)]
            total += 2.0 * in_column[unsigned(k)] + 1.0
            in_column[unsigned(k)] += 1
        if total > most:
            break
    return total


@compiled
def place_entries(pattern: Pattern, parent: Ints, mark: Ints, stack: Ints, factors: Factors, filled: Ints) -> None:
    """Write down where the entries of F and U stand; ``filled`` [S] begins as ``U_first[:-1]``."""
    n_states = len(parent)
    for i in range(n_states):
        mark[unsigned(i)] = -1
    for i in range(n_states):
        begin = factors.F_first[unsigned(i)]
        top = reach(i, pattern, parent, mark, stack)
        for q in range(top, n_states):
            k = stack[unsigned(q)]
            factors.F_column[unsigned(begin + q - top)] = k
            factors.U_column[unsigned(filled[unsigned(k)])] = i
            filled[unsigned(k)] += 1


@compiled
def eliminate(rows: Pattern, P: Floats, end: Floats, factors: Factors, work: Floats) -> None:
    """Eliminate the states one after the other. ``end`` [S] changes; ``work`` [S] is 0 before and after."""
    U_first, U_column, U = factors.U_first, factors.U_column, factors.U
    for i in range(len(end)):
        for p in range(rows.first[unsigned(i)], rows.first[unsigned(i + 1)]):
            work[unsigned(rows.column[unsigned(p)])] += P[unsigned(p)]
        ends = end[unsigned(i)]
        for q in range(factors.F_first[unsigned(i)], factors.F_first[unsigned(i + 1)]):
            k = factors.F_column[unsigned(q)]
            share = work[unsigned(k)] / factors.T[unsigned(k)]
            work[unsigned(k)] = 0.0
            factors.F[unsigned(q)] = share
            if share > 0.0:
                ends += share * end[unsigned(k)]
                for p in range(U_first[unsigned(k)], U_first[unsigned(k + 1)]):
                    work[unsigned(U_column[unsigned(p)])] += share * U[unsigned(p)]
        work[unsigned(i)] = 0.0  # the self loop
        leaves = 0.0
        for p in range(U_first[unsigned(i)], U_first[unsigned(i + 1)]):
            U[unsigned(p)] = work[unsigned(U_column[unsigned(p)])]
            work[unsigned(U_column[unsigned(p)])] = 0.0
            leaves += U[unsigned(p)]
        end[unsigned(i)] = ends
        factors.T[unsigned(i)] = leaves + ends


@compiled
def substitute(factors: Factors, blocks: Blocks, x: Floats) -> None:
    """Make of ``x`` [S] the solution of x = right + P x, where ``x`` is the right side; in place."""
    for b in range(len(blocks.begin) - 1):
        begin, stop = blocks.begin[unsigned(b)], blocks.begin[unsigned(b + 1)]
        for i in range(begin, stop):
            for p in range(blocks.outer.first[unsigned(i)], blocks.outer.first[unsigned(i + 1)]):
                x[unsigned(i)] += blocks.P[unsigned(p)] * x[unsigned(blocks.outer.column[unsigned(p)])]
            for q in range(factors.F_first[unsigned(i)], factors.F_first[unsigned(i + 1)]):
                x[unsigned(i)] += factors.F[unsigned(q)] * x[unsigned(factors.F_column[unsigned(q)])]
        for i in range(stop - 1, begin - 1, -1):
            total = x[unsigned(i)]
            for p in range(factors.U_first[unsigned(i)], factors.U_first[unsigned(i + 1)]):
                total += factors.U[unsigned(p)] * x[unsigned(factors.U_column[unsigned(p)])]
            x[unsigned(i)] = total / factors.T[unsigned(i)]


@compiled
def substitute_transposed(factors: Factors, blocks: Blocks, x: Floats) -> None:
    """The same for x = right + P^T x."""
    for b in range(len(blocks.begin) - 2, -1, -1):
        begin, stop = blocks.begin[unsigned(b)], blocks.begin[unsigned(b + 1)]
        for i in range(begin, stop):
            x[unsigned(i)] /= factors.T[unsigned(i)]
            for p in range(factors.U_first[unsigned(i)], factors.U_first[unsigned(i + 1)]):
                x[unsigned(factors.U_column[unsigned(p)])] += x[unsigned(i)] * factors.U[unsigned(p)]
        for i in range(stop - 1, begin - 1, -1):
            for q in range(factors.F_first[unsigned(i)], factors.F_first[unsigned(i + 1)]):
                x[unsigned(factors.F_column[unsigned(q)])] += x[unsigned(i)] * factors.F[unsigned(q)]
            for p in range(blocks.outer.first[unsigned(i)], blocks.outer.first[unsigned(i + 1)]):
                x[unsigned(blocks.outer.column[unsigned(p)])] += x[unsigned(i)] * blocks.P[unsigned(p)]
