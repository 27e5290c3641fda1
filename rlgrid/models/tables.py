"""The arrays of a model: what they hold, sums over their rows, and what has to be true of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError

#: How far a row of floating-point probabilities may be from 1.
ROW_SUM_TOLERANCE = 1e-9

#: Where planners and learners improve a policy, actions whose values differ by no more than this, relative to their
#: size, count as equally good: the difference may be rounding.
TIE = 1e-12

#: Rows to look at together: an array as long as all outcomes would take more room than the tables.
BLOCK = 2**17


class Tables(NamedTuple):
    """The arrays of a model that compiled code reads. C distinct outcomes, N outcomes in all rows together."""

    first: NDArray[np.int64]  # [S A + 1] where row ``state * n_actions + action`` begins
    next_state: NDArray[np.int32]  # [N]
    code: NDArray[np.integer[Any]]  # [N] uint16 (uint32 above 65,536 distinct outcomes) into the next four
    probability: Floats  # [C]
    reward: Floats  # [C] mean
    terminated: Bools  # [C]
    noise: NDArray[np.int32]  # [C] row of ``noise_values`` to draw the reward from; -1: it is constant
    noise_values: Floats  # [D, K] values of a discrete reward
    noise_cumulative: Floats  # [D, K] cumulative probabilities, the last 1
    noise_std: Floats  # [D] standard deviation of the normal part
    start_state: NDArray[np.int64]  # [n] states in which an episode may start
    start_cumulative: Floats  # [n] cumulative probabilities, the last 1


class Unrolled(NamedTuple):
    """The same outcomes with room for K of them in each of the R rows, so that drawing one looks nothing up twice.

    For small models without random rewards; drawing takes the same random numbers and gives the same outcomes.
    """

    first: NDArray[np.int64]  # [R + 1] as in Tables
    threshold: Floats  # [R, K - 1] cumulative probabilities; above 1 where there is no such outcome
    next_state: NDArray[np.int64]  # [R, K]
    reward: Floats  # [R, K]
    terminated: Bools  # [R, K]
    start_state: NDArray[np.int64]
    start_cumulative: Floats


#: A model is unrolled only with so many outcomes in a row at most, and room for so many in all.
MOST_IN_ROW, MOST_UNROLLED = 4, 2**16


def unrolled(tables: Tables) -> Tables | Unrolled:
    """The tables in the form that is fastest to draw from."""
    length = np.diff(tables.first)
    n_rows, room = len(length), max(2, int(length.max(initial=0)))
    if room > MOST_IN_ROW or n_rows * room > MOST_UNROLLED or (tables.noise >= 0).any():
        return tables
    row = np.repeat(np.arange(n_rows), length)
    column = np.arange(len(row)) - tables.first[row]
    code = tables.code.astype(np.int64)
    probability = np.zeros((n_rows, room))
    probability[row, column] = tables.probability[code]
    threshold = np.cumsum(probability, axis=1)[:, :-1]
    threshold[np.arange(1, room) >= length[:, None]] = 2.0
    found = Unrolled(
        first=tables.first,
        threshold=np.ascontiguousarray(threshold),
        next_state=np.zeros((n_rows, room), np.int64),
        reward=np.zeros((n_rows, room)),
        terminated=np.zeros((n_rows, room), np.bool_),
        start_state=tables.start_state,
        start_cumulative=tables.start_cumulative,
    )
    found.next_state[row, column] = tables.next_state
    found.reward[row, column], found.terminated[row, column] = tables.reward[code], tables.terminated[code]
    return found


def blocks(tables: Tables) -> Iterator[tuple[slice, slice, NDArray[np.int64]]]:
    """All rows, a block at a time: its rows, its outcomes, and the row of each outcome, counted within the block."""
    n_rows = len(tables.first) - 1
    for begin in range(0, n_rows, BLOCK):
        first = tables.first[begin : min(begin + BLOCK, n_rows) + 1]
        row = np.repeat(np.arange(len(first) - 1), np.diff(first))
        yield slice(begin, begin + len(first) - 1), slice(int(first[0]), int(first[-1])), row


def row_sums(tables: Tables, value: Floats) -> Floats:
    """Sums of the values [C] of the outcomes in each row ``state * n_actions + action``, [S A]."""
    sums = np.zeros(len(tables.first) - 1)
    for rows, outcomes, row in blocks(tables):
        sums[rows] = np.bincount(row, value[tables.code[outcomes]], rows.stop - rows.start)
    return sums


def check_tables(t: Tables, n_states: int, n_actions: int, name: str) -> None:
    """Refuse arrays that are no Markov decision process.

    Raises:
        InputError: for rows that do not add up to 1, numbers that are not finite, or a state without actions.
    """
    if not np.isfinite(t.reward).all():
        raise InputError(f"{name}: a reward is not finite; allowed: finite rewards")
    if len(t.next_state) and not (t.next_state.min() >= 0 and t.next_state.max() < n_states):
        raise InputError(f"{name}: a next state is outside 0 to {n_states - 1}")
    if not (t.probability > 0).all():
        raise InputError(f"{name}: a probability is negative or not a number; allowed: between 0 and 1")
    sums = row_sums(t, t.probability)
    available = t.first[1:] > t.first[:-1]
    wrong = (np.abs(sums - 1.0) > ROW_SUM_TOLERANCE) & available
    if wrong.any():
        s, a = divmod(int(np.argmax(wrong)), n_actions)
        total = sums[s * n_actions + a]
        raise InputError(f"{name}: the outcomes of state {s}, action {a} add up to {total:.12g}; allowed: 1")
    if not (usable := available.reshape(n_states, n_actions).any(axis=1)).all():
        raise InputError(f"{name}: state {int(np.argmin(usable))} has no available action; allowed: at least one")


def to_cumulative(probability: Floats) -> Floats:
    """Cumulative probabilities, the last one exactly 1."""
    cumulative = np.cumsum(probability)
    cumulative[-1] = 1.0
    return cumulative
