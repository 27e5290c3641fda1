"""From parsed TOML to typed structs, with every complaint turned into one sentence.

msgspec does the checking; this module adds the number types that it does not know (fractions, reward distributions)
and words its complaints so that they name the file, the key, what was found and what is allowed.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import numpy as np

from rlgrid.errors import InputError, one_of, printable, shown

#: A reward's distribution has at most so many values.
MOST_REWARD_VALUES = 10_000

MAX_FILE_BYTES = 32 * 1024 * 1024  # a 3000 x 3000 map is 9 MB

T = TypeVar("T")


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


def plain(found: Any) -> Any:
    """The same with Python's numbers in place of NumPy's, in tables too."""
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return found.item() if isinstance(found, np.generic) else found


def _decode(wanted: type, found: object) -> object:
    if wanted is Fraction:
        return to_fraction(found)
    if wanted is Reward:
        return to_reward(found)
    if wanted is float and isinstance(found, Decimal):
        return float(found)
    raise NotImplementedError(wanted)


_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_UNKNOWN = "Object contains unknown field"
_MISSING = re.compile(r"^Object missing required field `(.*?)`")
_CHOICE = re.compile(r"^Invalid (enum )?value ")
_EXPECTED = re.compile(r"^Expected `(.*?)`, got `(.*?)`")
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def _words(kinds: str) -> str:
    """The types that msgspec expected, in words; ``null``, which TOML cannot write, is left out."""
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null")


def _value_at(data: Any, path: str) -> Any:
    """The value that stands at a path such as ``wind.up[2]``."""
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        data = data[int(index)] if index else data[key]
    return data


def convert(data: object, wanted: type[T], *, where: str, key: str = "") -> T:
    """Check parsed data against a struct; ``where`` (a file) and ``key`` begin the sentence of the ``InputError``.

    A struct's own complaint may begin with a dot and a key, which then continues the path to the struct.
    """
    try:
        return msgspec.convert(data, wanted, dec_hook=_decode)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        below = found.group(1).replace("[...]", "") if found else ""
        path = [part for part in (key, below) if part]
        text = _PATH.sub("", text)
        if text.startswith(_UNKNOWN):
            allowed = _fields_at(wanted, below, _value_at(data, below))
            unknown = next(name for name in _value_at(data, below) if name not in allowed)
            text = "unknown key: " + one_of(printable(unknown), allowed)
        elif match := _MISSING.match(text):
            text = f'the key "{match.group(1)}" is missing'
        elif match := _EXPECTED.match(text):
            text = f"found {shown(_value_at(data, below))}; allowed: {_words(match.group(1))}"
        elif _CHOICE.match(text):
            text = one_of(printable(str(_value_at(data, below))), _choices_at(wanted, below))
        place = ".".join(path)
        raise InputError(f"{where}: {place}{'' if not place or text.startswith('.') else ': '}{text}") from None


def _types_at(wanted: Any, path: str) -> list[Any]:
    """The types allowed at a dotted path below a struct."""
    options = list(get_args(wanted)) or [wanted]
    for name in filter(None, path.split(".")):
        fields = [field for option in options if _is_struct(option) for field in msgspec.structs.fields(option)]
        options = [
            kind for field in fields if field.encode_name == name for kind in get_args(field.type) or [field.type]
        ]
    return options


def _is_struct(kind: Any) -> bool:
    return hasattr(kind, "__struct_fields__")


def _fields_at(wanted: Any, path: str, table: dict[str, Any]) -> list[str]:
    """The keys allowed in a table at a dotted path below a struct: those of its kind, where it says which."""
    structs = [(kind, kind.__struct_config__) for kind in _types_at(wanted, path) if _is_struct(kind)]
    structs = [pair for pair in structs if table.get(pair[1].tag_field) == pair[1].tag]
    names = [field.encode_name for kind, _ in structs for field in msgspec.structs.fields(kind)]
    return list(dict.fromkeys([config.tag_field for _, config in structs if config.tag_field] + names))


def _choices_at(wanted: Any, path: str) -> list[str]:
    """The texts allowed at a dotted path below a struct: those of a Literal, or the tags of the structs there."""
    parent, _, name = path.rpartition(".")
    texts = [
        choice for kind in _types_at(wanted, path) for choice in get_args(kind) or [kind] if isinstance(choice, str)
    ]
    tags = [kind.__struct_config__ for kind in _types_at(wanted, parent) if _is_struct(kind)]
    return texts or [str(config.tag) for config in tags if config.tag_field == name]


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a small UTF-8 file; every way in which that can fail is an ``InputError`` that names the file."""
    file = Path(path)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{file}: not a regular file; allowed: a text file")
        if status.st_size > MAX_FILE_BYTES:
            raise InputError(f"{file}: {status.st_size:,} bytes are too many; allowed: at most {MAX_FILE_BYTES:,}")
        return file.read_bytes().decode("utf-8")
    except InputError:
        raise
    except FileNotFoundError:
        near = get_close_matches(file.stem, [other.stem for other in file.parent.glob("*.toml")], n=1)
        hint = f"; did you mean {near[0]}.toml?" if near else ""
        raise InputError(f"{file}: there is no such file{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: not UTF-8 text (byte {error.start + 1} is 0x{error.object[error.start]:02x})"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def parse_toml(text: str, *, where: str) -> dict[str, Any]:
    """Parse TOML with decimals kept exact."""
    if len(text) > MAX_FILE_BYTES:
        raise InputError(f"{where}: {len(text):,} characters are too many; allowed: at most {MAX_FILE_BYTES:,}")
    if not text.strip():
        raise InputError(f"{where}: the file is empty; a TOML table was expected")
    try:
        return tomllib.loads(text.removeprefix("\ufeff"), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        if "overwrite" in str(error) or "twice" in str(error):
            raise InputError(f"{where}: {_twice(text)}") from None
        raise InputError(f"{where}: not valid TOML: {str(error)[0].lower()}{str(error)[1:]}") from None
    except (ValueError, ArithmeticError):
        raise InputError(f"{where}: not valid TOML: a number has too many digits") from None
    except RecursionError:
        raise InputError(f"{where}: not valid TOML: nested too deeply") from None


_HEADER = re.compile(r"\s*\[+([^\]]+)\]+\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*=")


def _twice(text: str) -> str:
    """Which table or key of a TOML text stands there twice, in words."""
    table = ""
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = header.group(1).strip()
        if header or key:
            place = (table, key.group(1).strip("\"'") if key and not header else "")
            if place in seen:
                name = ": ".join(part for part in (place[0], f'"{place[1]}"' if place[1] else "the table") if part)
                return f"{name} has two meanings, in lines {seen[place]} and {number}; allowed: one"
            seen[place] = number
    return "a key stands there twice; allowed: once"
