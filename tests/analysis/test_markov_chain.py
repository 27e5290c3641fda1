"""Visits, steps, ends, variance and distribution of the return: closed forms, dense solves, and simulation."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

import rlgrid
from rlgrid import (
    GridWorld,
    InputError,
    Rollout,
    TabularModel,
    World,
    end_distribution,
    end_probability,
    evaluate_exact,
    expected_steps,
    load_world,
    occupancy,
    return_distribution,
    return_variance,
    solve,
)
from rlgrid.learning.actor import policy_actor

#: Standard errors within which a simulated mean has to be: two-sided, a right result fails once in 1.7 million.
Z = 5.0

EPISODES = 40_000


def corridor(n: int, *, step: float = -1, rest: str = "") -> World:
    """Cells 0 to n, of which both ends are terminal."""
    return World.from_toml(
        f'actions = ["left", "right"]\ndiscount = 1\nmap = "l{"." * (n - 1)}r"\n'
        f"[reward]\nstep = {step}\n[cells]\nl = {{ terminal = true }}\nr = {{ terminal = true }}\n{rest}"
    )


def coin(world: World) -> np.ndarray:
    return np.full((world.n_states, world.n_actions), 1 / world.n_actions)


def always(world: World, action: str) -> np.ndarray:
    return np.eye(world.n_actions)[np.full(world.n_states, world.actions.index(action))]


def simulated(world: World, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undiscounted returns, lengths and last cells of episodes from the start distribution."""
    rollout = Rollout(GridWorld(world), seed=11, episode_length=1_000_000)
    finished = rollout.advance(
        policy_actor(policy.copy(), np.random.SeedSequence(12)), 10**9, EPISODES, record=False
    ).finished
    return finished.total, finished.length, finished.final_state


# -- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 7, 40])
def test_a_fair_walk_takes_i_times_n_minus_i_steps(n: int) -> None:
    """Mean i (n - i); variance i (n - i) (i² + (n - i)² - 2) / 3 (Feller, vol. 1, Ch. XIV.3)."""
    world, i = corridor(n), np.arange(n + 1)
    assert expected_steps(world, coin(world)) == pytest.approx(i * (n - i), rel=1e-11)
    variance = i * (n - i) * (i**2 + (n - i) ** 2 - 2) / 3
    assert return_variance(world, coin(world)) == pytest.approx(variance, rel=1e-10)
    assert end_probability(world, coin(world), [n]) == pytest.approx(i / n, abs=1e-13)


def test_a_walk_that_drifts_is_the_gamblers_ruin() -> None:
    """Right with p = 0.7: the right end is reached with (1 - (q/p)^i) / (1 - (q/p)^n) (Feller, vol. 1, Ch. XIV.2)."""
    world, n, p = corridor(9, rest="[slip]\nrandom = 0.3"), 9, 0.7
    i, odds = np.arange(10), 0.3 / 0.7
    reached = (1 - odds**i) / (1 - odds**n)
    assert end_probability(world, always(world, "right"), world.where("r")) == pytest.approx(reached, abs=1e-13)
    steps = i / (0.3 - p) - n / (0.3 - p) * reached
    assert expected_steps(world, always(world, "right")) == pytest.approx(steps, abs=1e-11)


def test_waiting_for_a_way_out_is_geometric() -> None:
    """A step succeeds with 1/4, so that the number N of steps has the variance 12; γ^(N - 1) has its own."""
    world = World.from_toml(
        'actions = ["right"]\ndiscount = 1\nmap = "SG"\n[reward]\nstep = 1\nenter_adds_step = true\n'
        "[cells]\nG = { terminal = true }\n[slip]\nturn = { 0 = 0.25, 180 = 0.75 }"
    )
    found = return_distribution(world, [[1.0], [1.0]], missing=1e-13)
    n = np.arange(1, len(found.values) + 1)
    assert found.values == pytest.approx(n) and found.probabilities == pytest.approx(0.25 * 0.75 ** (n - 1))
    assert 0 < found.missing <= 1e-13 and found.missing == pytest.approx(0.75 ** len(n), rel=1e-9)
    assert return_variance(world, [[1.0], [1.0]])[0] == pytest.approx(0.75 / 0.25**2)
    gamma, pays = (
        0.9,
        World.from_toml(world.to_toml().replace("step = 1", "step = 0").replace("{ terminal", "{ enter = 1, terminal")),
    )

    def mean(rate: float) -> float:  # of rate^(N - 1)
        return 0.25 / (1 - 0.75 * rate)

    expected = mean(gamma**2) - mean(gamma) ** 2
    assert return_variance(pays, [[1.0], [1.0]], discount=gamma)[0] == pytest.approx(expected, rel=1e-12)


def test_sums_of_coins_are_binomial() -> None:
    """A reward of 0 or 1 for twelve steps."""
    world = World.from_toml(
        'actions = ["stay"]\ndiscount = 1\nmap = "S"\n'
        "[reward]\nstep = { values = [0, 1], probabilities = [0.75, 0.25] }"
    )
    found = return_distribution(world, [[1.0]], horizon=12)
    binomial = [comb(12, k) * 0.25**k * 0.75 ** (12 - k) for k in range(13)]
    assert found.values == pytest.approx(np.arange(13)) and found.probabilities == pytest.approx(binomial, rel=1e-12)
    assert (found.missing, found.error, found.steps) == (0, 0, 12)
    discounted = return_variance(world, [[1.0]], discount=0.5)[0]
    assert discounted == pytest.approx(0.75 * 0.25 / (1 - 0.25), rel=1e-13)


def test_frozen_lake_without_and_within_its_limit() -> None:
    """published.json: 14/17 for ever; 0.740165 within 100 steps by the same policy."""
    world = load_world("frozen_lake_4x4")
    policy = solve(world, "policy_iteration").policy
    assert end_probability(world, policy, world.where("G"))[0] == pytest.approx(14 / 17, abs=1e-13)
    assert end_distribution(world, policy)[world.where("G")[0]] == pytest.approx(14 / 17, abs=1e-13)
    assert return_variance(world, policy)[0] == pytest.approx(14 / 17 * 3 / 17, abs=1e-13)
    within = return_distribution(world, policy)
    assert within.probabilities[within.values == 1] == pytest.approx(0.740165, abs=5e-7)
    for_ever = return_distribution(TabularModel.from_env(without_limit(world)), policy)
    assert for_ever.mean == pytest.approx(14 / 17, abs=2e-9) and 0 < for_ever.missing <= 1e-9


def without_limit(world: World) -> GridWorld:
    return GridWorld(World.from_toml(world.to_toml().replace("max_episode_steps = 100\n", "")))


# -- dense solves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aima_4x3", "windy_stochastic", "zhao_5x5", "noisy_3x3", "cliff_slippery"])
@pytest.mark.parametrize("gamma", [0.0, 0.7, 0.95])
def test_discounted_results_solve_their_equations(name: str, gamma: float) -> None:
    world = load_world(name)
    model = TabularModel.from_world(world)
    policy = np.random.default_rng(3).dirichlet(np.ones(model.n_actions), model.n_states)
    P, r, square = np.zeros((model.n_states,) * 2), np.zeros(model.n_states), np.zeros(model.n_states)
    v = evaluate_exact(model, policy, discount=gamma)
    for s in range(model.n_states):
        for a in range(model.n_actions):
            first, last = model.tables.first[s * model.n_actions + a : s * model.n_actions + a + 2]
            for i in range(first, last):
                outcome, t = model.outcomes[model.tables.code[i]], model.tables.next_state[i]
                share = policy[s, a] * float(outcome.probability)
                second = sum(
                    float(p * x**2) for x, p in zip(outcome.reward.values, outcome.reward.probabilities, strict=True)
                )
                mean, ahead = float(outcome.reward.mean), 0.0 if outcome.terminated else gamma * v[t]
                r[s] += share * mean
                square[s] += share * (second + outcome.reward.std**2 + 2 * mean * ahead)
                P[s, t] += 0.0 if outcome.terminated else share
    eye = np.eye(model.n_states)
    second_moment = np.linalg.solve(eye - gamma**2 * P, square)
    assert return_variance(model, policy, discount=gamma) == pytest.approx(
        second_moment - v**2, abs=1e-9 * max(1, abs(v).max() ** 2)
    )
    visits = occupancy(model, policy, discount=gamma)
    assert visits == pytest.approx(np.linalg.solve(eye - gamma * P.T, model.start), abs=1e-12)
    assert visits @ r == pytest.approx(model.start @ v, abs=1e-11)


# -- simulation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aima_4x3", "frozen_lake_4x4", "windy_stochastic", "noisy_3x3", "book_grid"])
def test_simulated_episodes_agree(name: str) -> None:
    """Means within 5 standard errors; that of a variance from the fourth moment."""
    world = load_world(name)
    world = World.from_toml("\n".join(line for line in world.to_toml().split("\n") if "max_episode" not in line))
    model = TabularModel.from_world(world)
    best = solve(world, "policy_iteration", discount=1).policy
    policy = 0.7 * best + 0.3 * coin(world)
    total, length, last = simulated(world, policy)
    n = len(total)
    starts, v = model.start, evaluate_exact(world, policy, discount=1)
    assert abs(total.mean() - starts @ v) <= Z * total.std() / n**0.5
    steps = expected_steps(world, policy)
    assert abs(length.mean() - starts @ steps) <= Z * length.std() / n**0.5
    assert occupancy(world, policy, discount=1).sum() == pytest.approx(starts @ steps, rel=1e-10)
    variance = starts @ (return_variance(world, policy, discount=1) + v**2) - (starts @ v) ** 2
    centred = total - total.mean()
    error = ((centred**4).mean() - (centred**2).mean() ** 2) ** 0.5 / n**0.5
    assert abs(total.var(ddof=1) - variance) <= Z * error + 1e-12
    ends = end_distribution(world, policy)
    share = np.bincount(last, minlength=model.n_states) / n
    assert (np.abs(share - ends) <= Z * (ends * (1 - ends) / n) ** 0.5 + 1e-12).all() and ends.sum() == pytest.approx(1)
    for cell in np.flatnonzero(ends):
        assert starts @ end_probability(world, policy, [cell]) == pytest.approx(ends[cell], abs=1e-12)


def test_a_simulated_distribution_agrees() -> None:
    world = load_world("aima_4x3")
    policy = 0.8 * solve(world).policy + 0.2 * coin(world)
    found = return_distribution(world, policy)
    assert found.mean == pytest.approx(evaluate_exact(world, policy)[8], abs=1e-7)
    assert found.variance == pytest.approx(return_variance(world, policy)[8], abs=1e-6)
    total, _, _ = simulated(world, policy)
    nearest = np.abs(total[:, None] - found.values).argmin(axis=1)
    assert np.abs(total - found.values[nearest]).max() < 1e-9, "every return that occurs is among the values"
    share = np.bincount(nearest, minlength=len(found.values)) / len(total)
    p = found.probabilities
    assert (np.abs(share - p) <= Z * np.sqrt(p * (1 - p) / len(total)) + 3 / len(total)).all()


def test_discounted_returns_of_a_path() -> None:
    world = load_world("zhao_5x5")
    policy = solve(world).policy
    found = return_distribution(world, policy, start=0)
    assert found.values == pytest.approx([solve(world).v[0]], abs=1e-7) and found.probabilities == pytest.approx([1])
    assert 0 < found.error <= 1e-9 and found.missing == 0


# -- what never ends -------------------------------------------------------------------------------------------------


def test_policies_that_may_never_end() -> None:
    world = corridor(6, step=0)
    policy = always(world, "left")
    policy[4:6] = always(world, "right")[4:6]
    policy[2] = [0.25, 0.75]
    policy[3] = [0.0, 1.0]
    assert expected_steps(world, policy)[[1, 4, 5]].tolist() == [1, 2, 1]
    policy[3], policy[4] = [0, 1], [1, 0]  # 3 and 4 send one to each other for ever
    assert expected_steps(world, policy).tolist() == [0, 1, np.inf, np.inf, np.inf, 1, 0]
    assert end_probability(world, policy) == pytest.approx([1, 1, 0.25, 0, 0, 1, 1], abs=1e-15)
    visits = occupancy(world, policy, discount=1)
    assert visits[[3, 4]].tolist() == [np.inf, np.inf] and visits[[1, 2, 5]] == pytest.approx([0.25, 0.2, 0.2])
    assert end_distribution(world, policy).sum() == pytest.approx(0.2 + 0.2 + 0.2 * 0.25)
    assert return_variance(world, policy).tolist() == [0] * 7
    stops = return_distribution(world, policy)
    assert (stops.values.tolist(), stops.missing) == ([0.0], 0.0) and stops.probabilities == pytest.approx([1])
    paid = corridor(6)
    with pytest.raises(InputError, match="rewards may be paid for ever"):
        return_distribution(paid, policy)
    variance = return_variance(paid, policy)
    assert variance[[0, 1, 5, 6]].tolist() == [0] * 4 and np.isnan(variance[[2, 3, 4]]).all()
    assert return_distribution(paid, policy, horizon=50).probabilities.sum() == pytest.approx(1)


def test_noise_for_ever_has_an_infinite_variance() -> None:
    world = corridor(6, step=0).to_toml().replace("[cells]", "[reward]\nstep = { mean = 0, std = 1 }\n\n[cells]")
    world = World.from_toml(world)
    policy = always(world, "left")
    policy[4:6] = [[0, 1], [1, 0]]
    policy[3] = [0.5, 0.5]
    variance = return_variance(world, policy)
    assert variance[1:].tolist()[2:5] == [np.inf] * 3 and variance[[1, 2]] == pytest.approx([1, 2])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"horizon": 0}, "horizon: found 0"),
        ({"missing": 0.0}, "missing: found 0"),
        ({"start": 99}, "start: found 99"),
        ({"most_atoms": 5}, "more than 5 pairs of a state and a sum"),
    ],
)
def test_distributions_that_cannot_be_had_are_refused(arguments: dict, sentence: str) -> None:
    world = load_world("aima_4x3")
    with pytest.raises(InputError, match=sentence):
        return_distribution(world, coin(world), **arguments)


def test_episodes_that_go_on_too_long_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlgrid.analysis.return_distribution.MOST_STEPS", 100)
    rare = 2.0**-30
    model = TabularModel.from_arrays(
        [[[1 - rare, rare]], [[0.0, 1.0]]], [[rare], [0.0]], terminal=[False, True], discount=1
    )
    with pytest.raises(InputError, match="missing: 1 is left after 100 steps; allowed: a larger missing, or a horizon"):
        return_distribution(model, np.ones((2, 1)))


def test_bad_cells_and_noise_are_refused() -> None:
    world = load_world("noisy_3x3")
    for cells in ([9], [-1], [0.5], [[1]], [True]):
        with pytest.raises(InputError, match="cells: found"):
            end_probability(world, coin(world), cells)
    noisy = World.from_toml('actions = ["stay"]\nmap = "S"\n[reward]\nstep = { mean = 0, std = 1 }')
    with pytest.raises(InputError, match="normal noise"):
        return_distribution(noisy, [[1.0]])
    with pytest.raises(InputError, match="policy: found shape"):
        rlgrid.occupancy(world, [[1.0]])
