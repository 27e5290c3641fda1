"""Plans do not depend on the size of rewards, nor on how near to 1 the discount is; policies do what plans say."""

from __future__ import annotations

import numpy as np
import pytest
from methods import STATIONARY

from rlgrid import (
    GridWorld,
    Plan,
    TabularModel,
    World,
    evaluate_exact,
    expected_steps,
    generate_world,
    load_agent,
    load_world,
    solve,
    train,
)


def corridor(step: float, goal: float) -> World:
    return World.from_toml(
        f'actions = ["left", "right"]\nmap = "...S.G"\n[reward]\nstep = {step}\n'
        f"[cells]\nG = {{ enter = {goal}, terminal = true }}"
    )


def chosen_are_optimal(plan: Plan) -> bool:
    return bool(plan.optimal_actions[np.arange(len(plan.v)), plan.policy.argmax(axis=1)].all())


STAYING = World.from_toml(
    'actions = ["stay", "right"]\nmap = "G.T"\n[cells]\nT = { terminal = true }\nG = { enter = 1 }'
)


@pytest.mark.parametrize("method", ["block_gauss_seidel", "policy_iteration"])
@pytest.mark.parametrize("gap", [1e-7, 1e-10, 1e-12])
def test_staying_for_ever_pays_below_discount_1(method: str, gap: float) -> None:
    exact = solve(STAYING, discount=1 - gap, exact=True)
    plan = solve(STAYING, method, discount=1 - gap, tol=1e12)
    assert exact.exact_v is not None and 0.9 / gap < exact.v[0] < 1.1 / gap
    assert abs(plan.v - exact.v).max() <= plan.bound < 0.1 / gap**2  # the rounding of values of 1 / gap, times as much


@pytest.mark.parametrize("method", ["auto", "block_gauss_seidel", "policy_iteration"])
def test_what_leaves_seldom_leaves_at_discount_1(method: str) -> None:
    p = 2.0**-34
    model = TabularModel.from_arrays([[[1 - p, p]], [[0.0, 1.0]]], [[p], [0.0]], terminal=[False, True], discount=1)
    plan = solve(model, method)
    assert plan.v.tolist() == [1.0, 0.0] and plan.bound < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_the_policy_of_a_maze_ends_however_small_its_values_are(seed: int) -> None:
    for world in (load_world("maze_50x50"), generate_world("maze", (61, 61), seed)):
        plan = solve(world, discount=0.9)
        assert 0 < plan.v[plan.v > 0].min() < 1e-9
        assert np.isfinite(expected_steps(world, plan.policy)[plan.v > 0]).all() and chosen_are_optimal(plan)


@pytest.mark.parametrize("method", STATIONARY)
@pytest.mark.parametrize("power", [-200, -40, 40, 200])
def test_rewards_scale(method: str, power: int) -> None:
    """With all rewards times a power of 2 the values are the same numbers times it, and so is the policy."""
    generator = np.random.default_rng(7)
    transitions = generator.dirichlet(np.ones(6), size=(6, 3))
    rewards = generator.normal(size=(6, 3))
    scale = 2.0**power
    one = solve(TabularModel.from_arrays(transitions, rewards, discount=0.9), method, tol=1e-6)
    other = solve(TabularModel.from_arrays(transitions, scale * rewards, discount=0.9), method, tol=1e-6 * scale)
    assert abs(other.v / scale - one.v).max() <= one.bound + other.bound / scale
    assert (other.policy == one.policy).all()


@pytest.mark.parametrize("method", STATIONARY)
@pytest.mark.parametrize(
    ("world", "discount", "epsilon"),
    [
        (corridor(0, 1e-13), 0.9, 0.0),
        (generate_world("rooms", (11, 7), 7, slip=0.5, step_reward=0.5), 0.99, 0.1),
        (generate_world("maze", (9, 11), 4, slip=0.5, step_reward=0.5), 0.999, 0.1),
    ],
)
def test_what_is_chosen_is_optimal(method: str, world: World, discount: float, epsilon: float) -> None:
    plan = solve(world, method, discount=discount, epsilon=epsilon, tol=1e-20 if epsilon == 0 else 1e-6)
    assert chosen_are_optimal(plan)


@pytest.mark.parametrize("method", STATIONARY)
def test_actions_that_differ_by_rounding_do_not_put_the_end_off_for_ever(method: str) -> None:
    world = corridor(-1e-11, 100)
    plan = solve(world, method, discount=1)
    assert evaluate_exact(world, plan.policy, discount=1) == pytest.approx(plan.v, abs=1e-9)


@pytest.mark.parametrize(("step", "goal"), [(-1, 1e7), (-1e-3, 1e4), (-1e-7, 0), (-1e-11, 100), (-1, 1)])
def test_small_steps_to_a_large_reward_are_certified(step: float, goal: float) -> None:
    plan = solve(corridor(step, goal), discount=1)
    assert plan.v[:5] == pytest.approx(goal + step * np.arange(4, -1, -1), rel=1e-12)
    assert plan.bound <= 1e-12 * max(abs(goal), abs(step))


def test_values_above_a_quadrillion_are_exact() -> None:
    plan = solve(corridor(-0.01, '"10000000000000000"'), discount=1, exact=True)  # type: ignore[arg-type]
    assert plan.exact_v is not None and plan.exact_v[0] * 25 == 249_999_999_999_999_999


def test_an_agent_that_improves_a_policy_is_not_content_with_small_values() -> None:
    env = GridWorld(corridor(0, 1e-13))
    agent = load_agent("policy_iteration", env, discount=0.9)
    train(agent, env, sweeps=2000)
    assert (agent.policy[:5, 1] == 1).all()
