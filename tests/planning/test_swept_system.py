"""Chains that are too large to be eliminated: each entry is as accurate as is claimed, against fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from random_models import solve_rational
from scipy.sparse import csr_array

import rlgrid
from rlgrid import TabularModel, evaluate_policy, generate_world, solve
from rlgrid.errors import InputError
from rlgrid.planning import elimination, swept_system
from rlgrid.planning.swept_system import SweptSystem

Floats = NDArray[np.float64]


def chain(seed: int) -> tuple[Floats, Floats, Floats]:
    """P [S, S], ends [S] and a right side [S], in 64ths; from each state an end can be reached."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    shares = rng.multinomial(63, rng.dirichlet(np.full(n, 0.3)), size=n)
    P = shares / 64.0
    end = np.where(rng.random(n) < 0.5, 0.0, 1 / 64)
    end[rng.integers(n)] = 1 / 64
    P[:, :] += np.eye(n) * (1.0 - P.sum(axis=1) - end)
    reach = np.linalg.matrix_power((P > 0) | np.eye(n, dtype=bool), n)
    end[~(reach @ (end > 0))] += 1 / 64
    P[np.arange(n), P.argmax(axis=1)] -= P.sum(axis=1) + end - 1.0
    return P, end, rng.integers(0, 3, n).astype(np.float64)


def solution(P: Floats, right: Floats) -> list[Fraction]:
    n = len(right)
    matrix = [[Fraction(int(i == j)) - Fraction(float(P[i, j])) for j in range(n)] for i in range(n)]
    return solve_rational(matrix, [Fraction(float(b)) for b in right])


@pytest.mark.slow
@pytest.mark.parametrize("transposed", [False, True])
def test_every_entry_is_within_the_error(transposed: bool) -> None:
    worst = 0.0
    for seed in range(150):
        P, end, right = chain(seed)
        system = SweptSystem(csr_array(P), end, np.ones(len(end), np.bool_))
        x = system.solve_transposed(right) if transposed else system.solve(right)
        exact = solution(P.T if transposed else P, right)
        assert system.error <= 1e-9
        for found, wanted in zip(x.tolist(), exact, strict=True):
            assert abs(Fraction(found) - wanted) <= Fraction(system.error) * wanted, seed
        worst = max(worst, system.error)
    assert worst > 1e-15


def test_states_that_are_not_kept_are_ends() -> None:
    P = np.array([[0.0, 0.5, 0.5], [0.25, 0.5, 0.0], [0.0, 0.0, 1.0]])
    system = SweptSystem(csr_array(P), np.array([0.0, 0.25, 0.0]), np.array([True, True, False]))
    assert np.abs(system.solve(np.ones(3)) - [8 / 3, 10 / 3, 0]).max() < 1e-14
    assert np.abs(system.solve_transposed(np.array([1.0, 0.0, 9.0])) - [4 / 3, 4 / 3, 0]).max() < 1e-14


def test_a_walk_that_hardly_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swept_system, "MOST_ENTRIES", 2**20)
    n = 60
    P = np.diag(np.full(n - 1, 0.9), -1) + np.diag(np.full(n - 1, 0.1), 1)
    P[-1, -1], P[0, 0] = 0.1, 0.0
    walk = SweptSystem(csr_array(P[::-1, ::-1]), 1.0 - P[::-1, ::-1].sum(axis=1), np.ones(n, np.bool_))
    assert walk.solve(np.ones(n)).max() < 100
    away = np.diag(np.full(n - 1, 0.1), -1) + np.diag(np.full(n - 1, 0.9), 1)
    away[-1, -1] = 0.9
    with pytest.raises(InputError, match="takes too long to end"):
        SweptSystem(csr_array(away), 1.0 - away.sum(axis=1), np.ones(n, np.bool_)).solve(np.ones(n))


def test_what_happens_under_a_policy_is_the_same_without_elimination(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, visits, ends, values and variances, of a policy with pits on its way and one that may never end."""
    world = generate_world("obstacles", (14, 17), 3, density=0.2, slip=0.2, step_reward=-0.04)
    model = TabularModel.from_world(world)
    policy = 0.9 * solve(model, discount=0.9).policy + 0.1 * solve(model, discount=0.9).optimal_actions / np.sum(
        solve(model, discount=0.9).optimal_actions, axis=1, keepdims=True
    )
    functions = (rlgrid.expected_steps, rlgrid.end_probability, rlgrid.end_distribution)
    with_discount = (rlgrid.occupancy, rlgrid.return_variance, rlgrid.evaluate_exact)

    def everything() -> list[Floats]:
        found = [np.asarray(function(model, policy)) for function in functions]
        return found + [np.asarray(function(model, policy, discount=1.0)) for function in with_discount]

    eliminated = everything()

    def too_large(*_: object) -> None:
        raise elimination.TooLarge("")

    monkeypatch.setattr(swept_system, "Elimination", too_large)
    for one, other in zip(eliminated, everything(), strict=True):
        finite = np.isfinite(one)
        assert (finite == np.isfinite(other)).all() and finite.sum() > 100
        assert (np.abs(one - other)[finite] <= 1e-10 * np.abs(one)[finite] + 1e-300).all()
    by_sweeps = evaluate_policy(model, policy, "direct", discount=1.0)
    assert by_sweeps.bound < 1e-9


def test_steps_and_ends_of_large_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """By sweeps over blocks, as by elimination; a pit takes some of the episodes."""
    text = 'actions = ["up", "right", "down", "left"]\nmap = """\n' + "S" + "." * 19 + "\n"
    text += "\n".join("." * 20 for _ in range(12)) + "\n" + "." * 10 + "P" + "." * 8 + 'G\n"""\nreward.step = -1\n'
    text += (
        "[cells]\nG = { terminal = true }\nP = { terminal = true }\n[slip]\nturn = { 0 = 0.7, 90 = 0.2, -90 = 0.1 }\n"
    )
    model = TabularModel.from_world(rlgrid.World.from_toml(text))
    policy = solve(model, discount=1, epsilon=0.2).policy
    pit, goal = np.flatnonzero(model.terminal)
    asked = [lambda: rlgrid.expected_steps(model, policy)] + [
        (lambda cells=cells: rlgrid.end_probability(model, policy, cells)) for cells in ([pit], [goal], [pit, goal])
    ]
    eliminated = [ask() for ask in asked]
    monkeypatch.setattr(rlgrid.analysis.markov_chain, "MOST_DIRECT", 10)
    for ask, wanted in zip(asked, eliminated, strict=True):
        found = ask()
        assert np.abs(found - wanted).max() <= 1e-9 * max(1.0, wanted.max())
    assert 0.0 < eliminated[1][0] < 1.0 and (asked[3]() == 1.0).sum() == model.n_states
