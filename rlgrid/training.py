"""The training loop: a feed hands the agent its experience, observers are told, a chunk at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from math import isfinite
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.agent import Agent, episodes_end
from rlgrid.batch import Batch
from rlgrid.divergence import DivergenceGuard
from rlgrid.errors import InputError, whole
from rlgrid.feeds import Chunk, Replay
from rlgrid.observers import ExactError, Observer
from rlgrid.spaces import spaces_of

if TYPE_CHECKING:
    import gymnasium

    from rlgrid.model import TabularModel

#: A chunk aims at this long: short enough for a smooth progress bar, long enough to cost nothing.
CHUNK_SECONDS = 0.03
_FIRST_CHUNK, _LONGEST_CHUNK = 256, 262_144


class Budget(NamedTuple):
    """How long to train: so many steps, episodes or sweeps. (A planner's step is a sweep.)"""

    unit: str
    amount: int


class Run:
    """A training run: what was trained, on what, and what came of it.

    Attributes:
        agent, env: as given to :func:`train`.
        feed: where the agent's experience comes from.
        budget: how long it is to last.
        steps: steps taken so far (sweeps, where a planner sweeps).
        episodes: episodes finished so far.
        seconds: time spent acting and learning.
        exact: the observer behind :attr:`errors`.
        resumed: whether it goes on with a run that was saved.
    """

    def __init__(
        self,
        agent: Agent,
        env: gymnasium.Env[Any, Any] | TabularModel,
        budget: Budget,
        batch: Batch | Replay | None = None,
    ) -> None:
        spaces = spaces_of(env)
        if (spaces.n_states, spaces.n_actions) != agent.shape:
            raise InputError(
                f"train: found an agent for {agent.shape[0]} states and {agent.shape[1]} actions; "
                f"allowed: one made for this environment, with {spaces.n_states} and {spaces.n_actions}"
            )
        self.agent = agent
        self.env = env
        self.feed = agent.feed(env) if batch is None else _replay(agent, batch)
        self.budget = budget
        self.steps = 0
        self.episodes = 0
        self.seconds = 0.0
        self.exact = ExactError()
        self.resumed = False
        self._chunk_steps = _FIRST_CHUNK
        self._returns: list[NDArray[np.float64]] = []
        self._lengths: list[NDArray[np.int64]] = []

    @property
    def done(self) -> int:
        """How much of the budget is spent, in its unit."""
        return self.episodes if self.budget.unit == "episodes" else self.steps

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of every finished episode, in order."""
        return np.concatenate(self._returns) if self._returns else np.zeros(0)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of every finished episode, in order."""
        return np.concatenate(self._lengths) if self._lengths else np.zeros(0, np.int64)

    @property
    def errors(self) -> NDArray[np.float64]:
        """Exact error along the way, [n, 2]: how much was done, and the greatest |v - exact v| (see ExactError)."""
        return np.array(self.exact.errors).reshape(-1, 2)

    @property
    def curve(self) -> NDArray[np.void]:
        """Exact learning curve, a structured array with the columns that :class:`ExactError` explains."""
        return self.exact.curve

    @property
    def facts(self) -> dict[str, Any]:
        """What came of it, in numbers to print: the last exact values among them, None where there are none."""
        returns, errors, last = self.returns, self.errors, self.curve[-1:]
        names = ("q_error", "rmse", "greedy_value", "behavior_value", "regret")
        return {
            "agent": self.agent.recipe.name,
            "steps": self.steps,
            "episodes": self.episodes,
            "seconds": self.seconds,
            "mean_return_last_100": float(returns[-100:].mean()) if len(returns) else None,
            "exact_error": float(errors[-1, 1]) if len(errors) else None,
            **{name: float(last[name][0]) if len(last) and isfinite(last[name][0]) else None for name in names},
            "exact_error_missing": self.exact.reason or None,
        }

    def take(self, chunk: Chunk, seconds: float) -> None:
        """Count a chunk in, and fit the length of the next one to the time that this one took."""
        self.steps += chunk.steps
        self.episodes += len(chunk.finished.total)
        self.seconds += seconds
        if len(chunk.finished.total):
            self._returns.append(chunk.finished.total)
            self._lengths.append(chunk.finished.length)
        factor = 2.0 if seconds < CHUNK_SECONDS / 2 else 0.5 if seconds > CHUNK_SECONDS * 2 else 1.0
        self._chunk_steps = int(min(max(self._chunk_steps * factor, 1), _LONGEST_CHUNK))

    def limits(self, observers: Iterable[Observer]) -> tuple[int, int]:
        """Most steps and episodes of the next chunk: to the end of the budget or the next look of an observer."""
        left = max(1, min([self.budget.amount, *(observer.next_look(self) for observer in observers)]) - self.done)
        if self.budget.unit == "episodes":
            return self._chunk_steps, left
        return min(self._chunk_steps, left), self._chunk_steps


def train(
    agent: Agent,
    env: gymnasium.Env[Any, Any] | TabularModel,
    *,
    steps: int | None = None,
    episodes: int | None = None,
    sweeps: int | None = None,
    batch: Batch | Replay | None = None,
    log: str | os.PathLike[str] | None = None,
    observers: Iterable[Observer] = (),
) -> Run:
    """Train an agent in an environment.

    Every call begins with the environment's random stream as the agent's seed sets it.

    Args:
        agent: from :func:`rlgrid.load_agent`; it is changed.
        env: the environment or model to learn from.
        steps, episodes, sweeps: how long; at most one of them, else the recipe's own.
        batch: for agents that learn from a recording: it, to be replayed once a sweep.
        log: a folder for the episode log; it must not exist yet.
        observers: told of every chunk (progress bars, recorders, your own); what they do cannot change the result.

    Returns:
        the run, with ``run.agent``, ``run.returns``, ``run.errors`` and ``run.curve``.

    Raises:
        InputError: for a budget that is not allowed, a log folder that exists, or values that diverge.

    >>> import rlgrid
    >>> env = rlgrid.GridWorld("zhao_2x2")
    >>> run = rlgrid.train(rlgrid.load_agent("value_iteration", env), env, sweeps=200)
    >>> run.agent.v.round(6)
    array([ 9., 10., 10., 10.])
    """
    run = Run(agent, env, make_budget(agent, steps, episodes, sweeps), batch)
    if log is not None:
        from rlgrid.episode_log import EpisodeLog  # sqlite3 loads when it is used

        observers = [EpisodeLog(log), *observers]  # first, so that it has seen whatever another one breaks off at
    proceed(run, observers)
    return run


def proceed(run: Run, observers: Iterable[Observer] = ()) -> None:
    """Train until the budget of a run is spent: the loop behind :func:`train`, and behind a run that is resumed.

    Raises:
        InputError: for a budget of episodes where episodes never end, or where values diverge.
    """
    _check_budget(run)
    others = list(observers)
    run.exact = next((observer for observer in others if isinstance(observer, ExactError)), run.exact)
    told = [run.exact, *(observer for observer in others if observer is not run.exact), DivergenceGuard()]

    def tell_of_compilation() -> None:
        for observer in told:
            observer.compiling(run)

    from rlgrid.kernels import telling_of_compilation  # Numba loads when it is used

    record = any(observer.records for observer in told)
    with _interrupts_held() as interrupts:
        with ExitStack() as stack:
            stack.enter_context(telling_of_compilation(tell_of_compilation))
            for observer in told:
                observer.begin(run)
                stack.callback(observer.end, run)
            run.feed.prepare(run.agent)
            while run.done < run.budget.amount and not interrupts:
                max_steps, max_episodes = run.limits(told)
                started = time.perf_counter()
                chunk = run.feed.advance(run.agent, max_steps, max_episodes, record=record)
                run.take(chunk, time.perf_counter() - started)
                for observer in told:
                    observer.see(run, chunk)
        if interrupts:
            raise KeyboardInterrupt


def _replay(agent: Agent, batch: Batch | Replay) -> Replay:
    if agent.recipe.feed != "replay":
        raise InputError(f'{agent.recipe.name}: found a batch; allowed with feed = "replay" in the recipe')
    return batch if isinstance(batch, Replay) else Replay(batch)


@contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Ctrl-C waits for the end of a chunk, so that what was learned, counted and logged agree; a second does not."""
    held: list[int] = []
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or current_thread() is not main_thread():
        yield held  # someone else handles it
        return

    def hold(number: int, _: object) -> None:
        held.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _check_budget(run: Run) -> None:
    model = run.feed.model
    if run.budget.unit != "episodes" or model is None:
        return
    if not episodes_end(run.agent, model):
        raise InputError(f"episodes: in {model.name} they never end; allowed: steps, or episode_length set")


def make_budget(agent: Agent, steps: int | None, episodes: int | None, sweeps: int | None) -> Budget:
    """The one budget that is given, else the recipe's own.

    Raises:
        InputError: for several, for less than one, or for a unit that the agent's feed does not count.
    """
    given = {unit: n for unit, n in (("steps", steps), ("episodes", episodes), ("sweeps", sweeps)) if n is not None}
    if not given:
        recipe = agent.recipe
        own = (("steps", recipe.steps), ("episodes", recipe.episodes), ("sweeps", recipe.sweeps))
        given = {unit: n for unit, n in own if n is not None}
    units = ("sweeps",) if agent.recipe.feed in ("sweep", "replay", "solution") else ("steps", "episodes")
    if len(given) != 1 or next(iter(given)) not in units:
        raise InputError(
            f"{agent.recipe.name}: found {' and '.join(given) or 'no budget'}; allowed: one of {', '.join(units)}"
        )
    unit, amount = next(iter(given.items()))
    return Budget(unit, whole(unit, amount))
