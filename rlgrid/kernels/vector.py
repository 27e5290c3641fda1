"""Many environments at once: one pass over arrays with an entry for each environment."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.kernels import compiled
from rlgrid.model import Tables
from rlgrid.sampling import sample, sample_start

#: Autoreset modes, in the order of ``gymnasium.vector.AutoresetMode``.
NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2


class Many(NamedTuple):
    """Where each of N environments stands."""

    state: NDArray[np.int64]  # [N]
    elapsed: NDArray[np.int64]  # [N] steps of its episode so far
    over: NDArray[np.bool_]  # [N] its episode has ended
    stream: NDArray[np.uint64]  # [N, 2] its random stream


class Stepped(NamedTuple):
    """What a step came to, an entry for each environment."""

    state: NDArray[np.int64]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final: NDArray[np.int64]  # with SAME_STEP: the last state of an episode that has ended, else as ``state``


@compiled
def refused(first: NDArray[np.int64], n_actions: int, actions: NDArray[np.int64], many: Many, mode: int) -> int:
    """The first environment whose action is not available, or that waits for a reset; -1: none."""
    for i in range(len(actions)):
        if many.over[i] and mode == NEXT_STEP:
            continue
        if many.over[i] and mode == DISABLED:
            return i
        if actions[i] < 0 or actions[i] >= n_actions:
            return i
        row = many.state[i] * n_actions + actions[i]
        if first[row] == first[row + 1]:
            return i
    return -1


@compiled
def step_each(
    tables: Tables,
    n_actions: int,
    actions: NDArray[Any],
    many: Many,
    out: Stepped,
    limit: int,
    mode: int,
    begin: int,
    end: int,
) -> None:
    """Step the environments ``begin`` to ``end``."""
    for i in range(begin, end):
        stream = many.stream[i]
        if many.over[i] and mode == NEXT_STEP:
            state, reward, terminated, truncated = sample_start(tables, stream), 0.0, False, False
            many.elapsed[i] = 0
            out.final[i] = state
        else:
            state, reward, terminated = sample(tables, many.state[i] * n_actions + actions[i], stream)
            many.elapsed[i] += 1
            truncated = not terminated and many.elapsed[i] >= limit
            out.final[i] = state
            if mode == SAME_STEP and (terminated or truncated):
                state = sample_start(tables, stream)
                many.elapsed[i] = 0
        many.state[i] = state
        many.over[i] = (terminated or truncated) and mode != SAME_STEP
        out.state[i], out.reward[i] = state, reward
        out.terminated[i], out.truncated[i] = terminated, truncated


@compiled
def start_each(tables: Tables, many: Many, chosen: NDArray[np.bool_]) -> None:
    """Begin an episode in the chosen environments."""
    for i in range(len(chosen)):
        if chosen[i]:
            many.state[i] = sample_start(tables, many.stream[i])
            many.elapsed[i] = 0
            many.over[i] = False
