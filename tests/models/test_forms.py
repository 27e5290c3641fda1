"""Models in the forms of other libraries: what is read is what was meant, and what is written solves to the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.sparse import coo_matrix, csc_array, csr_array, csr_matrix

from rlgrid import InputError, Sweep, TabularModel, solve
from rlgrid.models.tables import Tables
from tests.random_models import random_model


def dense(seed: int, n: int = 7, n_actions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Transition probabilities [S, A, S], about half of them 0, and rewards [S, A, S]."""
    rng = np.random.default_rng(seed)
    weight = rng.random((n, n_actions, n)) * (rng.random((n, n_actions, n)) < 0.5)
    weight[:, :, 0] += 0.01
    return weight / weight.sum(axis=2, keepdims=True), rng.normal(size=(n, n_actions, n))


def assert_same(one: Tables, other: Tables) -> None:
    """The same outcomes in the same order, whatever their codes."""
    assert np.array_equal(one.first, other.first) and np.array_equal(one.next_state, other.next_state)
    for name in ("probability", "reward", "terminated"):
        columns = [getattr(t, name)[t.code] for t in (one, other)]
        assert np.array_equal(*columns), name
    assert np.array_equal(one.start_state, other.start_state)


def shuffled_pairs(P: np.ndarray, R: np.ndarray) -> TabularModel:
    order = np.random.default_rng(1).permutation(P.shape[0] * P.shape[1])
    state, action = np.divmod(order, P.shape[1])
    rows, rewards = P.reshape(-1, len(P))[order], R.reshape(-1, len(P))[order]
    return TabularModel.from_pairs(csr_array(rows), rewards, state, action)


def shuffled_columns(P: np.ndarray, R: np.ndarray) -> TabularModel:
    s, a, t = np.nonzero(P)
    order = np.random.default_rng(1).permutation(len(s))
    s, a, t = s[order], a[order], t[order]
    return TabularModel.from_transitions(s, a, t, P[s, a, t], R[s, a, t])


FORMS: dict[str, Callable[[np.ndarray, np.ndarray], TabularModel]] = {
    "array of matrices": lambda P, R: TabularModel.from_matrices(P.transpose(1, 0, 2), R.transpose(1, 0, 2)),
    "list of matrices": lambda P, R: TabularModel.from_matrices(
        [csc_array(P[:, a]) for a in range(P.shape[1])], [csr_matrix(R[:, a]) for a in range(P.shape[1])]
    ),
    "object array of matrices": lambda P, R: TabularModel.from_matrices(
        np.array([*(csr_matrix(P[:, a]) for a in range(P.shape[1])), None], object)[:-1], R.transpose(1, 0, 2)
    ),
    "rows": lambda P, R: TabularModel.from_pairs(csr_array(P.reshape(-1, len(P))), coo_matrix(R.reshape(-1, len(P)))),
    "dense rows": lambda P, R: TabularModel.from_pairs(P.reshape(-1, len(P)), R.reshape(-1, len(P))),
    "pairs in another order": shuffled_pairs,
    "columns in another order": shuffled_columns,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_makes_the_model_of_the_dense_arrays(form: str) -> None:
    for seed in range(5):
        P, R = dense(seed)
        assert_same(FORMS[form](P, R).tables, TabularModel.from_arrays(P, R).tables)


@pytest.mark.parametrize("reward", ["of a state", "of a state and action"])
def test_rewards_that_do_not_depend_on_the_next_state(reward: str) -> None:
    P, _ = dense(3)
    R = np.random.default_rng(0).normal(size=P.shape[:1] if reward == "of a state" else P.shape[:2])
    table = np.broadcast_to(R.reshape(len(P), -1), P.shape[:2])
    expected = TabularModel.from_arrays(P, table).tables
    assert_same(TabularModel.from_matrices(P.transpose(1, 0, 2), R).tables, expected)
    assert_same(TabularModel.from_pairs(csr_array(P.reshape(-1, len(P))), table.ravel()).tables, expected)
    assert_same(TabularModel.from_pairs(csr_array(P.reshape(-1, len(P))), table).tables, expected)


def test_the_order_of_the_axes_is_never_guessed() -> None:
    """[A, S, S] where [S, A, S] is meant, or the other way round, is told or read as the name of the method says."""
    P, _ = dense(0, n=4, n_actions=3)
    with pytest.raises(
        InputError, match=r"allowed: P \[S, A, S\] .*; P \[A, S, S\] goes to TabularModel.from_matrices"
    ):
        TabularModel.from_arrays(P.transpose(1, 0, 2), np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"allowed: a matrix \[S, S\] of probabilities for each action"):
        TabularModel.from_matrices(P, np.zeros((4, 3)))
    square, _ = dense(0, n=3, n_actions=3)
    one, other = (
        TabularModel.from_arrays(square, np.zeros((3, 3))),
        TabularModel.from_matrices(square, np.zeros((3, 3))),
    )
    assert [p for p, *_ in one.P[0][1]] == square[0, 1][square[0, 1] > 0].tolist()
    assert [p for p, *_ in other.P[1][0]] == square[0, 1][square[0, 1] > 0].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_read_back(seed: int) -> None:
    model = random_model(seed, n=8).model
    again = TabularModel.from_transitions(*model.to_transitions(), start=model.start)
    assert_same(again.tables, model.tables)
    assert np.array_equal(again.terminal, model.terminal)
    pairs = TabularModel.from_pairs(*model.to_pairs(), terminal=model.terminal, start=model.start)
    assert np.array_equal(pairs.available, model.available)
    assert np.abs(solve(pairs, discount=0.9).v - solve(model, discount=0.9).v).max() <= 2e-8


@pytest.mark.parametrize("seed", range(5))
def test_quantecon_finds_the_same_values(seed: int) -> None:
    from quantecon.markov import DiscreteDP

    model = random_model(seed, n=8).model
    P, R, state, action = model.to_pairs()
    found = DiscreteDP(R, csr_matrix(P), 0.9, state, action).solve(method="policy_iteration")
    assert np.abs(found.v - solve(model, discount=0.9, tol=1e-10).v).max() < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_matrices_are_the_dense_ones(seed: int) -> None:
    P, R = dense(seed)
    matrices, rewards = TabularModel.from_arrays(P, R).to_matrices()
    assert np.array_equal(np.stack([m.toarray() for m in matrices], axis=1), P)
    assert rewards == pytest.approx((P * R).sum(axis=2), abs=1e-15)
    again = TabularModel.from_matrices(matrices, rewards)
    assert np.abs(solve(again, discount=0.9).v - solve(TabularModel.from_arrays(P, R), discount=0.9).v).max() < 2e-8


def test_ends_in_states_that_are_not_terminal_lead_to_one_more_state() -> None:
    """State 1 is entered with and without an end."""
    columns = [0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 1], [0.25, 0.75, 1.0, 1.0], [8.0, 0.0, 1.0, 2.0]
    model = TabularModel.from_transitions(*columns, [True, False, False, False])
    assert not model.terminal.any()
    pairs = model.to_pairs()
    assert pairs.P.toarray().tolist() == [[0, 0.75, 0.25], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert (pairs.R.tolist(), pairs.state.tolist()) == ([2.0, 1.0, 2.0, 0.0, 0.0], [0, 1, 1, 2, 2])
    v = solve(TabularModel.from_pairs(*pairs), discount=0.5).v
    assert v == pytest.approx([*solve(model, discount=0.5).v, 0.0], abs=1e-7)
    with pytest.raises(InputError, match="action 1 is not available in state 0, which matrices cannot say"):
        model.to_matrices()


def test_an_empty_row_and_a_missing_pair_are_not_available() -> None:
    P = csr_array(np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.5, 0.5]]))
    assert TabularModel.from_pairs(P, np.zeros(4)).available.tolist() == [[True, False], [True, True]]
    model = TabularModel.from_matrices([np.eye(2), np.eye(2)], [1.0, 2.0], available=[[True, False], [True, True]])
    assert model.available.tolist() == [[True, False], [True, True]]


def test_states_of_terminal_end_the_episode() -> None:
    model = TabularModel.from_matrices([[[0.0, 1.0], [0.3, 0.7]]], [1.0, 9.0], terminal=[False, True])
    assert model.P == {0: {0: [(1.0, 1, 1.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}}


# Rows that do not add up to 1


def float32_rows() -> np.ndarray:
    P = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]], np.float32)
    assert abs(float(P[0].astype(float).sum()) - 1) > 1e-9
    return P


@pytest.mark.parametrize(
    "build",
    [
        lambda P, **how: TabularModel.from_arrays(P[:, None], np.zeros((3, 1)), name="model", **how),
        lambda P, **how: TabularModel.from_matrices([P], np.zeros(3), name="model", **how),
        lambda P, **how: TabularModel.from_pairs(csr_array(P), np.zeros(3), name="model", **how),
        lambda P, **how: TabularModel.from_transitions(
            *np.nonzero(P)[:1], np.zeros(7, int), *np.nonzero(P)[1:], P[np.nonzero(P)], np.zeros(7), **how
        ),
    ],
)
def test_tables_of_float32_are_refused_with_an_offer(build: Callable[..., TabularModel]) -> None:
    P = float32_rows()
    off = abs(float(P[0].astype(float).sum()) - 1)
    with pytest.raises(InputError, match=r"^model: the outcomes of state 0, action 0 add up to") as error:
        build(P)
    assert f"which is {off:.3g} off" in str(error.value)
    assert "allowed: 1, or normalize=True, which divides each row by its sum" in str(error.value)
    model = build(P, normalize=True)
    row = P[0].astype(float)
    assert [p for p, *_ in model.P[0][0]] == (row / row.sum()).tolist()


def test_a_toy_text_table_is_normalised_on_request() -> None:
    env: Any = gym.Env()
    env.observation_space, env.action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(1)
    env.P = {0: {0: [(0.5, 0, 1.0, False), (0.5000001, 1, 1.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}}
    with pytest.raises(InputError, match=r"add up to 1\.0000001, which is 1e-07 off .* normalize=True"):
        TabularModel.from_env(env)
    assert sum(p for p, *_ in TabularModel.from_env(env, normalize=True).P[0][0]) == pytest.approx(1, abs=1e-15)


# Bad input

EYE = csr_array(np.eye(2))


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: TabularModel.from_matrices(EYE, [0.0, 0.0]), r"found P \(2, 2\); allowed: a matrix \[S, S\]"),
        (lambda: TabularModel.from_matrices([], [0.0]), "found P with matrices"),
        (lambda: TabularModel.from_matrices(7, [0.0]), "found P 7"),
        (lambda: TabularModel.from_matrices([EYE, np.ones((2, 3))], [0.0]), r"matrices \[\(2, 2\), \(2, 3\)\]"),
        (lambda: TabularModel.from_matrices([EYE], [0.0, 0.0, 0.0]), r"found R \(3,\); allowed: rewards \[S\]"),
        (lambda: TabularModel.from_matrices([EYE], [0.0, np.nan]), "the reward of state 1, action 0 is not finite"),
        (lambda: TabularModel.from_matrices([EYE * np.inf], [0.0, 0.0]), "a probability of state 0, action 0 is"),
        (lambda: TabularModel.from_matrices([[["a"]]], [0.0]), r"P\[0\]: found"),
        (lambda: TabularModel.from_matrices([EYE], [0.0, 0.0], available=[[True]]), r"found available \(1, 1\)"),
        (lambda: TabularModel.from_matrices([EYE], [0.0, 0.0], terminal=[True]), r"terminal: found shape \(1,\)"),
        (lambda: TabularModel.from_pairs(np.ones((3, 2)), np.zeros(3)), r"found P \(3, 2\); allowed: \[S \* A, S\]"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(3)), r"found R \(3,\); allowed: rewards \[2\]"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(2), [0, 1]), "found state or action alone"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(2), [0, 0], [1, 1]), "state 0, action 1 has two rows"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(2), [0, 2], [0, 0]), "state: found 2; allowed: below 2"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(2), [0.5, 1], [0, 0]), "state: found float64"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(2), [0, -1], [0, 0]), "state: found -1; allowed: 0 to"),
        (lambda: TabularModel.from_pairs(EYE, np.zeros(2), [0, 1], [0, 2**40]), "action: found 1099511627776"),
        (lambda: TabularModel.from_transitions([], [], [], [], []), "found no transitions"),
        (lambda: TabularModel.from_transitions([0], [0], [2**40], [1.0], [0.0]), "next_state: found 1099511627776"),
        (lambda: TabularModel.from_transitions([0], [0], [2**30], [1.0], [0.0]), "found the state 1073741824 in 1"),
        (lambda: TabularModel.from_transitions([0], [2**30], [3], [1.0], [0.0], n_states=4), "4 states and 1,073"),
        (lambda: TabularModel.from_transitions([0], [0], [1], [1.0], [0.0], n_states=1), "found the state 1; allowed"),
        (lambda: TabularModel.from_transitions([0], [0], [0], [1.0, 2.0], [0.0]), r"probability: found shape \(2,\)"),
        (
            lambda: TabularModel.from_transitions([0], [0], [0], [-1.0], [0.0]),
            "a probability of state 0, action 0 is -1",
        ),
        (lambda: TabularModel.from_transitions([0, 0], [0, 0], [0, 1], [0.5, 0.5], [0, 0]), "state 1 has no available"),
    ],
)
def test_what_is_no_model_is_told_in_one_sentence(build: Callable[[], TabularModel], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^model: .*{sentence}") as error:
        build()
    assert "\n" not in str(error.value)


def test_a_huge_state_number_in_a_batch_is_refused_before_anything_is_allocated() -> None:
    batch = Sweep(random_model(0).model).batch.copy()
    batch.next_state[3] = 2**40
    with pytest.raises(InputError, match=r"^batch: next_state has the value 1099511627776"):
        TabularModel.from_batch(batch)
    batch.next_state[3], batch.action[0] = 0, 2**40
    with pytest.raises(InputError, match=r"^batch: action has the value 1099511627776"):
        TabularModel.from_batch(batch)
    batch.action[0] = 0
    with pytest.raises(InputError, match=r"^batch: found 1,099,511,627,776 states and"):
        TabularModel.from_batch(batch, n_states=2**40)


# How outcomes are stored


def test_outcomes_that_hardly_repeat_are_stored_in_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    n, k = 20_000, 4
    to, p = rng.integers(0, n, (n, k)), rng.dirichlet(np.ones(k), n)
    state = np.repeat(np.arange(n), k)
    columns = state, np.zeros(n * k, int), to.ravel(), p.ravel(), np.repeat(rng.random(n), k)
    tables = TabularModel.from_transitions(*columns).tables
    assert np.array_equal(tables.code, np.arange(len(tables.next_state)))
    again = TabularModel.from_transitions(*(column.copy() for column in columns)).tables
    assert_same(again, tables)
    few = TabularModel.from_transitions(*columns[:3], np.full(n * k, 1 / k), np.zeros(n * k)).tables
    assert few.code.dtype == np.uint16 and len(few.probability) <= k


def test_the_arrays_given_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    columns = [np.array(c) for c in ([1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [1.0, 0.25, 0.25, 0.5], [1.0, 2, 2, 2])]
    kept = [column.copy() for column in columns]
    TabularModel.from_transitions(*columns)
    assert all(np.array_equal(one, other) for one, other in zip(columns, kept, strict=True))
    P = csr_matrix(rng.dirichlet(np.ones(3), 6))
    P.indices[:3], P.data[:3] = P.indices[2::-1].copy(), P.data[2::-1].copy()  # in no order
    before = P.indices.copy(), P.data.copy()
    TabularModel.from_pairs(P, np.zeros(6))
    assert np.array_equal(P.indices, before[0]) and np.array_equal(P.data, before[1])
