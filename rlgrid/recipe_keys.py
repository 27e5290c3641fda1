"""The keys of a recipe that are tables of their own, told apart by their ``kind``."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frozen, keyword-only, no unknown keys."""


class HarmonicSize(Keys, frozen=True, tag_field="kind", tag="harmonic"):
    """``{ kind = "harmonic", a = 1, b = 0, per = "entry" }``: a / (b + k)."""

    a: float = 1.0
    b: float = 0.0
    per: Literal["entry", "update"] = "entry"


class PolynomialSize(Keys, frozen=True, tag_field="kind", tag="polynomial"):
    """``{ kind = "polynomial", a = 1, b = 0, power = 0.75, per = "entry" }``: a / (b + k)^power."""

    a: float = 1.0
    b: float = 0.0
    power: float = 0.75
    per: Literal["entry", "update"] = "entry"


StepSizeKeys: TypeAlias = float | HarmonicSize | PolynomialSize


class HarmonicEpsilon(Keys, frozen=True, tag_field="kind", tag="harmonic"):
    """``{ kind = "harmonic", a = 1, b = 0, least = 0, per = "episode" }``: a / (b + k), at most 1."""

    a: float = 1.0
    b: float = 0.0
    least: float = 0.0
    per: Literal["episode", "step", "visit"] = "episode"


class PolynomialEpsilon(Keys, frozen=True, tag_field="kind", tag="polynomial"):
    """``{ kind = "polynomial", a = 1, b = 0, power = 0.5, least = 0, per = "episode" }``: a / (b + k)^power."""

    a: float = 1.0
    b: float = 0.0
    power: float = 0.5
    least: float = 0.0
    per: Literal["episode", "step", "visit"] = "episode"


class LinearEpsilon(Keys, frozen=True, tag_field="kind", tag="linear"):
    """``{ kind = "linear", first = 1, last = 0, steps = 100_000 }``: a straight line, then ``last``."""

    steps: int
    first: float = 1.0
    last: float = 0.0


#: Far more than any map has use for.
_MOST_FEATURES = 1000

EpsilonKeys: TypeAlias = float | HarmonicEpsilon | PolynomialEpsilon | LinearEpsilon


class SoftmaxBehavior(Keys, frozen=True, tag_field="kind", tag="softmax"):
    """``{ kind = "softmax", temperature = 1 }``."""

    temperature: float = 1.0


class UpperConfidenceBehavior(Keys, frozen=True, tag_field="kind", tag="ucb"):
    """``{ kind = "ucb", c = 1 }``."""

    c: float = 1.0


BehaviorKeys: TypeAlias = SoftmaxBehavior | UpperConfidenceBehavior


class _Features(Keys, frozen=True):
    """Settings of features: whole numbers."""

    def __post_init__(self) -> None:
        for key in self.__struct_fields__:
            value = getattr(self, key)
            if not 1 <= value <= _MOST_FEATURES:
                raise ValueError(f".{key}: found {value}; allowed: 1 to {_MOST_FEATURES}")


class OneHotFeatures(_Features, frozen=True, tag_field="kind", tag="one_hot"):
    """``{ kind = "one_hot" }``: a feature for each state."""


class PolynomialFeatures(_Features, frozen=True, tag_field="kind", tag="polynomial"):
    """``{ kind = "polynomial", order = 2 }``: products of the coordinates."""

    order: int = 2


class FourierFeatures(_Features, frozen=True, tag_field="kind", tag="fourier"):
    """``{ kind = "fourier", order = 3 }``: cosines of the coordinates."""

    order: int = 3


class TileFeatures(_Features, frozen=True, tag_field="kind", tag="tile_coding"):
    """``{ kind = "tile_coding", tilings = 4, tiles = 4 }``: shifted grids of tiles."""

    tilings: int = 4
    tiles: int = 4


class GivenFeatures(_Features, frozen=True, tag_field="kind", tag="given"):
    """``{ kind = "given" }``: an array handed over in Python stands in no recipe."""


FeatureKeys: TypeAlias = OneHotFeatures | PolynomialFeatures | FourierFeatures | TileFeatures | GivenFeatures
