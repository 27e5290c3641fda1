"""Showing episodes, played anew by a policy or read from a log, in a window or as a GIF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlgrid.environments.grid_world import GridWorld
    from rlgrid.learning.agent import Agent
    from rlgrid.runs.saved_run import Trajectory
    from rlgrid.view.picture import Layers
    from rlgrid.worlds.world import World


#: Most frames of one episode; a policy that goes round in circles would otherwise never leave the screen.
LONGEST = 500

#: Frames a second.
FPS = 8


def play_policy(agent: Agent, env: GridWorld, *, episodes: int, seed: int) -> Iterator[Layers]:
    """Frames of episodes under the policy that an agent has learned, with its values and arrows below."""
    import numpy as np

    from rlgrid.learning.actor import policy_actor
    from rlgrid.view.picture import Layers

    actor = policy_actor(agent.policy, np.random.SeedSequence(seed))
    values, policy = agent.v, agent.policy
    state, _ = env.reset(seed=seed)
    for episode in range(1, episodes + 1):
        path, total, over = [state], 0.0, False
        while not over and len(path) <= LONGEST:
            caption = f"{env.world.name}, {agent.recipe.name}: episode {episode}, return {total:g}"
            yield Layers(agent=state, values=values, policy=policy, trajectory=tuple(path), caption=caption)
            state, reward, terminated, truncated, _ = env.step(actor.act(state))
            path.append(state)
            total += reward
            over = terminated or truncated
        caption = f"{env.world.name}, {agent.recipe.name}: episode {episode} over, return {total:g}"
        yield Layers(agent=state, values=values, policy=policy, trajectory=tuple(path), caption=caption)
        state, _ = env.reset()


def play_trajectory(trajectory: Trajectory, world: World) -> Iterator[Layers]:
    """Frames of an episode from a log."""
    from rlgrid.view.picture import Layers

    total = 0.0
    states = trajectory.state.tolist()
    rewards = [0.0, *trajectory.reward.tolist()]
    for step, (state, reward) in enumerate(zip(states, rewards, strict=True)):
        total += reward
        caption = f"{world.name}: episode {trajectory.episode}, step {step}, return {total:g}"
        yield Layers(agent=state, trajectory=tuple(states[: step + 1]), caption=caption)


def show(world: World, frames: Iterable[Layers], *, gif: str | None = None) -> None:
    """Show frames in a window until they or the user have had enough, or write them to a GIF."""
    from rlgrid.view.animation import save_gif
    from rlgrid.view.picture import Picture
    from rlgrid.view.window import Window

    picture = Picture(world)
    if gif is not None:
        save_gif(Path(gif), (picture.rgb(frame) for frame in frames), fps=FPS)
        print(f"gif: {gif}")
        return
    window = Window(picture, fps=FPS)
    try:
        for frame in frames:
            window.show(frame)
            if window.closed:
                break
    finally:
        window.close()
