"""One loop at two speeds: compiled or plain, whole or in chunks, watched or not, replayed: the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import plain_run
import pytest
from gymnasium.wrappers import TransformReward
from plain_run import ROLLOUTS, STEPS, SWEEPS, drive, hashes, learned, of_episodes

import rlgrid
from rlgrid import library
from rlgrid.batch import Batch, joined
from rlgrid.choices import NAMED
from rlgrid.environments.spaces import model_of
from rlgrid.errors import InputError
from rlgrid.feeds.feed import Chunk
from rlgrid.feeds.feed_for import feed_for
from rlgrid.feeds.rollout import Rollout
from rlgrid.learning.recipe import read_recipe
from rlgrid.rules.windows import Window
from rlgrid.runs.checkpoint import load_checkpoint, save_checkpoint
from rlgrid.runs.exact_error import ExactError
from rlgrid.runs.observer import Observer
from rlgrid.runs.progress import ProgressBar
from rlgrid.runs.run import Budget, Run
from rlgrid.runs.train import run_to_budget
from rlgrid.toml import Keys

#: Rollouts whose chunks may be cut anywhere; mc_basic's chunk is one batch.
FREE = [name for name in ROLLOUTS if name != "mc_basic"]


def the_same(wrapped: gym.Env) -> gym.Env:
    """A wrapper that changes nothing, but which the compiled loop cannot know."""
    return TransformReward(wrapped, lambda reward: reward)


class Recorder(Observer):
    """Keeps every batch, and asks for chunks to end at odd places."""

    records = True

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def see(self, run: Run, chunk: Chunk) -> None:
        assert chunk.batch is not None
        self.batches.append(chunk.batch)

    def next_look(self, run: Run) -> int:
        return (run.done // 37 + 1) * 37


def test_every_recipe_is_among_the_cases() -> None:
    """But for those that learn from a recording or a model: test_compare and test_solution have them."""
    others = {name for name in library.names("agents") if read_recipe(name, {}).feed.kind not in ("rollout", "sweep")}
    assert {case.recipe for case in (ROLLOUTS | SWEEPS).values()} == set(library.names("agents")) - others


def test_every_choice_is_among_the_cases() -> None:
    recipes = [case.make()[0].recipe for case in (ROLLOUTS | SWEEPS).values()]
    found = {family: {getattr(recipe, family) for recipe in recipes} for family in ("target", "correction", "credit")}
    for family in ("step_size", "epsilon", "behavior"):
        tables = [getattr(recipe, family) for recipe in recipes if isinstance(getattr(recipe, family), Keys)]
        found[family] = {table.__struct_config__.tag for table in tables}
    assert found == {family: set(names) for family, names in NAMED.items()}


# Compiled and plain


@pytest.mark.slow
def test_compiled_and_plain_runs_agree_bit_for_bit() -> None:
    script = Path(plain_run.__file__)
    plain = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 0, plain.stderr
    found = json.loads(plain.stdout)
    assert not found.pop("compiled")
    assert found == hashes()
    assert len(set(found.values())) == len(ROLLOUTS | SWEEPS) + 1


# Chunks


@pytest.mark.slow
@pytest.mark.parametrize("name", FREE)
def test_the_length_of_chunks_changes_nothing(name: str) -> None:
    agent, env = ROLLOUTS[name].make()
    feed = feed_for(agent, env)
    whole = drive(agent, feed, chunks=[STEPS])
    assert len(whole.finished.total) > 0
    for chunks, record in [([1], False), ([7], True), ([1000], False), ([1, 300, 7, 41], True)]:
        again, env = ROLLOUTS[name].make()
        cut_feed = feed_for(again, env)
        cut = drive(again, cut_feed, chunks=chunks, record=record)
        assert learned(again) == learned(agent)
        assert of_episodes(cut.finished) == of_episodes(whole.finished)
        assert {k: v.tobytes() for k, v in cut_feed.state().items()} == {
            k: v.tobytes() for k, v in feed.state().items()
        }


def test_a_limit_of_episodes_ends_a_chunk_and_changes_nothing() -> None:
    agent, env = ROLLOUTS["q_learning"].make()
    whole = drive(agent, feed_for(agent, env), chunks=[STEPS])
    again, env = ROLLOUTS["q_learning"].make()
    feed = feed_for(again, env)
    steps, lengths = 0, []
    while steps < STEPS:
        chunk = feed.advance(again, STEPS - steps, 3, record=False)
        steps += chunk.steps
        assert len(chunk.finished.total) <= 3
        lengths.append(chunk.finished.length)
    assert learned(again) == learned(agent)
    assert np.concatenate(lengths).tolist() == whole.finished.length.tolist()


def test_an_episode_longer_than_the_window_makes_room() -> None:
    agent, env = ROLLOUTS["mc_epsilon_greedy, long"].make()
    assert isinstance(agent.learner.window, Window)
    before = len(agent.learner.window.state)
    finished = drive(agent, feed_for(agent, env), chunks=[STEPS]).finished
    assert finished.length.max() > before
    assert len(agent.learner.window.state) >= finished.length.max()


def test_mc_basic_takes_one_batch_a_chunk_whatever_is_asked_for() -> None:
    agent, env = ROLLOUTS["mc_basic"].make()
    again, _ = ROLLOUTS["mc_basic"].make()
    one, other = feed_for(agent, env), feed_for(again, env)
    model = env.model
    pairs = int((model.available & ~model.terminal[:, None]).sum())
    for limit in (1, 7, 100_000):
        a = one.advance(agent, limit, 1, record=False)
        b = other.advance(again, 100_000, 100_000, record=True)
        assert a.steps == b.steps and len(a.finished.total) == len(b.finished.total) == 2 * pairs
        assert b.batch is not None and b.batch.size == b.steps
        assert learned(agent) == learned(again)


# Observers


@pytest.mark.parametrize("name", ["q_learning", "mc_epsilon_greedy", "td0"])
def test_observers_change_nothing(name: str, tmp_path: Path) -> None:
    agent, env = ROLLOUTS[name].make()
    bare = rlgrid.train(agent, env, steps=STEPS)
    again, env = ROLLOUTS[name].make()
    recorder = Recorder()
    with open(os.devnull, "w") as nowhere:
        from rich.console import Console

        bar = ProgressBar(Console(file=nowhere))
        watched = rlgrid.train(
            again, env, steps=STEPS, log=tmp_path / "run", observers=[recorder, bar, ExactError(points=11)]
        )
    assert learned(again) == learned(agent)
    assert watched.steps == bare.steps == STEPS == joined(recorder.batches).size
    assert watched.returns.tobytes() == bare.returns.tobytes()
    assert watched.lengths.tobytes() == bare.lengths.tobytes()
    assert max(batch.size for batch in recorder.batches) <= 37


def test_training_twice_goes_on_where_the_agent_was_but_begins_a_new_episode() -> None:
    agent, env = ROLLOUTS["q_learning"].make()
    run = Run(agent, env, Budget("steps", 1000))
    run_to_budget(run)
    run.budget = Budget("steps", STEPS)
    run_to_budget(run)
    again, env = ROLLOUTS["q_learning"].make()
    whole = rlgrid.train(again, env, steps=STEPS)
    assert learned(agent) == learned(again)
    assert run.returns.tobytes() == whole.returns.tobytes()


# Replay


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("cuts", [[STEPS], [1, 77, 500], [13]], ids=str)
def test_recorded_batches_teach_a_fresh_agent_the_same(name: str, cuts: list[int]) -> None:
    agent, env = ROLLOUTS[name].make()
    batch = joined(drive(agent, feed_for(agent, env), chunks=[1000], record=True).batches)
    fresh, _ = ROLLOUTS[name].make()
    begin = turn = 0
    while begin < batch.size:
        end = begin + cuts[turn % len(cuts)]
        fresh.update(batch.part(begin, end))
        begin, turn = end, turn + 1
    assert fresh.learner.table.tobytes() == agent.learner.table.tobytes()
    assert learned(fresh)["policy"] == learned(agent)["policy"]


def test_recorded_batches_of_mc_basic_teach_a_fresh_agent_the_same() -> None:
    agent, env = ROLLOUTS["mc_basic"].make()
    batches = drive(agent, feed_for(agent, env), chunks=[1], record=True).batches
    fresh, _ = ROLLOUTS["mc_basic"].make()
    for batch in batches:
        fresh.update(batch)
    assert len(batches) > 6 and agent.learner.improvement.batches[1] > 1
    assert fresh.learner.table.tobytes() == agent.learner.table.tobytes()
    assert learned(fresh)["policy"] == learned(agent)["policy"]


def test_a_batch_that_does_not_fit_is_refused_before_it_reaches_compiled_code() -> None:
    agent, env = ROLLOUTS["q_learning"].make()
    batch = drive(agent, feed_for(agent, env), chunks=[10], steps=10, record=True).batches[0]
    before = learned(agent)
    for name in ("state", "action", "next_state", "next_action"):
        for wrong in (-1, 64):
            with pytest.raises(InputError, match=f"batch: {name} has values outside 0 to"):
                agent.update(batch._replace(**{name: np.full(10, wrong)}))
    for name in ("reward", "action", "terminated", "weight"):
        with pytest.raises(InputError, match=f"batch: found 9 of {name} and 10 of state"):
            agent.update(batch._replace(**{name: getattr(batch, name)[:9]}))
    for wrong in ([0] * 10, np.zeros(10), np.zeros((10, 1), np.int64)):
        with pytest.raises(InputError, match=r"batch: found .* as state; allowed: an array \[N\] of int64"):
            agent.update(batch._replace(state=wrong))
    assert learned(agent) == before


# Any environment


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in FREE if n != "mc_exploring_starts"])
def test_the_loop_for_any_environment_gives_the_same_bits(name: str) -> None:
    agent, env = ROLLOUTS[name].make()
    compiled_feed = feed_for(agent, env)
    compiled = drive(agent, compiled_feed, chunks=[1000], record=True)
    again, env = ROLLOUTS[name].make()
    feed = feed_for(again, the_same(env))
    assert compiled_feed.model is not None and feed.model is None
    generic = drive(again, feed, chunks=[7, 1000], record=True)
    assert learned(again) == learned(agent)
    assert of_episodes(generic.finished) == of_episodes(compiled.finished)
    for ours, theirs in zip(joined(compiled.batches), joined(generic.batches), strict=True):
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("wrapper", [lambda env: env, the_same])
def test_a_time_limit_of_gymnasium_is_honoured(wrapper) -> None:
    env = wrapper(gym.make("rlgrid/Cliff-v0", max_episode_steps=23))
    agent = rlgrid.load_agent("q_learning", env, seed=3)
    outcome = drive(agent, feed_for(agent, env), chunks=[100], record=True)
    batch = joined(outcome.batches)
    assert outcome.finished.length.max() == 23
    assert (outcome.finished.length[~outcome.finished.terminated] == 23).all()
    assert batch.truncated.any() and not (batch.truncated & batch.terminated).any()
    # Q-learning bootstraps at truncation: replaying without the marks gives the same table.
    fresh = rlgrid.load_agent("q_learning", env, seed=3)
    fresh.update(batch._replace(truncated=np.zeros_like(batch.truncated)))
    assert fresh.learner.table.tobytes() == agent.learner.table.tobytes()


def test_the_shorter_of_two_time_limits_counts() -> None:
    inner = gym.make("rlgrid/FrozenLake8x8-v0", max_episode_steps=31)
    for env, limit in [(inner, 31), (gym.make("rlgrid/FrozenLake8x8-v0", max_episode_steps=999), 200)]:
        assert Rollout(env).limit == limit
    assert Rollout(inner, episode_length=9).limit == 9


def test_other_environments_can_be_rolled_out() -> None:
    env = gym.make("FrozenLake-v1", is_slippery=False)
    agent = rlgrid.load_agent("q_learning", env, seed=1, discount=0.9, initial_value=1.0)
    run = rlgrid.train(agent, env, steps=5000)
    assert run.returns[-100:].mean() > 0.5
    # Not through the goal row, which absorbs: the optimal value of the start is 0.9^5.
    assert agent.q[0].max() == pytest.approx(0.9**5, abs=1e-3)


def test_environments_without_a_model_or_with_other_spaces() -> None:
    class Coin(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return 0, {}

        def step(self, action):
            return 1, float(action), True, False, {}

    agent = rlgrid.load_agent("q_learning", Coin(), seed=1)
    run = rlgrid.train(agent, Coin(), episodes=500)
    assert run.episodes == 500 and agent.policy[0].tolist() == [0.0, 1.0]
    assert model_of(Coin()) is None and len(run.errors) == 0 and run.exact.reason == "the environment has no model"
    Coin.observation_space = gym.spaces.Box(0, 1)
    with pytest.raises(InputError, match=r"observations: found the space Box.*allowed: Discrete"):
        rlgrid.load_agent("q_learning", Coin())
    Coin.observation_space = gym.spaces.Discrete(2)
    with pytest.raises(InputError, match="starts: episodes of this environment start where it says; allowed: world"):
        rlgrid.train(rlgrid.load_agent("mc_exploring_starts", Coin()), Coin())


# Starts and collecting


def test_chosen_starts_and_collected_batches() -> None:
    agent, env = ROLLOUTS["q_learning"].make()
    batch = Rollout(env, starts=[3, 9], seed=5).collect(agent, episodes=50)
    ends = batch.terminated | batch.truncated
    assert ends.sum() == 50 and ends[-1]
    assert set(batch.state[1:][ends[:-1]]) | {batch.state[0]} == {3, 9}
    assert Rollout(env, seed=5).collect(agent, steps=123).size == 123
    for settings in ({}, {"steps": 1, "episodes": 1}):
        with pytest.raises(InputError, match="collect: allowed: exactly one of steps and episodes"):
            Rollout(env).collect(agent, **settings)
    for unit in ("steps", "episodes"):
        for amount in (0, -1, 2.5):
            with pytest.raises(InputError, match=f"{unit}: found {amount}; allowed: a whole number of at least 1"):
                Rollout(env).collect(agent, **{unit: amount})
    with pytest.raises(InputError, match="episode_length: found 0; allowed: a whole number of at least 1"):
        Rollout(env, episode_length=0)
    for starts in ([], [-1], [64], [[1]]):
        with pytest.raises(InputError, match=r"starts: found .*; allowed: a list of states from 0 to 63"):
            Rollout(env, starts=starts)


def test_a_checkpoint_puts_a_run_back(tmp_path: Path) -> None:
    for name in (
        "q_learning, harmonic",
        "mc_epsilon_greedy, long",
        "mc_basic",
        "n_step_td, off-policy",
        "sarsa_lambda, whole episodes",
        "double_q_learning",
        "dyna_q",
    ):
        agent, env = ROLLOUTS[name].make()
        run = Run(agent, env, Budget("steps", 1234))
        run_to_budget(run)
        save_checkpoint(tmp_path / "c.npz", run)
        run.budget = Budget("steps", STEPS)
        run_to_budget(run)
        again, env = ROLLOUTS[name].make()
        back = Run(again, env, Budget("steps", STEPS))
        load_checkpoint(tmp_path / "c.npz", back)
        run_to_budget(back)
        assert learned(again) == learned(agent)
        assert (back.steps, back.episodes) == (run.steps, run.episodes)
        assert back.returns.tobytes() == run.returns[-len(back.returns) :].tobytes()
