"""Figures of Zhao, Mathematical Foundations of Reinforcement Learning."""

from __future__ import annotations

from rlgrid.book.figure import Reproduction, compared_panel, of_panels
from rlgrid.planning.solve import solve
from rlgrid.worlds.parameters import with_number
from rlgrid.worlds.world import load_world

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


def zhao_3_4() -> Reproduction:
    """Optimal values and policies of the 5 x 5 world for four discounts and rewards."""
    panels = []
    for letter, (discount, forbidden, printed) in ZHAO_FIG_3_4.items():
        world = with_number(with_number(load_world("zhao_5x5"), "cells.F.enter", forbidden), "discount", discount)
        plan = solve(world, tol=1e-10)
        title = f"({letter}) discount {discount:g}, forbidden cells {forbidden:g}"
        panels.append(compared_panel(world, title, plan.v, printed, plan.optimal_actions))
    return of_panels("Zhao, Fig. 3.4", panels)
