"""The keys of a recipe that say where experience comes from: ``feed``, a table or its kind alone as a word.

    feed = { kind = "counting", every = 100, prior = 0.02 }
    feed = "sweep"

Each kind checks its own keys. They may also stand beside ``feed``, as in older recipes and in settings for one run:
``episode_length = 50`` there is ``feed = { ..., episode_length = 50 }``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

from rlgrid.errors import MOST, InputError, shown, whole
from rlgrid.toml import Keys


class _FeedKeys(Keys, frozen=True):
    """What recipes know of every kind of feed."""

    #: What a budget can count.
    units: ClassVar[tuple[str, ...]] = ("steps", "episodes")
    #: Keys of the recipe that can have one value only with this feed, so that nobody has to state it.
    implied: ClassVar[dict[str, Any]] = {}

    @property
    def kind(self) -> str:
        """The kind as a word."""
        return str(self.__struct_config__.tag)


class SweepKeys(_FeedKeys, frozen=True, tag_field="kind", tag="sweep"):
    """The exact model, every outcome weighted with its probability."""

    units = ("sweeps",)
    implied: ClassVar[dict[str, Any]] = {"step_size": 1, "credit": "together"}


class RolloutKeys(_FeedKeys, frozen=True, tag_field="kind", tag="rollout"):
    """Steps through an environment."""

    starts: Literal["world", "exploring", "every_pair"] = "world"
    episodes_per_pair: int = 1
    episode_length: int | None = None

    def __post_init__(self) -> None:
        _check_counts(self, "episodes_per_pair", "episode_length")


class ReplayKeys(_FeedKeys, frozen=True, tag_field="kind", tag="replay"):
    """A recorded batch."""

    units = ("sweeps",)


class SolutionKeys(_FeedKeys, frozen=True, tag_field="kind", tag="solution"):
    """The exact model, solved by a method of the planner."""

    units = ("sweeps",)
    implied: ClassVar[dict[str, Any]] = {"target": "greedy", "step_size": 1, "credit": "together"}

    method: str = "auto"


class CountingKeys(_FeedKeys, frozen=True, tag_field="kind", tag="counting"):
    """Steps through an environment, and a model counted from them that is solved again and again."""

    implied: ClassVar[dict[str, Any]] = SolutionKeys.implied

    method: str = "auto"
    every: int = 1000
    prior: float = 0.0
    prior_reward: float = 0.0
    posterior: Literal["mean", "sample"] = "mean"
    episode_length: int | None = None

    def __post_init__(self) -> None:
        _check_counts(self, "every", "episode_length")
        if not 0 <= self.prior < float("inf"):
            raise ValueError(f".prior: found {self.prior:g}; allowed: at least 0")
        if not abs(self.prior_reward) < float("inf"):
            raise ValueError(f".prior_reward: found {self.prior_reward}; allowed: a finite number")
        if self.posterior == "sample" and not self.prior:
            raise ValueError('.posterior: "sample" needs a prior above 0')


def _check_counts(keys: _FeedKeys, *names: str) -> None:
    for name in names:
        if (value := getattr(keys, name)) is not None:
            whole(f".{name}", value, most=MOST)


FeedKeys: TypeAlias = SweepKeys | RolloutKeys | ReplayKeys | SolutionKeys | CountingKeys

_KINDS: dict[str, type[FeedKeys]] = {
    str(kind.__struct_config__.tag): kind for kind in (SweepKeys, RolloutKeys, ReplayKeys, SolutionKeys, CountingKeys)
}
_DEFAULTS = {kind: {f.name: f.default for f in msgspec.structs.fields(keys)} for kind, keys in _KINDS.items()}

#: Keys that may stand beside ``feed``, and how they are called in its table.
_BESIDE = {name: name for defaults in _DEFAULTS.values() for name in defaults if name != "every"} | {
    "solve_every": "every"
}


def _default(name: str) -> Any:
    """The value of a key that nobody sets: the same with every feed that has the key."""
    return next(known[name] for known in _DEFAULTS.values() if name in known)


def gather(data: dict[str, Any], settings: dict[str, Any], where: str) -> dict[str, Any]:
    """The keys of a recipe with settings put in, those of its feed in a table, and those that the feed implies.

    A recipe that was written down whole has keys of other feeds at their defaults, which are dropped; settings may not
    have such keys.

    Raises:
        InputError: for a key of another kind of feed.
    """
    data = data | settings
    feed = data.get("feed")
    table = {"kind": feed} if isinstance(feed, str) else dict(feed) if isinstance(feed, dict) else None
    if table is None or table.get("kind") not in _KINDS:
        return data  # the check that follows says what is wrong
    defaults = _DEFAULTS[table["kind"]]
    rest = {key: value for key, value in data.items() if key not in _BESIDE}
    for key in [key for key in data if key in _BESIDE]:
        name, value = _BESIDE[key], data[key]
        if name in defaults:
            table[name] = defaults[name] if value is None else value
        elif key in settings or value not in (None, _default(name)):
            kinds = " or ".join(f'"{kind}"' for kind, known in _DEFAULTS.items() if name in known)
            raise InputError(f"{where}: {key}: found {shown(value)}; allowed with feed = {kinds}")
    return _KINDS[table["kind"]].implied | rest | {"feed": table}
