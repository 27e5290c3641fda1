"""Where other people's code meets ours: environments that lie, wrappers, subclasses, runs that break off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward

import rlgrid
from rlgrid.errors import InputError
from rlgrid.feeds.rollout import Rollout
from rlgrid.runs.log import EpisodeLog
from rlgrid.runs.run import Budget, Run
from rlgrid.runs.saved_run import SavedRun
from rlgrid.runs.train import run_to_budget
from rlgrid.worlds.world import World


class Liar(gym.Env[int, int]):
    """Says that it has four states and then gives another one."""

    observation_space, action_space = gym.spaces.Discrete(4), gym.spaces.Discrete(2)

    def __init__(self, state: int) -> None:
        self._state = state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return self._state, 0.0, False, False, {}


@pytest.mark.parametrize("state", [4, -1, 10**9])
def test_an_observation_outside_its_space_is_refused_before_compiled_code_sees_it(state: int) -> None:
    env = Liar(state)
    with pytest.raises(InputError, match=rf"the observation {state}, which is not in its own space"):
        rlgrid.train(rlgrid.load_agent("q_learning", env), env, steps=10)
    with pytest.raises(InputError, match=rf"state: found {state}; allowed: 0 to 3"):
        rlgrid.load_agent("q_learning", env).act(state)


def test_wrappers_that_change_rewards_are_not_judged_by_the_model_behind_them() -> None:
    env = TransformReward(rlgrid.GridWorld("frozen_lake_4x4"), lambda reward: 10 * reward - 1)
    agent = rlgrid.load_agent("q_learning", env, discount=0.9)
    run = rlgrid.train(agent, env, steps=2000)
    assert run.exact.reason == "the environment has no model" and len(run.errors) == 0
    assert np.isnan(rlgrid.evaluate(agent.policy, env, episodes=10).success_rate)
    with pytest.raises(InputError, match="its model is not known"):
        rlgrid.solve(env)


def test_wrappers_that_only_look_on_leave_the_model_known_but_are_stepped_through() -> None:
    env = RecordEpisodeStatistics(rlgrid.GridWorld("frozen_lake_4x4"))
    run = rlgrid.train(rlgrid.load_agent("q_learning", env, seed=3), env, steps=2000)
    assert len(run.errors) and Rollout(env).model is None
    assert env.episode_count == run.episodes > 0
    bare = rlgrid.GridWorld("frozen_lake_4x4")
    assert np.array_equal(
        rlgrid.train(rlgrid.load_agent("q_learning", bare, seed=3), bare, steps=2000).agent.q, run.agent.q
    )


@pytest.mark.parametrize("kind", ["GridWorld", "FrozenLake"])
def test_a_subclass_that_steps_differently_is_stepped_itself(kind: str) -> None:
    base = rlgrid.GridWorld if kind == "GridWorld" else gym.envs.toy_text.FrozenLakeEnv

    class Shaped(base):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> Any:
            state, reward, *rest = super().step(action)
            return state, reward + 100, *rest

    env = Shaped("frozen_lake_4x4") if kind == "GridWorld" else Shaped()
    run = rlgrid.train(rlgrid.load_agent("q_learning", env, discount=0.9), env, episodes=20)
    assert run.returns.min() >= 100 and len(run.errors) == 0


def test_an_agent_of_another_world_is_refused() -> None:
    agent = rlgrid.load_agent("q_learning", rlgrid.GridWorld("frozen_lake_4x4"))
    with pytest.raises(InputError, match=r"an agent for 16 states and 4 actions; allowed: .* with 64 and 4"):
        rlgrid.train(agent, rlgrid.GridWorld("frozen_lake_8x8"), steps=10)
    with pytest.raises(InputError, match="env: found 'cliff'; allowed: an environment"):
        rlgrid.load_agent("sarsa", "cliff")  # type: ignore[arg-type]


def test_policies_are_checked_without_a_model_too() -> None:
    blackjack = gym.make("Blackjack-v1")
    for policy in (np.full((3, 2), 0.5), np.full((704, 2), 7.0), np.full((704, 2), np.nan)):
        with pytest.raises(InputError, match="policy: found"):
            rlgrid.evaluate(policy, blackjack, episodes=1)
        with pytest.raises(InputError, match="policy: found"):
            rlgrid.load_agent("td0", blackjack, policy=policy)


def test_a_return_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rlgrid.learning.actor, "_LONGEST_EPISODE", 1024)
    env = rlgrid.GridWorld("cliff")
    policy = np.eye(4)[np.zeros(48, int)]  # always up: into the wall, for ever
    agent = rlgrid.load_agent("mc_epsilon_greedy", env, epsilon=0, initial_value=-1e9)
    agent.learner.table[:] = np.where(policy > 0, 0.0, -1e9)
    with pytest.raises(InputError, match=r"gone on for 1,024 steps.*allowed: an episode_length below 1,024"):
        rlgrid.train(agent, env, steps=5000)


@pytest.mark.parametrize(
    "rules",
    [
        "[cells]\nG = { terminal = true, enter = { mean = 1, std = 1 } }",
        "[reward.action]\nright = -0.1\n[cells]\nG = { terminal = true, enter = 1 }",
        "[cells]\nG = { exit = { values = [0, 5], probabilities = [0.5, 0.5] } }",
    ],
)
def test_success_is_the_cell_not_the_number_that_was_drawn(rules: str) -> None:
    world = World.from_toml(f"actions = ['left', 'right']\nmap = 'S.G'\n{rules}\n")
    right = np.tile([0.0, 1.0], (3, 1))
    assert rlgrid.evaluate(right, rlgrid.GridWorld(world), episodes=200).success_rate == 1.0


def test_an_exit_that_pays_nothing_can_be_a_start() -> None:
    world = World.from_toml("actions = ['left']\nmap = 'E..T'\n[cells]\nE = { exit = 0 }\nT = { exit = 1 }\n")
    env = rlgrid.GridWorld(world)
    assert {env.reset(seed=seed)[0] for seed in range(40)} == {0, 1, 2, 3}
    assert not env.model.terminal.any()


# Runs that break off

KILLED = """
import sys, rlgrid
from rlgrid import Observer
import rlgrid.runs.log, os
rlgrid.runs.log._FLUSH_SECONDS = 0.0
class Kill(Observer):
    def see(self, run, chunk):
        if run.steps >= 60_000:
            os.kill(os.getpid(), 9)
env = rlgrid.GridWorld("frozen_lake_4x4")
agent = rlgrid.load_agent("sarsa", env, seed=4)
rlgrid.train(agent, env, steps=100_000, log=sys.argv[1], observers=[Kill()])
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False).returncode == -9
    env = rlgrid.GridWorld("frozen_lake_4x4")
    saved = SavedRun(folder)
    assert len(saved.returns) > 0  # logged beyond the checkpoint, which was written when the run began
    run = saved.run(env)
    assert run.steps == 0
    run_to_budget(run, [EpisodeLog(folder)])
    whole = Run(rlgrid.load_agent("sarsa", env, seed=4), env, Budget("steps", 100_000))
    run_to_budget(whole)
    assert np.array_equal(run.agent.q, whole.agent.q)
    assert np.array_equal(SavedRun(folder).returns, whole.returns)
