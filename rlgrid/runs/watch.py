"""Watch: a window that shows what an agent learns while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlgrid.batch import NO_LIMIT
from rlgrid.errors import InputError
from rlgrid.feeds.feed import Chunk
from rlgrid.runs.observer import Observer

if TYPE_CHECKING:
    from rlgrid.runs.run import Run


class Watch(Observer):
    """A window in which the agent can be watched while it learns, a step at a time; closing it lets training go on.

    Args:
        fps: steps shown a second.
    """

    records = True

    def __init__(self, fps: int = 30) -> None:
        self.fps = fps

    def begin(self, run: Run) -> None:
        from rlgrid.environments.grid_world import GridWorld
        from rlgrid.view.picture import Picture
        from rlgrid.view.window import Window

        env = getattr(run.env, "unwrapped", run.env)
        if not isinstance(env, GridWorld):
            raise InputError(f"watch: found {env}; allowed: a GridWorld")
        self._name = env.world.name
        self._window = Window(Picture(env.world), fps=self.fps)

    def see(self, run: Run, chunk: Chunk) -> None:
        from rlgrid.view.picture import Layers

        if self._window.closed:
            return
        state = int(chunk.batch.next_state[-1]) if chunk.batch is not None and chunk.batch.size else None
        caption = f"{self._name}, {run.agent.recipe.name}: {run.done:,} {run.budget.unit}"
        self._window.show(Layers(agent=state, values=run.agent.v, policy=run.agent.policy, caption=caption))

    def end(self, run: Run) -> None:
        self._window.close()

    def next_look(self, run: Run) -> int:
        return NO_LIMIT if self._window.closed else run.done + 1
