"""Batch: the one record of experience, exact or sampled, that every agent learns from; Transition: a line of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.choices import function, unsigned
from rlgrid.errors import InputError, shown, whole

#: Stands for "no limit" where a number of steps, episodes or batches is asked for: more than any run has, in 64 bits.
NO_LIMIT = 2**62

#: States times actions: they are numbered in 32 bits.
MOST_ROWS = 2**31 - 1

#: How many states or actions are believed to stand behind a batch, where nobody says: so many, and so many times as
#: many as it has transitions.
LEAST_SPARSE, MOST_SPARSE = 2**20, 100


class Batch(NamedTuple):
    """Transitions as a struct of arrays, every one of length [N].

    An exact model is a batch in which each outcome stands once with its probability as ``weight``; sampled experience
    has weight 1. The discount is the learner's and is not stored. ``terminated`` is set only where the world says
    that the episode is over, so that ``reward + discount * (1 - terminated) * v(next_state)`` is a target without a
    branch; ``truncated`` marks time limits, where TD bootstraps and a Monte Carlo return ends.
    """

    state: Ints
    action: Ints
    reward: Floats
    next_state: Ints
    next_action: Ints  # always valid; drawn before the update, also at truncation
    terminated: Bools
    truncated: Bools
    behavior_probability: Floats  # b(action | state)
    weight: Floats

    @property
    def size(self) -> int:
        """Number of transitions."""
        return len(self.state)

    def part(self, begin: int, end: int) -> Batch:
        """The transitions ``begin`` to ``end``, as views."""
        return Batch._make(column[begin:end] for column in self)

    def copy(self) -> Batch:
        """The same transitions in arrays of their own."""
        return Batch._make(column.copy() for column in self)


class Transition(NamedTuple):
    """One line of a batch, as rules see it."""

    state: int
    action: int
    reward: float
    next_state: int
    next_action: int
    terminated: bool
    truncated: bool
    behavior_probability: float
    weight: float


@function
def transition(batch: Batch, i: int) -> Transition:
    """Line i of a batch."""
    return Transition(
        batch.state[unsigned(i)],
        batch.action[unsigned(i)],
        batch.reward[unsigned(i)],
        batch.next_state[unsigned(i)],
        batch.next_action[unsigned(i)],
        batch.terminated[unsigned(i)],
        batch.truncated[unsigned(i)],
        batch.behavior_probability[unsigned(i)],
        batch.weight[unsigned(i)],
    )


@function
def write(batch: Batch, i: int, step: Transition) -> None:
    """Write a transition of weight 1 into line i of a batch."""
    batch.state[unsigned(i)], batch.action[unsigned(i)], batch.reward[unsigned(i)] = (
        step.state,
        step.action,
        step.reward,
    )
    batch.next_state[unsigned(i)], batch.next_action[unsigned(i)] = step.next_state, step.next_action
    batch.terminated[unsigned(i)], batch.truncated[unsigned(i)] = step.terminated, step.truncated
    batch.behavior_probability[unsigned(i)] = step.behavior_probability


def empty_batch(size: int) -> Batch:
    """Room for ``size`` transitions of weight 1; the other columns hold anything until they are written."""
    return Batch(
        state=np.empty(size, np.int64),
        action=np.empty(size, np.int64),
        reward=np.empty(size),
        next_state=np.empty(size, np.int64),
        next_action=np.empty(size, np.int64),
        terminated=np.empty(size, np.bool_),
        truncated=np.empty(size, np.bool_),
        behavior_probability=np.empty(size),
        weight=np.ones(size),
    )


def joined(batches: list[Batch]) -> Batch:
    """Batches one after the other."""
    return Batch._make(np.concatenate(columns) for columns in zip(*batches, strict=True))


def check_batch(batch: Batch, n_states: int | None, n_actions: int | None) -> tuple[int, int]:
    """Check a batch before compiled code reads it, which does not check indices.

    Returns:
        the numbers of states and actions: those given, else as many as occur.

    Raises:
        InputError: for columns that are not arrays [N] of one length, or for indices out of range.
    """
    for name, wanted in empty_batch(0)._asdict().items():
        column = getattr(batch, name)
        if not isinstance(column, np.ndarray) or column.ndim != 1 or not np.can_cast(column, wanted.dtype, "same_kind"):
            raise InputError(f"batch: found {shown(column)} as {name}; allowed: an array [N] of {wanted.dtype}")
        if len(column) != batch.size:
            raise InputError(f"batch: found {len(column)} of {name} and {batch.size} of state; allowed: equally many")
    sizes = []
    n_states = n_states if n_states is None else whole("n_states", n_states)
    n_actions = n_actions if n_actions is None else whole("n_actions", n_actions)
    for columns, given in ((("state", "next_state"), n_states), (("action", "next_action"), n_actions)):
        found = [getattr(batch, name) for name in columns]
        size = _numbered(dict(zip(columns, found, strict=True))) if given is None else given
        for name, column in zip(columns, found, strict=True):
            if len(column) and not 0 <= column.min() <= column.max() < size:
                raise InputError(f"batch: {name} has values outside 0 to {size - 1}")
        sizes.append(size)
    if sizes[0] * sizes[1] > MOST_ROWS:
        raise InputError(
            f"batch: found {sizes[0]:,} states and {sizes[1]:,} actions; allowed: {MOST_ROWS:,} of both multiplied"
        )
    return sizes[0], sizes[1]


def _numbered(columns: dict[str, Ints]) -> int:
    """How many numbers from 0 there are, which has to be in proportion to the columns: arrays will be as long."""
    most = max(LEAST_SPARSE, MOST_SPARSE * max(len(column) for column in columns.values()))
    for name, column in columns.items():
        if (largest := int(column.max(initial=0))) >= most:
            raise InputError(
                f"batch: {name} has the value {largest}, far more than there are transitions; "
                f"allowed: below {most:,}, or a number of states and actions that is given"
            )
    return max(int(column.max(initial=0)) + 1 for column in columns.values())
