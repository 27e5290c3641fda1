"""Rules and their choices: what somebody who adds a choice is told."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from rlgrid.compiled import compiled
from rlgrid.rules.schedules import current


class Unknown(NamedTuple):
    """A schedule that brings no function."""

    value: float


def probe(schedule: Unknown) -> float:
    return float(current(schedule, 0))


@pytest.mark.parametrize("run", [probe, compiled(probe)], ids=["plain", "compiled"])
def test_a_rule_names_the_choice_that_has_no_function_for_it(run: object) -> None:
    sentence = r"current: no function for Unknown; allowed: one with @choice\(current, Unknown\)"
    with pytest.raises(KeyError, match=sentence):
        run(Unknown(1.0))  # type: ignore[operator]
