"""From a recipe and an environment to an agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.approximation.features import fitting
from rlgrid.environments.spaces import Spaces, spaces_of
from rlgrid.errors import InputError, check_seed, one_of
from rlgrid.learning.agent import Agent
from rlgrid.learning.build import check_coverage
from rlgrid.learning.feed_keys import RolloutKeys
from rlgrid.learning.policies import uniform
from rlgrid.learning.recipe import read_recipe
from rlgrid.models.checks import check_probabilities, resolve_discount
from rlgrid.models.model import TabularModel
from rlgrid.rules.step_sizes import Constant, Harmonic, Polynomial, as_step_size, step_size_keys

if TYPE_CHECKING:
    import gymnasium


def _taken_apart(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings into keys of a recipe, and the arrays or features that were given in place of some keys."""
    in_place = {"policy": "uniform", "behavior": "uniform", "features": {"kind": "given"}}
    given = {key: settings[key] for key in in_place if _is_array(settings.get(key))}
    keys = settings | {key: in_place[key] for key in given}
    if isinstance(keys.get("step_size"), Constant | Harmonic | Polynomial):
        keys["step_size"] = step_size_keys(as_step_size(keys["step_size"], most=1.0))
    return keys, given


def _is_array(found: object) -> bool:
    """Whether an array was given in place of a key's own value, or features, which are a tuple."""
    return hasattr(found, "__len__") and not isinstance(found, str | dict)


def _stored(key: str, given: str | float | ArrayLike | None, spaces: Spaces) -> NDArray[np.float64] | None:
    """A policy [S, A] that was given by its name or as an array; always a new array, None where none was given."""
    if given is None or isinstance(given, int | float):
        return None
    if not isinstance(given, str):
        return check_probabilities(given, spaces.available, key).copy()
    if given == "uniform":
        return uniform(spaces.available)
    if given not in spaces.actions:
        raise InputError(f"{key}: {one_of(given, ['uniform', *spaces.actions])}")
    chosen = np.zeros(spaces.available.shape)
    chosen[:, spaces.actions.index(given)] = 1.0
    return check_probabilities(chosen, spaces.available, key)


def load_agent(
    recipe: str | os.PathLike[str],
    env: gymnasium.Env[Any, Any] | TabularModel,
    *,
    seed: int | None = 0,
    **settings: Any,
) -> Agent:
    """Make an agent from a recipe for an environment.

    Args:
        recipe: a catalog name (``rlgrid agents`` lists them) or a path to a .toml file.
        env: an environment with discrete states and actions, or a model.
        seed: of everything random in the agent and in its training; ``None`` takes fresh entropy.
        **settings: keys of the recipe to set anew, such as ``step_size``, ``epsilon`` and ``discount``. ``policy``
            and ``behavior`` may be arrays [S, A]; ``features`` an array [S, K] or ``Features``; ``step_size`` a
            ``Constant``, ``Harmonic`` or ``Polynomial``.

    Raises:
        InputError: for an unknown recipe, a setting that is not allowed, or an environment that does not fit.

    >>> import rlgrid
    >>> agent = rlgrid.load_agent("q_learning", rlgrid.GridWorld("cliff"), seed=1, step_size=0.5)
    >>> agent.q.shape
    (48, 4)
    """
    check_seed(seed)
    keys, given = _taken_apart(settings)
    chosen = read_recipe(recipe, keys)
    spaces = spaces_of(env)
    policy = _stored("policy", given.get("policy", chosen.policy), spaces)
    behavior = None if chosen.chooses else _stored("behavior", given.get("behavior", chosen.behavior), spaces)
    if policy is not None and isinstance(chosen.behavior, int | float):
        behavior = (1.0 - chosen.behavior) * policy + chosen.behavior * uniform(spaces.available)
    model = spaces.model
    if policy is not None and behavior is not None and chosen.is_a("correction", "ratios"):
        check_coverage(policy, behavior, spaces)
    known = (model.shape, model.terminal) if model is not None else (None, None)
    features = given.get("features", chosen.features)
    try:
        agent = Agent(
            chosen,
            spaces.n_states,
            spaces.n_actions,
            discount=resolve_discount(chosen.discount, spaces.discount),
            seed=seed,
            policy=policy,
            behavior=behavior,
            available=None if spaces.available.all() else spaces.available,
            features=None if features is None else fitting(features, spaces.n_states, *known),
        )
    except MemoryError as error:
        raise InputError(f"{chosen.name}: out of memory: {error}; allowed: a smaller n or model_memory") from None
    agent.remember(env, spaces)
    waits = isinstance(chosen.feed, RolloutKeys) and chosen.is_a("target", "whole_episode")
    if waits and model is not None and not episodes_end(agent, model):
        raise InputError(
            f"{chosen.name}: in {model.name} episodes never end, and a return has to; "
            "allowed with episode_length set, or with max_episode_steps in the world"
        )
    return agent


def episodes_end(agent: Agent, model: TabularModel) -> bool:
    """Whether an episode can end at all: by a time limit, or because a termination can be reached.

    A policy that is kept as it is has to reach it itself; an improving or exploring one may take any action.
    """
    if agent.recipe.episode_length or model.max_episode_steps:
        return True
    acts = agent.keeps_acting
    return model.can_terminate(
        np.ones(model.n_states * model.n_actions, np.bool_) if acts is None else acts.ravel() > 0
    )
