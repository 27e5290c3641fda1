"""The keys of a recipe that are tables of their own, told apart by their ``kind``."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rlgrid.toml import Keys


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


EpsilonKeys: TypeAlias = float | HarmonicEpsilon | PolynomialEpsilon | LinearEpsilon


class SoftmaxBehavior(Keys, frozen=True, tag_field="kind", tag="softmax"):
    """``{ kind = "softmax", temperature = 1 }``."""

    temperature: float = 1.0


class UpperConfidenceBehavior(Keys, frozen=True, tag_field="kind", tag="ucb"):
    """``{ kind = "ucb", c = 1 }``."""

    c: float = 1.0


BehaviorKeys: TypeAlias = SoftmaxBehavior | UpperConfidenceBehavior
