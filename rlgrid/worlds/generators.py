"""Random worlds of any size: mazes, obstacles, rooms. The same arguments give the same world, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Ints
from rlgrid.errors import InputError, one_of, shown
from rlgrid.randomness import Stream, new_stream, uniforms
from rlgrid.worlds.numbers import Reward, number_to_toml, to_fraction
from rlgrid.worlds.world import FLOOR, START, WALL, Cell, RewardRules, Slip, World

#: Most rows and most columns of a generated world.
LONGEST = 3000

#: The goal's symbol.
GOAL = "G"


class Kind(NamedTuple):
    """One kind of random world: what it is in words, which cells are open, and its own options with their defaults."""

    words: str
    open_cells: Callable[..., Bools]
    options: dict[str, Fraction]


class _Option(NamedTuple):
    """The range of an option's value; ``whole``: whole numbers only."""

    lowest: int
    highest: int
    whole: bool


_OPTIONS = {
    "slip": _Option(0, 1, False),
    "step_reward": _Option(-(10**6), 10**6, False),
    "density": _Option(0, 1, False),
    "room_size": _Option(1, LONGEST, True),
}


def generate_world(kind: str, size: tuple[int, int], seed: int = 0, **options: float) -> World:
    """A random world with a start in its first open cell and a goal, worth 1, in its last.

    Args:
        kind: ``maze`` or ``wilson_maze`` (perfect mazes: exactly one way between any two cells), ``obstacles`` (walls
            at random, and always a way to the goal) or ``rooms`` (doors in the walls between them).
        size: rows and columns, up to 3000 each, and at least two cells.
        seed: of everything random.
        **options: for every kind ``slip``, the probability that a move is turned by 90 degrees to one side or the other
            (0), and ``step_reward`` (0); for obstacles ``density``, the share of the cells that are walls (0.3); for
            rooms ``room_size``, their width and height (5).

    Raises:
        InputError: for an unknown kind or option, or a value outside its range.

    >>> print(generate_world("maze", (5, 9), seed=1).map)
    S#...#...
    .#.#.###.
    ...#...#.
    ######.#.
    ........G
    <BLANKLINE>
    """
    if kind not in KINDS:
        raise InputError(f"kind: {one_of(kind, KINDS)}")
    n_rows, n_cols = _checked_size(size)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed: found {shown(seed)}; allowed: a whole number from 0")
    known = {"slip": Fraction(0), "step_reward": Fraction(0)} | KINDS[kind].options
    values = known | {name: _checked_option(name, value, known) for name, value in options.items()}
    own = {name: values[name] for name in KINDS[kind].options}
    stream = new_stream(np.random.SeedSequence(int(seed)))
    open_cells = KINDS[kind].open_cells((n_rows, n_cols), stream, **own)
    slip, step = values["slip"], values["step_reward"]
    settings = "".join(f", {name} {number_to_toml(values[name])}" for name in values if values[name] or name in own)
    return World(
        name=f"{kind}_{n_rows}x{n_cols}_{seed}",
        source=f"rlgrid generator {kind} ({KINDS[kind].words}), size {n_rows}x{n_cols}, seed {seed}{settings}",
        discount=0.99,
        actions=["up", "right", "down", "left"],
        map=_map_text(open_cells),
        reward=RewardRules(step=Reward((step,))),
        cells={GOAL: Cell(enter=Reward((Fraction(1),)), terminal=True)},
        slip=Slip(turn={"0": 1 - slip, "90": slip / 2, "-90": slip / 2}) if slip else None,
    )


def parse_size(text: str) -> tuple[int, int]:
    """Rows and columns from a text such as ``40x60``."""
    rows, _, cols = text.lower().partition("x")
    if not (rows.isdecimal() and cols.isdecimal() and len(text) < 20):
        raise InputError(f"size: found {shown(text)}; allowed: rows x columns, such as 40x60")
    return int(rows), int(cols)


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    allowed = f"allowed: rows and columns from 1 to {LONGEST}, and at least two cells"
    try:
        n_rows, n_cols = (int(length) for length in size)
        fits = (n_rows, n_cols) == tuple(size)
    except (TypeError, ValueError):
        raise InputError(f"size: found {shown(size)}; {allowed}") from None
    if not (fits and 1 <= n_rows <= LONGEST and 1 <= n_cols <= LONGEST and n_rows * n_cols >= 2):
        raise InputError(f"size: found {size[0]} x {size[1]}; {allowed}")
    return n_rows, n_cols


def _checked_option(name: str, found: object, known: dict[str, Fraction]) -> Fraction:
    if name not in known:
        raise InputError(f"option: {one_of(name, known)}")
    option = _OPTIONS[name]
    try:
        value = to_fraction(found)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if not option.lowest <= value <= option.highest or (option.whole and value.denominator != 1):
        number = "a whole number" if option.whole else "a number"
        raise InputError(f"{name}: found {shown(found)}; allowed: {number} from {option.lowest} to {option.highest}")
    return value


def _map_text(open_cells: Bools) -> str:
    """The map of a world, with S in the first open cell and G in the last."""
    n_rows, n_cols = open_cells.shape
    text = np.full((n_rows, n_cols + 1), ord("\n"), dtype=np.uint8)
    text[:, :-1] = np.where(open_cells, ord(FLOOR), ord(WALL))
    first, last = np.flatnonzero(open_cells)[[0, -1]]
    text[divmod(first, n_cols)], text[divmod(last, n_cols)] = ord(START), ord(GOAL)
    return text.tobytes().decode("ascii")


# -- mazes -----------------------------------------------------------------------------------------------------------


def _depth_first_maze(shape: tuple[int, int], stream: Stream) -> Bools:
    from rlgrid.worlds.mazes import NEW, ROOT, depth_first_tree

    rooms = _rooms_of(shape)
    way = np.full(rooms[0] * rooms[1], NEW, dtype=np.int8)
    way[0] = ROOT
    depth_first_tree(way, *rooms, stream)
    return _carved(way.reshape(rooms), shape)


def _wilson_maze(shape: tuple[int, int], stream: Stream) -> Bools:
    from rlgrid.worlds.mazes import ROOT, uniform_tree

    rooms = _rooms_of(shape)
    way = np.full(rooms[0] * rooms[1], ROOT, dtype=np.int8)
    inside = np.zeros(len(way), dtype=np.bool_)
    inside[len(way) // 2] = True  # walks find a root in the middle sooner than one in a corner
    uniform_tree(way, inside, *rooms, stream)
    return _carved(way.reshape(rooms), shape)


def _rooms_of(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of rooms in a maze: its rooms are the cells in even rows and columns."""
    return (shape[0] + 1) // 2, (shape[1] + 1) // 2


def _carved(way: NDArray[np.int8], shape: tuple[int, int]) -> Bools:
    """The open cells of a maze: its rooms and, between each room and the one that its way leads to, a passage.

    Where the number of rows or columns is even, the rooms at the far edge are two cells long: the last row or column
    would be nothing but wall otherwise.
    """
    from rlgrid.worlds.mazes import STEPS

    open_cells = np.zeros(shape, dtype=np.bool_)
    open_cells[::2, ::2] = True
    open_cells[shape[0] - 1, ::2] = True
    open_cells[::2, shape[1] - 1] = True
    for direction, (row_step, col_step) in enumerate(STEPS):
        row, col = np.nonzero(way == direction)
        open_cells[2 * row + row_step, 2 * col + col_step] = True
    return open_cells


# -- obstacles and rooms ---------------------------------------------------------------------------------------------


def _obstacles(shape: tuple[int, int], stream: Stream, density: Fraction) -> Bools:
    """Walls drawn uniformly from the cells beside one path: a random walk from corner to corner without its loops."""
    from rlgrid.worlds.mazes import loop_erased_walk

    n_cells = shape[0] * shape[1]
    path = np.zeros(n_cells, dtype=np.bool_)
    path[-1] = True
    loop_erased_walk(np.zeros(n_cells, dtype=np.int8), path, 0, *shape, stream)
    rank = uniforms(stream, n_cells)
    rank[path] = 2.0
    n_walls = min(round(density * n_cells), n_cells - int(path.sum()))
    open_cells = np.ones(n_cells, dtype=np.bool_)
    open_cells[np.argpartition(rank, n_walls - 1)[:n_walls]] = False
    return open_cells.reshape(shape)


def _rooms(shape: tuple[int, int], stream: Stream, room_size: Fraction) -> Bools:
    """Rooms side by side; every wall between two of them has one door, somewhere."""
    rows, cols = (_spans(length, int(room_size)) for length in shape)
    open_cells = np.zeros(shape, dtype=np.bool_)
    inside = [np.delete(np.arange(length), end[:-1]) for length, (_, end) in zip(shape, (rows, cols), strict=True)]
    open_cells[np.ix_(*inside)] = True
    open_cells[_doors(rows, len(cols[0]) - 1, stream), cols[1][:-1]] = True
    open_cells[rows[1][:-1], _doors(cols, len(rows[0]) - 1, stream)] = True
    return open_cells


def _spans(length: int, room_size: int) -> tuple[Ints, Ints]:
    """Where rooms begin and end along one axis, [rooms] each; a wall stands at each end but that of the last room."""
    begin = np.arange(0, length, room_size + 1)
    return begin, np.append(begin[1:] - 1, length)


def _doors(spans: tuple[Ints, Ints], n_walls: int, stream: Stream) -> Ints:
    """Where along each of a number of walls the doors are, one for each span: [spans, n_walls]."""
    begin, end = (np.repeat(bound[:, None], n_walls, axis=1) for bound in spans)
    if begin.size == 0:
        return begin
    return begin + (uniforms(stream, begin.size).reshape(begin.shape) * (end - begin)).astype(np.int64)


KINDS = {
    "maze": Kind("perfect maze by depth-first search", _depth_first_maze, {}),
    "wilson_maze": Kind("perfect maze by Wilson's algorithm, uniform among all", _wilson_maze, {}),
    "obstacles": Kind("random walls beside a random path", _obstacles, {"density": Fraction(3, 10)}),
    "rooms": Kind("rooms with doors", _rooms, {"room_size": Fraction(5)}),
}
