"""Picture: one world, prepared once, then painted with agent, values, policy and trajectory as they change."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pygame
from numpy.typing import NDArray

from rlgrid.errors import InputError
from rlgrid.files import write_whole
from rlgrid.view import learned, palette
from rlgrid.view.board import paint_cells, paint_ground
from rlgrid.view.layout import HEADER, MARGIN, lay_out
from rlgrid.view.meaning import read_meaning
from rlgrid.view.shapes import render
from rlgrid.worlds.world import World

CAPTION_SIZE = 22


@dataclass(frozen=True, eq=False)
class Layers:
    """What is painted over the map; everything is optional.

    Attributes:
        agent: the state in which the agent stands.
        values: v(s), float64 [S]; entries that are not finite are left out.
        policy: pi(a|s), float64 [S, A].
        trajectory: the states visited so far, in order.
        caption: the line above the board.
    """

    agent: int | None = None
    values: NDArray[np.float64] | None = None
    policy: NDArray[np.float64] | None = None
    trajectory: Sequence[int] = ()
    caption: str = ""


class Picture:
    """A world drawn as a picture of fixed size.

    >>> world = World.from_toml('actions = ["left", "right"]\\nmap = "S..."')
    >>> Picture(world).rgb(Layers(agent=2)).shape
    (178, 512, 3)
    """

    def __init__(self, world: World, *, size: int = 840) -> None:
        """Prepare to draw ``world`` with a long side of about ``size`` pixels (at 14 to 120 pixels a cell).

        Raises:
            InputError: when the map has more rows or columns than a picture has room for.
        """
        self.world = world
        self.layout = lay_out(world, size)
        self._meaning = read_meaning(world)
        self._sprites = learned.Sprites(self.layout.cell)
        self._ground = paint_ground(self.layout)
        self._cells = lru_cache(maxsize=4)(self._paint_cells)
        self._learned_of: tuple[Layers, bool] | None = None
        self._under = self._over = self._ground

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, both even, as video encoders ask."""
        return self.layout.width, self.layout.height

    def surface(self, layers: Layers = Layers()) -> pygame.Surface:
        """Paint the world and its layers on a new surface.

        Raises:
            InputError: when a layer does not fit the world.
        """
        self._check(layers)
        trail = layers.trajectory[-learned.TAIL :]
        moving = layers.agent is not None or len(trail) > 0
        # With something in the middle of the cells, numbers go below it and everything else moves up a little.
        low = self.layout.cell >= learned.SMALLEST_LOW_NUMBER and (moving or layers.policy is not None)
        lift = round(self.layout.cell * 0.1) if low and layers.values is not None else 0
        self._paint_learned(layers, low, lift)
        page = self._under.copy()
        if len(trail) > 1:
            learned.paint_trajectory(page, self.layout, self._sprites, trail, reach=self._meaning.reach, lift=lift)
        if layers.values is not None or layers.policy is not None:
            page.blit(self._over, (0, 0), special_flags=pygame.BLEND_PREMULTIPLIED)
        if layers.agent is not None:
            numbers_in_the_middle = layers.values is not None and not low and layers.policy is None
            sprite = self._sprites.agent(hollow=numbers_in_the_middle)
            x, y = self.layout.corner(layers.agent)
            page.blit(sprite, (x, y - lift), special_flags=pygame.BLEND_PREMULTIPLIED)
        if layers.caption:
            self._write_caption(page, layers.caption)
        return page

    def rgb(self, layers: Layers = Layers()) -> NDArray[np.uint8]:
        """The picture as an array, uint8 [height, width, 3]; height and width are even."""
        pixels = bytearray(pygame.image.tobytes(self.surface(layers), "RGB"))
        return np.frombuffer(pixels, dtype=np.uint8).reshape(self.layout.height, self.layout.width, 3)

    def save(self, path: str | os.PathLike[str], layers: Layers = Layers()) -> None:
        """Write the picture as a PNG file; an existing file is replaced in one piece or left as it was.

        Raises:
            InputError: when the file cannot be written, or its name does not end in .png.
        """
        if not os.fspath(path).lower().endswith(".png"):
            raise InputError(f"{os.fspath(path)}: the picture is a PNG; allowed: a name that ends in .png")
        data = io.BytesIO()
        pygame.image.save(self.surface(layers), data, "picture.png")
        write_whole(path, data.getvalue())

    def _check(self, layers: Layers) -> None:
        n_states, n_actions = self.world.n_states, self.world.n_actions
        for name, array, shape in (
            ("values", layers.values, (n_states,)),
            ("policy", layers.policy, (n_states, n_actions)),
        ):
            if array is not None and array.shape != shape:
                raise InputError(f"{self.world.name}: {name}: found the shape {array.shape}; allowed: {shape}")
        for state in (*layers.trajectory[-learned.TAIL :], *(() if layers.agent is None else (layers.agent,))):
            if not 0 <= state < n_states:
                raise InputError(f"{self.world.name}: found the state {state}; allowed: 0 to {n_states - 1}")

    def _paint_cells(self, tinted: bool, central: bool) -> pygame.Surface:
        return paint_cells(self.layout, self._meaning, tinted=tinted, central=central)

    def _paint_learned(self, layers: Layers, low: bool, lift: int) -> None:
        """Paint what lies under the trajectory and what lies over it, only when values or policy have changed."""
        if self._learned_of is not None and self._learned_of[1] == low and _same_learned(self._learned_of[0], layers):
            return
        values, policy, valued = layers.values, layers.policy, self._meaning.valued
        self._under = self._ground.copy()
        self._over = pygame.Surface(self.size, pygame.SRCALPHA, 32)
        shown = valued & np.isfinite(values) if values is not None else valued
        if values is not None:
            learned.paint_values(self._under, self.layout, values, shown)
            if low or policy is None:
                learned.paint_numbers(self._over, self.layout, values, shown, low=low)
        if policy is not None:
            actions = self.world.actions
            learned.paint_policy(self._over, self.layout, self._sprites, policy, actions, shown=valued, lift=lift)
        cells = self._cells(values is None, values is None and policy is None)
        self._under.blit(cells, (0, 0), special_flags=pygame.BLEND_PREMULTIPLIED)
        # Kept as copies: a learner goes on writing into its own arrays.
        self._learned_of = Layers(values=_copy(values), policy=_copy(policy)), low

    def _write_caption(self, page: pygame.Surface, caption: str) -> None:
        room = self.layout.width - 2 * MARGIN
        line = render(caption, CAPTION_SIZE, palette.INK)
        while line.get_width() > room and len(caption) > 1:
            caption = caption[: -max(2, len(caption) // 20)].rstrip() + "…"
            line = render(caption, CAPTION_SIZE, palette.INK)
        place = (MARGIN, (HEADER - line.get_height()) // 2 + 1)
        page.blit(line, place, special_flags=pygame.BLEND_PREMULTIPLIED)


def _copy(array: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return None if array is None else array.copy()


def _same_learned(a: Layers, b: Layers) -> bool:
    return _equal(a.values, b.values) and _equal(a.policy, b.policy)


def _equal(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    return a is b if a is None or b is None else np.array_equal(a, b, equal_nan=True)
