"""Run: what is trained, on what, for how long, and what came of it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Batch
from rlgrid.errors import InputError, whole
from rlgrid.feeds.feed import Chunk
from rlgrid.feeds.feed_for import feed_for
from rlgrid.feeds.replay import Replay
from rlgrid.learning.agent import Agent
from rlgrid.learning.feed_keys import ReplayKeys
from rlgrid.runs.curve import LearningCurve

if TYPE_CHECKING:
    import gymnasium

    from rlgrid.models.model import TabularModel


#: How long a chunk should take: short enough for a smooth progress bar, long enough to cost nothing.
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
        spaces: what is known of the environment, such as its model.
        feed: where the agent's experience comes from.
        budget: how long it is to last.
        steps: steps taken so far (sweeps, where a planner sweeps).
        episodes: episodes finished so far.
        seconds: time spent acting and learning.
        exact: the record from which :attr:`errors` and :attr:`curve` are read.
        resumed: whether it goes on with a run that was saved.
    """

    def __init__(
        self,
        agent: Agent,
        env: gymnasium.Env[Any, Any] | TabularModel,
        budget: Budget,
        batch: Batch | Replay | None = None,
    ) -> None:
        spaces = agent.spaces_for(env)
        if (spaces.n_states, spaces.n_actions) != agent.shape:
            raise InputError(
                f"train: found an agent for {agent.shape[0]} states and {agent.shape[1]} actions; "
                f"allowed: one made for this environment, with {spaces.n_states} and {spaces.n_actions}"
            )
        self.agent = agent
        self.env = env
        self.spaces = spaces
        self.feed = feed_for(agent, env, spaces) if batch is None else _replay(agent, batch)
        self.budget = budget
        self.steps = 0
        self.episodes = 0
        self.seconds = 0.0
        self.exact = LearningCurve()
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
        return self.exact.array

    @property
    def facts(self) -> dict[str, Any]:
        """The results to print: totals, the mean return, and the last exact values.

        A number that is missing, infinite or unknown is None, and ``unknown`` says why, by its name.
        """
        returns, errors, last = self.returns, self.errors, self.curve[-1:]
        names = ("q_error", "rmse", "greedy_value", "behavior_value", "regret")
        return {
            "agent": self.agent.recipe.name,
            "steps": self.steps,
            "episodes": self.episodes,
            "seconds": self.seconds,
            "mean_return_last_100": _finite(returns[-100:].mean()) if len(returns) else None,
            "exact_error": _finite(errors[-1, 1]) if len(errors) else None,
            **{name: _finite(last[name][0]) if len(last) else None for name in names},
            "exact_error_missing": self.exact.reason or None,
            "unknown": self.exact.unknown or None,
            "greedy_policy": self.endless or None,
        }

    @property
    def endless(self) -> str:
        """From where the greedy policy never ends at discount 1, in words; empty where it ends, or is predicted."""
        from rlgrid.analysis.endings import endless_in_words  # loads Numba

        model = self.spaces.model if self.feed.model is None else self.feed.model
        policy = self.agent.policy
        if model is None or self.agent.discount < 1 or self.agent.recipe.predicts or not np.isfinite(policy).all():
            return ""
        return endless_in_words(model, policy)

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

    def limits(self, next_look: int) -> tuple[int, int]:
        """Most steps and episodes of the next chunk: to the end of the budget, or to where an observer looks next."""
        left = max(1, min(self.budget.amount, next_look) - self.done)
        if self.budget.unit == "episodes":
            return self._chunk_steps, left
        return min(self._chunk_steps, left), self._chunk_steps


def _finite(number: float) -> float | None:
    return float(number) if isfinite(number) else None


def _replay(agent: Agent, batch: Batch | Replay) -> Replay:
    if not isinstance(agent.recipe.feed, ReplayKeys):
        raise InputError(f'{agent.recipe.name}: found a batch; allowed with feed = "replay" in the recipe')
    return batch if isinstance(batch, Replay) else Replay(batch)


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
    units = agent.recipe.feed.units
    if len(given) != 1 or next(iter(given)) not in units:
        raise InputError(
            f"{agent.recipe.name}: found {' and '.join(given) or 'no budget'}; allowed: one of {', '.join(units)}"
        )
    unit, amount = next(iter(given.items()))
    return Budget(unit, whole(unit, amount))
