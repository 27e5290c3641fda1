"""How good a policy is, by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.agent import policy_actor
from rlgrid.errors import InputError
from rlgrid.feeds import Rollout
from rlgrid.model import TabularModel, check_policy
from rlgrid.spaces import model_of, spaces_of

if TYPE_CHECKING:
    import gymnasium

#: Where neither the caller nor the world limits an episode, so that a policy that loops cannot hang the evaluation.
DEFAULT_EPISODE_LENGTH = 10_000

#: Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054


class Score(NamedTuple):
    """What a number of episodes under a policy came to."""

    episodes: int
    mean_return: float  # undiscounted
    half_width: float  # of the 95 % confidence interval of the mean return (normal approximation)
    mean_length: float
    success_rate: float  # share that ended by termination with the best reward that any termination pays
    truncated_rate: float  # share that a time limit cut off


def evaluate(
    policy: ArrayLike,
    env: gymnasium.Env[Any, Any],
    *,
    episodes: int = 1000,
    seed: int | None = 0,
    episode_length: int | None = None,
) -> Score:
    """Let a policy act for a number of episodes.

    Args:
        policy: probabilities [S, A].
        env: an environment with discrete spaces; gridworlds run compiled.
        episodes: how many.
        seed: of environment and policy.
        episode_length: cuts episodes off; the environment's own limit by default, else 10,000 steps.

    Raises:
        InputError: for a policy that does not fit, or less than one episode.

    >>> import rlgrid
    >>> env = rlgrid.GridWorld("cliff")
    >>> rlgrid.evaluate(rlgrid.solve(env).policy, env, episodes=10).mean_return
    -13.0
    """
    if episodes < 1:
        raise InputError(f"episodes: found {episodes}; allowed: at least 1")
    if seed is not None and seed < 0:
        raise InputError(f"seed: found {seed}; allowed: at least 0, or none")
    spaces = spaces_of(env)
    if spaces.model is not None:
        policy = check_policy(spaces.model, policy)
    env_seed, policy_seed = np.random.SeedSequence(seed).spawn(2)
    actor = policy_actor(np.ascontiguousarray(policy, dtype=np.float64), policy_seed)
    rollout = Rollout(env, episode_length=episode_length, seed=int(env_seed.generate_state(1)[0]))
    rollout.limit = min(rollout.limit, DEFAULT_EPISODE_LENGTH) if not episode_length else rollout.limit
    chunks = []
    left = episodes
    while left > 0:
        chunk = rollout.advance(actor, 1_000_000, left, record=False)
        left -= len(chunk.finished.total)
        chunks.append(chunk.finished)
    total, length, terminated, final_reward = (np.concatenate(column) for column in zip(*chunks, strict=True))
    best = _best_end(model_of(env)) if spaces.model is not None else max(final_reward[terminated], default=np.inf)
    spread = float(np.std(total, ddof=1)) if episodes > 1 else float("nan")
    return Score(
        episodes=episodes,
        mean_return=float(np.mean(total)),
        half_width=_Z * spread / episodes**0.5,
        mean_length=float(np.mean(length)),
        success_rate=float(np.mean(terminated & (final_reward >= best))),
        truncated_rate=float(1.0 - np.mean(terminated)),
    )


def _best_end(model: TabularModel | None) -> float:
    """The best reward of an outcome that ends an episode somewhere else than in a terminal state."""
    assert model is not None
    t = model.tables
    ends = t.terminated[t.code] & ~model.terminal[model.row_of_outcome // model.n_actions]
    return float(max(t.reward[t.code[ends]], default=np.inf))
