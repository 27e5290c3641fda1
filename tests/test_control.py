"""Agents that control find the best policy within a stated budget, with step sizes that count visits.

A run succeeds where the exact value of its greedy policy, from the start distribution, is within 1e-9 of the best one;
for an on-policy agent with a fixed epsilon both are those of epsilon-soft policies. At least 19 of 20 seeds have to
succeed: were a run to succeed with a probability of 0.95 only, this would happen with 0.74; with 0.8, with 0.07.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from rlgrid import GridWorld, evaluate_exact, load_agent, solve

SEEDS = 20
DISCOUNT = {"zhao_5x5": 0.9, "cliff": 0.95, "windy": 0.95, "frozen_lake_4x4": 0.95}
#: Where episodes never end, they are cut off, so that they start anew everywhere.
CUT = {"zhao_5x5": {"episode_length": 200}}


def power(p: float) -> dict[str, Any]:
    return {"kind": "polynomial", "power": p}


@cache
def problem(world: str, epsilon: float) -> tuple[GridWorld, float]:
    """A world, and the value of its best (epsilon-soft) policy from the start."""
    env = GridWorld(world)
    soft = {"epsilon": epsilon} if epsilon else {}
    return env, float(env.model.start @ solve(env, discount=DISCOUNT[world], tol=1e-10, **soft).v)


def found_the_best(recipe: str, world: str, steps: int, seed: int, epsilon: float, settings: dict[str, Any]) -> bool:
    env, best = problem(world, epsilon)
    agent = load_agent(recipe, env, seed=seed, discount=DISCOUNT[world], **CUT.get(world, {}) | settings)
    feed = agent.feed(env)
    left = steps
    while left > 0:
        left -= feed.advance(agent, left, 1_000_000, record=False).steps
    n_actions = env.model.n_actions
    policy = (1 - epsilon) * np.eye(n_actions)[agent.q.argmax(axis=1)] + epsilon / n_actions
    return float(env.model.start @ evaluate_exact(env, policy, discount=DISCOUNT[world])) >= best - 1e-9


def check(recipe: str, world: str, steps: int, epsilon: float, settings: dict[str, Any]) -> None:
    failures = 0
    for seed in range(SEEDS):
        failures += not found_the_best(recipe, world, steps, seed, epsilon, settings)
        assert failures <= 1, f"seed {seed}"


OFF_POLICY: list[tuple[str, str, int, dict[str, Any]]] = [
    ("q_learning", "zhao_5x5", 500_000, {"epsilon": 0.5}),
    ("q_learning_off_policy", "zhao_5x5", 200_000, {}),
    ("double_q_learning", "zhao_5x5", 1_000_000, {"epsilon": 0.5}),
    ("watkins_q_lambda", "zhao_5x5", 200_000, {"epsilon": 0.5}),
    ("n_step_tree_backup", "zhao_5x5", 200_000, {"epsilon": 0.5}),
    ("dyna_q", "zhao_5x5", 200_000, {"epsilon": 0.5}),
    ("q_learning", "cliff", 200_000, {"epsilon": 0.5}),
    ("q_learning_off_policy", "cliff", 200_000, {}),
    ("double_q_learning", "cliff", 300_000, {"epsilon": 0.9}),
    ("watkins_q_lambda", "cliff", 200_000, {"epsilon": 0.5}),
    ("n_step_tree_backup", "cliff", 200_000, {"epsilon": 0.5}),
    ("dyna_q", "cliff", 100_000, {"epsilon": 0.5}),
    ("q_learning", "windy", 200_000, {"epsilon": 0.5}),
    ("double_q_learning", "windy", 200_000, {"epsilon": 0.5}),
    ("watkins_q_lambda", "windy", 200_000, {"epsilon": 0.5}),
    ("n_step_tree_backup", "windy", 200_000, {"epsilon": 0.5}),
    ("dyna_q", "windy", 100_000, {"epsilon": 0.5}),
    ("q_learning", "frozen_lake_4x4", 1_000_000, {"epsilon": 0.5, "step_size": power(0.8)}),
    ("q_learning_off_policy", "frozen_lake_4x4", 1_000_000, {"step_size": power(0.8)}),
    ("double_q_learning", "frozen_lake_4x4", 1_000_000, {"epsilon": 0.5, "step_size": power(0.8)}),
    ("watkins_q_lambda", "frozen_lake_4x4", 1_000_000, {"epsilon": 0.5, "step_size": power(0.8)}),
    ("n_step_tree_backup", "frozen_lake_4x4", 1_000_000, {"epsilon": 0.5, "step_size": power(0.8)}),
    (
        "dyna_q",
        "frozen_lake_4x4",
        1_000_000,
        {"epsilon": 0.5, "step_size": power(0.8), "model_memory": 100, "planning_steps": 1},
    ),
]


@pytest.mark.parametrize(
    ("recipe", "world", "steps", "settings"), OFF_POLICY, ids=[f"{case[0]} {case[1]}" for case in OFF_POLICY]
)
def test_off_policy_agents_find_the_optimal_policy(
    recipe: str, world: str, steps: int, settings: dict[str, Any]
) -> None:
    check(recipe, world, steps, 0.0, {"step_size": power(0.6)} | settings)


ON_POLICY: list[tuple[str, str, int, float, dict[str, Any]]] = [
    ("expected_sarsa", "zhao_5x5", 500_000, 0.5, {"step_size": power(0.5)}),
    ("expected_sarsa", "cliff", 200_000, 0.3, {"step_size": power(0.6)}),
    ("expected_sarsa", "frozen_lake_4x4", 1_000_000, 0.1, {"step_size": power(0.8)}),
    ("n_step_sarsa", "frozen_lake_4x4", 3_000_000, 0.1, {"step_size": power(0.8)}),
    ("sarsa_lambda", "frozen_lake_4x4", 3_000_000, 0.1, {"step_size": power(0.8)}),
]


@pytest.mark.parametrize(
    ("recipe", "world", "steps", "epsilon", "settings"), ON_POLICY, ids=[f"{case[0]} {case[1]}" for case in ON_POLICY]
)
def test_on_policy_agents_find_the_best_soft_policy(
    recipe: str, world: str, steps: int, epsilon: float, settings: dict[str, Any]
) -> None:
    check(recipe, world, steps, epsilon, {"epsilon": epsilon} | settings)
