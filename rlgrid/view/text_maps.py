"""Maps of values and policies as text, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlgrid.worlds.world import World


ARROWS = {
    "up": "↑",
    "up-right": "↗",
    "right": "→",
    "down-right": "↘",
    "down": "↓",
    "down-left": "↙",
    "left": "←",
    "up-left": "↖",
    "stay": "•",
}

#: Characters of a line; maps that need more are not printed.
WIDTH = 80


def value_map(world: World, values: NDArray[np.float64], digits: int = 2, width: int = WIDTH) -> str:
    """State values [S] laid out as the map; walls are ``#``. Where rows do not fit the width, fewer digits are shown.

    >>> from rlgrid.worlds.world import World
    >>> world = World.from_toml('actions = ["left", "right"]\\nmap = "..#."')
    >>> value_map(world, np.array([1.0, -0.25, 0.0, 10.0])).split()
    ['1.00', '-0.25', '#', '10.00']
    """
    wall = world.mask("wall")
    if _fits(world, 1, width):
        for shown in range(digits, 0, -1):
            numbers = (f"{round(float(value), shown) + 0.0:.{shown}f}" for value in values)
            texts = ["#" if wall[s] else number for s, number in enumerate(numbers)]
            if _fits(world, max(map(len, texts)), width):
                return _layout(world, texts)
    return _too_wide(world, width)


def policy_map(world: World, policy: NDArray[np.float64], width: int = WIDTH) -> str:
    """Arrows of a policy [S, A] laid out as the map; several likely actions stand side by side.

    >>> from rlgrid.worlds.world import World
    >>> world = World.from_toml('actions = ["left", "right"]\\nmap = "...."')
    >>> policy_map(world, np.array([[0, 1], [0.5, 0.5], [1, 0], [1, 0]])).split()
    ['→', '←→', '←', '←']
    """
    if not _fits(world, 1, width):
        return _too_wide(world, width)
    arrows = np.array([ARROWS[action] for action in world.actions])
    likely = policy > 0.5 * policy.max(axis=1, keepdims=True)
    rests = world.mask("wall") | world.mask("terminal")
    symbols = "".join(world.rows)
    texts = [symbols[s] if rests[s] else "".join(arrows[likely[s]]) for s in range(world.n_states)]
    return _layout(world, texts) if _fits(world, max(map(len, texts)), width) else _too_wide(world, width)


def _fits(world: World, cell: int, width: int) -> bool:
    """Whether rows of cells so many characters wide, with spaces between them, fit the width."""
    return world.shape[1] * (cell + 1) - 1 <= width


def _too_wide(world: World, width: int) -> str:
    n_rows, n_cols = world.shape
    return f"(the map is {n_rows} x {n_cols}; too wide to print in {width} columns)"


def _layout(world: World, texts: list[str]) -> str:
    n_rows, n_cols = world.shape
    widest = max(map(len, texts))
    rows = (texts[r * n_cols : (r + 1) * n_cols] for r in range(n_rows))
    return "\n".join(" ".join(text.rjust(widest) for text in row) for row in rows)
