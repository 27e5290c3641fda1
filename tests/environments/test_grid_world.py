"""GridWorld: Gymnasium's contract, and the compiled loop's episodes step by step."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from plain_run import NOISY, drive
from scipy import stats

import rlgrid
from rlgrid import GridWorld, InputError, World, library
from rlgrid.batch import joined
from rlgrid.feeds.rollout import Rollout

CATALOG = library.names("envs")
LEAST_P = 1e-6

WINDY_KING = """
name = "windy_king_stochastic"
discount = 1
edge = "clip"
actions = ["up", "right", "down", "left", "up-left", "up-right", "down-left", "down-right"]
map = '''
..........
..........
..........
S......G..
..........
..........
..........
'''
[reward]
step = -1
[cells]
G = { terminal = true }
[wind]
up = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
varies = { -1 = "1/3", 0 = "1/3", 1 = "1/3" }
"""


def short(world: str) -> str:
    return "windy_king" if "\n" in world else world


def env_id(world: str) -> str:
    return "rlgrid/" + "".join(part[:1].upper() + part[1:] for part in world.split("_")) + "-v0"


# Gymnasium's contract


@pytest.mark.slow
@pytest.mark.parametrize("world", CATALOG)
def test_every_world_passes_the_environment_checker(world: str) -> None:
    env = gym.make(env_id(world), render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("world", CATALOG)
def test_every_id_makes_its_world(world: str) -> None:
    env = gym.make(env_id(world), render_mode="ansi")
    state, info = env.reset(seed=3)
    assert env.unwrapped.world.name == world and info == {}
    assert env.observation_space.n == env.unwrapped.model.n_states
    text = env.render()
    rows = env.unwrapped.world.rows
    assert text.count("@") == 1 and text.replace("\n", "").index("@") == state
    assert [len(row) for row in text.splitlines()] == [len(row) for row in rows]


def test_the_general_id_takes_a_world_a_name_or_a_path(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(NOISY)
    for world in ("cliff", World.from_toml(NOISY), str(path), path):
        assert gym.make("rlgrid/GridWorld-v0", world=world).reset(seed=1)[1] == {}


def test_the_rgb_array_is_a_picture() -> None:
    env = GridWorld("zhao_5x5", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3


# Bad input


def test_a_step_needs_a_reset_first() -> None:
    with pytest.raises(gym.error.ResetNeeded, match=r"call reset\(\) before step\(\)"):
        GridWorld("cliff").step(0)


@pytest.mark.parametrize("action", [4, -1, "up", None, [1], 0.5], ids=str)
def test_an_action_has_to_be_one(action: object) -> None:
    env = GridWorld("cliff")
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"^action: found .*; allowed: 0 to 3$"):
        env.step(action)
    assert env.step(0)[0] == 24, "a refused action changes nothing"


def test_an_unknown_render_mode_is_told_with_the_near_name() -> None:
    with pytest.raises(InputError, match='render_mode: found "humann", did you mean "human"'):
        GridWorld("cliff", render_mode="humann")


@pytest.mark.parametrize("state", [-1, 9, 4, 8, 2.5, "S", [1]], ids=str)
def test_a_chosen_start_has_to_be_open(state: object) -> None:
    """In the noisy world 4 is a wall and 8 the goal."""
    env = GridWorld(World.from_toml(NOISY))
    with pytest.raises(InputError, match=r"^state: found .*; allowed: an open state from 0 to 8$"):
        env.reset(seed=0, options={"state": state})
    assert env.reset(seed=0, options={"state": np.int64(6)})[0] == 6


def test_a_terminal_state_stays() -> None:
    env = GridWorld("zhao_2x2")
    env.reset(seed=0, options={"state": 3})
    assert env.step(4) == (3, 1.0, False, False, {})  # Zhao's target ends nothing
    lake = GridWorld("frozen_lake_4x4")
    state, terminated = lake.reset(seed=0)[0], False
    while not terminated:
        state, _, terminated, _, _ = lake.step(1)
    assert lake.step(0) == (state, 0.0, True, False, {})


def test_the_time_limit_truncates_but_does_not_terminate() -> None:
    env = GridWorld(World.from_toml(NOISY.replace("max_episode_steps = 40", "max_episode_steps = 3")))
    env.reset(seed=0, options={"state": 0})
    ends = []
    for _ in range(3):
        _, _, terminated, truncated, _ = env.step(3)
        ends.append((terminated, truncated))
    assert ends == [(False, False), (False, False), (False, True)]


# The same episodes as the compiled loop


@pytest.mark.parametrize("world", ["noisy", "frozen_lake_8x8", "four_rooms", "zhao_5x5", WINDY_KING], ids=short)
@pytest.mark.parametrize("seed", [0, 11])
def test_single_steps_equal_the_compiled_loop(world: str, seed: int) -> None:
    text = NOISY if world == "noisy" else world
    env = GridWorld(World.from_toml(text) if "\n" in text else text)
    agent = rlgrid.load_agent("sarsa", env, seed=seed, epsilon=0.7, discount=0.9)
    batch = joined(drive(agent, Rollout(env, seed=seed), chunks=[700], steps=3000, record=True).batches)
    single = type(env)(env.world)
    state, _ = single.reset(seed=seed)
    for i in range(batch.size):
        assert state == batch.state[i]
        state, reward, terminated, truncated, _ = single.step(int(batch.action[i]))
        found = (state, reward, terminated, truncated)
        assert found == (batch.next_state[i], batch.reward[i], batch.terminated[i], batch.truncated[i])
        if terminated or truncated:
            state, _ = single.reset()


def test_resetting_with_a_seed_begins_the_same_episodes_again() -> None:
    env = GridWorld(World.from_toml(NOISY))

    def play(seed: int) -> list[tuple[int, float]]:
        state, _ = env.reset(seed=seed)
        seen = [(state, 0.0)]
        for k in range(600):
            state, reward, terminated, truncated, _ = env.step(k % 4)
            seen.append((state, reward))
            if terminated or truncated:
                seen.append((env.reset()[0], 0.0))
        return seen

    assert play(5) == play(5) != play(6)


# What is drawn is what the model says


def _counted(env: GridWorld, steps: int, seed: int) -> np.ndarray:
    """How often each next state followed each state and action under uniformly random actions, [S, A, S]."""
    agent = rlgrid.load_agent("td0", env, seed=seed, discount=0.9)
    batch = Rollout(env, seed=seed).collect(agent, steps=steps)
    counts = np.zeros((env.model.n_states, env.model.n_actions, env.model.n_states))
    np.add.at(counts, (batch.state, batch.action, batch.next_state), 1)
    return counts


@pytest.mark.parametrize("world", ["frozen_lake_4x4", "four_rooms", WINDY_KING], ids=short)
@pytest.mark.parametrize("seed", [1, 2])
def test_sampled_frequencies_match_the_probabilities(world: str, seed: int) -> None:
    env = GridWorld(World.from_toml(world) if "\n" in world else world)
    counts = _counted(env, 300_000, seed)
    statistic, freedom = 0.0, 0
    for state, actions in env.P.items():
        for action, row in actions.items():
            visits = counts[state, action].sum()
            probability = np.zeros(env.model.n_states)
            for p, next_state, _, _ in row:
                probability[next_state] += p
            assert counts[state, action][probability == 0].sum() == 0
            expected = visits * probability[probability > 0]
            if visits and expected.min() >= 5:
                statistic += ((counts[state, action][probability > 0] - expected) ** 2 / expected).sum()
                freedom += len(expected) - 1
    assert freedom > 50
    assert stats.chi2.sf(statistic, freedom) > LEAST_P


def test_actions_are_drawn_as_the_policy_says() -> None:
    env = GridWorld("frozen_lake_4x4")
    policy = np.tile([0.5, 0.0, 0.2, 0.3], (16, 1))
    batch = Rollout(env, seed=1).collect(rlgrid.load_agent("td0", env, seed=4, policy=policy), steps=100_000)
    counts = np.bincount(batch.action, minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]], 100_000 * np.array([0.5, 0.2, 0.3])).pvalue > LEAST_P
    assert (batch.behavior_probability == policy[0][batch.action]).all()


def test_epsilon_greedy_breaks_ties_at_random_and_says_its_probability() -> None:
    env = GridWorld("zhao_5x5")
    agent = rlgrid.load_agent("q_learning", env, seed=4, epsilon=0.3)
    agent.learner.table[...] = [2.0, 1.0, 2.0, 0.0, 2.0]
    actions = np.array([agent.act(0) for _ in range(20_000)])
    expected = np.array([0.7 / 3 + 0.06, 0.06, 0.7 / 3 + 0.06, 0.06, 0.7 / 3 + 0.06])
    assert stats.chisquare(np.bincount(actions, minlength=5), 20_000 * expected).pvalue > LEAST_P
    assert agent.behavior_policy[0] == pytest.approx(expected, abs=1e-15)


def test_start_states_and_noisy_rewards() -> None:
    env = GridWorld(World.from_toml(NOISY))
    agent = rlgrid.load_agent("td0", env, seed=2)
    batch = Rollout(env, seed=9).collect(agent, steps=200_000)
    ends = np.flatnonzero(batch.terminated | batch.truncated)
    starts = batch.state[ends[:-1] + 1]
    assert stats.chisquare([(starts == 0).sum(), (starts == 5).sum()]).pvalue > LEAST_P
    assert ((starts == 0) | (starts == 5)).all()
    entered = batch.next_state == 2  # x pays -3, 1 or 2
    values, counts = np.unique(batch.reward[entered & (batch.state != 2)], return_counts=True)
    assert values.tolist() == [-3.0, 1.0, 2.0]
    assert stats.chisquare(counts, counts.sum() * np.array([0.5, 0.25, 0.25])).pvalue > LEAST_P
    for cell, mean, std in [(8, 5.0, 1.0), (0, -1.0, 0.5)]:
        drawn = batch.reward[batch.next_state == cell]
        assert abs(drawn.mean() - mean) < 5 * std / np.sqrt(len(drawn))
        assert abs(drawn.var() - std**2) < 5 * std**2 * np.sqrt(2 / len(drawn))
