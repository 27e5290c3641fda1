"""Every way to a discounted optimum: the planner's methods, and rational arithmetic as ``"exact"``."""

from __future__ import annotations

from typing import Any

from rlgrid.planning.methods import METHODS, Criterion
from rlgrid.planning.plan import Plan
from rlgrid.planning.solve import solve

STATIONARY = [name for name, method in METHODS.items() if method.criterion == Criterion.DISCOUNTED]
EVERY_WAY = [*STATIONARY, "exact"]


def solve_by(way: str, source: Any, **options: Any) -> Plan:
    return solve(source, exact=True, **options) if way == "exact" else solve(source, way, **options)
