"""Many environments at once: one pass over arrays with an entry for each environment.

Arrays come one by one here, not in NamedTuples: a step of a few environments takes a microsecond, and taking a tuple
of arrays apart at the call would take two more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.batch import Batch
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.models.sampling import sample, sample_start
from rlgrid.models.tables import Tables
from rlgrid.rules.behaviors import draw

#: Autoreset modes.
NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2


@compiled
def refused(
    begin: int, end: int, first: Ints, n_actions: int, actions: Ints, place: Ints, over: Bools, mode: int
) -> int:
    """The first environment whose action is not available, or that waits for a reset; -1 where there is none.

    For the arrays see :func:`step_each`.
    """
    for i in range(begin, end):
        if over[unsigned(i)] and mode == NEXT_STEP:
            continue
        if over[unsigned(i)] or actions[unsigned(i)] < 0 or actions[unsigned(i)] >= n_actions:
            return i
        row = place[0, unsigned(i)] * n_actions + actions[unsigned(i)]
        if first[unsigned(row)] == first[unsigned(row + 1)]:
            return i
    return -1


@compiled
def step_each(
    begin: int, end: int, check: bool,
    first: Ints, next_state: NDArray[np.int32], code: NDArray[np.integer[Any]],
    probability: Floats, reward: Floats, terminated: Bools,
    noise: NDArray[np.int32], noise_values: Floats, noise_cumulative: Floats, noise_std: Floats,
    start_state: Ints, start_cumulative: Floats,
    n_actions: int, limit: int, mode: int, place: Ints, over: Bools, stream: NDArray[np.uint64],
    actions: Ints, out_state: Ints, out_last: Ints, out_reward: Floats, out_flags: Bools,
) -> int:  # fmt: skip
    """Step the environments ``begin`` to ``end``, unless ``check`` finds one that refuses.

    The twelve arrays that come first are the model's tables. place [2, N]: state, and steps of the episode; over [N]:
    whether the episode has ended; stream [N, 2]; actions [N]. Written are out_state [N], the next state; out_last [N],
    with ``SAME_STEP`` only, the state before a new episode starts; out_reward [N]; out_flags [2, N], terminated and
    truncated.

    Returns:
        the number of the environment that refuses, else -1.
    """
    if check:
        wrong = refused(begin, end, first, n_actions, actions, place, over, mode)
        if wrong >= 0:
            return wrong
    tables = Tables(
        first, next_state, code, probability, reward, terminated, noise, noise_values, noise_cumulative, noise_std,
        start_state, start_cumulative,
    )  # fmt: skip
    for i in range(begin, end):
        if over[unsigned(i)] and mode == NEXT_STEP:
            state, pay, ends, cut = sample_start(tables, stream[unsigned(i)]), 0.0, False, False
            place[1, unsigned(i)] = 0
        else:
            state, pay, ends = sample(
                tables, place[0, unsigned(i)] * n_actions + actions[unsigned(i)], stream[unsigned(i)]
            )
            place[1, unsigned(i)] += 1
            cut = not ends and place[1, unsigned(i)] >= limit
            if mode == SAME_STEP:
                out_last[unsigned(i)] = state
                if ends or cut:
                    state = sample_start(tables, stream[unsigned(i)])
                    place[1, unsigned(i)] = 0
        place[0, unsigned(i)] = state
        over[unsigned(i)] = (ends or cut) and mode != SAME_STEP
        out_state[unsigned(i)], out_reward[unsigned(i)] = state, pay
        out_flags[0, unsigned(i)], out_flags[1, unsigned(i)] = ends, cut
    return -1


@compiled
def roll_each(
    begin: int, end: int, tables: Tables, behavior: Any, place: Ints, over: Bools, stream: NDArray[np.uint64],
    behavior_stream: NDArray[np.uint64], batch: Batch, steps: int, limit: int,
) -> None:  # fmt: skip
    """Act by a stored policy for so many steps in each of the environments ``begin`` to ``end``.

    Environment i fills the transitions ``i * steps`` to ``(i + 1) * steps`` of the batch.
    """
    policy = behavior.probability
    n_actions = policy.shape[1]
    for i in range(begin, end):
        if over[unsigned(i)]:
            place[0, unsigned(i)], place[1, unsigned(i)], over[unsigned(i)] = (
                sample_start(tables, stream[unsigned(i)]),
                0,
                False,
            )
        state, elapsed = place[0, unsigned(i)], place[1, unsigned(i)]
        action, probability = draw(behavior, policy, state, behavior_stream[unsigned(i)])
        for k in range(i * steps, (i + 1) * steps):
            next_state, reward, ends = sample(tables, state * n_actions + action, stream[unsigned(i)])
            elapsed += 1
            cut = not ends and elapsed >= limit
            batch.state[unsigned(k)], batch.action[unsigned(k)], batch.reward[unsigned(k)] = state, action, reward
            batch.next_state[unsigned(k)], batch.behavior_probability[unsigned(k)] = next_state, probability
            batch.terminated[unsigned(k)], batch.truncated[unsigned(k)] = ends, cut
            state = next_state
            if ends:
                batch.next_action[unsigned(k)] = 0
            else:
                action, probability = draw(behavior, policy, state, behavior_stream[unsigned(i)])
                batch.next_action[unsigned(k)] = action
            if ends or cut:
                state, elapsed = sample_start(tables, stream[unsigned(i)]), 0
                action, probability = draw(behavior, policy, state, behavior_stream[unsigned(i)])
        place[0, unsigned(i)], place[1, unsigned(i)] = state, elapsed


@compiled
def start_each(tables: Tables, place: Ints, over: Bools, stream: NDArray[np.uint64], chosen: Bools) -> None:
    """Begin an episode in the chosen environments."""
    for i in range(len(chosen)):
        if chosen[i]:
            place[0, unsigned(i)] = sample_start(tables, stream[unsigned(i)])
            place[1, unsigned(i)] = 0
            over[unsigned(i)] = False
