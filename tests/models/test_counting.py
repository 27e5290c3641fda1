"""Models counted from experience: exact sweeps give the model back, samples come close, posteriors are exact."""

from __future__ import annotations

from itertools import product

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

from rlgrid import GridWorld, InputError, Rollout, Sweep, TabularModel, evaluate_exact, load_agent, load_world, solve
from rlgrid.batch import Batch, empty_batch
from rlgrid.feeds.feed_for import feed_for
from rlgrid.models.counting import summarized

# -- maximum likelihood ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zhao_5x5", "windy_stochastic", "frozen_lake_8x8", "book_grid", "four_rooms"])
def test_a_sweep_gives_its_model_back(name: str) -> None:
    model = TabularModel.from_world(load_world(name))
    again = TabularModel.from_batch(Sweep(model).batch)
    assert (again.n_states, again.n_actions) == (model.n_states, model.n_actions)
    for policy in (np.full((model.n_states, model.n_actions), 1 / model.n_actions), solve(model, discount=0.9).policy):
        found, wanted = (evaluate_exact(m, policy, discount=0.9) for m in (again, model))
        assert np.abs(found - wanted).max() < 1e-10


def collected(name: str, steps: int) -> tuple[TabularModel, Batch]:
    env = GridWorld(name)
    agent = load_agent("td0", env, seed=2)
    return env.model, Rollout(env, seed=2).collect(agent, steps=steps)


def test_frequencies_are_those_of_the_rules() -> None:
    """Hoeffding for each outcome of each row, at 1e-9 in all."""
    model, batch = collected("frozen_lake_4x4", 100_000)
    counted = TabularModel.from_batch(batch, 16, 4)
    samples = np.bincount(batch.state * 4 + batch.action, minlength=64)
    checked = 0
    for s, a in product(range(16), range(4)):
        if not samples[4 * s + a]:
            continue
        wanted = {(o[1], o[3]): o[0] for o in model.P[s][a]}
        found = {(o[1], o[3]): o[0] for o in counted.P[s][a]}
        assert set(found) <= set(wanted)
        bound = np.sqrt(np.log(2 * 192 / 1e-9) / (2 * samples[4 * s + a]))
        for outcome, p in wanted.items():
            assert abs(found.get(outcome, 0.0) - p) <= bound
            checked += 1
    assert checked > 100


def test_what_was_not_tried_is_not_available() -> None:
    batch = small_batch()
    model = TabularModel.from_batch(batch)
    assert model.available.tolist() == [[True, True], [False, True], [True, True]]  # the last one was never left
    assert model.P[0][0] == [(0.75, 1, 2.0, False), (0.25, 2, 7.0, True)]
    assert model.terminal.tolist() == [False, False, True]
    assert model.start.tolist() == [0.5, 0.5, 0.0]


def small_batch() -> Batch:
    """Three times 0 -> 1 for 1, 2 and 3, once 0 -> 2 for 7 and over; 0 under the other action; 1 -> 0 once."""
    batch = empty_batch(6)
    batch.state[:], batch.action[:] = [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1]
    batch.next_state[:], batch.next_action[:] = [1, 1, 1, 2, 0, 0], 0
    batch.reward[:] = [1, 2, 3, 7, 0, -1]
    batch.terminated[:], batch.truncated[:] = [0, 0, 0, 1, 0, 0], False
    return batch


# -- posteriors ------------------------------------------------------------------------------------------------------


def test_the_posterior_mean_by_hand() -> None:
    model = TabularModel.from_batch(small_batch(), prior=0.5, prior_reward=10.0)
    # Row (0, 0): counts 0, 3, 1 and 0.5 each; rewards 13 in 4 samples and half a sample of 10.
    reward = (13 + 5) / 4.5
    assert [(round(p * 5.5, 12), t, end) for p, t, _, end in model.P[0][0]] == [
        (0.5, 0, False),
        (3.5, 1, False),
        (1.5, 2, True),
    ]
    assert all(r == pytest.approx(reward, abs=1e-12) for _, _, r, _ in model.P[0][0])
    assert model.available.all() and model.terminal.tolist() == [False, False, True]
    assert {r for _, _, r, _ in model.P[1][0]} == {10.0}  # never tried


@pytest.mark.slow
@pytest.mark.parametrize("times", [0, 1, 2])
def test_draws_of_a_mean_reward_vary_with_the_rewards(times: int) -> None:
    """100 rewards of 0 and 1000 in turn: 500 apart from the mean, which has a standard deviation of about 50.

    2,000 draws tell their standard deviation within 5 / sqrt(4000). What was summarized still knows the variance.
    """
    batch = empty_batch(100)
    for column in batch:
        column[:] = 0
    batch.weight[:], batch.behavior_probability[:] = 1, 1
    batch.reward[1::2] = 1000
    for _ in range(times):
        batch = summarized(batch, 1, 1)
    assert batch.size == (2 if times else 100) and batch.weight.sum() == 100
    drawn = [
        TabularModel.from_batch(batch, 1, 1, prior=1e-9, prior_reward=500, seed=seed).expected_reward[0, 0]
        for seed in range(2000)
    ]
    deviation = np.sqrt((100 * 500**2 + 500**2) / 101**2)
    assert abs(np.std(drawn) / deviation - 1) < 5 / np.sqrt(4000)


@pytest.mark.slow
def test_drawn_models_follow_the_posterior() -> None:
    """Mean and variance of Dirichlet(0.5, 3.5, 1.5) over 2,000 draws, within 5 standard errors; seeds repeat."""
    rng = np.random.default_rng(0)
    drawn = np.array(
        [[p for p, *_ in TabularModel.from_batch(small_batch(), prior=0.5, seed=rng).P[0][0]] for _ in range(2000)]
    )
    alpha = np.array([0.5, 3.5, 1.5])
    mean = alpha / 5.5
    variance = mean * (1 - mean) / 6.5
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(variance / 2000)).all()
    assert np.allclose(drawn.var(axis=0), variance, rtol=0.25)
    one, other = (TabularModel.from_batch(small_batch(), prior=0.5, seed=4) for _ in range(2))
    assert one.P == other.P


def test_what_a_model_is_counted_from_is_checked() -> None:
    batch = small_batch()
    with pytest.raises(InputError, match=r"^batch: it is empty; allowed: at least one transition$"):
        TabularModel.from_batch(empty_batch(0))
    with pytest.raises(InputError, match=r"^batch: next_state has values outside 0 to 1$"):
        TabularModel.from_batch(batch, 2, 2)
    with pytest.raises(InputError, match=r"^prior: found 0; allowed: at least 0, and above 0 with a seed$"):
        TabularModel.from_batch(batch, seed=0)
    with pytest.raises(InputError, match=r"^available: found shape \(2, 2\); allowed: \[3, 2\]$"):
        TabularModel.from_batch(batch, prior=1, available=np.ones((2, 2), bool))
    with pytest.raises(InputError, match=r"^prior: a posterior over 59,985,000 outcomes; allowed: 50,000,000 at most"):
        TabularModel.from_batch(batch, 5000, 3, prior=1, available=np.arange(15000).reshape(5000, 3) < 12000)


# -- Blackjack -------------------------------------------------------------------------------------------------------

CARDS = [*range(1, 10), 10]
CHANCE = dict.fromkeys(range(1, 10), 1 / 13) | {10: 4 / 13}


def add(total: int, ace: int, card: int) -> tuple[int, int]:
    """A hand after one more card; (total, ace counted as 11 or not), as Gymnasium counts it."""
    total, ace = (total + 11, 1) if card == 1 and total + 11 <= 21 else (total + card, ace)
    return (total - 10, 0) if total > 21 and ace else (total, ace)


def dealer(total: int, ace: int) -> dict[int, float]:
    """Distribution of the dealer's final total; 0 for a bust."""
    if total >= 17:
        return {total if total <= 21 else 0: 1.0}
    found: dict[int, float] = {}
    for card, p in CHANCE.items():
        for end, q in dealer(*add(total, ace, card)).items():
            found[end] = found.get(end, 0.0) + p * q
    return found


def exact_blackjack() -> TabularModel:
    """Gymnasium's Blackjack from its rules: 704 hands as Blackjack-v1 numbers them, and one more for the end."""
    index = np.arange(704).reshape(32, 11, 2)
    P, R = np.zeros((705, 2, 705)), np.zeros((705, 2))
    P[:, :, 704] = 1.0
    ends = {card: dealer(*add(0, 0, card)) for card in CARDS}
    for total, card, ace in product(range(4, 22), CARDS, (0, 1)):
        s = index[total, card, ace]
        R[s, 0] = sum(p * np.sign(total - end) for end, p in ends[card].items())
        P[s, 1] = 0.0
        for drawn, p in CHANCE.items():
            after, usable = add(total, ace, drawn)
            if after > 21:
                P[s, 1, 704] += p
                R[s, 1] -= p
            else:
                P[s, 1, index[after, card, usable]] += p
    start = np.zeros(705)
    for a, b, card in product(CARDS, CARDS, CARDS):
        start[index[(*add(*add(0, 0, a), b), card)[0], card, add(*add(0, 0, a), b)[1]]] += (
            CHANCE[a] * CHANCE[b] * CHANCE[card]
        )
    terminal = np.arange(705) == 704
    return TabularModel.from_arrays(P, R, terminal=terminal, start=start, discount=1)


@pytest.mark.slow
def test_blackjack_is_solved_from_counts() -> None:
    """The plan on 25,000 counted hands loses at most 0.02 a hand against the exact optimum (4.5 % house edge)."""
    env = gym.make("Blackjack-v1")
    agent = load_agent("mc_epsilon_greedy", env, seed=1, epsilon=1.0, discount=1.0)
    batch = feed_for(agent, env).collect(agent, steps=25_000)
    plan = solve(TabularModel.from_batch(batch, 704, 2), discount=1)
    exact = exact_blackjack()
    policy: NDArray[np.float64] = np.full((705, 2), 0.5)
    policy[:704] = plan.policy
    best = exact.start @ solve(exact).v
    assert best == pytest.approx(-0.0465, abs=0.004)
    assert best - 0.02 <= exact.start @ evaluate_exact(exact, policy) <= best
