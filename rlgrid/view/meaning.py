"""What a picture shows of the cells of a world: good, bad, an end, a jump. Read from the rules alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools
from rlgrid.worlds.numbers import Reward
from rlgrid.worlds.world import FLOOR, START, Cell, World

AWAY = ">"  # begins the letter of a jump whose far end has no letter of its own


@dataclass(frozen=True)
class Meaning:
    """Masks are bool [S]; the dictionaries hold only the cells that carry such a text.

    Attributes:
        wall: never entered.
        end: terminal, or an exit: the episode does not go on from here.
        passed: entered but never stood in (``enter_to``).
        good: entering or leaving pays more than a step; a terminal cell where the world has nothing better.
        bad: entering, leaving or bumping pays less than a step; an end that pays nothing while another one does.
        jump: both ends of a teleport.
        start: marked as a start.
        letters: names of a jump's ends, ``A`` and ``A'``; ``>S`` if the far end is a start, ``>?`` if it is any floor.
        rewards: the cell's own reward as text, such as ``+1``.
        arcs: (from, to) of every jump that has one far end.
        wind: cells pushed upwards and to the right, int [S, 2].
        reach: rows or columns that a step goes at most, without jumps.
    """

    wall: Bools
    end: Bools
    passed: Bools
    good: Bools
    bad: Bools
    jump: Bools
    start: Bools
    letters: dict[int, str]
    rewards: dict[int, str]
    arcs: list[tuple[int, int]]
    wind: NDArray[np.int64]
    reach: int

    @property
    def valued(self) -> Bools:
        """The cells in which the choice of an action matters: they get a value and arrows."""
        return ~(self.wall | self.end | self.passed)


def read_meaning(world: World) -> Meaning:
    """Look up what each symbol means, for every cell that carries it."""
    goodness = {symbol: _goodness(world, cell) for symbol, cell in world.legend.items()}
    ends = {symbol for symbol, cell in world.legend.items() if cell.terminal or cell.exit is not None}
    something_good = any(sign > 0 for sign in goodness.values())
    for symbol in ends:
        if goodness[symbol] == 0:
            goodness[symbol] = -1 if something_good else 1
    letters, arcs, jumps = _jumps(world)
    wind = _wind(world)
    gust = max((abs(int(change)) for change in (world.wind and world.wind.varies) or {}), default=0)
    return Meaning(
        wall=world.mask("wall"),
        end=world.mask("terminal") | world.mask("exit"),
        passed=world.mask("enter_to"),
        good=_cells_with(world, {s for s, sign in goodness.items() if sign > 0}),
        bad=_cells_with(world, {s for s, sign in goodness.items() if sign < 0}),
        jump=_cells_with(world, jumps),
        start=world.mask("start"),
        letters=letters,
        rewards=_rewards(world),
        arcs=arcs,
        wind=wind,
        reach=1 + int(np.abs(wind).max()) + gust,
    )


def _cells_with(world: World, symbols: set[str]) -> Bools:
    """The cells that carry one of the symbols, bool [S]."""
    return np.isin(world.symbols, np.array([ord(symbol) for symbol in sorted(symbols)], dtype=np.uint32))


def _goodness(world: World, cell: Cell) -> int:
    """The sign of the cell's own reward against an ordinary step's (against an ordinary bump's for a wall)."""
    step = world.reward.step.mean
    if cell.wall:
        usual = world.reward.bump.mean if world.reward.bump else step
        return -1 if cell.bump is not None and cell.bump.mean < usual else 0
    gain = Fraction(0)
    if cell.exit is not None:
        gain = cell.exit.mean
    elif cell.enter is not None:
        gain = cell.enter.mean if world.reward.enter_adds_step else cell.enter.mean - step
    return (gain > 0) - (gain < 0)


def _jumps(world: World) -> tuple[dict[int, str], list[tuple[int, int]], set[str]]:
    """Letters and arcs as in :class:`Meaning`, and the symbols at both ends of jumps."""
    letters: dict[int, str] = {}
    arcs: list[tuple[int, int]] = []
    jumps: set[str] = set()
    for symbol, cell in world.legend.items():
        to = cell.leave.to if cell.leave else cell.enter_to
        if to is None:
            continue
        sources, targets = world.where(symbol), world.where(to)
        named = to not in (FLOOR, START)
        label = symbol if named else AWAY + ("S" if to == START else "?")
        letters |= {int(state): label for state in sources}
        jumps.add(symbol)
        if named:
            jumps.add(to)
            letters |= {int(state): letters.get(int(state), "") + f"{symbol}'" for state in targets}
        if len(targets) == 1 and cell.leave:
            arcs += [(int(state), int(targets[0])) for state in sources]
    return letters, arcs, jumps


def _rewards(world: World) -> dict[int, str]:
    rewards: dict[int, str] = {}
    for symbol, cell in world.legend.items():
        own = cell.exit or cell.bump or cell.enter or (cell.leave.reward if cell.leave else None)
        if own is not None:
            rewards |= {int(state): _signed(own) for state in world.where(symbol)}
    return rewards


def _signed(reward: Reward) -> str:
    mean = float(reward.mean)
    text = f"{mean:+.3g}".replace("-", "−") if mean else "0"
    return text if reward.is_constant else f"~{text}"


def _wind(world: World) -> NDArray[np.int64]:
    """Cells that each cell is pushed upwards and to the right, [S, 2]."""
    n_rows, n_cols = world.shape
    push = np.zeros((n_rows, n_cols, 2), dtype=np.int64)
    if world.wind is not None:
        push[:, :, 0] += np.array(world.wind.up or [0] * n_cols) - np.array(world.wind.down or [0] * n_cols)
        rightwards = np.array(world.wind.right or [0] * n_rows) - np.array(world.wind.left or [0] * n_rows)
        push[:, :, 1] += rightwards[:, None]
    return push.reshape(-1, 2)
