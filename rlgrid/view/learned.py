"""What an agent has learned and where it went: values, policy arrows, the trajectory, the agent itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pygame

from rlgrid.arrays import Bools, Floats
from rlgrid.view import palette
from rlgrid.view.layout import Layout
from rlgrid.view.shapes import Canvas, fitting_size, write
from rlgrid.worlds.world import MOVES

SMALLEST_ARROW = 8  # pixels
SMALLEST_NUMBER = 26  # a smaller cell shows its value by colour alone
SMALLEST_LOW_NUMBER = 44  # cells from here on have room for a number below the arrows or the agent
THREE_DIGITS = 64  # pixels of width from which on a value is written with three digits, not two
NEGLIGIBLE = 0.02  # less probable actions get no arrow
LEVELS = 32  # different lengths of an arrow, and different strengths of a path
TAIL = 400  # states of the trajectory that are drawn
MOST_PIXELS = 8_000_000  # of all sprites kept, 32 MB


def paint_values(surface: pygame.Surface, layout: Layout, values: Floats, shown: Bools) -> None:
    """Colour the cells by their value; cells that are not ``shown`` stay floor."""
    cells = np.tile(np.array(palette.FLOOR, dtype=np.uint8), (layout.n_rows * layout.n_cols, 1))
    cells[shown] = palette.value_colours(values[shown])
    image = cells.reshape(layout.n_rows, layout.n_cols, 3).transpose(1, 0, 2)
    surface.blit(pygame.transform.scale(pygame.surfarray.make_surface(image), layout.board.size), layout.board)


def paint_numbers(surface: pygame.Surface, layout: Layout, values: Floats, shown: Bools, *, low: bool) -> None:
    """Write the values: in the middle of the cells, or ``low`` in them; nothing if they do not fit."""
    cell = layout.cell
    if cell < SMALLEST_NUMBER:
        return
    largest = int(cell * 0.25) if low else int(cell * 0.36)
    words, size = _numbers(values[shown], cell * 0.84, min(max(largest, 13), 26 if low else 32))
    for state, number in zip(np.flatnonzero(shown).tolist(), words, strict=True):
        x, y = layout.centre(state)
        write(surface, number, (x, y + (cell * 0.36 if low else 0)), size, palette.INK)


def _numbers(values: Floats, width: float, largest: int) -> tuple[list[str], int]:
    """Values as texts, with three digits of the largest (two in narrow cells), and their font size; 0: no size fits."""
    # A hair more, because iterations stop just below: 9.999999 is to be 10.0, and -12.999999 a whole number.
    biggest = float(np.abs(values).max(initial=0.0)) * (1.0 + 1e-6)
    whole = bool(np.allclose(values, np.rint(values), rtol=1e-6, atol=1e-6 * biggest))
    digits = 3 if width >= THREE_DIGITS else 2
    magnitude = math.floor(math.log10(biggest)) if biggest else 0
    for decimals in range(0 if whole else min(max(digits - 1 - magnitude, 0), digits), -1, -1):
        words = [_number(value, decimals) for value in values.tolist()]
        widest = max(words, key=len, default="")
        size = fitting_size(widest, width, largest)
        if size and (biggest >= 10.0**-decimals or not biggest):
            return words, size
    return [], 0


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−" if float(text) else "")


class Sprites:
    """Small pictures for one size of cells, each painted once and kept: arrows, pieces of a path, the agent."""

    def __init__(self, cell: int) -> None:
        self.cell = cell
        self._kept: dict[tuple[object, ...], pygame.Surface] = {}
        self._pixels = 0

    def _keep(self, key: tuple[object, ...], paint: Callable[[], pygame.Surface]) -> pygame.Surface:
        if key not in self._kept:
            if self._pixels > MOST_PIXELS:
                self._kept.clear()
                self._pixels = 0
            self._kept[key] = paint()
            self._pixels += self._kept[key].get_width() * self._kept[key].get_height()
        return self._kept[key]

    def arrow(self, action: str, level: int, *, alone: bool) -> pygame.Surface:
        """An action's arrow, its length by ``level`` of 1 to LEVELS; a ring for ``stay``.

        Several arrows start from the middle of the cell, one ``alone`` lies across it.
        """
        return self._keep(("arrow", action, level, alone), lambda: self._paint_arrow(action, level, alone))

    def _paint_arrow(self, action: str, level: int, alone: bool) -> pygame.Surface:
        cell, share = self.cell, 0.45 + 0.55 * level / LEVELS
        canvas = Canvas(cell, cell)
        width = max(1.3, cell * 0.04 * (0.5 + 0.5 * share))
        row, column = MOVES[action]
        if (row, column) == (0, 0):
            canvas.disc((cell / 2, cell / 2), cell * 0.14 * share, palette.INK, line=width)
            return canvas.finish()
        length = math.hypot(row, column)
        stretch = 1.3 if cell < SMALLEST_NUMBER else 1.0  # a small cell has nothing but its arrow
        x, y = column / length * cell * share * stretch, row / length * cell * share * stretch
        back, front = (0.24, 0.26) if alone else (0.0, 0.32)
        tail, tip = (cell / 2 - back * x, cell / 2 - back * y), (cell / 2 + front * x, cell / 2 + front * y)
        canvas.arrow(tail, tip, width, palette.INK)
        return canvas.finish()

    def path(self, rows: int, columns: int, level: int) -> pygame.Surface:
        """One step of a path, as long as that many rows and columns, fainter for a lower ``level``."""
        return self._keep(("path", rows, columns, level), lambda: self._paint_path(rows, columns, level))

    def _paint_path(self, rows: int, columns: int, level: int) -> pygame.Surface:
        cell = self.cell
        width, height = (abs(columns) + 1) * cell, (abs(rows) + 1) * cell
        canvas = Canvas(width, height)
        start = (cell / 2 if columns >= 0 else width - cell / 2, cell / 2 if rows >= 0 else height - cell / 2)
        end = (width - start[0], height - start[1])
        colour = (*palette.AGENT, round(255 * (0.2 + 0.6 * level / LEVELS)))
        canvas.stroke([start, end], max(3.0, cell * 0.085), colour)
        return canvas.finish()

    def agent(self, *, hollow: bool) -> pygame.Surface:
        """The agent as a disc with a white rim, or ``hollow`` where a number stands in the middle of the cell."""
        return self._keep(("agent", hollow), lambda: self._paint_agent(hollow))

    def _paint_agent(self, hollow: bool) -> pygame.Surface:
        cell = self.cell
        canvas = Canvas(cell, cell)
        middle = (cell / 2, cell / 2)
        if hollow:
            canvas.disc(middle, cell * 0.48, palette.PAGE, line=cell * 0.1)
            canvas.disc(middle, cell * 0.46, palette.AGENT, line=cell * 0.06)
            return canvas.finish()
        radius = max(cell * 0.24, 4.5)
        rim = max(cell * 0.04, 1.2)
        canvas.disc((middle[0], middle[1] + rim * 0.6), radius + rim * 1.4, (0, 0, 0, 40))
        canvas.disc(middle, radius + rim, palette.PAGE)
        canvas.disc(middle, radius, palette.AGENT)
        return canvas.finish()


def paint_policy(
    surface: pygame.Surface,
    layout: Layout,
    sprites: Sprites,
    policy: Floats,
    actions: Sequence[str],
    *,
    shown: Bools,
    lift: int,
) -> None:
    """Arrows around the middle of each cell, ``lift`` pixels higher, longer for more probable actions."""
    if layout.cell < SMALLEST_ARROW:
        return
    drawn = shown[:, None] & (policy >= NEGLIGIBLE)
    alone = np.count_nonzero(drawn, axis=1) == 1
    levels = np.clip(np.rint(policy * LEVELS), 1, LEVELS).astype(int)
    blits = []
    for state, action in np.argwhere(drawn).tolist():
        x, y = layout.corner(state)
        arrow = sprites.arrow(actions[action], int(levels[state, action]), alone=bool(alone[state]))
        blits.append((arrow, (x, y - lift)))
    surface.fblits(blits, pygame.BLEND_PREMULTIPLIED)


def paint_trajectory(
    surface: pygame.Surface, layout: Layout, sprites: Sprites, states: Sequence[int], *, reach: int, lift: int
) -> None:
    """The way through the cells, strongest where it was walked last; steps far away are jumps and leave a gap."""
    moves = [(a, b) for a, b in itertools.pairwise(states) if a != b]
    newest = {(min(a, b), max(a, b)): i for i, (a, b) in enumerate(moves, start=1)}
    board = layout.board
    paper = pygame.Surface(board.size, pygame.SRCALPHA, 32)
    blits = []
    for (a, b), step in newest.items():
        (row, column), (to_row, to_column) = divmod(a, layout.n_cols), divmod(b, layout.n_cols)
        if max(abs(to_row - row), abs(to_column - column)) <= reach:
            sprite = sprites.path(to_row - row, to_column - column, max(LEVELS - (len(moves) - step), 1))
            blits.append((sprite, (min(column, to_column) * layout.cell, min(row, to_row) * layout.cell)))
    # The larger of two premultiplied colours is the newer one, so crossings do not add up to a blot.
    paper.fblits(blits, pygame.BLEND_RGBA_MAX)
    surface.blit(paper, (board.left, board.top - lift), special_flags=pygame.BLEND_PREMULTIPLIED)
