"""Actions that are equally good for certain, though no arithmetic with rounding could tell.

Two states are *alike* under a policy where its rows there have the same outcomes, but for next states that are alike,
too. Then what is paid later has the same distribution, and both have the same value. The coarsest such partition is
found by refinement: it begins with states of about the same value in one class, and splits classes until the rows of
all states of a class look the same (Paige & Tarjan, SIAM Journal on Computing 16 (1987), for graphs). An action whose
outcomes look like those of the chosen one ties with it.

At discount 1 time does not count, so a row is compared without the outcomes that pay nothing and keep to the state's
own class. If all others pay the same and lead to the same class, or all end, their probability does not count either;
and where there are no others, the state is worth what the rest of its class is, to which the policy leads.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.kernels.sweeps import Rows
from rlgrid.models.model import TabularModel
from rlgrid.planning.graph import soft_weights, state_of_row, towards

#: Values within this of each other, relative to their size, may belong to states that are alike.
ALIKE = 1e-9

#: Rounds of splitting after which no tie is proven.
MOST_ROUNDS = 1_000

Marks: TypeAlias = NDArray[np.uint64]

#: What a row looks like at discount 1 where all its outcomes pay nothing and keep to the state's class.
INNER = np.uint64(0x5851F42D4C957F2D)


#: What a row looks like that ends or comes to rest without being paid; an action that is not available looks like 0.
NOTHING = np.uint64(0x2127599BF4325C37)


def ties(model: TabularModel, rows: Rows, discount: float, epsilon: float, choice: Ints, v: Floats) -> Bools:
    """Rows of a model [R] that are worth just what the chosen row of their state is, under the policy that chooses it.

    ``choice`` [S] is the row chosen in each state, mixed with epsilon times the uniform policy; ``v`` [S] are about the
    values. Rows are compared by two random numbers of 64 bits for what they look like: different ones agree in both
    with a probability of about 2^-128.
    """
    used = soft_weights(rows, epsilon, choice) > 0
    label = _first_labels(rows, used, v)
    free = label == 0
    n_classes = 0
    for _ in range(MOST_ROUNDS):
        mark = _marks(model, rows, discount == 1 and epsilon == 0, label)
        if (n := len(np.unique(label))) == n_classes:
            own = _own_marks(rows, epsilon, choice, mark)[:, :2]
            equal: Bools = (mark == own[state_of_row(rows)]).all(axis=1) | (mark == INNER).all(axis=1)
            return equal
        n_classes = n
        key = np.column_stack([label.astype(np.uint64), _own_marks(rows, epsilon, choice, mark)])
        label = np.unique(key, axis=0, return_inverse=True)[1].ravel() + 1
        label[free] = 0
    return np.zeros(len(rows.first) - 1, np.bool_)


def _first_labels(rows: Rows, used: Bools, v: Floats) -> Ints:
    """Classes of states of about the same value, [S]; 0: the policy is never paid anything from here on."""
    row = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
    pays = np.zeros(len(rows.first) - 1, np.bool_)
    pays[row[(rows.reward_share != 0)[rows.code]]] = True
    paid = np.zeros(len(v), np.bool_)
    paid[state_of_row(rows)[pays & used]] = True
    order = np.argsort(v, kind="stable")
    label = np.empty(len(v), np.int64)
    label[order] = np.cumsum(np.diff(v[order], prepend=v[order[:1]]) > ALIKE * np.abs(v[order])) + 1
    label[~towards(rows, used, paid)[0]] = 0
    return label


def _own_marks(rows: Rows, epsilon: float, choice: Ints, mark: Marks) -> Marks:
    """What the policy's step looks like from each state, [S, 2], or [S, 4] where it is mixed with others.

    Where it keeps to the class for nothing, it is what it looks like where that ends.
    """
    own = mark[choice]
    if epsilon:
        return np.column_stack([own, np.add.reduceat(mark, rows.begin[:-1], axis=0)])
    inner = (own == INNER).all(axis=1)
    if inner.any():
        length = np.diff(rows.first)[choice]
        state = np.repeat(np.arange(len(own)), length)
        outcome = np.repeat(rows.first[choice] - np.cumsum(length) + length, length) + np.arange(length.sum())
        edge = inner[state]
        state, next_state = state[edge], rows.next_state[outcome[edge]]
        while (known := inner[state] & ~inner[next_state]).any():
            own[state[known]] = own[next_state[known]]
            inner[state[known]] = False
    return own


def _marks(model: TabularModel, rows: Rows, timeless: bool, label: Ints) -> Marks:
    """Two numbers for each row, [R, 2], that are equal where rows look the same, up to states of the same class."""
    n_rows = len(rows.first) - 1
    row = np.repeat(np.arange(n_rows), np.diff(rows.first))
    code = rows.code
    ahead = np.where((rows.continuation > 0)[code], label[rows.next_state], -1).astype(np.int64)
    pays = (rows.reward_share != 0)[code]
    worthless = ~pays & (ahead <= 0)
    paying = np.zeros(n_rows, np.bool_)
    paying[row[~worthless]] = True
    found = np.zeros((n_rows, 2), np.uint64)
    for column, seed in enumerate((0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)):
        outcome = _mix(
            _mix(code.astype(np.uint64) + np.uint64(seed)) ^ (ahead.astype(np.uint64) * np.uint64(0xFF51AFD7ED558CCD))
        )
        np.add.at(found[:, column], row, outcome)
    found[~paying & (np.diff(rows.first) > 0)] = NOTHING
    if timeless:
        _forget_time(found, model.tables.reward[code], ahead, pays, row, label[state_of_row(rows)], paying)
    return found


def _forget_time(found: Marks, reward: Floats, ahead: Ints, pays: Bools, row: Ints, own: Ints, paying: Bools) -> None:
    """Change the marks [R, 2] of rows whose outcomes outside of the state's class are all alike, at discount 1."""
    leaves = pays | (ahead != own[row])
    kind = _mix(reward.view(np.uint64) ^ _mix(ahead.astype(np.uint64) + np.uint64(0x2545F4914F6CDD1D)))
    least, most = np.full(len(own), 2**64 - 1, np.uint64), np.zeros(len(own), np.uint64)
    np.minimum.at(least, row[leaves], kind[leaves])
    np.maximum.at(most, row[leaves], kind[leaves])
    left = np.zeros(len(own), np.bool_)
    left[row[leaves]] = True
    single = paying & left & (least == most)
    found[single, 0], found[single, 1] = most[single], _mix(most[single] + np.uint64(1))
    found[paying & ~left] = INNER


def _mix(x: NDArray[Any]) -> Marks:
    """A permutation of 64-bit numbers that looks random (Steele, Lea & Flood, Fast splittable generators, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Marks = x ^ (x >> np.uint64(31))
    return mixed
