"""What the figures of books share: maps computed anew, compared with what is printed.

A figure is a function that returns a :class:`Reproduction`. To add one, write it in the file of its book and name it in
:mod:`rlgrid.book.catalog`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats
from rlgrid.view.text_maps import policy_map, value_map
from rlgrid.worlds.world import World


class Reproduction(NamedTuple):
    """A figure computed anew."""

    text: str  # for the terminal
    agrees: bool  # whether everything printed came out
    facts: dict[str, Any]  # the same as data


class Panel(NamedTuple):
    """A part of a figure: for the terminal, and as data."""

    text: str
    facts: dict[str, Any]


def agrees_to(found: float, printed: float, decimals: int) -> bool:
    """Whether a number can be printed as this, to so many decimals; a 5 may have been rounded either way."""
    return abs(found - printed) <= 0.5 * 10.0**-decimals + 1e-9


def compared_panel(
    world: World, title: str, v: Floats, printed: str, optimal: NDArray[np.bool_] | None = None
) -> Panel:
    """A map of values, and of policies where given, compared with values printed to one decimal."""
    numbers = [float(text) for row in printed.split("|") for text in row.split()]
    wrong = [s for s, value in enumerate(numbers) if not agrees_to(v[s], value, 1)]
    maps = [value_map(world, v, digits=1)] + ([policy_arrows(world, optimal)] if optimal is not None else [])
    verdict = f"{len(numbers) - len(wrong)} of {len(numbers)} values as printed"
    cells = ", ".join(f"row {s // world.shape[1] + 1}, column {s % world.shape[1] + 1}" for s in wrong)
    text = "\n".join([f"{title}: {verdict}{' (not: ' + cells + ')' if wrong else ''}", *side_by_side(None, maps, 2)])
    facts = {"panel": title, "values": v.tolist(), "printed": numbers, "agrees": not wrong}
    return Panel(text, facts | ({"policy": policy_arrows(world, optimal).split("\n")} if optimal is not None else {}))


def of_panels(title: str, panels: list[Panel]) -> Reproduction:
    """A figure of panels; it agrees where all of them do."""
    facts = [panel.facts for panel in panels]
    text = "\n".join([title, "", *(panel.text for panel in panels)]).rstrip()
    return Reproduction(text, all(panel["agrees"] for panel in facts), {"figure": title, "panels": facts})


def policy_arrows(world: World, optimal: NDArray[np.bool_]) -> str:
    """A map of arrows for all optimal actions, bool [S, A]."""
    return policy_map(world, optimal / optimal.sum(axis=1, keepdims=True))


def side_by_side(titles: list[str] | None, maps: list[str], columns: int) -> list[str]:
    """Lines of several maps, ``columns`` of them next to each other, with a blank line after each row of maps."""
    blocks = [text.split("\n") for text in maps]
    if titles is not None:
        blocks = [[title, *block] for title, block in zip(titles, blocks, strict=True)]
    width = max(len(line) for block in blocks for line in block) + 4
    lines = []
    for i in range(0, len(blocks), columns):
        rows = zip(*blocks[i : i + columns], strict=True)
        lines += ["".join(part.ljust(width) for part in row).rstrip() for row in rows] + [""]
    return lines
