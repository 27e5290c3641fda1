"""The linter: each finding in a world drawn for it, what it must not say, the catalog, and the command line."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from rlgrid import library
from rlgrid.analysis.linter import Finding, lint_world
from rlgrid.models.model import TabularModel
from rlgrid.worlds.generators import generate_world
from rlgrid.worlds.world import World, load_world

FOUR = 'actions = ["up", "right", "down", "left"]\n'
WORTH = {
    "cost": "at a cost in every step: such a policy is worth minus infinity",
    "nothing": "at no cost: nothing drives it to an end",
    "reward": "collecting rewards on the way: the optimal value may be infinite",
}


def world_of(drawn: str, rules: str = "", head: str = FOUR) -> World:
    rows = "\n".join(drawn.split())
    return World.from_toml(f"{head}map = '''\n{rows}\n'''\n{rules}")


def found(drawn: str, rules: str = "", head: str = FOUR) -> list[tuple[int | None, int | None, str]]:
    return [(f.row, f.column, f"{f.kind}: {f.sentence}") for f in lint_world(world_of(drawn, rules, head))]


GOAL = "[cells]\nG = { terminal = true, enter = 1 }\n"
ROUND = "at discount 1 a policy can go on for ever in {}, "

CASES = {
    "nothing to say": ("S..\n..G", GOAL, FOUR, []),
    "no goal and no discount 1": ("...\n...", "", FOUR, []),
    "a pocket and two cells joined at a corner": (
        "S.G#.  ...#.  ##### .#... #####",
        GOAL,
        FOUR,
        [
            (4, 3, "unreachable: this cell and 2 beside it cannot be reached from any start"),
            (1, 5, "unreachable: this cell and 1 beside it cannot be reached from any start"),
            (4, 1, "unreachable: this cell cannot be reached from any start"),
        ],
    ),
    "goals out of reach, by what they are": (
        "S.G#x#r#t",
        GOAL + "x = { exit = 3 }\nr = { enter = 2 }\nt = { terminal = true }\n[reward]\nbump = 0",
        FOUR,
        [
            (1, 9, "unreachable goal: this terminal cell cannot be reached from any start"),
            (1, 5, "unreachable goal: this exit cell cannot be reached from any start"),
            (1, 7, "unreachable goal: this rewarding cell cannot be reached from any start"),
        ],
    ),
    "many regions are summed up": (
        "S.G#.#.#.#.#.#.#.#..",
        GOAL,
        FOUR,
        [
            (1, 19, "unreachable: this cell and 1 beside it cannot be reached from any start"),
            *((1, c, "unreachable: this cell cannot be reached from any start") for c in (5, 7, 9, 11)),
            (1, 13, "unreachable: and so on: the same holds for 3 more cells in 3 other places"),
        ],
    ),
    "a trap behind a one-way door": (
        "G.S.A#b..",
        GOAL + 'A = { leave = { to = "b" } }\nb = {}',
        FOUR,
        [
            (1, 7, "trap: no end of the episode can be reached from this cell and 2 beside it"),
            (1, 5, "trap: no end of the episode can be reached from this cell"),
        ],
    ),
    "everything is a trap": (
        "S.#G",
        GOAL,
        FOUR,
        [
            (1, 4, "unreachable goal: this terminal cell cannot be reached from any start"),
            (1, 1, "trap: no end of the episode can be reached from this cell and 1 beside it"),
        ],
    ),
    "a cell that is never left": (
        "..B",
        "[cells]\nB = {}",
        'actions = ["right"]\n',
        [(1, 3, "trap: no action leads away from this cell")],
    ),
    "discount 1 and no end": (
        "...",
        "",
        "discount = 1\n" + FOUR,
        [(None, None, "endless: discount 1, but no episode ever ends: values are infinite or undefined")],
    ),
    "going round at a cost": (
        "S.G",
        GOAL + "[reward]\nstep = -1",
        "discount = 1\n" + FOUR,
        [(1, 1, "improper: " + ROUND.format("2 cells, this one among them") + WORTH["cost"])],
    ),
    "going round for nothing, in one cell": (
        "SG",
        GOAL,
        "discount = 1\n" + FOUR,
        [(1, 1, "improper: " + ROUND.format("1 cell, this one among them") + WORTH["nothing"])],
    ),
    "going round for reward": (
        "SrG",
        GOAL + "r = { enter = 1 }\n[reward]\nbump = -1",
        "discount = 1\n" + FOUR,
        [(1, 1, "improper: " + ROUND.format("2 cells, this one among them") + WORTH["reward"])],
    ),
    "every policy ends": ("S..G", GOAL, 'discount = 1\nactions = ["right"]\n', []),
    "every policy ends, sooner or later": (
        "S...G",
        GOAL + "[slip]\nturn = { 0 = 0.9, 180 = 0.1 }",
        'discount = 1\nactions = ["right"]\n',
        [],
    ),
    "a bump rule without a bump": (
        "S.G",
        GOAL + "[reward]\nbump_adds_cell = true",
        FOUR,
        [
            (
                None,
                None,
                "bump: reward.bump_adds_cell changes nothing, "
                "because no cell that moves start from has an enter reward",
            )
        ],
    ),
    "a bump that adds a cell to nothing": (
        "SFG",
        GOAL + "F = { enter = -1 }\n[reward]\nbump_adds_cell = true",
        FOUR,
        [
            (None, None, "bump: reward.bump_adds_cell changes nothing, because no bump is set"),
            (1, 2, "bump: reward.bump is not set, so that a blocked move pays the enter reward -1 again in this cell"),
        ],
    ),
    "walls with their own bump, and own cells added": (
        "SFG W..",
        GOAL + "F = { enter = -1 }\nW = { wall = true, bump = -10 }\n[reward]\nbump_adds_cell = true\nbump = -1",
        FOUR,
        [(None, None, "bump: reward.bump_adds_cell adds the own cell's enter reward to the bumps of the walls W, too")],
    ),
    "edges that can be slid along": (
        "S.. ..G",
        GOAL + "[reward]\nbump = -1",
        'edge = "clip"\nactions = ["up-right", "down", "left", "right"]\n',
        [
            (
                None,
                None,
                'bump: with edge = "clip" a move that slides along the edge is not blocked, '
                "so it does not pay reward.bump",
            )
        ],
    ),
    "edges that cannot": ("S.. ..G", GOAL + "[reward]\nbump = -1", 'edge = "clip"\n' + FOUR, []),
    "reward for running against a wall": (
        "S.r G..",
        GOAL + 'r = { enter = "1/2" }',
        FOUR,
        [(1, 3, "bump: reward.bump is not set, so that a blocked move pays the enter reward 0.5 again in this cell")],
    ),
    "reward in the open": ("..... ..r.. .....", "[cells]\nr = { enter = 1 }", FOUR, []),
    "a start that sends on": (
        "x.G",
        GOAL + 'x = { start = true, enter_to = "." }',
        FOUR,
        [(1, 1, 'start: an episode that starts in "x" stays there; only who enters it goes to "."')],
    ),
    "sent on only once": (
        "S.xyG",
        GOAL + 'x = { enter_to = "y" }\ny = { enter_to = "S" }',
        FOUR,
        [(1, 3, 'target: "x" leads to "y" and not on to "S"')],
    ),
}


@pytest.mark.parametrize(("drawn", "rules", "head", "expected"), CASES.values(), ids=CASES.keys())
def test_findings(drawn: str, rules: str, head: str, expected: list[tuple[int | None, int | None, str]]) -> None:
    assert found(drawn, rules, head) == expected


#: What is found in the catalog. Wind leaves seven cells of Sutton & Barto's example behind; the rest are undiscounted.
UNDISCOUNTED = [
    *("aima_4x3", "cliff", "cliff_exit", "cliff_slippery", "frozen_lake_4x4", "frozen_lake_8x8", "random_walk_5"),
    *("random_walk_19", "sutton_4x4", "windy", "windy_king", "windy_king_stay", "windy_stochastic"),
    *("windy_king_stochastic", "zhao_5x5_episodic"),
]
EXPECTED = {name: ["improper"] for name in UNDISCOUNTED} | {"windy": ["unreachable", "improper"]}


@pytest.mark.parametrize("name", library.names("envs"))
def test_the_catalog_is_clean_but_for_what_is_expected(name: str) -> None:
    assert [finding.kind for finding in lint_world(load_world(name))] == EXPECTED.get(name, [])


@pytest.mark.parametrize("seed", range(30))
def test_reach_and_improper_policies_against_plain_search(seed: int) -> None:
    """The same sets found by repetition over the toy-text table, in small random worlds with slip and one-way doors."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(list("....##GAb"), size=(5, 6))
    cells.ravel()[rng.permutation(30)[:4]] = list("SGAb")
    doors = 'A = { leave = { to = "b" } }\nb = {}\n'
    slip = "[slip]\nturn = { 0 = 0.5, 90 = 0.5 }\n" if seed % 2 else ""
    world = world_of("\n".join("".join(row) for row in cells), GOAL + doors + slip, "discount = 1\n" + FOUR)
    table = TabularModel.from_world(world).P
    reached, before = set(world.starts.tolist()), set()
    while reached != before:
        before = reached
        reached = before | {t for s in before for row in table[s].values() for _, t, _, _ in row}
    staying = {s for s in reached if not world.mask("terminal")[s]}
    before = set()
    while staying != before:
        before = staying
        staying = {
            s for s in before if any(all(t in before and not end for _, t, _, end in row) for row in table[s].values())
        }
    findings = lint_world(world)
    open_cells = set(np.flatnonzero(~world.mask("wall")).tolist())
    lost = [f.sentence for f in findings if f.kind.startswith("unreachable")]
    assert sum(1 + ("and" in s and int(s.split(" and ")[1].split()[0])) for s in lost) == len(open_cells - reached)
    improper = [f.sentence for f in findings if f.kind == "improper"]
    if any(world.mask("terminal")[s] for s in reached):
        assert [int(s.split(" in ")[1].split()[0]) for s in improper] == ([len(staying)] if staying else [])


def test_findings_are_told_with_their_place() -> None:
    assert str(Finding("trap", 3, 4, "no way out")) == "row 3, column 4: no way out (trap)"
    assert str(Finding("endless", None, None, "no end")) == "no end (endless)"


@pytest.mark.slow
def test_a_million_cells_take_seconds() -> None:
    world = msgspec.structs.replace(
        generate_world("obstacles", (1000, 1000), seed=1, density=0.3, slip=0.2), discount=1.0
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    findings = lint_world(world)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
    assert {finding.kind for finding in findings} == {"unreachable", "improper"} and len(findings) == 7


# -- the command line --------------------------------------------------------------------------------------------------


Run = Callable[..., tuple[int, str, str]]


def test_the_command_prints_what_is_found(run: Run) -> None:
    code, out, err = run("check", "cliff_exit")
    assert (code, err) == (0, "")
    assert out.startswith("cliff_exit: row 1, column 1: at discount 1 a policy can go on for ever in 18 cells")
    assert run("check", "zhao_5x5")[1] == "zhao_5x5: nothing to report\n"


def test_the_command_prints_json(run: Run) -> None:
    told = json.loads(run("check", "windy", "--json")[1])
    assert told["world"] == "windy"
    assert [(f["kind"], f["row"], f["column"]) for f in told["findings"]] == [("unreachable", 5, 7), ("improper", 1, 1)]


def test_a_file_that_is_not_valid_exits_with_2(run: Run) -> None:
    assert run("check", "no_such.toml") == (2, "", "rlgrid: no_such.toml: there is no such file\n")
