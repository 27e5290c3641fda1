"""Published results: every grid world of ``published.json``, to its tolerance, and what comes from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods import EVERY_WAY, solve_by
from numpy.typing import NDArray
from published_worlds import PUBLISHED, blackjack, gambler, published_policy, published_world, soft

from rlgrid.models.model import TabularModel
from rlgrid.planning.evaluation import evaluate_exact, evaluate_policy
from rlgrid.planning.solve import solve

GRIDS = [name for name, entry in PUBLISHED.items() if entry["world"]["kind"] == "grid"]

OPTIMAL = [
    *("zhao_fig3.4a", "zhao_fig3.4b", "zhao_fig3.4c", "zhao_fig3.4d", "zhao_fig7.2_opt_g1.0"),
    *("sb_ex3.8", "aima_4x3_3e", "cs188_bookgrid"),
]
OF_A_POLICY = [
    *("zhao_fig2.4", "zhao_fig2.5", "zhao_fig2.7_good1", "zhao_fig2.7_good2", "zhao_fig3.5a", "zhao_fig8.6b"),
    *("sb_ex3.5", "sb_ex4.1", "sb_ex6.2"),
]
WITHIN_STEPS = {f"zhao_fig5.4_L{steps}": steps for steps in (1, 2, 3, 15, 100)}
SOFT = {f"zhao_fig5.6_eps{epsilon}": epsilon for epsilon in (0.1, 0.2, 0.5)}
FIRST_SWEEPS = {"zhao_tab4.2_v1": 1, "zhao_tab4.2_v2": 2}
EXPECTED_STEPS = ["sb_windy_4", "sb_windy_king8", "sb_windy_4_stoch"]
MAZES = ["sb_maze_dyna", "sb_maze_blocking_before", "sb_maze_blocking_after"]
OTHER = ["zhao_fig4.3", "zhao_sec5.2_q", "sb_ex6.6_cliff", "frozenlake_4x4"]


def close(found: Any, entry: dict[str, Any], published: Any = None) -> bool:
    """Whether values are the published ones to the entry's tolerance; null stands for a wall."""
    expected = np.array(entry["values"] if published is None else published, dtype=np.float64)
    found = np.asarray(found).reshape(expected.shape)
    return bool(np.allclose(found[~np.isnan(expected)], expected[~np.isnan(expected)], rtol=0, atol=entry["tolerance"]))


def action_values(model: TabularModel, v: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    """q [S, A] of values v, summed up from the toy-text table."""
    rows = [
        [sum(p * (r + discount * (not end) * v[t]) for p, t, r, end in row) for row in actions.values()]
        for actions in model.P.values()
    ]
    return np.array(rows)


def test_no_grid_is_left_out() -> None:
    groups = [OPTIMAL, OF_A_POLICY, WITHIN_STEPS, SOFT, FIRST_SWEEPS, EXPECTED_STEPS, MAZES, OTHER]
    assert sorted(name for group in groups for name in group) == sorted(GRIDS)


@pytest.mark.parametrize("method", EVERY_WAY)
@pytest.mark.parametrize("name", OPTIMAL)
def test_optimal_values(name: str, method: str) -> None:
    entry = PUBLISHED[name]
    plan = solve_by(method, published_world(entry))
    assert plan.discount == entry["gamma"]
    assert plan.bound <= 1e-8
    assert close(plan.v, entry)
    assert close(evaluate_exact(published_world(entry), plan.policy), entry)


@pytest.mark.parametrize("name", OF_A_POLICY)
def test_values_of_a_policy(name: str) -> None:
    entry = PUBLISHED[name]
    world, policy = published_world(entry), published_policy(entry)
    # sb_ex6.2 is given to six digits with a tolerance of 1e-9; what was published is exact.
    expected = entry["published_as"] if name == "sb_ex6.2" else entry["values"]
    assert close(evaluate_exact(world, policy), entry, expected)
    assert close(evaluate_policy(world, policy, "sweeps", tol=1e-10).v, entry, expected)


@pytest.mark.parametrize(("name", "steps"), WITHIN_STEPS.items())
def test_best_return_within_some_steps(name: str, steps: int) -> None:
    entry = PUBLISHED[name]
    plan = solve(published_world(entry), "backward_induction", horizon=steps)
    assert close(plan.v, entry)
    assert plan.iterations == plan.horizon == steps
    assert plan.bound < 1e-12


@pytest.mark.parametrize(("name", "epsilon"), SOFT.items())
def test_epsilon_greedy_version_of_a_policy(name: str, epsilon: float) -> None:
    entry = PUBLISHED[name]
    world, policy = published_world(entry), soft(published_policy(entry), epsilon)
    assert close(evaluate_exact(world, policy), entry)
    assert close(evaluate_policy(world, policy, "sweeps").v, entry)


@pytest.mark.parametrize(("name", "k"), FIRST_SWEEPS.items())
def test_first_sweeps_of_value_iteration(name: str, k: int) -> None:
    entry = PUBLISHED[name]
    sweeps: dict[int, NDArray[np.float64]] = {}
    solve(published_world(entry), on_sweep=sweeps.__setitem__)
    assert close(sweeps[k], entry)


def test_policy_evaluation_step_by_step() -> None:
    entry = PUBLISHED["zhao_fig4.3"]
    world = published_world(entry)
    always_left = np.tile([1.0, 0.0, 0.0], (2, 1))
    sweeps: list[NDArray[np.float64]] = []
    by_sweeps = evaluate_policy(world, always_left, "sweeps", tol=1e-10, on_sweep=lambda k, v: sweeps.append(v)).v
    exact = evaluate_exact(world, always_left)
    assert close(sweeps[:3], entry, entry["values"]["eval_iterates"])
    assert close(by_sweeps, entry, entry["values"]["V"])
    assert close(exact, entry, entry["values"]["V"])
    assert close(action_values(TabularModel.from_world(world), exact, 0.9), entry, entry["values"]["Q"])


def test_action_values_of_a_policy() -> None:
    entry = PUBLISHED["zhao_sec5.2_q"]
    world = published_world(entry)
    v = evaluate_exact(world, published_policy(entry))
    assert close(action_values(TabularModel.from_world(world), v, 0.9)[0], entry)


@pytest.mark.parametrize("method", EVERY_WAY)
@pytest.mark.parametrize("name", EXPECTED_STEPS)
def test_expected_steps_in_the_wind(name: str, method: str) -> None:
    entry = PUBLISHED[name]
    world = published_world(entry)
    assert close(-solve_by(method, world).v[world.starts[0]], entry)


@pytest.mark.parametrize("method", EVERY_WAY)
@pytest.mark.parametrize("name", MAZES)
def test_mazes(name: str, method: str) -> None:
    entry = PUBLISHED[name]
    world = published_world(entry)
    plan, model = solve_by(method, world), TabularModel.from_world(world)
    state, steps, ended = int(world.starts[0]), 0, False
    assert close(plan.v[state], entry, entry["values"]["V"])
    while not ended:
        ((_, state, _, ended),) = model.P[state][int(plan.policy[state].argmax())]
        steps += 1
    assert steps == entry["values"]["steps"]


def cliff_policy(along: int) -> NDArray[np.float64]:
    """Up to row ``along``, right, and down the last column. Actions U, R, D, L.

    Off this path, cells above it move right; cells below move up: only so do all three published values come out.
    """
    action = np.full((4, 12), 1)
    action[along + 1 :] = 0
    action[:, 11] = 2
    return np.eye(4)[action.ravel()]


def test_cliff() -> None:
    entry = PUBLISHED["sb_ex6.6_cliff"]
    world, values = published_world(entry), entry["values"]
    start = world.starts[0]
    for method in EVERY_WAY:
        plan, best_soft = solve_by(method, world), solve_by(method, world, epsilon=0.1)
        assert close(plan.v[start], entry, values["V*(S)"])
        assert close(best_soft.v[start], entry, values["best_0.1_soft"])
        assert np.isclose(best_soft.policy.min(), 0.025)
        assert max(plan.bound, best_soft.bound) <= 1e-8
        assert close(evaluate_exact(world, best_soft.policy)[start], entry, values["best_0.1_soft"])
    for row, path in enumerate(("top", "middle", "edge")):
        greedy = cliff_policy(row)
        for policy, expected in ((greedy, values[path]["greedy"]), (soft(greedy, 0.1), values[path]["eps01"])):
            assert close(evaluate_exact(world, policy)[start], entry, expected)
            assert close(evaluate_policy(world, policy, "sweeps").v[start], entry, expected)


def test_frozen_lake() -> None:
    entry = PUBLISHED["frozenlake_4x4"]
    world, values = published_world(entry), entry["values"]
    for method in EVERY_WAY:
        for discount in (1, 0.99, 0.95, 0.9):
            plan = solve_by(method, world, discount=discount)
            assert close(plan.v[0], entry, values[f"gamma{discount}".replace("0.", ".")])
            assert plan.bound <= 1e-8
        assert abs(solve_by(method, world, discount=1).v[0] - 14 / 17) <= 1e-11
    limited = solve(world, "backward_induction", discount=1, horizon=100)
    assert close(limited.v[0], entry, values["best_within_100_steps(time-dependent)"])
    uniform = np.full((16, 4), 0.25)
    assert close(evaluate_exact(world, uniform, discount=1)[0], entry, values["uniform_random_success"])
    assert close(evaluate_policy(world, uniform, "sweeps", discount=1).v[0], entry, values["uniform_random_success"])


@pytest.mark.slow
@pytest.mark.parametrize("method", EVERY_WAY)
def test_gambler(method: str) -> None:
    entry = PUBLISHED["sb_ex4.3_gambler"]
    plan = solve_by(method, gambler(0.4))
    assert close(plan.v[[25, 50, 51, 75, 99]], entry)
    assert plan.q[10, 10] == -np.inf


@pytest.mark.slow
def test_blackjack() -> None:
    entry = PUBLISHED["sb_ex5.4_blackjack"]
    model, number = blackjack()
    policy = np.tile([0.0, 1.0], (model.n_states, 1))
    policy[[s for (total, _, _), s in number.items() if total >= 20]] = 1.0, 0.0
    state = number[13, True, 2]
    assert close(evaluate_exact(model, policy)[state], entry)
    assert close(evaluate_policy(model, policy, "sweeps").v[state], entry)


def test_one_state_with_infinite_variance() -> None:
    entry = PUBLISHED["sb_ex5.5"]
    P = [[[0.9, 0.1], [0.0, 1.0]], [[0.0, 1.0]] * 2]
    R = [[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]] * 2]
    model = TabularModel.from_arrays(P, R, terminal=[False, True])
    assert evaluate_exact(model, [[1.0, 0.0]] * 2, discount=1)[0] == pytest.approx(entry["values"], abs=1e-15)
