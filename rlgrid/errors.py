"""The one exception that means "the input is wrong", the near-name hint in its sentences, and checks of numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from difflib import get_close_matches
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
        number = operator.index(cast(SupportsIndex, found))
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{key}: found {shown(found)}; allowed: a whole number of at least {least}{otherwise}")
    if number > most:
        raise InputError(f"{key}: found {shown(found)}; allowed: a whole number of at most {most:,}{otherwise}")
    return number


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
        return np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{key}: found {shown(found)}; allowed: {allowed}") from None


def shown(found: object) -> str:
    """A value as a short piece of a sentence."""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, list | dict):
        return "a list" if isinstance(found, list) else "a table"
    if isinstance(found, int) and abs(found) > 10**30:
        return "a huge number"
    return f'"{printable(found)}"' if isinstance(found, str) else printable(str(found))


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
    near = get_close_matches(str(found), names, n=1)
    hint = f', did you mean "{near[0]}"? Allowed' if near else "; allowed"
    text = ", ".join(names)
    if len(text) > MOST_CHARACTERS:
        kept = text[:MOST_CHARACTERS].rsplit(", ", 1)[0]
        text = f"{kept} and {len(names) - kept.count(', ') - 1} more"
    return f'found "{found}"{hint}: {text}'
