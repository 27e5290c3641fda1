"""All methods agree to within their certificates, with SciPy's linear program, and with QuantEcon's DiscreteDP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods import EVERY_WAY, solve_by
from numpy.typing import NDArray
from random_models import random_model
from random_worlds import examples, worlds
from scipy.optimize import linprog

from rlgrid import InputError, TabularModel, World, solve
from rlgrid.planning.evaluation import evaluate_exact
from rlgrid.planning.graph import rows_at
from rlgrid.planning.linear_program import basic_policy
from rlgrid.planning.plan import Plan

Floats = NDArray[np.float64]

DISCOUNTS = st.sampled_from([0.0, 0.5, 0.9, 0.99])


def dense(model: TabularModel) -> tuple[Floats, Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Mean rewards [L], probabilities of going on [L, S], states [L] and actions [L] of the available pairs."""
    pairs = [(s, a, row) for s, actions in model.P.items() for a, row in actions.items() if row]
    R, P = np.zeros(len(pairs)), np.zeros((len(pairs), model.n_states))
    for i, (_, _, row) in enumerate(pairs):
        for p, t, r, end in row:
            R[i] += p * r
            P[i, t] += p * (not end)
    return R, P, np.array([s for s, _, _ in pairs]), np.array([a for _, a, _ in pairs])


def by_linear_program(model: TabularModel, discount: float) -> Floats:
    """min sum v subject to v >= r + discount P v."""
    R, P, state, _ = dense(model)
    v = linprog(
        np.ones(model.n_states),
        A_ub=discount * P - np.eye(model.n_states)[state],
        b_ub=-R,
        bounds=(None, None),
        method="highs",
    ).x
    return np.asarray(v)


def by_quantecon(model: TabularModel, discount: float) -> Floats:
    """One more state, which absorbs and pays nothing, takes what ends."""
    markov = pytest.importorskip("quantecon.markov")
    R, P, state, action = dense(model)
    n = model.n_states
    full = np.zeros((len(R) + 1, n + 1))
    full[:-1, :n], full[:-1, n], full[-1, n] = P, np.maximum(0, 1 - P.sum(axis=1)), 1
    problem = markov.DiscreteDP(np.append(R, 0.0), full, discount, np.append(state, n), np.append(action, 0))
    return np.asarray(problem.solve(method="policy_iteration").v[:n])


def assert_agreement(found: dict[str, Plan], others: list[Floats]) -> None:
    """The others' 1e-7 is what HiGHS accepts of a violated inequality, relative to the largest value."""
    assert set(found) == set(EVERY_WAY)
    first = found["exact"]
    finite = np.isfinite(first.v)  # at discount 1 states from which no policy ends are worth minus infinity
    for plan in found.values():
        assert np.abs(plan.v[finite] - first.v[finite]).max() <= plan.bound + first.bound
        assert (plan.v[~finite] == first.v[~finite]).all()
        assert (plan.optimal_actions | ~first.optimal_actions).all()
        assert (plan.optimal_actions & (plan.policy > 0)).any(axis=1).all()
        for v in others:
            assert np.abs(plan.v - v).max() <= plan.bound + 1e-7 * max(1.0, np.abs(v).max())


@pytest.mark.slow
@given(worlds(), DISCOUNTS | st.just(1.0))
@examples(300)
def test_random_worlds(world: World, discount: float) -> None:
    """At discount 1 all find the optimum, or all refuse with the same sentence."""
    model, found, refusals = TabularModel.from_world(world), {}, set()
    for way in EVERY_WAY:
        try:
            found[way] = solve_by(way, model, discount=discount)
        except InputError as refusal:
            refusals.add(str(refusal))
    if discount < 1:
        assert_agreement(found, [by_linear_program(model, discount), by_quantecon(model, discount)])
    elif refusals:
        assert not found and len(refusals) == 1
    else:
        assert_agreement(found, [])


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(1, 4), st.sampled_from([2, 10, 97]), DISCOUNTS)
@examples(300)
def test_random_models(seed: int, n: int, n_actions: int, denominator: int, discount: float) -> None:
    model = random_model(seed, n, n_actions, denominator).model
    found = {way: solve_by(way, model, discount=discount) for way in EVERY_WAY}
    assert_agreement(found, [by_linear_program(model, discount), by_quantecon(model, discount)])


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.0, 0.25])
def test_the_linear_program_itself_finds_the_best_policy(epsilon: float) -> None:
    """Before any improvement: the values of its policy are optimal. A single policy is evaluated afterwards."""
    for seed in range(30):
        model = random_model(seed).model
        choice, pivots = basic_policy(rows_at(model, 0.9), epsilon, model.name)
        policy = epsilon * model.available / model.available.sum(axis=1, keepdims=True)
        policy.ravel()[choice] += 1 - epsilon
        best = solve(model, epsilon=epsilon, tol=1e-11).v
        assert np.allclose(evaluate_exact(model, policy), best, rtol=0, atol=1e-10)
        evaluated: dict[int, Floats] = {}
        plan = solve(model, "linear_programming", epsilon=epsilon, on_sweep=evaluated.__setitem__)
        assert (plan.iterations, list(evaluated)) == (pivots, [1])


@pytest.mark.parametrize("scale", [1e-250, 1e-12, 1e12, 1e100])
def test_the_linear_program_at_any_scale(scale: float) -> None:
    """HiGHS takes 1e20 for infinite and 1e-9 for nothing; rewards reach it divided by the largest."""
    for seed in range(5):
        P, R, available, model = random_model(seed)
        terminal = np.arange(len(P)) == len(P) - 1
        P[..., -1] += 1 - P.sum(axis=2)
        big = TabularModel.from_arrays(P, scale * R, terminal=terminal, available=available)
        plan = solve(big, "linear_programming", discount=0.9, tol=1e-8 * scale)
        assert np.allclose(plan.v / scale, solve(model, discount=0.9).v, rtol=0, atol=1e-7)
