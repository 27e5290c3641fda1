"""The command ``solve``."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from rlgrid.cli.options import Json, WorldName, app
from rlgrid.cli.output import print_json
from rlgrid.files import write_whole
from rlgrid.planning.plan import PathName
from rlgrid.view.text_maps import WIDTH, policy_map, value_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rlgrid.models.model import TabularModel
    from rlgrid.planning.plan import Plan
    from rlgrid.worlds.world import World


@app.command()
def solve(
    world: WorldName,
    method: Annotated[str, typer.Option(help="Planning method; an unknown name lists them all.")] = "auto",
    discount: Annotated[float | None, typer.Option(help="Discount; the world's own by default.")] = None,
    tol: Annotated[float, typer.Option(help="Certified error to reach.")] = 1e-8,
    horizon: Annotated[int | None, typer.Option(help="Steps to go, for backward_induction.")] = None,
    epsilon: Annotated[float, typer.Option(help="Find the best epsilon-soft policy.")] = 0.0,
    exact: Annotated[bool, typer.Option("--exact", help="Solve in fractions; up to 1,000 cells.")] = False,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write a picture of values and policy.")] = None,
    save: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plan (.npz), for Plan.load.")] = None,
    csv: Annotated[str | None, typer.Option(metavar="FILE", help="Write values, actions and q as a table.")] = None,
    toy_text: Annotated[str | None, typer.Option(metavar="FILE", help="Write the model P as JSON.")] = None,
    certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a proof that scripts/check_certificate.py checks.")
    ] = None,
    json: Json = False,
) -> None:
    """Solve a world exactly and print its value and policy maps."""
    from rlgrid.analysis.time_limit import start_values
    from rlgrid.models.model import as_model
    from rlgrid.planning import solve as planner
    from rlgrid.planning.certificate_file import write_certificate
    from rlgrid.worlds.world import load_world

    loaded = load_world(world)
    model = as_model(loaded)
    plan = planner.solve(model, method, discount=discount, tol=tol, horizon=horizon, epsilon=epsilon, exact=exact)
    proof = None if certificate is None else write_certificate(model, plan, certificate)
    if png is not None:
        from rlgrid.view.picture import Layers, Picture

        caption = f"{loaded.name}: optimal values and policy, {solved_for(plan)}"
        Picture(loaded).save(png, Layers(values=plan.v, policy=plan.policy, caption=caption))
    write_files(plan, model, save=save, csv=csv, toy_text=toy_text)
    starting = start_values(plan, model)
    if json:
        facts = {"world": loaded.name, "method": plan.method, "discount": plan.discount, "iterations": plan.iterations}
        arrays = {"v": plan.v.tolist(), "policy": plan.policy.argmax(axis=1).tolist()}
        bound = plan.bound if plan.bound < float("inf") else None
        arrays |= {"exact_v": [None if v is None else str(v) for v in plan.exact_v]} if plan.exact_v is not None else {}
        unknown = {"bound": "the error is not certified"} if bound is None else {}
        unknown |= {"v": never_ending_text(loaded, plan)} if (plan.v == -float("inf")).any() else {}
        facts |= {"unknown": unknown} if unknown else {}
        facts |= {"bound": bound, "undetermined": int(plan.undetermined.sum()), "actions": loaded.actions}
        facts |= starting if plan.gain is None else {"gain": plan.gain}
        facts |= {} if proof is None else {"certificate": {"bound": float(proof.bound), "proven": proof.proven}}
        return print_json(facts | arrays)
    print(plan_text(loaded, plan, starting, get_terminal_size().columns))
    for what, file in (("picture", png), ("plan", save), ("table", csv), ("model", toy_text)):
        if file is not None:
            print(f"{what}: {file}")
    if proof is not None:
        how_many = f"{proof.proven} of {proof.n_states} values to within {float(proof.bound):.1e}"
        print(f"certificate: {certificate}, proves {how_many}")


def save_toy_text(model: TabularModel, path: PathName) -> None:
    """Write a model's ``P[state][action] = [[probability, next_state, reward, terminated], ...]`` as JSON.

    The keys of the two objects are numbers as text, as JSON asks. Random rewards enter by their mean.
    """
    import msgspec

    write_whole(path, msgspec.json.encode(model.P))


def write_files(
    plan: Plan, model: TabularModel, *, save: PathName | None, csv: PathName | None, toy_text: PathName | None
) -> None:
    """Write those of the three files that are given a name."""
    if save is not None:
        plan.save(save)
    if csv is not None:
        plan.to_csv(csv)
    if toy_text is not None:
        save_toy_text(model, toy_text)


def plan_text(world: World, plan: Plan, starting: dict[str, float], width: int = WIDTH) -> str:
    """How a world was solved, the two maps, and the values from the start that ``time_limit.start_values`` gives."""
    certified = f"certified to within {plan.bound:.1e}" if plan.bound < float("inf") else "error not certified"
    iterations = f"{plan.iterations} iteration{'s' if plan.iterations != 1 else ''}"
    shares = plan.optimal_actions / plan.optimal_actions.sum(axis=1, keepdims=True)
    parts = [f"{world.name}, {solved_for(plan)}: {plan.method}, {iterations}, {certified}"]
    parts += [value_map(world, plan.v, width=width), policy_map(world, shares, width)]
    if (plan.v == -float("inf")).any():
        parts.append(never_ending_text(world, plan))
    if plan.undetermined.any() and plan.gain is None:
        parts.append(undetermined_text(world, plan))
    if plan.gain is None:
        limited = starting.get("value_within_limit")
        limit = "" if limited is None else f"; within its limit of {world.max_episode_steps} steps {limited:.6g}"
        parts.append(f"expected return from the start: {starting['value']:.6g}{limit}")
    return "\n\n".join(parts)


def never_ending_text(world: World, plan: Plan) -> str:
    """From how many cells no policy ends, and the first of them."""
    return f"minus infinity, as no policy ends from {_counted((plan.v == -float('inf')).nonzero()[0], world)}"


def _counted(cells: NDArray[np.int64], world: World) -> str:
    """How many cells there are, and the first of them."""
    row, column = divmod(int(cells[0]), world.shape[1])
    many = "1 cell" if len(cells) == 1 else f"{len(cells):,} cells"
    return f"{many}; first: row {row + 1}, column {column + 1}"


def undetermined_text(world: World, plan: Plan) -> str:
    """In how many cells the policy may not be optimal, and the first of them."""
    return f"the best action is undetermined in {_counted(plan.undetermined.nonzero()[0], world)}"


def solved_for(plan: Plan) -> str:
    """The discount of a plan, or its mean reward a step where there is none."""
    return f"discount {plan.discount:g}" if plan.gain is None else f"mean reward a step {plan.gain:.9g}"
