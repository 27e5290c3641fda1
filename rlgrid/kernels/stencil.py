"""Gauss-Seidel on a stencil: the rows of a grid's cells repeat, seen from each cell, so few patterns describe them all.

States are renumbered by their distance from where reward comes in, so that one pass in that order carries values a
long way. Passes stay within a window of blocks that still move; it slides outwards as those before it come to rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled

Places: TypeAlias = NDArray[np.int32]

#: States in a block; blocks in the window of a pass; passes by the chosen actions between two that compare all actions.
BLOCK, WINDOW, FOLLOWING = 256, 512, 4

#: Sweeps over a block that foresee what comes later.
FORESEEING = 8

#: What a state's later neighbours weigh at most, where it is taken that they will move by as much as the state itself.
FORESEEN = 0.5

#: A first guess says nothing where an action stays with this probability or more.
STAYS = 1.0 - 1e-9


class Stencil(NamedTuple):
    """P patterns of A actions and D neighbours; m states in the order of the passes.

    States whose rows look alike from where each stands share a pattern. In a corridor with walls at both ends:

        state                      0   1   2   3
        distance that left goes    0  -1  -1  -1
        distance that right goes   1   1   1   0
        pattern                    0   1   1   2

    Action a of pattern p is row ``p A + a`` of the first three arrays. Staying is solved for: from
    q = r + stay v + sum weight v' follows v = (r + sum weight v') / (1 - stay), so ``constant`` and ``weight`` are
    divided by ``moving`` = 1 - stay.
    """

    constant: Floats  # [P A] expected reward / moving; -inf where the action is not available
    weight: Floats  # [P A, D] discounted probability of each neighbour / moving
    moving: Floats  # [P A]
    pattern: NDArray[np.integer[Any]]  # [m]
    neighbour: Places  # [m, D] place in the order; m for one that has the value 0
    n_actions: int  # A
    actions: tuple[int, ...]  # (0, ..., A - 1), so that A is a constant for the compiler; empty for rarer sizes
    sides: tuple[int, ...]  # (0, ..., D - 1), or empty, likewise


@compiled
def find_patterns(
    first: Ints, next_state: Places, code: NDArray[np.integer[Any]], n_actions: int,
    table: Places, hashes: NDArray[np.uint64], example: Places, pattern: NDArray[np.uint16],
) -> int:  # fmt: skip
    """Number the states by what their rows look like from where they stand; how many patterns there are.

    table [H]: an empty hash table (-1), H a power of 2; hashes, example [P]: room for patterns; pattern [S] is written.
    Returns -1 where there is no room.
    """
    n_states = len(pattern)
    known = 0
    mask = np.uint64(len(table) - 1)
    last = -1
    for s in range(n_states):
        if last >= 0 and alike(first, next_state, code, n_actions, example[unsigned(last)], s):
            pattern[unsigned(s)] = last
            continue
        h = np.uint64(0xCBF29CE484222325)
        for row in range(s * n_actions, (s + 1) * n_actions):
            h = (h ^ np.uint64(row - s * n_actions + 1)) * np.uint64(0x100000001B3)
            for i in range(first[unsigned(row)], first[unsigned(row + 1)]):
                offset = np.int64(next_state[unsigned(i)]) - s
                word = np.uint64(offset & 0xFFFFFFFF) | np.uint64(code[unsigned(i)]) << np.uint64(32)
                h = (h ^ word) * np.uint64(0x9E3779B97F4A7C15)
                h = h ^ (h >> np.uint64(29))
        h = h ^ (h >> np.uint64(32))
        k = h & mask
        while True:
            p = table[k]
            if p < 0:
                if known == len(example):
                    return -1
                table[k], hashes[unsigned(known)], example[unsigned(known)], last = known, h, s, known
                known += 1
                break
            if hashes[unsigned(p)] == h and alike(first, next_state, code, n_actions, example[unsigned(p)], s):
                last = p
                break
            k = (k + np.uint64(1)) & mask
        pattern[unsigned(s)] = last
    return known


@compiled
def alike(
    first: Ints, next_state: Places, code: NDArray[np.integer[Any]], n_actions: int, one: int, other: int
) -> bool:
    """Whether the rows of two states look the same from where each stands."""
    i, j = first[unsigned(one * n_actions)], first[unsigned(other * n_actions)]
    for a in range(1, n_actions + 1):
        if first[unsigned(one * n_actions + a)] - i != first[unsigned(other * n_actions + a)] - j:
            return False
    for k in range(first[unsigned((one + 1) * n_actions)] - i):
        if code[unsigned(i + k)] != code[unsigned(j + k)]:
            return False
        if next_state[unsigned(i + k)] - one != next_state[unsigned(j + k)] - other:
            return False
    return True


@compiled
def order_states(
    pattern: NDArray[np.uint16], offsets: Ints, leads: Bools, level: Ints, order: Places, place: Places
) -> tuple[int, int]:
    """Order states by the number of steps after which they can be in a state of the lowest level.

    Returns how many there are, and from how many levels they were reached.

    offsets [K] are all distances that patterns lead to, leads [P, K] says which does; level [P] is -1 for patterns
    that are left out. States from which none of the lowest level can be reached follow, by the next level, and so on.
    place [S], -1 at first, is the inverse of order [S].
    """
    n_states = len(pattern)
    wanted = 0
    for s in range(n_states):
        wanted += level[unsigned(pattern[unsigned(s)])] >= 0
    done, found, current = 0, 0, 0
    while found < wanted:
        for s in range(n_states):
            if place[unsigned(s)] < 0 and level[unsigned(pattern[unsigned(s)])] == current:
                order[unsigned(found)], place[unsigned(s)] = s, found
                found += 1
        while done < found:
            s = order[unsigned(done)]
            done += 1
            for k in range(len(offsets)):
                t = s - offsets[unsigned(k)]
                if not 0 <= t < n_states or place[unsigned(t)] >= 0:
                    continue
                if leads[unsigned(pattern[unsigned(t)]), unsigned(k)] and level[unsigned(pattern[unsigned(t)])] >= 0:
                    order[unsigned(found)], place[unsigned(t)] = t, found
                    found += 1
        current += 1
    return found, current


@compiled
def lay_out(
    pattern: NDArray[np.uint16], order: Places, place: Places, distance: Ints,
    out_pattern: NDArray[np.integer[Any]], out_neighbour: Places,
) -> None:  # fmt: skip
    """Pattern [m] and neighbours [m, D] of the states in their order; distance [P, D] is 0 where there is none."""
    m = len(out_pattern)
    for j in range(m):
        s = order[unsigned(j)]
        p = pattern[unsigned(s)]
        out_pattern[unsigned(j)] = p
        for d in range(distance.shape[1]):
            t = m
            if distance[unsigned(p), unsigned(d)] != 0:
                t = place[unsigned(s + distance[unsigned(p), unsigned(d)])]
            out_neighbour[unsigned(j), unsigned(d)] = t if t >= 0 else m


@compiled
def link_blocks(neighbour: Places, links: Places) -> bool:
    """Which blocks have to be looked at when one has moved: links [blocks, L], -1 at first; False: too few columns."""
    m = len(neighbour)
    for j in range(m):
        own = j // BLOCK
        for d in range(neighbour.shape[1]):
            if neighbour[unsigned(j), unsigned(d)] >= m:
                continue
            other = neighbour[unsigned(j), unsigned(d)] // BLOCK
            k = 0
            while other != own and k < links.shape[1] and links[unsigned(other), unsigned(k)] != own:
                if links[unsigned(other), unsigned(k)] < 0:
                    links[unsigned(other), unsigned(k)] = own
                else:
                    k += 1
            if k == links.shape[1]:
                return False
    return True


@compiled
def action_count(stencil: Stencil) -> int:
    """A."""
    return len(stencil.actions) if len(stencil.actions) > 0 else stencil.n_actions


@compiled
def side_count(stencil: Stencil) -> int:
    """D."""
    return len(stencil.sides) if len(stencil.sides) > 0 else stencil.neighbour.shape[1]


@compiled
def guess(stencil: Stencil, v: Floats) -> None:
    """First values, each from those of the states before it; what comes after a state counts as if it stayed."""
    n_actions = action_count(stencil)
    for j in range(len(stencil.pattern)):
        best = -np.inf
        for a in range(n_actions):
            row = int(stencil.pattern[unsigned(j)]) * n_actions + a
            total, stay = stencil.constant[unsigned(row)], 0.0
            for d in range(side_count(stencil)):
                t = stencil.neighbour[unsigned(j), unsigned(d)]
                if j <= t < len(stencil.pattern):
                    stay += stencil.weight[unsigned(row), unsigned(d)]
                else:
                    total += stencil.weight[unsigned(row), unsigned(d)] * v[unsigned(t)]
            if stay < STAYS:
                best = max(best, total / (1.0 - stay))
        v[unsigned(j)] = best if best > -np.inf else 0.0


@compiled
def q_value(stencil: Stencil, row: int, j: int, v: Floats) -> float:
    """Value of state j by a row of its pattern, with staying solved for."""
    q: float = stencil.constant[unsigned(row)]
    for d in range(side_count(stencil)):
        q += stencil.weight[unsigned(row), unsigned(d)] * v[unsigned(stencil.neighbour[unsigned(j), unsigned(d)])]
    return q


@compiled
def improve(stencil: Stencil, begin: int, end: int, v: Floats, choice: Places) -> float:
    """Give states their best action's value, in order, and remember its row in ``choice`` [m]; the largest change."""
    n_actions = action_count(stencil)
    change = 0.0
    for j in range(begin, end):
        first = int(stencil.pattern[unsigned(j)]) * n_actions
        best, chosen = q_value(stencil, first, j, v), first
        for a in range(1, n_actions):
            q = q_value(stencil, first + a, j, v)
            if q > best:
                best, chosen = q, first + a
        change = max(change, abs(best - v[unsigned(j)]))
        v[unsigned(j)] = best
        choice[unsigned(j)] = chosen
    return change


@compiled
def follow(stencil: Stencil, begin: int, end: int, v: Floats, choice: Places) -> None:
    """Give states the value of their remembered row, in order."""
    for j in range(begin, end):
        v[unsigned(j)] = q_value(stencil, choice[unsigned(j)], j, v)


@compiled
def foresee(stencil: Stencil, begin: int, end: int, v: Floats, choice: Places) -> None:
    """The same where the states after each one are taken to move by as much as it does.

    An error that all states share is gone after one such sweep; by ``follow`` it only moves on, by one state over the
    weight of what comes later. Errors that change sign from state to state may grow, so this is no sweep to repeat.
    """
    for j in range(begin, end):
        row = choice[unsigned(j)]
        q, later = stencil.constant[unsigned(row)], 0.0
        for d in range(side_count(stencil)):
            t, weight = stencil.neighbour[unsigned(j), unsigned(d)], stencil.weight[unsigned(row), unsigned(d)]
            q += weight * v[unsigned(t)]
            later += weight if j < t < len(choice) else 0.0
        v[unsigned(j)] += (q - v[unsigned(j)]) / (1.0 - min(later, FORESEEN))


@compiled
def relax(
    stencil: Stencil, v: Floats, choice: Places, active: Bools, links: Places, low: int, theta: float, limit: int,
    foreseen: Places,
) -> tuple[int, int]:  # fmt: skip
    """Go over the active blocks of the window until no state moves by more than ``theta``, or for ``limit`` passes.

    A block is active after it has moved, or one that it depends on has. v [m + 1], the last one 0; choice [m], -1 at
    first; foreseen [blocks] counts the sweeps over each block that foresaw what comes later, one in a pass at first.
    Returns the first active block (the number of blocks, where none is) and the passes made.
    """
    m, n_blocks = len(stencil.pattern), len(active)
    passes = 0
    while low < n_blocks and passes < limit:
        high = min(n_blocks, low + WINDOW)
        passes += 1
        lowest = n_blocks
        for block in range(low, high):
            if not active[unsigned(block)]:
                continue
            begin, end = block * BLOCK, min(m, (block + 1) * BLOCK)
            active[unsigned(block)] = False
            if improve(stencil, begin, end, v, choice) > theta:
                active[unsigned(block)] = True
                for k in range(links.shape[1]):
                    if links[unsigned(block), unsigned(k)] < 0:
                        break
                    active[unsigned(links[unsigned(block), unsigned(k)])] = True
                    lowest = min(lowest, links[unsigned(block), unsigned(k)])
        low = min(low, lowest)
        while low < n_blocks and not active[unsigned(low)]:
            low += 1
        for k in range(FOLLOWING):
            for block in range(low, min(n_blocks, low + WINDOW)):
                if active[unsigned(block)] and choice[unsigned(block * BLOCK)] >= 0:
                    begin, end = block * BLOCK, min(m, (block + 1) * BLOCK)
                    if k == 0 and foreseen[unsigned(block)] < FORESEEING:
                        foresee(stencil, begin, end, v, choice)
                        foreseen[unsigned(block)] += 1
                    else:
                        follow(stencil, begin, end, v, choice)
    return low, passes


@compiled
def residual(stencil: Stencil, v: Floats) -> tuple[float, float]:
    """max |T v - v| and max |v|."""
    n_actions = action_count(stencil)
    change, size = 0.0, 0.0
    for j in range(len(stencil.pattern)):
        old = v[unsigned(j)]
        best = -np.inf
        for a in range(n_actions):
            row = int(stencil.pattern[unsigned(j)]) * n_actions + a
            best = max(best, stencil.moving[unsigned(row)] * (q_value(stencil, row, j, v) - old))
        change = max(change, abs(best))
        size = max(size, abs(old))
    return change, size
