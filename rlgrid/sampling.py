"""Drawing from a model: the outcome of an action, and where an episode starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.behaviors import draw
from rlgrid.credits import look
from rlgrid.dispatch import at, choice, function, rule
from rlgrid.randomness import Stream, normal, uniform
from rlgrid.tables import Spread, Tables

if TYPE_CHECKING:
    from rlgrid.learner import Learner


class WorldStarts(NamedTuple):
    """Episodes start where the environment says."""


class ExploringStarts(NamedTuple):
    """Every state and action may come first, drawn uniformly (Zhao, Alg. 5.2; Sutton & Barto 2e, Sec. 5.3)."""

    rows: NDArray[np.int64]  # [n] rows ``state * n_actions + action``
    share: NDArray[np.float64]  # [n] 1 / the number of actions available in the state
    n_actions: int


class EveryPair(NamedTuple):
    """Every state and action comes first, in turn (MC basic: Zhao, Alg. 5.1)."""

    rows: NDArray[np.int64]  # [n]
    share: NDArray[np.float64]  # [n]
    n_actions: int
    turn: NDArray[np.int64]  # [1]


class ChosenStarts(NamedTuple):
    """States drawn uniformly from a list."""

    states: NDArray[np.int64]  # [n]


Starts: TypeAlias = WorldStarts | ExploringStarts | EveryPair | ChosenStarts


@rule
def sample(tables: Any, row: int, stream: Stream) -> tuple[int, float, bool]:  # type: ignore[empty-body]
    """Next state, reward and termination of a row ``state * n_actions + action``."""


@choice(sample, Tables)
def _sample(tables: Tables, row: int, stream: Stream) -> tuple[int, float, bool]:
    begin_at = tables.first[at(row)]
    last = tables.first[at(row + 1)] - 1
    j = begin_at
    if begin_at < last:
        u = uniform(stream)
        below = 0.0
        for i in range(begin_at, last):  # no early exit: where it would come is a guess that processors get wrong
            below += tables.probability[at(tables.code[at(i)])]
            j += u >= below
    code = tables.code[at(j)]
    reward = tables.reward[at(code)]
    if tables.noise[at(code)] >= 0:
        reward = sample_reward(tables, tables.noise[at(code)], stream)
    return tables.next_state[at(j)], reward, tables.terminated[at(code)]


@choice(sample, Spread)
def _sample_spread(tables: Spread, row: int, stream: Stream) -> tuple[int, float, bool]:
    j = 0
    if tables.threshold[at(row), 0] < 2.0:
        u = uniform(stream)
        for k in range(tables.threshold.shape[1]):
            j += u >= tables.threshold[at(row), at(k)]
    return tables.next_state[at(row), at(j)], tables.reward[at(row), at(j)], tables.terminated[at(row), at(j)]


@function
def sample_reward(tables: Tables, d: int, stream: Stream) -> float:
    """A reward from distribution d: one of its values, plus normal noise."""
    k = 0
    if tables.noise_cumulative[d, 0] < 1.0:
        u = uniform(stream)
        while u >= tables.noise_cumulative[d, k]:
            k += 1
    reward: float = tables.noise_values[d, k]
    if tables.noise_std[d] > 0.0:
        reward += tables.noise_std[d] * normal(stream)
    return reward


@function
def sample_start(tables: Any, stream: Stream) -> int:
    """A start state."""
    n = len(tables.start_state)
    if n == 1:
        return int(tables.start_state[0])
    u = uniform(stream)
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        if u < tables.start_cumulative[middle]:
            high = middle
        else:
            low = middle + 1
    return int(tables.start_state[low])


@rule
def begin(  # type: ignore[empty-body]
    starts: Any, behavior: Any, learner: Learner, tables: Any, env_stream: Stream, behavior_stream: Stream
) -> tuple[int, int, float]:
    """First state of an episode, first action, and the probability of that action."""


@choice(begin, WorldStarts)
def _begin_world(
    starts: WorldStarts, behavior: Any, learner: Learner, tables: Any, env_stream: Stream, behavior_stream: Stream
) -> tuple[int, int, float]:
    state = sample_start(tables, env_stream)
    look(learner.credit, learner.table, state)
    action, probability = draw(behavior, learner.table, state, behavior_stream)
    return state, action, probability


@choice(begin, ExploringStarts)
def _begin_exploring(
    starts: ExploringStarts,
    behavior: Any,
    learner: Learner,
    tables: Any,
    env_stream: Stream,
    behavior_stream: Stream,
) -> tuple[int, int, float]:
    i = int(uniform(behavior_stream) * len(starts.rows))
    return starts.rows[i] // starts.n_actions, starts.rows[i] % starts.n_actions, starts.share[i]


@choice(begin, EveryPair)
def _begin_every_pair(
    starts: EveryPair, behavior: Any, learner: Learner, tables: Any, env_stream: Stream, behavior_stream: Stream
) -> tuple[int, int, float]:
    i = starts.turn[0]
    starts.turn[0] = (i + 1) % len(starts.rows)
    return starts.rows[i] // starts.n_actions, starts.rows[i] % starts.n_actions, starts.share[i]


@choice(begin, ChosenStarts)
def _begin_chosen(
    starts: ChosenStarts, behavior: Any, learner: Learner, tables: Any, env_stream: Stream, behavior_stream: Stream
) -> tuple[int, int, float]:
    state = starts.states[int(uniform(behavior_stream) * len(starts.states))]
    look(learner.credit, learner.table, state)
    action, probability = draw(behavior, learner.table, state, behavior_stream)
    return state, action, probability
