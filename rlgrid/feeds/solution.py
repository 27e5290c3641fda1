"""Solution: the exact model, solved at once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlgrid.feeds.feed import Chunk, no_episodes
from rlgrid.learning.actor import TableActor
from rlgrid.models.model import TabularModel, as_model


class Solution:
    """The exact model, solved by one of the planner's methods; that is one sweep.

    Args:
        source: an environment with a model, or a model.
        method: of :func:`rlgrid.solve`.
    """

    def __init__(self, source: gymnasium.Env[Any, Any] | TabularModel, method: str) -> None:
        self.model: TabularModel | None = as_model(source)
        self.method = method

    def prepare(self, agent: TableActor) -> None:
        """Do nothing: what a method compiles depends on the model."""

    def advance(self, agent: TableActor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Solve, and put the action values into the agent's table."""
        from rlgrid.planning.solve import solve  # loads Numba

        assert self.model is not None
        q = solve(self.model, self.method, discount=agent.learner.discount).q
        ends = (q > -np.inf).any(axis=1)  # elsewhere all actions are worth minus infinity, and the table says nothing
        agent.learner.table[ends] = q[ends]
        return Chunk(None, no_episodes(), 1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing: every solution is the same."""
        return {}
