"""Evaluating a policy by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.environments.spaces import spaces_of
from rlgrid.errors import check_seed, whole
from rlgrid.feeds.rollout import Rollout
from rlgrid.learning.actor import policy_actor
from rlgrid.models.checks import check_probabilities
from rlgrid.models.model import TabularModel

if TYPE_CHECKING:
    import gymnasium


#: The limit of an episode where neither the caller nor the world sets one, so that a policy that goes round in circles
#: cannot hang the evaluation.
DEFAULT_EPISODE_LENGTH = 10_000

#: Episodes that are kept in memory, with their returns and lengths.
MOST_EPISODES = 100_000_000

#: Two-sided 95 % of the normal distribution.
_Z = 1.959963984540054


class Score(NamedTuple):
    """What came of a number of episodes under a policy."""

    episodes: int
    mean_return: float  # undiscounted
    half_width: float  # of the 95 % confidence interval of the mean return (normal approximation)
    mean_length: float
    success_rate: float  # share that ended in a cell where ending pays the most on average; nan without a model
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
    episodes = whole("episodes", episodes, most=MOST_EPISODES)
    check_seed(seed)
    spaces = spaces_of(env)
    policy = check_probabilities(policy, spaces.available)
    env_seed, policy_seed = np.random.SeedSequence(seed).spawn(2)
    actor = policy_actor(policy.copy(), policy_seed)
    rollout = Rollout(env, episode_length=episode_length, seed=int(env_seed.generate_state(1)[0]))
    rollout.limit = min(rollout.limit, DEFAULT_EPISODE_LENGTH) if not episode_length else rollout.limit
    chunks = []
    left = episodes
    while left > 0:
        chunk = rollout.advance(actor, 1_000_000, left, record=False)
        left -= len(chunk.finished.total)
        chunks.append(chunk.finished)
    total, length, terminated, final_state = (np.concatenate(column) for column in zip(*chunks, strict=True))
    spread = float(np.std(total, ddof=1)) if episodes > 1 else float("nan")
    return Score(
        episodes=episodes,
        mean_return=float(np.mean(total)),
        half_width=_Z * spread / episodes**0.5,
        mean_length=float(np.mean(length)),
        success_rate=_success_rate(spaces.model, terminated, final_state),
        truncated_rate=float(np.mean(~terminated)),
    )


def _success_rate(model: TabularModel | None, terminated: NDArray[np.bool_], final_state: NDArray[np.int64]) -> float:
    if model is None:
        return float("nan")
    t = model.tables
    ends = t.terminated[t.code] & ~model.terminal[model.row_of_outcome // model.n_actions]
    pays = np.full(model.n_states, -np.inf)
    np.maximum.at(pays, t.next_state[ends], t.reward[t.code[ends]])
    return float(np.mean(terminated & (pays[final_state] >= pays.max() - 1e-9 * max(1.0, abs(pays.max())))))
