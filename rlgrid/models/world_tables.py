"""The tables of a world: its outcomes as floats, with the distributions of random rewards."""

from __future__ import annotations

import numpy as np

from rlgrid.models.tables import Tables, to_cumulative
from rlgrid.worlds.outcomes import Outcome, compile_world
from rlgrid.worlds.world import World


def world_tables(world: World) -> tuple[Tables, tuple[Outcome, ...]]:
    """The tables that a world's rules make, and the distinct outcomes [C] as fractions."""
    table = compile_world(world)
    starts = world.starts
    rewards = [outcome.reward for outcome in table.outcomes]
    noisy = [reward for reward in dict.fromkeys(rewards) if not reward.is_constant]
    width = max([len(reward.values) for reward in noisy], default=1)
    values, cumulative = np.zeros((len(noisy), width)), np.ones((len(noisy), width))
    for i, reward in enumerate(noisy):
        values[i, : len(reward.values)] = [float(v) for v in reward.values]
        cumulative[i, : len(reward.values) - 1] = np.cumsum([float(p) for p in reward.probabilities])[:-1]
    tables = Tables(
        first=table.first,
        next_state=table.next_state,
        code=table.code,
        probability=np.array([float(outcome.probability) for outcome in table.outcomes]),
        reward=np.array([float(reward.mean) for reward in rewards]),
        terminated=np.array([outcome.terminated for outcome in table.outcomes]),
        noise=np.array([noisy.index(reward) if reward in noisy else -1 for reward in rewards], dtype=np.int32),
        noise_values=values,
        noise_cumulative=cumulative,
        noise_std=np.array([reward.std for reward in noisy], dtype=np.float64),
        start_state=starts.astype(np.int64),
        start_cumulative=to_cumulative(np.full(len(starts), 1.0 / len(starts))),
    )
    return tables, table.outcomes
