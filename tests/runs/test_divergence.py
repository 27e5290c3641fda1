"""Values that are no longer numbers end a run, in a sentence; what was logged stays. And compiling is announced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward

from rlgrid import ExactError, GridWorld, InputError, TabularModel, load_agent, train
from rlgrid.runs.saved_run import SavedRun


def paying(reward: float) -> gym.Env[Any, Any]:
    """A frozen lake, not slippery, in which every step pays; one may bump into the edge for ever."""
    env = gym.make("FrozenLake-v1", is_slippery=False)
    table = env.unwrapped.P
    for actions in table.values():
        for action, row in actions.items():
            actions[action] = [(p, there, reward, ends) for p, there, _, ends in row]
    return env


@pytest.mark.parametrize("chunk", [262_144, 1000, 7777])
def test_an_overflow_ends_the_run_at_a_step_that_chunks_do_not_change(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlgrid.runs.run._LONGEST_CHUNK", chunk)
    env = paying(1e307)
    agent = load_agent("q_learning", env, seed=1, discount=1.0, step_size=0.5)
    with pytest.raises(InputError) as error:
        train(agent, env, steps=1_000_000)
    assert str(error.value) == (
        "q_learning: the values diverged: at 65,536 steps the one of state 0 (row 0, column 0), action 0 is inf; "
        "rewards are too large (up to 1e+307); allowed: smaller ones, or a smaller discount"
    )


@pytest.mark.parametrize("budget", [{"steps": 50}, {"episodes": 1000}], ids=str)
def test_short_runs_and_episodes_that_no_longer_end_are_looked_at_too(budget: dict[str, int]) -> None:
    env = TransformReward(GridWorld("cliff"), lambda reward: float("nan"))
    with pytest.raises(InputError, match=r"at \d+ steps the one of state \d+, action \d is nan; likely a reward"):
        train(load_agent("sarsa", env, discount=0.9), env, **budget)


def test_a_look_at_values_that_are_no_numbers_is_silent() -> None:
    """Warnings are errors here; the guard's sentence comes when it is due."""
    env = GridWorld("frozen_lake_4x4")
    agent = load_agent("q_learning", env)
    agent.learner.table[6] = np.nan
    with pytest.raises(InputError, match="the values diverged: at 200 steps"):
        train(agent, env, steps=200, observers=[ExactError(points=10)])


def test_what_was_logged_stays(tmp_path: Path) -> None:
    env = GridWorld("frozen_lake_4x4")
    agent = load_agent("q_learning", env)
    agent.learner.table[6, 2] = np.nan
    with pytest.raises(InputError, match=r"state 6 \(row 1, column 2\), action right is nan; the step size is likely"):
        train(agent, env, steps=200_000, log=tmp_path / "run")
    saved = SavedRun(tmp_path / "run")
    assert saved.lengths.sum() > 60_000 and saved.run(env).steps == 65_536


def test_planners_diverge_in_a_sweep() -> None:
    model = TabularModel.from_arrays(np.ones((1, 1, 1)), [[1e307]], discount=1.0)
    with pytest.raises(InputError, match=r"value_iteration: the values diverged: at 18 sweeps .* is inf; rewards are"):
        train(load_agent("value_iteration", model), model, sweeps=100)


def test_actions_that_are_not_available_are_no_divergence() -> None:
    model = TabularModel.from_arrays(
        np.full((2, 2, 2), 0.5), np.ones((2, 2)), available=[[True, False], [True, True]], discount=0.5
    )
    run = train(load_agent("value_iteration", model), model, sweeps=50)
    assert np.isneginf(run.agent.q[0, 1]) and run.steps == 50


@pytest.mark.slow
def test_the_first_use_is_announced_and_the_next_process_finds_it_in_the_cache(tmp_path: Path) -> None:
    """In processes of their own, with an empty cache."""
    arguments = [sys.executable, "-m", "rlgrid", "train", "td0", "random_walk_5", "--steps", "100", "--json"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert first.stderr == "compiling td0 (the first time only; some seconds) ...\n"
    assert second.stderr == ""
