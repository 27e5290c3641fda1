"""The board: everything in a picture of a world that does not change while an agent walks and learns."""

from __future__ import annotations

import numpy as np
import pygame

from rlgrid.view import palette
from rlgrid.view.layout import WIND_MARGIN, Layout
from rlgrid.view.meaning import AWAY, Meaning
from rlgrid.view.shapes import Canvas, curve, fitting_size, write

SMALLEST_MARK = 24  # pixels; a smaller cell shows its meaning by colour alone
SMALLEST_REWARD = 52  # room for the cell's reward as a number


def paint_ground(layout: Layout) -> pygame.Surface:
    """The page with an empty floor: what lies under the values."""
    page = pygame.Surface((layout.width, layout.height), 0, 32)
    page.fill(palette.PAGE)
    page.fill(palette.FLOOR, layout.board)
    return page


def paint_cells(layout: Layout, meaning: Meaning, *, tinted: bool, central: bool) -> pygame.Surface:
    """What lies over the values: grid, walls, marks, wind; transparent elsewhere, with premultiplied alpha.

    Args:
        layout: where the cells lie.
        meaning: what they are.
        tinted: fill good and bad cells with their colour; otherwise frame them only, as values colour the cells.
        central: put marks in the middle of cells; otherwise in a corner, as numbers or arrows need the middle.
    """
    canvas = Canvas(layout.width, layout.height)
    board = _Board(canvas, layout, meaning, tinted, central)
    board.floors()
    board.grid()
    if layout.cell >= SMALLEST_MARK:
        board.marks()
    board.ends()
    board.walls()
    if central and layout.cell >= SMALLEST_MARK:
        board.wind()
        board.arcs()
    surface = canvas.finish()
    board.texts(surface)
    return surface


class _Board:
    """One painting of the cells: each method paints one kind of thing, over what was painted before."""

    def __init__(self, canvas: Canvas, layout: Layout, meaning: Meaning, tinted: bool, central: bool) -> None:
        self.canvas, self.layout, self.meaning = canvas, layout, meaning
        self.tinted, self.central = tinted, central
        self.cell = layout.cell

    def floors(self) -> None:
        """Colours of good, bad and jumping cells; over values a frame says the same."""
        meaning, cell = self.meaning, self.cell
        plain = ~(meaning.wall | meaning.end)
        for state in np.flatnonzero(plain & (meaning.good | meaning.bad | meaning.jump)).tolist():
            x, y = self.layout.corner(state)
            bad = bool(meaning.bad[state])
            tint = palette.BAD_TINT if bad else palette.GOOD_TINT if meaning.good[state] else palette.JUMP_TINT
            deep = palette.BAD if bad else palette.GOOD if meaning.good[state] else palette.JUMP
            # Cells that nobody stands in never get a value, so they keep their colour.
            if self.tinted or meaning.passed[state]:
                self.canvas.box(x, y, cell, cell, tint)
                if bad:
                    line = palette.mix(tint, deep, 0.3)
                    self.canvas.hatch(x, y, cell, max(cell / 8, 4), max(cell / 60, 0.8), line)
            else:
                self.canvas.box(x + 2, y + 2, cell - 3, cell - 3, deep, line=max(2.0, cell * 0.03), corner=cell * 0.03)

    def grid(self) -> None:
        layout, board = self.layout, self.layout.board
        colour = palette.GRID
        for column in range(layout.n_cols + 1):
            self.canvas.box(board.left + column * self.cell, board.top, 1, board.height + 1, colour)
        for row in range(layout.n_rows + 1):
            self.canvas.box(board.left, board.top + row * self.cell, board.width + 1, 1, colour)

    def walls(self) -> None:
        """Dark blocks that grow together; corners that stick out into the open are rounded."""
        layout, cell = self.layout, self.cell
        wall = np.pad(self.meaning.wall.reshape(layout.n_rows, layout.n_cols), 1)
        radius = cell * 0.14 if self.tinted else 0.0  # no floor shines through beside coloured cells
        for state in np.flatnonzero(self.meaning.wall).tolist():
            row, column = divmod(state, layout.n_cols)
            up, down = wall[row, column + 1], wall[row + 2, column + 1]
            left, right = wall[row + 1, column], wall[row + 1, column + 2]
            open_corners = (not (up or left), not (up or right), not (down or left), not (down or right))
            x, y = layout.corner(state)
            upper_left, upper_right, lower_left, lower_right = (radius * corner for corner in open_corners)
            corners = (upper_left, upper_right, lower_left, lower_right)
            self.canvas.block(x, y, cell + 1, palette.WALL, corners)
            if self.meaning.bad[state]:
                inset = cell * 0.12
                line = palette.mix(palette.WALL, palette.BAD, 0.75)
                self.canvas.hatch(x + inset, y + inset, cell + 1 - 2 * inset, max(cell / 8, 4), max(cell / 40, 1), line)

    def ends(self) -> None:
        """Terminal and exit cells: a second frame inside; a star where it is good, a pit where it is bad."""
        meaning, cell = self.meaning, self.cell
        for state in np.flatnonzero(meaning.end).tolist():
            x, y = self.layout.corner(state)
            good = bool(meaning.good[state])
            tint, deep = (palette.GOOD_TINT, palette.GOOD) if good else (palette.PIT_TINT, palette.PIT)
            self.canvas.box(x + 1, y + 1, cell - 1, cell - 1, tint)
            inset = max(2.0, cell * 0.07)
            frame = palette.mix(tint, deep, 0.85 if good else 0.45)
            side = cell + 1 - 2 * inset
            self.canvas.box(x + inset, y + inset, side, side, frame, line=max(1.0, cell * 0.022), corner=cell * 0.05)
            middle = self.layout.centre(state)
            lifted = (middle[0], middle[1] - (cell * 0.09 if self._has_reward(state) else 0))
            if good:
                self.canvas.star(lifted, cell * 0.25, deep)
            else:
                self.canvas.disc(middle, cell * 0.29, palette.mix(palette.PIT, palette.PIT_TINT, 0.25))
                self.canvas.disc((middle[0], middle[1] + cell * 0.015), cell * 0.265, palette.PIT)

    def marks(self) -> None:
        """A star in good cells from which the episode goes on."""
        meaning, cell = self.meaning, self.cell
        for state in np.flatnonzero(meaning.good & ~(meaning.end | meaning.wall)).tolist():
            x, y = self.layout.centre(state) if self.central else self._badge(state)
            lift = cell * 0.09 if self.central and self._has_reward(state) else 0
            self.canvas.star((x, y - lift), cell * (0.25 if self.central else 0.105), palette.GOOD)

    def wind(self) -> None:
        """One to three chevrons in every cell that is blown through and has nothing else in its middle."""
        meaning = self.meaning
        colour = (*palette.WIND, 150)
        blown = meaning.wind.any(axis=1) & meaning.valued & ~(meaning.good | meaning.jump | meaning.start)
        for state in np.flatnonzero(blown).tolist():
            up, right = meaning.wind[state].tolist()
            for (dx, dy), strength in (((0, -1), up), ((0, 1), -up), ((1, 0), right), ((-1, 0), -right)):
                for i in range(min(max(strength, 0), 3)):
                    self._chevron(state, (dx, dy), i - (min(strength, 3) - 1) / 2, colour)

    def _chevron(self, state: int, heading: tuple[int, int], place: float, colour: tuple[int, int, int, int]) -> None:
        (x, y), (dx, dy), cell = self.layout.centre(state), heading, self.cell
        tip = (x + dx * cell * (0.07 - place * 0.2), y + dy * cell * (0.07 - place * 0.2))
        back, half = cell * 0.13, cell * 0.2
        ends = [(tip[0] - dx * back + side * dy * half, tip[1] - dy * back + side * dx * half) for side in (-1, 1)]
        self.canvas.stroke([ends[0], tip, ends[1]], cell * 0.05, colour)

    def arcs(self) -> None:
        """An arc from each teleport to its far end."""
        if len(self.meaning.arcs) > 12:
            return
        for source, target in self.meaning.arcs:
            start, end = self.layout.centre(source), self.layout.centre(target)
            points = curve(start, end, bend=-0.12, keep_off=self.cell * 0.4)
            colour = palette.mix(palette.FLOOR, palette.JUMP, 0.5)
            width = max(1.5, self.cell * 0.03)
            self.canvas.stroke(points[:-2], width, colour)
            self.canvas.arrow(points[-6], points[-1], width, colour)

    def texts(self, surface: pygame.Surface) -> None:
        """Letters of starts and teleports, rewards, and the wind's strength in the margin."""
        meaning, cell = self.meaning, self.cell
        if cell >= SMALLEST_MARK:
            starts = dict.fromkeys(np.flatnonzero(meaning.start & ~meaning.jump).tolist(), "S")
            for state, letter in (starts | meaning.letters).items():
                self._letter(surface, state, letter)
        for state in meaning.rewards:
            if self._has_reward(state):
                self._reward(surface, state)
        self._wind_numbers(surface)

    def _letter(self, surface: pygame.Surface, state: int, letter: str) -> None:
        cell = self.cell
        x, y = self.layout.centre(state) if self.central else self._badge(state)
        quiet = palette.MUTED if self.tinted else palette.mix(palette.MUTED, palette.INK, 0.5)
        colour = palette.JUMP if self.meaning.jump[state] else quiet
        if self.meaning.bad[state]:
            colour = palette.mix(palette.BAD, palette.INK, 0.25)
        if self.central and self._has_reward(state):
            y -= cell * 0.09
        size = fitting_size(letter, cell * 0.6, int(cell * (0.5 if self.central else 0.28)), 9)
        if not size:
            return
        if letter[0] == AWAY:
            x = self._away(surface, (x, y), size, colour)
        write(surface, letter.removeprefix(AWAY), (x, y), size, colour)

    def _away(self, surface: pygame.Surface, at: tuple[float, float], size: int, colour: palette.Colour) -> float:
        """Draw the arrow of a jump to a start or to any floor; returns where its letter goes."""
        x, y = at
        canvas = Canvas(size, size)
        canvas.arrow((size * 0.2, size / 2), (size * 0.8, size / 2), max(1.2, size * 0.09), colour)
        shift = size * 0.3 if self.central else 0.0
        place = (round(x - shift - size / 2), round(y - size / 2))
        surface.blit(canvas.finish(), place, special_flags=pygame.BLEND_PREMULTIPLIED)
        return x - shift + size * 0.72

    def _reward(self, surface: pygame.Surface, state: int) -> None:
        meaning, cell = self.meaning, self.cell
        words = meaning.rewards[state]
        x, y = self.layout.centre(state)
        colour = palette.mix(palette.BAD, palette.INK, 0.3) if meaning.bad[state] else palette.JUMP
        size = fitting_size(words, cell * 0.6, int(cell * 0.24))
        if meaning.good[state]:
            colour = palette.GOOD
        elif meaning.wall[state] or meaning.end[state]:
            colour, size = palette.PAGE, fitting_size(words, cell * 0.4, int(cell * 0.3))
        if state in meaning.letters or meaning.good[state]:
            y += cell * 0.26
        if size:
            write(surface, words, (x, y), size, colour)

    def _has_reward(self, state: int) -> bool:
        """Whether the cell's reward is written into it: where there is room, and the middle is not needed for more."""
        keeps_middle = self.central or not self.meaning.valued[state]
        return self.cell >= SMALLEST_REWARD and keeps_middle and state in self.meaning.rewards

    def _badge(self, state: int) -> tuple[float, float]:
        """Where a mark lies that has to leave the middle free."""
        x, y = self.layout.corner(state)
        return x + self.cell * 0.17, y + self.cell * 0.17

    def _wind_numbers(self, surface: pygame.Surface) -> None:
        layout, board = self.layout, self.layout.board
        push = self.meaning.wind.reshape(layout.n_rows, layout.n_cols, 2)
        size = min(22, max(12, int(self.cell * 0.34)))
        if push[..., 0].any():
            for column, strength in enumerate(np.abs(push[0, :, 0]).tolist()):
                middle = (board.left + (column + 0.5) * self.cell, board.bottom + WIND_MARGIN * 0.62)
                self._strength(surface, strength, middle, size)
        if push[..., 1].any():
            for row, strength in enumerate(np.abs(push[:, 0, 1]).tolist()):
                middle = (board.right + WIND_MARGIN * 0.62, board.top + (row + 0.5) * self.cell)
                self._strength(surface, strength, middle, size)

    def _strength(self, surface: pygame.Surface, strength: int, middle: tuple[float, float], size: int) -> None:
        colour = palette.mix(palette.WIND, palette.INK, 0.35) if strength else palette.GRID
        write(surface, str(strength), middle, size, colour)
