"""Models in the forms of other libraries, read and written: a matrix for each action, rows of pairs, columns.

What is read becomes loose outcomes (:class:`rlgrid.models.outcomes.Outcomes`). Sparse matrices are SciPy's, of any
format; lists and arrays of numbers are taken for dense ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.batch import MOST_ROWS
from rlgrid.errors import InputError, numbers, shown
from rlgrid.models.outcomes import Outcomes
from rlgrid.models.tables import Tables

if TYPE_CHECKING:
    from scipy.sparse import csr_array, sparray, spmatrix

    Matrix: TypeAlias = ArrayLike | sparray | spmatrix


class Pairs(NamedTuple):
    """A model as rows of state-action pairs, L of them, ordered by state and then by action."""

    P: csr_array[Any]  # [L, S] probabilities of the next states
    R: Floats  # [L] mean rewards
    state: Ints  # [L]
    action: Ints  # [L]


class Transitions(NamedTuple):
    """A model as columns, a line for each of N outcomes; an outcome of a state and action has a probability."""

    state: Ints
    action: Ints
    next_state: Ints
    probability: Floats
    reward: Floats
    terminated: Bools


# -- reading ---------------------------------------------------------------------------------------------------------


def read_matrices(P: Sequence[Matrix] | ArrayLike, R: Any, name: str) -> tuple[Outcomes, int, int]:
    """Outcomes, and the numbers of states and actions, of a matrix [S, S] for each action."""
    allowed = "a matrix [S, S] of probabilities for each action, as a list or as an array [A, S, S]"
    found = [_sparse(f"{name}: P[{a}]", matrix, "a matrix [S, S]") for a, matrix in enumerate(_each(P, name, allowed))]
    n_actions, n_states = len(found), found[0].shape[0] if found else 0
    if not n_states or any(matrix.shape != (n_states, n_states) for matrix in found):
        raise InputError(f"{name}: found P with matrices {[m.shape for m in found[:3]]}; allowed: {allowed}")
    lines = np.arange(n_states) * n_actions
    row = np.concatenate([_numbered(lines + a, matrix) for a, matrix in enumerate(found)])
    reward = np.concatenate([_reward_of_action(R, a, matrix, n_actions, name) for a, matrix in enumerate(found)])
    next_state = np.concatenate([matrix.indices for matrix in found])
    probability = np.concatenate([matrix.data for matrix in found])
    return _outcomes(row, next_state, probability, reward), n_states, n_actions


def read_pairs(
    P: Matrix, R: Any, state: ArrayLike | None, action: ArrayLike | None, name: str
) -> tuple[Outcomes, int, int]:
    """Outcomes, and the numbers of states and actions, of a row of probabilities for each state and action."""
    matrix = _sparse(f"{name}: P", P, "a matrix [L, S], a row of probabilities for each state and action")
    n_lines, n_states = matrix.shape
    if state is None or action is None:
        if state is not None or action is not None:
            raise InputError(f"{name}: found state or action alone; allowed: both, or none where P is [S * A, S]")
        if not n_states or not n_lines or n_lines % n_states:
            raise InputError(
                f"{name}: found P {matrix.shape}; allowed: [S * A, S], or a row for each pair with their state, action"
            )
        n_actions = n_lines // n_states
        lines = np.arange(n_lines)
    else:
        pair = [_indices(f"{name}: {key}", column, n_lines) for key, column in (("state", state), ("action", action))]
        n_actions = int(pair[1].max(initial=0)) + 1
        check_size(n_states, n_actions, name)
        lines = pair[0] * n_actions + pair[1]
        if (pair[0] >= n_states).any():
            raise InputError(f"{name}: state: found {pair[0].max()}; allowed: below {n_states}, the columns of P")
        if len(np.unique(lines)) < len(lines):
            twice = int(np.argmax(np.bincount(lines) > 1))
            s, a = divmod(twice, n_actions)
            raise InputError(f"{name}: state {s}, action {a} has two rows; allowed: one for each state and action")
    reward = _reward_of_rows(R, matrix, (n_states, n_actions) if state is None else None, name)
    row, next_state, probability = _numbered(lines, matrix), matrix.indices.copy(), matrix.data.copy()
    return _outcomes(row, next_state, probability, reward), n_states, n_actions


def read_transitions(columns: dict[str, Any], n_states: int | None, name: str) -> tuple[Outcomes, int, int]:
    """Outcomes, and the numbers of states and actions, of columns named as in :class:`Transitions`."""
    n = len(np.atleast_1d(np.asarray(columns["state"])))
    if not n:
        raise InputError(f"{name}: found no transitions; allowed: at least one")
    state, action, next_state = (
        _indices(f"{name}: {key}", columns[key], n) for key in ("state", "action", "next_state")
    )
    entered = int(max(state.max(), next_state.max())) + 1
    if n_states is None:
        n_states = entered
        if n_states > 2 * n:  # then some state neither acts nor is entered, and nobody says what it is
            raise InputError(
                f"{name}: found the state {n_states - 1} in {n:,} transitions; allowed: states from 0 without gaps"
            )
    elif entered > n_states:
        raise InputError(f"{name}: found the state {entered - 1}; allowed: 0 to {n_states - 1}")
    n_actions = int(action.max()) + 1
    check_size(n_states, n_actions, name)
    probability, reward = (_floats(f"{name}: {key}", columns[key], n) for key in ("probability", "reward"))
    ends = columns["terminated"]
    terminated = np.zeros(n, np.bool_) if ends is None else np.array(ends, np.bool_)
    if terminated.shape != (n,):
        raise InputError(f"{name}: terminated: found shape {terminated.shape}; allowed: [N], here {n:,}")
    row = (state * n_actions + action).astype(np.int32)
    return (
        Outcomes(row, next_state.astype(np.int32), probability.copy(), reward.copy(), terminated),
        n_states,
        n_actions,
    )


def check_size(n_states: int, n_actions: int, name: str) -> None:
    """Refuse more states and actions than can be numbered, before anything is allocated for them."""
    if n_states * n_actions > MOST_ROWS:
        raise InputError(
            f"{name}: found {n_states:,} states and {n_actions:,} actions; allowed: {MOST_ROWS:,} of both multiplied"
        )


def _each(P: Any, name: str, allowed: str) -> Sequence[Any]:
    """The matrices in a list or in an array of three axes."""
    if hasattr(P, "tocsr") or (isinstance(P, np.ndarray) and P.ndim != 3 and P.dtype != np.object_):
        raise InputError(f"{name}: found P {P.shape}; allowed: {allowed}")
    try:
        return list(P)
    except TypeError:
        raise InputError(f"{name}: found P {shown(P)}; allowed: {allowed}") from None


def _sparse(key: str, matrix: Any, allowed: str) -> csr_array[Any]:
    """A matrix in rows, with one number in a place."""
    from scipy.sparse import csr_array  # SciPy loads when it is used

    if not hasattr(matrix, "tocsr"):
        matrix = numbers(key, matrix, allowed)
    if matrix.ndim != 2:
        raise InputError(f"{key}: found shape {matrix.shape}; allowed: {allowed}")
    found = csr_array(matrix)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def _numbered(lines: Ints, matrix: csr_array[Any]) -> NDArray[np.int32]:
    """The row of the model for each number of a matrix whose lines are these rows."""
    return np.repeat(lines.astype(np.int32), np.diff(matrix.indptr))


def _outcomes(row: Any, next_state: Any, probability: Any, reward: Floats) -> Outcomes:
    """Outcomes none of which ends an episode."""
    next_state, probability = next_state.astype(np.int32, copy=False), probability.astype(np.float64, copy=False)
    return Outcomes(row, next_state, probability, reward, np.zeros(len(row), np.bool_))


def _reward_of_action(R: Any, action: int, matrix: csr_array[Any], n_actions: int, name: str) -> Floats:
    """The reward of each number of an action's matrix [S, S], from rewards [S], [S, A] or [A, S, S]."""
    n_states, length = matrix.shape[0], np.diff(matrix.indptr)
    allowed = f"rewards [S], [S, A] or a matrix [S, S] for each action, with S = {n_states} and A = {n_actions}"
    if not isinstance(R, np.ndarray) and not hasattr(R, "tocsr"):
        R = list(R) if any(hasattr(part, "tocsr") for part in R) else numbers(f"{name}: R", R, allowed)
    shape = (len(R), *R[0].shape) if isinstance(R, list) or R.dtype == np.object_ else R.shape
    if shape == (n_actions, n_states, n_states):
        return _reward_of_rows(R[action], matrix, None, name)
    if shape not in ((n_states,), (n_states, n_actions)):
        raise InputError(f"{name}: found R {shape}; allowed: {allowed}")
    R = R.toarray() if hasattr(R, "toarray") else R
    of_state: Floats = numbers(f"{name}: R", R if R.ndim == 1 else R[:, action], allowed)
    return np.repeat(of_state, length)


def _reward_of_rows(R: Any, matrix: csr_array[Any], table: tuple[int, int] | None, name: str) -> Floats:
    """The reward of each number of a matrix [L, S], from rewards [L], or [L, S] that depend on the next state.

    Where the rows are those of a ``table`` [S, A], rewards may have that shape, too.
    """
    allowed = f"rewards [{matrix.shape[0]}] or {list(matrix.shape)}" + (f" or {list(table)}" if table else "")
    if not hasattr(R, "tocsr"):
        R = numbers(f"{name}: R", R, allowed)
    if R.shape == table:
        R = R.toarray() if hasattr(R, "toarray") else R
        R = R.ravel()
    if R.shape == (matrix.shape[0],):
        return np.repeat(R, np.diff(matrix.indptr))
    if R.shape != matrix.shape:
        raise InputError(f"{name}: found R {R.shape}; allowed: {allowed}")
    line = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    if isinstance(R, np.ndarray):
        return np.asarray(R[line, matrix.indices], np.float64)
    rewards = _sparse(f"{name}: R", R, allowed)
    there = np.repeat(np.arange(matrix.shape[0]), np.diff(rewards.indptr)) * matrix.shape[1] + rewards.indices
    wanted = line * matrix.shape[1] + matrix.indices
    at = np.minimum(np.searchsorted(there, wanted), max(len(there) - 1, 0))
    if not len(there):
        return np.zeros(len(wanted))
    return np.where(there[at] == wanted, rewards.data[at], 0.0).astype(np.float64)


def _floats(key: str, column: Any, n: int) -> Floats:
    array = numbers(key, column, "an array [N] of numbers")
    if array.shape != (n,):
        raise InputError(f"{key}: found shape {array.shape}; allowed: [N], here {n:,}")
    return array


def _indices(key: str, column: Any, n: int) -> Ints:
    """Whole numbers from 0, [N]."""
    array = np.asarray(column)
    if array.dtype.kind not in "iu" or array.shape != (n,):
        raise InputError(f"{key}: found {array.dtype} {array.shape}; allowed: whole numbers [N], here {n:,}")
    if n and not 0 <= array.min() <= array.max() < MOST_ROWS:
        wrong = array.min() if array.min() < 0 else array.max()
        raise InputError(f"{key}: found {wrong}; allowed: 0 to {MOST_ROWS - 1:,}")
    return array.astype(np.int64, copy=False)


# -- writing ---------------------------------------------------------------------------------------------------------


def write_pairs(tables: Tables, expected_reward: Floats, terminal: Bools, n_actions: int) -> Pairs:
    """The available rows of a model; an outcome that ends elsewhere than in a terminal state leads to one more state.

    That state, the last one, stays and pays nothing, so that all values are those of the model.
    """
    from scipy.sparse import csr_array

    n_states, code = len(terminal), tables.code
    target = tables.next_state.astype(np.int32)
    leaves = tables.terminated[code] & ~terminal[target]
    rows = np.flatnonzero(np.diff(tables.first) > 0)
    probability, reward = tables.probability[code], expected_reward.ravel()[rows]
    first = np.append(tables.first[rows], tables.first[-1])
    state, action = np.divmod(rows, n_actions)
    if leaves.any():
        target[leaves] = n_states
        lines = np.arange(n_actions)
        target, probability = (
            np.append(target, np.full(n_actions, n_states)),
            np.append(probability, np.ones(n_actions)),
        )
        first = np.append(first, first[-1] + 1 + lines)
        reward, action = np.append(reward, np.zeros(n_actions)), np.append(action, lines)
        state, n_states = np.append(state, np.full(n_actions, n_states)), n_states + 1
    matrix = csr_array((probability, target, first), shape=(len(state), n_states))
    matrix.sum_duplicates()
    return Pairs(matrix, reward, state, action)


def write_matrices(pairs: Pairs, n_actions: int, name: str) -> tuple[list[csr_array[Any]], Floats]:
    """A matrix [S, S] for each action, and rewards [S, A]."""
    n_states = pairs.P.shape[1]
    if len(pairs.state) < n_states * n_actions:
        missing = np.flatnonzero(
            np.bincount(pairs.state * n_actions + pairs.action, minlength=n_states * n_actions) == 0
        )
        s, a = divmod(int(missing[0]), n_actions)
        raise InputError(
            f"{name}: action {a} is not available in state {s}, which matrices cannot say; allowed: to_pairs()"
        )
    return [pairs.P[a::n_actions] for a in range(n_actions)], pairs.R.reshape(n_states, n_actions)


def write_transitions(tables: Tables, n_actions: int) -> Transitions:
    """All outcomes as columns, those of terminal states among them."""
    row = np.repeat(np.arange(len(tables.first) - 1), np.diff(tables.first))
    state, action = np.divmod(row, n_actions)
    code = tables.code
    return Transitions(
        state,
        action,
        tables.next_state.astype(np.int64),
        tables.probability[code],
        tables.reward[code],
        tables.terminated[code],
    )
