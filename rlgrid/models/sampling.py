"""Random draws from a model: the outcome of an action, and the state in which an episode starts."""

from __future__ import annotations

from typing import Any

from rlgrid.choices import choice, function, rule, unsigned
from rlgrid.models.tables import Tables, Unrolled
from rlgrid.randomness import Stream, normal, uniform


@rule
def sample(tables: Any, row: int, stream: Stream) -> tuple[int, float, bool]:  # type: ignore[empty-body]
    """Next state, reward and termination of a row ``state * n_actions + action``."""


@choice(sample, Tables)
def _sample(tables: Tables, row: int, stream: Stream) -> tuple[int, float, bool]:
    begin_at = tables.first[unsigned(row)]
    last = tables.first[unsigned(row + 1)] - 1
    j = begin_at
    if begin_at < last:
        u = uniform(stream)
        below = 0.0
        for i in range(begin_at, last):  # no early exit: where it would come is a guess that processors get wrong
            below += tables.probability[unsigned(tables.code[unsigned(i)])]
            j += u >= below
    code = tables.code[unsigned(j)]
    reward = tables.reward[unsigned(code)]
    if tables.noise[unsigned(code)] >= 0:
        reward = sample_reward(tables, tables.noise[unsigned(code)], stream)
    return tables.next_state[unsigned(j)], reward, tables.terminated[unsigned(code)]


@choice(sample, Unrolled)
def _sample_unrolled(tables: Unrolled, row: int, stream: Stream) -> tuple[int, float, bool]:
    j = 0
    if tables.threshold[unsigned(row), 0] < 2.0:
        u = uniform(stream)
        for k in range(tables.threshold.shape[1]):
            j += u >= tables.threshold[unsigned(row), unsigned(k)]
    return (
        tables.next_state[unsigned(row), unsigned(j)],
        tables.reward[unsigned(row), unsigned(j)],
        tables.terminated[unsigned(row), unsigned(j)],
    )


@function
def sample_reward(tables: Tables, d: int, stream: Stream) -> float:
    """A reward from distribution d: one of its values, plus normal noise."""
    k = 0
    if tables.noise_cumulative[d, 0] < 1.0:
        u = uniform(stream)
        while u >= tables.noise_cumulative[d, k]:
            k += 1
    reward: float = tables.noise_values[d, k]
    if tables.noise_std[d] > 0.0:
        reward += tables.noise_std[d] * normal(stream)
    return reward


@function
def sample_start(tables: Any, stream: Stream) -> int:
    """A start state."""
    n = len(tables.start_state)
    if n == 1:
        return int(tables.start_state[0])
    u = uniform(stream)
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        if u < tables.start_cumulative[middle]:
            high = middle
        else:
            low = middle + 1
    return int(tables.start_state[low])
