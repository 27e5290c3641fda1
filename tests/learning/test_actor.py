"""An actor written in Python learns through the same rollout as the agents of the catalog."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from rlgrid import Batch, GridWorld, InputError, Rollout, load_agent


class PythonQLearning:
    """Q-learning with steps of size 1 under random actions."""

    def __init__(self, n_states: int, n_actions: int, discount: float) -> None:
        self.q = np.zeros((n_states, n_actions))
        self.discount = discount
        self.random = np.random.default_rng(5)
        self.batches = 0

    def choose(self, state: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
        allowed = np.flatnonzero(np.ones(self.q.shape[1]) if mask is None else mask)
        return int(self.random.choice(allowed)), 1 / len(allowed)

    def observe(self, batch: Batch, i: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
        state, action, following = batch.state[i], batch.action[i], batch.next_state[i]
        target = batch.reward[i] + self.discount * (1 - batch.terminated[i]) * self.q[following].max()
        self.q[state, action] += target - self.q[state, action]
        batch.next_action[i], probability = self.choose(int(following), mask)
        return int(batch.next_action[i]), probability

    def update(self, batch: Batch) -> None:
        for i in range(batch.size):
            self.observe(batch, i)

    def end_batch(self) -> None:
        self.batches += 1

    @property
    def v(self) -> NDArray[np.float64]:
        return np.asarray(self.q.max(axis=1))

    @property
    def policy(self) -> NDArray[np.float64]:
        return np.eye(self.q.shape[1])[self.q.argmax(axis=1)]


@pytest.mark.slow
def test_an_actor_in_python_learns_in_a_rollout() -> None:
    """Nothing is random here but the actions, so that steps of size 1 find the exact values."""
    actor = PythonQLearning(16, 4, discount=1.0)
    batch = Rollout(GridWorld("sutton_4x4"), seed=3).collect(actor, steps=5000)
    assert batch.size == 5000 and batch.behavior_probability == pytest.approx(0.25)
    assert actor.v.astype(int).reshape(4, 4).tolist() == [
        [0, -1, -2, -3],
        [-1, -2, -3, -2],
        [-2, -3, -2, -1],
        [-3, -2, -1, 0],
    ]
    actor = PythonQLearning(16, 4, discount=0.9)
    Rollout(gym.make("FrozenLake-v1", is_slippery=False), seed=3).collect(actor, steps=8000)
    assert actor.v[0] == pytest.approx(0.9**5)


def test_it_sees_the_episodes_that_a_compiled_loop_sees() -> None:
    """The environment's stream is the same; only who draws the actions differs."""
    policy = np.zeros((48, 4))
    policy[:, 0] = 1.0

    class Upwards(PythonQLearning):
        def choose(self, state: int, mask: NDArray[np.int8] | None = None) -> tuple[int, float]:
            return 0, 1.0

    one = Rollout(GridWorld("cliff_slippery"), seed=4).collect(Upwards(48, 4, 0.9), steps=500)
    other = Rollout(GridWorld("cliff_slippery"), seed=4).collect(
        load_agent("td0", GridWorld("cliff_slippery"), policy=policy), steps=500
    )
    for name in ("state", "action", "reward", "next_state", "terminated", "truncated"):
        assert (getattr(one, name) == getattr(other, name)).all(), name


def test_starts_that_only_the_compiled_loop_can_make_are_refused() -> None:
    with pytest.raises(InputError, match="starts: this agent is stepped through the environment"):
        Rollout(GridWorld("cliff"), starts="exploring").collect(PythonQLearning(48, 4, 0.9), steps=10)
