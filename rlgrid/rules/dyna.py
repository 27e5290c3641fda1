"""Dyna: after every real transition, more updates from a model learned on the way (Sutton & Barto 2e, Secs 8.2, 8.3).

The model of a state and action is what was seen there last, or one of the last few outcomes, drawn uniformly: their
shares are the maximum-likelihood model, and what has not come for long is forgotten, so that a world may change.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.batch import Transition
from rlgrid.choices import choice, function, rule_with_default, unsigned
from rlgrid.randomness import Stream, uniform
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.windows import observe


class NoPlanning(NamedTuple):
    """Learn from real transitions only."""


class Dyna(NamedTuple):
    """A learned model with R = S A rows, and how much is planned with it."""

    steps: int  # planning updates after each transition
    bonus: float  # kappa of Dyna-Q+: a reward grows by kappa sqrt(transitions since the action was tried)
    next_state: Ints  # [R, m] the last m outcomes of a row
    reward: Floats  # [R, m]
    terminated: NDArray[np.bool_]  # [R, m]
    tried: Ints  # [R] how often a row was tried
    last: Ints  # [R] the transition at which it was tried last
    known: Ints  # [S] states in which something was tried, in order of discovery
    clock: Ints  # [2] transitions so far, and known states
    stream: Stream


def new_model(made: Ingredients) -> NoPlanning | Dyna:
    """An empty model, where a recipe plans on the way."""
    recipe = made.recipe
    if not recipe.planning_steps:
        return NoPlanning()
    n_states, n_actions = made.table.shape
    rows, memory = n_states * n_actions, recipe.model_memory
    return Dyna(
        steps=recipe.planning_steps,
        bonus=recipe.exploration_bonus,
        next_state=np.zeros((rows, memory), np.int64),
        reward=np.zeros((rows, memory)),
        terminated=np.zeros((rows, memory), np.bool_),
        tried=np.zeros(rows, np.int64),
        last=np.zeros(rows, np.int64),
        known=np.zeros(n_states, np.int64),
        clock=np.zeros(2, np.int64),
        stream=made.stream,
    )


@rule_with_default
def learn_from_model(planning: Any, learner: Learner, step: Transition) -> None:
    """Take a transition into the model, and learn from transitions drawn from it."""


@choice(learn_from_model, Dyna)
def _learn_from_model(planning: Dyna, learner: Learner, step: Transition) -> None:
    _note(planning, learner.table.shape[1], step)
    for _ in range(planning.steps):
        state = planning.known[unsigned(int(uniform(planning.stream) * planning.clock[1]))]
        observe(learner.window, learner, _imagine(planning, learner, state, _pick(planning, learner, state)))


@function
def _note(planning: Dyna, n_actions: int, step: Transition) -> None:
    """Put a transition in the place of the oldest of its row."""
    state = step.state
    before = 0
    for a in range(n_actions):
        before += planning.tried[unsigned(state * n_actions + a)]
    if before == 0:
        planning.known[unsigned(planning.clock[1])] = state
        planning.clock[1] += 1
    row = state * n_actions + step.action
    place = planning.tried[unsigned(row)] % planning.next_state.shape[1]
    planning.next_state[unsigned(row), unsigned(place)] = step.next_state
    planning.reward[unsigned(row), unsigned(place)] = step.reward
    planning.terminated[unsigned(row), unsigned(place)] = step.terminated
    planning.tried[unsigned(row)] += 1
    planning.clock[0] += 1
    planning.last[unsigned(row)] = planning.clock[0]


@function
def _allowed(planning: Dyna, learner: Learner, state: int, action: int) -> bool:
    """Actions to plan with: those that were tried; where untried ones earn a bonus, all that are available."""
    if planning.bonus > 0.0:
        return bool(learner.table[unsigned(state), unsigned(action)] > -np.inf)
    return bool(planning.tried[unsigned(state * learner.table.shape[1] + action)] > 0)


@function
def _pick(planning: Dyna, learner: Learner, state: int) -> int:
    """One of the allowed actions, uniformly."""
    n_allowed = 0
    for a in range(learner.table.shape[1]):
        n_allowed += _allowed(planning, learner, state, a)
    left = int(uniform(planning.stream) * n_allowed)
    action = 0
    for a in range(learner.table.shape[1]):
        if _allowed(planning, learner, state, a):
            if left == 0:
                action = a
            left -= 1
    return action


@function
def _imagine(planning: Dyna, learner: Learner, state: int, action: int) -> Transition:
    """Draw an outcome; an action never tried is taken to lead back for no reward (S&B 2e, Sec. 8.3)."""
    row = state * learner.table.shape[1] + action
    seen = min(planning.tried[unsigned(row)], planning.next_state.shape[1])
    next_state, reward, terminated = state, 0.0, False
    if seen > 0:
        place = int(uniform(planning.stream) * seen) if seen > 1 else 0
        next_state, reward = (
            planning.next_state[unsigned(row), unsigned(place)],
            planning.reward[unsigned(row), unsigned(place)],
        )
        terminated = planning.terminated[unsigned(row), unsigned(place)]
    idle = planning.clock[0] - planning.last[unsigned(row)]
    reward += planning.bonus * math.sqrt(idle)
    return Transition(state, action, reward, next_state, 0, terminated, False, 1.0, 1.0)
