"""Policies and optima solved with NumPy from the tables that environments show, not by rlgrid's own planner."""

from __future__ import annotations

import numpy as np

from rlgrid import GridWorld


def tables(env: GridWorld) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of going on [S, A, S] and mean rewards [S, A]."""
    n_states, n_actions = env.model.n_states, env.model.n_actions
    going_on, reward = np.zeros((n_states, n_actions, n_states)), np.zeros((n_states, n_actions))
    for state, actions in env.P.items():
        for action, row in actions.items():
            for probability, next_state, r, terminated in row:
                going_on[state, action, next_state] += probability * (not terminated)
                reward[state, action] += probability * r
    return going_on, reward


def value_of(env: GridWorld, policy: np.ndarray, discount: float) -> np.ndarray:
    """v_pi [S] by a direct solve over the states that the policy reaches from the start; 0 elsewhere."""
    going_on, reward = tables(env)
    chain, mean = np.einsum("sa,sat->st", policy, going_on), (policy * reward).sum(axis=1)
    reached = env.model.start > 0
    for _ in range(env.model.n_states):
        reached = reached | (chain[reached] > 0).any(axis=0)
    v = np.zeros(env.model.n_states)
    matrix = np.eye(int(reached.sum())) - discount * chain[np.ix_(reached, reached)]
    v[reached] = np.linalg.solve(matrix, mean[reached])
    return v


def optimum(env: GridWorld, discount: float, epsilon: float = 0.0) -> np.ndarray:
    """Action values [S, A] of the best policy that is epsilon-soft."""
    going_on, reward = tables(env)
    q = np.zeros_like(reward)
    for _ in range(100_000):
        v = (1 - epsilon) * q.max(axis=1) + epsilon * q.mean(axis=1)
        q, old = reward + discount * going_on @ v, q
        if np.abs(q - old).max() < 1e-13:
            break
    return q
