"""Modified policy iteration: its bounds against fractions, its values against other solvers, and what auto takes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from rlgrid import InputError, TabularModel, evaluate_policy, solve
from rlgrid.kernels.policy_chain import Backups, Chain, biconjugate_gradients, row_bounds
from rlgrid.kernels.sweeps import choose_rows, row_values
from rlgrid.models.tables import TIE
from rlgrid.planning import modified_policy_iteration as method
from rlgrid.planning.modified_policy_iteration import backups_of, blocks_by, settled
from rlgrid.planning.problem import Problem
from tests.random_models import error, fractions_of, random_model, rational_optimum, solve_rational

Floats = np.ndarray[Any, np.dtype[np.float64]]


def problem_of(model: TabularModel, discount: float, tol: float = 1e-9, epsilon: float = 0.0, **more: Any) -> Problem:
    return Problem(model, None, discount, None, epsilon, tol, 10_000, None, **more)


def sparse_model(n: int, n_actions: int = 3, n_outcomes: int = 4, near: int = 0, seed: int = 0) -> TabularModel:
    """Random next states, anywhere or within a distance, random probabilities and rewards."""
    rng = np.random.default_rng(seed)
    shape = n, n_actions, n_outcomes
    to = rng.integers(0, n, shape)
    if near:
        to = np.clip(np.arange(n)[:, None, None] + rng.integers(-near, near + 1, shape), 0, n - 1)
    p = rng.dirichlet(np.ones(n_outcomes), shape[:2])
    P = csr_matrix((p.ravel(), to.ravel(), np.arange(0, p.size + 1, n_outcomes)), shape=(n * n_actions, n))
    return TabularModel.from_pairs(P, rng.random(shape[:2]))


def relabelled(model: TabularModel, number: np.ndarray) -> TabularModel:
    """The same model with other numbers for its states."""
    state, action, next_state, probability, reward, ends = model.to_transitions()
    return TabularModel.from_transitions(number[state], action, number[next_state], probability, reward, ends)


def scaled(model: TabularModel, factor: float) -> TabularModel:
    state, action, next_state, probability, reward, ends = model.to_transitions()
    return TabularModel.from_transitions(state, action, next_state, probability, reward * factor, ends)


# Bounds


@pytest.mark.parametrize("discount", [0.0, 0.3, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_bounds_hold_in_fractions(discount: float, epsilon: float) -> None:
    """Models with a terminal state, so that rows add up to less than the discount, missing actions and merged rows.

    The discount is the float's own fraction.
    """
    for seed in range(8):
        model = random_model(seed, n=5).model
        exact = rational_optimum(model, discount, epsilon)
        for tol in (1e-3, 1e-9):
            found = settled(problem_of(model, discount, tol, epsilon))
            assert found is not None
            assert error(found.v, exact) <= Fraction(found.bound)
            size = float(max(abs(x) for x in exact))
            assert found.bound <= max(tol, 1e-13 * (size + 1) / (1 - discount)), "as good as float64 can be"


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e140])
def test_bounds_hold_for_tiny_and_huge_rewards(factor: float) -> None:
    for seed in range(5):
        model = scaled(random_model(seed, n=5).model, factor)
        found = settled(problem_of(model, 0.9, 1e-9 * factor))
        assert found is not None
        assert error(found.v, rational_optimum(model, 0.9)) <= Fraction(found.bound)


def test_bounds_hold_for_any_values() -> None:
    """The theorem, at values that no iteration has made: from the change of all, and from each row's own sum."""
    rng = np.random.default_rng(0)
    for seed in range(10):
        model = random_model(seed, n=5).model
        exact = rational_optimum(model, 0.9)
        v = rng.normal(size=5) * 10.0 ** rng.integers(-3, 3)
        iteration = method._Iteration(problem_of(model, 0.9))
        iteration.v[:] = v
        change = iteration.improve(full=True)
        of_change = method.bounds(iteration.accuracy, iteration.low_total, change)
        of_rows = method.rowwise_bounds(iteration.accuracy, iteration.backups, v, change.size)
        for low, high in (of_change, of_rows):
            assert all(
                Fraction(float(x)) + Fraction(low) <= y <= Fraction(float(x)) + Fraction(high)
                for x, y in zip(v, exact, strict=True)
            )
        assert of_rows[1] - of_rows[0] <= (of_change[1] - of_change[0]) * (1 + 1e-12) + 1e-12


def test_what_is_off_by_a_constant_is_known_at_once() -> None:
    """A model without ends, and values that are all wrong by 1,000: the span of the change is 0."""
    model = sparse_model(50)
    v = solve(model, discount=0.99, tol=1e-10).v
    iteration = method._Iteration(problem_of(model, 0.99))
    iteration.v[:] = v + 1000.0
    low, high = method.bounds(iteration.accuracy, iteration.low_total, iteration.improve(full=True))
    assert low == pytest.approx(-1000, abs=1e-6) and high == pytest.approx(-1000, abs=1e-6)


def test_the_bounds_of_rows_by_hand() -> None:
    """Two rows: q - v = 1 - 0.5 and 0.25, of sums 0.5 and 0.75."""
    begin, first = np.array([0, 1, 2]), np.array([0, 1, 2])
    b = Backups(begin, first, np.array([0, 1], np.int32), *map(np.array, ([0.5, 0.75], [1.0, 0.25], [0.5, 0.75])))
    assert row_bounds(b, np.array([1.0, 0.0])) == (1.0, 1.0)  # 0.5 / 0.5 and 0.25 / 0.25
    assert row_bounds(b, np.array([0.0, 0.0])) == (1.0, 2.0)


@pytest.mark.parametrize("discount", [0.0, 0.9, 1 - 1e-9])
def test_the_values_of_a_given_policy_are_those_of_its_equations_in_fractions(discount: float) -> None:
    for seed in range(6):
        model, rng = random_model(seed, n=5).model, np.random.default_rng(seed)
        policy = rng.random((5, model.n_actions)) * model.available
        policy /= policy.sum(axis=1, keepdims=True)
        found = settled(problem_of(model, discount, weight=policy.ravel()))
        assert found is not None
        matrix = [[Fraction(int(s == t)) for t in range(5)] for s in range(5)]
        right = [Fraction(0)] * 5
        for s, shares in enumerate((policy / policy.sum(axis=1, keepdims=True)).tolist()):
            rows, actions = fractions_of(model)[s], np.flatnonzero(model.available[s])
            total = sum(Fraction(shares[a]) for a in actions)
            for row, a in zip(rows, actions, strict=True):
                for p, t, r, end in row:
                    right[s] += Fraction(shares[a]) / total * p * r
                    matrix[s][t] -= Fraction(shares[a]) / total * Fraction(discount) * p * (not end)
        assert error(found.v, solve_rational(matrix, right)) <= Fraction(found.bound)


# Values


@pytest.mark.parametrize("near", [0, 5])
@pytest.mark.parametrize("discount", [0.5, 0.99, 0.999])
def test_the_values_are_quantecons(near: int, discount: float) -> None:
    from quantecon.markov import DiscreteDP

    model = sparse_model(400, near=near)
    P, R, state, action = model.to_pairs()
    theirs = DiscreteDP(R, csr_matrix(P), discount, state, action).solve(method="policy_iteration")
    plan = solve(model, "modified_policy_iteration", discount=discount, tol=1e-7)
    assert plan.bound <= 1e-7 and np.abs(plan.v - theirs.v).max() <= plan.bound + 1e-9
    assert (plan.policy.argmax(axis=1) == theirs.sigma).mean() > 0.99


@pytest.mark.parametrize("way", ["constant", "blocks", "ordered blocks", "gradients"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_each_way_to_evaluate_leads_to_the_optimum(monkeypatch: pytest.MonkeyPatch, way: str, epsilon: float) -> None:
    """On a local model whose states are numbered in order, or for the search of the graph in none."""
    model = sparse_model(600, near=6)
    if way == "ordered blocks":
        model = relabelled(model, np.random.default_rng(1).permutation(600))
    expected = solve(model, "gauss_seidel", discount=0.95, epsilon=epsilon, tol=1e-9).v
    iteration = method._Iteration(problem_of(model, 0.95, 1e-8, epsilon))
    assert iteration.way == ("constant" if way == "ordered blocks" else "blocks")
    monkeypatch.setattr(method, "PATIENCE", dict.fromkeys(method.PATIENCE, 1000))
    if way in ("constant", "gradients"):
        iteration.blocks, iteration.way = None, way
    if way == "ordered blocks":
        assert iteration._next_way() and iteration.way == way
    found = iteration.settle()
    assert found is not None and found.bound <= 1e-8
    assert np.abs(found.v - expected).max() <= 1.2e-8


def test_blocks_are_as_wide_as_a_step_and_lead_to_their_neighbours() -> None:
    b, _ = backups_of(problem_of(sparse_model(3000, near=50), 0.9))
    blocks = blocks_by(b, np.arange(3000))
    assert blocks is not None
    assert 100 <= len(blocks.size) <= 200 and blocks.size.sum() == 3000
    assert blocks.band.shape[1] <= 2 * 5 + 1
    ring = relabelled(sparse_model(3000, near=50), (np.arange(3000) + 1500) % 3000)
    assert blocks_by(backups_of(problem_of(ring, 0.9))[0], np.arange(3000)) is not None
    scattered = relabelled(sparse_model(3000, near=50), np.random.default_rng(0).permutation(3000))
    assert blocks_by(backups_of(problem_of(scattered, 0.9))[0], np.arange(3000)) is None


def test_biconjugate_gradients_solve_a_system() -> None:
    rng = np.random.default_rng(0)
    P = csr_array(rng.random((40, 40)) * (rng.random((40, 40)) < 0.1))
    P = csr_array(0.9 * P / np.maximum(P.sum(axis=1), 1e-9)[:, None])
    chain = Chain(P.indptr[:-1].astype(np.int64), P.indptr[1:].astype(np.int64), P.indices, P.data, *np.zeros((2, 40)))
    right, x = rng.random(40), np.empty(40)
    assert biconjugate_gradients(chain, right.copy(), x, np.empty((4, 40)), 1e-12, 1000) < 1000
    assert x == pytest.approx(np.linalg.solve(np.eye(40) - P.toarray(), right), rel=1e-9)


@pytest.mark.parametrize("n_states", [1, 2])
def test_the_smallest_models(n_states: int) -> None:
    P = np.zeros((n_states, 1, n_states))
    P[:, 0, -1] = 1.0
    model = TabularModel.from_arrays(P, np.ones((n_states, 1)))
    plan = solve(model, "modified_policy_iteration", discount=0.9)
    assert plan.v == pytest.approx(np.full(n_states, 10.0), abs=1e-8)


def test_at_discount_1_where_it_does_not_settle_value_iteration_does() -> None:
    model = random_model(1, n=8).model
    state, action, next_state, probability, reward, ends = model.to_transitions()
    costs = TabularModel.from_transitions(state, action, next_state, probability, -np.abs(reward) - 0.1, ends)
    plan = solve(costs, "modified_policy_iteration", discount=1)
    assert np.abs(plan.v - solve(costs, "policy_iteration", discount=1).v).max() <= plan.bound + 1e-9


def test_limits_and_reports() -> None:
    model, seen = sparse_model(60), []
    with pytest.raises(InputError, match="max_sweeps: not settled after 2"):
        solve(model, "modified_policy_iteration", discount=0.99, max_sweeps=2)
    plan = solve(model, "modified_policy_iteration", discount=0.99, max_sweeps=2, on_limit="return")
    assert np.abs(plan.v - solve(model, discount=0.99).v).max() <= plan.bound + 1e-8
    solve(model, "modified_policy_iteration", discount=0.99, on_sweep=lambda k, v: seen.append((k, v.shape)))
    assert [k for k, _ in seen] == sorted({k for k, _ in seen}) and seen[0][1] == (60,)


@pytest.mark.parametrize("near", [0, 6])
def test_the_policy_is_the_one_read_off_the_rows(near: int) -> None:
    """Also where actions are alike: the last one is a copy of the first, or better by less than counts."""
    model = sparse_model(6000, near=near)
    state, action, next_state, probability, reward, ends = model.to_transitions()
    copied, better = action == 0, np.where(state % 2 == 0, 0.0, 1e-13)
    columns = [state, action, next_state, probability, reward, ends]
    more = [state, action + 3, next_state, probability, reward + better, ends]
    model = TabularModel.from_transitions(*(np.append(a, b[copied]) for a, b in zip(columns, more, strict=True)))
    plan = solve(model, discount=0.95, tol=1e-7)
    assert plan.method == "modified_policy_iteration"
    choice = np.full(6000, -1)
    rows = problem_of(model, 0.95).rows
    choose_rows(rows, 0.0, plan.v, choice, TIE, 2 * plan.bound)
    assert np.array_equal(plan.policy.argmax(axis=1), choice % 4) and not (choice % 4 == 3).any()
    q = np.empty(len(rows.first) - 1)
    row_values(rows, plan.v, q)
    assert np.abs(plan.q.ravel() - q).max() < 1e-12


# What auto takes


@pytest.mark.parametrize("kind", ["anywhere", "near", "scattered"])
def test_large_models_that_are_no_grid_are_solved_without_a_direct_solve(kind: str) -> None:
    model = sparse_model(4000, near=0 if kind == "anywhere" else 20)
    if kind == "scattered":
        model = relabelled(model, np.random.default_rng(0).permutation(4000))
    plan = solve(model, discount=0.99, tol=1e-6)
    assert plan.method == "modified_policy_iteration" and plan.bound <= 1e-6
    q = solve(model, "gauss_seidel", discount=0.99, tol=1e-6)
    assert np.abs(plan.v - q.v).max() <= plan.bound + q.bound


def test_a_direct_solve_that_fills_in_is_refused_in_one_sentence() -> None:
    model = sparse_model(12_000, n_outcomes=5)
    with pytest.raises(
        InputError, match=r"^a direct solve of these 12,000 equations .*modified_policy_iteration"
    ) as told:
        solve(model, "policy_iteration", discount=0.9)
    assert "\n" not in str(told.value)
    uniform = evaluate_policy(model, "uniform", discount=0.9, tol=1e-6)
    assert uniform.bound <= 1e-6
    swept = evaluate_policy(model, "uniform", "sweeps", discount=0.9, tol=1e-6)
    assert np.abs(uniform.v - swept.v).max() <= uniform.bound + swept.bound


def test_messages_name_states_where_there_is_no_map() -> None:
    P = np.array([[[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]])
    model = TabularModel.from_arrays(P, [[-1.0], [-1.0], [0.0]], terminal=[False, False, True])
    assert model.shape is None and solve(model, discount=0.5).shape is None
    with pytest.raises(InputError, match=r"at discount 1 .* from state 0, state 1: ") as told:
        solve(model, discount=1)
    assert "row" not in str(told.value) and "column" not in str(told.value)
