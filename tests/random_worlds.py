"""Hypothesis strategies for worlds that use the whole vocabulary of the world file, and their turned images."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from slow_rules import CLOCK

from rlgrid import World
from rlgrid.worlds.numbers import to_reward
from rlgrid.worlds.world import Cell, Leave, RewardRules, Slip, Wind

FORMS = st.sampled_from(["number", "number", "number", "values", "normal"])
NUMBERS = st.sampled_from([-10, -1, 0, 1, 5, 0.25, -0.1, "1/3", "-2/7"])
BOOLEANS = st.booleans()
KINDS = ("floor", "wall", "enter_to", "leave", "exit", "terminal")


def examples(count: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


#: Strategies are made once: making one takes longer than drawing from it.
one_of, integers, lists = cache(st.sampled_from), cache(st.integers), cache(st.lists)


@cache
def shares(n: int) -> st.SearchStrategy[list[Fraction]]:
    """n probabilities that add up to 1; some may be 0."""
    weights = lists(integers(0, 3), min_size=n, max_size=n).filter(any)
    return weights.map(lambda found: [Fraction(weight, sum(found)) for weight in found])


@st.composite
def rewards(draw: Callable[..., Any]) -> Any:
    form = draw(FORMS)
    if form == "number":
        return to_reward(draw(NUMBERS))
    if form == "normal":
        return to_reward({"mean": draw(NUMBERS), "std": draw(one_of((0, 0.5, 2)))})
    values = draw(lists(NUMBERS, min_size=1, max_size=3))
    return to_reward({"values": values, "probabilities": draw(shares(len(values)))})


REWARDS = rewards()


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


MAYBE_REWARD = maybe(REWARDS)


@st.composite
def cells(draw: Callable[..., Any], kind: str, targets: tuple[str, ...]) -> Cell:
    """The meaning of a symbol of some kind."""
    if kind == "wall":
        return Cell(wall=True, bump=draw(MAYBE_REWARD))
    keys: dict[str, Any] = {"enter": draw(MAYBE_REWARD), "start": kind != "terminal" and draw(BOOLEANS)}
    if kind == "enter_to":
        keys["enter_to"] = draw(one_of(targets))
    elif kind == "leave":
        keys["leave"] = Leave(to=draw(one_of(targets)), reward=draw(MAYBE_REWARD))
    elif kind == "exit":
        keys["exit"] = draw(REWARDS)
    return Cell(**keys, terminal=kind == "terminal")


@st.composite
def slips(draw: Callable[..., Any], n_actions: int) -> Slip:
    if n_actions > 1 and draw(BOOLEANS):
        return Slip(random=draw(one_of((Fraction(0), Fraction(1, 3), Fraction(1)))))
    degrees = draw(lists(integers(-7, 7), min_size=1, max_size=4, unique=True))
    return Slip(turn={str(45 * d): p for d, p in zip(degrees, draw(shares(len(degrees))), strict=True)})


@st.composite
def winds(draw: Callable[..., Any], n_rows: int, n_cols: int) -> Wind:
    strongest = min(3, max(n_rows, n_cols))
    keys = draw(lists(one_of(("up", "down", "left", "right")), min_size=1, max_size=2, unique=True))
    lengths = {"up": n_cols, "down": n_cols, "left": n_rows, "right": n_rows}
    force = integers(-strongest, strongest)
    forces = {key: draw(lists(force, min_size=lengths[key], max_size=lengths[key])) for key in keys}
    changes = draw(lists(integers(-2, 2), max_size=3, unique=True))
    varies = {str(c): p for c, p in zip(changes, draw(shares(len(changes))), strict=True)} if changes else None
    return Wind(**forces, varies=varies)


@st.composite
def worlds(draw: Callable[..., Any]) -> World:
    """Any world of up to 6 x 6 cells."""
    n_rows, n_cols = draw(integers(1, 6)), draw(integers(1, 6))
    symbols = one_of("..#SABCDE")
    rows = ["".join(draw(lists(symbols, min_size=n_cols, max_size=n_cols))) for _ in range(n_rows)]
    present = sorted(set("".join(rows)))
    kinds = {symbol: draw(one_of(KINDS)) for symbol in present if symbol in "ABCDE"}
    targets = tuple(symbol for symbol in present if symbol != "#" and kinds.get(symbol) != "wall")
    assume(targets)
    actions = draw(lists(one_of((*CLOCK, "stay")), min_size=1, max_size=5, unique=True))
    priced = draw(lists(one_of(tuple(actions)), max_size=2, unique=True))
    rules = RewardRules(
        step=draw(REWARDS),
        bump=draw(MAYBE_REWARD),
        bump_adds_cell=draw(BOOLEANS),
        enter_adds_step=draw(BOOLEANS),
        action={action: draw(REWARDS) for action in priced},
    )
    try:
        return World(
            map="\n".join(rows) + "\n",
            actions=actions,
            name="random",
            source=draw(one_of(("", 'a "quoted" source\n'))),
            discount=draw(one_of((None, 0.0, 0.9, 1.0))),
            max_episode_steps=draw(one_of((None, 1, 7))),
            edge=draw(one_of(("stay", "clip"))),
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
