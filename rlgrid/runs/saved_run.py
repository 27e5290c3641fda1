"""SavedRun: a run directory, read back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from rlgrid.approximation.features import GivenFeatures
from rlgrid.environments.grid_world import GridWorld
from rlgrid.errors import InputError
from rlgrid.learning.agent import Agent
from rlgrid.learning.load import load_agent
from rlgrid.learning.recipe import read_recipe
from rlgrid.runs.checkpoint import load_checkpoint, saved_features
from rlgrid.runs.run import Budget, Run
from rlgrid.worlds.world import load_world


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``run.json``."""

    seed: Annotated[int, msgspec.Meta(ge=0)] | None
    discount: Annotated[float, msgspec.Meta(ge=0, le=1)]
    unit: Annotated[str, msgspec.Meta(pattern="^(steps|episodes|sweeps)$")]
    amount: Annotated[int, msgspec.Meta(ge=1)]
    versions: dict[str, str]


class Trajectory(NamedTuple):
    """One recorded episode: states [T + 1] with the last one, actions [T], rewards [T]."""

    episode: int
    state: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: NDArray[np.float64]
    terminated: bool


class SavedRun:
    """A run directory, read back: results, trajectories, and the run or its agent to go on with.

    Args:
        folder: of the run.

    Raises:
        InputError: where the folder is not a run directory, or is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not (self.folder / "run.json").is_file():
            raise InputError(f"{self.folder}: not a run directory; allowed: a folder that rlgrid train --out made")
        try:
            self.settings = msgspec.json.decode((self.folder / "run.json").read_bytes(), type=Settings)
        except msgspec.MsgspecError as error:
            raise InputError(f"{self.folder / 'run.json'}: {error}") from None
        self.world = load_world(self.folder / "world.toml")

    def agent(self, env: GridWorld) -> Agent:
        """The agent with what it had learned when the run was last saved."""
        return self.run(env).agent

    def run(self, env: GridWorld) -> Run:
        """The run, to go on with."""
        recipe, checkpoint = self.folder / "agent.toml", self.folder / "checkpoint.npz"
        given: dict[str, Any] = {"discount": self.settings.discount}
        if isinstance(read_recipe(recipe, {}).features, GivenFeatures):
            given["features"] = saved_features(checkpoint)
        agent = load_agent(recipe, env, seed=self.settings.seed, **given)
        run = Run(agent, env, Budget(self.settings.unit, self.settings.amount))
        load_checkpoint(checkpoint, run)
        run.resumed = True
        return run

    def _query(self, text: str, *values: int) -> list[tuple[Any, ...]]:
        path = self.folder / "episodes.sqlite"
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; the run directory is not complete")
        try:
            database = sqlite3.connect(f"file:{path.absolute().as_posix()}?mode=ro", uri=True)
            try:
                return database.execute(text, values).fetchall()
            finally:
                database.close()
        except sqlite3.Error as error:
            raise InputError(f"{path}: not an episode log, or damaged: {error}") from None

    def _numbers(self, blobs: Iterable[Any], kind: str) -> NDArray[Any]:
        try:
            return np.frombuffer(b"".join(blobs), dtype=kind)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.folder / 'episodes.sqlite'}: not an episode log, or damaged: {error}") from None

    def _column(self, name: str, kind: str) -> NDArray[Any]:
        return self._numbers((row[0] for row in self._query(f"SELECT {name} FROM block ORDER BY first")), kind)

    @property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of every episode."""
        return self._column("total", "<f8")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of every episode."""
        return self._column("length", "<i8")

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """Whether each episode terminated; the others were cut off."""
        return self._column("terminated", "?")

    @property
    def errors(self) -> NDArray[np.float64]:
        """Exact errors, [n, 2]: how much was done, and the greatest error then."""
        return np.array(self._query("SELECT done, error FROM error ORDER BY done"), dtype=np.float64).reshape(-1, 2)

    @property
    def recorded(self) -> list[int]:
        """Numbers of the episodes whose trajectories were kept, counted from 1."""
        return [row[0] for row in self._query("SELECT episode FROM trajectory ORDER BY episode")]

    def trajectory(self, episode: int) -> Trajectory:
        """The trajectory of an episode.

        Raises:
            InputError: where it was not kept; the sentence says which were.
        """
        rows = self._query("SELECT state, action, reward, terminated FROM trajectory WHERE episode = ?", episode)
        if not rows:
            kept = self.recorded
            known = f"{', '.join(map(str, kept[:12]))}{', ...' if len(kept) > 12 else ''}" or "none, no episode ended"
            raise InputError(f"{self.folder}: the trajectory of episode {episode} was not kept; kept were: {known}")
        state, action, reward, terminated = rows[0]
        return Trajectory(
            episode,
            self._numbers([state], "<i4").astype(np.int64),
            self._numbers([action], "u1").astype(np.int64),
            self._numbers([reward], "<f8"),
            bool(terminated),
        )
