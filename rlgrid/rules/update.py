"""The Robbins-Monro update of a table, put together from the choices of a learner.

    w  <-  (1 - alpha W) w + alpha W T

``learn`` is called for one transition after the other, by ``agent.update(batch)`` and by the compiled loop that also
acts; ``end_batch`` at the end of a batch, where updates land that wait for it and a stored policy is improved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.batch import NO_LIMIT, Transition
from rlgrid.choices import choice, function, rule_with_default, unsigned
from rlgrid.models.tables import TIE
from rlgrid.rules.behaviors import Stored, Table, greatest
from rlgrid.rules.credits import is_full, land_rest
from rlgrid.rules.dyna import learn_from_model
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.windows import observe


class NoImprovement(NamedTuple):
    """No policy is stored."""


class Improvement(NamedTuple):
    """A stored policy becomes greedy after every so many batches, or as soon as its values have converged."""

    policy: Table  # [S, A]
    every: int
    tolerance: float  # converged: no entry moved further than this in a batch
    batches: Ints  # [2] batches since the last improvement, -1 if the first one waits; improvements so far
    change: Floats  # [1] how far the farthest entry moved in the last batch


def new_improvement(made: Ingredients) -> NoImprovement | Improvement:
    """The improvement that a recipe asks for: when its stored policy becomes greedy.

    Where action values are learned from those of the policy, q = r + gamma P v is one batch behind v. So each
    improvement waits for one batch more; then evaluation goes on from v, and not from max q (Zhao, Alg. 4.3).
    """
    recipe = made.recipe
    if not recipe.improves or not isinstance(made.policy, Stored):
        return NoImprovement()
    tolerance = -1.0 if recipe.improve_within is None else recipe.improve_within
    every = recipe.improve_every or NO_LIMIT
    batches = np.array([-1 if recipe.target == "policy" else 0, 0])
    return Improvement(made.policy.probability, every, tolerance, batches, np.zeros(1))


@function
def learn(learner: Learner, step: Transition) -> None:
    """Learn from a transition, and from transitions of a learned model where the learner plans."""
    observe(learner.window, learner, step)
    learn_from_model(learner.planning, learner, step)


@choice(is_full, Learner)
def _is_full(learner: Learner) -> bool:
    return bool(is_full(learner.window) or is_full(learner.credit))


@function
def end_batch(learner: Learner) -> None:
    """Let everything land that waited for the end of a batch, and improve the stored policy where it is due."""
    change = land_rest(learner.credit, learner)
    improve(learner.improvement, learner, change)


@rule_with_default
def improve(improvement: Any, learner: Learner, change: float) -> None:
    """Improve the stored policy where it is due; ``change`` is how far the farthest entry has moved in the batch."""


@choice(improve, Improvement)
def _improve(improvement: Improvement, learner: Learner, change: float) -> None:
    improvement.change[0] = change
    improvement.batches[0] += 1
    if improvement.batches[0] >= improvement.every or change <= improvement.tolerance:
        improvement.batches[0] = 0
        improvement.batches[1] += 1
        make_greedy(improvement.policy, learner.table, improvement.tolerance >= 0.0)


@function
def make_greedy(policy: Table, table: Table, keeps: bool) -> None:
    """Make a policy greedy in place; of equally good actions it keeps the one it takes, or takes the first.

    Policy iteration has to keep it, or rounding could make it go round in circles.
    """
    for state in range(table.shape[0]):
        best = greatest(table, (), state)
        size = 0.0
        for a in range(table.shape[1]):
            if table[unsigned(state), unsigned(a)] > -float("inf"):
                size = max(size, abs(table[unsigned(state), unsigned(a)]))
        good = best - TIE * size
        chosen = 0
        for a in range(table.shape[1] - 1, -1, -1):
            if table[unsigned(state), unsigned(a)] >= good:
                chosen = a
        for a in range(table.shape[1]):
            if keeps and policy[unsigned(state), unsigned(a)] == 1.0 and table[unsigned(state), unsigned(a)] >= good:
                chosen = a
        for a in range(table.shape[1]):
            policy[unsigned(state), unsigned(a)] = 0.0
        policy[unsigned(state), unsigned(chosen)] = 1.0
