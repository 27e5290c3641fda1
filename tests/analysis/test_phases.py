"""Phases of one and of two numbers: closed forms, printed numbers, linear programming, and a fine grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.optimize import linprog

import rlgrid
from rlgrid import InputError, TabularModel, World, load_world, phase_diagram, phases, with_number

Result = tuple[int, str, str]

LINE = """
actions = ["left", "right"]
discount = 1
map = "a......b"
[cells]
a = { enter = 1, terminal = true }
b = { enter = 3, terminal = true }
"""


def optimum_by_linear_programming(model: TabularModel, discount: float) -> np.ndarray:
    """v*: the smallest v with v >= q(s, a) for all actions (Puterman, Sec. 6.9), from the toy-text table alone."""
    left, right = [], []
    for s, actions in model.P.items():
        for outcomes in actions.values():
            row = np.zeros(model.n_states)
            row[s] -= 1
            for p, t, _, done in outcomes:
                row[t] += 0 if done else discount * p
            left.append(row)
            right.append(-sum(p * r for p, _, r, _ in outcomes))
    found = linprog(np.ones(model.n_states), A_ub=np.array(left), b_ub=right, bounds=(None, None))
    assert found.status == 0
    return found.x


def points(found: list[rlgrid.Phase]) -> list[float]:
    assert all(a.high == b.low for a, b in pairwise(found))
    return [phase.low for phase in found[1:]]


# -- closed forms ----------------------------------------------------------------------------------------------------


def test_step_rewards_between_two_exits() -> None:
    """From cell i it is i moves to 1 and 7 - i to 3: it turns at r with 1 + i r = 3 + (7 - i) r, r = 2 / (2 i - 7)."""
    found = phases(World.from_toml(LINE), "reward.step", (-3, 0))
    # Every move pays the step reward but the last, which pays for entering: both ways alike.
    assert points(found) == pytest.approx([2 / (2 * i - 7) for i in (3, 2, 1)], rel=1e-12)
    assert (found[0].low, found[-1].high) == (-3, 0)
    rights = [phase.policy[1:7, 1].sum() for phase in found]
    assert rights == [3, 4, 5, 6], "each time one more cell goes right"


def test_discounts_between_two_exits() -> None:
    """γ^(i - 1) = 3 γ^(6 - i) where γ = (1/3)^(1 / (7 - 2 i))."""
    found = phases(World.from_toml(LINE), "discount", (0, 1))
    assert points(found) == pytest.approx([(1 / 3) ** (1 / (7 - 2 * i)) for i in (3, 2, 1)], rel=1e-12)


@pytest.mark.slow
def test_exits_and_probabilities() -> None:
    """From cell 1 the exit in reach pays 1, the one six moves away x; and slip alone decides nothing in a corridor."""
    world = World.from_toml(LINE)
    found = points(phases(world, "cells.b.enter", (0, 40), discount=0.5))
    assert found == pytest.approx([2.0**-5, 2.0**-3, 2.0**-1, 2.0, 8.0, 32.0], rel=1e-12)
    assert points(phases(World.from_toml(LINE + "[slip]\nrandom = 0.1"), "slip.random", (0, 0.5), samples=4)) == []


def test_the_better_of_two_gambles() -> None:
    """Going up slips into the pit beside with (1 - p) / 2 each: 0.6 is exactly where the sure 0.2 is as good."""
    text = """
    actions = ["up", "stay"]
    map = '''
    PGP
    #S#
    '''
    [cells]
    G = { enter = 1, terminal = true }
    P = { enter = -1, terminal = true }
    [slip]
    turn = { 0 = 0.5, 45 = 0.25, -45 = 0.25 }
    [reward.action]
    stay = 0.1
    """
    world = World.from_toml(text.replace("    ", ""))
    # up is worth p - (1 - p) = 2 p - 1; staying for ever 0.1 / (1 - 0.5) = 0.2.
    assert points(phases(world, "slip.turn.0", (0, 1), discount=0.5)) == pytest.approx([0.6], rel=1e-12)


# -- the 4 x 3 world -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aima() -> list[rlgrid.Phase]:
    return phases(load_world("aima_4x3"), "reward.step", (-2, 0))


def test_the_4x3_world_changes_where_the_4th_edition_says(aima: list[rlgrid.Phase]) -> None:
    found = [round(point, 4) for point in points(aima)]
    assert found == [-1.6497, -1.5643, -0.7311, -0.4526, -0.085, -0.0448, -0.0274, -0.0221]


def test_phases_are_optimal_by_linear_programming(aima: list[rlgrid.Phase]) -> None:
    world = load_world("aima_4x3")
    for phase in aima:
        low, high = phase.low + 1e-6, phase.high - 1e-6
        for reward in (low, (low + high) / 2, high):
            model = TabularModel.from_world(with_number(world, "reward.step", reward))
            best = optimum_by_linear_programming(model, 1.0)
            best[model.terminal] = 0
            own = rlgrid.evaluate_exact(model, phase.policy)
            assert own == pytest.approx(best, abs=1e-7)
            others = [rlgrid.evaluate_exact(model, other.policy) for other in aima if other is not phase]
            assert all((best - v).max() > 1e-8 for v in others), "no other phase's policy is optimal here"


def test_where_two_phases_meet_both_are_optimal(aima: list[rlgrid.Phase]) -> None:
    for left, right in pairwise(aima):
        model = TabularModel.from_world(with_number(load_world("aima_4x3"), "reward.step", right.low))
        best = rlgrid.solve(model).v
        for phase in (left, right):
            assert rlgrid.evaluate_exact(model, phase.policy) == pytest.approx(best, abs=1e-11)


def test_how_the_last_step_is_charged_moves_no_point(aima: list[rlgrid.Phase]) -> None:
    text = load_world("aima_4x3").to_toml().replace("enter_adds_step = true\n", "")
    assert points(phases(World.from_toml(text), "reward.step", (-2, 0))) == pytest.approx(points(aima), rel=1e-10)


# -- random worlds ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.sampled_from([("reward.step", (-1, 1)), ("discount", (0, 0.95)), ("cells.b.enter", (-3, 3))]),
)
def test_a_grid_sees_the_same_phases(seed: int, number: tuple[str, tuple[float, float]]) -> None:
    rng = np.random.default_rng(seed)
    rows = "\n".join("".join(row) for row in rng.choice(list("...#ab"), (4, 4)))
    text = f"""actions = ["up", "right", "down", "left"]
discount = 0.9
map = '''
Sab.
{rows}
'''
[reward]
step = -0.2
[cells]
a = {{ enter = 1, terminal = true }}
b = {{ enter = 2 }}
[slip]
random = 0.2
"""
    world, (path, between) = World.from_toml(text), number
    found = phases(world, path, between)
    for value in np.linspace(*between, 13)[1:-1]:
        inside = [phase for phase in found if phase.low <= value <= phase.high]
        plan = rlgrid.solve(with_number(world, path, float(value)), "policy_iteration")
        for phase in inside:
            v = rlgrid.evaluate_exact(with_number(world, path, float(value)), phase.policy)
            assert v == pytest.approx(plan.v, abs=1e-8)
        if len(inside) == 1 and min(value - inside[0].low, inside[0].high - value) > 1e-4:
            assert (plan.optimal_actions == inside[0].optimal_actions).all()


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "between", "sentence"),
    [
        ("reward.stepp", (-1, 0), r'reward: unknown key: found "stepp", did you mean "step"'),
        ("map", (-1, 0), r"map: found .*; allowed: "),
        ("discount", (0, 2), r"discount: found 1.0\d*; allowed: 0 to 1"),
        ("name.x", (0, 1), r"name.x: there is no such number"),
        ("cells.Q.enter", (0, 1), r'cells: "Q" does not occur in the map'),
        ("slip.turn.0", (0.5, 2), r"slip.turn.0: found .*; allowed: a probability"),
        ("slip.turn.30", (0, 1), r'slip.turn: found "30"'),
        ("reward.step", (0, -1), r"found the range \(0, -1\)"),
        ("reward.step", (-1, float("nan")), r"reward.step: found the range"),
        ("reward.step", (-1, 1), r"the optimal value is infinite.*\(reward.step = 0.99"),
    ],
)
def test_a_number_or_range_that_cannot_be_is_refused(path: str, between: tuple[float, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        phases(load_world("aima_4x3"), path, between)


def test_probabilities_that_have_nothing_to_share_with() -> None:
    world = World.from_toml(LINE + "[slip]\nturn = { 0 = 1 }")
    with pytest.raises(InputError, match=r"slip.turn.0: there is nothing else to share with"):
        with_number(world, "slip.turn.0", 0.5)


def test_a_number_of_the_world_changes_nothing_else() -> None:
    world = load_world("aima_4x3")
    changed = with_number(world, "reward.step", -0.5)
    assert with_number(changed, "reward.step", -0.04) == world != changed
    assert with_number(world, "reward.bump", -1).reward.bump == with_number(world, "reward.bump", -1.0).reward.bump


# -- two numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_diagram_has_the_phases_of_its_lines(tmp_path: Path) -> None:
    world = load_world("aima_4x3")
    steps, slips = np.linspace(-1.9, -0.01, 12), [0.7, 0.8]
    diagram = phase_diagram(world, ("reward.step", steps), ("slip.turn.0", slips))
    assert diagram.labels.shape == (12, 2) and set(diagram.labels.ravel()) == set(range(len(diagram.plans)))
    for j, slip in enumerate(slips):
        found = phases(with_number(world, "slip.turn.0", slip), "reward.step", (-2, 0))
        number = [next(k for k, phase in enumerate(found) if phase.low < step < phase.high) for step in steps]
        assert len(set(zip(number, diagram.labels[:, j], strict=True))) == len(set(number))
    assert np.bincount(diagram.labels.ravel()).tolist() == sorted(np.bincount(diagram.labels.ravel()), reverse=True)
    diagram.save_picture(tmp_path / "d.png")
    with Image.open(tmp_path / "d.png") as picture:
        assert len(set(picture.convert("RGB").getdata())) > 50


def test_a_diagram_shows_where_there_is_no_optimum() -> None:
    diagram = phase_diagram(load_world("aima_4x3"), ("discount", [0.5, 1]), ("reward.step", [-0.5, 0.5]))
    assert (diagram.labels == -1).tolist() == [[False, False], [False, True]]


@pytest.mark.slow
def test_values_of_a_diagram_that_cannot_be_are_refused(tmp_path: Path) -> None:
    world, good = load_world("aima_4x3"), ("discount", [0.5, 0.9])
    for bad, sentence in (
        (("reward.step", [0.0]), "two or more, in increasing order"),
        (("reward.step", [0.0, -1.0]), "two or more, in increasing order"),
        (("discount", [0.5, 0.6]), "found it twice"),
        (("slip.turn.0", [0.5, 1.5]), "allowed: a probability"),
    ):
        with pytest.raises(InputError, match=sentence):
            phase_diagram(world, bad, good)
    with pytest.raises(InputError, match="cannot be written"):
        phase_diagram(world, ("reward.step", [-2, -1]), good).save_picture(tmp_path / "nowhere" / "d.png")


# -- figures of books ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_figure_is_listed_and_can_be_computed(run: Callable[..., Result]) -> None:
    listed = json.loads(run("book", "--json")[1])
    assert len(listed) >= 5 and run("book")[1].startswith("book")
    for entry in listed:
        code, out, _ = run("book", entry["book"], entry["figure"], "--json")
        found = json.loads(out)
        assert code == 0 and entry["what"]
        if entry["book"] != "aima":
            assert found["agrees"] and all(panel["agrees"] for panel in found["panels"])


@pytest.mark.slow
def test_the_4x3_figure_says_what_each_edition_prints(run: Callable[..., Result]) -> None:
    found = json.loads(run("book", "aima", "4x3", "--json")[1])
    agrees = {entry["value"]: entry["agrees"] for entry in found["printed"]}
    wrong = {value for value, right in agrees.items() if not right}
    assert wrong == {-1.6284, -0.4278} and len(agrees) == 8 and not found["agrees"]
    assert len(found["phases"]) == 9 and found["phases"][4]["policy"][2] == "↑ → ↑ ←"
    out = run("book", "aima", "4x3")[1]
    assert " -1.564259\n" in out and "-0.022145  2nd and 3rd ed., Fig. 17.2(b): -0.0221\n" in out


def test_a_comparison_can_fail(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Result]) -> None:
    from rlgrid.book import catalog, zhao

    wrong = "0.0 " + zhao.ZHAO_FIG_3_4_A[4:]
    monkeypatch.setitem(zhao.ZHAO_FIG_3_4, "a", (0.9, -1, wrong))
    assert "24 of 25 values as printed (not: row 1, column 1)" in run("book", "zhao", "3.4")[1]
    assert not catalog.reproduce("zhao", "3.4").agrees


@pytest.mark.parametrize(
    ("arguments", "part"),
    [(("zaho",), 'did you mean "zhao"'), (("zhao", "3.5"), "figure of zhao"), (("zhao",), "allowed: 3.4")],
)
def test_a_figure_that_is_not_there_is_refused(
    run: Callable[..., Result], arguments: tuple[str, ...], part: str
) -> None:
    code, out, err = run("book", *arguments)
    assert (code, out) == (2, "") and part in err
