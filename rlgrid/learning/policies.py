"""From a recipe to the rule that acts, and from the rule to the policy that it amounts to right now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats
from rlgrid.rules.behaviors import Behavior, ScheduledEpsilonGreedy, Softmax, Stored, UpperConfidence
from rlgrid.rules.schedules import Falling, Schedule


def shared(allowed: NDArray[np.bool_]) -> Floats:
    """Equal probability for the allowed actions of each state, [S, A]; nan where there is none."""
    with np.errstate(invalid="ignore"):
        shares: Floats = allowed / allowed.sum(axis=1, keepdims=True)
    return shares


def greedy(table: Floats) -> Floats:
    """The greedy policy of a table of action values, with ties shared equally, [S, A]."""
    return shared(table == table.max(axis=1, keepdims=True))


def acting_policy(behavior: Behavior, table: Floats) -> Floats:
    """b(a|s) [S, A]: the probabilities with which ``draw`` draws now."""
    if isinstance(behavior, Stored):
        return behavior.probability.copy()
    if isinstance(behavior, Softmax):
        weight = np.exp((table - table.max(axis=1, keepdims=True)) / behavior.temperature)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))
    if isinstance(behavior, UpperConfidence):
        return greedy(_upper_bounds(behavior, table))
    epsilon = _epsilons(behavior.schedule) if isinstance(behavior, ScheduledEpsilonGreedy) else behavior.epsilon
    return np.asarray((1.0 - epsilon) * greedy(table) + epsilon * shared(table > -np.inf))


def _upper_bounds(behavior: UpperConfidence, table: Floats) -> Floats:
    taken = behavior.tally.taken
    t = taken.sum(axis=1, keepdims=True) + 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = table + behavior.c * np.sqrt(np.log(t) / taken)
    return np.where(table == -np.inf, -np.inf, np.where(taken > 0, bound, np.inf))


def _epsilons(schedule: Schedule) -> float | Floats:
    """Epsilon now: of every state, or [S, 1] where it counts the visits of each."""
    if isinstance(schedule, Falling):
        share = min(1.0, schedule.tally.clock[0] / schedule.steps)
        return float(schedule.first + share * (schedule.last - schedule.first))
    done = schedule.tally.taken if schedule.per == 2 else schedule.tally.clock[1 if schedule.per == 0 else 0]
    value = schedule.a / (schedule.b + done + 1.0) ** schedule.power
    return np.asarray(np.minimum(1.0, np.maximum(schedule.least, value)))
