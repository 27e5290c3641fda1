"""TOML files as checked structs, with every complaint turned into one sentence.

msgspec does the checking; its complaints are worded anew so that they name the file, the key, what was found and what
is allowed.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import numpy as np

from rlgrid.errors import InputError, one_of, printable, shown

T = TypeVar("T")


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the structs that TOML tables are checked against: frozen, keyword-only, no unknown keys."""


MAX_FILE_BYTES = 32 * 1024 * 1024  # a 3000 x 3000 map is 9 MB


def plain(found: Any) -> Any:
    """Put Python's numbers in place of NumPy's, inside tables too."""
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return found.item() if isinstance(found, np.generic) else found


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


def decode(wanted: type, found: object) -> object:
    """Make a float of a decimal; msgspec asks this about types that it does not know."""
    if wanted is float and isinstance(found, Decimal):
        return float(found)
    raise NotImplementedError(wanted)


def convert(
    data: object,
    wanted: type[T],
    *,
    where: str,
    key: str = "",
    decode: Callable[[type, object], object] = decode,
) -> T:
    """Check parsed data against a struct; ``where`` (a file) and ``key`` begin the sentence of the ``InputError``.

    ``decode`` makes a value of a type that msgspec does not know, or refuses it with a ``ValueError``.

    A struct's own complaint may begin with a dot and a key, which then continues the path to the struct.
    """
    try:
        return msgspec.convert(data, wanted, dec_hook=decode)
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
    """Say which table or key a TOML text defines twice."""
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
