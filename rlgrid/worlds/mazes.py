"""Random spanning trees on a grid of rooms, which the generators make mazes of.

Rooms are numbered row by row. ``way`` [rooms] holds for each room the direction of the next room on the tree's way to
its root; directions are numbered as in ``STEPS``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlgrid.compiled import compiled
from rlgrid.randomness import Stream, uniform

#: Row and column step of each direction: up, right, down, left.
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))

#: In ``way``: a room that the tree has not reached.
NEW = -1

#: In ``way``: the room in which the tree is rooted.
ROOT = -2

Ways = NDArray[np.int8]


@compiled
def neighbor(room: int, direction: int, n_rows: int, n_cols: int) -> int:
    """The room next to a room, or -1 at the edge."""
    row, col = room // n_cols, room % n_cols
    row += STEPS[direction][0]
    col += STEPS[direction][1]
    if row < 0 or row >= n_rows or col < 0 or col >= n_cols:
        return -1
    return row * n_cols + col


@compiled
def depth_first_tree(way: Ways, n_rows: int, n_cols: int, stream: Stream) -> None:
    """Grow a tree by depth-first search from the root: to a random new neighbor, or one room back where none is left.

    ``way`` is NEW everywhere but in the root, where it is ROOT. As it leads back to the root, no stack is needed.
    """
    room = 0
    while way[room] != ROOT:
        room += 1
    while True:
        count = 0
        for direction in range(4):
            beside = neighbor(room, direction, n_rows, n_cols)
            if beside >= 0 and way[beside] == NEW:
                count += 1
        if count == 0:
            if way[room] == ROOT:
                return
            room = neighbor(room, way[room], n_rows, n_cols)
            continue
        pick = int(uniform(stream) * count)
        for direction in range(4):
            beside = neighbor(room, direction, n_rows, n_cols)
            if beside >= 0 and way[beside] == NEW:
                if pick == 0:
                    way[beside] = (direction + 2) % 4
                    room = beside
                    break
                pick -= 1


@compiled
def loop_erased_walk(
    way: Ways, inside: NDArray[np.bool_], start: int, n_rows: int, n_cols: int, stream: Stream
) -> None:
    """Walk at random from a room until one is inside; then mark the rooms on the way, without its loops, as inside.

    ``way`` keeps the direction in which each room was left last: following it skips the loops.
    """
    room = start
    while not inside[room]:
        direction = int(uniform(stream) * 4)
        beside = neighbor(room, direction, n_rows, n_cols)
        if beside >= 0:
            way[room] = direction
            room = beside
    room = start
    while not inside[room]:
        inside[room] = True
        room = neighbor(room, way[room], n_rows, n_cols)


@compiled
def uniform_tree(way: Ways, inside: NDArray[np.bool_], n_rows: int, n_cols: int, stream: Stream) -> None:
    """A spanning tree, drawn uniformly from all (Wilson, STOC 1996); only the root is inside at first."""
    for start in range(len(way)):
        loop_erased_walk(way, inside, start, n_rows, n_cols, stream)
