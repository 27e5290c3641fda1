"""World: a map and its rules, read from TOML. What the rules do in a step is in ``rlgrid.worlds.outcomes``."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rlgrid import library
from rlgrid.errors import InputError, one_of, printable, shown
from rlgrid.toml import convert, parse_toml, read_text
from rlgrid.worlds.numbers import Reward, check_sum, decode_number, number_to_toml, to_probability

FLOOR, WALL, START = ".", "#", "S"

#: Row and column step of each move, clockwise from up; ``stay`` has no heading.
HEADINGS = {
    "up": (-1, 0),
    "up-right": (-1, 1),
    "right": (0, 1),
    "down-right": (1, 1),
    "down": (1, 0),
    "down-left": (1, -1),
    "left": (0, -1),
    "up-left": (-1, -1),
}
MOVES = {**HEADINGS, "stay": (0, 0)}


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A frozen record from a file, without unknown keys; ``dict`` lets ``cached_property`` keep derived arrays."""


class Leave(_Struct, frozen=True):
    """Every action in this cell leads to a cell marked ``to``."""

    to: str
    reward: Reward | None = None


class Cell(_Struct, frozen=True):
    """What one map symbol means."""

    wall: bool = False
    bump: Reward | None = None
    enter: Reward | None = None
    enter_to: str | None = None
    leave: Leave | None = None
    exit: Reward | None = None
    terminal: bool = False
    start: bool = False

    def __post_init__(self) -> None:
        if self.bump is not None and not self.wall:
            raise InputError('"bump" is paid by who runs into a wall; add wall = true')
        exclusive = [key for key in ("wall", "enter_to", "leave", "exit", "terminal") if getattr(self, key)]
        if len(exclusive) > 1:
            raise InputError(f'"{exclusive[0]}" and "{exclusive[1]}" exclude each other')
        if self.start and (self.wall or self.terminal):
            raise InputError(f'"start" and "{"wall" if self.wall else "terminal"}" exclude each other')
        if self.wall and self.enter is not None:
            raise InputError('"wall" and "enter" exclude each other; a wall is never entered')


class RewardRules(_Struct, frozen=True):
    """What steps and bumps pay, and what each action costs on top."""

    step: Reward = Reward((Fraction(0),))
    bump: Reward | None = None
    bump_adds_cell: bool = False
    enter_adds_step: bool = False
    action: dict[str, Reward] = {}


class Slip(_Struct, frozen=True):
    """Where a move may go instead: turned by degrees clockwise, or another action drawn uniformly."""

    turn: dict[str, Fraction] | None = None
    random: Fraction | None = None

    def __post_init__(self) -> None:
        if (self.turn is None) == (self.random is None):
            found = 'neither "turn" nor "random"' if self.turn is None else 'both "turn" and "random"'
            raise InputError(f"found {found}; allowed: exactly one of them")
        if self.random is not None:
            _check_probability(self.random, ".random")
        if self.turn is not None:
            for degrees in self.turn:
                if degrees not in _DEGREES:
                    raise InputError(f".turn: {one_of(printable(degrees), _DEGREES)}")
            _check_distribution(self.turn, ".turn")


_DEGREES = [str(d) for d in (0, 45, -45, 90, -90, 135, -135, 180, -180, 225, -225, 270, -270, 315, -315)]


def _check_probability(found: Fraction, key: str) -> None:
    try:
        to_probability(found)
    except ValueError as error:
        raise InputError(f"{key}: {error}") from None


def _check_distribution(found: dict[str, Fraction], key: str) -> None:
    for outcome, probability in found.items():
        _check_probability(probability, f"{key}.{outcome}")
    try:
        check_sum(list(found.values()))
    except ValueError as error:
        raise InputError(f"{key}: {error}") from None


class Wind(_Struct, frozen=True):
    """Pushes by column (up, down) and by row (left, right), in cells; ``varies`` is added where there is wind."""

    up: list[int] | None = None
    down: list[int] | None = None
    left: list[int] | None = None
    right: list[int] | None = None
    varies: dict[str, Fraction] | None = None

    def __post_init__(self) -> None:
        if not any((self.up, self.down, self.left, self.right)):
            raise InputError('found no wind; allowed: at least one of "up", "down", "left" and "right"')
        if self.varies is not None:
            for change in self.varies:
                if not re.fullmatch("0|-?[1-9][0-9]{0,3}", change):
                    raise InputError(f".varies: found {shown(change)}; allowed: whole numbers such as -1, 0, 1")
            _check_distribution(self.varies, ".varies")


class World(_Struct, frozen=True):
    """A gridworld: an ASCII map, the meaning of its symbols, and the rules of a step.

    States are row-major cell indices ``row * n_cols + col`` over all cells; walls keep an index and are never
    occupied. ``docs/worlds.md`` explains every key.

    >>> world = World.from_toml('''
    ... actions = ["left", "right"]
    ... map = "S..G"
    ... [cells]
    ... G = { terminal = true, enter = 1 }
    ... ''')
    >>> world.shape, world.n_actions, world.starts
    ((1, 4), 2, array([0]))
    """

    map: str
    actions: list[str]
    name: str = "unnamed"
    source: str = ""
    discount: float | None = None
    max_episode_steps: int | None = None
    edge: str = "stay"
    reward: RewardRules = RewardRules()
    cells: dict[str, Cell] = {}
    slip: Slip | None = None
    wind: Wind | None = None

    def __post_init__(self) -> None:
        check_world(self)

    @classmethod
    def from_toml(cls, text: str, *, where: str = "world") -> World:
        """Read a world from TOML text; ``where`` names it in error sentences.

        Raises:
            InputError: one sentence with the file, the key or the map's row and column, and what is allowed.
        """
        return cls.from_table(parse_toml(text, where=where), where=where)

    @classmethod
    def from_table(cls, data: dict[str, Any], *, where: str = "world") -> World:
        """A world from what TOML text parses to; errors as in :meth:`from_toml`."""
        cells = data.get("cells", {})
        if not isinstance(cells, dict):
            raise InputError(f"{where}: cells: found {shown(cells)}; allowed: a table")
        found = {
            s: convert(c, Cell, where=where, key=f"cells.{printable(s)}", decode=decode_number)
            for s, c in cells.items()
        }
        return convert(data | {"cells": found}, cls, where=where, decode=decode_number)

    def to_toml(self) -> str:
        """Write the world so that :meth:`from_toml` gives an equal one."""
        return world_to_toml(self)

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """The map, one text a row."""
        return tuple(self.map.strip("\n").split("\n"))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.rows[0])

    @property
    def n_states(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def n_actions(self) -> int:
        return len(self.actions)

    @cached_property
    def symbols(self) -> NDArray[np.uint32]:
        """Code point of each cell's symbol, [S]."""
        return np.frombuffer("".join(self.rows).encode("utf-32-le"), dtype="<u4")

    @cached_property
    def legend(self) -> dict[str, Cell]:
        """Every symbol of the map with its meaning, the built-in ones among them."""
        built_in = {FLOOR: Cell(), WALL: Cell(wall=True), START: Cell(start=True)}
        present = set(self.map)
        return {**{s: cell for s, cell in built_in.items() if s in present}, **self.cells}

    def where(self, symbol: str) -> NDArray[np.int64]:
        """The states that carry a symbol, in order."""
        return np.flatnonzero(self.symbols == ord(symbol))

    def mask(self, key: str) -> NDArray[np.bool_]:
        """The cells whose meaning sets ``key`` (wall, terminal, exit, leave, enter_to, ...), bool [S]."""
        marked = [ord(s) for s, cell in self.legend.items() if getattr(cell, key) not in (None, False)]
        return np.isin(self.symbols, np.array(marked, dtype=np.uint32))

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Start states, drawn uniformly: those marked so, else every cell that can be stood on and goes on."""
        marked = np.flatnonzero(self.mask("start"))
        if len(marked):
            return marked
        return np.flatnonzero(~(self.mask("wall") | self.mask("terminal") | self.mask("enter_to")))


def load_world(name: str | os.PathLike[str]) -> World:
    """Load a world by catalog name (``rlgrid worlds`` lists them) or from a path that ends in ``.toml``.

    Raises:
        InputError: for an unknown name or a file that is not a valid world; one sentence says what is wrong.

    >>> load_world("zhao_5x5").shape
    (5, 5)
    """
    path = library.find("envs", name)
    world = World.from_toml(read_text(path), where=path.name if os.fspath(name) == path.stem else str(path))
    return world if world.name != "unnamed" else msgspec.structs.replace(world, name=Path(path).stem)


def check_world(world: World) -> None:
    """Check what types cannot say.

    Raises:
        InputError: a sentence that follows the file's name.
    """
    _check_actions(world)
    _check_map(world)
    _check_numbers(world)
    if len(world.starts) == 0:
        raise InputError("map: no cell can be a start; allowed: S, a cell with start = true, or any open cell")


def _check_actions(world: World) -> None:
    if not world.actions:
        raise InputError(f"actions: the list is empty; allowed: {', '.join(MOVES)}")
    for action in world.actions:
        if action not in MOVES:
            raise InputError(f"actions: {one_of(printable(action), MOVES)}")
    if len(set(world.actions)) < len(world.actions):
        twice = next(a for a in world.actions if world.actions.count(a) > 1)
        raise InputError(f'actions: "{twice}" stands there twice; allowed: once')
    for action in world.reward.action:
        if action not in world.actions:
            raise InputError(f"reward.action: {one_of(printable(action), world.actions)}")


def _check_map(world: World) -> None:
    width = len(world.rows[0])
    if not width:
        raise InputError("map: it is empty; allowed: at least one row with one cell")
    for number, row in enumerate(world.rows, start=1):
        if len(row) != width:
            raise InputError(f"map: row {number} has {len(row)} cells, row 1 has {width}; allowed: rows of one length")
    for symbol in world.cells:
        if len(symbol) != 1 or symbol == "\n":
            raise InputError(f"cells: found {shown(symbol)}; allowed: a single symbol of the map")
        if symbol in (FLOOR, WALL, START):
            meaning = {FLOOR: "floor", WALL: "wall", START: "start"}[symbol]
            raise InputError(
                f'cells: "{symbol}" has two meanings, it is built in as {meaning}; allowed: another symbol'
            )
        if symbol not in world.map:
            raise InputError(f'cells: "{symbol}" does not occur in the map; allowed: symbols that do')
    present = set(world.map) - {"\n"}
    for symbol in sorted(present - set(world.legend)):
        number, text = next((i, text) for i, text in enumerate(world.rows, start=1) if symbol in text)
        place = f"map: row {number}, column {text.index(symbol) + 1}"
        raise InputError(
            f"{place}: unknown symbol {symbol!r}; allowed: {' '.join(sorted(world.legend))}, or add it to cells"
        )
    for symbol, cell in world.cells.items():
        for key, target in (("enter_to", cell.enter_to), ("leave.to", cell.leave and cell.leave.to)):
            if target is not None and (target not in world.legend or world.legend[target].wall):
                open_symbols = " ".join(s for s, c in world.legend.items() if not c.wall)
                raise InputError(f"cells.{symbol}.{key}: found {shown(target)}; allowed: one of {open_symbols}")


def _check_numbers(world: World) -> None:
    if world.discount is not None and not 0 <= world.discount <= 1:
        raise InputError(f"discount: found {world.discount:g}; allowed: a number between 0 and 1")
    if world.max_episode_steps is not None and not 1 <= world.max_episode_steps < 2**31:
        raise InputError(f"max_episode_steps: found {shown(world.max_episode_steps)}; allowed: 1 to {2**31 - 1}")
    if world.edge not in ("stay", "clip"):
        raise InputError(f"edge: {one_of(printable(world.edge), ['stay', 'clip'])}")
    if world.slip is not None and world.slip.random is not None and world.n_actions < 2:
        raise InputError("slip.random: there is no other action to draw; allowed: in worlds with two actions or more")
    for key, axis in (("up", 1), ("down", 1), ("left", 0), ("right", 0)):
        wind, length = getattr(world.wind, key, None), world.shape[axis]
        if wind is None:
            continue
        if len(wind) != length:
            one = f"one for each {('row', 'column')[axis]}"
            raise InputError(f"wind.{key}: found {len(wind)} numbers; allowed: {length}, {one}")
        strongest, limit = max(wind, key=abs), max(world.shape)
        if abs(strongest) > limit:
            raise InputError(f"wind.{key}: found a wind of {shown(strongest)}; allowed: at most {limit} cells")


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are valid there, and DEL is escaped as TOML asks."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007F")


def _inline(pairs: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + " }" if pairs else "{}"


def _entry(value: object) -> str:
    if isinstance(value, Leave):
        return _inline({"to": _quoted(value.to)} | ({"reward": value.reward.to_toml()} if value.reward else {}))
    if isinstance(value, Reward):
        return value.to_toml()
    if isinstance(value, dict):
        return _inline({key: _entry(item) for key, item in value.items()})
    return "true" if value is True else _quoted(str(value))


def world_to_toml(world: World) -> str:
    """The TOML text of a world; keys at their default are left out."""
    lines = [f"name = {_quoted(world.name)}"]
    lines += [f"source = {_quoted(world.source)}"] if world.source else []
    lines += [f"discount = {world.discount!r}"] if world.discount is not None else []
    lines += [f"max_episode_steps = {world.max_episode_steps}"] if world.max_episode_steps else []
    lines += [f'edge = "{world.edge}"'] if world.edge != "stay" else []
    lines += [f"actions = [{', '.join(_quoted(action) for action in world.actions)}]"]
    literal = "'" not in world.map and all(ch.isprintable() for ch in set(world.map) - {"\n"})
    lines += [f"map = '''\n{world.map}'''" if literal else f"map = {_quoted(world.map)}"]
    rules, usual = world.reward, RewardRules()
    paid = [key for key in rules.__struct_fields__ if getattr(rules, key) != getattr(usual, key)]
    lines += ["", "[reward]", *(f"{key} = {_entry(getattr(rules, key))}" for key in paid)] if paid else []
    lines += ["", "[cells]"] if world.cells else []
    for symbol, cell in world.cells.items():
        keys = {key: getattr(cell, key) for key in cell.__struct_fields__}
        set_keys = {key: _entry(value) for key, value in keys.items() if value is not None and value is not False}
        lines.append(f"{symbol if symbol.isascii() and symbol.isalnum() else _quoted(symbol)} = {_inline(set_keys)}")
    if world.slip is not None:
        turn = {degrees: number_to_toml(p) for degrees, p in (world.slip.turn or {}).items()}
        lines += ["", "[slip]", f"turn = {_inline(turn)}" if turn else f"random = {number_to_toml(world.slip.random)}"]  # type: ignore[arg-type]
    if world.wind is not None:
        lines += ["", "[wind]"]
        lines += [
            f"{key} = {getattr(world.wind, key)}" for key in ("up", "down", "left", "right") if getattr(world.wind, key)
        ]
        varies = {change: number_to_toml(p) for change, p in (world.wind.varies or {}).items()}
        lines += [f"varies = {_inline(varies)}"] if varies else []
    return "\n".join(lines) + "\n"
