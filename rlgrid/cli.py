"""The command line. Exit codes: 0 done, 2 bad input, 1 internal failure, 130 interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlgrid.errors import InputError

if TYPE_CHECKING:
    from rlgrid.agent import Agent
    from rlgrid.env import GridWorld
    from rlgrid.episode_log import SavedRun
    from rlgrid.training import Run

app = typer.Typer(
    help="Reinforcement learning in gridworlds: worlds, exact plans, agents, episodes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
WorldName = Annotated[str, typer.Argument(metavar="WORLD", help="A catalog name or a path to a .toml file.")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, as train --out makes.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Gif = Annotated[str | None, typer.Option(metavar="FILE", help="Write a GIF instead of opening a window.")]


@app.command()
def worlds(
    name: Annotated[str | None, typer.Argument(help="Show one world.")] = None,
    generate: Annotated[str | None, typer.Option(metavar="KIND", help="Print a random world instead.")] = None,
    size: Annotated[str, typer.Option(metavar="ROWSxCOLS", help="Its size.")] = "10x10",
    seed: Seed = 0,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="One of its options.")] = None,
    json: Json = False,
) -> None:
    """List the worlds, show one, or make one: maze, wilson_maze, obstacles or rooms."""
    from rlgrid import library
    from rlgrid.generators import generate_world, parse_size
    from rlgrid.world import load_world

    if name is not None and generate is not None:
        raise InputError("worlds: found a name and --generate; allowed: one of them")
    chosen = load_world(name) if name is not None else None
    if generate is not None:
        chosen = generate_world(generate, parse_size(size), seed, **_settings(set or []))
    if chosen is not None:
        return _print_json(_world_facts(chosen)) if json else print(chosen.to_toml(), end="")
    loaded = [load_world(found) for found in library.names("envs")]
    if json:
        return _print_json([_world_facts(world) for world in loaded])
    rows = []
    for w in loaded:
        discount = "-" if w.discount is None else f"{w.discount:g}"
        rows.append((w.name, f"{w.shape[0]} x {w.shape[1]}", str(w.n_actions), discount, w.source))
    _print_table(("world", "size", "actions", "discount", "source"), rows)


@app.command()
def check(world: WorldName, json: Json = False) -> None:
    """Look for what a valid world hardly means: cells out of reach, traps, episodes without an end, unclear rules."""
    from rlgrid.linter import lint_world
    from rlgrid.world import load_world

    findings = lint_world(load_world(world))
    if json:
        return _print_json({"world": world, "findings": [finding._asdict() for finding in findings]})
    for finding in findings:
        print(f"{world}: {finding}")
    if not findings:
        print(f"{world}: nothing to report")


@app.command()
def agents(name: Annotated[str | None, typer.Argument(help="Show one recipe.")] = None, json: Json = False) -> None:
    """List the agents' recipes, or show one."""
    import msgspec

    from rlgrid import library
    from rlgrid.recipe import read_recipe, recipe_to_toml

    if name is not None:
        recipe = read_recipe(name, {})
        return _print_json(msgspec.to_builtins(recipe)) if json else print(recipe_to_toml(recipe), end="")
    recipes = [read_recipe(found, {}) for found in library.names("agents")]
    if json:
        return _print_json([msgspec.to_builtins(recipe) for recipe in recipes])
    rows = [(r.name, r.feed, r.credit, r.source) for r in recipes]
    _print_table(("agent", "feed", "credit", "source"), rows)


@app.command()
def solve(
    world: WorldName,
    method: Annotated[str, typer.Option(help="How.")] = "auto",
    discount: Annotated[float | None, typer.Option(help="The world's own by default.")] = None,
    tol: Annotated[float, typer.Option(help="Certified error to reach.")] = 1e-8,
    horizon: Annotated[int | None, typer.Option(help="Steps to go, for backward_induction.")] = None,
    epsilon: Annotated[float, typer.Option(help="Best epsilon-soft policy instead of the best one.")] = 0.0,
    exact: Annotated[bool, typer.Option("--exact", help="In fractions; up to 1,000 cells.")] = False,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write a picture of values and policy.")] = None,
    save: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plan (.npz), for Plan.load.")] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write values, actions and q as a table.")] = None,
    toy_text: Annotated[str | None, typer.Option(metavar="FILE", help="Write the model P as JSON.")] = None,
    json: Json = False,
) -> None:
    """Solve a world exactly and print its value and policy maps."""
    from rlgrid import planner
    from rlgrid.model import as_model
    from rlgrid.plan_files import write_files
    from rlgrid.text_maps import plan_text, solved_for
    from rlgrid.time_limit import start_values
    from rlgrid.world import load_world

    loaded = load_world(world)
    model = as_model(loaded)
    plan = planner.solve(model, method, discount=discount, tol=tol, horizon=horizon, epsilon=epsilon, exact=exact)
    if png is not None:
        from rlgrid.view import Layers, Picture

        caption = f"{loaded.name}: optimal values and policy, {solved_for(plan)}"
        Picture(loaded).save(png, Layers(values=plan.v, policy=plan.policy, caption=caption))
    write_files(plan, model, save=save, csv=csv, toy_text=toy_text)
    starting = start_values(plan, model)
    if json:
        facts = {"world": loaded.name, "method": plan.method, "discount": plan.discount, "iterations": plan.iterations}
        arrays = {"v": plan.v.tolist(), "policy": plan.policy.argmax(axis=1).tolist()}
        bound = plan.bound if plan.bound < float("inf") else None
        arrays |= {"exact_v": [str(v) for v in plan.exact_v]} if plan.exact_v is not None else {}
        facts |= {"bound": bound, "actions": loaded.actions}
        facts |= starting if plan.gain is None else {"gain": plan.gain}
        return _print_json(facts | arrays)
    print(plan_text(loaded, plan, starting, get_terminal_size().columns))
    for what, file in (("picture", png), ("plan", save), ("table", csv), ("model", toy_text)):
        if file is not None:
            print(f"{what}: {file}")


@app.command()
def book(
    book: Annotated[str | None, typer.Argument(metavar="BOOK", help="Without it all figures are listed.")] = None,
    figure: Annotated[str | None, typer.Argument(metavar="FIGURE", help="Its number or name.")] = None,
    json: Json = False,
) -> None:
    """Compute a figure of a book anew and compare it with what is printed."""
    from rlgrid.reproductions import FIGURES, reproduce

    if book is not None:
        found = reproduce(book, figure or "")
        return _print_json(found.facts | {"agrees": found.agrees}) if json else print(found.text)
    known = [(name, number, entry.what, entry.source) for (name, number), entry in FIGURES.items()]
    if json:
        return _print_json([dict(zip(("book", "figure", "what", "source"), entry, strict=True)) for entry in known])
    _print_table(("book", "figure", "what", "source"), known)


@app.command()
def train(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="A recipe's name or a path to a .toml file.")],
    world: WorldName,
    steps: Annotated[int | None, typer.Option(help="Train for so many steps.")] = None,
    episodes: Annotated[int | None, typer.Option(help="... or so many episodes.")] = None,
    sweeps: Annotated[int | None, typer.Option(help="... or so many sweeps (planners).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.", show_default="0")] = None,
    set: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a key of the recipe anew.")] = None,
    out: Annotated[str | None, typer.Option(metavar="RUN", help="Log to this new folder.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out, up to its budget or a new one.")] = False,
    watch: Annotated[bool, typer.Option(help="Watch it learn in a window (slow).")] = False,
    json: Json = False,
) -> None:
    """Train an agent in a world."""
    from rlgrid.agent import load_agent
    from rlgrid.env import GridWorld
    from rlgrid.episode_log import EpisodeLog
    from rlgrid.observers import CompileNotice, Observer, ProgressBar, Watch
    from rlgrid.training import Run, make_budget, proceed

    if resume:
        run = _resumed(out, agent, world, (steps, episodes, sweeps), set or [], seed)
    else:
        env = GridWorld(world)
        made = load_agent(agent, env, seed=seed or 0, **_settings(set or []))
        run = Run(made, env, make_budget(made, steps, episodes, sweeps))
    observers: list[Observer] = [EpisodeLog(out)] if out is not None else []
    observers += [CompileNotice() if json else ProgressBar()]
    observers += [Watch()] if watch else []
    if run.done < run.budget.amount:
        proceed(run, observers)
    else:
        print(f"rlgrid: {out}: it has had {run.done:,} {run.budget.unit} already; nothing to do", file=sys.stderr)
    facts = run.facts
    if json:
        return _print_json(facts | ({"run": out} if out else {}))
    for key, value in facts.items():
        if value is not None:
            shown = f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
            print(f"{key.replace('_', ' '):>24}  {shown}")
    if out is not None:
        print(f"{'run directory':>24}  {out}")


@app.command()
def evaluate(
    run: RunFolder,
    episodes: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Let the policy that a run has learned act, and print how it does."""
    from rlgrid import evaluation

    learned, env = _learned(run)
    score = evaluation.evaluate(learned.policy, env, episodes=episodes, seed=seed)
    if json:
        return _print_json(score._asdict())
    print(f"{'mean return':>16}  {score.mean_return:.6g} ± {score.half_width:.2g} (95 % of {score.episodes} episodes)")
    for key in ("mean_length", "success_rate", "truncated_rate"):
        print(f"{key.replace('_', ' '):>16}  {getattr(score, key):.6g}")


@app.command()
def watch(
    run: RunFolder,
    episodes: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    seed: Seed = 0,
    gif: Gif = None,
) -> None:
    """Watch the policy that a run has learned."""
    from rlgrid.playback import play_policy, show

    learned, env = _learned(run)
    show(env.world, play_policy(learned, env, episodes=episodes, seed=seed), gif=gif)


@app.command()
def replay(
    run: RunFolder,
    episode: Annotated[int | None, typer.Option(min=1, help="Its number; the latest one kept by default.")] = None,
    gif: Gif = None,
) -> None:
    """Replay an episode from the log of a run."""
    from rlgrid.playback import play_trajectory, show

    saved, env = _saved(run)
    kept = saved.recorded
    trajectory = saved.trajectory(episode if episode is not None else kept[-1] if kept else 1)
    show(env.world, play_trajectory(trajectory, env.world), gif=gif)


@app.command()
def demo() -> None:
    """Do the main job in one minute: solve worlds, train agents, log and draw what they learned."""
    from rlgrid.demo import run_demo

    run_demo()


def _world_facts(world: Any) -> dict[str, Any]:
    facts = {key: getattr(world, key) for key in ("name", "source", "discount", "max_episode_steps", "actions")}
    return facts | {"rows": world.shape[0], "columns": world.shape[1], "map": list(world.rows)}


#: Parameters of the functions that take the settings; ``--set`` cannot give these.
_NOT_SETTINGS = {"recipe", "env", "seed", "kind", "size"}


def _settings(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` with values as in TOML; a bare word is a text."""
    from rlgrid.schema import parse_toml

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


def _saved(folder: str) -> tuple[SavedRun, GridWorld]:
    from rlgrid.env import GridWorld
    from rlgrid.episode_log import SavedRun

    saved = SavedRun(folder)
    return saved, GridWorld(saved.world)


def _learned(folder: str) -> tuple[Agent, GridWorld]:
    """The agent of a run, whose values have to be numbers, and its world."""
    from rlgrid.divergence import check_values

    saved, env = _saved(folder)
    run = saved.run(env)
    check_values(run)
    return run.agent, env


def _resumed(
    out: str | None, agent: str, world: str, amounts: tuple[int | None, ...], settings: list[str], seed: int | None
) -> Run:
    """The run in a folder, with its budget or the one given."""
    from rlgrid.recipe import read_recipe
    from rlgrid.training import make_budget
    from rlgrid.world import load_world

    if out is None:
        raise InputError("--resume: it needs --out; allowed: --out with the folder of the run to go on with")
    for option, found in (("--set", settings), ("--seed", seed is not None)):
        if found:
            raise InputError(f"--resume: a run goes on with its own settings and seed; allowed: no {option}")
    saved, env = _saved(out)
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


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    widths[-1] = max(20, console.width - sum(widths[:-1]) - 2 * len(widths))  # only the last column is ever cut
    for row in (header, *rows):
        pairs = list(zip(row, widths, strict=True))
        line = "  ".join(
            (text if len(text) <= width else text[: width - 1] + "…").ljust(width) for text, width in pairs
        )
        console.print(line.rstrip(), style="bold" if row is header else None, markup=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value)).decode())


def main() -> None:
    """Run the command line and exit; whoever gave bad input sees one sentence, never a traceback."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # how Typer itself answers Ctrl-C
            _fail("interrupted", code)
    except InputError as error:
        code = _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", 130)
    except (BrokenPipeError, SystemExit):  # nobody reads on, as in "| head"; Typer makes an exit with 1 of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Python's own last flush goes
        code = 0
    except MemoryError as error:
        code = _fail(f"out of memory: {error or 'there is no more'}; allowed: smaller sizes", 2)
    except Exception as error:
        if hasattr(error, "format_message"):  # a wrong command, option or argument
            code = _fail(error.format_message() or "see rlgrid --help", 2)
        else:
            code = _fail(f"internal failure: {type(error).__name__}: {error}", 1)
    sys.exit(code)


def _fail(sentence: str, code: int) -> int:
    print(f"rlgrid: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.argv[0] = str(Path(sys.argv[0]).with_name("rlgrid"))
    main()
