"""Planning against independent answers: linear programming, rational arithmetic, dense arrays, Gymnasium."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from methods import STATIONARY
from numpy.typing import NDArray
from random_models import error, fractions_of, random_model, rational_optimum, solve_rational
from scipy.optimize import linprog

from rlgrid.errors import InputError
from rlgrid.models.model import TabularModel
from rlgrid.planning.evaluation import evaluate_exact, evaluate_policy
from rlgrid.planning.solve import solve
from rlgrid.worlds.world import load_world

Floats = NDArray[np.float64]


@pytest.mark.parametrize("seed", range(50))
def test_linear_programming_agrees(seed: int) -> None:
    """min sum v subject to v >= r + discount P v has v* as its solution."""
    P, R, available, model = random_model(seed)
    n = len(P)
    rows = (0.9 * P - np.eye(n)[:, None, :])[available]
    v = linprog(np.ones(n), A_ub=rows, b_ub=-R[available], bounds=(None, None), method="highs").x
    for method in STATIONARY:
        plan = solve(model, method)
        assert np.allclose(plan.v, v, rtol=0, atol=1e-7)
        assert np.allclose(evaluate_exact(model, plan.policy), plan.v, rtol=0, atol=1e-7)
        assert (np.isneginf(plan.q) == ~available).all()
        assert not (plan.optimal_actions & ~available).any()


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize(("discount", "tol"), [(0.9, 1e-8), (0.9, 1e-2), (0.999, 1e-8), (0.0, 1e-12)])
def test_the_bound_is_never_violated(discount: float, tol: float, epsilon: float) -> None:
    ratios = []
    for seed in range(15):
        model = random_model(seed, n=5).model
        exact = rational_optimum(model, discount, epsilon)
        for method in STATIONARY:
            plan = solve(model, method, discount=discount, tol=tol, epsilon=epsilon)
            true = error(plan.v, exact)
            assert true <= Fraction(plan.bound) <= Fraction(tol)
            ratios.append(plan.bound / (10 * float(true) + tol))
    assert np.median(ratios) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_the_bound_is_never_violated_at_discount_1(epsilon: float) -> None:
    """Every action ends with a probability of at least 1/11, or costs something."""
    certified = 0
    for seed in range(40):
        P, R, available, _ = random_model(seed, n=5)
        P[..., -1] += 0.1 * (seed % 2)
        P /= np.maximum(P.sum(axis=2, keepdims=True), 1)
        P[..., -1] += 1 - P.sum(axis=2)
        R = -np.abs(R) - 0.1
        terminal = np.arange(5) == 4
        model = TabularModel.from_arrays(P, R, terminal=terminal, available=available, discount=1)
        try:
            exact = rational_optimum(model, 1.0, epsilon) if seed % 2 else None
            for method in STATIONARY:
                plan = solve(model, method, epsilon=epsilon)
                exact = exact or rational_values(model, plan.policy)
                assert error(plan.v, exact) <= plan.bound
                certified += plan.bound < 1e-8
        except InputError as refusal:
            assert "minus infinity" in str(refusal)
    assert certified > 60


def rational_values(model: TabularModel, policy: Floats) -> list[Fraction]:
    """v_pi of the stored numbers at discount 1."""
    n = model.n_states
    matrix, right = [[Fraction(int(s == t)) for t in range(n)] for s in range(n)], [Fraction(0)] * n
    for s, actions in model.P.items():
        for a, row in actions.items():
            for p, t, r, end in row:
                right[s] += Fraction(float(policy[s, a])) * Fraction(p) * Fraction(r)
                matrix[s][t] -= Fraction(float(policy[s, a])) * Fraction(p) * (not end)
    return solve_rational(matrix, right)


@pytest.mark.parametrize("seed", range(10))
def test_optimal_actions_hold_every_optimal_action(seed: int) -> None:
    """Also at a coarse tolerance; at a fine one they are exactly the optimal ones."""
    model = random_model(seed, n=5).model
    exact = rational_optimum(model, 0.9)
    rows, gamma = fractions_of(model), Fraction(0.9)
    optimal = np.zeros_like(model.available)
    for s, v in enumerate(exact):
        q = [sum(p * (r + gamma * (not end) * exact[t]) for p, t, r, end in row) for row in rows[s]]
        optimal[s, model.available[s]] = [value == v for value in q]
    for method in STATIONARY:
        assert (solve(model, method, tol=0.1).optimal_actions | ~optimal).all()
        assert (solve(model, method, tol=1e-10).optimal_actions == optimal).all()


def test_ties_are_marked_and_the_first_action_is_taken() -> None:
    plan = solve(load_world("zhao_5x5"))
    assert plan.optimal_actions[18].tolist() == [False, False, False, True, False]
    assert plan.optimal_actions[12].tolist() == [False, False, True, False, False]
    corridor = TabularModel.from_arrays(np.ones((1, 3, 1)), [[1.0, 1.0, 0.0]], discount=0.5)
    plan = solve(corridor)
    assert plan.optimal_actions.tolist() == [[True, True, False]]
    assert plan.policy.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_epsilon_soft_is_the_optimum_of_the_mixed_model(seed: int) -> None:
    P, R, available, model = random_model(seed)
    epsilon = 0.25
    uniform = available / available.sum(axis=1, keepdims=True)
    mixed_P = (1 - epsilon) * P + epsilon * np.einsum("sa,sat->st", uniform, P)[:, None, :]
    mixed_R = (1 - epsilon) * R + epsilon * (uniform * R).sum(axis=1, keepdims=True)
    # An extra state that absorbs takes what ends.
    n = len(P)
    full = np.zeros((n + 1, 3, n + 1))
    full[:n, :, :n], full[n, :, n] = mixed_P, 1
    full[:n, :, n] = 1 - mixed_P.sum(axis=2)
    full[full < 1e-12] = 0
    terminal = np.arange(n + 1) == n
    mixed = TabularModel.from_arrays(
        full, np.vstack([mixed_R, np.zeros((1, 3))]), terminal=terminal, available=np.vstack([available, [[True] * 3]])
    )
    expected = solve(mixed, "policy_iteration", discount=0.9)
    for method in STATIONARY:
        plan = solve(model, method, epsilon=epsilon)
        assert np.allclose(plan.v, expected.v[:n], rtol=0, atol=1e-7)
        assert np.allclose((plan.policy * np.where(available, plan.q, 0)).sum(axis=1), plan.v, rtol=0, atol=1e-7)
        assert np.allclose(plan.policy[available], np.maximum(plan.policy, epsilon * uniform)[available])


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
@pytest.mark.parametrize("horizon", [1, 2, 17])
def test_backward_induction(horizon: int, epsilon: float) -> None:
    P, R, available, model = random_model(3)
    uniform = available / available.sum(axis=1, keepdims=True)
    v = np.zeros(len(P))
    for _ in range(horizon):
        q = np.where(available, R + 0.9 * P @ v, -np.inf)
        v = (1 - epsilon) * q.max(axis=1) + epsilon * (uniform * np.where(available, q, 0)).sum(axis=1)
    seen: list[int] = []
    for observe in (None, lambda k, v: seen.append(k)):
        plan = solve(model, "backward_induction", horizon=horizon, epsilon=epsilon, on_sweep=observe)
        assert np.abs(plan.v - v).max() <= plan.bound <= 1e-12
        assert np.allclose(plan.q, q, rtol=0, atol=1e-12)
    assert seen == list(range(1, horizon + 1))


def test_the_horizon_comes_from_the_model() -> None:
    limited = load_world("frozen_lake_4x4")
    assert solve(limited, "backward_induction").horizon == 100
    assert solve(limited, "backward_induction").v[0] == pytest.approx(0.74419029)
    with pytest.raises(InputError, match="cliff: it has no max_episode_steps"):
        solve(load_world("cliff"), "backward_induction")


def test_environments_with_their_own_table() -> None:
    cliff = solve(gymnasium.make("CliffWalking-v1"), discount=1)
    assert cliff.v[36] == pytest.approx(-13, abs=1e-9)
    lake = solve(gymnasium.make("FrozenLake-v1"), "policy_iteration", discount=1)
    assert abs(lake.v[0] - 14 / 17) <= lake.bound <= 1e-11
    taxi = {method: solve(gymnasium.make("Taxi-v4"), method, discount=0.99) for method in STATIONARY}
    for plan in taxi.values():
        assert np.abs(plan.v - taxi["policy_iteration"].v).max() <= plan.bound + taxi["policy_iteration"].bound
    undiscounted = solve(gymnasium.make("Taxi-v4"), discount=1)
    assert undiscounted.bound < 1e-8
    assert undiscounted.v.max() == pytest.approx(20)


def test_what_is_observed_is_a_copy() -> None:
    world, seen = load_world("zhao_5x5"), []
    plan = solve(world, on_sweep=lambda k, v: seen.append((k, v)))
    for _, v in seen:
        v.fill(np.nan)
    again = solve(world)
    assert (plan.v == again.v).all()
    assert plan.iterations == again.iterations == len(seen) == seen[-1][0]


def test_policy_iteration_reports_the_values_of_its_policies() -> None:
    world, seen = load_world("zhao_5x5"), []
    solve(world, "policy_iteration", on_sweep=lambda k, v: seen.append(v))
    assert np.allclose(seen[0], evaluate_exact(world, np.full((25, 5), 0.2)))
    assert all((after >= before - 1e-9).all() for before, after in pairwise(seen))


def test_one_evaluation_sweep_is_value_iteration() -> None:
    model = random_model(1).model
    by_value = solve(model)
    truncated = solve(model, "truncated_policy_iteration", evaluation_sweeps=1)
    assert abs(truncated.iterations - by_value.iterations) <= 2
    assert np.allclose(truncated.v, by_value.v, rtol=0, atol=2e-8)


def test_evaluation_by_sweeps_is_certified() -> None:
    for seed in range(10):
        model = random_model(seed).model
        uniform = model.available / model.available.sum(axis=1, keepdims=True)
        exact = evaluate_exact(model, uniform)
        for tol in (1e-2, 1e-6, 1e-10):
            assert np.abs(evaluate_policy(model, uniform, "sweeps", tol=tol).v - exact).max() <= tol


@pytest.mark.parametrize("method", STATIONARY)
def test_what_float64_cannot_certify(method: str) -> None:
    with pytest.raises(InputError, match="zhao_5x5: tol 1e-15 cannot be certified in float64; allowed: at least"):
        solve(load_world("zhao_5x5"), method, tol=1e-15)
    with pytest.raises(InputError, match="cannot be certified"):
        solve(load_world("zhao_5x5"), method, tol=1e-11, discount=0.999)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "value_iterration"}, 'method: found "value_iterration", did you mean "value_iteration"? Allowed: '),
        ({"tol": 0}, "tol: found 0; allowed: above 0"),
        ({"tol": -1e-8}, "tol: found -1e-08; allowed: above 0"),
        ({"tol": float("nan")}, "tol: found nan; allowed: above 0"),
        ({"epsilon": 1.5}, "epsilon: found 1.5; allowed: 0 to 1"),
        ({"epsilon": float("nan")}, "epsilon: found nan; allowed: 0 to 1"),
        ({"discount": -0.1}, "discount: found -0.1; allowed: 0 to 1"),
        ({"discount": "0.9"}, 'discount: found "0.9"; allowed: 0 to 1'),
        ({"max_sweeps": 2.5}, "max_sweeps: found 2.5; allowed: a whole number of at least 1"),
        ({"discount": float("nan")}, "discount: found nan; allowed: 0 to 1"),
        ({"max_sweeps": 0}, "max_sweeps: found 0; allowed: a whole number of at least 1"),
        ({"max_sweeps": 3}, "max_sweeps: not settled after 3; allowed: more"),
        ({"method": "policy_iteration", "max_sweeps": 1}, "max_sweeps: not settled after 1"),
        ({"method": "truncated_policy_iteration", "evaluation_sweeps": 0}, "evaluation_sweeps: found 0; allowed"),
        ({"horizon": 3}, 'horizon: found 3 with method "auto"; allowed: with "backward_induction"'),
        ({"method": "backward_induction", "horizon": 0}, "horizon: found 0; allowed: a whole number of at least 1"),
    ],
)
def test_bad_arguments_get_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        solve(load_world("zhao_5x5"), **options)
    assert str(error.value).startswith(sentence)


def test_rewards_beyond_all_bounds() -> None:
    model = TabularModel.from_arrays(np.ones((1, 1, 1)), [[1e300]], discount=0.9, name="rich")
    with pytest.raises(InputError, match=r"rich: a reward is as large as 1e\+300; allowed: up to 1e150"):
        solve(model)


def test_policies_that_are_none() -> None:
    world = load_world("zhao_2x2")
    with pytest.raises(InputError, match="policy: found shape"):
        evaluate_exact(world, [[1.0, 0.0]])
    with pytest.raises(InputError, match=r"allowed: probabilities of available actions"):
        evaluate_policy(world, np.full((4, 5), 0.5))


def test_discount_0_and_plain_lists() -> None:
    assert solve(load_world("zhao_5x5"), discount=0).iterations == 1
    assert json.dumps(solve(load_world("zhao_2x2")).v.round(6).tolist()) == "[9.0, 10.0, 10.0, 10.0]"
