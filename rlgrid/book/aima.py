"""Figures of Russell & Norvig, Artificial Intelligence: A Modern Approach."""

from __future__ import annotations

from collections.abc import Iterable

from rlgrid.analysis.phases import phases
from rlgrid.book.figure import Reproduction, agrees_to, policy_arrows, side_by_side
from rlgrid.worlds.world import load_world

#: Ends of the ranges of the reward R that the editions print beside policies of the 4 x 3 world, but for 0.
AIMA_PRINTED = {
    "2nd and 3rd ed., Fig. 17.2(b)": (-1.6284, -0.4278, -0.0850, -0.0221),
    "4th ed., Fig. 16.2(b)": (-1.6497, -0.7311, -0.4526, -0.0274),
}

_AIMA_NOTE = """\
The editions charge R differently (up to the 3rd for each state that is left, in the 4th for each move that does not
end the episode). Every episode ends once, so that values differ by R and policies do not: the points are the same."""


def aima_4x3() -> Reproduction:
    """Living rewards at which the optimal policy changes."""
    world = load_world("aima_4x3")
    found = phases(world, "reward.step", (-2.0, 0.0))
    maps = [policy_arrows(world, phase.optimal_actions) for phase in found]
    titles = [f"{phase.low:.4f} < R < {phase.high:.4f}" for phase in found]
    points = [phase.low for phase in found[1:]]
    printed = [
        {
            "edition": edition,
            "value": value,
            "found": (near := _nearest(points, value)),
            "agrees": agrees_to(near, value, 4),
        }
        for edition, values in AIMA_PRINTED.items()
        for value in values
    ]
    lines = [f"{world.name}: the policy changes at {len(points)} rewards R of a step between -2 and 0\n"]
    lines += side_by_side(titles, maps, columns=3)
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
