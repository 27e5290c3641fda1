"""The training loop: a feed hands the agent a chunk of experience, then each observer sees it, and so on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

from rlgrid.batch import Batch
from rlgrid.errors import InputError
from rlgrid.feeds.replay import Replay
from rlgrid.learning.agent import Agent
from rlgrid.learning.load import episodes_end
from rlgrid.runs.divergence import DivergenceGuard
from rlgrid.runs.exact_error import ExactError
from rlgrid.runs.observer import Observer
from rlgrid.runs.run import Run, make_budget

if TYPE_CHECKING:
    import gymnasium

    from rlgrid.models.model import TabularModel


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
        batch: the recording, for agents that learn from one; it is replayed once a sweep.
        log: a folder for the episode log; it must not exist yet.
        observers: see every chunk (progress bars, recorders, your own); what they do cannot change the result.

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
        from rlgrid.runs.log import EpisodeLog  # sqlite3 loads when it is used

        observers = [EpisodeLog(log), *observers]  # first, so that it has seen whatever another one breaks off at
    run_to_budget(run, observers)
    return run


def run_to_budget(run: Run, observers: Iterable[Observer] = ()) -> None:
    """Train until the budget of a run is spent: the loop behind :func:`train`, and behind a run that is resumed.

    Raises:
        InputError: for a budget of episodes where episodes never end, or where values diverge.
    """
    _check_budget(run)
    others = list(observers)
    exact = next((observer for observer in others if isinstance(observer, ExactError)), ExactError())
    run.exact = exact.record
    observers = [exact, *(observer for observer in others if observer is not exact), DivergenceGuard()]

    def tell_of_compilation() -> None:
        for observer in observers:
            observer.compiling(run)

    from rlgrid.compiled import telling_of_compilation  # Numba loads when it is used

    record = any(observer.records for observer in observers)
    with _interrupts_held() as interrupts:
        with ExitStack() as stack:
            stack.enter_context(telling_of_compilation(tell_of_compilation))
            for observer in observers:
                observer.begin(run)
                stack.callback(observer.end, run)
            run.feed.prepare(run.agent)
            while run.done < run.budget.amount and not interrupts:
                max_steps, max_episodes = run.limits(min(observer.next_look(run) for observer in observers))
                started = time.perf_counter()
                chunk = run.feed.advance(run.agent, max_steps, max_episodes, record=record)
                run.take(chunk, time.perf_counter() - started)
                for observer in observers:
                    observer.see(run, chunk)
        if interrupts:
            raise KeyboardInterrupt


@contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Make Ctrl-C wait for the end of a chunk, so that what was learned, counted and logged agree; a second does not.

    Yields:
        the interrupts that wait.
    """
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
