"""Which feed an agent's recipe asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlgrid.environments.spaces import Spaces
from rlgrid.errors import InputError
from rlgrid.feeds.counting import Counting
from rlgrid.feeds.feed import Feed
from rlgrid.feeds.rollout import Rollout
from rlgrid.feeds.solution import Solution
from rlgrid.feeds.sweep import Sweep
from rlgrid.learning.agent import Agent
from rlgrid.learning.feed_keys import CountingKeys, ReplayKeys, SolutionKeys, SweepKeys
from rlgrid.models.model import TabularModel

if TYPE_CHECKING:
    import gymnasium


def feed_for(agent: Agent, env: gymnasium.Env[Any, Any] | TabularModel, spaces: Spaces | None = None) -> Feed:
    """Where an agent's experience comes from, in an environment.

    Args:
        agent: from :func:`rlgrid.load_agent`.
        env: the environment or model to learn from.
        spaces: what is known of it already.

    Raises:
        InputError: for an agent that learns from a recorded batch, or an environment that does not fit.
    """
    recipe, keys = agent.recipe, agent.recipe.feed
    spaces = agent.spaces_for(env) if spaces is None else spaces
    model_or_env = env if spaces.model is None else spaces.model
    if isinstance(keys, SweepKeys):
        return Sweep(model_or_env)
    if isinstance(keys, ReplayKeys):
        raise InputError(f"{recipe.name}: it learns from a recorded batch; allowed: train(..., batch=...), in Python")
    if isinstance(keys, SolutionKeys):
        return Solution(model_or_env, keys.method)
    if isinstance(keys, CountingKeys):
        return Counting(env, keys, initial_value=recipe.initial_value, seed=agent.env_seed, spaces=spaces)
    return Rollout(
        env,
        starts=keys.starts,
        episode_length=keys.episode_length,
        episodes_per_pair=keys.episodes_per_pair,
        seed=agent.env_seed,
        spaces=spaces,
    )
