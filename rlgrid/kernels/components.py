"""Strongly connected components of a graph, and what leads to where (Tarjan, SIAM Journal on Computing 1, 1972)."""

from __future__ import annotations

from typing import NamedTuple

from rlgrid.arrays import Bools, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled


class Pattern(NamedTuple):
    """The columns of each row of an [S, S] matrix: those of row i stand at ``first[i]`` to ``first[i + 1]``."""

    first: Ints  # [S + 1]
    column: Ints  # [N]


class Search(NamedTuple):
    """Room for a depth-first search, [S] each."""

    place: Ints  # when a state was met, from 1 on; 0 before
    low: Ints  # the earliest state of the same component that is known
    entry: Ints  # the next entry of a state to look at
    path: Ints
    waiting: Ints  # states whose component is not complete


@compiled
def strong_components(pattern: Pattern, label: Ints, order: Ints, search: Search) -> None:
    """Number the components, [S], so that each comes after all those to which it leads.

    ``order`` [S] becomes the states, component after component.
    """
    place, low, entry, path, waiting = search
    for i in range(len(label)):
        label[unsigned(i)] = -1
        place[unsigned(i)] = 0
    met, n_waiting, n_placed, n_found = 0, 0, 0, 0
    for root in range(len(label)):
        depth = 0
        if place[unsigned(root)] == 0:
            path[0] = root
            depth = 1
        while depth > 0:
            i = path[unsigned(depth - 1)]
            if place[unsigned(i)] == 0:
                met += 1
                place[unsigned(i)] = met
                low[unsigned(i)] = met
                entry[unsigned(i)] = pattern.first[unsigned(i)]
                waiting[unsigned(n_waiting)] = i
                n_waiting += 1
            if entry[unsigned(i)] < pattern.first[unsigned(i + 1)]:
                j = pattern.column[unsigned(entry[unsigned(i)])]
                if place[unsigned(j)] == 0:  # looked at again when it is done
                    path[unsigned(depth)] = j
                    depth += 1
                else:
                    if label[unsigned(j)] == -1:
                        low[unsigned(i)] = min(low[unsigned(i)], low[unsigned(j)])
                    entry[unsigned(i)] += 1
            else:
                depth -= 1
                if low[unsigned(i)] == place[unsigned(i)]:
                    j = -1
                    while j != i:
                        n_waiting -= 1
                        j = waiting[unsigned(n_waiting)]
                        label[unsigned(j)] = n_found
                        order[unsigned(n_placed)] = j
                        n_placed += 1
                    n_found += 1


@compiled
def find_reaching(pattern: Pattern, label: Ints, order: Ints, target: Bools, reaches: Bools) -> None:
    """Which states lead to a target, [S], as ``strong_components`` numbers the states; ``target`` [S] among them."""
    begin = 0
    while begin < len(order):
        number = label[unsigned(order[unsigned(begin)])]
        found = False
        stop = begin
        while stop < len(order) and label[unsigned(order[unsigned(stop)])] == number:
            i = order[unsigned(stop)]
            found = found or target[unsigned(i)]
            for p in range(pattern.first[unsigned(i)], pattern.first[unsigned(i + 1)]):
                j = pattern.column[unsigned(p)]
                found = found or (label[unsigned(j)] != number and reaches[unsigned(j)])
            stop += 1
        for q in range(begin, stop):
            reaches[unsigned(order[unsigned(q)])] = found
        begin = stop
