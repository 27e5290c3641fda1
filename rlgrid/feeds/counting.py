"""Counting: steps through an environment, and a model counted from them that is solved again and again."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Batch, empty_batch, joined
from rlgrid.environments.spaces import Spaces
from rlgrid.feeds.feed import Chunk
from rlgrid.feeds.rollout import Rollout
from rlgrid.learning.actor import TableActor
from rlgrid.learning.feed_keys import CountingKeys
from rlgrid.models.counting import summarized
from rlgrid.models.model import TabularModel


class Counting:
    """Steps through an environment; a model is counted from all of them, and solved anew every so many steps.

    With a ``prior`` of 0 the agent takes the maximum-likelihood model for the true one (certainty equivalence); with a
    prior its posterior's mean, or with ``posterior = "sample"`` a draw from it (posterior sampling: Strens 2000; Osband
    et al. 2013). Actions of which nothing is known keep the agent's initial value.

    Args:
        env: as for :class:`rlgrid.Rollout`.
        keys: how often and by which method a model is solved, and the prior of :meth:`rlgrid.TabularModel.from_batch`.
        initial_value: of an action of which nothing is known.
        seed, spaces: as for the rollout.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | TabularModel,
        keys: CountingKeys,
        *,
        initial_value: float,
        seed: int,
        spaces: Spaces | None = None,
    ) -> None:
        self.rollout = Rollout(env, episode_length=keys.episode_length, seed=seed, spaces=spaces)
        self.model: TabularModel | None = self.rollout.model  # the true one, for observers; the agent does not see it
        self.keys, self.initial_value, self.seed = keys, initial_value, seed
        self.taken = np.zeros(1, dtype=np.int64)
        self._seen = empty_batch(0)  # counted up to the latest solution, so that the length of chunks does not matter
        self._new: list[Batch] = []  # since then

    def prepare(self, agent: TableActor) -> None:
        """Load or compile the loop."""
        self.rollout.prepare(agent)

    def advance(self, agent: TableActor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Act, count, and solve where it is due."""
        left = self.keys.every - int(self.taken[0]) % self.keys.every
        chunk = self.rollout.advance(agent, min(max_steps, left), max_episodes, record=True)
        assert chunk.batch is not None
        self._new.append(chunk.batch)
        self.taken[0] += chunk.steps
        if chunk.steps == left:
            self._solve(agent)
        return chunk if record else chunk._replace(batch=None)

    def _solve(self, agent: TableActor) -> None:
        from rlgrid.planning.solve import solve  # loads Numba

        self._seen, self._new = summarized(joined([self._seen, *self._new]), *agent.shape), []
        table = agent.learner.table
        available = table > -np.inf
        model = TabularModel.from_batch(
            self._seen,
            *agent.shape,
            prior=self.keys.prior,
            prior_reward=self.keys.prior_reward,
            seed=np.random.default_rng([self.seed, int(self.taken[0])]) if self.keys.posterior == "sample" else None,
            available=available if self.keys.prior else None,
        )
        q = solve(model, self.keys.method, discount=agent.learner.discount, tol=1e-6).q
        table[...] = np.where(available, np.where(model.available, q, self.initial_value), -np.inf)

    def make_room(self, seen: int, new: int) -> None:
        """Make room for what a checkpoint holds: so many counted outcomes, and transitions since the last solution."""
        self._seen, self._new = empty_batch(seen), [empty_batch(new)]

    def state(self) -> dict[str, NDArray[Any]]:
        """The state of the rollout, the counted outcomes, and the transitions that are still to be counted."""
        self._new = [joined([empty_batch(0), *self._new])]
        parts = (("seen", self._seen), ("new", self._new[0]))
        counted = {f"{part}.{name}": column for part, batch in parts for name, column in batch._asdict().items()}
        return self.rollout.state() | {"taken": self.taken} | counted
