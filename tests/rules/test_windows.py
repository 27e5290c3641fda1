"""Windows of n transitions: one is one-step learning, all of them Monte Carlo, in between the books' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from experience import episodes_of, recorded, scripted, taught

from rlgrid import GridWorld, load_agent
from rlgrid.batch import Batch
from rlgrid.rules.windows import Window

GAMMA, ALPHA = 0.9, 0.2


def window_of_one() -> Window:
    ints = [np.zeros(2, np.int64) for _ in range(2)]
    return Window(1, 2, *ints, np.zeros(2), np.zeros(0), np.zeros(2, np.int64), np.zeros((0, 0), np.int64))


@pytest.mark.parametrize("recipe", ["td0", "sarsa", "expected_sarsa"])
def test_a_window_of_one_is_one_step_learning_bit_for_bit(recipe: str) -> None:
    env, batch = recorded("frozen_lake_4x4", 300, episode_length=7)
    assert batch.truncated.any() and batch.terminated.any()
    one_step, windowed = load_agent(recipe, env, discount=GAMMA), load_agent(recipe, env, discount=GAMMA)
    windowed.learner = windowed.learner._replace(window=window_of_one())
    one_step.update(batch)
    windowed.update(batch)
    assert np.abs(one_step.learner.table).max() > 0
    assert windowed.learner.table.tobytes() == one_step.learner.table.tobytes()


@pytest.mark.parametrize(
    ("recipe", "table"), [("n_step_td", "v"), ("n_step_sarsa", "q"), ("n_step_expected_sarsa", "q")]
)
def test_a_window_longer_than_the_episodes_is_monte_carlo(recipe: str, table: str) -> None:
    """Every-visit Monte Carlo with a constant step size, bit for bit."""
    env, batch = recorded("random_walk_19", 50)
    longest = max(episode.size for episode in episodes_of(batch))
    settings = {"discount": GAMMA, "step_size": ALPHA}
    n_step = taught(recipe, env, batch, n=longest, **settings)
    monte_carlo = taught("mc_prediction", env, batch, table=table, **settings)
    assert n_step.learner.table.tobytes() == monte_carlo.learner.table.tobytes()
    shorter = taught(recipe, env, batch, n=longest // 4, **settings)
    assert np.abs(shorter.learner.table - monte_carlo.learner.table).max() > 1e-3


# The books' formulas, written out slowly


def slow_n_step(batch: Batch, q: np.ndarray, n: int, kind: str, pi: np.ndarray) -> np.ndarray:
    """Every update aims at the definition of its target.

    At an end the updates come the latest first, and a tree is walked once: its later part counts with the values that
    stood there when the walk came through (as in Sutton & Barto's Sec. 5.7).

    ``kind``: "sarsa" (S&B 2e, eq. 7.4), "expected" (eq. 7.7), "tree" (eq. 7.16), and with the ratios of the actions
    after the first "ordinary", "weighted" (eq. 7.11) and "per_decision" returns, which end with an expected value.
    """
    for e in episodes_of(batch):
        for t in range(e.size):
            due = [t - n + 1] if t + 1 >= n else []
            if t == e.size - 1:
                due = list(range(t, max(-1, t - n), -1))
            last, value = t, ahead(e, q, t, kind, pi)
            for first in due:
                s, a = e.state[first], e.action[first]
                ratios = [pi[e.state[k], e.action[k]] / e.behavior_probability[k] for k in range(first + 1, t + 1)]
                target, weight = target_of(e, q, first, last, value, kind, pi), 1.0
                if kind == "ordinary":
                    target *= np.prod(ratios)
                if kind == "weighted":
                    weight = float(np.prod(ratios))
                q[s, a] += ALPHA * weight * (target - q[s, a])
                if kind == "tree":
                    others = sum(pi[s, b] * q[s, b] for b in range(q.shape[1]) if b != a)
                    last, value = first - 1, others + pi[s, a] * target
    return q


def ahead(e: Batch, q: np.ndarray, t: int, kind: str, pi: np.ndarray) -> float:
    if e.terminated[t]:
        return 0.0
    s = e.next_state[t]
    return float(q[s, e.next_action[t]] if kind == "sarsa" else pi[s] @ q[s])


def target_of(e: Batch, q: np.ndarray, first: int, last: int, value: float, kind: str, pi: np.ndarray) -> float:
    if kind == "tree":
        if first == last:
            return e.reward[first] + GAMMA * value
        s, a = e.next_state[first], e.action[first + 1]
        others = sum(pi[s, b] * q[s, b] for b in range(q.shape[1]) if b != a)
        return e.reward[first] + GAMMA * (others + pi[s, a] * target_of(e, q, first + 1, last, value, kind, pi))
    total, ratio = 0.0, 1.0
    for k in range(first, last + 1):
        if k > first and kind == "per_decision":
            ratio *= pi[e.state[k], e.action[k]] / e.behavior_probability[k]
        total += GAMMA ** (k - first) * ratio * e.reward[k]
    return total + GAMMA ** (last + 1 - first) * ratio * value


SLOW: list[tuple[str, dict[str, Any]]] = [
    ("sarsa", {"target": "next_action"}),
    ("expected", {"target": "policy"}),
    ("tree", {"target": "policy", "correction": "tree_backup", "behavior": "uniform"}),
    ("ordinary", {"target": "policy", "correction": "ordinary", "behavior": "uniform"}),
    ("weighted", {"target": "policy", "correction": "weighted", "behavior": "uniform"}),
    ("per_decision", {"target": "policy", "correction": "per_decision", "behavior": "uniform"}),
]


@pytest.mark.parametrize(("kind", "settings"), SLOW, ids=[kind for kind, _ in SLOW])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_targets_are_those_of_the_book(kind: str, settings: dict[str, Any], n: int) -> None:
    env, batch = recorded("frozen_lake_4x4", 60, episode_length=6)
    batch.reward[:] = np.random.default_rng(0).normal(size=batch.size)
    pi = np.random.default_rng(1).dirichlet(np.ones(4), size=16)
    agent = taught(
        "n_step_sarsa", env, batch, n=n, discount=GAMMA, step_size=ALPHA, epsilon=None, policy=pi, **settings
    )
    slow = slow_n_step(batch, np.zeros((16, 4)), n, kind, pi)
    assert np.abs(slow).max() > 0.1
    assert agent.q == pytest.approx(slow, abs=1e-12)


def test_a_window_bootstraps_where_time_is_up_and_a_return_ends_there() -> None:
    env = GridWorld("random_walk_5")
    episode = scripted([3, 2, 3, 4], [0, 1, 1], [1.0, 2.0, 4.0], terminated=False)
    settings: dict[str, Any] = {"discount": 0.5, "step_size": 1.0, "initial_value": 8.0}
    n_step, returns = (
        taught("n_step_td", env, episode, n=9, **settings),
        taught("mc_prediction", env, episode, **settings),
    )
    assert n_step.v[[2, 3]].tolist() == [2 + 0.5 * (4 + 0.5 * 8), 1 + 0.5 * (2 + 0.5 * (4 + 0.5 * 8))]
    assert returns.v[[2, 3]].tolist() == [2 + 0.5 * 4, 1 + 0.5 * (2 + 0.5 * 4)]


def test_the_window_lands_as_soon_as_it_is_full() -> None:
    env = GridWorld("random_walk_5")
    agent = load_agent("n_step_td", env, n=2, step_size=1.0, discount=1.0)
    episode = scripted([1, 2, 3, 4], [1, 1, 1], [1.0, 1.0, 1.0], terminated=False)
    for i, expected in enumerate([0.0, 2.0, 2.0]):
        agent.update(episode.part(i, i + 1))
        assert agent.v[1] == expected
