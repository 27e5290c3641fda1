"""Exact learning curves, against values that are solved here with NumPy from the tables that environments show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dense_solver import optimum, value_of

import rlgrid
from rlgrid import ExactError, GridWorld, InputError, load_agent, train
from rlgrid.feeds.feed import Chunk
from rlgrid.runs.observer import Observer
from rlgrid.runs.run import Run

LAKE = GridWorld("frozen_lake_4x4")
START = LAKE.model.start


class Keeper(Observer):
    """Keeps tables and acting policies at points of its own."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.kept: dict[int, tuple[np.ndarray, np.ndarray, int]] = {}

    def see(self, run: Run, chunk: Chunk) -> None:
        self.kept[run.done] = run.agent.q, run.agent.behavior_policy, run.episodes

    def next_look(self, run: Run) -> int:
        return (run.done // self.every + 1) * self.every


@pytest.mark.parametrize("settings", [{}, {"behavior": {"kind": "softmax", "temperature": 0.05}}], ids=str)
def test_every_column_is_exact(settings: dict[str, object]) -> None:
    agent = load_agent("q_learning", LAKE, seed=1, discount=0.9, **settings)
    keeper = Keeper(10_000)
    curve = train(agent, LAKE, steps=50_000, observers=[ExactError(points=5), keeper]).curve
    best = optimum(LAKE, 0.9)
    open_pairs = ~LAKE.model.terminal[:, None] & LAKE.model.available
    assert curve["done"].tolist() == [0, 10_000, 20_000, 30_000, 40_000, 50_000]
    total, before = 0.0, curve[0]
    for row in curve[1:]:
        q, acting, episodes = keeper.kept[row["done"]]
        apart = (q - best)[open_pairs]
        greedy = (q == q.max(axis=1, keepdims=True)) / (q == q.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
        assert row["q_error"] == pytest.approx(np.abs(apart).max(), abs=1e-8)
        assert row["rmse"] == pytest.approx(math.sqrt((apart**2).mean()), abs=1e-8)
        assert row["v_error"] == pytest.approx(np.abs(q.max(axis=1) - best.max(axis=1))[:15].max(), abs=1e-8)
        assert row["greedy_value"] == pytest.approx(START @ value_of(LAKE, greedy, 0.9), abs=1e-10)
        assert row["behavior_value"] == pytest.approx(START @ value_of(LAKE, acting, 0.9), abs=1e-10)
        assert row["regret"] == pytest.approx(START @ best.max(axis=1) - row["behavior_value"], abs=1e-8)
        assert row["episodes"] == episodes
        total += (episodes - before["episodes"]) * (row["regret"] + before["regret"]) / 2
        assert row["cumulative_regret"] == pytest.approx(total)
        before = row
    assert curve["regret"][-1] < curve["regret"][0] and (curve["regret"] > 0).all()


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("q_learning", {"step_size": 0.2}),
        ("q_learning", {"behavior": {"kind": "ucb", "c": 0.5}}),
        ("dyna_q_plus", {"model_memory": 10}),
        ("sarsa", {"epsilon": {"kind": "harmonic", "per": "visit"}}),
    ],
    ids=str,
)
def test_agents_that_do_not_settle_report_their_exact_regret(recipe: str, settings: dict[str, object]) -> None:
    agent = load_agent(recipe, LAKE, seed=1, discount=0.9, **settings)
    last = train(agent, LAKE, steps=100_000, observers=[ExactError(points=4)]).curve[-1]
    best = START @ optimum(LAKE, 0.9).max(axis=1)
    assert last["regret"] == pytest.approx(best - START @ value_of(LAKE, agent.behavior_policy, 0.9), abs=1e-8)
    assert last["regret"] > 0 and last["cumulative_regret"] > last["episodes"] * last["regret"] / 2


@pytest.mark.slow
def test_errors_are_as_they_were_and_the_curve_is_thinner() -> None:
    run = train(load_agent("q_learning", LAKE, seed=1, discount=0.9), LAKE, steps=100_000)
    assert run.errors[:, 0].tolist() == list(range(0, 100_001, 2000))
    assert run.curve["done"].tolist() == [100_000] and run.curve["v_error"][0] == run.errors[-1, 1]
    assert math.isnan(run.curve["cumulative_regret"][0])
    long = train(load_agent("q_learning", LAKE, seed=1, discount=0.9), LAKE, steps=20_000_000)
    assert long.curve["done"][0] == 0 and 4 < len(long.curve) < 12 and len(long.errors) == 51


def test_points_that_do_not_divide_the_budget() -> None:
    run = train(load_agent("q_learning", LAKE), LAKE, steps=20_000, observers=[ExactError(points=3)])
    assert run.curve["done"].tolist() == [0, 6666, 13_332, 20_000]


def test_prediction_is_measured_against_its_policy() -> None:
    uniform = np.full((16, 4), 0.25)
    run = train(load_agent("td0", LAKE, seed=1, discount=0.9), LAKE, steps=20_000, observers=[ExactError(points=2)])
    exact = value_of(LAKE, uniform, 0.9)
    apart = (run.agent.v - exact)[~LAKE.model.terminal]
    last = run.curve[-1]
    assert last["rmse"] == pytest.approx(math.sqrt((apart**2).mean()), abs=1e-9)
    assert last["v_error"] == pytest.approx(np.abs(apart).max(), abs=1e-9) and math.isnan(last["q_error"])
    assert last["behavior_value"] == pytest.approx(START @ exact, abs=1e-10) and math.isnan(last["regret"])
    of_actions = load_agent("td0", LAKE, seed=1, discount=0.9, table="q", step_size={"kind": "polynomial"})
    run = train(of_actions, LAKE, steps=2_000_000, observers=[ExactError(points=1)])
    assert run.curve["q_error"][-1] < 0.03 < run.curve["q_error"][0]


def test_the_value_of_the_policy_that_acts_is_not_that_of_the_one_predicted() -> None:
    walk = GridWorld("random_walk_5")
    agent = load_agent("mc_weighted_sampling", walk, policy="right", behavior="uniform", table="v")
    assert train(agent, walk, steps=1000).curve["behavior_value"][-1] == pytest.approx(0.5, abs=1e-12)


def test_a_policy_that_never_ends_has_no_value_at_discount_1() -> None:
    """Before anything is learned, all actions tie; after one step against the edge, three do."""
    env = GridWorld("cliff")
    agent = load_agent("q_learning", env, seed=1, discount=1.0)
    agent.learner.table[:, 0] = 1.0  # up for ever
    curve = train(agent, env, steps=1, observers=[ExactError(points=1)]).curve
    assert math.isnan(curve["greedy_value"][0]) and curve["behavior_value"][0] < -1000


def test_a_planner_has_a_curve_too() -> None:
    run = train(load_agent("value_iteration", LAKE, discount=0.9), LAKE, sweeps=300)
    assert run.curve["q_error"][-1] < 2e-8 and abs(run.curve["regret"][-1]) < 2e-8  # v* is certified to 1e-8


@pytest.mark.slow
def test_large_models_are_not_solved_unless_one_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    large = GridWorld(rlgrid.generate_world("obstacles", (210, 200), 0))
    run = train(load_agent("q_learning", large, discount=0.9), large, steps=1000)
    assert len(run.errors) == len(run.curve) == 0 and run.exact.exact is None
    assert run.exact.reason == (
        "the model has 42,000 states, and by default at most 40,000 are solved before training; "
        "allowed: observers=[ExactError(points=...)]"
    )
    monkeypatch.setattr("rlgrid.runs.exact_error.MOST_STATES", 10)
    asked = train(load_agent("q_learning", LAKE), LAKE, steps=1000, observers=[ExactError(points=1)])
    assert len(asked.curve) == 2 and not asked.exact.reason
    with pytest.raises(InputError, match="points: found 0; allowed: a whole number of at least 1"):
        ExactError(points=0)
