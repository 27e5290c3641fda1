"""Which wrappers leave an environment what it is, and whose steps a compiled loop may take in its place."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.envs.toy_text import BlackjackEnv, CliffWalkingEnv, FrozenLakeEnv, TaxiEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, RecordVideo, TimeLimit

#: Wrappers that change nothing that is seen or paid; the first three do not look on either.
_SILENT = (PassiveEnvChecker, OrderEnforcing, TimeLimit)
_TRANSPARENT = (*_SILENT, RecordEpisodeStatistics, RecordVideo)

#: Classes whose ``P`` and ``step`` are known to agree.
TOY_TEXT = (FrozenLakeEnv, CliffWalkingEnv, TaxiEnv, BlackjackEnv)

NO_LIMIT = 2**62


def transparent_base(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any] | None:
    """The environment behind wrappers that leave observations, rewards and ends as they are; ``None`` behind others."""
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
    """The environment behind wrappers that nobody misses, and their time limit; ``None`` behind others."""
    limit = NO_LIMIT
    while isinstance(env, gymnasium.Wrapper):
        if not isinstance(env, _SILENT):
            return None, NO_LIMIT
        if isinstance(env, TimeLimit):
            limit = min(limit, env._max_episode_steps)
        env = env.env
    return env, limit
