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
from rlgrid.feeds.feed_for import feed_for

SEEDS = 20
DISCOUNT = 0.9
WORLDS = ("zhao_5x5", "cliff", "windy", "frozen_lake_4x4")
#: Where episodes never end, they are cut off, so that they start anew everywhere.
CUT = {"zhao_5x5": {"episode_length": 200}}
#: Episodes begin in every state and action alike. What a return is short of when it is cut off, 0.9^100, is nothing.
EXPLORING: dict[str, Any] = {"starts": "exploring", "episode_length": 100}


def power(p: float) -> dict[str, Any]:
    return {"kind": "polynomial", "power": p}


@cache
def problem(world: str, epsilon: float) -> tuple[GridWorld, float]:
    """A world, and the value of its best (epsilon-soft) policy from the start."""
    env = GridWorld(world)
    soft = {"epsilon": epsilon} if epsilon else {}
    return env, float(env.model.start @ solve(env, discount=DISCOUNT, tol=1e-10, **soft).v)


def found_the_best(recipe: str, world: str, steps: int, seed: int, epsilon: float, settings: dict[str, Any]) -> bool:
    env, best = problem(world, epsilon)
    agent = load_agent(recipe, env, seed=seed, discount=DISCOUNT, **CUT.get(world, {}) | settings)
    feed = feed_for(agent, env)
    left = steps
    while left > 0:
        left -= feed.advance(agent, left, 1_000_000, record=False).steps
    n_actions = env.model.n_actions
    policy = (1 - epsilon) * np.eye(n_actions)[agent.q.argmax(axis=1)] + epsilon / n_actions
    return float(env.model.start @ evaluate_exact(env, policy, discount=DISCOUNT)) >= best - 1e-9


def check(recipe: str, world: str, steps: int, epsilon: float, settings: dict[str, Any]) -> None:
    failures = 0
    for seed in range(SEEDS):
        failures += not found_the_best(recipe, world, steps, seed, epsilon, settings)
        assert failures <= 1, f"seed {seed}"


#: Off-policy Monte Carlo learns from what comes after the last action that was not greedy. Where episodes were cut off
#: this is too short to be true, so only those count that were greedy from their second step on.
MOSTLY_GREEDY = EXPLORING | {"visits": "start", "behavior": 0.05}

OFF_POLICY: list[tuple[str, str, int, dict[str, Any]]] = [
    ("q_learning", "zhao_5x5", 500_000, {"epsilon": 0.5}),
    ("q_learning_off_policy", "zhao_5x5", 200_000, {}),
    ("double_q_learning", "zhao_5x5", 1_000_000, {"epsilon": 0.5}),
    ("watkins_q_lambda", "zhao_5x5", 200_000, {"epsilon": 0.5}),
    ("n_step_tree_backup", "zhao_5x5", 200_000, {"epsilon": 0.5}),
    ("dyna_q", "zhao_5x5", 200_000, {"epsilon": 0.5}),
    ("q_learning", "cliff", 200_000, {"epsilon": 0.5}),
    ("q_learning_off_policy", "cliff", 200_000, {}),
    ("double_q_learning", "cliff", 1_000_000, {"epsilon": 0.9}),
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
    ("watkins_q_lambda", "frozen_lake_4x4", 3_000_000, {"epsilon": 0.5, "step_size": power(0.9)}),
    ("n_step_tree_backup", "frozen_lake_4x4", 3_000_000, {"epsilon": 0.5, "step_size": power(0.9)}),
    ("q_learning_off_policy", "windy", 5_000_000, EXPLORING),
    *(
        ("mc_exploring_starts", world, 20_000_000, {"step_size": power(0.7), "episode_length": 100})
        for world in WORLDS[:3]
    ),
    ("mc_exploring_starts", "frozen_lake_4x4", 20_000_000, {"step_size": power(0.9), "episode_length": 100}),
    *(("mc_basic", world, 2_000_000, {"step_size": 1, "episode_length": 100}) for world in WORLDS[:3]),
    (
        "mc_basic",
        "frozen_lake_4x4",
        90_000_000,
        {"step_size": 1, "episode_length": 100, "episodes_per_pair": 50_000},
    ),
    *(("mc_off_policy", world, 20_000_000, MOSTLY_GREEDY | {"episode_length": 50}) for world in WORLDS[:3]),
    ("mc_off_policy", "frozen_lake_4x4", 50_000_000, MOSTLY_GREEDY | {"step_size": power(0.9), "behavior": 0.02}),
    (
        "dyna_q",
        "frozen_lake_4x4",
        1_000_000,
        {"epsilon": 0.5, "step_size": power(0.8), "model_memory": 100, "planning_steps": 1},
    ),
]


#: With starts everywhere so many steps are enough; the power of the step size, and epsilon in each of the four worlds.
ON_POLICY: list[tuple[str, int, float, tuple[float, ...]]] = [
    ("mc_epsilon_greedy", 30_000_000, 0.9, (0.5, 0.3, 0.3, 0.3)),
    ("sarsa", 10_000_000, 0.8, (0.5, 0.5, 0.3, 0.3)),
    ("expected_sarsa", 5_000_000, 0.8, (0.5, 0.5, 0.3, 0.3)),
    ("n_step_sarsa", 15_000_000, 0.85, (0.5, 0.5, 0.3, 0.3)),
    ("n_step_expected_sarsa", 15_000_000, 0.85, (0.5, 0.5, 0.3, 0.3)),
    ("sarsa_lambda", 8_000_000, 0.85, (0.5, 0.5, 0.3, 0.3)),
    ("true_online_sarsa_lambda", 8_000_000, 0.85, (0.5, 0.5, 0.3, 0.3)),
]

#: For each agent and world: steps, epsilon of the policies that are compared, settings.
GRID: dict[tuple[str, str], tuple[int, float, dict[str, Any]]] = {
    (recipe, world): (steps, 0.0, {"step_size": power(0.6)} | settings) for recipe, world, steps, settings in OFF_POLICY
} | {
    (recipe, world): (steps, epsilon, EXPLORING | {"epsilon": epsilon, "step_size": power(p), "trace_decay": 0.5})
    for recipe, steps, p, epsilons in ON_POLICY
    for world, epsilon in zip(WORLDS, epsilons, strict=True)
}

#: For each agent one world, and as many steps as are enough there.
IN_ONE_WORLD = {
    "q_learning": ("frozen_lake_4x4", 1_000_000),
    "q_learning_off_policy": ("frozen_lake_4x4", 1_000_000),
    "double_q_learning": ("frozen_lake_4x4", 1_000_000),
    "watkins_q_lambda": ("frozen_lake_4x4", 3_000_000),
    "n_step_tree_backup": ("zhao_5x5", 200_000),
    "dyna_q": ("frozen_lake_4x4", 1_000_000),
    "mc_basic": ("cliff", 2_000_000),
    "mc_exploring_starts": ("windy", 6_000_000),
    "mc_off_policy": ("windy", 2_000_000),
    "mc_epsilon_greedy": ("windy", 3_000_000),
    "sarsa": ("frozen_lake_4x4", 3_000_000),
    "expected_sarsa": ("frozen_lake_4x4", 5_000_000),
    "n_step_sarsa": ("windy", 2_000_000),
    "n_step_expected_sarsa": ("windy", 2_000_000),
    "sarsa_lambda": ("frozen_lake_4x4", 4_000_000),
    "true_online_sarsa_lambda": ("frozen_lake_4x4", 2_000_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", IN_ONE_WORLD)
def test_every_agent_finds_the_best_policy_in_one_world(recipe: str) -> None:
    world, steps = IN_ONE_WORLD[recipe]
    _, epsilon, settings = GRID[recipe, world]
    check(recipe, world, steps, epsilon, settings)


@pytest.mark.grid
@pytest.mark.parametrize(("recipe", "world"), GRID, ids=" ".join)
def test_every_agent_finds_the_best_policy_in_every_world(recipe: str, world: str) -> None:
    check(recipe, world, *GRID[recipe, world])


def test_the_grid_has_every_agent_in_every_world() -> None:
    assert GRID.keys() == {(recipe, world) for recipe in IN_ONE_WORLD for world in WORLDS}
