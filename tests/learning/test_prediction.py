"""Every agent that predicts converges to the exact value of its policy, within a bound from the exact variance.

Monte Carlo averages are normal for many returns: the bound is five standard deviations of the average, from the exact
variance of a return under importance sampling (moments solved as linear systems). For a weighted average it is that of
the first-order expansion of a ratio, E[W^2 (G - v)^2] / n. Bootstrapping ones follow e <- e - alpha ((1 - gamma P) e +
noise) near the end, so that a stationary variance is at most alpha var / (1 - gamma), with var at most the greatest
variance of a return: a target that puts an expected value in the place of a return's rest varies less (law of total
variance). Again the bound is five standard deviations. With five of them 2,000 comparisons are expected to fail less
than 0.002 times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlgrid import GridWorld, evaluate_exact, load_agent
from rlgrid.feeds.feed_for import feed_for
from rlgrid.learning.agent import Agent

WORLDS = ["frozen_lake_4x4", "aima_4x3", "random_walk_19", "sutton_4x4", "frozen_lake_8x8"]
GAMMA = 0.9
SIZE = {"kind": "polynomial", "power": 0.8}
OFF = {"behavior": "uniform", "table": "v", "visits": "first"}

MONTE_CARLO: list[tuple[str, str, dict[str, Any]]] = [
    ("mc_prediction", "weighted", {"visits": "first"}),
    ("mc_ordinary_sampling", "ordinary", OFF),
    ("mc_weighted_sampling", "weighted", OFF),
    ("mc_per_decision", "per_decision", OFF),
]
BOOTSTRAPPING: list[tuple[str, dict[str, Any]]] = [
    ("td0", {}),
    ("n_step_td", {}),
    ("n_step_td", {"n": 3, "correction": "per_decision", "behavior": "uniform"}),
    ("td_lambda", {}),
    ("true_online_td_lambda", {}),
    ("td_lambda", {"credit": "replacing_trace"}),
    ("expected_sarsa_off_policy", {"epsilon": None}),
    ("n_step_tree_backup", {"target": "policy", "epsilon": None, "behavior": "uniform"}),
]


class Exact:
    """A policy close to the uniform one, its values, and moments of what is sampled under the uniform one."""

    def __init__(self, world: str) -> None:
        self.env = GridWorld(world)
        model = self.env.model
        self.going, self.reward = np.zeros((model.n_states, model.n_actions, model.n_states)), np.zeros(model.n_states)
        self.outcomes = [
            (s, a, p, t, r, ended)
            for s, actions in self.env.P.items()
            for a, row in actions.items()
            for p, t, r, ended in row
            if not model.terminal[s]
        ]
        uniform = np.full((model.n_states, model.n_actions), 1 / model.n_actions)
        other = np.random.default_rng(0).dirichlet(np.ones(model.n_actions), size=model.n_states)
        survival = self.radius(uniform)
        share = 0.5
        while self.radius((policy := (1 - share) * uniform + share * other) ** 2 / uniform) > (1 + survival) / 2:
            share /= 2
        self.behavior, self.policy = uniform, policy
        self.v = evaluate_exact(self.env, policy, discount=GAMMA)

    def matrix(self, weight: np.ndarray) -> np.ndarray:
        matrix = np.zeros((len(weight), len(weight)))
        for s, a, p, t, _, ended in self.outcomes:
            matrix[s, t] += weight[s, a] * p * (not ended)
        return matrix

    def radius(self, weight: np.ndarray) -> float:
        return float(np.abs(np.linalg.eigvals(self.matrix(weight))).max())

    def variance(self, kind: str, behavior: np.ndarray) -> np.ndarray:
        """Of a return [S]: of W G, of G per decision, or E[W^2 (G - v)^2]."""
        weight = self.policy**2 / behavior
        chain, one = self.matrix(weight), np.eye(len(weight))
        ends = np.zeros(len(weight))
        for s, a, p, _, _, ended in self.outcomes:
            ends[s] += weight[s, a] * p * ended
        squares = np.linalg.solve(one - chain, ends)  # E[W^2]
        if kind == "per_decision":
            squares = np.ones(len(weight))
            mean = self.v
        else:
            mean = np.linalg.solve(
                one - GAMMA * chain, self.paid(weight, lambda r, t, on: r * (squares[t] if on else 1))
            )
        second = np.linalg.solve(
            one - GAMMA**2 * chain,
            self.paid(weight, lambda r, t, on: r * r * (squares[t] if on else 1) + 2 * r * GAMMA * mean[t] * on),
        )
        if kind == "weighted":  # E[W^2 G^2] - 2 v E[W^2 G] + v^2 E[W^2]
            return second - 2 * self.v * mean + self.v**2 * squares
        return second - self.v**2

    def paid(self, weight: np.ndarray, value: Any) -> np.ndarray:
        total = np.zeros(len(weight))
        for s, a, p, t, r, ended in self.outcomes:
            total[s] += weight[s, a] * p * value(r, t, not ended)
        return total


def taught(recipe: str, exact: Exact, seed: int, **settings: Any) -> Agent:
    agent = load_agent(recipe, exact.env, seed=seed, discount=GAMMA, policy=exact.policy, **settings)
    feed_for(agent, exact.env).advance(agent, 250_000, 1_000_000, record=False)
    return agent


@pytest.fixture(scope="module", params=WORLDS)
def exact(request: pytest.FixtureRequest) -> Exact:
    return Exact(request.param)


@pytest.mark.parametrize(("recipe", "kind", "settings"), MONTE_CARLO, ids=[case[0] for case in MONTE_CARLO])
def test_monte_carlo_prediction(recipe: str, kind: str, settings: dict[str, Any], exact: Exact) -> None:
    behavior = exact.behavior if "behavior" in settings else exact.policy
    variance = np.maximum(exact.variance(kind, behavior), 0)
    for seed in (1, 2):
        agent = taught(recipe, exact, seed, episode_length=100_000, **settings)
        assert (agent.policy == exact.policy).all() and np.abs(agent.behavior_policy - behavior).max() < 1e-15
        known = agent.learner.visits[:, 0] > 300
        assert known.sum() >= 5
        n = agent.learner.visits[known, 0] * (0.5 if recipe == "mc_weighted_sampling" else 1)
        bound = 5 * np.sqrt(variance[known] / n) + 1e-12
        assert (np.abs(agent.v - exact.v)[known] <= bound).all()


@pytest.mark.parametrize(("recipe", "settings"), BOOTSTRAPPING, ids=str)
def test_bootstrapping_prediction(recipe: str, settings: dict[str, Any], exact: Exact) -> None:
    behavior = exact.behavior if "behavior" in settings else exact.policy
    variance = exact.variance("per_decision", behavior)[~exact.env.model.terminal].max()
    for seed in (1, 2):
        agent = taught(recipe, exact, seed, step_size=SIZE, **settings)
        visits = agent.learner.visits
        known = (visits > 300).all(axis=1)
        assert known.sum() >= 5
        alpha = visits[known].min() ** -SIZE["power"]
        assert np.abs(agent.v - exact.v)[known].max() < 5 * np.sqrt(alpha * variance / (1 - GAMMA))
