"""The fifteen rules of a step once more, slowly: one cell, one action and one exact probability at a time.

Written from ``docs/worlds.md`` alone and sharing no code with the compiler, which is tested against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

from rlgrid import World

CLOCK = ["up", "up-right", "right", "down-right", "down", "down-left", "left", "up-left"]
ROW_STEP = {"up": -1, "up-right": -1, "up-left": -1, "down": 1, "down-right": 1, "down-left": 1}
COL_STEP = {"right": 1, "up-right": 1, "down-right": 1, "left": -1, "up-left": -1, "down-left": -1}


class Pay(NamedTuple):
    """A random reward: sorted (value, probability) pairs, and the variance of normal noise."""

    values: tuple[tuple[Fraction, Fraction], ...]
    variance: float


NOTHING = Pay(((Fraction(0), Fraction(1)),), 0.0)


def pay_of(reward: Any) -> Pay:
    """A reward as this module writes it."""
    spread: Counter[Fraction] = Counter()
    for value, probability in zip(reward.values, reward.probabilities, strict=True):
        spread[value] += probability
    return Pay(tuple(sorted(spread.items())), round(reward.std**2, 9))


def together(first: Pay, second: Pay) -> Pay:
    """The sum of two independent rewards."""
    spread: Counter[Fraction] = Counter()
    for (v, p), (w, q) in product(first.values, second.values):
        spread[v + w] += p * q
    return Pay(tuple(sorted(spread.items())), round(first.variance + second.variance, 9))


Step = tuple[int, Pay, bool]


class SlowRules:
    """What each action leads to in each cell of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.grid = world.map.strip("\n").split("\n")
        self.n_rows, self.n_cols = len(self.grid), len(self.grid[0])

    def cell(self, row: int, col: int) -> Any:
        return self.meaning(self.grid[row][col])

    def meaning(self, symbol: str) -> Any:
        return self.world.legend[symbol]

    def carrying(self, symbol: str) -> list[int]:
        places = product(range(self.n_rows), range(self.n_cols))
        return [row * self.n_cols + col for row, col in places if self.grid[row][col] == symbol]

    def row_of(self, state: int, action: str) -> dict[Step, Fraction]:
        """The distribution of next state, reward and end."""
        row, col = divmod(state, self.n_cols)
        here = self.cell(row, col)
        found: Counter[Step] = Counter()
        if here.terminal or here.wall:
            return {(state, NOTHING, True): Fraction(1)}
        price = self.world.reward.action.get(action)
        for probability, (there, pay, ends) in self.outcomes(state, action):
            if probability:
                found[there, together(pay, pay_of(price)) if price else pay, ends] += probability
        return dict(found)

    def outcomes(self, state: int, action: str) -> Iterator[tuple[Fraction, Step]]:
        row, col = divmod(state, self.n_cols)
        here = self.cell(row, col)
        if here.exit is not None:
            yield Fraction(1), (state, pay_of(here.exit), True)
        elif here.leave is not None:
            target = self.meaning(here.leave.to)
            pay = pay_of(here.leave.reward) if here.leave.reward is not None else self.entering(target)
            yield from self.drawn(here.leave.to, Fraction(1), pay)
        else:
            for p, moved in self.slips(action):
                for q, gust in self.gusts():
                    yield from self.moved(row, col, moved, gust, p * q)

    def drawn(self, symbol: str, probability: Fraction, pay: Pay) -> Iterator[tuple[Fraction, Step]]:
        """One of the cells that carry a symbol."""
        there = self.carrying(symbol)
        for state in there:
            yield probability / len(there), (state, pay, self.meaning(symbol).terminal)

    def slips(self, action: str) -> Iterator[tuple[Fraction, str]]:
        slip = self.world.slip
        if slip is not None and slip.random is not None:
            others = [other for other in self.world.actions if other != action]
            yield 1 - slip.random, action
            for other in others:
                yield slip.random / len(others), other
        elif slip is not None and action != "stay":
            for degrees, p in slip.turn.items():
                yield p, CLOCK[(CLOCK.index(action) * 45 + int(degrees)) % 360 // 45]
        else:
            yield Fraction(1), action

    def gusts(self) -> Iterator[tuple[Fraction, int]]:
        if self.world.wind is None or self.world.wind.varies is None:
            yield Fraction(1), 0
        else:
            for change, p in self.world.wind.varies.items():
                yield p, int(change)

    def wind(self, key: str, place: int, gust: int) -> int:
        forces = getattr(self.world.wind, key, None)
        return forces[place] + gust if forces is not None and forces[place] != 0 else 0

    def moved(self, row: int, col: int, move: str, gust: int, probability: Fraction) -> Iterator[tuple[Fraction, Step]]:
        to_row = row + ROW_STEP.get(move, 0) + self.wind("down", col, gust) - self.wind("up", col, gust)
        to_col = col + COL_STEP.get(move, 0) + self.wind("right", row, gust) - self.wind("left", row, gust)
        here, state = self.cell(row, col), row * self.n_cols + col
        blocker = None
        if not (0 <= to_row < self.n_rows and 0 <= to_col < self.n_cols):
            to_row, to_col = min(max(to_row, 0), self.n_rows - 1), min(max(to_col, 0), self.n_cols - 1)
            if self.world.edge == "stay" or (to_row, to_col) == (row, col):
                blocker = "edge"
        landing = self.cell(to_row, to_col)
        if blocker is None and landing.wall:
            blocker = "wall"
        if blocker is not None:
            yield probability, (state, self.bumping(here, landing if blocker == "wall" else None), False)
        elif landing.enter_to is not None:
            yield from self.drawn(landing.enter_to, probability, self.entering(landing))
        else:
            yield probability, (to_row * self.n_cols + to_col, self.entering(landing), landing.terminal)

    def entering(self, cell: Any) -> Pay:
        step = pay_of(self.world.reward.step)
        if cell.enter is None:
            return step
        return together(step, pay_of(cell.enter)) if self.world.reward.enter_adds_step else pay_of(cell.enter)

    def bumping(self, here: Any, wall: Any) -> Pay:
        bump = wall.bump if wall is not None and wall.bump is not None else self.world.reward.bump
        if bump is None:
            return self.entering(here)
        adds = self.world.reward.bump_adds_cell and here.enter is not None
        return together(pay_of(bump), pay_of(here.enter)) if adds else pay_of(bump)
