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
    recipe, method = agent.recipe, agent.recipe.method or "auto"
    spaces = agent.spaces_for(env) if spaces is None else spaces
    model_or_env = env if spaces.model is None else spaces.model
    if recipe.feed == "sweep":
        return Sweep(model_or_env)
    if recipe.feed == "replay":
        raise InputError(f"{recipe.name}: it learns from a recorded batch; allowed: train(..., batch=...), in Python")
    if recipe.feed == "solution":
        return Solution(model_or_env, method)
    if recipe.feed == "counting":
        return Counting(
            env,
            every=recipe.solve_every,
            method=method,
            prior=recipe.prior,
            prior_reward=recipe.prior_reward,
            sample=recipe.posterior == "sample",
            initial_value=recipe.initial_value,
            episode_length=recipe.episode_length,
            seed=agent.env_seed,
            spaces=spaces,
        )
    return Rollout(
        env,
        starts=recipe.starts,
        episode_length=recipe.episode_length,
        episodes_per_pair=recipe.episodes_per_pair,
        seed=agent.env_seed,
        spaces=spaces,
    )
