"""Policies as arrays [S, A]: the one that a behavior amounts to now, the greedy one, and the uniform one."""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Bools, Floats
from rlgrid.rules.behaviors import Behavior, EpsilonGreedy, Stored, action_tuple


def policy_of(behavior: Behavior, table: Floats, n_actions: int) -> Floats:
    """b(a|s) [S, A]: the probabilities with which actions are drawn from a table now; nan where values are nan."""
    from rlgrid.kernels.interaction import write_policy  # Numba loads when it is used

    if isinstance(behavior, Stored):
        return behavior.probability.copy()
    policy = np.empty((len(table), n_actions))
    write_policy(behavior, table, policy)
    return policy


def greedy(table: Floats) -> Floats:
    """The greedy policy of a table of action values [S, A], with ties shared equally."""
    n_actions = table.shape[1]
    return policy_of(EpsilonGreedy(0.0, action_tuple(n_actions)), table, n_actions)


def uniform(allowed: Bools) -> Floats:
    """Equal probability for the allowed actions of each state, [S, A]."""
    shares: Floats = allowed / allowed.sum(axis=1, keepdims=True)
    return shares
