"""Values that are no longer numbers end a run, with a sentence that says where and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rlgrid.batch import NO_LIMIT
from rlgrid.errors import InputError
from rlgrid.feeds.feed import Chunk
from rlgrid.runs.observer import Observer

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


#: A table is checked after so many steps, or after as many as it has entries where these are more: a pass over it then
#: costs next to nothing. It is not checked in between, so that the step named does not depend on the lengths of chunks.
_EVERY = 65_536

#: Sums of rewards up to this stay far from an overflow.
_HARMLESS = 1e290


class DivergenceGuard(Observer):
    """Ends a run whose values overflow or are no numbers.

    Raises:
        InputError: naming the step, the state and the likely cause. What was logged stays.
    """

    def begin(self, run: Run) -> None:
        size = run.agent.learner.table.size
        # Episodes may never end once values are wrong, so there the table is checked after a chunk, if that is cheap.
        self._every = {"sweeps": 1, "steps": max(_EVERY, size), "episodes": size}[run.budget.unit]
        self._plan(run)

    def _plan(self, run: Run) -> None:
        self._next = (run.steps // self._every + 1) * self._every

    def see(self, run: Run, chunk: Chunk) -> None:
        if run.steps >= self._next or run.done >= run.budget.amount:
            self._plan(run)
            check_values(run)

    def next_look(self, run: Run) -> int:
        return NO_LIMIT if run.budget.unit == "episodes" else self._next


def check_values(run: Run) -> None:
    """Refuse to go on with values that are infinite or no numbers; -inf is right where an action is not available."""
    table = run.agent.learner.table
    wrong = ~np.isfinite(table)
    if not wrong.any():
        return
    model = run.feed.model
    if table.shape[1] > 1:  # without a model, environments may mask any action at any time
        wrong &= ~np.isneginf(table) | (model.available if model is not None else False)
    if not wrong.any():
        return
    state, column = np.argwhere(wrong)[0].tolist()
    place = f"state {state}"
    if model is not None and model.shape is not None:
        row, col = divmod(state, model.shape[1])
        place += f" (row {row}, column {col})"
    if table.shape[1] > 1:
        place += f", action {model.actions[column] if model is not None else column}"
    unit = "sweeps" if run.budget.unit == "sweeps" else "steps"
    raise InputError(
        f"{run.agent.recipe.name}: the values diverged: at {run.steps:,} {unit} the one of {place} is "
        f"{table[state, column]}; {_cause(run)}"
    )


def _cause(run: Run) -> str:
    model, discount = run.feed.model, run.agent.discount
    if model is None:
        return "likely a reward that is too large or not finite; allowed: finite rewards of moderate size"
    largest = float(np.abs(model.tables.reward).max(initial=0.0))
    if largest / max(1.0 - discount, 1e-12) > _HARMLESS:
        return f"rewards are too large (up to {largest:.3g}); allowed: smaller ones, or a smaller discount"
    return "the step size is likely too large; allowed: a smaller one, or one that shrinks"
