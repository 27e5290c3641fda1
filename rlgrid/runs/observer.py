"""Observers: told of every chunk of a training run; they never reach back into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlgrid.feeds.feed import Chunk

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


#: Later than the end of every run.
NEVER = 2**62


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
        """A chunk ends when ``run.done`` reaches this."""
        return NEVER
