"""Agents that solve a model: the exact one, the maximum-likelihood one, and draws from a posterior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rlgrid
from rlgrid import GridWorld, InputError, Observer, TabularModel, evaluate_exact, load_agent, solve, train
from rlgrid.batch import Batch, joined
from rlgrid.feeds.feed import Chunk
from rlgrid.runs.run import Run
from rlgrid.runs.saved_run import SavedRun
from rlgrid.runs.train import run_to_budget

LAKE = GridWorld("frozen_lake_4x4")


class Recorder(Observer):
    """Keeps all transitions, and ends chunks at every multiple of a number of steps."""

    records = True

    def __init__(self, every: int) -> None:
        self.every = every
        self.batches: list[Batch] = []

    def see(self, run: Run, chunk: Chunk) -> None:
        assert chunk.batch is not None
        self.batches.append(chunk.batch.copy())

    def next_look(self, run: Run) -> int:
        return (run.done // self.every + 1) * self.every


@pytest.mark.parametrize("name", ["gauss_seidel", "prioritized_sweeping", "linear_programming"])
def test_a_recipe_solves_by_its_method(name: str) -> None:
    env = GridWorld("windy_king_stochastic")
    agent = load_agent(name, env, discount=0.9)
    run = train(agent, env)
    plan = solve(env, name, discount=0.9)
    assert run.steps == 1 and (agent.q == plan.q).all() and (agent.policy.argmax(axis=1) == plan.q.argmax(axis=1)).all()
    assert run.errors[-1, 1] < 1e-7


def test_backward_induction_and_average_reward() -> None:
    agent = load_agent("backward_induction", LAKE, discount=1.0)
    train(agent, LAKE)
    assert agent.v[0] == pytest.approx(0.744, abs=1e-3)  # within the limit of 100 steps
    agent = load_agent("average_reward", GridWorld("zhao_5x5"))
    train(agent, GridWorld("zhao_5x5"))
    assert agent.q.max() == pytest.approx(agent.v.max(), abs=1e-12) and agent.policy[17, 4] == 1  # stay in the target


def test_certainty_equivalence_is_the_plan_for_what_was_counted() -> None:
    recorder = Recorder(every=10**9)
    agent = load_agent("certainty_equivalence", LAKE, seed=3, discount=0.95)
    train(agent, LAKE, steps=20_000, observers=[recorder])
    counted = TabularModel.from_batch(joined(recorder.batches), 16, 4)
    plan = solve(counted, discount=0.95, tol=1e-6)
    assert counted.available.all() and np.abs(agent.q - plan.q).max() < 2e-6
    best = solve(LAKE, discount=0.95).v[0]
    assert evaluate_exact(LAKE, agent.policy, discount=0.95)[0] > 0.95 * best


@pytest.mark.parametrize("recipe", ["certainty_equivalence", "posterior_sampling"])
def test_chunks_do_not_matter_and_seeds_repeat(recipe: str) -> None:
    tables = []
    for every in (10**9, 77, 1000):
        agent = load_agent(recipe, LAKE, seed=4, discount=0.95)
        train(agent, LAKE, steps=2000, observers=[Recorder(every)])
        tables.append(agent.q)
    assert (tables[0] == tables[1]).all() and (tables[0] == tables[2]).all()
    other = load_agent(recipe, LAKE, seed=5, discount=0.95)
    train(other, LAKE, steps=2000)
    assert (other.q != tables[0]).any()


class Stop(Observer):
    """Breaks a run off as soon as it has come so far."""

    def __init__(self, done: int) -> None:
        self.done = done

    def see(self, run: Run, chunk: Chunk) -> None:
        if run.done >= self.done:
            raise KeyboardInterrupt

    def next_look(self, run: Run) -> int:
        return self.done


@pytest.mark.parametrize("recipe", ["certainty_equivalence", "posterior_sampling"])
@pytest.mark.parametrize("stop", [1234, 2000])
def test_a_run_that_was_broken_off_goes_on_with_what_it_had_counted(tmp_path: Path, recipe: str, stop: int) -> None:
    agent = load_agent(recipe, LAKE, seed=3, discount=0.95)
    with pytest.raises(KeyboardInterrupt):
        train(agent, LAKE, steps=4500, log=tmp_path / "run", observers=[Stop(stop)])
    run = SavedRun(tmp_path / "run").run(LAKE)
    assert run.steps == stop
    run_to_budget(run)
    whole = load_agent(recipe, LAKE, seed=3, discount=0.95)
    train(whole, LAKE, steps=4500)
    assert np.array_equal(run.agent.q, whole.q)


@pytest.mark.slow
def test_posterior_sampling_explores_by_itself() -> None:
    """Without epsilon, on ice: in four of five seeds the latest draw's policy is within a tenth of the optimum."""
    best = solve(LAKE, discount=0.95).v[0]
    good = 0
    for seed in range(5):
        agent = load_agent("posterior_sampling", LAKE, seed=seed, discount=0.95, solve_every=200)
        train(agent, LAKE, steps=40_000)
        good += evaluate_exact(LAKE, agent.policy, discount=0.95)[0] > 0.9 * best
    assert good >= 4


@pytest.mark.parametrize(
    ("recipe", "settings", "sentence"),
    [
        ("gauss_seidel", {"target": "behavior"}, 'feed: "solution" solves a model; allowed with target = "greedy"'),
        ("certainty_equivalence", {"step_size": 0.1}, 'feed: "counting" solves a model; allowed with target'),
        ("certainty_equivalence", {"posterior": "sample"}, 'posterior: "sample" needs a prior above 0'),
        ("certainty_equivalence", {"prior": -1}, "prior: found -1; allowed: at least 0"),
        ("posterior_sampling", {"solve_every": 0}, "feed.every: found 0; allowed: a whole number of at least 1"),
        ("q_learning", {"method": "auto"}, 'method: found "auto"; allowed with feed = "solution" or "counting"'),
        ("q_learning", {"prior": 1}, 'prior: found 1; allowed with feed = "counting"'),
    ],
)
def test_settings_that_are_refused(recipe: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        load_agent(recipe, LAKE, **settings)
    assert sentence in str(error.value)


@pytest.mark.slow
def test_a_method_that_is_none_and_a_model_that_is_not_there() -> None:
    agent = load_agent("gauss_seidel", LAKE, method="gauss_seidl")
    with pytest.raises(InputError, match=r'^method: found "gauss_seidl", did you mean "gauss_seidel"\?'):
        train(agent, LAKE)
    import gymnasium

    blackjack = gymnasium.make("Blackjack-v1")
    with pytest.raises(InputError, match="it has no model"):
        train(load_agent("gauss_seidel", blackjack), blackjack)
    counting = load_agent("certainty_equivalence", blackjack, discount=1.0, solve_every=2000)
    run = train(counting, blackjack, steps=4000)
    assert run.steps == 4000 and np.isfinite(rlgrid.evaluate(counting.policy, blackjack, episodes=10).mean_return)
