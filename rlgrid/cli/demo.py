"""The main job in one minute: plans, three families of agents, a picture, an episode, a log."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlgrid.book.zhao import ZHAO_FIG_3_4_A
from rlgrid.environments.grid_world import GridWorld
from rlgrid.learning.agent import Agent
from rlgrid.learning.load import load_agent
from rlgrid.planning.evaluation import evaluate_exact
from rlgrid.planning.plan import Plan
from rlgrid.planning.solve import solve
from rlgrid.runs.log import EpisodeLog
from rlgrid.runs.playback import FPS, play_policy
from rlgrid.runs.progress import ProgressBar
from rlgrid.runs.run import Run, make_budget
from rlgrid.runs.train import run_to_budget
from rlgrid.view.text_maps import policy_map, value_map
from rlgrid.worlds.world import load_world

if TYPE_CHECKING:
    from rich.console import Console


WORLD = "frozen_lake_8x8"
DISCOUNT = 0.99
STEPS = 20_000_000

#: Recipe and settings of each agent; the decreasing step sizes meet the Robbins-Monro conditions.
AGENTS: dict[str, dict[str, Any]] = {
    "mc_epsilon_greedy": {"epsilon": 0.2},
    "sarsa": {"epsilon": 0.1, "step_size": {"kind": "polynomial", "power": 0.7}},
    "q_learning": {"epsilon": 0.3, "step_size": {"kind": "polynomial", "power": 0.7}},
}


class Learned(NamedTuple):
    """One agent's run and what came of it."""

    run: Run
    value: float  # exact value of its greedy policy at the start


def run_demo() -> None:
    """Run the demo and print its results as they come."""
    from rich.console import Console

    console = Console(highlight=False)
    started = time.perf_counter()
    _show_zhao(console)
    _show_frozen_lake(console)
    console.rule(f"3  Three agents learn {WORLD}, discount {DISCOUNT}", align="left")
    folder = _new_folder(Path("runs"))
    env = GridWorld(WORLD)
    plan = solve(env, discount=DISCOUNT)
    learned = [_train(name, env, folder, console) for name in AGENTS]
    _show_table(console, env, plan, learned)
    _write_pictures(console, folder, env, plan, learned[-1].run.agent)
    console.print(f"\nDone in {time.perf_counter() - started:.0f} s. To see an episode again, or the policy at work:")
    console.print(f"  rlgrid replay {folder}/sarsa --gif sarsa.gif\n  rlgrid watch {folder}/q_learning")


def _show_zhao(console: Console) -> None:
    world = load_world("zhao_5x5")
    plan = solve(world)
    console.rule(f"1  {world.name}, solved exactly: Zhao, Fig 3.4(a)", align="left")
    values = value_map(world, plan.v, digits=1)
    console.print(_side_by_side(values, policy_map(world, plan.policy)))
    same = values.split() == ZHAO_FIG_3_4_A.replace("|", " ").split()
    console.print(
        f"{plan.iterations} sweeps, certified to within {plan.bound:.0e}; "
        f"{'equal to the figure' if same else 'NOT equal to the figure'} in all {world.n_states} cells\n"
    )


def _show_frozen_lake(console: Console) -> None:
    world = load_world("frozen_lake_4x4")
    plan = solve(world, discount=1.0, tol=1e-12)
    start = float(plan.v[world.starts[0]])
    near = Fraction(start).limit_denominator(1000)
    console.rule(f"2  {world.name} at discount 1: the greatest chance to reach the goal", align="left")
    console.print(_side_by_side(value_map(world, plan.v, digits=3), policy_map(world, plan.policy)))
    console.print(f"from the start {start:.10f}; {near} is {float(near):.10f}\n")


def _side_by_side(left: str, right: str) -> str:
    return "\n".join(f"  {a}      {b}" for a, b in zip(left.split("\n"), right.split("\n"), strict=True))


def _new_folder(parent: Path) -> Path:
    """The first of demo-1, demo-2, ... that is free; earlier runs stay."""
    number = 1
    while (parent / f"demo-{number}").exists():
        number += 1
    return parent / f"demo-{number}"


def _train(name: str, env: GridWorld, folder: Path, console: Console) -> Learned:
    agent = load_agent(name, env, seed=1, discount=DISCOUNT, **AGENTS[name])
    run = Run(agent, env, make_budget(agent, STEPS, None, None))
    run_to_budget(run, [ProgressBar(console), EpisodeLog(folder / name)])
    exact = evaluate_exact(env, agent.policy, discount=DISCOUNT)
    return Learned(run, float(exact[env.world.starts[0]]))


def _show_table(console: Console, env: GridWorld, plan: Plan, learned: list[Learned]) -> None:
    from rich.table import Table

    best = float(plan.v[env.world.starts[0]])
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("agent", "episodes", "steps/s", "exact error", "greedy", "optimum"):
        table.add_column(title, justify="left" if title == "agent" else "right")
    for run, value in learned:
        speed = f"{run.steps / run.seconds:,.0f}"
        row = (f"{run.episodes:,}", speed, f"{run.errors[-1, 1]:.4f}", f"{value:.6f}", f"{best:.6f}")
        table.add_row(run.agent.recipe.name, *row)
    console.print()
    console.print(table)
    console.print(
        "exact error  greatest |v - v*| over all states, seldom visited ones too\n"
        "greedy       exact value of the greedy policy at the start, beside the optimum\n"
    )


def _write_pictures(console: Console, folder: Path, env: GridWorld, plan: Plan, agent: Agent) -> None:
    from rlgrid.view.animation import save_gif
    from rlgrid.view.picture import Layers, Picture

    console.rule("4  Pictures", align="left")
    picture = Picture(env.world)
    caption = f"{WORLD}: values and policy that {agent.recipe.name} has learned"
    picture.save(folder / "learned.png", Layers(values=agent.v, policy=agent.policy, caption=caption))
    caption = f"{WORLD}: optimal values and policy, discount {DISCOUNT}"
    picture.save(folder / "optimal.png", Layers(values=plan.v, policy=plan.policy, caption=caption))
    frames = (picture.rgb(frame) for frame in play_policy(agent, env, episodes=1, seed=4))
    save_gif(folder / "episode.gif", frames, fps=FPS)
    console.print(f"learned values and policy  {folder / 'learned.png'}")
    console.print(f"optimal values and policy  {folder / 'optimal.png'}")
    console.print(f"an episode                 {folder / 'episode.gif'}")
    console.print(f"run directories            {folder}/{{{','.join(AGENTS)}}}")
