"""Starts: where episodes begin, and with which action."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.choices import choice, rule
from rlgrid.models.sampling import sample_start
from rlgrid.randomness import Stream, uniform
from rlgrid.rules.behaviors import draw
from rlgrid.rules.credits import refresh
from rlgrid.rules.learner import Learner


class WorldStarts(NamedTuple):
    """Episodes start where the environment says."""


class ExploringStarts(NamedTuple):
    """Every state and action may come first, drawn uniformly (Zhao, Alg. 5.2; Sutton & Barto 2e, Sec. 5.3)."""

    rows: NDArray[np.int64]  # [n] rows ``state * n_actions + action``
    share: NDArray[np.float64]  # [n] 1 / the number of actions available in the state
    n_actions: int


class EveryPair(NamedTuple):
    """Every state and action comes first, in turn (MC basic: Zhao, Alg. 5.1)."""

    rows: NDArray[np.int64]  # [n] rows ``state * n_actions + action``
    share: NDArray[np.float64]  # [n] 1 / the number of actions available in the state
    n_actions: int
    turn: NDArray[np.int64]  # [1] which row comes next


class ChosenStarts(NamedTuple):
    """States drawn uniformly from a list."""

    states: NDArray[np.int64]  # [n]


Starts: TypeAlias = WorldStarts | ExploringStarts | EveryPair | ChosenStarts


@rule
def begin(  # type: ignore[empty-body]
    starts: Any, behavior: Any, learner: Learner, tables: Any, env_stream: Stream, behavior_stream: Stream
) -> tuple[int, int, float]:
    """Begin an episode: its first state, its first action, and the probability of that action."""


@choice(begin, WorldStarts)
def _begin_world(
    starts: WorldStarts, behavior: Any, learner: Learner, tables: Any, env_stream: Stream, behavior_stream: Stream
) -> tuple[int, int, float]:
    state = sample_start(tables, env_stream)
    refresh(learner.credit, learner.table, state)
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
    refresh(learner.credit, learner.table, state)
    action, probability = draw(behavior, learner.table, state, behavior_stream)
    return state, action, probability
