"""A gridworld that changes: another map takes over after a number of steps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, SupportsInt

from gymnasium.envs.registration import EnvSpec

from rlgrid.environments.grid_world import GridWorld, RowLists
from rlgrid.environments.observations import Observations
from rlgrid.errors import InputError
from rlgrid.models.model import TabularModel
from rlgrid.worlds.world import World


class ChangingGridWorld(GridWorld):
    """A gridworld whose world changes after so many steps in all (Sutton & Barto 2e, Examples 8.2 and 8.3).

    Where the agent stands in a cell that will be a wall, the change waits until it has left. Steps are counted over
    all episodes, and from 0 again only after ``reset(seed=...)``. In compiled rollouts the change comes at the same
    step.

    Args:
        worlds: the world from each number of steps on; the first one from 0. All have the same shape, actions and
            ``max_episode_steps``.
        render_mode, observation: as for :class:`GridWorld`.

    Attributes:
        schedule: pairs of a number of steps and the model from there on.

    Raises:
        InputError: for worlds that do not fit together.

    >>> env = ChangingGridWorld({0: "blocking_maze", 1000: "blocking_maze_after"})
    >>> env.model.name
    'blocking_maze'
    """

    def __init__(
        self,
        worlds: Mapping[int, World | str | os.PathLike[str]],
        render_mode: str | None = None,
        *,
        observation: str = "index",
    ) -> None:
        if not worlds or min(worlds) != 0:
            raise InputError(f"worlds: found changes at {sorted(worlds)}; allowed: the first one at 0")
        made = [(step, GridWorld(worlds[step], observation=observation)) for step in sorted(worlds)]
        super().__init__(made[0][1].world, render_mode, observation=observation)
        for _, env in made:
            if _frame(env.world) != _frame(self.world):
                raise InputError(
                    f"{env.world.name}: found another shape, other actions or another max_episode_steps than in "
                    f"{self.world.name}; allowed: the same"
                )
        kwargs = {"worlds": {step: env.world for step, env in made}, "observation": observation}
        self.spec = EnvSpec("rlgrid/ChangingGridWorld-v0", entry_point="rlgrid:ChangingGridWorld", kwargs=kwargs)
        self._worlds = [(step, env.world, env.model) for step, env in made]
        self.schedule = [(step, env.model) for step, env in made]
        self._taken = 0
        self._at = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; with a seed, count the steps from 0 again."""
        if seed is not None:
            self._taken = 0
            self._enter(0)
        return super().reset(seed=seed, options=options)

    def step(self, action: SupportsInt) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act, and change the world where it is due."""
        stepped = super().step(action)
        self._taken += 1
        place = -1 if stepped[2] or stepped[3] else self._state
        self._enter(scheduled_world(self.schedule, self._at, self._taken, place))
        return stepped

    def _enter(self, at: int) -> None:
        """Go on in world number ``at``."""
        if at == self._at:
            return
        self._at = at
        _, self.world, self.model = self._worlds[at]
        self._observe = Observations(self._observe.kind, self.world, self.model)
        self._rows = RowLists(self.model)
        self._row = self._rows[self._state]
        self._picture = None


def _frame(world: World) -> tuple[object, ...]:
    """What all worlds have to share."""
    return world.shape, world.actions, world.max_episode_steps


def scheduled_world(schedule: list[tuple[int, TabularModel]], at: int, taken: int, state: int) -> int:
    """The number of the world that holds after ``taken`` steps, where number ``at`` held before.

    ``state`` is where the agent stands, in the way of a change if that is a wall afterwards; -1: between two episodes.
    """
    while at + 1 < len(schedule) and taken >= schedule[at + 1][0]:
        if state >= 0 and schedule[at + 1][1].terminal[state]:
            break
        at += 1
    return at
