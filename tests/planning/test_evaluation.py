"""Evaluation of policies: bounds and values against fractions, forms of policies, limits, mean rewards."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_models import random_model, solve_rational

from rlgrid import InputError, Plan, TabularModel, World, evaluate_exact, evaluate_policy, load_world, solve

CORRIDOR = """
discount = 1
actions = ["left", "right"]
map = "S..G"
[reward]
step = -1
[cells]
G = { terminal = true }
"""


def values_in_fractions(model: TabularModel, policy: NDArray[np.float64], discount: Fraction) -> list[Fraction]:
    """v_pi by Gaussian elimination in fractions: rows of the model divided by their sums, floats as they are."""
    t, n, n_actions = model.tables, model.n_states, model.n_actions
    left = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    right = [Fraction(0)] * n
    for row in range(n * n_actions):
        s, a = divmod(row, n_actions)
        outcomes = range(t.first[row], t.first[row + 1])
        total = sum((Fraction(float(t.probability[t.code[i]])) for i in outcomes), Fraction(0))
        for i in outcomes:
            c = t.code[i]
            share = Fraction(float(policy[s, a])) * Fraction(float(t.probability[c])) / total
            right[s] += share * Fraction(float(t.reward[c]))
            if not t.terminated[c]:
                left[s][t.next_state[i]] -= discount * share
    return solve_rational(left, right)


@pytest.mark.parametrize("method", ["direct", "sweeps", "sweeps_in_place"])
def test_bounds_hold_against_fractions(method: str) -> None:
    rng = np.random.default_rng(5)
    for seed in range(25):
        model = random_model(seed).model
        policy = rng.dirichlet(np.ones(model.n_actions), model.n_states) * model.available
        policy /= policy.sum(axis=1, keepdims=True)
        discount = float(rng.choice([0.0, 0.5, 0.9, 0.999]))
        plan = evaluate_policy(model, policy, method, discount=discount, tol=1e-7)
        exact = values_in_fractions(model, policy, Fraction(discount))
        error = max(abs(Fraction(float(x)) - y) for x, y in zip(plan.v, exact, strict=True))
        assert error <= Fraction(plan.bound) <= Fraction(1e-7)


def test_all_forms_of_a_policy_mean_the_same() -> None:
    world = load_world("zhao_2x2")
    names = world.actions
    table = np.eye(5)[[1, 2, 1, 4]]
    expected = evaluate_policy(world, table).v
    for form in (
        [1, 2, 1, 4],
        np.array([1, 2, 1, 4], np.int32),
        [[1, 2], [1, 4]],
        [names[a] for a in (1, 2, 1, 4)],
        "→ ↓\n→ •",
        "RD\nRS",
        ["rd", "rs"],
        table.tolist(),
    ):
        assert (evaluate_policy(world, form).v == expected).all(), form
    uniform = evaluate_policy(world, np.full((4, 5), 0.2))
    assert np.abs(evaluate_policy(world, "uniform").v - uniform.v).max() < 1e-12


def test_a_printed_policy_can_be_read_again() -> None:
    from rlgrid.view.text_maps import policy_map

    for name in ("aima_4x3", "zhao_5x5", "frozen_lake_4x4", "cliff"):
        world = load_world(name)
        plan = solve(world, discount=0.9)
        again = evaluate_policy(world, policy_map(world, plan.policy), discount=0.9)
        assert np.abs(again.v - plan.v).max() < 1e-7
        acting = ~TabularModel.from_world(world).terminal
        assert (again.policy == plan.policy)[acting].all()


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ([0, 1], "policy: found 2 actions; allowed: 4, one for each state"),
        ([0, 1, 2, 5], "policy: found action 5 in state 3; allowed: 0 to 4"),
        ([0, 1, 2, -1], "policy: found action -1 in state 3; allowed: 0 to 4"),
        ("UU", 'policy: found a map of 1 rows; allowed: 2, or "uniform"'),
        ("UUU\nUU", "policy: found 3 cells in row 1; allowed: 2"),
        ("UX\nUU", 'policy: row 1, column 2: found "X"'),
        (["up", "down"], 'policy: row 1, column 2: found "p"'),
        (np.full((4, 5), 0.5), "policy: found [0.5, 0.5, 0.5, 0.5, 0.5] in state 0; allowed: probabilities of"),
        (np.full((4, 5), np.nan), "policy: found [nan, nan, nan, nan, nan] in state 0; allowed: probabilities of"),
        ([0.1, 0.2], "policy: found shape (2,); allowed: (4, 5), [S, A]"),
        (None, "policy: found"),
        ({"a": 1}, "policy: found a table; allowed: (4, 5), [S, A]"),
    ],
)
def test_policies_that_are_none(policy: object, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate_policy(load_world("zhao_2x2"), policy)  # type: ignore[arg-type]
    assert str(error.value).startswith(sentence)


def test_unfinished_sweeps_come_with_their_true_bound() -> None:
    world = load_world("sutton_gridworld")
    truth = evaluate_policy(world, "uniform", exact=True)
    best = solve(world, tol=1e-12)
    kept: dict[int, NDArray[np.float64]] = {}
    solve(world, "value_iteration", on_sweep=kept.__setitem__)
    model = TabularModel.from_world(world)
    moves = [model.chain(np.eye(4)[[a] * 25])[0] for a in range(4)]
    for k in (1, 3, 10):
        unfinished = evaluate_policy(world, "uniform", "sweeps", max_sweeps=k, on_limit="return")
        assert unfinished.iterations == k
        assert np.abs(unfinished.v - truth.v).max() <= unfinished.bound < 1000
        for method in ("value_iteration", "gauss_seidel", "truncated_policy_iteration", "prioritized_sweeping"):
            plan = solve(world, method, max_sweeps=k, on_limit="return")
            assert np.abs(plan.v - best.v).max() <= plan.bound < 1000
        assert (solve(world, "value_iteration", max_sweeps=k, on_limit="return").v == kept[k]).all()
        q = model.expected_reward + 0.9 * np.stack([P @ kept[k] for P in moves], axis=1)
        chosen = solve(world, "value_iteration", max_sweeps=k, on_limit="return").policy.argmax(axis=1)
        assert (q[np.arange(25), chosen] >= q.max(axis=1) - 1e-9).all()  # greedy at V_k, not the best one
    first = solve(world, "policy_iteration", max_sweeps=1, on_limit="return")
    assert np.abs(first.v - truth.v).max() < 1e-12
    assert np.abs(first.v - best.v).max() <= first.bound
    gain = solve(world, "average_reward", max_sweeps=3, on_limit="return")
    assert abs(gain.gain - solve(world, "average_reward").gain) <= gain.bound


def test_planning_from_a_given_policy() -> None:
    world = load_world("zhao_5x5")
    seen: list[NDArray[np.float64]] = []
    stay = [4] * world.n_states
    plan = solve(world, "policy_iteration", first_policy=stay, on_sweep=lambda k, v: seen.append(v))
    assert np.abs(seen[0] - evaluate_policy(world, stay).v).max() < 1e-12
    assert np.abs(plan.v - solve(world).v).max() < 1e-7
    with pytest.raises(
        InputError, match='first_policy: found one with method "auto"; allowed: with "policy_iteration"'
    ):
        solve(world, first_policy=stay)
    corridor = World.from_toml(CORRIDOR)
    assert solve(corridor, "policy_iteration", first_policy="RRRR").iterations == 1
    with pytest.raises(
        InputError, match="first_policy: it never ends from row 1, column 1, row 1, column 2 and 1 more"
    ):
        solve(corridor, "truncated_policy_iteration", first_policy="LLLL")


def test_the_iterates_of_truncated_policy_iteration_go_on_from_v() -> None:
    world = load_world("zhao_5x5_strict")
    seen: list[NDArray[np.float64]] = []
    solve(
        world, "truncated_policy_iteration", discount=0.9, evaluation_sweeps=3, first_policy="uniform",
        max_sweeps=6, on_limit="return", on_sweep=lambda k, v: seen.append(v),
    )  # fmt: skip
    v, policy = np.zeros(world.n_states), np.full((world.n_states, 5), 0.2)
    model = TabularModel.from_world(world)
    for found in seen:
        P, r = model.chain(policy)
        for _ in range(3):
            v = r + 0.9 * (P @ v)
        assert np.abs(found - v).max() < 1e-12
        q = model.expected_reward + 0.9 * np.stack([model.chain(np.eye(5)[[a] * 25])[0] @ v for a in range(5)], axis=1)
        policy = np.eye(5)[(q >= q.max(axis=1, keepdims=True) - 1e-9).argmax(axis=1)]


def test_fractions_of_a_policy() -> None:
    lake = load_world("frozen_lake_4x4")
    best = solve(lake, discount=1, exact=True)
    again = evaluate_policy(lake, best.policy, discount=1, exact=True)
    assert again.exact_v == best.exact_v
    assert again.exact_v is not None and again.exact_v[0] == Fraction(14, 17)
    thirds = evaluate_policy(World.from_toml(CORRIDOR), np.tile([1 / 3, 2 / 3], (4, 1)), exact=True)
    assert thirds.exact_v == (Fraction(-51, 8), Fraction(-39, 8), Fraction(-21, 8), 0)


def test_fractions_where_float64_cannot_tell_the_system_from_a_singular_one() -> None:
    text = CORRIDOR + "[slip]\nturn = { 0 = 0.000000000001, 180 = 0.999999999999 }"
    plan = evaluate_policy(World.from_toml(text), "RRRR", exact=True)
    a, b = Fraction(1, 10**12), Fraction(10**12 - 1, 10**12)
    assert plan.exact_v is not None
    v = plan.exact_v
    assert v[0] == -1 + b * v[0] + a * v[1] and v[1] == -1 + b * v[0] + a * v[2] and v[2] == -1 + b * v[1]
    floats = evaluate_policy(World.from_toml(text), "RRRR")
    assert np.abs(floats.v[:3] / plan.v[:3] - 1).max() < 1e-14
    assert np.abs(floats.v - plan.v).max() <= floats.bound


def test_values_that_are_not_finite_have_no_fraction(tmp_path: Path) -> None:
    world = World.from_toml(CORRIDOR.replace('"S..G"', '"""\n..\nSG"""'))
    plan = evaluate_policy(world, "RR\nRR", exact=True)
    assert plan.exact_v == (None, None, -1, 0)
    assert plan.v.tolist() == [-np.inf, -np.inf, -1, 0]
    assert plan.bound == 0
    assert plan.q.tolist() == [[-np.inf, -np.inf], [-np.inf, -np.inf], [-2, -1], [0, 0]]
    plan.save(tmp_path / "plan.npz")
    again = Plan.load(tmp_path / "plan.npz")
    assert again.exact_v == plan.exact_v and (again.v == plan.v).all()


def test_the_mean_reward_a_step_of_a_policy() -> None:
    world = load_world("zhao_5x5_episodic")
    best = solve(world, "average_reward")
    again = evaluate_policy(world, best.policy, "average_reward")
    assert again.gain is not None and best.gain is not None
    assert abs(again.gain - best.gain) <= again.bound + best.bound
    walk = load_world("random_walk_5")
    uniform = evaluate_policy(walk, "uniform", "average_reward")
    assert uniform.gain is not None
    assert abs(uniform.gain - 0.5 / 9) <= uniform.bound <= 1e-8  # half of the episodes pay 1; they take 9 steps
    rooms = World.from_toml('actions = ["left", "right", "stay"]\nmap = "..#.x"\n[cells]\nx = { enter = 1 }')
    with pytest.raises(InputError, match="the mean reward a step is not the same from everywhere"):
        evaluate_policy(rooms, [2] * 5, "average_reward")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "sweep"}, 'method: found "sweep", did you mean "sweeps"? Allowed: auto, direct'),
        ({"on_limit": "stop"}, 'on_limit: found "stop"; allowed: raise, return'),
        ({"tol": float("inf")}, "tol: found inf; allowed: above 0, and finite"),
        ({"discount": 1.5}, "discount: found 1.5; allowed: 0 to 1"),
        ({"method": "sweeps", "max_sweeps": 2}, "max_sweeps: not settled after 2; allowed: more"),
        ({"method": "average_reward", "exact": True}, 'exact: found it with method "average_reward"'),
        ({"discount": 0.99, "tol": 1e-300}, "zhao_2x2: tol 1e-300 cannot be certified in float64; allowed: at least"),
    ],
)
def test_bad_arguments_get_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate_policy(load_world("zhao_2x2"), "uniform", **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("discount", [0.9999999, float(np.nextafter(1.0, 0.0))])
def test_values_alone_are_as_accurate_as_those_with_a_bound(discount: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        P = rng.dirichlet(np.ones(4), (4, 2))
        model = TabularModel.from_arrays(P, rng.random((4, 2)))
        policy = np.eye(2)[rng.integers(2, size=4)]
        exact = values_in_fractions(model, policy, Fraction(discount))
        found = evaluate_exact(model, policy, discount=discount)
        assert max(abs(Fraction(x) / y - 1) for x, y in zip(found.tolist(), exact, strict=True)) < 1e-12


def test_a_matrix_that_rounding_makes_singular_is_no_crash() -> None:
    model = TabularModel.from_arrays([[[1.0], [1.0]]], [[1.0, 0.0]])
    last = float(np.nextafter(1.0, 0.0))  # times 0.95 + 0.05, with its own rounding, it is 1
    with pytest.raises(InputError, match="cannot be certified"):
        solve(model, "policy_iteration", epsilon=0.1, discount=last)


def test_rows_that_do_not_quite_add_up_to_1_are_one_model_for_every_method() -> None:
    short = 8e-10  # of the probability of an outcome that goes on: 8e-8 of a horizon of 100 steps
    P = [[[0.5 - short, 0.5], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]
    model = TabularModel.from_arrays(P, [[1.0, 1.0 - 1e-9], [1.0, 1.0]])
    half = Fraction(0.5 - short)
    there = half / (half + Fraction(1, 2))  # to stay in state 0, from where the first action is worth more
    exact = solve_rational(
        [
            [1 - Fraction(99, 100) * there, -Fraction(99, 100) * (1 - there)],
            [-Fraction(99, 100), Fraction(1)],
        ],
        [Fraction(1), Fraction(1)],
    )
    for method in ("value_iteration", "policy_iteration", "modified_policy_iteration", "auto"):
        plan = solve(model, method, discount=0.99, tol=1e-8)
        assert max(abs(Fraction(x) - y) for x, y in zip(plan.v.tolist(), exact, strict=True)) <= plan.bound + 1e-12
        assert plan.policy[0].tolist() == [1.0, 0.0]
    near_1 = evaluate_policy(model, "uniform", discount=0.9999999, tol=1e-4)
    swept = evaluate_policy(model, "uniform", "sweeps", discount=0.999, tol=1e-6)
    direct = evaluate_policy(model, "uniform", "direct", discount=0.999, tol=1e-6)
    assert abs(near_1.v[0] * 1e-7 - 1.0) < 1e-6
    assert np.abs(swept.v - direct.v).max() <= swept.bound + direct.bound
