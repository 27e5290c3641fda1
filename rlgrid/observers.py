"""Observers: told of every chunk of a training run; they never reach back into it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import InputError, whole
from rlgrid.feeds import Chunk
from rlgrid.learning_curves import (
    CURVE,
    MOST_STATES,
    Judge,
    Truth,
    affordable_points,
    greatest_error,
    solve_for,
    table_errors,
)
from rlgrid.spaces import model_of

if TYPE_CHECKING:
    from rlgrid.model import TabularModel
    from rlgrid.training import Run

_NEVER = 2**62

#: An episode counts as so many steps where the cost of a learning curve is weighed against them.
_STEPS_IN_EPISODE = 10


class Observer:
    """Base of all observers; override what you need.

    Attributes:
        records: whether chunks should carry their ``batch``.
    """

    records: bool = False

    def begin(self, run: Run) -> None:
        """Before the first chunk."""

    def compiling(self, run: Run) -> None:
        """Once, where something is not found in the cache and has to be compiled."""

    def see(self, run: Run, chunk: Chunk) -> None:
        """After each chunk."""

    def end(self, run: Run) -> None:
        """After the last chunk, or when the run breaks off."""

    def next_look(self, run: Run) -> int:
        """A chunk ends when ``run.done`` reaches this."""
        return _NEVER


class ExactError(Observer):
    """The exact errors of what is learned, and the exact values of the policies, at regular points of the run.

    Control is compared with v* and q*, prediction with the values of the policy that is predicted. States that cannot
    be reached from the start distribution are left out, unless episodes start everywhere. Where the world changes, so
    do the exact values. Without a model, or where an exact value is not finite, nothing is reported and ``reason``
    says why.

    ``errors`` are pairs of ``done`` and max |v - exact v|. ``curve`` has the columns

    - ``done`` in the unit of the budget, and ``episodes`` finished;
    - ``v_error``, ``q_error``: max |v - exact v|, max |q - exact q|; ``rmse`` over the entries of the table;
    - ``greedy_value``, ``behavior_value``: v_pi(start) of the greedy policy and of the one that acts, by a linear
      solve; nan where it is infinite;
    - ``regret``: v*(start) - ``behavior_value``, that of one episode; ``cumulative_regret``: its sum over the episodes
      so far, by the trapezoidal rule between points; nan where the curve does not begin at 0.

    By default there are 50 errors, as many points of the curve as cost less than 5 % of the training time together with
    them (by the length of the budget and the size of the model, so that results do not depend on the clock) but at
    least the one at the end, and no model of more than 40,000 states is solved. Give one yourself to have it otherwise:

    >>> import rlgrid
    >>> env = rlgrid.GridWorld("cliff")
    >>> agent = rlgrid.load_agent("q_learning", env, seed=1, discount=0.99)
    >>> run = rlgrid.train(agent, env, steps=20_000, observers=[ExactError(points=4)])
    >>> run.curve["done"].tolist(), round(float(run.curve["greedy_value"][-1]), 3)
    ([0, 5000, 10000, 15000, 20000], -12.248)

    Args:
        points: how many points after the first, of errors and curve alike, at whatever cost.
    """

    def __init__(self, points: int | None = None) -> None:
        self.points = None if points is None else whole("points", points)
        self.errors: list[tuple[int, float]] = []
        self.rows: list[tuple[int, int, float, float, float, float, float, float, float]] = []
        self.reason = ""
        self._truth: Truth | None = None

    @property
    def exact(self) -> NDArray[np.float64] | None:
        """The exact values [S] that errors refer to."""
        return None if self._truth is None else self._truth.v

    @property
    def curve(self) -> NDArray[np.void]:
        """The learning curve, a structured array [n]."""
        return np.array(self.rows, dtype=CURVE)

    def begin(self, run: Run) -> None:
        amount = run.budget.amount
        model = model_of(run.env)
        if model is None:
            self.reason = "the environment has no model"
        elif self.points is None and model.n_states > MOST_STATES:
            self.reason = (
                f"the model has {model.n_states:,} states, and by default at most {MOST_STATES:,} are solved before "
                "training; allowed: observers=[ExactError(points=...)]"
            )
        else:
            self._every = max(1, amount // (self.points or 50))
            steps = amount * (_STEPS_IN_EPISODE if run.budget.unit == "episodes" else 1)
            self._curve_points = self.points or affordable_points(steps, model.n_states, run.agent.discount, 50)
            self._solve(run, model)
            self._look(run)

    def _solve(self, run: Run, model: TabularModel) -> None:
        self._model = model
        try:
            self._truth = solve_for(run.agent, model)
        except InputError as error:
            self._truth, self.reason = None, str(error)
            return
        self._judge = Judge(self._truth, run.agent.discount)

    def see(self, run: Run, chunk: Chunk) -> None:
        if self._truth is None or not (run.done >= self.next_look(run) or run.done >= run.budget.amount):
            return
        if run.feed.model is not None and run.feed.model is not self._model:  # the world has changed
            self._solve(run, run.feed.model)
        self._look(run)

    def _look(self, run: Run) -> None:
        if self._truth is None:
            return
        error = greatest_error(run.agent, self._truth)
        self.errors.append((run.done, error))
        k, n = len(self.rows), self._curve_points
        due = k < n and (self.points or n > 1) and run.done >= k * (run.budget.amount // n)
        if due or run.done >= run.budget.amount:
            self._add_row(run, self._truth, error)

    def _add_row(self, run: Run, truth: Truth, error: float) -> None:
        greedy, acting, regret = self._judge.values(run.agent)
        total = 0.0 if run.done == 0 else float("nan")
        if self.rows:
            _, episodes, *_, regret_before, total = self.rows[-1]
            total += (run.episodes - episodes) * (regret_before + regret) / 2
        errors = table_errors(run.agent, truth)
        self.rows.append((run.done, run.episodes, error, *errors, greedy, acting, regret, total))

    def next_look(self, run: Run) -> int:
        if self._truth is None or not self.errors:
            return _NEVER
        return (self.errors[-1][0] // self._every + 1) * self._every


class CompileNotice(Observer):
    """Says on stderr that a recipe is being compiled; the next process finds it in the cache."""

    def compiling(self, run: Run) -> None:
        name = run.agent.recipe.name
        print(f"compiling {name} (the first time only; some seconds) ...", file=sys.stderr, flush=True)


class ProgressBar(CompileNotice):
    """A live line in the terminal: how far, steps a second, mean return of the latest 100 episodes, time left.

    It begins with the first chunk; before that there may be a line that something is compiled.
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
