"""Exact solutions: against known fractions, an elimination in fractions, and the slow rules of the world file."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_models import FractionRows, fractions_of, random_model, rational_optimum, solve_rational
from random_worlds import examples, worlds
from slow_rules import SlowRules

from rlgrid import InputError, TabularModel, World, load_world, solve
from rlgrid.planning import fractions as rational


def probabilities(model: TabularModel) -> FractionRows:
    """The model's floats as fractions, each row divided by its sum."""
    return [
        [[(p / sum(p for p, *_ in row), t, r, end) for p, t, r, end in row] for row in actions]
        for actions in fractions_of(model)
    ]


def test_frozen_lake_is_worth_14_17ths() -> None:
    plan = solve(load_world("frozen_lake_4x4"), discount=1, exact=True)
    seventeenths = [14, 14, 14, 14, 14, 0, 9, 0, 14, 14, 13, 0, 0, 15, 16, 0]
    assert plan.exact_v == tuple(Fraction(n, 17) for n in seventeenths)
    assert plan.v.tolist() == [n / 17 for n in seventeenths]
    assert 0 < plan.bound < 2.0**-54
    assert (plan.method, plan.discount, plan.iterations) == ("policy_iteration", 1, 1)


def test_numbers_mean_what_they_are_written_as() -> None:
    """A step reward -0.04 is -1/25, a discount 0.9 is 9/10, an epsilon 0.1 is 1/10; an array's 1/3 is its float."""
    corridor = World.from_toml(
        'name = "corridor"\nactions = ["left", "right"]\nmap = """\n..G\n"""\n[reward]\nstep = -0.04\n'
        "[cells]\nG = { terminal = true, enter = 1 }"
    )
    plan = solve(corridor, discount=0.9, exact=True)
    assert plan.exact_v == (Fraction(-1, 25) + Fraction(9, 10), 1, 0)
    soft = solve(corridor, discount=0.9, exact=True, epsilon=0.1).exact_v
    left, right = Fraction(1, 20), Fraction(19, 20)
    assert soft is not None
    assert soft[1] == left * (Fraction(-1, 25) + Fraction(9, 10) * soft[0]) + right
    assert soft[0] == Fraction(-1, 25) + Fraction(9, 10) * (left * soft[0] + right * soft[1])
    lake = solve(gymnasium.make("FrozenLake-v1"), discount=1, exact=True).exact_v
    assert lake is not None and 0 < abs(lake[0] - Fraction(14, 17)) < Fraction(1, 10**15)


@pytest.mark.parametrize("epsilon", ["0", "0.3"])
@pytest.mark.parametrize("discount", ["0", "0.5", "0.9", "0.999"])
def test_elimination_in_fractions_agrees(discount: str, epsilon: str) -> None:
    for seed in range(15):
        model = random_model(seed, n=5).model
        plan = solve(model, discount=float(discount), epsilon=float(epsilon), exact=True)
        expected = rational_optimum(model, Fraction(discount), Fraction(epsilon), probabilities(model))
        assert plan.exact_v == tuple(expected)
        assert plan.v.tolist() == [float(v) for v in expected]
        distance = max(abs(Fraction(v) - w) for v, w in zip(plan.v.tolist(), expected, strict=True))
        assert distance <= Fraction(plan.bound) <= distance * (1 + Fraction(1, 2**50))


@pytest.mark.slow
@given(worlds(), st.sampled_from(["0.5", "0.99"]))
@examples(60)
def test_random_worlds_by_their_rules(world: World, discount: str) -> None:
    """v = max q exactly, with q by the rules of the world file, one by one; below discount 1 only v* does that."""
    plan, rules, gamma = solve(world, discount=float(discount), exact=True), SlowRules(world), Fraction(discount)
    assert plan.exact_v is not None
    for state, v in enumerate(plan.exact_v):
        q = [
            sum(
                (p * (sum(w * x for x, w in pay.values) + gamma * (not end) * plan.exact_v[t]))
                for (t, pay, end), p in rules.row_of(state, action).items()
            )
            for action in world.actions
        ]
        assert v == max(q)
        assert plan.optimal_actions[state].tolist() == [value == v for value in q]
        assert plan.q[state].tolist() == [float(value) for value in q]
        assert plan.policy[state].argmax() == q.index(v)


def one_state(*rewards: float, discount: float = 0.5) -> TabularModel:
    return TabularModel.from_arrays(np.ones((1, len(rewards), 1)), [list(rewards)], discount=discount, name="one")


def test_what_float64_takes_for_a_tie_is_none() -> None:
    nearly = one_state(1, 1 + 2.0**-51)
    assert solve(nearly).optimal_actions.tolist() == [[True, True]]
    plan = solve(nearly, exact=True)
    assert plan.optimal_actions.tolist() == [[False, True]]
    assert plan.policy.tolist() == [[0, 1]]
    assert plan.exact_v == (2 + Fraction(1, 2**50),)
    assert plan.iterations == 2  # float64 was content with the first action


def test_sizes_of_all_orders() -> None:
    for scale in (1e-300, 1e-9, 1e9, 1e140):
        plan = solve(one_state(scale, discount=0.75), tol=1e130, exact=True)
        assert plan.exact_v == (4 * Fraction(scale),)
    assert solve(one_state(0), exact=True).exact_v == (0,)


def random_walk(n: int) -> TabularModel:
    """n cells in a row, left or right with probability 1/2, both ends terminal; the right one pays 1."""
    P = np.zeros((n + 2, 1, n + 2))
    for s in range(1, n + 1):
        P[s, 0, [s - 1, s + 1]] = 0.5
    R = np.zeros(P.shape)
    R[n, 0, n + 1] = 1
    ends = np.isin(np.arange(n + 2), [0, n + 1])
    return TabularModel.from_arrays(P, R, terminal=ends, discount=1, name="walk")


def test_a_long_random_walk() -> None:
    """Gambler's ruin: k / (n + 1) from cell k."""
    values = solve(random_walk(500), exact=True).exact_v
    assert values is not None and values[1:501] == tuple(Fraction(k, 501) for k in range(1, 501))


def test_many_digits() -> None:
    """Solutions of some hundred digits, by the same equations in plain fractions."""
    model = random_model(7, n=12, denominator=997).model
    plan = solve(model, discount=0.95, exact=True)
    assert plan.exact_v is not None
    n, rows = model.n_states, probabilities(model)
    matrix, right = [[Fraction(int(s == t)) for t in range(n)] for s in range(n)], [Fraction(0)] * n
    for s in range(n):
        available = np.flatnonzero(model.available[s]).tolist()
        for p, t, r, end in rows[s][available.index(int(plan.policy[s].argmax()))]:
            right[s] += p * r
            matrix[s][t] -= Fraction("0.95") * p * (not end)
    assert list(plan.exact_v) == solve_rational(matrix, right)
    assert len(str(plan.exact_v[0].denominator)) > 100
    assert "exact_v" not in repr(plan)  # more than 4,300 digits cannot be printed


def test_what_is_too_large() -> None:
    with pytest.raises(InputError, match="walk: exact: found 1,002 states; allowed: up to 1,000"):
        solve(random_walk(1000), exact=True)


def test_what_has_too_many_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rational, "MOST_BITS", 10_000)
    with pytest.raises(InputError, match=r"random 7: exact: its values have more than \d+ digits; allowed: a smaller"):
        solve(random_model(7, n=12, denominator=997).model, discount=0.95, exact=True)


def test_what_rounding_hides_from_float64() -> None:
    """Expected steps of about 3^60: the equations are too close to singular for float64 to approach the solution."""
    n = 60
    P = np.zeros((n + 1, 1, n + 1))
    for s in range(n):
        P[s, 0, [max(s - 1, 0), s + 1]] += [0.75, 0.25]
    model = TabularModel.from_arrays(P, [[-1.0]] * (n + 1), terminal=np.arange(n + 1) == n, discount=1, name="uphill")
    onwards = [4]  # steps from each state to the next
    for _ in range(n - 1):
        onwards.append(4 + 3 * onwards[-1])
    plan = solve(model, exact=True)
    assert plan.exact_v == (*(-sum(onwards[s:]) for s in range(n)), 0)


@pytest.mark.parametrize("method", ["backward_induction", "average_reward"])
def test_methods_that_are_not_exact(method: str) -> None:
    with pytest.raises(InputError, match=f'exact: found it with method "{method}"; allowed: with the methods for a'):
        solve(load_world("zhao_2x2"), method, exact=True)


def test_the_command_line(run: Callable[..., tuple[int, str, str]]) -> None:
    found = json.loads(run("solve", "frozen_lake_4x4", "--discount", "1", "--exact", "--json")[1])
    assert found["exact_v"][:7] == ["14/17"] * 5 + ["0", "9/17"]
    assert run("solve", "maze_50x50", "--exact")[::2] == (
        2,
        "rlgrid: maze_50x50: exact: found 2,500 states; allowed: up to 1,000\n",
    )
