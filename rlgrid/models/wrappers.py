"""Which wrappers leave an environment as it is, and which environments a compiled loop may step in their place."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.envs.toy_text import BlackjackEnv, CliffWalkingEnv, FrozenLakeEnv, TaxiEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, RecordVideo, TimeLimit

from rlgrid.batch import NO_LIMIT

#: Wrappers that change neither observations nor rewards; a loop may leave out the first three unnoticed, as they record
#: nothing either.
_SILENT = (PassiveEnvChecker, OrderEnforcing, TimeLimit)
_TRANSPARENT = (*_SILENT, RecordEpisodeStatistics, RecordVideo)

#: Classes whose ``P`` and ``step`` are known to agree.
TOY_TEXT = (FrozenLakeEnv, CliffWalkingEnv, TaxiEnv, BlackjackEnv)


def transparent_base(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any] | None:
    """The environment inside wrappers that leave observations, rewards and ends as they are; ``None`` inside others."""
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, _TRANSPARENT):
            return None
        env = env.env
    return env


def keeps_rules(env: gymnasium.Env[Any, Any], kinds: tuple[type, ...]) -> bool:
    """Whether an environment is of one of these kinds and steps and resets as that kind does."""
    own = type(env)
    return any(issubclass(own, kind) and own.step is kind.step and own.reset is kind.reset for kind in kinds)  # type: ignore[attr-defined]


def silent_base(env: gymnasium.Env[Any, Any]) -> tuple[gymnasium.Env[Any, Any] | None, int]:
    """The environment inside wrappers that a loop may leave out, and their time limit; ``None`` inside others."""
    limit = NO_LIMIT
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, _SILENT):
            return None, NO_LIMIT
        if isinstance(env, TimeLimit):
            limit = min(limit, env._max_episode_steps)
        env = env.env
    return env, limit
