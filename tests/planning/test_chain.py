"""Values at discount 1 under a policy: entry by entry as in fractions, however unlikely the end."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from random_models import solve_rational
from scipy.sparse import csr_array

from rlgrid import (
    TabularModel,
    World,
    end_distribution,
    end_probability,
    evaluate_exact,
    expected_steps,
    generate_world,
    occupancy,
    return_variance,
)
from rlgrid.errors import InputError
from rlgrid.models.model import as_model
from rlgrid.planning import elimination
from rlgrid.planning.chain import chain_of, undiscounted_values
from rlgrid.planning.elimination import Elimination, elimination_order


def random_chain(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities of going on [S, S] and of ending [S]; from every state an end can be reached, often hardly ever."""
    n = int(rng.integers(2, 10))
    P = rng.random((n, n)) * (rng.random((n, n)) < 0.4)
    P[np.arange(n), (np.arange(n) + 1) % n] += 0.1
    end = np.where(rng.random(n) < 0.4, 10.0 ** rng.uniform(-18, 0, n), 0.0)
    end[0] += 1e-18
    total = P.sum(axis=1) + end
    return P / total[:, None], end / total


def solved_in_fractions(P: NDArray[np.float64], end: NDArray[np.float64], right: NDArray[np.float64]) -> list[Fraction]:
    """x = right + P x with each row divided by its sum."""
    n = len(P)
    rows = [[Fraction(p) for p in row] for row in P.tolist()]
    sums = [sum(row) + Fraction(e) for row, e in zip(rows, end.tolist(), strict=True)]
    A = [[Fraction(int(i == j)) - rows[i][j] / sums[i] for j in range(n)] for i in range(n)]
    return solve_rational(A, [Fraction(r) for r in right.tolist()])


def relative_error(found: NDArray[np.float64], exact: list[Fraction]) -> float:
    return max(float(abs(Fraction(x) - y) / y) for x, y in zip(found.tolist(), exact, strict=True) if y)


@pytest.mark.slow
def test_each_entry_is_accurate_by_itself() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        P, end = random_chain(rng)
        right = rng.random(len(P))
        elimination = Elimination(csr_array(P), end)
        error = relative_error(elimination.solve(right), solved_in_fractions(P, end, right))
        assert error <= min(1e-13, elimination.error)
        steps = solved_in_fractions(P, end, np.ones(len(P)))
        visits = [Fraction(x) for x in elimination.solve_transposed(right).tolist()]
        expected = sum(Fraction(d) * t for d, t in zip(right.tolist(), steps, strict=True))
        assert float(abs(sum(visits) - expected) / expected) < 1e-13


def test_two_sides_of_the_same_equations_agree_on_a_map() -> None:
    """d . (I - P)^-1 1 = sum of (I - P^T)^-1 d, in an order of nested dissection and in another one."""
    model = as_model(generate_world("obstacles", (30, 20), 3))
    policy = model.available / model.available.sum(axis=1, keepdims=True)
    chain = chain_of(model, policy)
    dissected = chain.elimination(~chain.endless)
    plain = Elimination(chain.P, chain.ending, ~chain.endless)
    one = np.ones(model.n_states)
    assert dissected.solve(one) == pytest.approx(plain.solve(one), rel=1e-12)
    assert dissected.solve_transposed(model.start).sum() == pytest.approx(model.start @ dissected.solve(one), rel=1e-12)
    assert sorted(elimination_order(chain.P, model.shape).tolist()) == list(range(600))


def corridor(length: int, slip: str = "") -> World:
    return World.from_toml(
        f'discount = 1\nactions = ["left", "right"]\nmap = "S{"." * (length - 1)}G"\n[reward]\nstep = -1\n'
        f"[cells]\nG = {{ terminal = true }}\n{slip}"
    )


def test_a_corridor_in_which_a_step_hardly_ever_succeeds() -> None:
    world = corridor(3, "[slip]\nturn = { 0 = 0.000000000001, 180 = 0.999999999999 }")
    right = np.tile([0.0, 1.0], (4, 1))
    steps = np.array([1e36, 1e36, 1e36, 0])
    assert expected_steps(world, right) == pytest.approx(steps, rel=1e-9)
    assert evaluate_exact(world, right) == pytest.approx(-steps, rel=1e-9)
    assert end_probability(world, right, [3]).tolist() == [1, 1, 1, 1]
    assert occupancy(world, right) == pytest.approx([1e36, 1e24, 1e12, 0], rel=1e-9)
    assert return_variance(world, right) == pytest.approx(steps**2, rel=1e-9)
    assert end_distribution(world, right) == pytest.approx([0, 0, 0, 1])


def test_walking_away_from_the_goal() -> None:
    """Steps of a birth and death chain, in fractions: h(k) = 1/p + (q/p) h(k - 1) for the way from k to k + 1."""
    n, p, q = 14, Fraction(0.05), Fraction(0.95)
    way = [1 / p]
    for _ in range(n - 1):
        way.append(1 / p + q / p * way[-1])
    away = np.tile([0.95, 0.05], (n + 1, 1))
    assert expected_steps(corridor(n), away)[0] == pytest.approx(float(sum(way)), rel=1e-12)
    assert end_probability(corridor(n), away, [n])[0] == 1


def test_more_steps_than_a_float_can_hold_are_refused_and_a_certain_end_is_certain() -> None:
    away = np.tile([0.95, 0.05], (401, 1))
    for refused in (expected_steps, evaluate_exact, return_variance):
        with pytest.raises(InputError, match=r"the largest float64|cannot tell it from 0"):
            refused(corridor(400), away)
    assert end_probability(corridor(400), away).tolist() == [1.0] * 401
    assert end_probability(corridor(400), away, [400]).tolist() == [1.0] * 401
    assert end_probability(corridor(400), away, [3]).tolist() == [0.0] * 401


def test_a_state_that_never_ends_leaves_the_others_their_values() -> None:
    text = 'discount = 1\nactions = ["left", "right"]\nmap = """\n..\nSG\n"""\n[reward]\nstep = -1\n[cells]\n'
    world = World.from_toml(text + "G = { terminal = true }")
    assert evaluate_exact(world, np.tile([0.0, 1.0], (4, 1))).tolist() == [-np.inf, -np.inf, -1, 0]


def test_infinite_values_of_both_signs_and_none() -> None:
    """From the middle one may come to rest at a loss, at a gain, or at nothing."""
    P = np.zeros((5, 1, 5))
    P[0, 0, [1, 2]] = P[1, 0, [1, 3]] = 0.5  # 0: to 1 or 2; 1: stays or goes to 3
    P[2, 0, 2] = P[3, 0, 3] = P[4, 0, 4] = 1
    found = [
        evaluate_exact(TabularModel.from_arrays(P, [[0], [1], [r2], [r3], [0]]), np.ones((5, 1)), discount=1).tolist()
        for r2, r3 in ((0, 0), (1, 0), (0, -1))
    ]
    assert found[0] == [1, 2, 0, 0, 0]
    assert found[1] == [np.inf, 2, np.inf, 0, 0]
    assert found[2] == [-np.inf, -np.inf, 0, -np.inf, 0]
    both = TabularModel.from_arrays(P, [[0], [1], [1], [-1], [0]])
    values = undiscounted_values(chain_of(both, np.ones((5, 1))))
    assert np.isnan(values.v[0]) and values.v[1:].tolist() == [-np.inf, np.inf, -np.inf, 0] and values.bound == 0


def components_of_sizes(rng: np.random.Generator, sizes: list[int]) -> tuple[csr_array, NDArray[np.float64]]:
    """A chain of rings with a few chords, each of which leads to those before it; in random order."""
    n, begin = sum(sizes), np.cumsum([0, *sizes])
    P = np.zeros((n, n))
    for first, stop in pairwise(begin.tolist()):
        states = np.arange(first, stop)
        P[states, np.roll(states, -1)] = 1.0
        P[rng.choice(states, 2), rng.choice(states, 2)] += 0.5
        P[states, rng.integers(0, stop, stop - first)] += 1e-9
    end = np.where(np.arange(n) % 50 == 0, 1e-12, 0.0)
    total, order = P.sum(axis=1) + end, rng.permutation(n)
    return csr_array((P / total[:, None])[order][:, order]), (end / total)[order]


def test_components_and_panels_of_one_dense_matrix_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    P, end = components_of_sizes(rng, [1, 120, 1, 40, 200, 3])
    right = rng.random(P.shape[0])
    by_components = Elimination(P, end)
    monkeypatch.setattr(elimination, "SMALL", 1000)
    dense = Elimination(P, end)
    assert by_components.error < dense.error < 1e-8
    assert by_components.solve(right) == pytest.approx(dense.solve(right), rel=1e-12)
    assert by_components.solve_transposed(right) == pytest.approx(dense.solve_transposed(right), rel=1e-12)


@pytest.mark.slow
def test_what_fills_in_is_refused_at_once() -> None:
    """A random graph of 20,000 states would take minutes; where each state leads to one other, nothing fills in."""
    rng, n = np.random.default_rng(6), 20_000
    for degree in (1, 5):
        places = np.repeat(np.arange(n), degree), rng.integers(0, n, n * degree)
        P = csr_array((np.full(n * degree, 0.99 / degree), places), shape=(n, n))
        begin = time.process_time()
        if degree == 1:
            steps = Elimination(P, np.full(n, 0.01)).solve(np.ones(n))
            assert steps == pytest.approx(np.full(n, 100.0), rel=1e-12)
        else:
            with pytest.raises(InputError, match="20,000 states fill in"):
                Elimination(P, np.full(n, 0.01))
        assert time.process_time() - begin < 5
