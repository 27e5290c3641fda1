"""From a recipe to the rule that acts, and from the rule to the policy that it amounts to right now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlgrid.behaviors import (
    Behavior,
    EpsilonGreedy,
    ScheduledEpsilonGreedy,
    Softmax,
    Stored,
    UpperConfidence,
    action_tuple,
)
from rlgrid.recipe import Recipe
from rlgrid.recipe_keys import (
    EpsilonKeys,
    HarmonicEpsilon,
    LinearEpsilon,
    PolynomialEpsilon,
    SoftmaxBehavior,
    UpperConfidenceBehavior,
)
from rlgrid.schedules import Decaying, Falling, NoTally, Schedule, Tally, new_tally

Floats = NDArray[np.float64]

_PER = {"episode": 0, "step": 1, "visit": 2}


def new_behavior(
    recipe: Recipe, policy: Floats | None, n_states: int, n_actions: int
) -> tuple[Behavior, NoTally | Tally]:
    """How a recipe acts, and what it counts for that."""
    actions = action_tuple(n_actions)
    if policy is not None:
        return Stored(policy), NoTally()
    if isinstance(recipe.behavior, SoftmaxBehavior):
        return Softmax(recipe.behavior.temperature, actions), NoTally()
    if isinstance(recipe.behavior, UpperConfidenceBehavior):
        tally = new_tally((n_states, n_actions))
        return UpperConfidence(recipe.behavior.c, tally, actions), tally
    if recipe.epsilon is None or isinstance(recipe.epsilon, int | float):
        return EpsilonGreedy(float(recipe.epsilon or 0.0), actions), NoTally()
    by_visit = not isinstance(recipe.epsilon, LinearEpsilon) and recipe.epsilon.per == "visit"
    tally = new_tally((n_states, 1) if by_visit else (0, 0))
    return ScheduledEpsilonGreedy(_schedule(recipe.epsilon, tally), actions), tally


def _schedule(keys: EpsilonKeys, tally: Tally) -> Schedule:
    if isinstance(keys, LinearEpsilon):
        return Falling(keys.first, keys.last, keys.steps, tally)
    assert isinstance(keys, HarmonicEpsilon | PolynomialEpsilon)
    power = keys.power if isinstance(keys, PolynomialEpsilon) else 1.0
    return Decaying(keys.a, keys.b, power, keys.least, _PER[keys.per], tally)


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
