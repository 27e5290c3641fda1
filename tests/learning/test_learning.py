"""What is learned is right: values of a policy within a bound, optimal greedy policies, Sarsa's caution on the cliff.

The reference values here are solved with NumPy from the tables that environments show, not by rlgrid's own planner.
All seeds are fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dense_solver import optimum, value_of
from published_worlds import PUBLISHED, published_world

import rlgrid
from rlgrid import GridWorld, load_agent
from rlgrid.feeds.feed_for import feed_for
from rlgrid.learning.agent import Agent

SEEDS = range(5)
DECAYING = {"kind": "polynomial", "power": 0.8}


def taught(recipe: str, env: GridWorld, seed: int, steps: int, **settings: Any) -> Agent:
    agent = load_agent(recipe, env, seed=seed, **settings)
    feed = feed_for(agent, env)
    done = 0
    while done < steps:
        done += feed.advance(agent, steps - done, 1_000_000, record=False).steps
    return agent


# Prediction


@pytest.mark.parametrize("world", ["zhao_5x5", "frozen_lake_4x4", "sutton_gridworld", "dyna_maze"])
@pytest.mark.parametrize("step_size", [DECAYING, {"kind": "harmonic", "a": 10.0, "b": 9.0}], ids=["n^-0.8", "10/(9+n)"])
def test_td0_converges_to_the_value_of_the_policy(world: str, step_size: dict[str, Any]) -> None:
    """The error is within five standard deviations of its stationary distribution at the final step size.

    Near the end the recursion is e <- e - alpha ((1 - discount P) e + noise); the matrix contracts with at least
    1 - discount, so that the variance is at most alpha var(target) / (1 - discount) for either step size (the
    harmonic one with a (1 - discount) = 1; without that factor it would forget the beginning too slowly).
    """
    discount = 0.9
    env = GridWorld(world)
    policy = np.full((env.model.n_states, env.model.n_actions), 1 / env.model.n_actions)
    expected = value_of(env, policy, discount)
    variance = _target_variance(env, policy, expected, discount)
    for seed in SEEDS:
        agent = taught("td0", env, seed, 1_000_000, discount=discount, step_size=step_size)
        visits = agent.learner.visits[:, 0]
        known = visits > 100
        assert known.sum() >= (env.model.reachable & ~env.model.terminal).sum() - 1
        size = agent.learner.step_size
        alpha = max(getattr(size, "a", 1.0) / (size.b + visits[known].min()) ** getattr(size, "power", 1.0), 0.0)
        bound = 5 * np.sqrt(alpha * variance / (1 - discount))
        assert np.abs(agent.v - expected)[known].max() < bound


def _target_variance(env: GridWorld, policy: np.ndarray, v: np.ndarray, discount: float) -> float:
    """The greatest variance over states of r + discount v(s')."""
    greatest = 0.0
    for state, actions in env.P.items():
        targets, weights = [], []
        for action, row in actions.items():
            for probability, next_state, reward, terminated in row:
                targets.append(reward + discount * (not terminated) * v[next_state])
                weights.append(policy[state, action] * probability)
        mean = np.average(targets, weights=weights)
        greatest = max(greatest, float(np.average((np.array(targets) - mean) ** 2, weights=weights)))
    return greatest


@pytest.mark.slow
def test_td0_on_the_random_walk() -> None:
    """Sutton & Barto, Example 6.2: the values are 1/6 to 5/6."""
    entry = PUBLISHED["sb_ex6.2"]
    env = GridWorld(published_world(entry))
    for seed in SEEDS:
        agent = taught("td0", env, seed, 2_000_000, discount=1.0, step_size=DECAYING, initial_value=0.5)
        assert agent.v[1:-1] == pytest.approx(np.array(entry["values"])[0, 1:-1], abs=0.02)


@pytest.mark.parametrize("visits", ["first", "every"])
def test_monte_carlo_prediction_averages_returns(visits: str) -> None:
    """On the lake returns lie in [0, 1] with mean v, so their variance is at most v (1 - v).

    First visits are independent; the few that an episode makes to one state add correlation, for which the bound of
    every-visit averages is doubled.
    """
    env = GridWorld("frozen_lake_4x4")
    policy = np.full((16, 4), 0.25)
    expected = value_of(env, policy, 0.9)
    for seed in SEEDS:
        settings: dict[str, Any] = {"target": "return", "step_size": {"kind": "harmonic"}, "visits": visits}
        agent = taught("td0", env, seed, 500_000, discount=0.9, **settings)
        n = np.maximum(agent.learner.visits[:, 0], 1)
        deviation = np.sqrt(expected * (1 - expected) / n) * (1 if visits == "first" else 2)
        assert (np.abs(agent.v - expected) <= 5 * deviation + 1e-12)[~env.model.terminal].all()


# Control

CONTROL = [
    ("q_learning", "cliff", 1.0, 500_000, {"step_size": 0.5, "epsilon": 0.5}),
    ("q_learning", "windy", 1.0, 2_000_000, {"step_size": 0.5, "epsilon": 0.5}),
    ("q_learning", "dyna_maze", 0.95, 1_000_000, {"step_size": 0.5, "epsilon": 0.5}),
    ("q_learning", "zhao_5x5", 0.9, 1_000_000, {"step_size": 1, "epsilon": 1}),
    ("q_learning", "frozen_lake_4x4", 0.9, 5_000_000, {"step_size": DECAYING, "epsilon": 0.5}),
    ("q_learning", "aima_4x3", 1.0, 3_000_000, {"step_size": DECAYING, "epsilon": 0.5}),
    ("sarsa", "windy", 1.0, 1_000_000, {"step_size": {"kind": "polynomial", "power": 0.6}, "epsilon": 0.05}),
    ("sarsa", "dyna_maze", 0.95, 1_000_000, {"initial_value": 1.0}),
    ("sarsa", "frozen_lake_4x4", 0.9, 5_000_000, {"step_size": DECAYING, "epsilon": 0.05}),
    ("sarsa", "aima_4x3", 1.0, 3_000_000, {"step_size": DECAYING, "epsilon": 0.05}),
    ("expected_sarsa", "windy", 1.0, 1_000_000, {"step_size": 1, "epsilon": 0.05}),
    ("expected_sarsa", "dyna_maze", 0.95, 1_000_000, {"step_size": 1, "initial_value": 1.0}),
    ("expected_sarsa", "aima_4x3", 1.0, 3_000_000, {"step_size": DECAYING, "epsilon": 0.05}),
    ("mc_epsilon_greedy", "zhao_2x2", 0.9, 1_000_000, {"episode_length": 50}),
    ("mc_epsilon_greedy", "frozen_lake_4x4", 0.9, 10_000_000, {"epsilon": 0.2}),
    ("mc_epsilon_greedy", "aima_4x3", 1.0, 10_000_000, {"visits": "first"}),
    ("mc_exploring_starts", "zhao_2x2", 0.9, 300_000, {}),
    ("mc_exploring_starts", "aima_4x3", 1.0, 10_000_000, {}),
    ("mc_basic", "zhao_5x5", 0.9, 500_000, {}),
    ("mc_basic", "dyna_maze", 0.95, 1_000_000, {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "world", "discount", "steps", "settings"), CONTROL, ids=[f"{case[0]} {case[1]}" for case in CONTROL]
)
def test_the_greedy_policy_becomes_optimal(
    recipe: str, world: str, discount: float, steps: int, settings: dict[str, Any]
) -> None:
    env = GridWorld(world)
    best = env.model.start @ optimum(env, discount).max(axis=1)
    for seed in SEEDS:
        agent = taught(recipe, env, seed, steps, discount=discount, **settings)
        greedy = np.eye(env.model.n_actions)[agent.q.argmax(axis=1)]
        assert env.model.start @ value_of(env, greedy, discount) == pytest.approx(best, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "epsilon"), [("q_learning", 0.0), ("sarsa", 0.3), ("expected_sarsa", 0.3)], ids=str)
def test_action_values_converge(recipe: str, epsilon: float) -> None:
    """Q-learning to q*, the on-policy methods to the best epsilon-soft values, where entries are visited often."""
    env = GridWorld("aima_4x3")
    expected = optimum(env, 0.9, epsilon)
    for seed in SEEDS:
        agent = taught(recipe, env, seed, 5_000_000, discount=0.9, epsilon=0.3, step_size=DECAYING)
        often = agent.learner.visits > 10_000  # alpha < 6.4e-4; targets have a variance below 1
        assert often[~env.model.terminal].sum() >= 24
        assert np.abs(agent.q - expected)[often].max() < 5 * np.sqrt(6.4e-4 / 2)


def test_sarsa_walks_round_the_cliff_and_q_learning_along_its_edge() -> None:
    """Sutton & Barto, Example 6.6: while they learn, Sarsa's returns are far better; its greedy path is longer."""
    published = PUBLISHED["sb_ex6.6_cliff"]["values"]
    env = GridWorld("cliff")
    for seed in SEEDS:
        online, greedy_value = {}, {}
        for recipe in ("sarsa", "q_learning"):
            run = rlgrid.train(load_agent(recipe, env, seed=seed), env, steps=400_000)
            greedy = np.eye(4)[run.agent.q.argmax(axis=1)]
            online[recipe] = run.returns[len(run.returns) // 2 :].mean()
            greedy_value[recipe] = value_of(env, greedy, 1.0)[36]
        assert greedy_value["q_learning"] == pytest.approx(published["edge"]["greedy"])
        assert greedy_value["sarsa"] <= published["middle"]["greedy"] + 1e-9
        assert online["sarsa"] > online["q_learning"] + 15
        assert online["q_learning"] == pytest.approx(published["edge"]["eps01"], abs=8)
        assert online["sarsa"] == pytest.approx(published["top"]["eps01"], abs=4)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sarsa", "q_learning"])
def test_online_returns_are_the_exact_values_of_the_paths_taken(recipe: str) -> None:
    """On the cliff, within five standard errors: those of the returns' mean and of the mean of 200 looks at the values.

    Among equally good actions the greedy one changes all the time, and with it the value of the path.
    """
    env = GridWorld("cliff")
    agent = load_agent(recipe, env, seed=2, discount=1, step_size={"kind": "polynomial", "power": 0.8})
    run = rlgrid.train(agent, env, steps=10_000_000, observers=[rlgrid.ExactError(points=400)])
    late = run.curve[-200:]
    online = run.returns[late["episodes"][0] :]
    error = np.sqrt(online.var() / len(online) + late["behavior_value"].var() / len(late))
    assert error < 0.2
    assert abs(online.mean() - late["behavior_value"].mean()) < 5 * error


# Evaluation by simulation


@pytest.mark.parametrize("world", ["frozen_lake_4x4", "aima_4x3", "cliff"])
def test_simulated_returns_agree_with_exact_values(world: str) -> None:
    env = GridWorld(world)
    policy = np.eye(4)[optimum(env, 1.0).argmax(axis=1)] * 0.8 + 0.05
    exact = env.model.start @ value_of(env, policy, 1.0)
    for seed in SEEDS:
        score = rlgrid.evaluate(policy, env, episodes=20_000, seed=seed, episode_length=2000)
        slack = 0.02 if world == "frozen_lake_4x4" else 0.0  # the limit of 100 steps cuts some episodes off
        assert abs(score.mean_return - exact) < score.half_width / 1.96 * 5 + slack
        assert score.episodes == 20_000 and score.mean_length > 1


def test_success_is_ending_with_the_best_reward() -> None:
    env = GridWorld("frozen_lake_4x4")
    score = rlgrid.evaluate(np.eye(4)[optimum(env, 1.0).argmax(axis=1)], env, episodes=20_000)
    assert score.success_rate == score.mean_return, "reaching the goal pays 1, all else 0"
    assert score.success_rate == pytest.approx(0.74, abs=5 * 0.0031)
    cliff = rlgrid.evaluate(np.eye(4)[np.zeros(48, int)], GridWorld("cliff"), episodes=3, episode_length=20)
    assert (cliff.mean_length, cliff.truncated_rate, cliff.success_rate, cliff.half_width) == (20, 1, 0, 0)
    with pytest.raises(rlgrid.InputError, match="episodes: found 0; allowed: a whole number of at least 1"):
        rlgrid.evaluate(np.full((48, 4), 0.25), GridWorld("cliff"), episodes=0)
