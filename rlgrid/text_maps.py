"""Maps of values and policies as text, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlgrid.world import World

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

#: Wider maps are not printed.
WIDEST = 24


def value_map(world: World, values: NDArray[np.float64], digits: int = 2) -> str:
    """State values [S] laid out as the map; walls are ``#``.

    >>> from rlgrid.world import World
    >>> world = World.from_toml('actions = ["left", "right"]\\nmap = "..#."')
    >>> value_map(world, np.array([1.0, -0.25, 0.0, 10.0])).split()
    ['1.00', '-0.25', '#', '10.00']
    """
    wall = world.mask("wall")
    texts = ["#" if wall[s] else f"{round(float(value), digits) + 0.0:.{digits}f}" for s, value in enumerate(values)]
    return _layout(world, texts)


def policy_map(world: World, policy: NDArray[np.float64]) -> str:
    """Arrows of a policy [S, A] laid out as the map; several likely actions stand side by side.

    >>> from rlgrid.world import World
    >>> world = World.from_toml('actions = ["left", "right"]\\nmap = "...."')
    >>> policy_map(world, np.array([[0, 1], [0.5, 0.5], [1, 0], [1, 0]])).split()
    ['→', '←→', '←', '←']
    """
    arrows = np.array([ARROWS[action] for action in world.actions])
    likely = policy > 0.5 * policy.max(axis=1, keepdims=True)
    rests = world.mask("wall") | world.mask("terminal")
    symbols = "".join(world.rows)
    texts = [symbols[s] if rests[s] else "".join(arrows[likely[s]]) for s in range(world.n_states)]
    return _layout(world, texts)


def _layout(world: World, texts: list[str]) -> str:
    n_rows, n_cols = world.shape
    if n_cols > WIDEST:
        return f"(the map is {n_rows} x {n_cols}; too wide to print)"
    width = max(len(text) for text in texts)
    rows = (texts[r * n_cols : (r + 1) * n_cols] for r in range(n_rows))
    return "\n".join(" ".join(text.rjust(width) for text in row) for row in rows)
