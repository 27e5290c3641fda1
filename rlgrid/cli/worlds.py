"""The commands ``worlds`` and ``check``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rlgrid.cli.options import Json, Seed, WorldName, app, read_settings
from rlgrid.cli.output import print_json, print_table
from rlgrid.errors import InputError


@app.command()
def worlds(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show one world.")] = None,
    generate: Annotated[str | None, typer.Option(metavar="KIND", help="Print a random world instead.")] = None,
    size: Annotated[str, typer.Option(metavar="ROWSxCOLS", help="Size of the random world.")] = "10x10",
    seed: Seed = 0,
    set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set an option of the random world.")
    ] = None,
    json: Json = False,
) -> None:
    """List the worlds, show one, or generate one: maze, wilson_maze, obstacles or rooms."""
    from rlgrid import library
    from rlgrid.worlds.generators import generate_world, parse_size
    from rlgrid.worlds.world import load_world

    if name is not None and generate is not None:
        raise InputError("worlds: found a name and --generate; allowed: one of them")
    chosen = load_world(name) if name is not None else None
    if generate is not None:
        chosen = generate_world(generate, parse_size(size), seed, **read_settings(set or []))
    if chosen is not None:
        return print_json(_world_facts(chosen)) if json else print(chosen.to_toml(), end="")
    loaded = [load_world(found) for found in library.names("envs")]
    if json:
        return print_json([_world_facts(world) for world in loaded])
    rows = []
    for w in loaded:
        discount = "-" if w.discount is None else f"{w.discount:g}"
        rows.append((w.name, f"{w.shape[0]} x {w.shape[1]}", str(w.n_actions), discount, w.source))
    print_table(("world", "size", "actions", "discount", "source"), rows)


@app.command()
def check(world: WorldName, json: Json = False) -> None:
    """Look for what is valid but probably unintended: unreachable cells, traps, endless episodes, unclear rules."""
    from rlgrid.analysis.linter import lint_world
    from rlgrid.worlds.world import load_world

    findings = lint_world(load_world(world))
    if json:
        return print_json({"world": world, "findings": [finding._asdict() for finding in findings]})
    for finding in findings:
        print(f"{world}: {finding}")
    if not findings:
        print(f"{world}: nothing to report")


def _world_facts(world: Any) -> dict[str, Any]:
    facts = {key: getattr(world, key) for key in ("name", "source", "discount", "max_episode_steps", "actions")}
    return facts | {"rows": world.shape[0], "columns": world.shape[1], "map": list(world.rows)}
