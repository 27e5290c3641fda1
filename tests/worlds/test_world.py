"""The world file: the catalog, writing what was read, and one sentence for every way in which a file can be wrong."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from published_worlds import PUBLISHED

from rlgrid import library
from rlgrid.errors import InputError
from rlgrid.toml import MAX_FILE_BYTES
from rlgrid.worlds.numbers import Reward, number_to_toml, to_fraction
from rlgrid.worlds.world import World, load_world

CATALOG = library.names("envs")

HEAD = 'actions = ["up", "right"]\nmap = """\nS.G\n..H\n"""\n'
CELLS = "[cells]\nG = { terminal = true }\nH = {}\n"
GOOD = HEAD + CELLS

EVERY_KEY = Path(__file__).with_name("every_key.toml").read_text(encoding="utf-8")


# -- the catalog ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATALOG)
def test_catalog_worlds_load_and_say_where_they_come_from(name: str) -> None:
    world = load_world(name)
    assert world.name == name
    assert len(world.source) > 10
    assert world.discount is not None
    assert load_world(library.folder("envs") / f"{name}.toml") == world


@pytest.mark.parametrize("name", CATALOG)
def test_catalog_worlds_survive_writing_and_reading(name: str) -> None:
    world = load_world(name)
    assert World.from_toml(world.to_toml()) == world


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("zhao_2x2", "zhao_fig2.4"),
        ("zhao_5x5", "zhao_fig3.4a"),
        ("sutton_gridworld", "sb_ex3.5"),
        ("windy", "sb_windy_4"),
        ("cliff", "sb_ex6.6_cliff"),
        ("dyna_maze", "sb_maze_dyna"),
        ("aima_4x3", "aima_4x3_3e"),
        ("frozen_lake_4x4", "frozenlake_4x4"),
    ],
)
def test_catalog_worlds_are_the_published_ones(name: str, published: str) -> None:
    entry = PUBLISHED[published]
    wanted, world = entry["world"], load_world(name)
    rows = [row.replace("F", ".") if name.startswith("frozen") else row for row in wanted["map"]]
    assert list(world.rows) == rows
    assert [{"stay": "S"}.get(a, a[0].upper()) for a in world.actions] == wanted["actions"]
    assert world.discount == entry.get("gamma", 1.0)
    pays = wanted["reward"]
    assert world.reward.step == Reward([to_fraction(pays["step"])])
    assert world.reward.bump == (Reward([to_fraction(pays["bump"])]) if "bump" in pays else None)
    assert world.reward.enter_adds_step == pays.get("enter_adds_step", False)
    entered = {s: int(c.enter.mean) for s, c in world.cells.items() if c.enter is not None}
    assert entered == pays.get("enter", {})
    assert {s for s, c in world.cells.items() if c.terminal} == set(wanted.get("terminal", ""))
    if "slip" in wanted:
        assert world.slip is not None and world.slip.turn is not None
        assert float(world.slip.turn["0"]) == wanted["slip"]["p_intended"]
        assert world.slip.turn["90"] == world.slip.turn["-90"]
    if "wind" in wanted:
        assert world.wind is not None and world.wind.up == wanted["wind"]


@pytest.mark.parametrize(("size", "steps"), [("4x4", 100), ("8x8", 200)])
def test_frozen_lakes_are_gymnasiums(size: str, steps: int) -> None:
    from gymnasium.envs.toy_text.frozen_lake import MAPS

    world = load_world(f"frozen_lake_{size}")
    assert list(world.rows) == [row.replace("F", ".") for row in MAPS[size]]
    assert world.actions == ["left", "down", "right", "up"]
    assert world.max_episode_steps == steps


def test_four_rooms_has_104_open_cells_and_four_hallways() -> None:
    world = load_world("four_rooms")
    open_cells = ~world.mask("wall").reshape(world.shape)
    assert open_cells.sum() == 104
    inner_walls = [(3, 6), (6, 2), (7, 9), (10, 6)]
    assert all(open_cells[cell] for cell in inner_walls)
    assert world.where("G") == [7 * 13 + 9]


# -- reading and writing ----------------------------------------------------------------------------------------------


def test_every_key_survives_writing_and_reading() -> None:
    world = World.from_toml(EVERY_KEY)
    assert World.from_toml(world.to_toml()) == world


@pytest.mark.parametrize("text", ["S..G", "\n\nS..\n..G\n\n", "S'.\n.G'", "S\\.\nG\t."])
def test_any_map_survives_writing_and_reading(text: str) -> None:
    cells = {symbol: {} for symbol in set(text) - set("S.\n")}
    toml = f'actions = ["up"]\nmap = {json.dumps(text)}\n[cells]\n'
    toml += "".join(f"{json.dumps(symbol)} = {{}}\n" for symbol in sorted(cells))
    world = World.from_toml(toml)
    assert World.from_toml(world.to_toml()) == world


def test_states_are_row_major_and_starts_default_to_every_open_cell() -> None:
    world = World.from_toml(
        'actions = ["up"]\nmap = """\n.#\nT.\nx.\n"""\n[cells]\nT = { terminal = true }\nx = { enter_to = "." }'
    )
    assert world.shape == (3, 2)
    assert world.n_states == 6
    assert world.starts.tolist() == [0, 3, 5]
    assert world.where("T").tolist() == [2]
    np.testing.assert_array_equal(world.mask("wall").reshape(3, 2), [[0, 1], [0, 0], [0, 0]])


def test_a_start_cell_overrules_the_default() -> None:
    world = World.from_toml('actions = ["up"]\nmap = "S.h."\n[cells]\nh = { start = true }')
    assert world.starts.tolist() == [0, 2]


@pytest.mark.parametrize(
    "text", ["-1", "0.1", '"1/3"', "-0.04", "1e-30", "1e30", '"123456789012345678/7"', "1234.5678e-20"]
)
def test_numbers_are_exact(text: str) -> None:
    found = World.from_toml(f"{GOOD}[reward]\nstep = {text}").reward.step.values[0]
    assert found == Fraction(text.strip('"'))
    assert World.from_toml(f"{GOOD}[reward]\nstep = {number_to_toml(found)}").reward.step.values[0] == found


def test_the_guides_examples_are_valid_and_its_table_is_complete() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "worlds.md").read_text(encoding="utf-8")
    whole, cells, *rules = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert World.from_toml(whole).name == "corridor"
    assert len(World.from_toml(f'actions = ["up"]\nmap = "SWFCTG"\n{cells}').cells) == 5
    for rule in rules:
        World.from_toml(f'actions = ["up"]\nmap = ".........."\n{rule}')
    assert sorted(re.findall(r"^\| `(\w+)` \| \d+ × \d+ ", guide, re.MULTILINE)) == CATALOG


# -- bad input: the whole sentence after the file's name ---------------------------------------------------------------

KEYS = "map, actions, name, source, discount, max_episode_steps, edge, reward, cells, slip, wind"
MOVES = "up, up-right, right, down-right, down, down-left, left, up-left, stay"
SUM = 'allowed: exactly 1 (write "1/3", not 0.333)'
NUMBER = 'allowed: a finite number or a fraction such as "1/3"'

BAD = {
    "empty file": ("", "the file is empty; a TOML table was expected"),
    "map missing": ('actions = ["up"]', 'the key "map" is missing'),
    "map empty": (
        'actions = ["up"]\nmap = ""',
        "map: it is empty; allowed: at least one row with one cell",
    ),
    "ragged rows": (
        'actions = ["up"]\nmap = """\n...\n..\n"""',
        "map: row 2 has 2 cells, row 1 has 3; allowed: rows of one length",
    ),
    "unknown symbol": (
        HEAD + "[cells]\nG = {}",
        "map: row 2, column 3: unknown symbol 'H'; allowed: . G S, or add it to cells",
    ),
    "unused symbol": (GOOD + "Q = {}", 'cells: "Q" does not occur in the map; allowed: symbols that do'),
    "long symbol": (GOOD + "GG = {}", 'cells: found "GG"; allowed: a single symbol of the map'),
    "built-in symbol redefined": (
        GOOD + "S = {}",
        'cells: "S" has two meanings, it is built in as start; allowed: another symbol',
    ),
    "no start": (
        'actions = ["up"]\nmap = "#G"\n[cells]\nG = { terminal = true }',
        "map: no cell can be a start; allowed: S, a cell with start = true, or any open cell",
    ),
    "slip sum": (GOOD + "[slip]\nturn = { 0 = 0.8, 90 = 0.1 }", f"slip.turn: the probabilities add up to 0.9; {SUM}"),
    "nearly 1": (
        GOOD + "[slip]\nturn = { 0 = 0.333, 90 = 0.333, -90 = 0.333 }",
        f"slip.turn: the probabilities add up to 0.999; {SUM}",
    ),
    "wind sum": (
        GOOD + '[wind]\nup = [0, 0, 1]\nvaries = { 0 = "1/3" }',
        f"wind.varies: the probabilities add up to 1/3; {SUM}",
    ),
    "reward sum": (
        GOOD + "[reward]\nstep = { values = [1, 2], probabilities = [0.5, 0.4] }",
        f"reward.step: the probabilities add up to 0.9; {SUM}",
    ),
    "negative probability": (
        GOOD + "[slip]\nturn = { 0 = 1.5, 90 = -0.5 }",
        "slip.turn.0: found 1.5; allowed: a probability between 0 and 1",
    ),
    "probability too large": (
        GOOD + "[slip]\nrandom = 2",
        "slip.random: found 2; allowed: a probability between 0 and 1",
    ),
    "negative discount": ("discount = -0.1\n" + GOOD, "discount: found -0.1; allowed: a number between 0 and 1"),
    "NaN discount": ("discount = nan\n" + GOOD, "discount: found nan; allowed: a number between 0 and 1"),
    "text discount": ('discount = "high"\n' + GOOD, 'discount: found "high"; allowed: a number'),
    "NaN step reward": (GOOD + "[reward]\nstep = nan", f"reward.step: found NaN; {NUMBER}"),
    "NaN enter reward": (HEAD + "[cells]\nG = { enter = nan }\nH = {}", f"cells.G.enter: found NaN; {NUMBER}"),
    "infinite reward": (GOOD + "[reward]\nbump = -inf", f"reward.bump: found -Infinity; {NUMBER}"),
    "huge reward": (
        GOOD + "[reward]\nstep = 1e999999999",
        "reward.step: found 1E+999999999; allowed: a size up to 1e30, with at most 30 decimals",
    ),
    "huge integer": (GOOD + f"[reward]\nstep = {'9' * 5000}", "not valid TOML: a number has too many digits"),
    "huge hexadecimal integer": (
        GOOD + f"[reward]\nstep = 0x{'f' * 5000}",
        "reward.step: found a huge number; allowed: 0, or a size between 1e-30 and 1e30",
    ),
    "unknown key": (
        "dicount = 0.9\n" + GOOD,
        f'unknown key: found "dicount", did you mean "discount"? Allowed: {KEYS}',
    ),
    "unknown cell key": (
        HEAD + "[cells]\nG = { terminl = true }\nH = {}",
        'cells.G: unknown key: found "terminl", did you mean "terminal"? '
        "Allowed: wall, bump, enter, enter_to, leave, exit, terminal, start",
    ),
    "unknown reward key": (
        GOOD + "[reward]\nstp = 1",
        'reward: unknown key: found "stp", did you mean "step"? '
        "Allowed: step, bump, bump_adds_cell, enter_adds_step, action",
    ),
    "unknown action": (
        'actions = ["lefft"]\nmap = "."',
        f'actions: found "lefft", did you mean "left"? Allowed: {MOVES}',
    ),
    "action given twice": ('actions = ["up", "up"]\nmap = "."', 'actions: "up" stands there twice; allowed: once'),
    "price of no action": (GOOD + "[reward]\naction = { left = 1 }", 'reward.action: found "left"; allowed: up, right'),
    "exit and terminal": (
        HEAD + "[cells]\nG = { terminal = true, exit = 1 }\nH = {}",
        'cells.G: "exit" and "terminal" exclude each other',
    ),
    "start and wall": (
        HEAD + "[cells]\nG = { wall = true, start = true }\nH = {}",
        'cells.G: "start" and "wall" exclude each other',
    ),
    "wall and enter": (
        HEAD + "[cells]\nG = { wall = true, enter = 1 }\nH = {}",
        'cells.G: "wall" and "enter" exclude each other; a wall is never entered',
    ),
    "bump without wall": (
        HEAD + "[cells]\nG = { bump = -1 }\nH = {}",
        'cells.G: "bump" is paid by who runs into a wall; add wall = true',
    ),
    "turn and random": (
        GOOD + "[slip]\nrandom = 0.1\nturn = { 0 = 1 }",
        'slip: found both "turn" and "random"; allowed: exactly one of them',
    ),
    "wind length": (GOOD + "[wind]\nup = [0, 1]", "wind.up: found 2 numbers; allowed: 3, one for each column"),
    "wind too strong": (GOOD + "[wind]\nleft = [0, -4]", "wind.left: found a wind of -4; allowed: at most 3 cells"),
    "wind not whole": (GOOD + "[wind]\nup = [0, 1.5, 0]", "wind.up[1]: found 1.5; allowed: a whole number"),
    "wind varies twice": (
        GOOD + '[wind]\nup = [0, 0, 1]\nvaries = { 1 = "1/2", 01 = "1/2" }',
        'wind.varies: found "01"; allowed: whole numbers such as -1, 0, 1',
    ),
    "leave to nowhere": (
        HEAD + '[cells]\nG = { leave = { to = "x" } }\nH = {}',
        'cells.G.leave.to: found "x"; allowed: one of . S G H',
    ),
    "enter_to a wall": (
        HEAD + '[cells]\nG = { enter_to = "H" }\nH = { wall = true }',
        'cells.G.enter_to: found "H"; allowed: one of . S G',
    ),
    "unknown edge": ('edge = "wrap"\n' + GOOD, 'edge: found "wrap"; allowed: stay, clip'),
    "no steps": ("max_episode_steps = 0\n" + GOOD, "max_episode_steps: found 0; allowed: 1 to 2147483647"),
    "cells not a table": ("cells = 3\n" + HEAD, "cells: found 3; allowed: a table"),
    "number for a table": (HEAD + "[cells]\nG = 1\nH = {}", "cells.G: found 1; allowed: a table"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_worlds_get_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        World.from_toml(text, where="my.toml")
    assert str(caught.value) == f"my.toml: {sentence}"


def test_broken_toml_is_shown_by_line_and_column() -> None:
    with pytest.raises(InputError, match=r"^my\.toml: not valid TOML: .* \(at line 2, column \d+\)$"):
        World.from_toml("discount = 1\nedge clip\n", where="my.toml")


def test_a_symbol_given_twice_is_shown_by_line() -> None:
    with pytest.raises(InputError, match=r'^my\.toml: cells: "G" has two meanings, in lines 7 and 9; allowed: one$'):
        World.from_toml(GOOD + "G = {}\n", where="my.toml")


# -- bad input: files -------------------------------------------------------------------------------------------------


def sentence_for(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        load_world(path)
    return str(caught.value)


def test_a_bad_world_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("discount = -1\n" + GOOD)
    assert sentence_for(path) == f"{path}: discount: found -1; allowed: a number between 0 and 1"


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.touch()
    assert sentence_for(path) == f"{path}: the file is empty; a TOML table was expected"


def test_a_file_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)  # sparse: it takes no room on the disk
    assert sentence_for(path) == f"{path}: 100,000,000 bytes are too many; allowed: at most {MAX_FILE_BYTES:,}"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "caf\xe9"'.encode("latin-1"))
    assert sentence_for(path) == f"{path}: not UTF-8 text (byte 12 is 0xe9)"


def test_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "folder.toml"
    path.mkdir()
    assert sentence_for(path) == f"{path}: not a regular file; allowed: a text file"


def test_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "maze.toml").write_text(GOOD)
    assert (
        sentence_for(tmp_path / "mase.toml")
        == f"{tmp_path / 'mase.toml'}: there is no such file; did you mean maze.toml?"
    )
    assert sentence_for(tmp_path / "other.toml") == f"{tmp_path / 'other.toml'}: there is no such file"


def test_an_impossible_path() -> None:
    assert re.search("cannot be read: .*embedded null", sentence_for("a\0b.toml"))


def test_an_unknown_catalog_name() -> None:
    allowed = f"Allowed: {', '.join(CATALOG)}, or a path to a .toml file"
    assert sentence_for("zhao_5x6") == f'world: found "zhao_5x6", did you mean "zhao_5x5"? {allowed}'
