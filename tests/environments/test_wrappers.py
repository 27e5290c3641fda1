"""Gymnasium's wrappers around single environments, and around training."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import (
    FlattenObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    TimeLimit,
    TransformObservation,
    TransformReward,
)

from rlgrid import GridWorld, InputError, Rollout, evaluate, load_agent, train


def trained(env: gym.Env, **budget: int) -> np.ndarray:
    return train(load_agent("q_learning", env, seed=3, discount=0.9), env, **budget).agent.q


def test_episode_statistics() -> None:
    env = RecordEpisodeStatistics(GridWorld("cliff"))
    env.reset(seed=0)
    for action in [0, *[1] * 11, 2]:
        info = env.step(action)[4]
    assert (info["episode"]["r"], info["episode"]["l"]) == (-13, 13)
    run = train(load_agent("q_learning", env, seed=3, discount=0.9), env, episodes=60)
    assert env.episode_count == 61
    assert list(env.return_queue)[1:] == run.returns.tolist() and list(env.length_queue)[1:] == run.lengths.tolist()


def test_what_only_looks_on_changes_nothing() -> None:
    for name in ("frozen_lake_4x4", "windy_stochastic"):
        bare = trained(GridWorld(name), steps=3000)
        assert (trained(RecordEpisodeStatistics(GridWorld(name)), steps=3000) == bare).all()
        assert (trained(TransformReward(GridWorld(name), lambda reward: reward), steps=3000) == bare).all()


def test_a_time_limit_is_compiled_and_cuts_off() -> None:
    env = TimeLimit(GridWorld("cliff"), 7)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(7)] == [False] * 6 + [True]
    rollout = Rollout(env, seed=1)
    batch = rollout.collect(load_agent("q_learning", env, seed=0, epsilon=1.0), steps=70)
    assert rollout.model is not None and batch.truncated.nonzero()[0].tolist() == list(range(6, 70, 7))
    assert evaluate(np.eye(4)[np.zeros(48, int)], env, episodes=3).mean_length == 7
    stepped = Rollout(RecordEpisodeStatistics(TimeLimit(GridWorld("cliff"), 7)), seed=1)
    again = stepped.collect(load_agent("q_learning", env, seed=0, epsilon=1.0), steps=70)
    assert all(column.tobytes() == getattr(again, name).tobytes() for name, column in batch._asdict().items())


def test_the_shorter_of_two_time_limits_holds() -> None:
    made = gym.make("rlgrid/FrozenLake4x4-v0", max_episode_steps=5)
    batch = Rollout(made, seed=1).collect(load_agent("q_learning", made, seed=0, epsilon=1.0), steps=500)
    ends = np.flatnonzero(batch.terminated | batch.truncated)
    assert batch.truncated.any() and np.diff(ends).max() == 5


def test_transformed_rewards_are_learned() -> None:
    env = TransformReward(GridWorld("zhao_2x2"), lambda reward: 10 * reward)
    env.reset(seed=0, options={"state": 1})
    bare = GridWorld("zhao_2x2")
    bare.reset(seed=0, options={"state": 1})
    assert env.step(2)[1] == 10 * bare.step(2)[1] == 10
    assert trained(env, steps=4000) == pytest.approx(10 * trained(bare, steps=4000), rel=1e-9)
    assert np.isfinite(trained(NormalizeReward(GridWorld("cliff")), steps=500)).all()


@pytest.mark.parametrize(("kind", "size"), [("one_hot", 48), ("image", 48 * 81 * 6), ("window", 40 * 40 * 5)])
def test_flat_observations(kind: str, size: int) -> None:
    inner = GridWorld("cliff", observation=kind)
    env = FlattenObservation(inner)
    seen, _ = env.reset(seed=0)
    assert env.observation_space.shape == seen.shape == (size,) and env.observation_space.contains(seen)
    assert (env.step(0)[0].reshape(inner.observation_space.shape) == GridWorld("cliff", observation=kind).reset(
        options={"state": 24})[0]).all()  # fmt: skip


def test_coordinates_can_be_trained_on_and_images_cannot() -> None:
    bare = trained(RecordEpisodeStatistics(GridWorld("cliff")), steps=2000)
    assert (trained(RecordEpisodeStatistics(GridWorld("cliff", observation="coordinates")), steps=2000) == bare).all()
    with pytest.raises(InputError, match=r"observations: found the space .*; allowed: Discrete, MultiDiscrete"):
        load_agent("q_learning", FlattenObservation(GridWorld("cliff", observation="image")))


def test_transformed_observations_are_indices_of_the_new_space() -> None:
    """Columns only: the agent learns on twelve states of the cliff."""
    env = TransformObservation(GridWorld("cliff"), lambda state: state % 12, gym.spaces.Discrete(12))
    agent = load_agent("q_learning", env, seed=3, discount=0.9)
    run = train(agent, env, steps=1000)
    assert agent.q.shape == (12, 4) and run.steps == 1000 and len(run.errors) == 0


@pytest.mark.slow
def test_a_video_is_recorded(tmp_path) -> None:
    env = GridWorld("cliff", render_mode="rgb_array")
    env = gym.wrappers.RecordVideo(env, str(tmp_path / "video"), disable_logger=True)
    env.reset(seed=0)
    for action in [0, *[1] * 11, 2]:
        env.step(action)
    env.close()
    assert [file.suffix for file in tmp_path.rglob("*.mp4")] == [".mp4"]


def test_frames_are_collected() -> None:
    """What a recorder of videos asks for, without one."""
    env = gym.wrappers.RenderCollection(GridWorld("cliff", render_mode="rgb_array"))
    env.reset(seed=0)
    env.step(0)
    frames = env.render()
    assert len(frames) == 2 and frames[0].shape == frames[1].shape and (frames[0] != frames[1]).any()
