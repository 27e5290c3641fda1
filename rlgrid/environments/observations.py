"""Observations for function approximators: the state index seen in other ways, with exact spaces."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import NDArray

from rlgrid.errors import InputError, one_of
from rlgrid.models.model import TabularModel
from rlgrid.worlds.world import World

#: Channels of ``image`` and ``window``: where the agent is, then what each cell is.
CHANNELS = ("agent", "wall", "ends", "pays", "costs", "jumps")

#: Cells that a ``window`` shows in each direction.
SIGHT = 2

#: Pixels that the sides of an ``image`` or ``window`` have at least: what convolutional networks made for video games
#: need, Stable-Baselines3's ``CnnPolicy`` among them.
LEAST_PIXELS = 36


class Observations:
    """Turns states into observations, one or many at a time.

    ``index``: the state, an int. ``coordinates``: row and column, int64 [2]. ``one_hot``: float32 [S]. ``image``: uint8
    [k rows, k columns, 6], 255 where the agent is, where walls are, where episodes end, where entering (or leaving by
    an exit) pays more or less than a step does, and where the agent is sent elsewhere. ``window``: the same channels
    but the agent's, uint8 [5 k, 5 k, 5], for the cells around the agent; what lies outside the map is wall. A cell
    is k x k pixels, ``pixels``, the fewest that make both sides 36 or longer.

    Args:
        kind: one of the five.
        world, model: what is observed.

    Attributes:
        space: the observation space of one environment.
        pixels: k; 1 for all but ``image`` and ``window``.

    Raises:
        InputError: for an unknown kind.
    """

    def __init__(self, kind: str, world: World, model: TabularModel) -> None:
        if kind not in _KINDS:
            raise InputError(f"observation: {one_of(kind, _KINDS)}")
        self.kind = kind
        self.n_rows: int = world.shape[0]
        self.n_cols: int = world.shape[1]
        self.n_states: int = model.n_states
        self._world = world
        shortest = {"image": min(world.shape), "window": 2 * SIGHT + 1}.get(kind, LEAST_PIXELS)
        self.pixels: int = -(-LEAST_PIXELS // shortest)
        self.space = _KINDS[kind].space(self)

    def __call__(self, state: int) -> Any:
        """The observation of one state."""
        return state if self.kind == "index" else self.many(np.array([state]))[0]

    def many(self, states: NDArray[np.int64]) -> NDArray[Any]:
        """The observations of states [N], stacked."""
        return _KINDS[self.kind].encode(self, states)

    @cached_property
    def cells(self) -> NDArray[np.uint8]:
        """The channels that do not change, [rows, columns, 5]."""
        world = self._world
        step = world.reward.step.mean
        added = step if world.reward.enter_adds_step else 0
        paid = {s: cell.enter.mean + added for s, cell in world.legend.items() if cell.enter is not None}
        paid |= {s: cell.exit.mean for s, cell in world.legend.items() if cell.exit is not None}
        pays = [ord(s) for s, mean in paid.items() if mean > step]
        costs = [ord(s) for s, mean in paid.items() if mean < step]
        masks = (
            world.mask("wall"),
            world.mask("terminal") | world.mask("exit"),
            np.isin(world.symbols, np.array(pays, dtype=np.uint32)),
            np.isin(world.symbols, np.array(costs, dtype=np.uint32)),
            world.mask("leave") | world.mask("enter_to"),
        )
        channels: NDArray[np.uint8] = np.stack(masks, axis=-1).astype(np.uint8) * np.uint8(255)
        return channels.reshape(self.n_rows, self.n_cols, len(masks))

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The same in pixels, after an empty channel for the agent, [k rows, k columns, 6]."""
        image: NDArray[np.uint8] = np.insert(_enlarged(self.cells, self.pixels), 0, 0, axis=-1)
        return image

    @cached_property
    def bordered(self) -> NDArray[np.uint8]:
        """The cells with walls all around, as far as a window sees, [rows + 4, columns + 4, 5]."""
        border = ((SIGHT, SIGHT), (SIGHT, SIGHT), (0, 0))
        bordered = np.pad(self.cells, border)
        inside = np.pad(np.ones((self.n_rows, self.n_cols), np.bool_), SIGHT)
        bordered[~inside, 0] = 255
        return bordered


def _index(o: Observations, states: NDArray[np.int64]) -> NDArray[Any]:
    return states


def _coordinates(o: Observations, states: NDArray[np.int64]) -> NDArray[Any]:
    return np.stack(np.divmod(states, o.n_cols), axis=-1)


def _one_hot(o: Observations, states: NDArray[np.int64]) -> NDArray[Any]:
    hot = np.zeros((len(states), o.n_states), np.float32)
    hot[np.arange(len(states)), states] = 1.0
    return hot


def _image(o: Observations, states: NDArray[np.int64]) -> NDArray[Any]:
    images = np.repeat(o.image[None], len(states), axis=0)
    row, col = np.divmod(states, o.n_cols)
    inside = np.arange(o.pixels)
    rows, cols = row[:, None] * o.pixels + inside, col[:, None] * o.pixels + inside
    images[np.arange(len(states))[:, None, None], rows[:, :, None], cols[:, None, :], 0] = 255
    return images


def _window(o: Observations, states: NDArray[np.int64]) -> NDArray[Any]:
    row, col = np.divmod(states, o.n_cols)
    cells = np.repeat(np.arange(2 * SIGHT + 1), o.pixels)
    rows, cols = row[:, None] + cells, col[:, None] + cells
    return o.bordered[rows[:, :, None], cols[:, None, :]]


def _enlarged(cells: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Every cell of [rows, columns, C] as a square of pixels."""
    return cells.repeat(pixels, axis=0).repeat(pixels, axis=1)


def _view(rows: int, cols: int, channels: int, pixels: int) -> Box:
    return Box(0, 255, (rows * pixels, cols * pixels, channels), np.uint8)


class _Kind(NamedTuple):
    """The observation space of one environment, and the observations of many states."""

    space: Callable[[Observations], Space[Any]]
    encode: Callable[[Observations, NDArray[np.int64]], NDArray[Any]]


_KINDS = {
    "index": _Kind(lambda o: Discrete(o.n_states), _index),
    "coordinates": _Kind(lambda o: MultiDiscrete([o.n_rows, o.n_cols]), _coordinates),
    "one_hot": _Kind(lambda o: Box(0.0, 1.0, (o.n_states,), np.float32), _one_hot),
    "image": _Kind(lambda o: _view(o.n_rows, o.n_cols, len(CHANNELS), o.pixels), _image),
    "window": _Kind(lambda o: _view(2 * SIGHT + 1, 2 * SIGHT + 1, len(CHANNELS) - 1, o.pixels), _window),
}
