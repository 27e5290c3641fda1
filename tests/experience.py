"""Recorded episodes for tests of what learns from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rlgrid import GridWorld, load_agent
from rlgrid.batch import Batch, empty_batch
from rlgrid.feeds.rollout import Rollout
from rlgrid.learning.agent import Agent


def recorded(world: str, episodes: int, seed: int = 1, episode_length: int | None = None) -> tuple[GridWorld, Batch]:
    """Episodes of the uniform policy."""
    env = GridWorld(world)
    actor = load_agent("q_learning", env, seed=seed, epsilon=1)
    return env, Rollout(env, seed=seed, episode_length=episode_length).collect(actor, episodes=episodes)


def episodes_of(batch: Batch) -> Iterator[Batch]:
    """A batch, episode by episode."""
    ends = np.flatnonzero(batch.terminated | batch.truncated) + 1
    for begin, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        yield batch.part(int(begin), int(end))


def scripted(
    states: list[int], actions: list[int], rewards: list[float], *, terminated: bool = True, behavior: float = 1.0
) -> Batch:
    """One episode; ``states`` has one more than ``actions``."""
    n = len(actions)
    batch = empty_batch(n)
    batch.state[:], batch.next_state[:] = states[:-1], states[1:]
    batch.action[:], batch.reward[:], batch.behavior_probability[:] = actions, rewards, behavior
    batch.next_action[:] = [*actions[1:], 0]
    batch.terminated[:], batch.truncated[:] = False, False
    batch.terminated[-1], batch.truncated[-1] = terminated, not terminated
    return batch


def taught(recipe: str, env: GridWorld, batch: Batch, **settings: Any) -> Agent:
    """A fresh agent that has learned from a batch."""
    agent = load_agent(recipe, env, **settings)
    agent.update(batch)
    return agent
