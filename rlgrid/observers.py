"""Observers: told of every chunk of a training run; they never reach back into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import InputError
from rlgrid.feeds import Chunk
from rlgrid.spaces import model_of

if TYPE_CHECKING:
    from rlgrid.model import TabularModel
    from rlgrid.training import Run

_NEVER = 2**62


class Observer:
    """Base of all observers; override what you need.

    Attributes:
        records: whether chunks should carry their ``batch``.
    """

    records: bool = False

    def begin(self, run: Run) -> None:
        """Before the first chunk."""

    def see(self, run: Run, chunk: Chunk) -> None:
        """After each chunk."""

    def end(self, run: Run) -> None:
        """After the last chunk, or when the run breaks off."""

    def next_look(self, run: Run) -> int:
        """A chunk ends when ``run.done`` reaches this."""
        return _NEVER


class ExactError(Observer):
    """The exact error of the learned state values, in the sup norm, at regular points of the run.

    Control is compared with v*, prediction with the value of the policy that is predicted. States that cannot be
    reached from the start distribution are left out, unless episodes start everywhere. Without a model, or where the
    exact value is not finite, no error is reported and ``reason`` says why. Where the world changes, so does the exact
    value.

    Args:
        points: how many points.
    """

    def __init__(self, points: int = 50) -> None:
        self.points = points
        self.errors: list[tuple[int, float]] = []
        self.exact: NDArray[np.float64] | None = None
        self.reason = ""

    def begin(self, run: Run) -> None:
        self._every = max(1, run.budget.amount // self.points)
        self._model = model_of(run.env)
        if self._model is None:
            self.reason = "the environment has no model"
            return
        self._solve(run, self._model)
        self._look(run)

    def _solve(self, run: Run, model: TabularModel) -> None:
        from rlgrid.planner import evaluate_exact, solve  # loads Numba

        agent = run.agent
        try:
            if agent.recipe.predicts:
                self.exact = evaluate_exact(model, agent.policy, discount=agent.discount)
            else:
                self.exact = solve(model, discount=agent.discount).v
        except InputError as error:
            self.exact, self.reason = None, str(error)
        everywhere = agent.recipe.feed == "sweep" or agent.recipe.starts != "world"
        self._compared = ~model.terminal & (everywhere | model.reachable)

    def see(self, run: Run, chunk: Chunk) -> None:
        if self.exact is not None and (run.done >= self.next_look(run) or run.done >= run.budget.amount):
            if run.feed.model is not None and run.feed.model is not self._model:  # the world has changed
                self._model = run.feed.model
                self._solve(run, self._model)
            self._look(run)

    def _look(self, run: Run) -> None:
        if self.exact is None:
            return
        error = np.abs(run.agent.v - self.exact)[self._compared].max(initial=0.0)
        self.errors.append((run.done, float(error)))

    def next_look(self, run: Run) -> int:
        if self.exact is None or not self.errors:
            return _NEVER
        return (self.errors[-1][0] // self._every + 1) * self._every


class ProgressBar(Observer):
    """A live line in the terminal: how far, steps a second, mean return of the latest 100 episodes, time left."""

    def __init__(self, console: Any = None) -> None:
        self._console = console
        self._recent: list[float] = []

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
        self._bar.start()

    def see(self, run: Run, chunk: Chunk) -> None:
        self._recent = (self._recent + chunk.finished.total[-100:].tolist())[-100:]
        unit = "sweeps" if run.budget.unit == "sweeps" else "steps"
        speed = f"{_short(run.steps / max(run.seconds, 1e-9))} {unit}/s"
        mean_return = f"{np.mean(self._recent):.3g}" if self._recent else "-"
        self._bar.update(self._task, completed=run.done, speed=speed, mean_return=mean_return)

    def end(self, run: Run) -> None:
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


class Watch(Observer):
    """A window in which the agent can be watched while it learns, a step at a time; closing it lets training go on.

    Args:
        fps: steps shown a second.
    """

    records = True

    def __init__(self, fps: int = 30) -> None:
        self.fps = fps

    def begin(self, run: Run) -> None:
        from rlgrid.env import GridWorld
        from rlgrid.view import Picture, Window

        env = getattr(run.env, "unwrapped", run.env)
        if not isinstance(env, GridWorld):
            raise InputError(f"watch: found {env}; allowed: a GridWorld")
        self._name = env.world.name
        self._window = Window(Picture(env.world), fps=self.fps)

    def see(self, run: Run, chunk: Chunk) -> None:
        from rlgrid.view import Layers

        if self._window.closed:
            return
        state = int(chunk.batch.next_state[-1]) if chunk.batch is not None and chunk.batch.size else None
        caption = f"{self._name}, {run.agent.recipe.name}: {run.done:,} {run.budget.unit}"
        self._window.show(Layers(agent=state, values=run.agent.v, policy=run.agent.policy, caption=caption))

    def end(self, run: Run) -> None:
        self._window.close()

    def next_look(self, run: Run) -> int:
        return _NEVER if self._window.closed else run.done + 1
