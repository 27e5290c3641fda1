"""Discount 1 on stencils: what is proven without the graph holds for optima and policies in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from random_models import error

from rlgrid import TabularModel, World, evaluate_policy, expected_steps, generate_world, solve
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import NO_WEIGHT
from rlgrid.planning.block_gauss_seidel import block_gauss_seidel, proved_at_discount_1
from rlgrid.planning.graph import rows_at
from rlgrid.planning.problem import MethodResult, Problem
from rlgrid.planning.stencils import grid_of

TOL = 1e-7

#: Passes after which a value that has no limit is given up.
LIMIT = 5_000

#: Cells that pay, cost, lead elsewhere, or end.
TRAPS = """
F = { enter = -3 }
Z = { enter = 0 }
C = { enter = "1/2" }
j = { enter_to = "S" }
l = { leave = { to = "S", reward = -2 } }
p = { exit = -4 }
G = { terminal = true, enter = 2 }
H = { terminal = true, enter = -6 }
"""


def trap_world(seed: int) -> World:
    """Free cells, cells that pay, one-way cells, pits and walls at random, some of them cut off from every end."""
    rng = np.random.default_rng(seed)
    n_rows, n_cols = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    symbols = np.array(list("........#FjlpHG" + "ZC" * int(rng.integers(0, 2))))
    cells = rng.choice(symbols, (n_rows, n_cols))
    cells[0, 0], cells[-1, -1] = "S", "G"
    slip = rng.choice(["turn = { 0 = 0.8, 90 = 0.1, -90 = 0.1 }", "turn = { 0 = 1 }", "random = 0.3"])
    used = [line for line in TRAPS.strip().splitlines() if line[0] in cells]
    quoted = "\n".join(f'"{line[0]}"{line[1:]}' for line in used)
    drawn = "\n".join("".join(row) for row in cells)
    return World.from_toml(
        f'name = "traps {seed}"\nactions = ["up", "right", "down", "left"]\nmap = """\n{drawn}\n"""\n'
        f"reward.step = {rng.choice([-1, -0.5, -0.1])}\n[cells]\n{quoted}\n[slip]\n{slip}\n"
    )


def undiscounted(
    model: TabularModel, epsilon: float = 0.0, weight: np.ndarray = NO_WEIGHT, tol: float = TOL
) -> MethodResult | None:
    problem = Problem(model, rows_at(model, 1.0), 1.0, None, epsilon, tol, LIMIT, None, weight=weight)
    grid = grid_of(problem)
    return proved_at_discount_1(problem, grid, LIMIT) if grid else None


def random_policy(model: TabularModel, rng: np.random.Generator) -> np.ndarray:
    """In eighths, so that its numbers are exact; many actions are never taken."""
    policy = np.zeros((model.n_states, model.n_actions))
    for s in range(model.n_states):
        usable = np.flatnonzero(model.available[s])
        policy[s, usable] = rng.multinomial(8, rng.dirichlet(np.full(len(usable), 0.4))) / 8
    return policy


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_optima_are_enclosed_and_their_policies_end(block: int) -> None:
    proved = 0
    for seed in range(100 * block, 100 * block + 100):
        model = TabularModel.from_world(trap_world(seed))
        for epsilon in (0.0, 0.25):
            if (found := undiscounted(model, epsilon)) is None:
                continue
            proved += 1
            assert found.bound <= max(TOL, 1e-9 * float(np.abs(found.v).max()))  # where rounding is all that is left
            plan = solve(model, discount=1, epsilon=epsilon, exact=True)
            assert plan.exact_v is not None
            assert error(found.v, list(plan.exact_v)) <= Fraction(found.bound), (seed, epsilon)
            greedy = solve(model, "block_gauss_seidel", discount=1, epsilon=epsilon, tol=TOL)
            assert np.isfinite(expected_steps(model, greedy.policy)).all()
            value = evaluate_policy(model, greedy.policy, discount=1, exact=epsilon == 0)
            assert np.abs(value.v - plan.v).max() <= 1e-9
    assert proved >= 80


@pytest.mark.slow
def test_values_of_policies_are_enclosed() -> None:
    proved, refused = 0, 0
    for seed in range(200):
        model = TabularModel.from_world(trap_world(seed))
        policy = random_policy(model, np.random.default_rng(seed))
        if (found := undiscounted(model, weight=policy.ravel())) is None:
            refused += 1
            continue
        proved += 1
        plan = evaluate_policy(model, policy, discount=1, exact=True)
        assert plan.exact_v is not None
        assert found.bound <= TOL and error(found.v, list(plan.exact_v)) <= Fraction(found.bound), seed
    assert proved >= 40 and refused >= 40


STAY_OR_END = 'actions = ["stay", "right"]\nmap = "SG"\n[cells]\nG = { terminal = true, enter = -1 }\n'
UP_AND_DOWN = (
    'actions = ["left", "right"]\nmap = "SXG"\n[cells]\nX = { enter = 1, leave = { to = "S", reward = -1 } }\n'
    "G = { terminal = true }\n"
)
POCKET = 'actions = ["left", "right"]\nmap = ".#SG"\nreward.step = -1\n[cells]\nG = { terminal = true }\n'
COINS = (
    'actions = ["left", "right"]\nmap = "SCG"\nreward.step = -1\n[cells]\nC = { enter = 3 }\nG = { terminal = true }\n'
)


@pytest.mark.parametrize("text", [STAY_OR_END, UP_AND_DOWN, POCKET, COINS])
def test_what_the_graph_has_to_decide_is_left_to_it(text: str) -> None:
    """Free stays, cycles that cancel out, cells without an end, and rewards without one."""
    assert undiscounted(TabularModel.from_world(World.from_toml(text))) is None


def test_cells_that_pay_are_proved_by_their_neighbours() -> None:
    """A step that pays 1/2 is no cost, but every way back to it costs more."""
    world = World.from_toml(
        'actions = ["left", "right"]\nmap = "S..C..G"\nreward.step = -1\n[cells]\n'
        "C = { enter = 0.5 }\nG = { terminal = true }\n[slip]\nturn = { 0 = 0.9, 180 = 0.1 }\n"
    )
    model = TabularModel.from_world(world)
    found = undiscounted(model)
    assert found is not None and found.bound <= TOL
    exact = solve(model, discount=1, exact=True).exact_v
    assert exact is not None and error(found.v, list(exact)) <= Fraction(found.bound)


@pytest.mark.parametrize("chance", [0.25, 0.1, 1e-4, 1e-9])
def test_ends_that_are_unlikely(chance: float) -> None:
    """A corridor whose every step to the right succeeds with a small probability."""
    world = World.from_toml(
        'actions = ["right"]\nmap = "S..G"\nreward.step = -1\n[cells]\nG = { terminal = true }\n'
        f"[slip]\nturn = {{ 0 = {chance!r}, 180 = {1 - chance!r} }}\n"
    )
    model = TabularModel.from_world(world)
    exact = solve(model, discount=1, exact=True).exact_v
    assert exact is not None
    size = float(max(abs(x) for x in exact))
    found = undiscounted(model, tol=1e-6 * size)
    assert found is None or error(found.v, list(exact)) <= Fraction(found.bound)
    assert (found is not None) == (chance >= 0.1)


def test_large_grids_agree_with_a_direct_solve() -> None:
    """With the analysis of the graph, in rooms and open spaces, with and without epsilon."""
    for epsilon in (0.0, 0.1):
        model = TabularModel.from_world(generate_world("rooms", (24, 31), 4, slip=0.2, step_reward=-1))
        plan = solve(model, "block_gauss_seidel", discount=1, epsilon=epsilon, tol=1e-6)
        exact = solve(model, "policy_iteration", discount=1, epsilon=epsilon)
        assert plan.method == "block_gauss_seidel" and plan.bound <= 1e-6
        assert np.abs(plan.v - exact.v).max() <= plan.bound + exact.bound
        again = evaluate_policy(model, plan.policy, "block_gauss_seidel", discount=1, tol=1e-6)
        assert again.bound <= 1e-6 and np.abs(again.v - plan.v).max() <= again.bound + plan.bound


@pytest.mark.parametrize("discount", [0.0, 0.9, 0.999])
def test_policies_below_discount_1(discount: float) -> None:
    for seed in range(8):
        model = TabularModel.from_world(trap_world(seed))
        policy = random_policy(model, np.random.default_rng(seed))
        plan = evaluate_policy(model, policy, "block_gauss_seidel", discount=discount, tol=TOL)
        exact = evaluate_policy(model, policy, discount=discount, exact=True).exact_v
        assert exact is not None
        assert plan.bound <= TOL and error(plan.v, list(exact)) <= Fraction(plan.bound) + Fraction(1, 10**14)


def test_infinite_values_are_refused_by_the_graph() -> None:
    with pytest.raises(InputError, match="is infinite"):
        solve(World.from_toml(COINS), "block_gauss_seidel", discount=1)


def test_block_gauss_seidel_gives_up_after_its_limit() -> None:
    model = TabularModel.from_world(generate_world("maze", (61, 61), 2, slip=0.4, step_reward=-1))
    problem = Problem(model, rows_at(model, 0.9999), 0.9999, None, 0.0, 1e-6, 2, None)
    grid = grid_of(problem)
    assert grid is not None and block_gauss_seidel(problem, grid, 2) is None
