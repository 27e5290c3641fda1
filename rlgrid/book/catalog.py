"""Every figure that can be computed anew, by book and number."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rlgrid.book.aima import aima_4x3
from rlgrid.book.figure import Reproduction
from rlgrid.book.sutton_barto import sutton_3_2, sutton_3_5, sutton_4_1
from rlgrid.book.zhao import zhao_3_4
from rlgrid.errors import InputError, one_of


def reproduce(book: str, figure: str) -> Reproduction:
    """Compute a figure of a book and compare it with what is printed there.

    Raises:
        InputError: for a figure that is not in ``FIGURES``.

    >>> reproduce("zhao", "3.4").agrees
    True
    """
    if book not in (books := dict.fromkeys(name for name, _ in FIGURES)):
        raise InputError(f"book: {one_of(book, books)}")
    if (book, figure) not in FIGURES:
        raise InputError(f"figure of {book}: {one_of(figure, [number for name, number in FIGURES if name == book])}")
    return FIGURES[book, figure].compute()


class _Figure(NamedTuple):
    """A figure of a book, and the function that computes it."""

    source: str
    compute: Callable[[], Reproduction]

    @property
    def what(self) -> str:
        """What it shows, as the function's docstring says."""
        return (self.compute.__doc__ or "").rstrip(".")


FIGURES = {
    ("aima", "4x3"): _Figure("Russell & Norvig, Artificial Intelligence, 17.2(b) or 4th ed. 16.2(b)", aima_4x3),
    ("zhao", "3.4"): _Figure("Zhao, Mathematical Foundations of RL, Fig. 3.4", zhao_3_4),
    ("sutton", "3.2"): _Figure("Sutton & Barto, 2nd ed., Fig. 3.2", sutton_3_2),
    ("sutton", "3.5"): _Figure("Sutton & Barto, 2nd ed., Fig. 3.5", sutton_3_5),
    ("sutton", "4.1"): _Figure("Sutton & Barto, 2nd ed., Fig. 4.1", sutton_4_1),
}
