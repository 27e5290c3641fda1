"""The command ``train``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rlgrid.cli.options import Json, WorldName, app, read_run, read_settings
from rlgrid.cli.output import print_json
from rlgrid.errors import InputError

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


@app.command()
def train(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="A recipe's name or a path to a .toml file.")],
    world: WorldName,
    steps: Annotated[int | None, typer.Option(help="Train for so many steps.")] = None,
    episodes: Annotated[int | None, typer.Option(help="... or so many episodes.")] = None,
    sweeps: Annotated[int | None, typer.Option(help="... or so many sweeps (planners).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random; 0 by default.")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a key of the recipe anew.")] = None,
    out: Annotated[str | None, typer.Option(metavar="RUN", help="Log to this new folder.")] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with the run in --out, up to its budget or a new one.", show_default=False)
    ] = False,
    watch: Annotated[bool, typer.Option(help="Watch it learn (slow).", show_default=False)] = False,
    json: Json = False,
) -> None:
    """Train an agent in a world."""
    from rlgrid.environments.grid_world import GridWorld
    from rlgrid.learning.load import load_agent
    from rlgrid.runs.log import EpisodeLog
    from rlgrid.runs.observer import Observer
    from rlgrid.runs.progress import CompileNotice, ProgressBar
    from rlgrid.runs.run import Run, make_budget
    from rlgrid.runs.train import run_to_budget
    from rlgrid.runs.watch import Watch

    if resume:
        run = _resumed(out, agent, world, (steps, episodes, sweeps), set or [], seed)
    else:
        env = GridWorld(world)
        made = load_agent(agent, env, seed=seed or 0, **read_settings(set or []))
        run = Run(made, env, make_budget(made, steps, episodes, sweeps))
    observers: list[Observer] = [EpisodeLog(out)] if out is not None else []
    observers += [CompileNotice() if json else ProgressBar()]
    observers += [Watch()] if watch else []
    if run.done < run.budget.amount:
        run_to_budget(run, observers)
    else:
        print(f"rlgrid: {out}: it has had {run.done:,} {run.budget.unit} already; nothing to do", file=sys.stderr)
    facts = run.facts
    if json:
        return print_json(facts | ({"run": out} if out else {}))
    unknown, endless = facts.pop("unknown") or {}, facts.pop("greedy_policy")
    for key, value in facts.items():
        if value is not None or key in unknown:
            shown = f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            print(f"{key.replace('_', ' '):>24}  {unknown.get(key, shown)}")
    if endless is not None:
        print(f"the greedy policy {endless}")
    if out is not None:
        print(f"{'run directory':>24}  {out}")


def _resumed(
    out: str | None, agent: str, world: str, amounts: tuple[int | None, ...], settings: list[str], seed: int | None
) -> Run:
    """The run in a folder, with its budget or the one given."""
    from rlgrid.learning.recipe import read_recipe
    from rlgrid.runs.run import make_budget
    from rlgrid.worlds.world import load_world

    if out is None:
        raise InputError("--resume: it needs --out; allowed: --out with the folder of the run to go on with")
    for option, found in (("--set", settings), ("--seed", seed is not None)):
        if found:
            raise InputError(f"--resume: a run goes on with its own settings and seed; allowed: no {option}")
    saved, env = read_run(out)
    run = saved.run(env)
    for kind, given, own in (
        ("agent", read_recipe(agent, {}).name, run.agent.recipe.name),
        ("world", load_world(world).name, env.world.name),
    ):
        if given != own:
            raise InputError(f"--resume: {out} is a run of the {kind} {own}; found {given}")
    if any(amount is not None for amount in amounts):
        budget = make_budget(run.agent, *amounts)
        if budget.unit != run.budget.unit:
            raise InputError(f"--resume: {out} counts {run.budget.unit}; found {budget.unit}")
        run.budget = budget
    return run
