"""Replay: a recorded batch, again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Batch
from rlgrid.errors import InputError
from rlgrid.feeds.feed import Chunk, no_episodes
from rlgrid.learning.actor import Actor, TableActor
from rlgrid.models.model import TabularModel
from rlgrid.randomness import new_stream, uniforms
from rlgrid.rules.traces import Trace
from rlgrid.rules.windows import OneStep


class Replay:
    """A recorded batch, again and again: the whole of it, or mini-batches drawn from it.

    Every pass goes through the transitions in order and is a batch: what lands together lands at its end. Where the
    recording breaks off, its last episode counts as cut off there.

    Args:
        batch: transitions, as ``Rollout.collect`` returns them and observers see them.
        size: transitions drawn with replacement for a mini-batch; by default a pass takes the whole batch. For
            one-step targets, because a draw tears episodes apart.
        seed: of these draws.

    Raises:
        InputError: for an empty batch, or a size below 1.

    >>> import rlgrid
    >>> env = rlgrid.GridWorld("random_walk_5")
    >>> trace = rlgrid.Rollout(env, seed=1).collect(rlgrid.load_agent("td0", env), episodes=100)
    >>> agent = rlgrid.load_agent("batch_td", env, discount=1)
    >>> run = rlgrid.train(agent, env, batch=Replay(trace), sweeps=500)
    >>> bool(abs(agent.v[1:6] - [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]).max() < 0.2)
    True
    """

    def __init__(self, batch: Batch, *, size: int | None = None, seed: int | None = 0) -> None:
        if not batch.size or (size is not None and size < 1):
            raise InputError("replay: allowed: a batch of at least one transition, and mini-batches of at least one")
        self.model: TabularModel | None = None
        self.size = size
        self.batch = batch.copy()
        self.batch.truncated[-1] |= not self.batch.terminated[-1]
        self._stream = new_stream(np.random.SeedSequence(seed))

    def prepare(self, agent: Actor) -> None:
        """Load or compile the update."""
        if not isinstance(agent, TableActor):
            return
        alone = isinstance(agent.learner.window, OneStep) and not isinstance(agent.learner.credit, Trace)
        if self.size is not None and not alone:
            raise InputError("replay: a mini-batch tears episodes apart; allowed with one-step targets and no trace")
        agent.prepare()

    def advance(self, agent: Actor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Learn from one pass."""
        batch = self.batch
        if self.size is not None:
            chosen = (uniforms(self._stream, self.size) * batch.size).astype(np.int64)
            batch = Batch._make(column[chosen] for column in batch)
        agent.update(batch)
        return Chunk(batch if record else None, no_episodes(), 1)

    def state(self) -> dict[str, NDArray[Any]]:
        """The random stream of the draws."""
        return {"stream": self._stream}
