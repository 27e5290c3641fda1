"""Hand-written learning loops that the composed ones of rlgrid are measured against: one function, one algorithm.

Each is as fast as we could make it for a world with four actions and at most three outcomes of each: flat tables,
loops over the actions written out, no records of what happened but the number of finished episodes. Greedy ties are
broken at random, random numbers come from SplitMix64, as in rlgrid.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

import rlgrid

UNIT = 2.0**-53
compiled = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
inlined = njit(cache=True, error_model="numpy", forceinline=True)


class World(NamedTuple):
    """Outcomes of each state and action; the third one is drawn above both thresholds."""

    first: np.ndarray  # [S A] thresholds
    second: np.ndarray
    next_state: np.ndarray  # [S A, 3]
    reward: np.ndarray
    terminated: np.ndarray


def world_of(name: str) -> World:
    """A catalog world as flat tables."""
    rows = [row for actions in rlgrid.GridWorld(name).P.values() for row in actions.values()]
    world = World(
        np.full(len(rows), 2.0), np.full(len(rows), 2.0), *(np.zeros((len(rows), 3), t) for t in (int, float, bool))
    )
    for i, row in enumerate(rows):
        cumulative = np.cumsum([outcome[0] for outcome in row])
        for j, (_, next_state, reward, terminated) in enumerate(row):
            world.next_state[i, j], world.reward[i, j], world.terminated[i, j] = next_state, reward, terminated
        if len(row) > 1:
            world.first[i] = cumulative[0]
        if len(row) > 2:
            world.second[i] = cumulative[1]
    return world


@inlined
def at(i: int) -> Any:
    return np.uint64(i)


@inlined
def uniform(counter: Any) -> Any:
    z = counter
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * UNIT


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@inlined
def choose(q: Any, state: int, epsilon: float, u: float) -> int:
    q0, q1, q2, q3 = q[at(state), 0], q[at(state), 1], q[at(state), 2], q[at(state), 3]
    if u < epsilon:
        return int(u * (4.0 / epsilon))
    best = max(q0, q1, q2, q3)
    ties = (q0 == best) + (q1 == best) + (q2 == best) + (q3 == best)
    if ties == 1:
        return (q1 == best) + 2 * (q2 == best) + 3 * (q3 == best)
    n = int((u - epsilon) / (1.0 - epsilon) * ties)
    action = 0
    for a in range(4):
        if q[at(state), at(a)] == best:
            if n == 0:
                action = a
            n -= 1
    return action


@compiled
def q_learning(world: Any, q: Any, steps: int, alpha: float, gamma: float, epsilon: float, limit: int) -> int:
    counter = np.uint64(1)
    state, elapsed, episodes = 0, 0, 0
    for _ in range(steps):
        counter += GOLDEN
        action = choose(q, state, epsilon, uniform(counter))
        row = state * 4 + action
        counter += GOLDEN
        u = uniform(counter)
        j = (u >= world.first[at(row)]) + (u >= world.second[at(row)])
        t = world.next_state[at(row), at(j)]
        terminated = world.terminated[at(row), at(j)]
        value = max(q[at(t), 0], q[at(t), 1], q[at(t), 2], q[at(t), 3])
        target = world.reward[at(row), at(j)] + gamma * (1.0 - terminated) * value
        q[at(state), at(action)] += alpha * (target - q[at(state), at(action)])
        elapsed += 1
        state = t
        if terminated or elapsed == limit:
            state, elapsed, episodes = 0, 0, episodes + 1
    return episodes


@compiled
def sarsa(world: Any, q: Any, steps: int, alpha: float, gamma: float, epsilon: float, limit: int) -> int:
    counter = np.uint64(1)
    state, elapsed, episodes = 0, 0, 0
    action = choose(q, state, epsilon, uniform(counter))
    for _ in range(steps):
        row = state * 4 + action
        counter += GOLDEN
        u = uniform(counter)
        j = (u >= world.first[at(row)]) + (u >= world.second[at(row)])
        t = world.next_state[at(row), at(j)]
        terminated = world.terminated[at(row), at(j)]
        counter += GOLDEN
        after = choose(q, t, epsilon, uniform(counter))
        target = world.reward[at(row), at(j)] + gamma * (1.0 - terminated) * q[at(t), at(after)]
        q[at(state), at(action)] += alpha * (target - q[at(state), at(action)])
        elapsed += 1
        state, action = t, after
        if terminated or elapsed == limit:
            state, elapsed, episodes = 0, 0, episodes + 1
            counter += GOLDEN
            action = choose(q, state, epsilon, uniform(counter))
    return episodes


@compiled
def expected_sarsa(world: Any, q: Any, steps: int, alpha: float, gamma: float, epsilon: float, limit: int) -> int:
    counter = np.uint64(1)
    state, elapsed, episodes = 0, 0, 0
    for _ in range(steps):
        counter += GOLDEN
        action = choose(q, state, epsilon, uniform(counter))
        row = state * 4 + action
        counter += GOLDEN
        u = uniform(counter)
        j = (u >= world.first[at(row)]) + (u >= world.second[at(row)])
        t = world.next_state[at(row), at(j)]
        terminated = world.terminated[at(row), at(j)]
        q0, q1, q2, q3 = q[at(t), 0], q[at(t), 1], q[at(t), 2], q[at(t), 3]
        value = (1.0 - epsilon) * max(q0, q1, q2, q3) + 0.25 * epsilon * (q0 + q1 + q2 + q3)
        target = world.reward[at(row), at(j)] + gamma * (1.0 - terminated) * value
        q[at(state), at(action)] += alpha * (target - q[at(state), at(action)])
        elapsed += 1
        state = t
        if terminated or elapsed == limit:
            state, elapsed, episodes = 0, 0, episodes + 1
    return episodes


@compiled
def monte_carlo(
    world: Any, q: Any, visits: Any, rows: Any, rewards: Any, steps: int, gamma: float, epsilon: float, limit: int
) -> int:
    """Every visit, step size 1/k; ``rows`` and ``rewards`` [limit] are room for an episode."""
    counter = np.uint64(1)
    state, elapsed, episodes = 0, 0, 0
    for _ in range(steps):
        counter += GOLDEN
        action = choose(q, state, epsilon, uniform(counter))
        row = state * 4 + action
        counter += GOLDEN
        u = uniform(counter)
        j = (u >= world.first[at(row)]) + (u >= world.second[at(row)])
        rows[at(elapsed)], rewards[at(elapsed)] = row, world.reward[at(row), at(j)]
        terminated = world.terminated[at(row), at(j)]
        state = world.next_state[at(row), at(j)]
        elapsed += 1
        if terminated or elapsed == limit:
            total = 0.0
            for k in range(elapsed - 1, -1, -1):
                total = rewards[at(k)] + gamma * total
                row = rows[at(k)]
                visits[at(row)] += 1.0
                s, a = row >> 2, row & 3
                q[at(s), at(a)] += (total - q[at(s), at(a)]) / visits[at(row)]
            state, elapsed, episodes = 0, 0, episodes + 1
    return episodes


@compiled
def four_step_sarsa(
    world: Any, q: Any, rows: Any, rewards: Any, steps: int, alpha: float, gamma: float, epsilon: float, limit: int
) -> int:
    """``rows`` and ``rewards`` [4] are a ring; what is left at an end lands there, the latest first."""
    counter = np.uint64(1)
    state, elapsed, episodes = 0, 0, 0
    action = choose(q, state, epsilon, uniform(counter))
    for _ in range(steps):
        row = state * 4 + action
        counter += GOLDEN
        u = uniform(counter)
        j = (u >= world.first[at(row)]) + (u >= world.second[at(row)])
        t = world.next_state[at(row), at(j)]
        terminated = world.terminated[at(row), at(j)]
        counter += GOLDEN
        after = choose(q, t, epsilon, uniform(counter))
        rows[at(elapsed & 3)], rewards[at(elapsed & 3)] = row, world.reward[at(row), at(j)]
        total = (1.0 - terminated) * q[at(t), at(after)]
        elapsed += 1
        state, action = t, after
        if terminated or elapsed == limit:
            for k in range(elapsed - 1, max(-1, elapsed - 5), -1):
                total = rewards[at(k & 3)] + gamma * total
                s, a = rows[at(k & 3)] >> 2, rows[at(k & 3)] & 3
                q[at(s), at(a)] += alpha * (total - q[at(s), at(a)])
            state, elapsed, episodes = 0, 0, episodes + 1
            counter += GOLDEN
            action = choose(q, state, epsilon, uniform(counter))
        elif elapsed >= 4:
            for k in range(1, 5):
                total = rewards[at((elapsed - k) & 3)] + gamma * total
            s, a = rows[at(elapsed & 3)] >> 2, rows[at(elapsed & 3)] & 3
            q[at(s), at(a)] += alpha * (total - q[at(s), at(a)])
    return episodes


@compiled
def sarsa_lambda(
    world: Any,
    q: Any,
    rows: Any,
    sizes: Any,
    steps: int,
    alpha: float,
    gamma: float,
    epsilon: float,
    limit: int,
    decay: float,
    longest: int,
) -> int:
    """Replacing traces; ``rows`` and ``sizes`` [limit] hold the visits of the episode, of which the last ones count."""
    counter = np.uint64(1)
    state, elapsed, episodes = 0, 0, 0
    action = choose(q, state, epsilon, uniform(counter))
    fade = gamma * decay
    for _ in range(steps):
        row = state * 4 + action
        counter += GOLDEN
        u = uniform(counter)
        j = (u >= world.first[at(row)]) + (u >= world.second[at(row)])
        t = world.next_state[at(row), at(j)]
        terminated = world.terminated[at(row), at(j)]
        counter += GOLDEN
        after = choose(q, t, epsilon, uniform(counter))
        target = world.reward[at(row), at(j)] + gamma * (1.0 - terminated) * q[at(t), at(after)]
        error = target - q[at(state), at(action)]
        for k in range(max(0, elapsed - longest + 1), elapsed):
            other = rows[at(k)]
            size = 0.0 if other == row else sizes[at(k)] * fade
            sizes[at(k)] = size
            q[at(other >> 2), at(other & 3)] += size * error
        q[at(state), at(action)] += alpha * error
        rows[at(elapsed)], sizes[at(elapsed)] = row, alpha
        elapsed += 1
        state, action = t, after
        if terminated or elapsed == limit:
            state, elapsed, episodes = 0, 0, episodes + 1
            counter += GOLDEN
            action = choose(q, state, epsilon, uniform(counter))
    return episodes
