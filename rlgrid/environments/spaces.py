"""Discrete spaces as indices from 0, and what an agent has to know of an environment before it can be built."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Tuple
from numpy.typing import NDArray

from rlgrid.batch import NO_LIMIT
from rlgrid.environments.changing import ChangingGridWorld
from rlgrid.environments.grid_world import GridWorld
from rlgrid.errors import InputError
from rlgrid.models.model import TabularModel
from rlgrid.models.wrappers import TOY_TEXT, keeps_rules, silent_base, transparent_base

GRIDWORLDS = (GridWorld, ChangingGridWorld)

#: More states than this would not fit a table.
MOST_STATES = 50_000_000


class Indexed:
    """A space of finitely many elements, numbered row by row: Discrete, MultiDiscrete, and tuples of Discrete.

    Raises:
        InputError: for any other space.

    >>> blackjack = Indexed(Tuple((Discrete(32), Discrete(11), Discrete(2))))
    >>> blackjack.size, blackjack.index((13, 2, 1))
    (704, 291)
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.sizes: list[int]
        self.starts: list[int]
        parts = [space] if isinstance(space, Discrete) else list(space) if isinstance(space, Tuple) else []
        if isinstance(space, MultiDiscrete) and space.nvec.ndim == 1:
            self.sizes, self.starts = space.nvec.tolist(), space.start.tolist()
        elif parts and all(isinstance(part, Discrete) for part in parts):
            self.sizes, self.starts = [int(part.n) for part in parts], [int(part.start) for part in parts]
        else:
            raise InputError(f"found the space {space}; allowed: Discrete, MultiDiscrete, or a Tuple of Discrete")
        self.single = isinstance(space, Discrete)
        self.size = int(np.prod([float(size) for size in self.sizes]))
        if self.size > MOST_STATES:
            raise InputError(f"found the space {space} with {self.size:,} elements; allowed: {MOST_STATES:,} at most")

    def index(self, element: Any) -> int:
        """The number of an element."""
        number: int = 0
        parts = (element,) if self.single else element
        for part, size, start in zip(parts, self.sizes, self.starts, strict=True):
            place = int(part) - start
            if not 0 <= place < size:  # compiled code would read and write out of its arrays
                raise InputError(f"the environment gave the observation {element}, which is not in its own space")
            number = number * size + place
        return number


class Spaces(NamedTuple):
    """What an agent and its feed have to know of an environment: S states, A actions, and the model, if it has one."""

    n_states: int
    n_actions: int
    actions: tuple[str, ...]
    available: NDArray[np.bool_]  # [S, A]
    discount: float | None
    model: TabularModel | None
    stepped: TabularModel | None  # the model, where a compiled loop may step in place of the environment
    limit: int  # steps of an episode in that loop


def spaces_of(env: gymnasium.Env[Any, Any] | TabularModel) -> Spaces:
    """What an agent and its feed have to know of an environment.

    Raises:
        InputError: where states are not finitely many, or actions are not ``Discrete``.
    """
    model = model_of(env) if isinstance(env, gymnasium.Env | TabularModel) else None
    stepped, limit = _stepped(env, model) if isinstance(env, gymnasium.Env) else (None, NO_LIMIT)
    if model is not None:
        known = (model.n_states, model.n_actions, model.actions, model.available, model.discount, model)
        return Spaces(*known, stepped, limit)
    if not isinstance(env, gymnasium.Env):
        raise InputError(f"env: found {env!r}; allowed: an environment, such as rlgrid.GridWorld(world)")
    if not isinstance(env.action_space, Discrete):
        raise InputError(f"{env}: found the actions {env.action_space}; allowed: Discrete")
    try:
        n_states = Indexed(env.observation_space).size
    except InputError as error:
        raise InputError(f"{env}: observations: {error}") from None
    n_actions = int(env.action_space.n)
    actions = tuple(str(action) for action in range(n_actions))
    discount = env.unwrapped.model.discount if isinstance(env.unwrapped, GridWorld) else None  # whatever is around it
    available = np.ones((n_states, n_actions), np.bool_)
    return Spaces(n_states, n_actions, actions, available, discount, None, None, limit)


def model_of(env: gymnasium.Env[Any, Any] | TabularModel) -> TabularModel | None:
    """The model of an environment, where it has one that says what its steps do.

    A wrapper that changes what is seen or paid, or a subclass that steps differently, makes its ``P`` say nothing.
    """
    if isinstance(env, TabularModel):
        return env
    base = transparent_base(env)
    if base is None or not hasattr(base, "P"):
        return None
    known = isinstance(base, (*TOY_TEXT, GridWorld))
    return TabularModel.from_env(env) if not known or keeps_rules(base, (*TOY_TEXT, *GRIDWORLDS)) else None


def _stepped(env: gymnasium.Env[Any, Any], model: TabularModel | None) -> tuple[TabularModel | None, int]:
    """The model whose steps a compiled loop may take in place of the environment's own, and the time limit."""
    base, limit = silent_base(env)
    if base is None or not keeps_rules(base, (*TOY_TEXT, *GRIDWORLDS)):
        return None, NO_LIMIT
    if isinstance(base, GridWorld):
        limit = min(limit, base.model.max_episode_steps or NO_LIMIT)
    return model, limit
