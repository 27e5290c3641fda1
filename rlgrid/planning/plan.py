"""Plan: a solved model; it is saved to an archive and loaded from it, or written as a table for other programs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from io import BytesIO, StringIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError
from rlgrid.files import write_whole

PathName = str | os.PathLike[str]

#: An archive that would need more memory than this is refused.
MOST_BYTES = 2**34

#: A fraction as text, of no more digits than Python reads; nothing where a value is infinite or undefined.
FRACTION = "(-?[0-9]{1,4300}(/[1-9][0-9]{0,4299})?)?"

#: Arrays of a plan: the kind of their numbers, as NumPy's ``dtype.kind`` says it, and their axes.
_ARRAYS = {
    "v": ("f", "S"),
    "q": ("f", "SA"),
    "policy": ("f", "SA"),
    "optimal_actions": ("b", "SA"),
    "undetermined": ("b", "S"),
}

#: Single values of a plan, with the kinds that each may have; and what may be missing.
_VALUES = {
    "bound": "fi",
    "iterations": "i",
    "discount": "fi",
    "method": "U",
    "epsilon": "fi",
    "horizon": "i",
    "gain": "f",
}
_OPTIONAL = ("horizon", "gain", "shape", "actions", "exact_v")


class ActionTables(NamedTuple):
    """What a plan says about actions, [S, A] each but the last; :class:`Plan` explains them."""

    q: Floats
    policy: Floats
    optimal_actions: Bools
    undetermined: Bools  # [S]


@dataclass(frozen=True, eq=False)
class Plan:
    """A solved model: S states, A actions. Terminal states and walls have the value 0.

    Attributes:
        v: optimal values [S]; with a horizon, for that many steps to go.
        q: action values [S, A]; -inf where an action is not available.
        policy: [S, A], one action in each state; mixed with epsilon times the uniform policy where epsilon > 0. Up to
            5,000 cells (1,000 states of a model without a map) it is optimal wherever float64 can tell, however small
            the values: improved until every other action is certain to be worse, tied, or too close to tell. In larger
            models, and with a horizon, it is greedy at v. Of equally good actions it takes the first; at discount 1,
            where waiting is free, one that leads to a cell that it pays to leave, and where these actions would never
            end an episode, one that is as good and leads to an end. With a horizon it is the policy of the first step.
        optimal_actions: bool [S, A], every action that is not certain to be worse than the best; all optimal actions
            are among them. Up to 5,000 cells each value's own accuracy decides, and where nothing is undetermined
            they are the optimal ones, no more and no less. Else it is the bound: those whose q is at least
            max q - 2 bound, less rounding; where that is infinite, ``tol`` takes its place and nothing is proven.
            At discount 1 an action that only waits counts.
        undetermined: bool [S], states in which the policy may not be optimal: where another action is too close to
            tell and no tie could be proven, and those from which the policy may come there. In all others its value
            is the best, exactly. Up to 300 states fractions decide what float64 cannot.
        bound: proven bound on max |v - v*|, rounding included, of the model whose rows of probabilities are divided by
            their sums, at the discount that the float is. Infinite: none was found (discount 1).
        iterations: sweeps, policies, or pivots of the linear program.
        discount, method, epsilon, horizon: what was solved, and how.
        shape, actions: the map's rows and columns, and the actions' names.
        exact_v: optimal values [S] as fractions, with ``exact``. ``v`` and ``q`` are then rounded once, ``bound`` is
            the rounding of ``v``, ``optimal_actions`` are the optimal ones, and ``policy`` takes the first of them.
        gain: the best mean reward a step, with ``average_reward``. ``bound`` is then one on |gain - gain*|, ``v`` are
            values relative to a start, so that v = max over actions of r - gain + P v; nothing is proven about these.
    """

    v: Floats
    bound: float
    iterations: int
    discount: float
    method: str
    epsilon: float
    horizon: int | None
    tables: Callable[[], ActionTables] = field(repr=False)  # called when one is asked for: on large maps they take long
    doubts: Callable[[ActionTables], Bools] | None = field(
        default=None, repr=False
    )  # a closer look, where it is asked for
    shape: tuple[int, int] | None = None
    actions: tuple[str, ...] | None = None
    exact_v: tuple[Fraction | None, ...] | None = field(default=None, repr=False)
    gain: float | None = None

    @cached_property
    def _tables(self) -> ActionTables:
        return self.tables()

    @property
    def q(self) -> Floats:
        return self._tables.q

    @property
    def policy(self) -> Floats:
        return self._tables.policy

    @property
    def optimal_actions(self) -> Bools:
        return self._tables.optimal_actions

    @cached_property
    def undetermined(self) -> Bools:
        doubtful = self._tables.undetermined
        return doubtful if self.doubts is None or not doubtful.any() else self.doubts(self._tables)

    def save(self, path: PathName) -> None:
        """Write the plan as an npz archive without pickles, at once or not at all.

        Raises:
            InputError: where the file cannot be written.
        """
        found = {name: getattr(self, name) for name in (*_ARRAYS, *_VALUES, *_OPTIONAL)}
        if found["exact_v"] is not None:
            found["exact_v"] = ["" if value is None else str(value) for value in found["exact_v"]]
        buffer = BytesIO()
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found.items() if value is not None}
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: PathName) -> Plan:
        """Read a plan that :meth:`save` has written.

        Raises:
            InputError: where the file is missing, damaged, or no plan.
        """
        saved = _read(path)
        _check(saved, path)
        found = {"horizon": None} | {name: _plain(name, array) for name, array in saved.items()}
        v, *tables = (found.pop(name) for name in _ARRAYS)
        if "exact_v" in found:
            found["exact_v"] = tuple(Fraction(text) if text else None for text in found["exact_v"])
        return cls(v=v, tables=partial(ActionTables, *tables), **found)

    def to_csv(self, path: PathName) -> None:
        """Write one line for each state: state, row, column, v, the policy's most likely action, q of each action.

        Without a map there is no row and column. Numbers have all their digits. q is empty where an action is not
        available.

        Raises:
            InputError: where the file cannot be written.
        """
        write_whole(path, _table(self).encode())


# -- archives --------------------------------------------------------------------------------------------------------


def _read(path: PathName) -> Mapping[str, NDArray[Any]]:
    """The arrays of an archive, by name."""
    from zipfile import ZipFile

    try:
        with open(path, "rb") as file:
            needed = sum(member.file_size for member in ZipFile(file).infolist())
            if needed > MOST_BYTES:
                raise InputError(f"{path}: it would need {needed:,} bytes; allowed: at most {MOST_BYTES:,}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except InputError:
        raise
    except Exception as error:  # a damaged archive makes NumPy and zipfile raise a dozen different kinds
        raise InputError(
            f"{path}: not a plan, or damaged: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None


def _check(saved: Mapping[str, NDArray[Any]], path: PathName) -> None:
    """Refuse an archive whose names, kinds or sizes are not those of a plan."""
    for name in (*_ARRAYS, *_VALUES):
        if name not in _OPTIONAL and name not in saved:
            raise _no_plan(path, f"{name} is missing", "what Plan.save has written")
    if unknown := sorted(saved.keys() - {*_ARRAYS, *_VALUES, *_OPTIONAL}):
        raise _no_plan(path, f"found {unknown[0]!r:.40}", "what Plan.save has written")
    sizes = dict(zip("SA", saved["q"].shape, strict=False))
    for name, (kind, axes) in _ARRAYS.items():
        array = saved[name]
        if array.dtype.kind != kind or array.shape != tuple(sizes.get(axis, -1) for axis in axes):
            raise _no_plan(path, f"{name} has {array.dtype} {array.shape}", "[S] and [S, A]")
    for name, kinds in _VALUES.items():
        if name in saved and (saved[name].ndim or saved[name].dtype.kind not in kinds):
            raise _no_plan(path, f"{name} is {saved[name].dtype} {saved[name].shape}", "one value")
    n_states, n_actions = saved["q"].shape
    if not n_actions:
        raise _no_plan(path, f"q is {saved['q'].shape}", "[S, A] with one action at least")
    shape = saved.get("shape", np.array([1, n_states]))
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or shape.min() < 1 or shape.prod() != n_states:
        raise _no_plan(path, f"shape is {shape.tolist()}", f"two sizes of {n_states} cells")
    exact = saved.get("exact_v", np.full(n_states, "0"))
    if exact.shape != (n_states,) or not all(re.fullmatch(FRACTION, str(text)) for text in exact):
        raise _no_plan(path, "exact_v", f"{n_states} fractions")
    names = saved.get("actions", np.full(n_actions, ""))
    if names.shape != (n_actions,) or names.dtype.kind != "U":
        raise _no_plan(path, f"actions are {names.dtype} {names.shape}", f"{n_actions} names")
    if not saved["bound"] >= 0:
        raise _no_plan(path, f"bound is {saved['bound']}", "at least 0")


def _no_plan(path: PathName, found: str, allowed: str) -> InputError:
    return InputError(f"{path}: not a plan: {found}; allowed: {allowed}")


def _plain(name: str, array: NDArray[Any]) -> Any:
    """An array stays one where a plan has an array; else it becomes a number, a text, or a tuple of these."""
    if name in _ARRAYS:
        return array
    return array.item() if array.ndim == 0 else tuple(array.tolist())


# -- tables for other programs ---------------------------------------------------------------------------------------


def _table(plan: Plan) -> str:
    """The text of a plan's CSV file."""
    n_actions = plan.q.shape[1]
    names = plan.actions or tuple(str(a) for a in range(n_actions))
    text = StringIO()
    text.write(
        ",".join(["state", *(("row", "column") if plan.shape else ()), "v", "action", *(f"q_{name}" for name in names)])
        + "\n"
    )
    chosen = plan.policy.argmax(axis=1).tolist()
    for s, (v, q) in enumerate(zip(plan.v.tolist(), plan.q.tolist(), strict=True)):
        cell = divmod(s, plan.shape[1]) if plan.shape else ()
        values = ["" if value == -np.inf else repr(value) for value in q]
        text.write(",".join([str(s), *map(str, cell), repr(v), names[chosen[s]], *values]) + "\n")
    return text.getvalue()
