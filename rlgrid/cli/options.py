"""The application, and the options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlgrid.errors import InputError

if TYPE_CHECKING:
    from rlgrid.environments.grid_world import GridWorld
    from rlgrid.runs.saved_run import SavedRun

app = typer.Typer(
    help="Reinforcement learning in gridworlds: worlds, exact plans, agents, episodes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
WorldName = Annotated[str, typer.Argument(metavar="WORLD", help="A catalog name or a path to a .toml file.")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, made by train --out.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Gif = Annotated[str | None, typer.Option(metavar="FILE", help="Write a GIF instead of opening a window.")]


#: Parameters of the functions that take the settings; ``--set`` cannot give these.
_NOT_SETTINGS = {"recipe", "env", "seed", "kind", "size"}


def read_settings(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` with values as in TOML; a bare word is a text."""
    from rlgrid.toml import parse_toml

    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f'--set: found "{pair}"; allowed: KEY=VALUE, such as step_size=0.5')
        text = f'"{value}"' if value.replace("_", "a").isidentifier() else value
        settings |= parse_toml(f"{key.strip()} = {text}", where="--set")
    if taken := sorted(settings.keys() & _NOT_SETTINGS):
        raise InputError(f'--set: found "{taken[0]}", which is no setting; allowed: an argument or option instead')
    return settings


def read_run(folder: str) -> tuple[SavedRun, GridWorld]:
    """A run directory and its world."""
    from rlgrid.environments.grid_world import GridWorld
    from rlgrid.runs.saved_run import SavedRun

    saved = SavedRun(folder)
    return saved, GridWorld(saved.world)
