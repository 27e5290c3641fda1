"""The table ``P`` of Gymnasium's toy-text environments, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import numpy as np

from rlgrid.errors import InputError
from rlgrid.models.outcomes import Outcomes
from rlgrid.models.tables import Tables

#: ``P[state][action] = [(probability, next_state, reward, terminated), ...]``.
ToyText: TypeAlias = dict[int, dict[int, list[tuple[float, int, float, bool]]]]


def write_toy_text(tables: Tables, n_states: int, n_actions: int) -> ToyText:
    """The outcomes of every row as tuples."""
    t, n = tables, n_actions
    columns = (t.probability[t.code], t.next_state, t.reward[t.code], t.terminated[t.code])
    outcomes = list(zip(*(column.tolist() for column in columns), strict=True))
    first = t.first.tolist()
    return {s: {a: outcomes[first[s * n + a] : first[s * n + a + 1]] for a in range(n)} for s in range(n_states)}


def read_toy_text(
    rows: Mapping[int, Mapping[int, Sequence[tuple[float, int, float, bool]]]], n_actions: int, name: str
) -> tuple[Outcomes, int]:
    """The outcomes of a toy-text table, and its number of states."""
    try:
        pairs = [(s, a, row) for s, actions in rows.items() for a, row in actions.items()]
        if not pairs:
            raise ValueError
        length = np.fromiter((len(row) for _, _, row in pairs), np.int64, len(pairs))
        flat = chain.from_iterable(chain.from_iterable(row for _, _, row in pairs))
        probability, next_state, reward, done = np.fromiter(flat, np.float64).reshape(int(length.sum()), 4).T
        state, action = (np.array([pair[i] for pair in pairs], np.float64) for i in (0, 1))
        limits = ((state, len(rows)), (action, n_actions), (next_state, len(rows)))
        if not all(((index >= 0) & (index < limit) & (index % 1 == 0)).all() for index, limit in limits):
            raise ValueError
    except (AttributeError, TypeError, ValueError, LookupError):
        raise InputError(
            f"{name}: P: allowed: P[state][action] = [(probability, next_state, reward, done), ...], numbered from 0"
        ) from None
    row = np.repeat((state * n_actions + action).astype(np.int64), length)
    happens = probability != 0
    outcomes = Outcomes(row, next_state.astype(np.int64), np.ascontiguousarray(probability), reward, done != 0)
    return (outcomes if happens.all() else outcomes.only(happens)), len(rows)
