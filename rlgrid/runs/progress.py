"""A progress bar, and a line that says when something is compiled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from rlgrid.feeds.feed import Chunk
from rlgrid.runs.observer import Observer

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


class CompileNotice(Observer):
    """Says on stderr that a recipe is being compiled; the next process finds it in the cache."""

    def compiling(self, run: Run) -> None:
        name = run.agent.recipe.name
        print(f"compiling {name} (the first time only; some seconds) ...", file=sys.stderr, flush=True)


class ProgressBar(CompileNotice):
    """A live line in the terminal: how far, steps a second, mean return of the latest 100 episodes, time left.

    It begins with the first chunk; before that there may be a line that says that something is compiled.
    """

    def __init__(self, console: Any = None) -> None:
        self._console = console
        self._recent: list[float] = []
        self._started = False

    def begin(self, run: Run) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]}"),
            TextColumn("return {task.fields[mean_return]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
        )
        self._task = self._bar.add_task(run.agent.recipe.name, total=run.budget.amount, speed="", mean_return="-")

    def see(self, run: Run, chunk: Chunk) -> None:
        if not self._started:
            self._bar.start()
            self._started = True
        self._recent = (self._recent + chunk.finished.total[-100:].tolist())[-100:]
        unit = "sweeps" if run.budget.unit == "sweeps" else "steps"
        speed = f"{_short(run.steps / max(run.seconds, 1e-9))} {unit}/s"
        mean_return = f"{np.mean(self._recent):.3g}" if self._recent else "-"
        self._bar.update(self._task, completed=run.done, speed=speed, mean_return=mean_return)

    def end(self, run: Run) -> None:
        if self._started:
            self._bar.stop()


def _short(number: float) -> str:
    """A number in at most seven characters.

    >>> _short(18_072_543.0), _short(1234.0), _short(56.7)
    ('18.1 M', '1.23 k', '56.7')
    """
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
