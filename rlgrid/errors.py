"""The one exception that means "the input is wrong", the near-name hint in its sentences, and checks of numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from decimal import Decimal
from difflib import get_close_matches
from math import isfinite, nan
from numbers import Real
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class InputError(ValueError):
    """Bad input from the user: one sentence that says where, what was found and what is allowed.

    The command line prints the sentence and exits with 2; in Python it is an ordinary ``ValueError``.
    """


#: The largest count that a user may give. Compiled code counts in 64 bits, and nobody waits for so many steps.
MOST = 10**15


def whole(key: str, found: object, least: int = 1, *, most: int = MOST, other: str = "") -> int:
    """Check a whole number, Python's or NumPy's, and return it as an ``int``.

    Args:
        key: the name of what was given, with which the sentence begins.
        found: what was given.
        least, most: the range.
        other: what else is allowed there, for the sentence.

    Raises:
        InputError: for any other number or object.

    >>> whole("steps", 3)
    3
    """
    otherwise = f", or {other}" if other else ""
    try:
        number = least - 1 if isinstance(found, bool) else operator.index(cast(SupportsIndex, found))
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{key}: found {shown(found)}; allowed: a whole number of at least {least}{otherwise}")
    if number > most:
        raise InputError(f"{key}: found {shown(found)}; allowed: a whole number of at most {most:,}{otherwise}")
    return number


def number(key: str, found: object, within: Callable[[float], bool], allowed: str) -> float:
    """Check a number, Python's or NumPy's, and return it as a ``float``; it has to be finite.

    Args:
        key: the name of what was given, with which the sentence begins.
        found: what was given.
        within: whether a finite number is allowed.
        allowed: the same in words, for the sentence.

    Raises:
        InputError: for any other number or object.

    >>> number("tol", 0.1, lambda x: x > 0, "above 0")
    0.1
    """
    plain = found.item() if getattr(found, "ndim", None) == 0 and hasattr(found, "item") else found
    value = nan
    if isinstance(plain, Real | Decimal) and not isinstance(plain, bool):
        try:
            value = float(plain)
        except (OverflowError, ValueError):  # ten to the 400th, or a signalling NaN
            value = nan
    if not (isfinite(value) and within(value)):
        raise InputError(f"{key}: found {shown(found).removesuffix('.0')}; allowed: {allowed}")
    return value


def chosen(key: str, found: object, names: Iterable[str]) -> str:
    """Check that something is one of some names, and return it.

    Raises:
        InputError: for anything else; the sentence has the nearest name for a typo.
    """
    allowed = list(names)
    if not isinstance(found, str) or found not in allowed:
        raise InputError(f"{key}: {one_of(found, allowed)}")
    return found


def check_seed(seed: object) -> None:
    """Refuse what is neither a whole number nor ``None``, which takes fresh entropy."""
    if seed is not None:
        whole("seed", seed, 0, most=2**128, other="none")


def numbers(key: str, found: Any, allowed: str) -> NDArray[np.float64]:
    """Make an array of floats of any shape; what is one already is not copied.

    Raises:
        InputError: for anything else, such as lists of unequal lengths; ``allowed`` ends the sentence.
    """
    import numpy as np

    try:
        if np.iscomplexobj(found):
            raise TypeError
        return np.asarray(found, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        raise InputError(f"{key}: found {shown(found)}; allowed: {allowed}") from None


def shown(found: object) -> str:
    """A value as a short piece of a sentence."""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, list | dict):
        return "a list" if isinstance(found, list) else "a table"
    if isinstance(found, int) and abs(found) > 10**30:
        return "a huge number"
    try:
        return f'"{printable(found)}"' if isinstance(found, str) else printable(str(found))
    except ValueError:  # more digits than Python prints, within a tuple
        return f"a {type(found).__name__}"


def printable(text: str) -> str:
    """A text on one line, cut off where it is long."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 40 else text[:37] + "..."


#: Lists of names with more characters are cut.
MOST_CHARACTERS = 560


def one_of(found: object, allowed: Iterable[str]) -> str:
    """Say what was found and what is allowed, with the nearest allowed name for a typo.

    >>> one_of("lefft", ["left", "right"])
    'found "lefft", did you mean "left"? Allowed: left, right'
    """
    names = list(allowed)
    what = printable(found) if isinstance(found, str) else shown(found)
    near = get_close_matches(what, names, n=1)
    hint = f', did you mean "{near[0]}"? Allowed' if near else "; allowed"
    text = ", ".join(names)
    if len(text) > MOST_CHARACTERS:
        kept = text[:MOST_CHARACTERS].rsplit(", ", 1)[0]
        text = f"{kept} and {len(names) - kept.count(', ') - 1} more"
    return f'found "{what}"{hint}: {text}'
