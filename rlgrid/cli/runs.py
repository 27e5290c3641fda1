"""The commands that read a run directory: ``evaluate``, ``watch`` and ``replay``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rlgrid.cli.options import Gif, Json, RunFolder, Seed, app, read_run
from rlgrid.cli.output import print_json

if TYPE_CHECKING:
    from rlgrid.environments.grid_world import GridWorld
    from rlgrid.learning.agent import Agent


@app.command()
def evaluate(
    run: RunFolder,
    episodes: Annotated[int, typer.Option(min=1, help="Number of episodes.")] = 1000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Let the policy that a run has learned act, and print how it does."""
    from rlgrid.analysis.endings import endless_in_words
    from rlgrid.runs import evaluation

    learned, env = learned_agent(run)
    score = evaluation.evaluate(learned.policy, env, episodes=episodes, seed=seed)
    endless = endless_in_words(env.model, learned.policy)
    if json:
        unknown = {} if episodes > 1 else {"half_width": "one episode shows no spread"}
        return print_json(score._asdict() | {"unknown": unknown or None, "policy": endless or None})
    spread = f" ± {score.half_width:.2g} (95 % of {score.episodes:,} episodes)" if episodes > 1 else " (1 episode)"
    print(f"{'mean return':>16}  {score.mean_return:.6g}{spread}")
    for key in ("mean_length", "success_rate", "truncated_rate"):
        print(f"{key.replace('_', ' '):>16}  {getattr(score, key):.6g}")
    if endless:
        print(f"the policy {endless}")


@app.command()
def watch(
    run: RunFolder,
    episodes: Annotated[int, typer.Option(min=1, help="Number of episodes.")] = 3,
    seed: Seed = 0,
    gif: Gif = None,
) -> None:
    """Watch the policy that a run has learned."""
    from rlgrid.runs.playback import play_policy, show

    learned, env = learned_agent(run)
    show(env.world, play_policy(learned, env, episodes=episodes, seed=seed), gif=gif)


@app.command()
def replay(
    run: RunFolder,
    episode: Annotated[int | None, typer.Option(min=1, help="Its number; the latest one kept by default.")] = None,
    gif: Gif = None,
) -> None:
    """Replay an episode from the log of a run."""
    from rlgrid.runs.playback import play_trajectory, show

    saved, env = read_run(run)
    kept = saved.recorded
    trajectory = saved.trajectory(episode if episode is not None else kept[-1] if kept else 1)
    show(env.world, play_trajectory(trajectory, env.world), gif=gif)


def learned_agent(folder: str) -> tuple[Agent, GridWorld]:
    """The agent of a run, whose values have to be numbers, and its world."""
    from rlgrid.runs.divergence import check_values

    saved, env = read_run(folder)
    run = saved.run(env)
    check_values(run)
    return run.agent, env
