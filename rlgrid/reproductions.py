"""What books print, computed anew and compared: figures by name, for ``rlgrid book``.

A figure is a function that returns a :class:`Reproduction`; add one here and name it in ``FIGURES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import InputError, one_of
from rlgrid.parametric import phases, with_number
from rlgrid.planner import evaluate_by_sweeps, evaluate_exact, solve
from rlgrid.text_maps import policy_map, value_map
from rlgrid.world import World, load_world

Floats = NDArray[np.float64]


class Reproduction(NamedTuple):
    """A figure computed anew."""

    text: str  # for the terminal
    agrees: bool  # whether everything printed came out
    facts: dict[str, Any]  # the same as data


def reproduce(book: str, figure: str) -> Reproduction:
    """Compute a figure of a book and compare it with what is printed there.

    Raises:
        InputError: for a figure that is not in ``FIGURES``.

    >>> reproduce("zhao", "3.4").agrees
    True
    """
    if book not in (books := dict.fromkeys(name for name, _ in FIGURES)):
        raise InputError(f"book: {one_of(book, books)}")
    if (book, figure) not in FIGURES:
        raise InputError(f"figure of {book}: {one_of(figure, [number for name, number in FIGURES if name == book])}")
    return FIGURES[book, figure].compute()


# -- Russell & Norvig ------------------------------------------------------------------------------------------------

#: Ends of the ranges of the reward R that the editions print beside policies of the 4 x 3 world, but for 0.
AIMA_PRINTED = {
    "2nd and 3rd ed., Fig. 17.2(b)": (-1.6284, -0.4278, -0.0850, -0.0221),
    "4th ed., Fig. 16.2(b)": (-1.6497, -0.7311, -0.4526, -0.0274),
}

_AIMA_NOTE = """\
The editions charge R differently (up to the 3rd for each state that is left, in the 4th for each move that does not
end the episode). Every episode ends once, so that values differ by R and policies do not: the points are the same."""


def _aima_4x3() -> Reproduction:
    """Living rewards at which the optimal policy changes."""
    world = load_world("aima_4x3")
    found = phases(world, "reward.step", (-2.0, 0.0))
    maps = [_policy(world, phase.optimal_actions) for phase in found]
    titles = [f"{phase.low:.4f} < R < {phase.high:.4f}" for phase in found]
    points = [phase.low for phase in found[1:]]
    printed = [
        {
            "edition": edition,
            "value": value,
            "found": (near := _nearest(points, value)),
            "agrees": _agrees(near, value, 4),
        }
        for edition, values in AIMA_PRINTED.items()
        for value in values
    ]
    lines = [f"{world.name}: the policy changes at {len(points)} rewards R of a step between -2 and 0\n"]
    lines += _side_by_side(titles, maps, columns=3)
    lines += ["The points, and what the editions print:", ""]
    for point in points:
        prints = [
            f"{p['edition']}: {p['value']:.4f}{'' if p['agrees'] else ' (does not come out)'}"
            for p in printed
            if p["found"] == point
        ]
        lines.append(f"{point:10.6f}  {'; '.join(prints)}".rstrip())
    intervals = [
        {"low": phase.low, "high": phase.high, "policy": arrows.split("\n")}
        for phase, arrows in zip(found, maps, strict=True)
    ]
    facts = {"world": world.name, "parameter": "reward.step", "phases": intervals, "printed": printed}
    return Reproduction("\n".join([*lines, "", _AIMA_NOTE]), all(bool(p["agrees"]) for p in printed), facts)


def _nearest(points: Iterable[float], value: float) -> float:
    return min(points, key=lambda point: abs(point - value))


# -- Zhao ------------------------------------------------------------------------------------------------------------

ZHAO_FIG_3_4_A = (
    "5.8 5.6 6.2 6.5 5.8|6.5 7.2 8.0 7.2 6.5|7.2 8.0 10.0 8.0 7.2|8.0 10.0 10.0 10.0 8.0|7.2 9.0 10.0 9.0 8.1"
)

#: Fig. 3.4 as printed, to one decimal: discount, reward of a forbidden cell, optimal values.
ZHAO_FIG_3_4 = {
    "a": (0.9, -1, ZHAO_FIG_3_4_A),
    "b": (0.5, -1, "0 0 0 0 0|0 0 0 0 0.1|0 0 2 0.1 0.1|0 2 2 2 0.2|0 1 2 1 0.5"),
    "c": (0.0, -1, "0 0 0 0 0|0 0 0 0 0|0 0 1 0 0|0 1 1 1 0|0 0 1 0 0"),
    "d": (0.9, -10, "3.5 3.9 4.3 4.8 5.3|3.1 3.5 4.8 5.3 5.9|2.8 2.5 10 5.9 6.6|2.5 10 10 10 7.3|2.3 9 10 9 8.1"),
}


def _zhao_3_4() -> Reproduction:
    """Optimal values and policies of the 5 x 5 world for four discounts and rewards."""
    panels = []
    for letter, (discount, forbidden, printed) in ZHAO_FIG_3_4.items():
        world = with_number(with_number(load_world("zhao_5x5"), "cells.F.enter", forbidden), "discount", discount)
        plan = solve(world, tol=1e-10)
        title = f"({letter}) discount {discount:g}, forbidden cells {forbidden:g}"
        panels.append(_panel(world, title, plan.v, printed, plan.optimal_actions))
    return _reproduction("Zhao, Fig. 3.4", panels)


# -- Sutton & Barto --------------------------------------------------------------------------------------------------

_SUTTON_FIG_3_2 = (
    "3.3 8.8 4.4 5.3 1.5|1.5 3 2.3 1.9 0.5|0.1 0.7 0.7 0.4 -0.4|-1 -0.4 -0.4 -0.6 -1.2|-1.9 -1.3 -1.2 -1.4 -2"
)
_SUTTON_FIG_3_5 = (
    "22 24.4 22 19.4 17.5|19.8 22 19.8 17.8 16|17.8 19.8 17.8 16 14.4|16 17.8 16 14.4 13|14.4 16 14.4 13 11.7"
)
#: Values of the random policy after so many sweeps; 0: when they have converged.
_SUTTON_FIG_4_1 = {
    1: "0 -1 -1 -1|-1 -1 -1 -1|-1 -1 -1 -1|-1 -1 -1 0",
    2: "0 -1.7 -2 -2|-1.7 -2 -2 -2|-2 -2 -2 -1.7|-2 -2 -1.7 0",
    3: "0 -2.4 -2.9 -3|-2.4 -2.9 -3 -2.9|-2.9 -3 -2.9 -2.4|-3 -2.9 -2.4 0",
    10: "0 -6.1 -8.4 -9|-6.1 -7.7 -8.4 -8.4|-8.4 -8.4 -7.7 -6.1|-9 -8.4 -6.1 0",
    0: "0 -14 -20 -22|-14 -18 -20 -20|-20 -20 -18 -14|-22 -20 -14 0",
}


def _sutton_3_2() -> Reproduction:
    """Values of the random policy in the 5 x 5 gridworld."""
    world = load_world("sutton_gridworld")
    v = evaluate_exact(world, np.full((world.n_states, 4), 0.25))
    return _reproduction("Sutton & Barto, Fig. 3.2", [_panel(world, "random policy", v, _SUTTON_FIG_3_2)])


def _sutton_3_5() -> Reproduction:
    """Optimal values and policy of the 5 x 5 gridworld."""
    world = load_world("sutton_gridworld")
    plan = solve(world, tol=1e-10)
    panel = _panel(world, "optimal", plan.v, _SUTTON_FIG_3_5, plan.optimal_actions)
    return _reproduction("Sutton & Barto, Fig. 3.5", [panel])


def _sutton_4_1() -> Reproduction:
    """Iterative evaluation of the random policy in the 4 x 4 gridworld."""
    world = load_world("sutton_4x4")
    iterates: dict[int, Floats] = {}
    policy = np.full((world.n_states, 4), 0.25)
    evaluate_by_sweeps(world, policy, on_sweep=lambda k, v: iterates.setdefault(k, v) if k in _SUTTON_FIG_4_1 else None)
    iterates[0] = evaluate_exact(world, policy)
    panels = [
        _panel(world, f"k = {k}" if k else "k = ∞", iterates[k], printed) for k, printed in _SUTTON_FIG_4_1.items()
    ]
    return _reproduction("Sutton & Barto, Fig. 4.1", panels)


# -- what figures share ----------------------------------------------------------------------------------------------


def _agrees(found: float, printed: float, decimals: int) -> bool:
    """Whether a number can be printed as this, to so many decimals; a 5 may have been rounded either way."""
    return abs(found - printed) <= 0.5 * 10.0**-decimals + 1e-9


def _panel(
    world: World, title: str, v: Floats, printed: str, optimal: NDArray[np.bool_] | None = None
) -> tuple[str, dict[str, Any]]:
    """A map of values, and of policies where given, compared with values printed to one decimal."""
    numbers = [float(text) for row in printed.split("|") for text in row.split()]
    wrong = [s for s, value in enumerate(numbers) if not _agrees(v[s], value, 1)]
    maps = [value_map(world, v, digits=1)] + ([_policy(world, optimal)] if optimal is not None else [])
    verdict = f"{len(numbers) - len(wrong)} of {len(numbers)} values as printed"
    cells = ", ".join(f"row {s // world.shape[1] + 1}, column {s % world.shape[1] + 1}" for s in wrong)
    text = "\n".join([f"{title}: {verdict}{' (not: ' + cells + ')' if wrong else ''}", *_side_by_side(None, maps, 2)])
    facts = {"panel": title, "values": v.tolist(), "printed": numbers, "agrees": not wrong}
    return text, facts | ({"policy": _policy(world, optimal).split("\n")} if optimal is not None else {})


def _reproduction(title: str, panels: list[tuple[str, dict[str, Any]]]) -> Reproduction:
    facts = [panel for _, panel in panels]
    text = "\n".join([title, "", *(text for text, _ in panels)]).rstrip()
    return Reproduction(text, all(panel["agrees"] for panel in facts), {"figure": title, "panels": facts})


def _policy(world: World, optimal: NDArray[np.bool_]) -> str:
    return policy_map(world, optimal / optimal.sum(axis=1, keepdims=True))


def _side_by_side(titles: list[str] | None, maps: list[str], columns: int) -> list[str]:
    """Lines of several maps, so many next to each other, with a blank line after each row of them."""
    blocks = [text.split("\n") for text in maps]
    if titles is not None:
        blocks = [[title, *block] for title, block in zip(titles, blocks, strict=True)]
    width = max(len(line) for block in blocks for line in block) + 4
    lines = []
    for i in range(0, len(blocks), columns):
        rows = zip(*blocks[i : i + columns], strict=True)
        lines += ["".join(part.ljust(width) for part in row).rstrip() for row in rows] + [""]
    return lines


class _Figure(NamedTuple):
    source: str
    compute: Callable[[], Reproduction]

    @property
    def what(self) -> str:
        return (self.compute.__doc__ or "").rstrip(".")


FIGURES = {
    ("aima", "4x3"): _Figure("Russell & Norvig, Artificial Intelligence, 17.2(b) or 4th ed. 16.2(b)", _aima_4x3),
    ("zhao", "3.4"): _Figure("Zhao, Mathematical Foundations of RL, Fig. 3.4", _zhao_3_4),
    ("sutton", "3.2"): _Figure("Sutton & Barto, 2nd ed., Fig. 3.2", _sutton_3_2),
    ("sutton", "3.5"): _Figure("Sutton & Barto, 2nd ed., Fig. 3.5", _sutton_3_5),
    ("sutton", "4.1"): _Figure("Sutton & Barto, 2nd ed., Fig. 4.1", _sutton_4_1),
}
