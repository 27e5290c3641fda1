"""Checkpoints: every array that a run's future depends on, in one file without code in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.approximation.features import Features
from rlgrid.errors import InputError
from rlgrid.feeds.counting import Counting
from rlgrid.files import write_atomically

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


def arrays_of(record: Any, prefix: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays in nested NamedTuples, with dotted names."""
    for name, value in zip(record._fields, record, strict=True):
        if isinstance(value, np.ndarray):
            yield f"{prefix}.{name}", value
        elif hasattr(value, "_fields"):
            yield from arrays_of(value, f"{prefix}.{name}")


def _state(run: Run) -> dict[str, NDArray[Any]]:
    """The live arrays of a run: the learner's, the random streams, and where the feed stands."""
    arrays = dict(arrays_of(run.agent.learner, "learner")) | dict(arrays_of(run.agent.behavior, "behavior"))
    arrays |= {f"stream.{i}": stream for i, stream in enumerate(run.agent.streams)}
    arrays |= {f"feed.{name}": array for name, array in run.feed.state().items()}
    return arrays


def _counters(run: Run) -> dict[str, NDArray[Any]]:
    return {f"run.{name}": np.array(getattr(run, name)) for name in ("steps", "episodes", "seconds")}


def save_checkpoint(path: Path, run: Run) -> None:
    """Write the state of a run."""
    from io import BytesIO

    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **_state(run), **_counters(run))
    write_atomically(path, buffer.getvalue())


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays in a checkpoint by their names."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path}: there is no checkpoint") from None
    except Exception as error:  # a damaged archive makes NumPy and zipfile raise a dozen different kinds
        raise InputError(f"{path}: not a checkpoint, or damaged: {' '.join(str(error).split())}") from None


def saved_features(path: Path) -> Features:
    """The features of a linear learner, which no recipe can name where they were given as an array.

    Raises:
        InputError: where the file is missing, damaged, or holds none.
    """
    saved = _read(path)
    names = ("active", "value", "weights")
    if any(f"learner.credit.{name}" not in saved for name in names):
        raise InputError(f"{path}: it does not fit this world and recipe (features)")
    active, value, weights = (saved[f"learner.credit.{name}"] for name in names)
    return Features(active, value, len(weights))


def load_checkpoint(path: Path, run: Run) -> None:
    """Put a run, made from the same world and recipe, back to where a checkpoint was written; arrays change in place.

    Raises:
        InputError: where the file is missing, damaged, or of another world or recipe.
    """
    saved = _read(path)
    run.agent.make_room(*(len(saved.get(f"learner.{part}.state", ())) for part in ("window", "credit")))
    if isinstance(run.feed, Counting):
        run.feed.make_room(*(len(saved.get(f"feed.{part}.state", ())) for part in ("seen", "new")))
    live = _state(run)
    for name, array in (live | _counters(run)).items():
        if name not in saved or saved[name].shape != array.shape or saved[name].dtype != array.dtype:
            raise InputError(f"{path}: it does not fit this world and recipe ({name})")
    for name, array in live.items():
        array[...] = saved[name]
    run.steps, run.episodes = int(saved["run.steps"]), int(saved["run.episodes"])
    run.seconds = float(saved["run.seconds"])
