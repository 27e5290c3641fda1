"""The table ``P`` of Gymnasium's toy-text environments, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError
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
) -> tuple[int, NDArray[np.int64], Floats, NDArray[np.int64], Floats, Bools]:
    """Number of states, and the rows, probabilities, next states, rewards and ends of a toy-text table's outcomes."""
    try:
        outcomes = [(s, a, *o) for s, actions in rows.items() for a, row in actions.items() for o in row if o[0]]
        state, action, probability, next_state, reward, done = np.array(outcomes, dtype=np.float64).T
        limits = ((state, len(rows)), (action, n_actions), (next_state, len(rows)))
        if not all(((index >= 0) & (index < limit)).all() for index, limit in limits):
            raise ValueError
    except (AttributeError, TypeError, ValueError, LookupError):
        raise InputError(
            f"{name}: P: allowed: P[state][action] = [(probability, next_state, reward, done), ...], numbered from 0"
        ) from None
    row = (state * n_actions + action).astype(np.int64)
    return len(rows), row, probability, next_state.astype(np.int64), reward, done != 0
