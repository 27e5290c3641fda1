"""Feed: hands an agent its experience, a chunk at a time, and reports what happened."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Batch
from rlgrid.learning.actor import TableActor
from rlgrid.models.model import TabularModel


class Finished(NamedTuple):
    """Episodes that ended in a chunk, [E] each."""

    total: NDArray[np.float64]  # undiscounted return
    length: NDArray[np.int64]
    terminated: NDArray[np.bool_]  # False: cut off by a time limit
    final_state: NDArray[np.int64]


def room_for(capacity: int) -> Finished:
    """Room for so many episodes; it holds anything until it is written."""
    return Finished._make(np.empty(capacity, kind) for kind in (np.float64, np.int64, np.bool_, np.int64))


def no_episodes() -> Finished:
    """The record of no finished episodes."""
    return room_for(0)


class Chunk(NamedTuple):
    """What happened since the last chunk."""

    batch: Batch | None  # None where nobody asked for it
    finished: Finished
    steps: int  # a planner's step is a sweep


class Feed(Protocol):
    """Hands an agent its experience.

    Attributes:
        model: of the world that the experience comes from, where it is known.
    """

    model: TabularModel | None

    def prepare(self, agent: TableActor) -> None:
        """Load or compile the loop, so that this does not count as training time."""

    def advance(self, agent: TableActor, max_steps: int, max_episodes: int, *, record: bool) -> Chunk:
        """Let the agent learn from at most so many steps and episodes, or from one batch where the feed makes those."""

    def state(self) -> dict[str, NDArray[Any]]:
        """The live arrays that say where the feed stands, for checkpoints.

        Raises:
            InputError: where the environment's own state cannot be kept.
        """
