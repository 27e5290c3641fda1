"""Planning recipes: the iterates in the books, and the same answers as the direct planner."""

from __future__ import annotations

import numpy as np
import pytest
from published_worlds import PUBLISHED, published_world

import rlgrid
from rlgrid import GridWorld, TabularModel, evaluate_exact, library, load_agent, load_world, solve
from rlgrid.feeds.feed_for import feed_for
from rlgrid.learning.agent import Agent

#: Worlds of the catalog for which hundreds of sweeps and direct solves take no time.
CATALOG = [name for name in library.names("envs") if load_world(name).n_states < 1000]
DISCOUNT = 0.9


def swept(name: str, source: GridWorld | TabularModel, sweeps: int, **settings: object) -> Agent:
    agent = load_agent(name, source, **settings)
    feed = feed_for(agent, source)
    for _ in range(sweeps):
        feed.advance(agent, 1, 1, record=False)
    return agent


# The books


@pytest.mark.parametrize("length", [1, 2, 3, 15, 100])
def test_mc_basic_with_episodes_of_a_length(length: int) -> None:
    """Zhao, Fig. 5.4: with short episodes only states near the target ever learn of it."""
    entry = PUBLISHED[f"zhao_fig5.4_L{length}"]
    env = GridWorld(published_world(entry))
    agent = load_agent("mc_basic", env, policy="stay", episode_length=length)
    run = rlgrid.train(agent, env, episodes=125 * 40)
    before = agent.q
    feed_for(agent, env).advance(agent, 1, 1, record=False)
    assert (agent.q == before).all(), "it has converged"
    assert run.episodes == 125 * 40 and set(run.lengths) == {length}
    assert before.max(axis=1).reshape(5, 5) == pytest.approx(np.array(entry["values"]), abs=entry["tolerance"])


@pytest.mark.parametrize("sweeps", [1, 2])
def test_value_iteration_step_by_step(sweeps: int) -> None:
    """Zhao, Tables 4.1 to 4.3."""
    entry = PUBLISHED[f"zhao_tab4.2_v{sweeps}"]
    agent = swept("value_iteration", GridWorld(published_world(entry)), sweeps)
    assert agent.v.reshape(2, 2) == pytest.approx(np.array(entry["values"]), abs=entry["tolerance"])


def test_policy_evaluation_step_by_step() -> None:
    """Zhao, Fig. 4.3: always left, in a world of two cells."""
    entry = PUBLISHED["zhao_fig4.3"]
    env = GridWorld(published_world(entry))
    settings = {"policy": "left", "improve_every": None}
    for sweeps, values in enumerate(entry["values"]["eval_iterates"], start=1):
        found = swept("truncated_policy_iteration", env, sweeps, **settings)
        assert found.v == pytest.approx(values, abs=entry["tolerance"])
    converged = swept("truncated_policy_iteration", env, 400, **settings)
    assert converged.v == pytest.approx(entry["values"]["V"], abs=entry["tolerance"])
    assert converged.q == pytest.approx(np.array(entry["values"]["Q"]), abs=entry["tolerance"])


@pytest.mark.parametrize("evaluation_sweeps", [1, 2, 5, 56])
def test_truncated_policy_iteration_makes_the_iterates_of_algorithm_4_3(evaluation_sweeps: int) -> None:
    """Zhao, Alg. 4.3, in plain arithmetic: each policy is evaluated from the last v on, then made greedy."""
    world = load_world("zhao_5x5_strict")
    model = TabularModel.from_world(world)
    chains = [model.chain(np.eye(5)[[a] * model.n_states])[0] for a in range(5)]
    v, policy = np.zeros(model.n_states), np.full((model.n_states, 5), 0.2)
    agent = load_agent("truncated_policy_iteration", model, discount=DISCOUNT, improve_every=evaluation_sweeps)
    feed = feed_for(agent, model)
    for _ in range(6):
        for _ in range(evaluation_sweeps):
            feed.advance(agent, 1, 1, record=False)
            q = model.expected_reward + DISCOUNT * np.stack([P @ v for P in chains], axis=1)
            v = (policy * q).sum(axis=1)
        assert np.abs(agent.v - v).max() < 1e-12
        q = model.expected_reward + DISCOUNT * np.stack([P @ v for P in chains], axis=1)
        policy = np.eye(5)[(q >= q.max(axis=1, keepdims=True) - 1e-9).argmax(axis=1)]
    assert np.abs(v - solve(world, discount=DISCOUNT).v).max() < 10


# The direct planner


@pytest.mark.slow
@pytest.mark.parametrize("world", CATALOG)
@pytest.mark.parametrize("recipe", ["value_iteration", "truncated_policy_iteration"])
def test_recipes_end_where_the_planner_does(world: str, recipe: str) -> None:
    env = GridWorld(world)
    agent = swept(recipe, env, 500, discount=DISCOUNT)
    plan = solve(env, recipe, discount=DISCOUNT, tol=1e-11)
    exact = solve(env, "policy_iteration", discount=DISCOUNT, tol=1e-11)
    assert agent.v == pytest.approx(exact.v, abs=1e-12, rel=1e-14)
    assert agent.v == pytest.approx(plan.v, abs=max(1e-12, plan.bound))
    assert agent.q == pytest.approx(exact.q, abs=1e-12, rel=1e-14)
    assert (agent.policy @ np.ones(env.model.n_actions) == pytest.approx(1)) and not (
        agent.policy[~exact.optimal_actions] > 0
    ).any()


@pytest.mark.parametrize("world", CATALOG)
def test_value_iteration_takes_the_planners_steps(world: str) -> None:
    env = GridWorld(world)
    iterates: list[np.ndarray] = []
    solve(env, "value_iteration", discount=DISCOUNT, on_sweep=lambda k, v: iterates.append(v))
    agent = load_agent("value_iteration", env, discount=DISCOUNT)
    feed = feed_for(agent, env)
    for expected in iterates[:100]:
        feed.advance(agent, 1, 1, record=False)
        assert agent.v == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("world", CATALOG)
def test_policy_iteration_visits_the_planners_policies(world: str) -> None:
    env = GridWorld(world)
    visited: list[np.ndarray] = []
    solve(env, "policy_iteration", discount=DISCOUNT, on_sweep=lambda k, v: visited.append(v))
    agent = load_agent("policy_iteration", env, discount=DISCOUNT)
    feed = feed_for(agent, env)
    policies = [agent.policy]
    while len(policies) < len(visited) + 2:
        before = int(agent.learner.improvement.batches[1])
        feed.advance(agent, 1, 1, record=False)
        if agent.learner.improvement.batches[1] > before:
            policies.append(agent.policy)
    values = [evaluate_exact(env, policy, discount=DISCOUNT) for policy in policies]
    for found, expected in zip(values, visited, strict=False):
        assert found == pytest.approx(expected, abs=1e-9)
    assert (policies[-1] == policies[-2]).all(), "it stays where the planner stops"
    assert values[-1] == pytest.approx(visited[-1], abs=1e-9)


@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_a_sweep_with_epsilon_finds_the_best_soft_policy(epsilon: float) -> None:
    env = GridWorld("zhao_5x5")
    agent = swept("value_iteration", env, 500, target="behavior", epsilon=epsilon)
    plan = solve(env, discount=DISCOUNT, epsilon=epsilon, tol=1e-11)
    values = (agent.behavior_policy * agent.q).sum(axis=1)
    assert values == pytest.approx(plan.v, abs=1e-9)


@pytest.mark.slow
def test_actions_that_are_not_available_are_never_planned() -> None:
    random = np.random.default_rng(1)
    available = np.array([[True, False, True], [True, True, True], [False, False, True]])
    model = TabularModel.from_arrays(
        random.dirichlet(np.ones(3), size=(3, 3)), random.normal(size=(3, 3)), available=available, discount=DISCOUNT
    )
    plan = solve(model, tol=1e-11)
    for recipe in ("value_iteration", "policy_iteration", "truncated_policy_iteration"):
        agent = swept(recipe, model, 2000)
        assert agent.v == pytest.approx(plan.v, abs=1e-10)
        assert (agent.q[~available] == -np.inf).all() and not agent.policy[~available].any()


def test_training_reports_the_exact_error_along_the_way() -> None:
    model = TabularModel.from_world(load_world("zhao_5x5"))
    run = rlgrid.train(load_agent("value_iteration", model), model, sweeps=200)
    optimum = solve(model, tol=1e-11).v
    done, errors = run.errors[:, 0], run.errors[:, 1]
    assert done[0] == 0 and done[-1] == 200 and (np.diff(done) == 4).all() and len(done) == 51
    assert errors[0] == pytest.approx(np.abs(optimum).max(), abs=1e-7)
    assert (errors[1:] <= errors[:-1] * DISCOUNT**4 + 1e-7).all(), "a sweep contracts by the discount"
