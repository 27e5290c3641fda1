"""Step sizes of a Robbins-Monro update: how far an entry moves towards its target.

``k`` counts from 1: the visits of the entry, or all updates of the run where ``per_entry`` is false. A visit counts
with the weight of its target, so that under ``Harmonic()`` an entry is the weighted mean of its targets.
"""

from __future__ import annotations

from math import inf
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias

from rlgrid.choices import NAMED, choice, named, rule, unsigned
from rlgrid.errors import InputError, shown
from rlgrid.toml import Keys


class RobbinsMonro(NamedTuple):
    """Whether a step size meets the two conditions (Zhao, Theorem 6.1; Sutton & Barto 2e, eq. 2.7)."""

    sum_diverges: bool
    sum_of_squares_converges: bool

    @property
    def hold(self) -> bool:
        """Both conditions hold: the noise averages out, and every distance can be covered."""
        return self.sum_diverges and self.sum_of_squares_converges


class Constant(NamedTuple):
    """alpha_k = alpha: never settles, but forgets the past.

    >>> Constant(0.1).conditions.hold
    False
    """

    alpha: float

    @property
    def conditions(self) -> RobbinsMonro:
        """Which of the two conditions it meets."""
        return RobbinsMonro(sum_diverges=self.alpha > 0, sum_of_squares_converges=self.alpha == 0)


class Harmonic(NamedTuple):
    """alpha_k = a / (b + k); with a = 1 and b = 0 the incremental mean (Zhao, eq. 6.4)."""

    a: float = 1.0
    b: float = 0.0
    per_entry: bool = True

    @property
    def conditions(self) -> RobbinsMonro:
        """Which of the two conditions it meets."""
        return RobbinsMonro(sum_diverges=True, sum_of_squares_converges=True)


class Polynomial(NamedTuple):
    """alpha_k = a / (b + k)^power.

    >>> Polynomial(power=0.75).conditions
    RobbinsMonro(sum_diverges=True, sum_of_squares_converges=True)
    >>> Polynomial(power=0.5).conditions.hold, Polynomial(power=2.0).conditions.hold
    (False, False)
    """

    a: float = 1.0
    b: float = 0.0
    power: float = 0.75
    per_entry: bool = True

    @property
    def conditions(self) -> RobbinsMonro:
        """Which of the two conditions it meets."""
        return RobbinsMonro(sum_diverges=self.power <= 1, sum_of_squares_converges=self.power > 0.5)


StepSize: TypeAlias = Constant | Harmonic | Polynomial

#: (b + k)^power stays finite for k up to 1e12 too.
_MOST_B, _MOST_POWER = 1e12, 25.0


def as_step_size(found: StepSize | float, key: str = "step_size", *, most: float = inf) -> StepSize:
    """Check a step size and make its numbers floats; a plain number is a constant step size.

    Args:
        found: what was given.
        key: its name, with which the sentence begins.
        most: the most that its first step may be.

    Raises:
        InputError: for anything else, or steps that are not above 0.

    >>> as_step_size(0.1)
    Constant(alpha=0.1)
    """
    limit = f", at most {most:g}" if most < inf else ""
    alpha = found.alpha if isinstance(found, Constant) else found
    if isinstance(alpha, Real):
        if not 0 < alpha <= most or alpha == inf:
            raise InputError(f"{key}: found {float(alpha):g}; allowed: above 0{limit}")
        return Constant(float(alpha))
    numbers = found[:-1] if isinstance(found, Harmonic | Polynomial) else ()
    if not isinstance(found, Harmonic | Polynomial) or not all(isinstance(number, Real) for number in numbers):
        raise InputError(f"{key}: found {shown(found)}; allowed: a number, or Constant, Harmonic or Polynomial of some")
    a, b, power = (*map(float, numbers), 1.0)[:3]
    if not (b <= _MOST_B and 0 <= power <= _MOST_POWER):
        raise InputError(f"{key}: found b = {b:g}, power = {power:g}; allowed: b up to {_MOST_B:g}, power 0 to 25")
    if not (0 < a < inf and b > -1 and a <= most * (b + 1) ** power):
        raise InputError(f"{key}: found a = {a:g}, b = {b:g}; allowed: first step above 0{limit}")
    if isinstance(found, Harmonic):
        return Harmonic(a, b, found.per_entry)
    return Polynomial(a, b, power, found.per_entry)


class HarmonicKeys(Keys, frozen=True, tag_field="kind", tag="harmonic"):
    """``{ kind = "harmonic", a = 1, b = 0, per = "entry" }``: a / (b + k)."""

    a: float = 1.0
    b: float = 0.0
    per: Literal["entry", "update"] = "entry"


@named("step_size", "harmonic", keys=HarmonicKeys)
def _make_harmonic(keys: HarmonicKeys) -> Harmonic:
    return Harmonic(keys.a, keys.b, keys.per == "entry")


class PolynomialKeys(Keys, frozen=True, tag_field="kind", tag="polynomial"):
    """``{ kind = "polynomial", a = 1, b = 0, power = 0.75, per = "entry" }``: a / (b + k)^power."""

    a: float = 1.0
    b: float = 0.0
    power: float = 0.75
    per: Literal["entry", "update"] = "entry"


@named("step_size", "polynomial", keys=PolynomialKeys)
def _make_polynomial(keys: PolynomialKeys) -> Polynomial:
    return Polynomial(keys.a, keys.b, keys.power, keys.per == "entry")


def to_step_size(keys: Any) -> StepSize:
    """The step size that a recipe's key names: a number, or a table."""
    if isinstance(keys, int | float):
        return Constant(float(keys))
    step_size: StepSize = NAMED["step_size"][keys.__struct_config__.tag].make(keys)
    return step_size


def step_size_keys(step_size: StepSize) -> float | Keys:
    """The recipe's way to write a step size."""
    if isinstance(step_size, Constant):
        return step_size.alpha
    per: Literal["entry", "update"] = "entry" if step_size.per_entry else "update"
    if isinstance(step_size, Harmonic):
        return HarmonicKeys(a=step_size.a, b=step_size.b, per=per)
    return PolynomialKeys(a=step_size.a, b=step_size.b, power=step_size.power, per=per)


@rule
def rate(  # type: ignore[empty-body]
    step_size: Any, visits: Any, clock: Any, state: int, column: int, weight: float = 1.0
) -> float:
    """The step size of the next update of entry (state, column), whose target has a weight.

    It also counts the update: ``visits`` [S, C] sums up weights, ``clock`` [1] counts updates. Where a weight is above
    1, a step size that shrinks is at most 1 / weight, so that no entry goes past its target.
    """


@choice(rate, Constant)
def _constant(step_size: Constant, visits: Any, clock: Any, state: int, column: int, weight: float = 1.0) -> float:
    return step_size.alpha


@choice(rate, Harmonic)
def _harmonic(step_size: Harmonic, visits: Any, clock: Any, state: int, column: int, weight: float = 1.0) -> float:
    visits[unsigned(state), unsigned(column)] += weight
    clock[0] += 1
    k = visits[unsigned(state), unsigned(column)] if step_size.per_entry else clock[0]
    alpha: float = step_size.a / (step_size.b + k)
    return alpha if weight <= 1.0 else min(alpha, 1.0 / weight)


@choice(rate, Polynomial)
def _polynomial(step_size: Polynomial, visits: Any, clock: Any, state: int, column: int, weight: float = 1.0) -> float:
    visits[unsigned(state), unsigned(column)] += weight
    clock[0] += 1
    k = visits[unsigned(state), unsigned(column)] if step_size.per_entry else clock[0]
    alpha: float = step_size.a / (step_size.b + k) ** step_size.power
    return alpha if weight <= 1.0 else min(alpha, 1.0 / weight)
