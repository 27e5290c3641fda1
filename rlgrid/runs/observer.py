"""Observers see every chunk of a training run, and never reach back into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlgrid.batch import NO_LIMIT
from rlgrid.feeds.feed import Chunk

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


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
        """The next chunk ends where ``run.done`` reaches this, at the latest."""
        return NO_LIMIT
