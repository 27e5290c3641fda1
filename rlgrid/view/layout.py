"""Layout: where the map and its margins lie on the page, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import pygame

from rlgrid.errors import InputError
from rlgrid.worlds.world import World

MARGIN = 16  # around the board
HEADER = 42  # the caption's line, above the board
WIND_MARGIN = 24  # room for the numbers of the wind
SMALLEST_PAGE = 320  # wide enough for a caption over a single column

SMALLEST_CELL, LARGEST_CELL = 14, 120
LARGEST_BOARD = 2400  # larger maps get smaller cells, so that a picture stays below some 25 MB


@dataclass(frozen=True)
class Layout:
    """The size of a cell, of the page, and the board's upper left corner; width and height are even.

    Attributes:
        n_rows, n_cols: the map's shape.
        cell: side of a cell.
        left, top: the board's upper left corner.
        width, height: the page.
    """

    n_rows: int
    n_cols: int
    cell: int
    left: int
    top: int
    width: int
    height: int

    @property
    def board(self) -> pygame.Rect:
        return pygame.Rect(self.left, self.top, self.n_cols * self.cell, self.n_rows * self.cell)

    def corner(self, state: int) -> tuple[int, int]:
        """Upper left corner of a state's cell."""
        row, column = divmod(state, self.n_cols)
        return self.left + column * self.cell, self.top + row * self.cell

    def rect(self, state: int) -> pygame.Rect:
        """The cell of a state."""
        return pygame.Rect(self.corner(state), (self.cell, self.cell))

    def centre(self, state: int) -> tuple[float, float]:
        x, y = self.corner(state)
        return x + self.cell / 2, y + self.cell / 2


def lay_out(world: World, size: int) -> Layout:
    """Choose the cell so that the page's long side comes near ``size`` pixels, at 14 to 120 pixels a cell.

    Raises:
        InputError: when the map has more rows or columns than a picture has room for.
    """
    n_rows, n_cols = world.shape
    longest = max(n_rows, n_cols)
    most = LARGEST_BOARD // 2
    if longest > most:
        raise InputError(f"{world.name}: found {n_rows} x {n_cols} cells; allowed in a picture: {most} a side")
    cell = min(max((size - 2 * MARGIN) // longest, SMALLEST_CELL), LARGEST_CELL, LARGEST_BOARD // longest)
    wind = world.wind
    below = WIND_MARGIN if wind and (wind.up or wind.down) else 0
    right = WIND_MARGIN if wind and (wind.left or wind.right) else 0
    width = max(n_cols * cell + right + 2 * MARGIN, SMALLEST_PAGE)
    height = HEADER + n_rows * cell + below + MARGIN
    left = (width - n_cols * cell - right) // 2
    return Layout(n_rows, n_cols, cell, left, HEADER, width + width % 2, height + height % 2)
