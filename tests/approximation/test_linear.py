"""Linear functions of features: against tables, against plain NumPy, and against the exact fixed point."""

from __future__ import annotations

from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from plain_run import ROLLOUTS, drive, learned
from published_worlds import PUBLISHED

import rlgrid
from rlgrid import (
    Features,
    GridWorld,
    InputError,
    Replay,
    Rollout,
    World,
    features_for,
    load_agent,
    lstd,
    on_policy_distribution,
    td_fixed_point,
)
from rlgrid.approximation.features import fourier, one_hot, polynomial, tile_coding
from rlgrid.feeds.feed_for import feed_for
from rlgrid.models.model import as_model

ZHAO = rlgrid.load_world("zhao_5x5")
UNIFORM = np.full((25, 5), 0.2)
KINDS = (
    {"kind": "polynomial", "order": 2},
    {"kind": "fourier", "order": 2},
    {"kind": "tile_coding", "tilings": 4, "tiles": 2},
)


# Features


def test_polynomial_and_fourier_features_cell_by_cell() -> None:
    for order in (1, 2, 3):
        waves, powers = fourier((3, 4), order).matrix, polynomial((3, 4), order).matrix
        assert waves.shape[1] == (order + 1) ** 2 and powers.shape[1] == (order + 1) * (order + 2) // 2
        for state in range(12):
            y, x = (state // 4) / 2, (state % 4) / 3
            cosines = [np.cos(np.pi * (i * x + j * y)) for i in range(order + 1) for j in range(order + 1)]
            assert waves[state] == pytest.approx(cosines)
            u, v = 2 * x - 1, 2 * y - 1
            products = [u ** (d - j) * v**j for d in range(order + 1) for j in range(d + 1)]
            assert powers[state] == pytest.approx(products)
    assert polynomial((6, 1), 3).size == 4 and fourier((1, 6), 3).size == 4 and polynomial((1, 1), 2).size == 3


def test_tiles() -> None:
    """Each tiling has one tile for each cell; cells share one exactly where it spans both, here measured in cells."""
    rows, cols, tilings, tiles = 9, 12, 4, 3
    phi = tile_coding((rows, cols), tilings, tiles)
    assert (phi.active // (tiles + 1) ** 2 == np.arange(tilings)).all() and phi.active.max() < phi.size
    for i in range(tilings):
        right, down = i * 1 / tilings, (i * 3 % tilings) / tilings  # of a tile, 4 columns or 3 rows
        for s in range(rows * cols):
            for t in range(rows * cols):
                same = all(
                    np.floor((a + 0.5) / size + shift) == np.floor((b + 0.5) / size + shift)
                    for a, b, size, shift in (
                        (s % cols, t % cols, cols / tiles, right),
                        (s // cols, t // cols, rows / tiles, down),
                    )
                )
                assert same == (phi.active[s, i] == phi.active[t, i])
    assert (tile_coding((1, 8), 2, 4).active[:, 0] == np.arange(8) // 2).all()


def test_features_of_a_world() -> None:
    lake = rlgrid.load_world("frozen_lake_4x4")
    for kind in ({"kind": "one_hot"}, *KINDS):
        phi = features_for(lake, kind).matrix
        assert not phi[as_model(lake).terminal].any() and phi[~as_model(lake).terminal].any(axis=1).all()
        assert Features.of(phi).matrix.tobytes() == phi.tobytes()
        assert features_for(lake, phi).matrix.tobytes() == phi.tobytes()


# The update


@pytest.mark.parametrize(
    ("linear", "table", "world", "settings"),
    [
        ("td_linear", "td0", "frozen_lake_4x4", {"step_size": {"kind": "harmonic", "a": 2.0, "b": 3.0}}),
        ("td_linear", "n_step_td", "random_walk_19", {"n": 4, "step_size": 0.1}),
        ("td_linear", "mc_prediction", "random_walk_19", {"target": "return", "step_size": {"kind": "harmonic"}}),
        ("sarsa_linear", "sarsa", "cliff", {"step_size": 0.1}),
        ("q_learning_linear", "q_learning", "zhao_5x5", {"step_size": 0.1}),
    ],
)
def test_one_hot_features_are_a_table(linear: str, table: str, world: str, settings: dict) -> None:
    """On the same experience; w + alpha (T - w) and (1 - alpha) w + alpha T differ by rounding only."""
    env = GridWorld(world)
    tabular = load_agent(table, env, seed=4, **settings)
    batch = Rollout(env, seed=4).collect(tabular, steps=20_000)
    agent = load_agent(linear, env, features={"kind": "one_hot"}, **settings)
    again = load_agent(table, env, **settings)
    for learner in (agent, again):
        learner.update(batch)
    scale = np.abs(again.learner.table).max()
    assert scale > 0.1 and np.abs(agent.learner.table - again.learner.table).max() < 1e-12 * scale
    assert (agent.weights.reshape(again.learner.table.shape) == agent.learner.table).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recipe", ["td_linear", "sarsa_linear", "q_learning_linear"])
def test_the_update_against_a_loop_over_arrays(recipe: str, kind: dict) -> None:
    """Zhao, Algorithms 8.1 to 8.3, written down with dense features and without a table of values."""
    env = GridWorld("frozen_lake_4x4")
    agent = load_agent(recipe, env, seed=2, features=kind, step_size=0.02, discount=0.9)
    batch = Rollout(env, seed=2).collect(agent, steps=3000)  # agent learns while it acts
    phi = features_for(env, kind).matrix
    w = np.zeros((phi.shape[1], 1 if recipe == "td_linear" else 4))
    for i in range(batch.size):
        s, t, column = batch.state[i], batch.next_state[i], batch.action[i] if w.shape[1] > 1 else 0
        ahead = (phi[t] @ w).max() if "q_" in recipe else phi[t] @ w[:, batch.next_action[i] if w.shape[1] > 1 else 0]
        target = batch.reward[i] + (0.0 if batch.terminated[i] else 0.9 * ahead)
        w[:, column] += 0.02 * (target - phi[s] @ w[:, column]) * phi[s]
    assert np.abs(w).max() > 1e-3
    assert agent.learner.credit.weights == pytest.approx(w, rel=1e-9, abs=1e-12)
    assert agent.learner.table == pytest.approx(phi @ w, rel=1e-9, abs=1e-12)
    assert agent.weights.shape == ((phi.shape[1],) if recipe == "td_linear" else w.shape)


@pytest.mark.parametrize("name", ["sarsa_linear", "q_learning_linear", "n-step Sarsa, linear"])
def test_an_environment_that_is_stepped_gives_the_same_bits(name: str) -> None:
    agent, env = ROLLOUTS[name].make()
    drive(agent, feed_for(agent, env), chunks=[1000], steps=500)
    again, env = ROLLOUTS[name].make()
    wrapped: gym.Env = TransformReward(env, lambda reward: reward)
    drive(again, feed_for(again, wrapped), chunks=[7], steps=500)
    assert learned(again) == learned(agent)


def test_actions_that_are_not_available_stay_so() -> None:
    env = GridWorld("aima_4x3")
    agent = load_agent("q_learning_linear", env)
    agent.forbid(0, np.array([1, 0, 1, 1]))
    drive(agent, feed_for(agent, env), chunks=[100], steps=1000)
    assert (
        np.isneginf(agent.q[0]).tolist() == [False, True, False, False]
        and np.isfinite(np.delete(agent.q, 0, axis=0)).all()
    )


# The fixed point


@pytest.mark.parametrize("world", ["zhao_5x5", "frozen_lake_4x4", "random_walk_19", "cliff"])
def test_the_on_policy_distribution_is_what_is_visited(world: str) -> None:
    """Shares of states over 20 runs: within six standard errors of their mean (t with 19 degrees: 1e-5), or 1e-4."""
    env = GridWorld(world)
    n, a = env.model.n_states, env.model.n_actions
    exact = on_policy_distribution(env, np.full((n, a), 1 / a))
    assert exact.sum() == pytest.approx(1) and (exact >= 0).all()
    agent = load_agent("td0", env)
    seen = [Rollout(env, seed=seed).collect(agent, steps=20_000).state for seed in range(20)]
    shares = np.array([np.bincount(states, minlength=n) / 20_000 for states in seen])
    error = shares.std(axis=0, ddof=1) / np.sqrt(20)
    assert (np.abs(shares.mean(axis=0) - exact) < 6 * error + 1e-4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_fixed_point_values_are_their_own_projected_backup(kind: dict) -> None:
    """Phi w = Pi T Phi w with the projection by weighted least squares, and the error is bounded by the best one's:
    |Phi w - v| <= |Pi v - v| / sqrt(1 - gamma^2) in the norm of D (Tsitsiklis & Van Roy 1997, Theorem 1)."""
    exact = rlgrid.evaluate_exact(ZHAO, UNIFORM)
    phi, share = features_for(ZHAO, kind).matrix, on_policy_distribution(ZHAO, UNIFORM)
    root = np.sqrt(share)

    def projected(values: np.ndarray) -> np.ndarray:
        return phi @ np.linalg.lstsq(root[:, None] * phi, root * values, rcond=None)[0]

    solved = td_fixed_point(ZHAO, UNIFORM, kind)
    P, r = as_model(ZHAO).chain(UNIFORM)
    assert projected(r + 0.9 * (P @ solved.v)) == pytest.approx(solved.v, abs=1e-9)
    error, best = (np.sqrt(share @ (v - exact) ** 2) for v in (solved.v, projected(exact)))
    assert 0 < best <= error <= best / np.sqrt(1 - 0.9**2)


def test_more_features_come_nearer_in_zhaos_setting() -> None:
    """Zhao, Figs 8.7 and 8.8: the uniform policy of the 5 x 5 world, gamma = 0.9; with 25 independent features of 25
    cells nothing is left."""
    exact = np.array(PUBLISHED["zhao_fig8.6b"]["values"]).ravel()
    for kind, sizes in (("polynomial", [3, 6, 10, 15]), ("fourier", [4, 9, 16, 25])):
        solved = [td_fixed_point(ZHAO, UNIFORM, {"kind": kind, "order": order}) for order in (1, 2, 3, 4)]
        assert [len(fixed.weights) for fixed in solved] == sizes
        errors = [np.sqrt(np.mean((fixed.v - exact) ** 2)) for fixed in solved]
        assert all(later < earlier for earlier, later in pairwise(errors)), errors
    assert errors[-1] < 1e-6, "published values have six digits"


@pytest.mark.parametrize("world", ["zhao_5x5", "frozen_lake_4x4", "random_walk_19"])
def test_a_feature_for_each_state_gives_the_exact_values(world: str) -> None:
    source = GridWorld(world).model
    policy = np.full((source.n_states, source.n_actions), 1 / source.n_actions)
    solved = td_fixed_point(source, policy, one_hot(source.n_states), discount=0.9)
    visited = on_policy_distribution(source, policy) > 0
    assert solved.v[visited] == pytest.approx(rlgrid.evaluate_exact(source, policy, discount=0.9)[visited], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_td_linear_and_lstd_come_to_the_fixed_point(kind: dict) -> None:
    """12 runs with steps of order k^-0.7. The mean of the runs is within six standard errors of the fixed point (t with
    11 degrees: 1e-4 a state), and the spread falls with the root of the step size: by 16^-0.35 = 0.38 from 10^5 to
    1.6 10^6 steps; 0.6 leaves room for a spread that is itself measured. LSTD on 400,000 steps is nearer still."""
    env, fixed = GridWorld(ZHAO), td_fixed_point(ZHAO, UNIFORM, kind)
    size = {"kind": "polynomial", "a": 6.0, "b": 1000.0, "power": 0.7, "per": "update"}
    spreads = []
    for steps in (100_000, 1_600_000):
        runs = []
        for seed in range(12):
            agent = load_agent("td_linear", env, seed=seed, features=kind, step_size=size)
            drive(agent, feed_for(agent, env), chunks=[400_000], steps=steps)
            runs.append(agent.v)
        apart = np.array(runs) - fixed.v
        spreads.append(np.sqrt(np.mean(apart**2)))
    assert (np.abs(apart.mean(axis=0)) < 6 * apart.std(axis=0, ddof=1) / np.sqrt(12)).all()
    assert spreads[1] < 0.6 * spreads[0]
    batch = Rollout(env, seed=1).collect(load_agent("td0", env), steps=400_000)
    solved = lstd(batch, features_for(env, kind).matrix, discount=0.9, ridge=1e-6)
    assert np.sqrt(np.mean((solved.v - fixed.v) ** 2)) < spreads[0]


def test_replayed_td_settles_where_lstd_is() -> None:
    """Updates of a recording, drawn with steps that shrink: their fixed point is that of the recording."""
    env = GridWorld("random_walk_19")
    batch = Rollout(env, seed=1).collect(load_agent("td0", env), episodes=100)
    kind = {"kind": "polynomial", "order": 2}
    size = {"kind": "polynomial", "a": 100.0, "b": 1000.0, "power": 0.8, "per": "update"}
    agent = load_agent(
        "td_linear", env, feed="replay", features=kind, discount=0.9, step_size=size, steps=None, sweeps=1
    )
    replay = Replay(batch, size=len(batch.state), seed=1)
    for _ in range(100):
        replay.advance(agent, 1, 1, record=False)
    solved = lstd(batch, features_for(env, kind).matrix, discount=0.9)
    # A million updates: the last step is 1.6e-3, errors are at most about 1 and phi is within the unit cube.
    assert np.abs(agent.v - solved.v).max() < 5 * np.sqrt(1.6e-3 * 3 / 2)


# Control


@pytest.mark.parametrize("recipe", ["sarsa_linear", "q_learning_linear"])
def test_control_finds_the_way(recipe: str) -> None:
    """With 4 tilings of 4 x 4 tiles the greedy policy of the 5 x 5 world, valued exactly, is within 5 % of the optimum
    from the start in at least 4 of 5 seeds. A linear function promises nothing; this is what is seen."""
    env, optimal = GridWorld(ZHAO), rlgrid.solve(ZHAO).v
    good = 0
    for seed in range(5):
        agent = load_agent(recipe, env, seed=seed)
        rlgrid.train(agent, env, steps=300_000)
        reached = rlgrid.evaluate_exact(env, agent.policy)
        good += bool(as_model(ZHAO).start @ (optimal - reached) < 0.05 * (as_model(ZHAO).start @ optimal))
    assert good >= 4


# Bad input


def test_too_large_steps_are_named() -> None:
    env = GridWorld(ZHAO)
    agent = load_agent("td_linear", env, step_size=1.0)
    with pytest.raises(InputError, match=r"td_linear: the values diverged: .*the step size is likely too large"):
        rlgrid.train(agent, env, steps=200_000)


TWO_CLASSES = """
name = "two"
discount = 0.9
actions = ["stay"]
map = "SS"
"""


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: load_agent("td0", GridWorld(ZHAO), features={"kind": "one_hot"}), 'credit: found "entry"; allowed'),
        (lambda: load_agent("td0", GridWorld(ZHAO), credit="gradient"), "credit: found without features; allowed"),
        (lambda: load_agent("td_linear", GridWorld(ZHAO), features={"kind": "wave"}), r"features.*wave"),
        (lambda: load_agent("td_linear", GridWorld(ZHAO), features={"kind": "fourier", "order": 0}), r"order: found 0"),
        (lambda: load_agent("td_linear", GridWorld(ZHAO), initial_value=1.0), "initial_value: found 1; allowed"),
        (lambda: load_agent("q_learning_linear", GridWorld(ZHAO), target="double"), "features: with target"),
        (lambda: load_agent("td_linear", GridWorld(ZHAO), features={"kind": "given"}), 'features: "given" ones are'),
        (lambda: load_agent("td_linear", GridWorld(ZHAO), features=np.eye(3)), "features: found those of 3 states"),
        (lambda: load_agent("td_linear", GridWorld(ZHAO), features=np.ones(25)), r"features: found shape \(25,\)"),
        (lambda: load_agent("td0", GridWorld(ZHAO)).weights, "td0: it has no features, so no weights"),
        (lambda: features_for(ZHAO, Features(np.full((25, 1), 7), np.ones((25, 1)), 7)), "found a number outside of 0"),
        (lambda: tile_coding((1000, 1000), 1000, 4), "features: tilings = 1000 makes 1,000 features in each"),
        (lambda: td_fixed_point(ZHAO, [[1.0]], KINDS[0]), r"policy: found shape \(1, 1\)"),
        (
            lambda: td_fixed_point(ZHAO, UNIFORM, {"kind": "fourie"}),
            'features: kind: found "fourie", did you mean "fourier"',
        ),
        (lambda: td_fixed_point(ZHAO, UNIFORM, KINDS[0], distribution=["a"]), "distribution: found a list; allowed"),
        (lambda: td_fixed_point(ZHAO, UNIFORM, KINDS[0], distribution=[1.0]), r"distribution: found shape \(1,\)"),
        (lambda: td_fixed_point(ZHAO, UNIFORM, KINDS[0], distribution=[-1.0] * 25), "distribution: found"),
        (
            lambda: on_policy_distribution(World.from_toml(TWO_CLASSES), [[1.0]] * 2),
            "two: the policy may stay for ever",
        ),
    ],
)
def test_bad_input_gets_a_sentence(call, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call()


def test_each_share_of_a_class_is_accurate_by_itself() -> None:
    """A ring of states that are left with very different chances: each is held the longer the less likely that is."""
    leaves = np.array([1.0, 1e-9, 1e-18, 1e-4, 1e-18])
    P = np.zeros((5, 1, 5))
    P[np.arange(5), 0, np.arange(5)] = 1.0 - leaves
    P[np.arange(5), 0, (np.arange(5) + 1) % 5] = leaves
    share = on_policy_distribution(rlgrid.TabularModel.from_arrays(P, np.zeros((5, 1))), np.ones((5, 1)))
    assert share == pytest.approx((1 / leaves) / (1 / leaves).sum(), rel=1e-14)
