"""The graph of a model's rows: components, end components, ways to a target; and rows regrouped under new states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.kernels.sweeps import Rows, prune, row_values
from rlgrid.models.model import TabularModel
from rlgrid.models.reachability import reached_from, search_order

if TYPE_CHECKING:
    from scipy.sparse import csr_array


Labels: TypeAlias = NDArray[np.int32]

#: A mean reward within this, relative to the rewards that it is the mean of, is rounding.
ZERO_MEAN = 1e-14


def rows_at(model: TabularModel, discount: float) -> Rows:
    """The rows of a model at a discount."""
    t = model.tables
    begin = np.arange(0, model.n_states * model.n_actions + 1, model.n_actions)
    continuation = discount * t.probability
    continuation[t.terminated] = 0.0
    return Rows(begin, t.first, t.next_state, t.code, t.probability * t.reward, continuation)


def uniform_weights(rows: Rows) -> Floats:
    """Probability of each row under the uniform policy over the available actions."""
    usable = np.diff(rows.first) > 0
    count: Floats = np.add.reduceat(usable, rows.begin[:-1], dtype=np.float64)
    return usable.astype(np.float64) / np.repeat(count, np.diff(rows.begin))


def soft_weights(rows: Rows, epsilon: float, choice: Ints) -> Floats:
    """Probability of each row [R] under the (epsilon-soft) policy that chooses one row for each state."""
    weight = epsilon * uniform_weights(rows) if epsilon else np.zeros(len(rows.first) - 1)
    weight[choice] += 1.0 - epsilon
    return weight


def state_of_row(rows: Rows) -> Ints:
    """State to which each row belongs, [R]."""
    return np.repeat(np.arange(len(rows.begin) - 1), np.diff(rows.begin))


def values_of_rows(rows: Rows, v: Floats) -> tuple[Floats, Floats]:
    """q of each row, and the best q of its state, [R] each."""
    q = np.empty(len(rows.first) - 1)
    row_values(rows, v, q)
    return q, np.maximum.reduceat(q, rows.begin[:-1])[state_of_row(rows)]


def closed_rows(rows: Rows) -> Bools:
    """Rows that have outcomes, none of which ends the episode, [R]."""
    row = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
    closed = np.diff(rows.first) > 0
    closed[row[(rows.continuation == 0)[rows.code]]] = False
    return closed


def predecessors(rows: Rows) -> tuple[Ints, Ints]:
    """States that can lead to each state: where each one's list begins, [S + 1], and all lists."""
    row = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
    pairs = np.unique(rows.next_state.astype(np.int64) * (len(rows.begin) - 1) + state_of_row(rows)[row])
    target, state = np.divmod(pairs, len(rows.begin) - 1)
    return np.searchsorted(target, np.arange(len(rows.begin))), state


def edges(rows: Rows, usable: Bools) -> tuple[Ints, Ints, Ints]:
    """Row, state and next state of the outcomes of usable rows that go on."""
    row = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
    kept = usable[row] & (rows.continuation > 0)[rows.code]
    row = row[kept]
    return row, state_of_row(rows)[row], rows.next_state[kept].astype(np.int64)


def _graph(source: Ints, target: Ints, n: int) -> csr_array[Any]:
    """A graph of n states with an edge from each source to its target, [n, n]."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(source)), (source, target)), shape=(n, n))


def components(rows: Rows, usable: Bools) -> Labels:
    """Strongly connected component of each state, [S]."""
    from scipy.sparse.csgraph import connected_components

    _, state, next_state = edges(rows, usable)
    graph = _graph(state, next_state, len(rows.begin) - 1)
    return np.asarray(connected_components(graph, connection="strong")[1], dtype=np.int32)


def reachable_from(rows: Rows, usable: Bools, state: int) -> Bools:
    """States to which usable rows [R] lead from a state, itself among them, [S]."""
    _, source, target = edges(rows, usable)
    return reached_from(_graph(source, target, len(rows.begin) - 1), np.array([state]))


def leads_out(rows: Rows, label: Labels) -> Bools:
    """Rows with an outcome in another component, [R]."""
    row, state, next_state = edges(rows, np.ones(len(rows.first) - 1, np.bool_))
    out = np.zeros(len(rows.first) - 1, np.bool_)
    out[row[label[state] != label[next_state]]] = True
    return out


def recurrent_classes(rows: Rows, used: Bools) -> Labels:
    """Classes that are never left and never end, where the rows ``used`` all have positive probability.

    Returns the label of each state, -1 for states outside of such classes.
    """
    label = components(rows, used)
    open_row = used & (~closed_rows(rows) | leads_out(rows, label))
    is_open = np.zeros(label.max() + 1, np.bool_)
    is_open[label[state_of_row(rows)[open_row]]] = True
    label[is_open[label]] = -1
    return label


def end_components(rows: Rows, usable: Bools) -> Labels:
    """Maximal end components of the closed rows in ``usable`` [R]: label of each state [S], -1 outside of them.

    Rows that do not keep to a component are dropped from ``usable``.
    """
    label = np.full(len(rows.begin) - 1, -1, np.int32)
    again = bool(usable.any())
    while again:
        label = components(rows, usable)
        again = prune(rows, label, usable)
    return label


def numbered(label: Labels) -> tuple[Ints, Ints]:
    """New numbers of states [S] where all those of a label >= 0 become one; and the numbers of these new states."""
    n_states = len(label)
    key = np.where(label >= 0, label + n_states, np.arange(n_states))
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    number = rank[number]
    return number, np.unique(number[label >= 0])


def regroup(rows: Rows, keep: Bools, number: Ints, stopping: Ints | None = None) -> tuple[Rows, Ints]:
    """The rows to keep, with states renumbered (several may become one), and a stop for each state ``stopping``.

    Also returns each row's old number; that of the i-th stop is the number of old rows plus i.
    """
    n_rows = len(rows.first) - 1
    stops = np.zeros(0, np.int64) if stopping is None else stopping
    row = np.concatenate([np.flatnonzero(keep), n_rows + np.arange(len(stops))])
    first = np.concatenate([rows.first, rows.first[-1] + 1 + np.arange(len(stops))])
    state = np.concatenate([number[state_of_row(rows)[keep]], stops])
    order = np.argsort(state, kind="stable")
    row, state = row[order], state[order]
    length = np.diff(first)[row]
    ends = np.cumsum(length)
    outcome = np.repeat(first[row] - ends + length, length) + np.arange(ends[-1])
    code_type = rows.code.dtype if len(rows.reward_share) <= np.iinfo(rows.code.dtype).max else np.uint32
    return Rows(
        begin=np.searchsorted(state, np.arange(number.max() + 2)),
        first=np.concatenate([np.zeros(1, np.int64), ends]),
        next_state=np.concatenate([number[rows.next_state], stops])[outcome].astype(np.int32),
        code=np.concatenate([rows.code, np.full(len(stops), len(rows.reward_share))])[outcome].astype(code_type),
        reward_share=np.append(rows.reward_share, 0.0),
        continuation=np.append(rows.continuation, 0.0),
    ), row


def towards(rows: Rows, usable: Bools, target: Bools) -> tuple[Bools, Ints]:
    """States from which usable rows lead to a target, and for each such state a row that leads closer (else -1).

    States are ranked as a search from the targets finds them; a row leads closer where some outcome's rank is lower.
    A policy of such rows reaches a target with probability 1: each of its steps leads closer with a positive one.
    """
    n_states = len(target)
    row, state, next_state = edges(rows, usable)
    order = search_order(_graph(next_state, state, n_states), np.flatnonzero(target))
    rank = np.full(n_states, n_states)
    rank[order] = np.arange(len(order))
    best = np.full(n_states, n_states)
    np.minimum.at(best, state, rank[next_state])
    closer = (rank[next_state] == best[state]) & (best < rank)[state]
    choice = np.full(n_states, -1)
    choice[state[closer][::-1]] = row[closer][::-1]
    return rank < n_states, choice


def mean_rewards(rows: Rows) -> Floats:
    """Mean reward of each row, [R]; exactly 0 where rounding can explain the rest."""
    n_rows = len(rows.first) - 1
    row = np.repeat(np.arange(n_rows), np.diff(rows.first))
    mean = np.asarray(np.bincount(row, rows.reward_share[rows.code], n_rows), dtype=np.float64)
    size = np.bincount(row, np.abs(rows.reward_share)[rows.code], n_rows)
    mean[np.abs(mean) <= ZERO_MEAN * size] = 0
    return mean
