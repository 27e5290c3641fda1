"""Learning about one policy while another acts: importance sampling, and targets that need none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from experience import recorded, scripted, taught

from rlgrid import GridWorld, TabularModel, evaluate_exact, load_agent
from rlgrid.batch import Batch, joined
from rlgrid.feeds.feed_for import feed_for

LEFT = np.array([[1.0, 0.0], [1.0, 0.0]])


def one_state() -> TabularModel:
    """Sutton & Barto 2e, Example 5.5: left comes back with 0.9, else it ends with a reward of 1; right ends with 0."""
    going = np.zeros((2, 2, 2))
    going[0, 0] = [0.9, 0.1]
    going[0, 1, 1] = going[1, :, 1] = 1.0
    reward = np.array([[0.1, 0.0], [0.0, 0.0]])
    return TabularModel.from_arrays(going, reward, terminal=[False, True], discount=1.0)


def lefts(n: int) -> Batch:
    """An episode that goes left n times, and then ends with 1; the behavior is uniform."""
    return scripted([0] * n + [1], [0] * n, [0.0] * (n - 1) + [1.0], behavior=0.5)


def right_after(n: int) -> Batch:
    return scripted([0] * (n + 1) + [1], [0] * n + [1], [0.0] * (n + 1), behavior=0.5)


SETTINGS = {"policy": LEFT, "behavior": "uniform", "table": "v", "visits": "first"}


def test_ordinary_importance_sampling_has_an_infinite_variance() -> None:
    """Example 5.5: the partial sums of E[(ρG)^2], exactly as the agent computes ρG, grow without bound, as 0.2 Σ 1.8^k.

    An episode of k + 1 steps to the left has the probability (0.45)^k 0.05.
    """
    model = one_state()
    total, sums = Fraction(0), []
    for k in range(60):
        estimate = taught("mc_ordinary_sampling", model, lefts(k + 1), **SETTINGS).v[0]
        assert estimate == 2.0 ** (k + 1)
        total += Fraction(9, 20) ** k * Fraction(1, 20) * Fraction(estimate) ** 2
        sums.append(total)
    assert sums[-1] == Fraction(1, 5) * sum(Fraction(9, 5) ** k for k in range(60))
    assert sums[9] < 100 < 10**6 < sums[29] and sums[59] > 10**14


def test_weighted_importance_sampling_is_exact_after_the_first_ratio_that_is_not_zero() -> None:
    model = one_state()
    agent = load_agent("mc_weighted_sampling", model, **SETTINGS)
    for n in (0, 3):
        agent.update(right_after(n))
        assert agent.v[0] == 0.0, "nothing is known yet"
    for batch in (lefts(2), right_after(1), lefts(7), lefts(1), right_after(0)):
        agent.update(batch)
        assert agent.v[0] == pytest.approx(1.0, abs=1e-15)
    ordinary = load_agent("mc_ordinary_sampling", model, **SETTINGS)
    ordinary.update(joined([right_after(0), right_after(3), lefts(2), right_after(1), lefts(7)]))
    assert ordinary.v[0] == pytest.approx((2**2 + 2**7) / 5)


def test_weighted_averages_and_batch_averages_are_the_same_numbers() -> None:
    """Sutton & Barto 2e, eqs 5.5 and 5.6 over all visits, written out; and per decision, Sec. 5.9."""
    env, batch = recorded("frozen_lake_4x4", 200)
    batch.reward[:] = np.random.default_rng(0).normal(size=batch.size)
    pi = np.random.default_rng(1).dirichlet(np.ones(4), size=16)
    gamma = 0.9
    returns: dict[str, dict[tuple[int, int], list[tuple[float, float]]]] = {"v": {}, "q": {}}
    single: dict[str, dict[tuple[int, int], list[float]]] = {"v": {}, "q": {}}
    g = per_decision = 0.0
    w = 1.0
    for t in range(batch.size - 1, -1, -1):
        if batch.terminated[t] or batch.truncated[t]:
            g, per_decision, w = 0.0, 0.0, 1.0
        s, a = int(batch.state[t]), int(batch.action[t])
        g = batch.reward[t] + gamma * g
        per_decision = batch.reward[t] + gamma * per_decision
        returns["q"].setdefault((s, a), []).append((w, g))
        single["q"].setdefault((s, a), []).append(per_decision)
        ratio = pi[s, a] / batch.behavior_probability[t]
        w *= ratio
        per_decision *= ratio
        returns["v"].setdefault((s, 0), []).append((w, g))
        single["v"].setdefault((s, 0), []).append(per_decision)
    for table in ("v", "q"):
        settings = {"policy": pi, "behavior": "uniform", "table": table, "discount": gamma}
        found = {
            kind: taught(f"mc_{kind}", env, batch, **settings).learner.table
            for kind in ("ordinary_sampling", "weighted_sampling", "per_decision")
        }
        assert len(returns[table]) >= (11 if table == "v" else 40)
        for entry, pairs in returns[table].items():
            weights, values = np.array(pairs).T
            assert found["ordinary_sampling"][entry] == pytest.approx(np.mean(weights * values), abs=1e-10)
            assert found["weighted_sampling"][entry] == pytest.approx(np.average(values, weights=weights), abs=1e-10)
            assert found["per_decision"][entry] == pytest.approx(np.mean(single[table][entry]), abs=1e-10)


@pytest.mark.parametrize(
    ("step_size", "value"),
    [({"kind": "polynomial", "power": 0.8}, 1.0), ({"kind": "harmonic"}, 1.0), (0.1, 6.4)],
    ids=str,
)
def test_steps_that_shrink_take_no_entry_past_its_target(step_size: object, value: float) -> None:
    """Constant ones do, as in eq. 7.11."""
    agent = load_agent("mc_weighted_sampling", one_state(), step_size=step_size, **SETTINGS)
    agent.update(lefts(6))  # W = 2^6, G = 1
    assert agent.v[0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("starts", ["exploring", "every_pair"])
def test_first_actions_that_are_not_the_policys_are_corrected(starts: str) -> None:
    """Their probability is 1 / |A(s)|: W is 0.4 or 1.6, and the returns are 0 or 1.

    So E[(W G)^2] is at most 1.6 v; within five standard errors of the mean of 40,000 episodes from each state.
    """
    env = GridWorld("random_walk_5")
    policy = np.tile([0.2, 0.8], (7, 1))
    exact = evaluate_exact(env, policy, discount=1.0)
    agent = load_agent(
        "mc_ordinary_sampling", env, seed=1, discount=1.0, policy=policy, behavior=policy, table="v", visits="start",
        starts=starts, episode_length=500, credit="together" if starts == "every_pair" else "entry",
        episodes_per_pair=20_000,
    )  # fmt: skip
    feed = feed_for(agent, env)
    episodes = 0
    while episodes < 200_000:
        episodes += len(feed.advance(agent, 1_000_000, 1_000_000, record=False).finished.total)
    assert (np.abs(agent.v - exact)[1:6] < 5 * np.sqrt(1.6 * exact / 40_000)[1:6]).all()


def test_control_learns_from_the_tail_of_an_episode_that_is_greedy() -> None:
    """Sutton & Barto 2e, Sec. 5.7: back from the end until an action was not greedy."""
    env = GridWorld("random_walk_5")
    agent = load_agent("mc_off_policy", env, discount=1.0)
    agent.learner.table[1:6] = [0.5, 0.0]  # left is greedy
    agent.learner.visits[1:6] = 1
    agent.update(scripted([3, 4, 3, 2, 1, 0], [1, 0, 0, 0, 0], [0.0, 0.0, 0.0, 0.0, 1.0], behavior=0.5))
    assert agent.q[1, 0] == 0.75 and agent.q[2, 0] == pytest.approx((0.5 + 2 * 1) / 3)
    assert agent.q[4, 0] > agent.q[2, 0] and agent.q[3, 1] == pytest.approx((0 + 16) / 17)
    again = load_agent("mc_off_policy", env, discount=1.0)
    again.learner.table[1:6] = [1.5, 0.0]
    again.learner.visits[1:6] = [1.0, 0.0]
    again.update(scripted([3, 2, 3, 2, 1, 0], [0, 1, 0, 0, 0], [0.0, 0.0, 0.0, 0.0, 1.0], behavior=0.5))
    assert again.q[2, 1] == 1.0, "what comes after it was greedy"
    assert again.learner.visits[3, 0] == 1.0 + 4.0, (
        "its second visit only: the first one leads to an action that is not greedy"
    )


@pytest.mark.slow
def test_double_q_learning_moves_one_table_by_the_other() -> None:
    env, batch = recorded("frozen_lake_4x4", 60)
    batch.reward[:] = np.random.default_rng(0).normal(size=batch.size)
    agent = load_agent("double_q_learning", env, seed=2, discount=0.9, step_size=0.5)
    turns = []
    for i in range(batch.size):
        tables = [agent.learner.credit.first.copy(), agent.learner.credit.second.copy()]
        agent.update(batch.part(i, i + 1))
        turn = int(agent.learner.credit.turn[0])
        s, a, t = batch.state[i], batch.action[i], batch.next_state[i]
        value = 0.0 if batch.terminated[i] else tables[1 - turn][t, tables[turn][t].argmax()]
        tables[turn][s, a] += 0.5 * (batch.reward[i] + 0.9 * value - tables[turn][s, a])
        for ours, expected in zip((agent.learner.credit.first, agent.learner.credit.second), tables, strict=True):
            assert ours == pytest.approx(expected, abs=1e-12)
        assert agent.q == pytest.approx((tables[0] + tables[1]) / 2, abs=1e-12)
        turns.append(turn)
    n = len(turns)
    assert abs(sum(turns) - n / 2) < 5 * np.sqrt(n / 4), "a fair coin, within five standard deviations"


def test_q_learning_off_policy_acts_uniformly_and_learns_the_greedy_policy() -> None:
    env = GridWorld("zhao_5x5")
    agent = load_agent("q_learning_off_policy", env)
    assert (agent.behavior_policy == 1 / 5).all() and not agent.recipe.predicts
    agent.learner.table[:, 2] = 1.0
    assert (agent.policy == np.eye(5)[2]).all()
    soft = load_agent("mc_weighted_sampling", env, policy="stay", behavior=0.5, episode_length=9)
    assert soft.policy[0].tolist() == [0, 0, 0, 0, 1] and soft.behavior_policy[0] == pytest.approx([0.1] * 4 + [0.6])
    assert load_agent("mc_off_policy", env, behavior=0.3, episode_length=9).behavior.epsilon == 0.3
