"""The compiled loops in which acting and learning are interleaved."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.batch import Batch, Transition, transition, write
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.models.sampling import sample
from rlgrid.randomness import Stream
from rlgrid.rules.behaviors import Table, draw, probability
from rlgrid.rules.credits import is_full, refresh
from rlgrid.rules.learner import Learner
from rlgrid.rules.schedules import count
from rlgrid.rules.starts import begin
from rlgrid.rules.update import end_batch, learn


class Position(NamedTuple):
    """Where a rollout stands between two chunks; one number in each array, so that loops can change them."""

    state: Ints  # [1] where the agent is; -1: an episode is to begin
    action: Ints  # [1] the action that was drawn for this state
    probability: Floats  # [1] the probability with which it was drawn
    elapsed: Ints  # [1] steps of this episode
    total: Floats  # [1] undiscounted return of this episode so far
    steps: Ints  # [1] steps of the whole rollout
    world: Ints  # [1] number of the current world, where the world changes


def new_position() -> Position:
    """The position before the first episode."""
    state = np.array([-1], dtype=np.int64)
    return Position(state, _zero(), np.zeros(1), _zero(), np.zeros(1), _zero(), _zero())


def _zero() -> Ints:
    return np.zeros(1, dtype=np.int64)


@compiled
def interact(
    learner: Learner,
    behavior: Any,
    starts: Any,
    tables: Any,
    env_stream: Stream,
    behavior_stream: Stream,
    batch: Batch,
    position: Position,
    finished: Any,
    max_steps: int,
    max_episodes: int,
    episode_limit: int,
) -> tuple[int, int]:
    """Act and learn until a limit is met or the learner is full.

    Transitions go into ``batch``, which has room for all of them or for none, and episodes that end into ``finished``.

    Returns:
        the numbers of steps and of episodes done.
    """
    state, action, elapsed = position.state[0], position.action[0], position.elapsed[0]
    probability, total = position.probability[0], position.total[0]
    n_actions = (len(tables.first) - 1) // learner.table.shape[0]
    steps = 0
    episodes = 0
    while steps < max_steps and episodes < max_episodes and not is_full(learner):
        if state < 0:
            state, action, probability = begin(starts, behavior, learner, tables, env_stream, behavior_stream)
            elapsed = 0
            total = 0.0
        next_state, reward, terminated = sample(tables, state * n_actions + action, env_stream)
        elapsed += 1
        truncated = not terminated and elapsed >= episode_limit
        count(learner.tally, state, action, terminated or truncated)
        refresh(learner.credit, learner.table, next_state)
        if terminated:
            next_action, next_probability = 0, 1.0
        else:
            next_action, next_probability = draw(behavior, learner.table, next_state, behavior_stream)
        step = Transition(state, action, reward, int(next_state), next_action, terminated, truncated, probability, 1.0)
        if len(batch.state) > 0:
            write(batch, steps, step)
        learn(learner, step)
        total += reward
        steps += 1
        if terminated or truncated:
            finished.total[unsigned(episodes)], finished.length[unsigned(episodes)] = total, elapsed
            finished.terminated[unsigned(episodes)], finished.final_state[unsigned(episodes)] = terminated, next_state
            episodes += 1
            state = -1
        else:
            state, action, probability = next_state, next_action, next_probability
    position.state[0], position.action[0], position.elapsed[0] = state, action, elapsed
    position.probability[0], position.total[0] = probability, total
    position.steps[0] += steps
    return steps, episodes


@compiled
def learn_batch(learner: Learner, batch: Batch, begin_at: int) -> int:
    """Learn from the transitions from ``begin_at`` on until the learner is full or the batch ends.

    Returns:
        the number of the first transition that was not learned from.
    """
    i = begin_at
    while i < len(batch.state) and not is_full(learner):
        step = transition(batch, i)
        count(learner.tally, step.state, step.action, step.terminated or step.truncated)
        refresh(learner.credit, learner.table, step.next_state)
        learn(learner, step)
        i += 1
    return i


@compiled
def finish_batch(learner: Learner) -> None:
    """Let everything land that waited for the end of a batch: see :func:`rlgrid.rules.update.end_batch`."""
    end_batch(learner)


@compiled
def choose(learner: Learner, behavior: Any, state: int, stream: Stream) -> tuple[int, float]:
    """Draw one action and its probability."""
    refresh(learner.credit, learner.table, state)
    drawn: tuple[int, float] = draw(behavior, learner.table, state, stream)
    return drawn


@compiled
def learn_one(learner: Learner, behavior: Any, behavior_stream: Stream, batch: Batch, i: int) -> tuple[int, float]:
    """Complete transition i, which another environment made, with its next action, and learn from it.

    Returns:
        the next action, and the probability with which it was drawn.
    """
    action, probability = 0, 1.0
    ends = batch.terminated[unsigned(i)] or batch.truncated[unsigned(i)]
    count(learner.tally, batch.state[unsigned(i)], batch.action[unsigned(i)], ends)
    refresh(learner.credit, learner.table, batch.next_state[unsigned(i)])
    if not batch.terminated[unsigned(i)]:
        action, probability = draw(behavior, learner.table, batch.next_state[unsigned(i)], behavior_stream)
    batch.next_action[unsigned(i)] = action
    learn(learner, transition(batch, i))
    return action, probability


@compiled
def write_policy(behavior: Any, table: Table, policy: Floats) -> None:
    """Write b(a|s) into ``policy`` [S, A]: the probabilities with which ``draw`` draws now.

    Actions that are not available get 0; states with values that are no numbers get nan.
    """
    for state in range(policy.shape[0]):
        valid = True
        for column in range(table.shape[1]):
            valid = valid and not np.isnan(table[unsigned(state), unsigned(column)])
        for a in range(policy.shape[1]):
            column = a if table.shape[1] > 1 else 0
            share = 0.0 if valid else np.nan
            if valid and table[unsigned(state), unsigned(column)] > -np.inf:
                share = probability(behavior, table, state, a)
            policy[unsigned(state), unsigned(a)] = share
