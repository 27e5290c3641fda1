"""Other people's environments: finite spaces as indices, models from P, action masks, and agents that learn there."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Tuple

from rlgrid import InputError, Rollout, TabularModel, evaluate, load_agent, load_world, solve, train
from rlgrid.environments.spaces import Indexed

TAXI = "Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"


# -- spaces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (Discrete(7), 7),
        (Discrete(7, start=-3), 7),
        (MultiDiscrete([3, 4, 2]), 24),
        (MultiDiscrete([3, 2], start=[5, -1]), 6),
        (Tuple((Discrete(3), Discrete(2, start=1))), 6),
    ],
    ids=str,
)
def test_every_element_has_its_own_index(space: gym.Space, size: int) -> None:
    indexed = Indexed(space)
    assert indexed.size == size
    space.seed(0)
    seen = {str(element): indexed.index(element) for element in (space.sample() for _ in range(40 * size))}
    assert sorted(seen.values()) == list(range(size))


def test_the_last_part_counts_fastest() -> None:
    indexed = Indexed(Tuple((Discrete(32), Discrete(11), Discrete(2))))
    assert [indexed.index(hand) for hand in ((0, 0, 1), (0, 1, 0), (1, 0, 0))] == [1, 2, 22]


@pytest.mark.parametrize(
    "space", [Box(0, 1, (2,)), Tuple((Discrete(2), Box(0, 1, (1,)))), MultiDiscrete([[2, 2]]), Tuple(())], ids=str
)
def test_spaces_without_end_are_refused(space: gym.Space) -> None:
    with pytest.raises(InputError, match=r"^found the space .*; allowed: Discrete, MultiDiscrete, or a Tuple of Disc"):
        Indexed(space)


def test_spaces_that_fit_no_table_are_refused() -> None:
    with pytest.raises(InputError, match=r"with 100,000,000 elements; allowed: 50,000,000 at most$"):
        Indexed(MultiDiscrete([10_000, 10_000]))


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_an_environment_that_does_not_fit_is_named(name: str) -> None:
    with pytest.raises(InputError, match=r"^<.*: (observations: )?found the .*allowed: Discrete"):
        load_agent("q_learning", gym.make(name))


# -- environments with P ---------------------------------------------------------------------------------------------


def swept(env: gym.Env, discount: float, count: int = 2000) -> np.ndarray:
    """Optimal values of a toy-text environment, straight from its P; [S, A], -inf where a mask forbids."""
    base: Any = env.unwrapped
    mask = getattr(base, "action_mask", lambda s: np.ones(base.action_space.n))
    v = np.zeros(len(base.P))
    for _ in range(count):
        q = np.array(
            [
                [
                    sum(p * (r + (0 if done else discount * v[there])) for p, there, r, done in row)
                    if mask(s)[a]
                    else -np.inf
                    for a, row in rows.items()
                ]
                for s, rows in base.P.items()
            ]
        )
        if np.abs(q.max(axis=1) - v).max() < 1e-13:
            break
        v = q.max(axis=1)
    return q


def test_frozen_lake() -> None:
    env = gym.make("FrozenLake-v1", is_slippery=True)
    plan = solve(env, discount=0.99)
    assert plan.v == pytest.approx(solve(load_world("frozen_lake_4x4"), discount=0.99).v, abs=1e-9)
    agent = load_agent("q_learning", env, seed=1, discount=0.99, epsilon=0.5, step_size={"kind": "harmonic", "b": 1.0})
    run = train(agent, env, steps=200_000)
    assert Rollout(env).model is not None and run.errors[-1, 1] < 0.5
    score = evaluate(plan.policy, env, episodes=2000, seed=3)
    assert 0.7 < score.success_rate == score.mean_return and score.mean_length < 100


def test_cliff_walking() -> None:
    env = gym.make("CliffWalking-v1")
    plan = solve(env, discount=1.0)
    assert plan.v[36] == -13
    assert evaluate(plan.policy, env, episodes=5).mean_return == -13
    run = train(load_agent("sarsa", env, seed=1, discount=1.0), env, episodes=2000)
    assert run.returns[-100:].mean() > -40 and evaluate(run.agent.policy, env, episodes=5).mean_return >= -19


def test_taxi_honours_its_action_mask() -> None:
    env = gym.make(TAXI)
    plan, wanted = solve(env, discount=0.9), swept(env, 0.9)
    model = TabularModel.from_env(env)
    masked = np.array([env.unwrapped.action_mask(s) == 0 for s in range(500)]) & ~model.terminal[:, None]
    assert masked.sum() > 500 and (model.available == ~masked).all()
    assert (plan.q[masked] == -np.inf).all() and (plan.policy[masked] == 0).all()
    going = ~model.terminal
    assert plan.v[going] == pytest.approx(wanted.max(axis=1)[going], abs=1e-7)
    agent = load_agent("q_learning", env, seed=2, discount=0.9, epsilon=0.3, step_size=0.5)
    batch = Rollout(env, seed=1).collect(agent, steps=200_000)
    goes_on = ~batch.terminated
    assert not masked[batch.state, batch.action].any()
    assert not masked[batch.next_state, batch.next_action][goes_on].any()
    assert (agent.q[masked] == -np.inf).all() and np.isfinite(agent.q[~masked]).all()
    assert evaluate(agent.policy, env, episodes=200).success_rate > 0.99


@pytest.mark.parametrize(
    "recipe",
    [
        "expected_sarsa",
        "sarsa",
    ],
)
def test_values_in_taxi_are_numbers(recipe: str) -> None:
    """Dropping the passenger ends the episode in a state in which not every action is available."""
    env = gym.make(TAXI)
    agent = load_agent(recipe, env, seed=2, discount=0.9, epsilon=0.3)
    assert Rollout(env, seed=1).collect(agent, steps=50_000).terminated.any()
    assert not np.isnan(agent.q).any()


def test_taxi_in_python_equals_its_mask_too() -> None:
    """A wrapper hides the model, and the masks in ``info`` take its place."""
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(TAXI))
    agent = load_agent("q_learning", env, seed=2, discount=0.9, epsilon=0.3, step_size=0.5)
    batch = Rollout(env, seed=1).collect(agent, steps=5000)
    taken = [env.unwrapped.action_mask(s)[a] for s, a in zip(batch.state, batch.action, strict=True)]
    assert Rollout(env).model is None and all(taken)


# -- environments without P ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_blackjack_is_learned() -> None:
    env = gym.make("Blackjack-v1", sab=True)
    agent = load_agent("mc_epsilon_greedy", env, seed=3, discount=1.0, epsilon=0.1)
    assert agent.q.shape == (32 * 11 * 2, 2)
    run = train(agent, env, episodes=30_000)
    assert run.episodes == 30_000 and set(np.unique(run.returns)) <= {-1.0, 0.0, 1.0}
    policy, hand = agent.policy, Indexed(env.observation_space).index
    assert [policy[hand((total, 10, 0))].argmax() for total in (6, 8, 20, 21)] == [1, 1, 0, 0]
    random = evaluate(np.full((704, 2), 0.5), env, episodes=3000, seed=1)
    assert evaluate(policy, env, episodes=3000, seed=1).mean_return > random.mean_return + 0.2


class Masked(gym.Env[int, int]):
    """A corridor of five cells without P. Action 2 is never allowed, 0 not in the first cell, and none at the end."""

    observation_space, action_space = Discrete(5), Discrete(3)

    def mask(self) -> np.ndarray:
        return np.array([0 < self.state < 4, self.state < 4, 0], dtype=np.int8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = 0
        return 0, {"action_mask": self.mask()}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert self.mask()[action], f"action {action} is masked in state {self.state}"
        self.state += 1 if action == 1 else -1
        return self.state, -1.0, self.state == 4, False, {"action_mask": self.mask()}


@pytest.mark.parametrize("recipe", ["q_learning", "sarsa", "expected_sarsa", "mc_epsilon_greedy", "td0"])
def test_a_masked_action_is_never_seen(recipe: str) -> None:
    env = Masked()
    settings = {} if recipe == "td0" else {"epsilon": 0.5}
    agent = load_agent(recipe, env, seed=1, discount=1.0, **settings)
    run = train(agent, env, episodes=200)
    assert run.episodes == 200 and np.isfinite(agent.v[:4]).all()
    if recipe != "td0":
        assert (agent.q[[0, 0, 1, 2, 3], [0, 2, 2, 2, 2]] == -np.inf).all()
        assert agent.policy[:4].argmax(axis=1).tolist() == [1, 1, 1, 1]
        assert np.isfinite(agent.policy).all() and evaluate(agent.policy, env, episodes=3).mean_return == -4


@pytest.mark.parametrize("mask", [np.zeros(3, np.int8), np.ones(2, np.int8)], ids=str)
@pytest.mark.parametrize("recipe", ["q_learning", "td0"])
def test_a_mask_that_allows_nothing_is_refused(recipe: str, mask: np.ndarray) -> None:
    class Stuck(Masked):
        def mask(self) -> np.ndarray:
            return super().mask() if self.state != 2 else mask

    with pytest.raises(InputError, match=r"^action_mask: found a list in state 2; allowed: 3 numbers, at least one"):
        train(load_agent(recipe, Stuck(), seed=1), Stuck(), episodes=5)


@pytest.mark.parametrize(
    "setting", [{"episodes": 2.5}, {"episodes": 0}, {"seed": "a"}, {"episode_length": -1}], ids=str
)
def test_evaluation_takes_whole_numbers(setting: dict[str, Any]) -> None:
    (key, found), *_ = setting.items()
    with pytest.raises(InputError, match=f'^{key}: found "?{found}"?; allowed: a whole number of at least'):
        evaluate(np.full((5, 3), 1 / 3), Masked(), **setting)


def test_a_policy_that_was_never_told_of_masks_keeps_to_them() -> None:
    policy = np.full((5, 3), 1 / 3)
    assert evaluate(policy, Masked(), episodes=50).truncated_rate == 0
    assert (policy == 1 / 3).all(), "the caller's array is left alone"
