"""Feeds of agents that plan: the exact model, solved at once; a model counted on the way, solved again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import joined
from rlgrid.counted import condensed
from rlgrid.errors import InputError
from rlgrid.feeds import Chunk, Rollout, no_episodes
from rlgrid.model import TabularModel, as_model

if TYPE_CHECKING:
    from rlgrid.agent import Actor
    from rlgrid.batch import Batch


class Solution:
    """The exact model, solved by one of the planner's methods; that is one sweep.

    Args:
        source: an environment with a model, or a model.
        method: of :func:`rlgrid.solve`.
    """

    def __init__(self, source: gymnasium.Env[Any, Any] | TabularModel, method: str) -> None:
        self.model: TabularModel | None = as_model(source)
        self.method = method

    def prepare(self, agent: Actor) -> None:
        """Nothing: what a method compiles depends on what it meets."""

    def advance(self, agent: Actor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Solve, and put the action values into the agent's table."""
        from rlgrid.planner import solve  # loads Numba

        assert self.model is not None
        agent.learner.table[...] = solve(self.model, self.method, discount=agent.learner.discount).q
        return Chunk(None, no_episodes(), 1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing: every solution is alike."""
        return {}


class Counting:
    """Steps through an environment; a model is counted from all of them, and solved anew every so many steps.

    With ``prior`` = 0 the agent takes the likeliest model for the true one (certainty equivalence); with a prior its
    posterior's mean, or with ``sample`` a draw from it (posterior sampling: Strens 2000; Osband et al. 2013). Actions
    of which nothing is known keep the agent's initial value.

    Args:
        env: as for :class:`rlgrid.Rollout`.
        every: steps between two solutions.
        method: of :func:`rlgrid.solve`.
        prior, prior_reward: of :meth:`rlgrid.TabularModel.from_batch`.
        sample: draw from the posterior.
        initial_value: of an action of which nothing is known.
        episode_length, seed: as for the rollout.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | TabularModel,
        *,
        every: int,
        method: str,
        prior: float,
        prior_reward: float,
        sample: bool,
        initial_value: float,
        episode_length: int | None,
        seed: int,
    ) -> None:
        self.rollout = Rollout(env, episode_length=episode_length, seed=seed)
        self.model: TabularModel | None = self.rollout.model  # the true one, for observers; the agent does not see it
        self.every, self.method, self.initial_value = every, method, initial_value
        self.prior, self.prior_reward, self.sample = prior, prior_reward, sample
        self.seed = seed
        self.taken = 0
        self.seen: Batch | None = None

    def prepare(self, agent: Actor) -> None:
        """Load or compile the loop."""
        self.rollout.prepare(agent)

    def advance(self, agent: Actor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Act, count, and solve where it is due."""
        left = self.every - self.taken % self.every
        chunk = self.rollout.advance(agent, min(max_steps, left), max_episodes, record=True)
        assert chunk.batch is not None
        batches = [chunk.batch] if self.seen is None else [self.seen, chunk.batch]
        self.seen = condensed(joined(batches), *agent.shape)
        self.taken += chunk.steps
        if self.taken % self.every == 0:
            self._solve(agent)
        return chunk if record else chunk._replace(batch=None)

    def _solve(self, agent: Actor) -> None:
        from rlgrid.planner import solve  # loads Numba

        assert self.seen is not None
        table = agent.learner.table
        available = table > -np.inf
        model = TabularModel.from_batch(
            self.seen,
            *agent.shape,
            prior=self.prior,
            prior_reward=self.prior_reward,
            seed=np.random.default_rng([self.seed, self.taken]) if self.sample else None,
            available=available if self.prior else None,
        )
        q = solve(model, self.method, discount=agent.learner.discount, tol=1e-6).q
        table[...] = np.where(available, np.where(model.available, q, self.initial_value), -np.inf)

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing that could be kept.

        Raises:
            InputError: always; what was counted grows.
        """
        raise InputError("a run that counts a model cannot be resumed; allowed: running it again")
