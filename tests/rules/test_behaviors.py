"""Ways to act: what is drawn has the probabilities that are declared, and what is expected is their exact mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from rlgrid import GridWorld, Polynomial, TabularModel, World, load_agent, train
from rlgrid.feeds.feed_for import feed_for
from rlgrid.kernels.interaction import choose
from rlgrid.learning.agent import Agent
from rlgrid.rules.behaviors import expected, probability
from rlgrid.rules.schedules import current

SETTINGS: dict[str, dict[str, Any]] = {
    "epsilon-greedy": {"epsilon": 0.3},
    "softmax": {"behavior": {"kind": "softmax", "temperature": 0.5}},
    "cold softmax": {"behavior": {"kind": "softmax", "temperature": 1e-3}},
    "ucb": {"behavior": {"kind": "ucb", "c": 0.7}},
    "by visit": {"epsilon": {"kind": "harmonic", "a": 2.0, "per": "visit"}},
    "by episode": {"epsilon": {"kind": "polynomial", "a": 1.5, "power": 0.5}},
    "by step": {"epsilon": {"kind": "harmonic", "b": 3.0, "a": 3.0, "least": 0.2, "per": "step"}},
    "linear": {"epsilon": {"kind": "linear", "steps": 100, "last": 0.1}},
}
AVAILABLE = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 1, 0]], np.bool_)
VALUES = np.array([[0, 1, 0.5, 1], [2, 2, 2, 2], [9, -1, 0, 0], [3, 9, 9, 3], [9, 9, -5, 9]], np.float64)
COUNTS = np.array([[3, 5, 2, 5], [0, 1, 0, 7], [0, 2, 4, 4], [1, 0, 0, 2], [0, 0, 0, 0]], np.int64)


def prepared(name: str) -> Agent:
    """An agent with values, ties, unavailable actions, and some history."""
    generator = np.random.default_rng(1)
    model = TabularModel.from_arrays(
        generator.dirichlet(np.ones(5), size=(5, 4)), np.zeros((5, 4)), available=AVAILABLE, discount=0.9
    )
    agent = load_agent("q_learning", model, seed=4, **SETTINGS[name])
    agent.learner.table[AVAILABLE] = VALUES[AVAILABLE]
    tally = agent.learner.tally
    if hasattr(tally, "taken") and tally.taken.size:
        tally.taken[...] = COUNTS if tally.taken.shape[1] > 1 else COUNTS.sum(axis=1, keepdims=True)
    if hasattr(tally, "clock"):
        tally.clock[:] = 40, 7
    return agent


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_drawn_frequencies_have_the_declared_probabilities(name: str) -> None:
    """Chi-square over all states at a level of 1e-4; what cannot be drawn never is. Draws change no counts."""
    agent = prepared(name)
    declared = agent.behavior_policy
    assert declared.sum(axis=1) == pytest.approx(1) and (declared[~AVAILABLE] == 0).all()
    n, statistic, degrees = 20_000, 0.0, 0
    for state in range(5):
        pairs = [choose(agent.learner, agent.behavior, state, agent.streams[0]) for _ in range(n)]
        actions, drawn_with = np.array(pairs).T
        actions = actions.astype(np.int64)
        assert np.allclose(drawn_with, declared[state, actions], rtol=1e-12, atol=1e-12)
        frequency = np.bincount(actions, minlength=4)
        possible = declared[state] > 1e-12
        assert frequency[~possible].sum() == 0
        statistic += ((frequency - n * declared[state])[possible] ** 2 / (n * declared[state][possible])).sum()
        degrees += possible.sum() - 1
    assert statistic < chi2.ppf(1 - 1e-4, degrees)
    assert (agent.behavior_policy == declared).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_expected_value_is_the_exact_mean(name: str) -> None:
    agent = prepared(name)
    values = np.where(AVAILABLE, VALUES, 0.0)
    for state in range(5):
        mean = float(agent.behavior_policy[state] @ values[state])
        assert expected(agent.behavior, agent.learner.table, state) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_probability_of_an_action_is_the_declared_one(name: str) -> None:
    agent = prepared(name)
    table = agent.learner.table
    found = [[probability(agent.behavior, table, s, a) if AVAILABLE[s, a] else 0.0 for a in range(4)] for s in range(5)]
    assert np.array(found) == pytest.approx(agent.behavior_policy, rel=1e-12)


def test_softmax_by_hand() -> None:
    """exp(q / 0.5) of the values 0, 1, 1/2, 1; and values in the hundreds do not overflow."""
    agent = prepared("softmax")
    weights = np.array([1.0, math.exp(2), math.exp(1), math.exp(2)])
    assert agent.behavior_policy[0] == pytest.approx(weights / weights.sum(), rel=1e-12)
    agent.learner.table[0] = [700.0, 710.0, -2000.0, 0.0]
    assert np.isfinite(agent.behavior_policy).all()
    action, probability = choose(agent.learner, agent.behavior, 0, agent.streams[0])
    assert action == 1 and probability == pytest.approx(1 / (1 + math.exp(-20)), rel=1e-12)


def test_upper_confidence_by_hand() -> None:
    """State 0: q + 0.7 sqrt(ln 16 / N); in state 1 two actions were never taken, in state 4 there is only one."""
    agent = prepared("ucb")
    bounds = VALUES[0] + 0.7 * np.sqrt(math.log(16) / COUNTS[0])
    assert sorted(bounds)[-1] == bounds[1] == bounds[3] and agent.behavior_policy[0].tolist() == [0, 0.5, 0, 0.5]
    assert agent.behavior_policy[1].tolist() == [0.5, 0, 0.5, 0]
    assert agent.behavior_policy[4].tolist() == [0, 0, 1, 0]


def test_upper_confidence_takes_every_action_once_before_any_twice() -> None:
    """Also in a state that leads to itself: a step is counted before the next action is drawn."""
    env = GridWorld(World.from_toml('actions = ["up", "right", "down", "left", "stay"]\nmap = "S"\ndiscount = 0.5'))
    agent = load_agent("q_learning", env, seed=2, behavior={"kind": "ucb"})
    actions = feed_for(agent, env).collect(agent, steps=500).action.reshape(100, 5)
    assert (np.sort(actions, axis=1) == np.arange(5)).all(), "all are worth 0, so the least tried comes next"
    assert len({tuple(row) for row in actions.tolist()}) > 30, "in any order"


EPSILONS = [
    ({"kind": "harmonic", "a": 3.0, "b": 1.0}, lambda steps, episodes, visits: min(1, 3 / (2 + episodes))),
    ({"kind": "harmonic", "per": "visit"}, lambda steps, episodes, visits: 1 / (1 + visits)),
    ({"kind": "polynomial", "power": 0.5, "per": "step"}, lambda steps, episodes, visits: (1 + steps) ** -0.5),
    ({"kind": "polynomial", "least": 0.2}, lambda steps, episodes, visits: max(0.2, (1 + episodes) ** -0.5)),
    ({"kind": "linear", "steps": 300, "first": 0.9, "last": 0.1},
     lambda steps, episodes, visits: 0.9 - 0.8 * min(1, steps / 300)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("epsilon", "formula"), EPSILONS, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_schedules_follow_their_formula_while_training(epsilon: dict[str, Any], formula: Any) -> None:
    env = GridWorld("frozen_lake_4x4")
    agent = load_agent("q_learning", env, seed=3, epsilon=epsilon)
    for more in (1, 10, 89, 400):
        before = agent.learner.tally.clock.copy()
        run = train(agent, env, steps=more)
        steps, episodes = agent.learner.tally.clock.tolist()
        assert steps == before[0] + more and episodes == before[1] + run.episodes
        for state in range(16):
            visits = agent.learner.tally.taken[state, 0] if agent.learner.tally.taken.size else 0
            assert current(agent.behavior.schedule, state) == pytest.approx(formula(steps, episodes, visits), rel=1e-12)


def test_visits_are_counted_as_they_happen() -> None:
    """Against the recorded batch."""
    env = GridWorld("frozen_lake_4x4")
    agent = load_agent("q_learning", env, seed=3, behavior={"kind": "ucb"})
    batch = feed_for(agent, env).collect(agent, steps=2000)
    taken = np.zeros((16, 4), np.int64)
    np.add.at(taken, (batch.state, batch.action), 1)
    assert (agent.learner.tally.taken == taken).all()
    ends = int((batch.terminated | batch.truncated).sum())
    assert agent.learner.tally.clock.tolist() == [2000, ends]


def test_decaying_exploration_makes_sarsa_optimal() -> None:
    """With a fixed epsilon its values are those of a soft policy; with 1/visits they come to q* (GLIE)."""
    env = GridWorld("aima_4x3")
    errors = {}
    for name, epsilon in (("fixed", 0.3), ("decaying", {"kind": "polynomial", "power": 0.5, "per": "visit"})):
        agent = load_agent("sarsa", env, seed=1, discount=0.9, epsilon=epsilon, step_size=Polynomial(power=0.7))
        errors[name] = float(train(agent, env, steps=2_000_000).errors[-1, 1])
    assert errors["decaying"] < 0.03 < 0.1 < errors["fixed"]
