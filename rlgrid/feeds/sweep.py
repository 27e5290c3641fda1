"""Sweep: the exact model as a batch."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Batch
from rlgrid.feeds.feed import Chunk, no_episodes
from rlgrid.learning.actor import Actor, TableActor
from rlgrid.models.model import TabularModel, as_model


class Sweep:
    """The exact model as a batch: every outcome of every state and action once, weighted with its probability.

    >>> import rlgrid
    >>> sweep = Sweep(rlgrid.GridWorld("zhao_2x2"))
    >>> sweep.batch.size, float(sweep.batch.weight.sum())
    (20, 20.0)
    """

    def __init__(self, source: gymnasium.Env[Any, Any] | TabularModel) -> None:
        self.model: TabularModel | None = (model := as_model(source))
        t = model.tables
        state, action = np.divmod(model.row_of_outcome, model.n_actions)
        self.batch = Batch(
            state=state,
            action=action,
            reward=t.reward[t.code],
            next_state=t.next_state.astype(np.int64),
            next_action=np.zeros(len(state), np.int64),
            terminated=t.terminated[t.code],
            truncated=np.zeros(len(state), np.bool_),
            behavior_probability=np.ones(len(state)),
            weight=t.probability[t.code],
        )

    def prepare(self, agent: Actor) -> None:
        """Load or compile the update."""
        if isinstance(agent, TableActor):
            agent.prepare()

    def advance(self, agent: Actor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Learn from one sweep."""
        agent.update(self.batch)
        return Chunk(self.batch if record else None, no_episodes(), 1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing: every sweep is the same."""
        return {}
