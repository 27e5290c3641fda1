"""How commands print tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows below a header in columns; only the last column is ever cut."""
    from rich.console import Console

    console = Console(highlight=False)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    widths[-1] = max(20, console.width - sum(widths[:-1]) - 2 * len(widths))
    for row in (header, *rows):
        pairs = list(zip(row, widths, strict=True))
        line = "  ".join(
            (text if len(text) <= width else text[: width - 1] + "…").ljust(width) for text, width in pairs
        )
        console.print(line.rstrip(), style="bold" if row is header else None, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value)).decode())
