"""Episode log: a run directory with everything needed to look at a run again, or to go on with it.

    world.toml       the world, whole
    agent.toml       the recipe with every setting as it was used
    run.json         seed, budget (the latest one, where the run was resumed), discount, versions
    episodes.sqlite  returns and lengths of all episodes, trajectories of some, exact errors
    checkpoint.npz   every array that the future of the run depends on

Episodes are stored in blocks, a column of numbers each, because a fast learner finishes hundreds of thousands a second.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from rlgrid.environments.grid_world import GridWorld
from rlgrid.errors import InputError, whole
from rlgrid.feeds.feed import Chunk
from rlgrid.files import write_atomically
from rlgrid.learning.recipe import recipe_to_toml
from rlgrid.runs.checkpoint import save_checkpoint
from rlgrid.runs.observer import Observer
from rlgrid.runs.saved_run import SavedRun, Settings

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


_SCHEMA = """
CREATE TABLE block (first INTEGER PRIMARY KEY, total BLOB, length BLOB, terminated BLOB, final_state BLOB);
CREATE TABLE trajectory (episode INTEGER PRIMARY KEY, state BLOB, action BLOB, reward BLOB, terminated INTEGER);
CREATE TABLE error (done INTEGER PRIMARY KEY, error REAL);
"""

#: Episodes are written to disk at least this often, and at the end of the run however it ends.
_FLUSH_SECONDS = 1.0

#: The checkpoint is written at least this often, and at the end.
_SAVE_SECONDS = 20.0

#: Most steps of a trajectory; longer ones are not kept.
_LONGEST_TRAJECTORY = 100_000


class EpisodeLog(Observer):
    """Writes a run directory; see :class:`SavedRun` for reading one.

    Args:
        folder: of the run; it must not exist yet, unless the run is resumed.
        every: keep the trajectories of episodes ``every``, ``2 * every``, ...; by default of 1, 2, 4, 8, ...

    Raises:
        InputError: where the folder exists, cannot be made, or the environment is not a gridworld.
    """

    records = True

    def __init__(self, folder: str | os.PathLike[str], *, every: int | None = None) -> None:
        self.folder = Path(folder)
        self.every = None if every is None else whole("every", every)
        self._finished: list[Any] = []
        self._open: list[Any] = []  # pieces of an episode that goes on in the next chunk
        self._trajectories: list[tuple[int, bytes, bytes, bytes, int]] = []

    def begin(self, run: Run) -> None:
        env = run.env.unwrapped if hasattr(run.env, "unwrapped") else run.env
        if not isinstance(env, GridWorld):
            raise InputError(f"log: found an environment {env}; allowed: a GridWorld, whose world can be written down")
        run.feed.state()  # refuses what could not be resumed, before anything is written
        resumed = run.resumed and (self.folder / "episodes.sqlite").is_file()
        if not resumed:
            self._create(run, env)
        self._broken = run.episodes + 1 if resumed else 0  # an episode whose beginning was not seen here
        self._errors_written = 0
        self._first = run.episodes + 1
        self._database = sqlite3.connect(self.folder / "episodes.sqlite", isolation_level=None)
        if resumed:
            self._forget_what_came_later(run)
            self._write_settings(msgspec.structs.replace(SavedRun(self.folder).settings, amount=run.budget.amount))
        else:
            self._database.executescript(_SCHEMA)
        self._flushed = time.monotonic()
        self._save(run)

    def _forget_what_came_later(self, run: Run) -> None:
        """Drop episodes that were logged after the checkpoint from which the run goes on; they will come again."""
        with self._database as database:
            database.execute("BEGIN")
            database.execute("DELETE FROM block WHERE first > ?", (run.episodes,))
            database.execute("DELETE FROM trajectory WHERE episode > ?", (run.episodes,))
            database.execute("DELETE FROM error WHERE done > ?", (run.done,))
            database.execute("COMMIT")

    def _save(self, run: Run) -> None:
        """Write the checkpoint; always right after a flush, so that blocks of episodes end where checkpoints do."""
        save_checkpoint(self.folder / "checkpoint.npz", run)
        self._saved = time.monotonic()

    def _create(self, run: Run, env: GridWorld) -> None:
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise InputError(f"{self.folder}: it exists already; allowed: a new folder") from None
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made: {error.strerror}") from None
        from importlib.metadata import version

        packages = ("rlgrid", "gymnasium", "numpy", "numba")
        settings = Settings(
            run.agent.seed, run.agent.discount, run.budget.unit, run.budget.amount, {p: version(p) for p in packages}
        )
        write_atomically(self.folder / "world.toml", env.world.to_toml().encode())
        recipe = msgspec.structs.replace(run.agent.recipe, discount=run.agent.discount)
        write_atomically(self.folder / "agent.toml", recipe_to_toml(recipe).encode())
        self._write_settings(settings)

    def _write_settings(self, settings: Settings) -> None:
        write_atomically(self.folder / "run.json", msgspec.json.format(msgspec.json.encode(settings)))

    def see(self, run: Run, chunk: Chunk) -> None:
        first = run.episodes - len(chunk.finished.total) + 1
        if len(chunk.finished.total):
            self._finished.append(chunk.finished)
        if run.budget.unit != "sweeps":
            self._keep_trajectories(first, chunk)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush(run)
            if time.monotonic() - self._saved > _SAVE_SECONDS:
                self._save(run)

    def end(self, run: Run) -> None:
        self._flush(run)
        self._database.close()
        self._save(run)

    def _wanted(self, episode: int) -> bool:
        if episode == self._broken:
            return False
        return episode % self.every == 0 if self.every else episode & (episode - 1) == 0

    def _keep_trajectories(self, first: int, chunk: Chunk) -> None:
        """Cut the batch into episodes and keep those that are wanted; the last piece may go on."""
        batch = chunk.batch
        assert batch is not None
        episode, begin = first, 0
        for end in (np.flatnonzero(batch.terminated | batch.truncated) + 1).tolist():
            if self._wanted(episode):
                self._open.append((batch.state[begin:end], batch.action[begin:end], batch.reward[begin:end]))
                if self._kept() <= _LONGEST_TRAJECTORY:
                    self._close(episode, int(batch.next_state[end - 1]), bool(batch.terminated[end - 1]))
            self._open = []
            episode, begin = episode + 1, end
        if self._wanted(episode) and begin < batch.size and self._kept() <= _LONGEST_TRAJECTORY:
            self._open.append((batch.state[begin:].copy(), batch.action[begin:].copy(), batch.reward[begin:].copy()))

    def _kept(self) -> int:
        return sum(len(state) for state, _, _ in self._open)

    def _close(self, episode: int, last_state: int, terminated: bool) -> None:
        state, action, reward = (np.concatenate(column) for column in zip(*self._open, strict=True))
        state = np.append(state, last_state)
        columns = state.astype("<i4"), action.astype("u1"), reward.astype("<f8")
        self._trajectories.append((episode, *(column.tobytes() for column in columns), int(terminated)))  # type: ignore[arg-type]

    def _flush(self, run: Run) -> None:
        """Write what has been collected, in one transaction."""
        with self._database as database:
            database.execute("BEGIN")
            if self._finished:
                columns = [np.concatenate(column) for column in zip(*self._finished, strict=True)]
                blobs = [c.astype(t).tobytes() for c, t in zip(columns, _BLOCK_TYPES, strict=True)]
                database.execute("INSERT INTO block VALUES (?, ?, ?, ?, ?)", (self._first, *blobs))
                self._first += len(columns[0])
            database.executemany("INSERT INTO trajectory VALUES (?, ?, ?, ?, ?)", self._trajectories)
            fresh = run.exact.errors[self._errors_written :]
            database.executemany("INSERT OR REPLACE INTO error VALUES (?, ?)", fresh)
            database.execute("COMMIT")
        self._errors_written = len(run.exact.errors)
        self._finished, self._trajectories = [], []
        self._flushed = time.monotonic()


_BLOCK_TYPES = ("<f8", "<i8", "?", "<i8")
