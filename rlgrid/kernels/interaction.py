"""The compiled loops in which acting and learning are interleaved."""

from __future__ import annotations

from typing import Any

from rlgrid.arrays import Floats, Ints
from rlgrid.batch import Batch, Transition, transition, write
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.models.sampling import sample
from rlgrid.randomness import Stream
from rlgrid.rules.behaviors import draw
from rlgrid.rules.credits import look
from rlgrid.rules.learner import Learner
from rlgrid.rules.schedules import count
from rlgrid.rules.starts import begin
from rlgrid.rules.update import learn, no_room, settle


@compiled
def interact(
    learner: Learner,
    behavior: Any,
    starts: Any,
    tables: Any,
    env_stream: Stream,
    behavior_stream: Stream,
    batch: Batch,
    place: Ints,
    gauge: Floats,
    finished: Any,
    max_steps: int,
    max_episodes: int,
    episode_limit: int,
) -> tuple[int, int]:
    """Act and learn until a limit is met or the learner has no room; steps and episodes done.

    ``place`` [3] and ``gauge`` [2] carry over from chunk to chunk: state (-1: an episode is to begin), pending action
    and steps of this episode; probability of the pending action and return of this episode. Transitions go into
    ``batch``, which has room for all of them or for none.
    """
    state, action, elapsed = place[0], place[1], place[2]
    probability, total = gauge[0], gauge[1]
    n_actions = (len(tables.first) - 1) // learner.table.shape[0]
    steps = 0
    episodes = 0
    while steps < max_steps and episodes < max_episodes and not no_room(learner):
        if state < 0:
            state, action, probability = begin(starts, behavior, learner, tables, env_stream, behavior_stream)
            elapsed = 0
            total = 0.0
        next_state, reward, terminated = sample(tables, state * n_actions + action, env_stream)
        elapsed += 1
        truncated = not terminated and elapsed >= episode_limit
        count(learner.tally, state, action, terminated or truncated)
        look(learner.credit, learner.table, next_state)
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
    place[0], place[1], place[2] = state, action, elapsed
    gauge[0], gauge[1] = probability, total
    return steps, episodes


@compiled
def learn_batch(learner: Learner, batch: Batch, begin_at: int) -> int:
    """Learn from transitions ``begin_at`` on until the learner has no room; where that was."""
    i = begin_at
    while i < len(batch.state) and not no_room(learner):
        step = transition(batch, i)
        count(learner.tally, step.state, step.action, step.terminated or step.truncated)
        look(learner.credit, learner.table, step.next_state)
        learn(learner, step)
        i += 1
    return i


@compiled
def settle_batch(learner: Learner) -> None:
    """End a batch: see :func:`rlgrid.rules.update.settle`."""
    settle(learner)


@compiled
def choose(learner: Learner, behavior: Any, state: int, stream: Stream) -> tuple[int, float]:
    """Draw one action and its probability."""
    look(learner.credit, learner.table, state)
    drawn: tuple[int, float] = draw(behavior, learner.table, state, stream)
    return drawn


@compiled
def observe(learner: Learner, behavior: Any, behavior_stream: Stream, batch: Batch, i: int) -> tuple[int, float]:
    """Complete transition i, which another environment made, with its next action, and learn from it."""
    action, probability = 0, 1.0
    ends = batch.terminated[unsigned(i)] or batch.truncated[unsigned(i)]
    count(learner.tally, batch.state[unsigned(i)], batch.action[unsigned(i)], ends)
    look(learner.credit, learner.table, batch.next_state[unsigned(i)])
    if not batch.terminated[unsigned(i)]:
        action, probability = draw(behavior, learner.table, batch.next_state[unsigned(i)], behavior_stream)
    batch.next_action[unsigned(i)] = action
    learn(learner, transition(batch, i))
    return action, probability
