"""Batch: the one record of experience, exact or sampled, that every agent learns from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Batch(NamedTuple):
    """Transitions as a struct of arrays, every one of length [N].

    An exact model is a batch in which each outcome stands once with its probability as ``weight``; sampled experience
    has weight 1. The discount is the learner's and is not stored. ``terminated`` is set only where the world says
    that the episode is over, so that a target is ``discount * (1 - terminated) * v(next_state)`` away from its reward;
    ``truncated`` marks time limits, where TD bootstraps and a Monte Carlo return ends.
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
