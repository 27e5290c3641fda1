"""A test without a marker takes at most a second of its own, or it fails: ``make quick`` is made of such tests.

Counted is the time in which a test runs or waits, without the time in which other programs kept the processor from it,
and without what Numba does to compile a function or to read it from its cache. So neither a loaded machine nor an
empty cache makes a test fail. Where a test starts other processes or reads from the disk, only the processor's time
counts, theirs included; what such a process compiles cannot be told apart, so that its test is a slow one.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MARKERS = ("slow", "grid")
SCHEDULE = Path("/proc/thread-self/schedstat")


def delay() -> float | None:
    """The seconds in which this thread could have run but had no processor; None where they are not counted."""
    try:
        ran, delayed, _ = map(int, SCHEDULE.read_text().split())
    except OSError:
        return None
    return delayed / 1e9 if ran else None


class Reading(NamedTuple):
    """What has passed until now; the differences of two readings are what is of interest."""

    awake: float  # seconds in which the thread ran or waited for something of its own
    processor: float  # seconds of processors, those of finished child processes included
    children: float
    disk_reads: int

    @classmethod
    def now(cls) -> Reading:
        mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        children = theirs.ru_utime + theirs.ru_stime
        processor = mine.ru_utime + mine.ru_stime + children
        delayed = delay()
        awake = processor if delayed is None else time.perf_counter() - delayed
        return cls(awake, processor, children, mine.ru_inblock)

    def since(self, before: Reading) -> float:
        """The seconds between two readings that are a test's own."""
        elsewhere = self.children > before.children or self.disk_reads > before.disk_reads
        return self.processor - before.processor if elsewhere else self.awake - before.awake


class Compiling:
    """Adds up the time that Numba spends on compiling and on its cache: all of it is done under one lock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0
        self._begin: Reading | None = None

    def notify(self, event: Any) -> None:
        """A listener of ``numba.core.event``."""
        if event.is_start:
            self._depth += 1
            self._begin = self._begin or Reading.now()
        else:
            self._depth -= 1
            if self._depth == 0 and self._begin is not None:
                self.seconds += Reading.now().since(self._begin)
                self._begin = None


class OwnTime:
    """The plugin: fails tests that have no marker and take longer than a limit in seconds."""

    def __init__(self, limit: float = 1.0) -> None:
        self.limit = limit
        self._compiling = Compiling()
        self._listens = False
        self._spent = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
        self._spent = 0.0
        return (yield from self._measured())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        result = yield from self._measured()
        if self._spent > self.limit and not any(item.get_closest_marker(name) for name in MARKERS):
            pytest.fail(
                f"took {self._spent:.2f} s; allowed without a marker: {self.limit:g} s, so that `make quick` stays "
                "quick. Make it quicker, or mark it: @pytest.mark.slow",
                pytrace=False,
            )
        return result

    def _measured(self) -> Generator[None, Any, Any]:
        known = self._listen()
        begin, compiling = Reading.now(), self._compiling.seconds
        result = yield
        if known == self._listen():  # where Numba was loaded meanwhile, its own time is not known
            self._spent += Reading.now().since(begin) - (self._compiling.seconds - compiling)
        return result

    def _listen(self) -> bool:
        """Listen to Numba as soon as a test has loaded it; whether it is loaded."""
        event = sys.modules.get("numba.core.event")
        if event is not None and not self._listens:
            event.Listener.register(Compiling)
            event.register("numba:compiler_lock", self._compiling)
            self._listens = True
        return self._listens
