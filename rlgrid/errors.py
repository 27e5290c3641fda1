"""The one exception that means "the input is wrong", and the near-name hint used in its sentences."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Bad input from the user: one sentence that says where, what was found and what is allowed.

    The command line prints the sentence and exits with 2; in Python it is an ordinary ``ValueError``.
    """


#: Longer lists of names are cut.
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
        shown = text[:MOST_CHARACTERS].rsplit(", ", 1)[0]
        text = f"{shown} and {len(names) - shown.count(', ') - 1} more"
    return f'found "{found}"{hint}: {text}'
