"""The command ``agents``."""

from __future__ import annotations

from typing import Annotated

import typer

from rlgrid.cli.options import Json, app
from rlgrid.cli.output import print_json, print_table


@app.command()
def agents(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show one recipe.")] = None, json: Json = False
) -> None:
    """List the agents' recipes, or show one."""
    import msgspec

    from rlgrid import library
    from rlgrid.learning.recipe import read_recipe, recipe_to_toml

    if name is not None:
        recipe = read_recipe(name, {})
        return print_json(msgspec.to_builtins(recipe)) if json else print(recipe_to_toml(recipe), end="")
    recipes = [read_recipe(found, {}) for found in library.names("agents")]
    if json:
        return print_json([msgspec.to_builtins(recipe) for recipe in recipes])
    rows = [(r.name, r.feed.kind, r.credit, r.source) for r in recipes]
    print_table(("agent", "feed", "credit", "source"), rows)
