"""The exact learning curve of a run, as plain records; the observer ``ExactError`` fills it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats


class CurvePoint(NamedTuple):
    """One point of a learning curve; ``ExactError`` explains the columns."""

    done: int
    episodes: int
    v_error: float
    q_error: float
    rmse: float
    greedy_value: float
    behavior_value: float
    regret: float
    cumulative_regret: float


#: The type of such a point in a structured array.
CURVE = np.dtype([(name, np.int64 if name in ("done", "episodes") else np.float64) for name in CurvePoint._fields])


@dataclass
class LearningCurve:
    """What is known exactly about a run.

    Attributes:
        errors: pairs of what was done and max |v - exact v|.
        points: the learning curve.
        reason: why there is none, in a sentence; empty where there is one.
        exact: the exact values [S] that errors refer to.
        unknown: why a value of the last point is nan, in a sentence, by its column.
    """

    errors: list[tuple[int, float]] = field(default_factory=list)
    points: list[CurvePoint] = field(default_factory=list)
    reason: str = ""
    exact: Floats | None = None
    unknown: dict[str, str] = field(default_factory=dict)

    @property
    def array(self) -> NDArray[np.void]:
        """The points as a structured array [n]."""
        return np.array(self.points, dtype=CURVE)
