"""Plans in files: what is written comes back, and nothing else is read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import rlgrid
from rlgrid import InputError, Plan, TabularModel, load_world, solve

Result = tuple[int, str, str]


def gambler() -> TabularModel:
    return TabularModel.from_arrays(
        P=[[[0, 1], [1, 0]], [[0, 1], [0, 1]]], R=[[1, 0.5], [0, 0]], terminal=[False, True], available=[[1, 0], [1, 1]]
    )


@pytest.mark.parametrize(
    "plan",
    [
        solve(load_world("windy"), "policy_iteration"),
        solve(load_world("frozen_lake_4x4"), "backward_induction"),
        solve(load_world("zhao_5x5"), epsilon=0.25),
        solve(gambler()),
    ],
    ids=["windy", "limited", "soft", "arrays"],
)
def test_a_plan_comes_back_bit_for_bit(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.npz")
    again = Plan.load(tmp_path / "plan.npz")
    for field in {field.name for field in fields(Plan)} - {"tables", "doubts"} | {"q", "policy", "optimal_actions"}:
        old, new = getattr(plan, field), getattr(again, field)
        assert type(old) is type(new), field
        assert old.tobytes() == new.tobytes() if isinstance(old, np.ndarray) else old == new
    assert [file.name for file in tmp_path.iterdir()] == ["plan.npz"]


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    solve(load_world("zhao_2x2")).save(tmp_path / "plan.npz")
    with np.load(tmp_path / "plan.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"v": None}, "not a plan: v is missing"),
        ({"extra": np.zeros(1)}, "not a plan: found 'extra'"),
        ({"v": np.zeros(3)}, r"v has float64 \(3,\); allowed: \[S\] and \[S, A\]"),
        ({"q": np.zeros(4)}, "q has"),
        ({"policy": np.zeros((4, 2))}, "policy has"),
        ({"optimal_actions": np.zeros((4, 5))}, "optimal_actions has float64"),
        ({"discount": np.array("x")}, "discount is <U1"),
        ({"bound": np.zeros(2)}, "bound is"),
        ({"shape": np.array([2, 3])}, r"shape is \[2, 3\]; allowed: two sizes of 4 cells"),
        ({"shape": np.array(["a", "b"])}, r"shape is \['a', 'b'\]; allowed: two sizes"),
        ({"shape": np.array([-2, -2])}, r"shape is \[-2, -2\]; allowed: two sizes"),
        ({"actions": np.array(["up"])}, r"actions are <U2 \(1,\); allowed: 5 names"),
        ({"actions": np.arange(5)}, r"actions are int64 \(5,\); allowed: 5 names"),
        ({"bound": np.array(np.nan)}, "bound is nan; allowed: at least 0"),
        ({"exact_v": np.array(["1" * 5000] * 4)}, "exact_v; allowed: 4 fractions"),
        ({"v": np.array([{}] * 4)}, "not a plan, or damaged: Object arrays cannot be loaded"),
    ],
)
def test_what_is_no_plan_is_refused(arrays: dict, change: dict, sentence: str, tmp_path: Path) -> None:
    changed = {name: array for name, array in (arrays | change).items() if array is not None}
    np.savez(tmp_path / "bad.npz", **changed)
    with pytest.raises(InputError, match=sentence):
        Plan.load(tmp_path / "bad.npz")


def test_damaged_and_missing_files_are_refused(arrays: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (tmp_path / "plan.npz").read_bytes()
    for content in (b"", b"text", whole[:-30], whole[:200]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match="not a plan, or damaged"):
            Plan.load(tmp_path / "bad.npz")
    with pytest.raises(InputError, match="there is no such file"):
        Plan.load(tmp_path / "none.npz")
    monkeypatch.setattr("rlgrid.planning.plan.MOST_BYTES", 100)
    with pytest.raises(InputError, match="allowed: at most 100"):
        Plan.load(tmp_path / "plan.npz")


def test_the_table_has_a_line_for_each_state(tmp_path: Path) -> None:
    world = load_world("windy")
    plan = solve(world)
    plan.to_csv(tmp_path / "plan.csv")
    lines = list(csv.DictReader((tmp_path / "plan.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(line["v"]) for line in lines] == plan.v.tolist()
    assert [[float(line[f"q_{a}"]) for a in world.actions] for line in lines] == plan.q.tolist()
    assert [world.actions.index(line["action"]) for line in lines] == plan.policy.argmax(axis=1).tolist()
    assert [(int(line["row"]), int(line["column"])) for line in lines] == [divmod(s, 10) for s in range(70)]
    solve(gambler()).to_csv(tmp_path / "plan.csv")
    assert (tmp_path / "plan.csv").read_text() == "state,v,action,q_0,q_1\n0,1.0,0,1.0,\n1,0.0,0,0.0,0.0\n"


def test_the_command_line_writes_them_all(run: Callable[..., Result]) -> None:
    code, out, _ = run("solve", "frozen_lake_4x4", "--save", "p.npz", "--csv", "p.csv", "--toy-text", "P.json")
    world = load_world("frozen_lake_4x4")
    assert code == 0 and out.endswith("plan: p.npz\ntable: p.csv\nmodel: P.json\n")
    assert "from the start: 0.823529; within its limit of 100 steps 0.74419\n" in out
    assert (Plan.load("p.npz").v == solve(world).v).all()
    table = json.loads(Path("P.json").read_text())
    model = TabularModel.from_world(world)
    assert {
        int(s): {int(a): [tuple(o) for o in row] for a, row in rows.items()} for s, rows in table.items()
    } == model.P
    found = json.loads(run("solve", "frozen_lake_4x4", "--json")[1])
    assert found["value"] == pytest.approx(14 / 17) and found["value_within_limit"] == pytest.approx(
        0.74419029, abs=5e-9
    )
    limited = json.loads(run("solve", "frozen_lake_4x4", "--json", "--method", "backward_induction")[1])
    assert limited["value"] == found["value_within_limit"] and "value_within_limit" not in limited
    assert "within its limit" not in run("solve", "zhao_5x5")[1]


@pytest.mark.parametrize("option", ["--save", "--csv", "--toy-text"])
def test_files_that_cannot_be_written_are_refused(run: Callable[..., Result], option: str) -> None:
    for file in (".", "nowhere/plan"):
        code, out, err = run("solve", "zhao_2x2", option, file)
        assert (code, out) == (2, "") and f"{file}: cannot be written" in err and err.count("\n") == 1


def test_names_are_public() -> None:
    for name in ("occupancy", "phases", "phase_diagram", "return_distribution", "with_number"):
        assert name in rlgrid.__all__ and callable(getattr(rlgrid, name))
