"""The numbers of a world file: exact fractions, probabilities and rewards that may be random."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from rlgrid import toml
from rlgrid.errors import InputError, shown

#: A reward's distribution has at most so many values.
MOST_REWARD_VALUES = 10_000


class Reward:
    """A reward: a discrete distribution plus independent normal noise; closed under addition.

    ``values`` and ``probabilities`` have one entry for a plain number; ``std`` is 0 without normal noise.
    """

    __slots__ = ("probabilities", "std", "values")

    def __init__(
        self, values: Iterable[Fraction], probabilities: Iterable[Fraction] = (Fraction(1),), std: float = 0.0
    ) -> None:
        self.values = tuple(values)
        self.probabilities = tuple(probabilities)
        self.std = std

    def _key(self) -> tuple[object, ...]:
        return (self.values, self.probabilities, self.std)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reward) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Reward({self.to_toml()})"

    @property
    def mean(self) -> Fraction:
        return sum((v * p for v, p in zip(self.values, self.probabilities, strict=True)), Fraction(0))

    @property
    def is_constant(self) -> bool:
        return len(self.values) == 1 and self.std == 0.0

    def __add__(self, other: Reward) -> Reward:
        """The distribution of the sum of two independent rewards."""
        if len(self.values) * len(other.values) > MOST_REWARD_VALUES:
            raise InputError(
                f"reward: two lists of {len(self.values):,} and {len(other.values):,} values are added; "
                f"allowed: sums of at most {MOST_REWARD_VALUES:,} values"
            )
        total: dict[Fraction, Fraction] = {}
        for v, p in zip(self.values, self.probabilities, strict=True):
            for w, q in zip(other.values, other.probabilities, strict=True):
                total[v + w] = total.get(v + w, Fraction(0)) + p * q
        return Reward(tuple(total), tuple(total.values()), (self.std**2 + other.std**2) ** 0.5)

    def to_toml(self) -> str:
        if self.is_constant:
            return number_to_toml(self.values[0])
        if self.std:
            return f"{{ mean = {number_to_toml(self.values[0])}, std = {self.std!r} }}"
        values = ", ".join(number_to_toml(v) for v in self.values)
        probabilities = ", ".join(number_to_toml(p) for p in self.probabilities)
        return f"{{ values = [{values}], probabilities = [{probabilities}] }}"


def number_to_toml(value: Fraction) -> str:
    """Write a fraction so that reading it gives the same fraction: ``-1``, ``0.8`` or ``"1/3"``."""
    if value.denominator == 1:
        return str(value.numerator)
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    if denominator == 1 and value.denominator <= 10**15:
        decimal = Decimal(value.numerator) / Decimal(value.denominator)
        if Fraction(decimal) == value:
            text = format(decimal, "f")
            return text if "." in text else text + ".0"
    return f'"{value.numerator}/{value.denominator}"'


def to_fraction(found: object) -> Fraction:
    """Read ``3``, ``0.1`` (exactly 1/10) or ``"1/3"``; anything else is a ``ValueError``."""
    if isinstance(found, Fraction):
        return found
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal | str):
        raise ValueError(f'found {shown(found)}; allowed: a number or a fraction such as "1/3"')
    # Sizes are bounded before the conversion: 1e999999999 is short to write and endless as a fraction.
    if isinstance(found, Decimal) and found.is_finite() and not (found.adjusted() <= 30 and _decimals(found) <= 30):
        raise ValueError(f"found {shown(found)}; allowed: a size up to 1e30, with at most 30 decimals")
    try:
        if isinstance(found, str) and not _NUMBER.fullmatch(found):
            raise ValueError
        value = Fraction(str(found) if isinstance(found, float) else found)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f'found {shown(found)}; allowed: a finite number or a fraction such as "1/3"') from None
    if value and not Fraction(1, 10**30) <= abs(value) <= 10**30:
        raise ValueError(f"found {shown(found)}; allowed: 0, or a size between 1e-30 and 1e30")
    return value


_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,64}(/[0-9]{1,64}|\.[0-9]{1,30})?\s*")


def _decimals(number: Decimal) -> int:
    return -int(number.as_tuple().exponent)


def to_probability(found: object) -> Fraction:
    """Read a number or fraction between 0 and 1."""
    value = to_fraction(found)
    if not 0 <= value <= 1:
        raise ValueError(f"found {number_to_toml(value)}; allowed: a probability between 0 and 1")
    return value


def check_sum(probabilities: list[Fraction]) -> None:
    """Probabilities have to add up to exactly 1; decimals are exact here, so nothing needs to be forgiven."""
    total = sum(probabilities, Fraction(0))
    if total != 1:
        found = number_to_toml(total).strip('"')
        raise ValueError(f'the probabilities add up to {found}; allowed: exactly 1 (write "1/3", not 0.333)')


def to_reward(found: object) -> Reward:
    """Read a number, ``{ values, probabilities }`` or ``{ mean, std }``."""
    if isinstance(found, Reward):
        return found
    if not isinstance(found, dict):
        return Reward((to_fraction(found),))
    if set(found) == {"mean", "std"}:
        std = to_fraction(found["std"])
        if std < 0:
            raise ValueError(f".std: found {shown(found['std'])}; allowed: a number of at least 0")
        return Reward((to_fraction(found["mean"]),), std=float(std))
    if set(found) == {"values", "probabilities"}:
        values, probabilities = found["values"], found["probabilities"]
        if not isinstance(values, list) or not isinstance(probabilities, list) or not values:
            raise ValueError("values and probabilities have to be lists with at least one entry")
        if len(values) != len(probabilities):
            raise ValueError(f"found {len(values)} values and {len(probabilities)} probabilities; allowed: as many")
        weights = [to_probability(p) for p in probabilities]
        check_sum(weights)
        pairs = [(to_fraction(v), p) for v, p in zip(values, weights, strict=True) if p]
        return Reward(tuple(v for v, _ in pairs), tuple(p for _, p in pairs))
    keys = shown(", ".join(found))
    raise ValueError(f"found the keys {keys}; allowed: a number, {{ values, probabilities }} or {{ mean, std }}")


def decode_number(wanted: type, found: object) -> object:
    """A fraction or a reward; the types that TOML has are left to ``toml.decode``."""
    if wanted is Fraction:
        return to_fraction(found)
    if wanted is Reward:
        return to_reward(found)
    return toml.decode(wanted, found)
