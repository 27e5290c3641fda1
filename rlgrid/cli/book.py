"""The command ``book``."""

from __future__ import annotations

from typing import Annotated

import typer

from rlgrid.cli.options import Json, app
from rlgrid.cli.output import print_json, print_table


@app.command()
def book(
    book: Annotated[str | None, typer.Argument(metavar="BOOK", help="Without it all figures are listed.")] = None,
    figure: Annotated[str | None, typer.Argument(metavar="FIGURE", help="Its number or name.")] = None,
    json: Json = False,
) -> None:
    """Compute a figure of a book anew and compare it with what is printed."""
    from rlgrid.book.catalog import FIGURES, reproduce

    if book is not None:
        found = reproduce(book, figure or "")
        return print_json(found.facts | {"agrees": found.agrees}) if json else print(found.text)
    known = [(name, number, entry.what, entry.source) for (name, number), entry in FIGURES.items()]
    if json:
        return print_json([dict(zip(("book", "figure", "what", "source"), entry, strict=True)) for entry in known])
    print_table(("book", "figure", "what", "source"), known)
