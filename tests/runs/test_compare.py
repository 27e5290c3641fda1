"""One trace, many learners: batch TD, batch Monte Carlo, LSTD and certainty equivalence on the same recording."""

from __future__ import annotations

import numpy as np
import pytest
from published_worlds import PUBLISHED

from rlgrid import (
    Batch,
    GridWorld,
    InputError,
    Replay,
    Rollout,
    certainty_equivalence,
    compare,
    evaluate_exact,
    learn_until_settled,
    load_agent,
    lstd,
    train,
)


def of_episodes(*episodes: list[tuple[int, float]], end: int) -> Batch:
    """A batch of one action from episodes of (state, reward); all end in the state ``end``."""
    steps = [(s, r, (*e[1:], (end, 0.0))[k][0], k == len(e) - 1) for e in episodes for k, (s, r) in enumerate(e)]
    state, reward, next_state, ends = (np.array(column) for column in zip(*steps, strict=True))
    n = len(steps)
    zeros, no = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    return Batch(state, zeros, reward, next_state, zeros, ends, no, np.ones(n), np.ones(n))


AB = of_episodes([(0, 0.0), (1, 0.0)], *[[(1, 1.0)]] * 6, [(1, 0.0)], end=2)
AB_COLUMNS = {"batch TD(0)": "TD", "batch MC": "MC", "LSTD": "TD", "certainty equivalence": "TD"}


def test_the_predictor_of_a_and_b() -> None:
    """Sutton & Barto, Example 6.4: TD says 3/4 of A, Monte Carlo 0."""
    published = PUBLISHED["sb_ex6.4"]
    found = compare(AB, discount=published["gamma"])
    assert found.methods == tuple(AB_COLUMNS)
    for column, name in enumerate(AB_COLUMNS.values()):
        expected = [published["values"][name][letter] for letter in "AB"]
        assert found.values[:2, column] == pytest.approx(expected, abs=published["tolerance"])
    assert str(found).splitlines()[2].split() == ["0", "1", "0.75", "0", "0.75", "0.75"]


def trace(world: str, policy: np.ndarray | str, episodes: int, seed: int) -> tuple[Batch, GridWorld]:
    env = GridWorld(world)
    return Rollout(env, seed=seed).collect(load_agent("td0", env, seed=seed, policy=policy), episodes=episodes), env


@pytest.mark.parametrize(
    ("world", "discount", "episodes"),
    [("random_walk_19", 1.0, 50), ("frozen_lake_4x4", 0.95, 200), ("cliff", 0.9, 3), ("aima_4x3", 1.0, 50)],
)
def test_batch_td_is_certainty_equivalence_is_lstd(world: str, discount: float, episodes: int) -> None:
    """And batch Monte Carlo is the mean of the returns of each state, computed here episode by episode."""
    batch, env = trace(world, "uniform", episodes, seed=2)
    n = env.model.n_states
    found = compare(batch, discount=discount, n_states=n)
    td, mc, least_squares, counted = found.values.T
    assert np.abs(td - counted).max() < 1e-8 * max(1, np.abs(td).max())
    assert np.abs(least_squares - counted).max() < 1e-8 * max(1, np.abs(td).max())
    returns: list[list[float]] = [[] for _ in range(n)]
    total = 0.0
    for i in reversed(range(batch.size)):
        total = batch.reward[i] + discount * (0.0 if batch.terminated[i] or batch.truncated[i] else total)
        returns[batch.state[i]].append(total)
    means = [np.mean(seen) if seen else 0.0 for seen in returns]
    assert mc == pytest.approx(means, rel=1e-9, abs=1e-12)
    assert np.abs(mc - td).max() > 1e-3, "they are different estimates"
    squared = [sum((g - v) ** 2 for seen, v in zip(returns, values, strict=True) for g in seen) for values in (mc, td)]
    assert squared[0] < squared[1]


def test_with_much_data_all_come_to_the_exact_values() -> None:
    """Returns lie in [0, 1], so a mean of n visits deviates by at most 1 / (2 sqrt n); twice that for every-visit ones,
    and five of those as a bound."""
    batch, env = trace("frozen_lake_4x4", "uniform", 20_000, seed=1)
    exact = evaluate_exact(env, np.full((16, 4), 0.25), discount=0.95)
    found = compare(batch, discount=0.95, n_states=16)
    acted = found.visits > 0
    assert (np.abs(found.values - exact[:, None])[acted] < 5 / np.sqrt(found.visits[acted])[:, None]).all()


def test_features() -> None:
    """With a feature for each state LSTD is tabular; with few it is where the mean update of linear TD vanishes."""
    batch, env = trace("random_walk_19", "uniform", 50, seed=3)
    n = env.model.n_states
    tabular = lstd(batch, discount=0.9, n_states=n)
    again = lstd(batch, np.eye(n), discount=0.9, ridge=1e-10)
    assert again.v == pytest.approx(tabular.v, abs=1e-7)
    phi = np.column_stack([np.ones(n), np.linspace(-1, 1, n)])
    phi[env.model.terminal] = 0.0
    linear = lstd(batch, phi, discount=0.9)
    target = batch.reward + 0.9 * ~batch.terminated * linear.v[batch.next_state]
    assert phi[batch.state].T @ (target - linear.v[batch.state]) == pytest.approx([0, 0], abs=1e-9)
    assert linear.v == pytest.approx(phi @ linear.weights)
    with pytest.raises(InputError, match="lstd: A is singular; allowed: ridge above 0"):
        lstd(batch, np.ones((n, 2)), discount=0.9)
    assert np.isfinite(lstd(batch, np.ones((n, 2)), discount=0.9, ridge=0.1).weights).all()


def test_a_recording_that_breaks_off_is_cut_off_there() -> None:
    """Two passes give what one gives: nothing of an unfinished episode is left over."""
    env = GridWorld("frozen_lake_4x4")
    batch = Rollout(env, seed=1).collect(load_agent("td0", env), steps=205)
    assert not batch.terminated[-1] and not batch.truncated[-1]
    agent = load_agent("batch_mc", env)
    once = train(agent, env, batch=batch, sweeps=1).agent.v
    assert agent.learner.window.span[0] == agent.learner.window.span[1]
    assert (train(agent, env, batch=batch, sweeps=3).agent.v == once).all()
    assert not batch.truncated[-1], "the recording itself is left alone"


@pytest.mark.slow
def test_mini_batches_come_near_the_fixed_point_and_repeat_with_their_seed() -> None:
    """With steps k^-0.7 the last is 5e-4 for the rarest entry here; five standard deviations of sqrt(alpha / 2) bound
    what is left, as targets vary by at most 1."""
    batch, env = trace("frozen_lake_4x4", "uniform", 300, seed=5)
    settings = {"discount": 0.9, "credit": "entry", "step_size": {"kind": "polynomial", "power": 0.7}}
    found = []
    for seed in (1, 1, 2):
        agent = load_agent("batch_td", env, **settings)
        train(agent, env, batch=Replay(batch, size=32, seed=seed), sweeps=4000)
        found.append(agent.v)
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()
    alpha = agent.learner.visits[np.unique(batch.state), 0].min() ** -0.7
    fixed = lstd(batch, discount=0.9, n_states=16).v
    assert np.abs(found[0] - fixed).max() < 5 * np.sqrt(alpha / 2)


def test_q_learning_from_a_recording() -> None:
    """Replayed until it settles, greedy batch learning solves the counted model."""
    from rlgrid import TabularModel, solve

    env = GridWorld("frozen_lake_4x4")
    batch = Rollout(env, seed=1).collect(load_agent("q_learning", env, epsilon=1.0), steps=30_000)
    agent = load_agent("batch_td", env, table="q", target="greedy", discount=0.9)
    learn_until_settled(agent, batch)
    counted = solve(TabularModel.from_batch(batch, 16, 4), discount=0.9)
    assert agent.q.max(axis=1) == pytest.approx(counted.v, abs=1e-7)


def test_more_learners_join_the_comparison() -> None:
    batch, env = trace("random_walk_5", "uniform", 100, seed=1)
    agent = load_agent("td0", env, discount=1.0)
    found = compare(batch, discount=1.0, n_states=env.model.n_states, agents={"TD(0), once": agent})
    assert found.methods[-1] == "TD(0), once" and (found.values[:, -1] == agent.v).all() and agent.v.any()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda env: train(load_agent("batch_td", env), env, sweeps=1), "batch_td: it learns from a recorded batch"),
        (lambda env: train(load_agent("td0", env), env, batch=AB, steps=1), "td0: found a batch; allowed with feed"),
        (lambda env: Replay(AB.part(0, 0)), "replay: allowed: a batch of at least one transition"),
        (lambda env: train(load_agent("batch_mc", env), env, batch=Replay(AB, size=3)), "replay: a mini-batch tears"),
        (
            lambda env: train(load_agent("batch_td", env, credit="dutch_trace"), env, batch=Replay(AB, size=3)),
            "replay: a mini-batch tears episodes apart; allowed with one-step targets and no trace",
        ),
        (lambda env: lstd(AB.part(0, 0), discount=1.0), "batch: it is empty"),
        (lambda env: lstd(AB, discount=1.0, ridge=-1.0), "ridge: found -1; allowed: at least 0"),
        (lambda env: lstd(AB, np.ones(3), discount=1.0), r"features: found shape \(3,\); allowed"),
        (lambda env: lstd(AB, [[1.0], [1.0, 2.0]], discount=1.0), "features: found a list; allowed: finite numbers"),
        (lambda env: lstd(AB._replace(reward=[1.0]), discount=1.0), "batch: found a list as reward; allowed: an array"),
        (lambda env: certainty_equivalence(AB.part(0, 0), discount=1.0), "batch: it is empty"),
        (
            lambda env: load_agent("batch_td", env, episode_length=3),
            'episode_length: found 3; allowed with feed = "rollout"',
        ),
    ],
)
def test_bad_input_gets_a_sentence(call, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call(GridWorld("random_walk_5"))


def test_a_learner_that_does_not_settle_says_so() -> None:
    agent = load_agent("batch_td", GridWorld("random_walk_5"), credit="entry", step_size=0.1)
    batch, _ = trace("random_walk_5", "uniform", 20, seed=1)
    with pytest.raises(InputError, match="batch_td: it has not settled after 3 passes"):
        learn_until_settled(agent, batch, most=3)
