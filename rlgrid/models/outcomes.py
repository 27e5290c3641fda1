"""From loose outcomes, one line each, to the tables of a model: sorted, merged, checked, and stored compactly."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.models.tables import ROW_SUM_TOLERANCE, Tables, to_cumulative

#: How far from 1 rounding alone brings the sum of a row, for each of its outcomes: 1 for the number, 1 for the sum.
ROUNDING = 2.0**-52

#: Up to so many outcomes the distinct ones are always sought; beyond it a sample as large says whether they repeat.
SAMPLE = 2**16


class Outcomes(NamedTuple):
    """Outcomes in any order, N of them."""

    row: NDArray[np.integer[Any]]  # [N] state * n_actions + action
    next_state: NDArray[np.integer[Any]]  # [N]
    probability: Floats  # [N]
    reward: Floats  # [N]
    terminated: Bools  # [N]

    def only(self, which: Any) -> Outcomes:
        """Those that a mask [N] or a list of places says."""
        return Outcomes._make(column[which] for column in self)


def merge_outcomes(
    outcomes: Outcomes,
    n_states: int,
    n_actions: int,
    *,
    start: Floats,
    name: str,
    terminal: Bools | None = None,
    normalize: bool | None = None,
) -> Tables:
    """Tables from loose outcomes, whose arrays it uses up; equal ones are merged, rows of terminal states absorb.

    Where ``terminal`` [S] is not given, states that are only ever entered at the end of an episode are terminal.
    ``normalize`` divides each row by its sum; where it is ``None``, the sentence about rows that do not add up to 1
    says nothing of it.
    """
    check_numbers(outcomes, n_actions, name)
    if start.shape != (n_states,) or not (start >= 0).all() or not 0 < start.sum() < np.inf:
        raise InputError(f"{name}: start: allowed: probabilities [S] of the states that episodes start in")
    if terminal is None:
        terminal = only_ended_in(outcomes, n_states)
    if terminal.any():
        outcomes = _absorbing(outcomes, terminal, n_actions)
    outcomes = _merged(outcomes, n_states)
    first = np.concatenate(
        [np.zeros(1, np.int64), np.cumsum(np.bincount(outcomes.row, minlength=n_states * n_actions))]
    )
    if normalize is not None:
        outcomes = _normalized(outcomes, first, n_actions, name, divide=normalize)
    starts = np.flatnonzero(start)
    code, probability, reward, terminated = _coded(outcomes.probability, outcomes.reward, outcomes.terminated)
    return Tables(
        first=first,
        next_state=outcomes.next_state.astype(np.int32, copy=False),
        code=code,
        probability=probability,
        reward=reward,
        terminated=terminated,
        noise=np.full(len(probability), -1, dtype=np.int32),
        noise_values=np.zeros((0, 1)),
        noise_cumulative=np.ones((0, 1)),
        noise_std=np.zeros(0),
        start_state=starts,
        start_cumulative=to_cumulative(start[starts] / start.sum()),
    )


def only_ended_in(outcomes: Outcomes, n_states: int) -> Bools:
    """States that are entered, and only ever at the end of an episode, bool [S]."""
    ends = outcomes.terminated
    entered_open = np.bincount(outcomes.next_state[~ends], minlength=n_states) > 0
    return (np.bincount(outcomes.next_state[ends], minlength=n_states) > 0) & ~entered_open


def check_numbers(outcomes: Outcomes, n_actions: int, name: str) -> None:
    """Refuse rewards that are not finite and probabilities that are none, and say where."""
    if not (fine := np.isfinite(outcomes.reward)).all():
        s, a = divmod(int(outcomes.row[np.argmin(fine)]), n_actions)
        raise InputError(f"{name}: the reward of state {s}, action {a} is not finite; allowed: finite rewards")
    if not (fine := (outcomes.probability >= 0) & (outcomes.probability < np.inf)).all():
        i = int(np.argmin(fine))
        s, a = divmod(int(outcomes.row[i]), n_actions)
        raise InputError(
            f"{name}: a probability of state {s}, action {a} is {outcomes.probability[i]:g}; allowed: 0 to 1"
        )


def _absorbing(outcomes: Outcomes, terminal: Bools, n_actions: int) -> Outcomes:
    """The outcomes of the other states, and for each row of a terminal state one that stays, ends and pays nothing."""
    keep = ~terminal[outcomes.row // n_actions]
    ends = np.flatnonzero(terminal)
    row = (ends[:, None] * n_actions + np.arange(n_actions)).ravel()
    n = len(row)
    added = Outcomes(row, row // n_actions, np.ones(n), np.zeros(n), np.ones(n, np.bool_))
    kept = outcomes if keep.all() else outcomes.only(keep)
    return Outcomes._make(
        np.concatenate([old, new.astype(old.dtype, copy=False)]) for old, new in zip(kept, added, strict=True)
    )


def _merged(outcomes: Outcomes, n_states: int) -> Outcomes:
    """In the order of row, next state, reward and end, with equal outcomes merged and without those of probability 0.

    One key for row and next state sorts 20 million outcomes in a few seconds, or finds them sorted; few have the same
    key, and only these are sorted by reward and end. Columns are sorted in place, one after the other, for less room.
    """
    if not outcomes.probability.all():
        outcomes = outcomes.only(outcomes.probability > 0)
    key = _keys(outcomes, n_states)
    if not (key[1:] >= key[:-1]).all():
        order = np.argsort(key, kind="stable")
        del key
        for column in outcomes:
            column[:] = column[order]
        del order
        key = _keys(outcomes, n_states)
    same = np.zeros(len(key) + 1, np.bool_)  # as the one before
    same[1:-1] = key[1:] == key[:-1]
    if not same.any():
        return outcomes
    tied = np.flatnonzero(same[:-1] | same[1:])
    within = np.lexsort((outcomes.terminated[tied], outcomes.reward[tied], key[tied]))
    del key
    for column in outcomes:
        column[tied] = column[tied[within]]
    _, _, probability, reward, terminated = outcomes
    new = ~same[:-1]
    new[1:] |= (reward[1:] != reward[:-1]) | (terminated[1:] != terminated[:-1])
    at = np.flatnonzero(new)
    probability[: len(at)] = np.add.reduceat(probability, at)
    for column in (outcomes.row, outcomes.next_state, reward, terminated):
        column[: len(at)] = column[at]
    return outcomes.only(slice(len(at)))


def _keys(outcomes: Outcomes, n_states: int) -> Ints:
    """A number for each outcome that orders by row and then by next state, [N]."""
    key = outcomes.row.astype(np.int64)
    key *= n_states
    key += outcomes.next_state
    return key


def _normalized(outcomes: Outcomes, first: Ints, n_actions: int, name: str, *, divide: bool) -> Outcomes:
    """The outcomes with rows divided by their sums: those that are off by more than rounding, with ``divide`` all.

    So a row of 0.3333333333 is the same model to every planner, whether it reads chances to go on or chances to end.
    """
    rows = np.flatnonzero(first[1:] > first[:-1])
    sums = np.add.reduceat(outcomes.probability, first[rows]) if len(rows) else np.ones(0)
    length = np.diff(first)[rows]
    off = np.abs(sums - 1.0)
    if not divide and (off > ROW_SUM_TOLERANCE).any():
        s, a = divmod(int(rows[np.argmax(off > ROW_SUM_TOLERANCE)]), n_actions)
        total = sums[np.argmax(off > ROW_SUM_TOLERANCE)]
        wrong = int((off > ROW_SUM_TOLERANCE).sum())
        raise InputError(
            f"{name}: the outcomes of state {s}, action {a} add up to {total:.12g}, which is {abs(total - 1):.3g} off "
            f"({wrong:,} such rows, the worst {off.max():.3g} off); allowed: 1, or normalize=True, "
            "which divides each row by its sum"
        )
    total = sums if divide else np.where(off > ROUNDING * length, sums, 1.0)
    if (total == 1.0).all():
        return outcomes
    return outcomes._replace(probability=outcomes.probability / np.repeat(total, length))


def _coded(
    probability: Floats, reward: Floats, terminated: Bools
) -> tuple[NDArray[np.integer[Any]], Floats, Floats, Bools]:
    """A code for each outcome [N], and the probability, reward and end of each code [C].

    Worlds have few distinct outcomes, so that a code of two bytes takes the place of seventeen, and the distinct ones
    stay in the processor's cache. Where outcomes hardly repeat, each has its own code and they stand in the order in
    which rows are read.
    """
    n = len(probability)
    if n > SAMPLE:
        some = np.linspace(0, n - 1, SAMPLE).astype(np.int64)
        sample = np.unique(np.column_stack([probability[some], reward[some], terminated[some]]), axis=0)
        if len(sample) > SAMPLE // 2:
            return np.arange(n, dtype=np.uint32), probability, reward, terminated
    code = np.zeros(n, np.int64)
    for column in (probability, reward, terminated):  # the numbers of the distinct ones, in their order
        distinct, number = np.unique(column, return_inverse=True)
        _, at, code = np.unique(code * len(distinct) + number.ravel(), return_index=True, return_inverse=True)
    size = np.uint16 if len(at) <= 65_536 else np.uint32
    return code.ravel().astype(size), probability[at], reward[at], terminated[at]
