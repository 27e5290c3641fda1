"""Block Gauss-Seidel on a stencil: the same values as a direct solve, on every kind of grid."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from rlgrid import TabularModel, World, generate_world, library, load_world, solve
from rlgrid.planning.graph import rows_at
from rlgrid.planning.problem import Problem
from rlgrid.planning.stencils import grid_of

WINDY = """
actions = ["up", "right", "down", "left", "stay"]
edge = "clip"
map = '''
....................
..F....#######......
.......#.....#..T...
..W....#..p..#......
..W..........#...j..
..W....#.....#......
.......#######...k..
S...................
'''
[reward]
step = -0.1
bump = -0.5
[cells]
F = { enter = -3 }
T = { enter = 1 }
W = { wall = true, bump = -2 }
p = { exit = 5 }
j = { enter_to = "k" }
k = { leave = { to = "S", reward = 0.5 } }
[slip]
turn = { 0 = 0.7, 90 = 0.1, -90 = 0.1, 180 = 0.1 }
[wind]
down = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
varies = { 0 = 0.5, 1 = 0.5 }
"""


def problem(model: TabularModel, discount: float) -> Problem:
    return Problem(model, rows_at(model, discount), discount, None, 0.0, 1e-8, 10**6, None)


def agrees(model: TabularModel, discount: float, tol: float = 1e-7) -> None:
    """With a direct solve, within the two certificates, and by the method asked for."""
    plan = solve(model, "block_gauss_seidel", discount=discount, tol=tol)
    exact = solve(model, "policy_iteration", discount=discount, tol=tol)
    assert plan.method == "block_gauss_seidel" and plan.bound <= tol
    assert np.abs(plan.v - exact.v).max() <= plan.bound + exact.bound


@pytest.mark.parametrize("name", library.names("envs"))
def test_every_world_of_the_catalog(name: str) -> None:
    agrees(TabularModel.from_world(load_world(name)), 0.95)


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.99, 0.9999])
def test_wind_slip_exits_teleports_and_walls_that_hurt(discount: float) -> None:
    agrees(TabularModel.from_world(World.from_toml(WINDY)), discount, 1e-6)


@pytest.mark.parametrize("kind", ["maze", "obstacles", "rooms"])
@pytest.mark.parametrize("size", [(1, 900), (40, 60)])
def test_more_cells_than_a_block(kind: str, size: tuple[int, int]) -> None:
    if kind == "maze" and size[0] == 1:
        size = (60, 40)
    agrees(TabularModel.from_world(generate_world(kind, size, 5, slip=0.3, step_reward=-0.01)), 0.999, 1e-6)


def test_pockets_that_reach_nothing_are_worth_their_steps_for_ever() -> None:
    world = World.from_toml(
        'actions = ["up", "right", "down", "left"]\nmap = """\nS..#..\n..G#..\n...#.#\n"""\n'
        "reward.step = -1\ncells.G = { terminal = true }\n"
    )
    plan = solve(world, "block_gauss_seidel", discount=0.999)
    assert plan.iterations == 1 and np.abs(plan.v.reshape(3, 6)[0, 4:] + 1000).max() < 1e-8


def test_cells_that_are_all_different_make_no_grid() -> None:
    rng = np.random.default_rng(0)
    P, R = rng.dirichlet(np.ones(40), size=(40, 2)), rng.standard_normal((40, 2))
    model = TabularModel.from_arrays(P, R, discount=0.9)
    assert grid_of(problem(model, 0.9)) is None
    plan = solve(model, "block_gauss_seidel")
    assert plan.method == "gauss_seidel" and np.abs(plan.v - solve(model, "policy_iteration").v).max() < 2e-8


def test_the_order_leads_away_from_where_reward_comes_in() -> None:
    """Without slip the order is that of the distance to the goal, so one pass finds the values."""
    model = TabularModel.from_world(generate_world("obstacles", (30, 30), 1, step_reward=-0.01))
    grid = grid_of(problem(model, 0.99))
    assert grid is not None
    v = solve(model, "policy_iteration", discount=0.99).v[grid.order]
    reached = v > -0.999  # cells in pockets are worth -0.01 a step for ever, -1
    values = v[reached].tolist()
    assert all(a >= b - 1e-9 for a, b in pairwise(values)) and len(values) > 400
    assert sorted(grid.order.tolist()) == np.flatnonzero(~model.terminal).tolist()
    assert solve(model, "block_gauss_seidel", discount=0.99).iterations == 1


def test_auto_takes_the_method_that_fits() -> None:
    small, large = load_world("zhao_5x5"), generate_world("obstacles", (60, 60), 2, slip=0.2)
    assert solve(small, discount=0.9).method == "value_iteration"
    assert solve(small, discount=0.9999, tol=1e-5).method == "policy_iteration"
    assert solve(large, discount=0.99).method == "block_gauss_seidel"
    assert solve(large, discount=0.99, epsilon=0.1, tol=1e-6).method == "block_gauss_seidel"


def test_only_rounding_is_left_where_the_tolerance_asks_for_it() -> None:
    """Near what float64 can give, a last sweep over the outcomes has the smaller rounding errors."""
    model = TabularModel.from_world(load_world("four_rooms"))
    exact = solve(model, "policy_iteration", discount=0.99, tol=1e-11)
    plan = solve(model, "block_gauss_seidel", discount=0.99, tol=2 * exact.bound)
    assert plan.bound <= 2 * exact.bound and np.abs(plan.v - exact.v).max() <= plan.bound + exact.bound


PLANS = """
import hashlib, rlgrid
for method in ("block_gauss_seidel", "prioritized_sweeping", "gauss_seidel"):
    plan = rlgrid.solve(rlgrid.load_world("zhao_3x3"), method, discount=0.9)
    print(method, plan.iterations, hashlib.sha256(plan.v.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_plain_python_finds_the_same_bits() -> None:
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-c", PLANS],
            env=os.environ | {"NUMBA_DISABLE_JIT": flag},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for flag in ("0", "1")
    )
    assert compiled == plain and compiled.count("\n") == 3
