"""Prioritized sweeping: a heap of states by how much a backup would change them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.compiled import compiled
from rlgrid.kernels.sweeps import Rows, optimal_backup


class Queue(NamedTuple):
    """A heap with the largest priority first."""

    heap: Ints  # [S] states
    place: Ints  # [S] where each state is in the heap; -1: it is not
    priority: Floats  # [S]
    length: Ints  # [1]


def empty_queue(n_states: int) -> Queue:
    """A queue with room for all states."""
    place = np.full(n_states, -1, np.int64)
    return Queue(np.empty(n_states, np.int64), place, np.zeros(n_states), np.zeros(1, np.int64))


@compiled
def sift_up(queue: Queue, i: int) -> None:
    """Move an entry towards the front until its parent comes first."""
    state = queue.heap[i]
    while i > 0:
        parent = (i - 1) // 2
        if queue.priority[queue.heap[parent]] >= queue.priority[state]:
            break
        queue.heap[i] = queue.heap[parent]
        queue.place[queue.heap[i]] = i
        i = parent
    queue.heap[i], queue.place[state] = state, i


@compiled
def sift_down(queue: Queue, i: int) -> None:
    """Move an entry towards the back until it comes before its children."""
    state, n = queue.heap[i], queue.length[0]
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and queue.priority[queue.heap[child + 1]] > queue.priority[queue.heap[child]]:
            child += 1
        if queue.priority[queue.heap[child]] <= queue.priority[state]:
            break
        queue.heap[i] = queue.heap[child]
        queue.place[queue.heap[i]] = i
        i = child
    queue.heap[i], queue.place[state] = state, i


@compiled
def rank(queue: Queue, state: int, priority: float, theta: float) -> None:
    """Give a state its priority; it is in the queue only where that is above theta."""
    i = queue.place[state]
    old = queue.priority[state]
    if priority > theta:
        queue.priority[state] = priority
        if i < 0:
            i = queue.length[0]
            queue.length[0] += 1
            queue.heap[i], queue.place[state] = state, i
            sift_up(queue, i)
        elif priority > old:
            sift_up(queue, i)
        else:
            sift_down(queue, i)
    elif i >= 0:
        queue.place[state] = -1
        queue.length[0] -= 1
        last = queue.heap[queue.length[0]]
        if last != state:
            queue.heap[i], queue.place[last] = last, i
            sift_up(queue, i)
            sift_down(queue, queue.place[last])


@compiled
def fill_queue(rows: Rows, epsilon: float, v: Floats, queue: Queue, theta: float) -> None:
    """Rank every state."""
    for s in range(len(v)):
        rank(queue, s, abs(optimal_backup(rows, epsilon, v, s)[0] - v[s]), theta)


@compiled
def back_up_first(
    rows: Rows, first: Ints, before: Ints, epsilon: float, v: Floats, queue: Queue, theta: float, limit: int
) -> None:
    """Back up the first state of the queue and rank the states that lead to it anew, at most ``limit`` times."""
    for _ in range(limit):
        if queue.length[0] == 0:
            break
        s = queue.heap[0]
        v[s] = optimal_backup(rows, epsilon, v, s)[0]
        rank(queue, s, abs(optimal_backup(rows, epsilon, v, s)[0] - v[s]), theta)
        for i in range(first[s], first[s + 1]):
            p = before[i]
            rank(queue, p, abs(optimal_backup(rows, epsilon, v, p)[0] - v[p]), theta)
