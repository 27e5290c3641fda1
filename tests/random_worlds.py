"""Hypothesis strategies for worlds that use the whole vocabulary of the world file, and their turned images."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from slow_rules import CLOCK

from rlgrid import World
from rlgrid.worlds.numbers import to_reward
from rlgrid.worlds.world import Cell, Leave, RewardRules, Slip, Wind

NUMBERS = st.sampled_from([-10, -1, 0, 1, 5, 0.25, -0.1, "1/3", "-2/7"])
KINDS = ["floor", "wall", "enter_to", "leave", "exit", "terminal"]


def examples(count: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


@st.composite
def shares(draw: Callable[..., Any], n: int) -> list[Fraction]:
    """n probabilities that add up to 1; some may be 0."""
    weights = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))
    return [Fraction(weight, sum(weights)) for weight in weights]


@st.composite
def rewards(draw: Callable[..., Any]) -> Any:
    form = draw(st.sampled_from(["number", "number", "number", "values", "normal"]))
    if form == "number":
        return to_reward(draw(NUMBERS))
    if form == "normal":
        return to_reward({"mean": draw(NUMBERS), "std": draw(st.sampled_from([0, 0.5, 2]))})
    values = draw(st.lists(NUMBERS, min_size=1, max_size=3))
    return to_reward({"values": values, "probabilities": draw(shares(len(values)))})


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def cells(draw: Callable[..., Any], kind: str, targets: list[str]) -> Cell:
    """The meaning of a symbol of some kind."""
    if kind == "wall":
        return Cell(wall=True, bump=draw(maybe(rewards())))
    keys: dict[str, Any] = {"enter": draw(maybe(rewards())), "start": kind != "terminal" and draw(st.booleans())}
    if kind == "enter_to":
        keys["enter_to"] = draw(st.sampled_from(targets))
    elif kind == "leave":
        keys["leave"] = Leave(to=draw(st.sampled_from(targets)), reward=draw(maybe(rewards())))
    elif kind == "exit":
        keys["exit"] = draw(rewards())
    return Cell(**keys, terminal=kind == "terminal")


@st.composite
def slips(draw: Callable[..., Any], n_actions: int) -> Slip:
    if n_actions > 1 and draw(st.booleans()):
        return Slip(random=draw(st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1)])))
    degrees = draw(st.lists(st.integers(-7, 7), min_size=1, max_size=4, unique=True))
    return Slip(turn={str(45 * d): p for d, p in zip(degrees, draw(shares(len(degrees))), strict=True)})


@st.composite
def winds(draw: Callable[..., Any], n_rows: int, n_cols: int) -> Wind:
    strongest = min(3, max(n_rows, n_cols))
    keys = draw(st.lists(st.sampled_from(["up", "down", "left", "right"]), min_size=1, max_size=2, unique=True))
    lengths = {"up": n_cols, "down": n_cols, "left": n_rows, "right": n_rows}
    force = st.integers(-strongest, strongest)
    forces = {key: draw(st.lists(force, min_size=lengths[key], max_size=lengths[key])) for key in keys}
    changes = draw(st.lists(st.integers(-2, 2), max_size=3, unique=True))
    varies = {str(c): p for c, p in zip(changes, draw(shares(len(changes))), strict=True)} if changes else None
    return Wind(**forces, varies=varies)


@st.composite
def worlds(draw: Callable[..., Any]) -> World:
    """Any world of up to 6 x 6 cells."""
    n_rows, n_cols = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    symbols = st.sampled_from("..#SABCDE")
    rows = ["".join(draw(st.lists(symbols, min_size=n_cols, max_size=n_cols))) for _ in range(n_rows)]
    present = sorted(set("".join(rows)))
    kinds = {symbol: draw(st.sampled_from(KINDS)) for symbol in present if symbol in "ABCDE"}
    targets = [symbol for symbol in present if symbol != "#" and kinds.get(symbol) != "wall"]
    assume(targets)
    actions = draw(st.lists(st.sampled_from([*CLOCK, "stay"]), min_size=1, max_size=5, unique=True))
    priced = draw(st.lists(st.sampled_from(actions), max_size=2, unique=True))
    rules = RewardRules(
        step=draw(rewards()),
        bump=draw(maybe(rewards())),
        bump_adds_cell=draw(st.booleans()),
        enter_adds_step=draw(st.booleans()),
        action={action: draw(rewards()) for action in priced},
    )
    try:
        return World(
            map="\n".join(rows) + "\n",
            actions=actions,
            name="random",
            source=draw(st.sampled_from(["", 'a "quoted" source\n'])),
            discount=draw(st.sampled_from([None, 0.0, 0.9, 1.0])),
            max_episode_steps=draw(st.sampled_from([None, 1, 7])),
            edge=draw(st.sampled_from(["stay", "clip"])),
            reward=rules,
            cells={symbol: draw(cells(kind, targets)) for symbol, kind in kinds.items()},
            slip=draw(maybe(slips(len(actions)))),
            wind=draw(maybe(winds(n_rows, n_cols))),
        )
    except ValueError as error:
        assert "no cell can be a start" in str(error), error
        assume(False)
        raise


# -- the same world, seen from another side --------------------------------------------------------------------------


def _heading(action: str, turn: Callable[[int], int]) -> str:
    return action if action == "stay" else CLOCK[turn(CLOCK.index(action)) % 8]


def _with_actions(world: World, rows: list[str], turn: Callable[[int], int], **changes: Any) -> World:
    prices = {_heading(action, turn): price for action, price in world.reward.action.items()}
    return msgspec.structs.replace(
        world,
        map="\n".join(rows),
        actions=[_heading(action, turn) for action in world.actions],
        reward=msgspec.structs.replace(world.reward, action=prices),
        **changes,
    )


def rotated(world: World) -> World:
    """Turned clockwise by 90 degrees: cell (row, col) becomes (col, n_rows - 1 - row)."""
    rows = ["".join(column)[::-1] for column in zip(*world.rows, strict=True)]
    wind = world.wind and Wind(
        right=world.wind.up,
        left=world.wind.down,
        down=world.wind.right and world.wind.right[::-1],
        up=world.wind.left and world.wind.left[::-1],
        varies=world.wind.varies,
    )
    return _with_actions(world, rows, lambda heading: heading + 2, wind=wind)


def mirrored(world: World) -> World:
    """Left and right exchanged: cell (row, col) becomes (row, n_cols - 1 - col)."""
    wind = world.wind and Wind(
        up=world.wind.up and world.wind.up[::-1],
        down=world.wind.down and world.wind.down[::-1],
        left=world.wind.right,
        right=world.wind.left,
        varies=world.wind.varies,
    )
    slip = world.slip
    if slip is not None and slip.turn is not None:
        slip = Slip(turn={str(-int(degrees)): p for degrees, p in slip.turn.items()})
    return _with_actions(world, [row[::-1] for row in world.rows], lambda heading: -heading, wind=wind, slip=slip)
