"""Putting a learner and its policies together from the choices of a recipe."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlgrid.approximation.features import Features
from rlgrid.arrays import Bools, Floats
from rlgrid.choices import NAMED
from rlgrid.environments.spaces import Spaces
from rlgrid.errors import InputError
from rlgrid.learning.feed_keys import CountingKeys
from rlgrid.learning.recipe import Recipe
from rlgrid.randomness import Stream
from rlgrid.rules.behaviors import Behavior, EpsilonGreedy, ScheduledEpsilonGreedy, Stored, action_tuple, tally_of
from rlgrid.rules.credits import Nowhere
from rlgrid.rules.dyna import new_model
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.step_sizes import to_step_size
from rlgrid.rules.update import new_improvement
from rlgrid.rules.windows import new_window


class Policies(NamedTuple):
    """The policy that acts, and the one that is learned about: often the same."""

    behavior: Behavior
    target: Behavior


def policies(recipe: Recipe, policy: Floats | None, behavior: Floats | None, n_states: int, n_actions: int) -> Policies:
    """The two policies of a recipe; ``policy`` and ``behavior`` [S, A] are stored ones, where it has them."""
    target = Stored(policy) if policy is not None else _behavior(recipe, n_states, n_actions)
    if behavior is not None:
        return Policies(Stored(behavior), target)
    if isinstance(recipe.behavior, int | float):
        return Policies(EpsilonGreedy(float(recipe.behavior), action_tuple(n_actions)), target)
    return Policies(target, target)


def _behavior(recipe: Recipe, n_states: int, n_actions: int) -> Behavior:
    """The behavior that chooses from the table: the recipe's own, or epsilon-greedy."""
    if recipe.chooses:
        made: Behavior = _make("behavior", recipe.behavior, n_states, n_actions)
        return made
    if recipe.epsilon is None or isinstance(recipe.epsilon, int | float):
        return EpsilonGreedy(float(recipe.epsilon or 0.0), action_tuple(n_actions))
    return ScheduledEpsilonGreedy(_make("epsilon", recipe.epsilon, n_states), action_tuple(n_actions))


def _make(family: str, keys: Any, *sizes: int) -> Any:
    """The record of a choice that a recipe writes as a table."""
    return NAMED[family][keys.__struct_config__.tag].make(keys, *sizes)


def check_coverage(policy: Floats, behavior: Floats, spaces: Spaces) -> None:
    """Refuse a behavior whose ratios pi/b say nothing, as it never does what pi does (Sutton & Barto 2e, Sec. 5.5)."""
    missed = (policy > 0) & (behavior == 0)
    if spaces.model is not None:
        missed[spaces.model.terminal] = False
    if missed.any():
        state, action = np.argwhere(missed)[0].tolist()
        raise InputError(
            f"behavior: in state {state} it never takes {spaces.actions[action]}, as the policy may; allowed with a "
            "correction by ratios: a probability above 0 wherever the policy has one"
        )


def assemble(
    recipe: Recipe,
    acting: Policies,
    n_states: int,
    n_actions: int,
    discount: float,
    available: Bools | None,
    stream: Stream,
    features: Features | None = None,
) -> Learner:
    """A learner that has learned nothing yet; ``stream`` gives what is random in it."""
    shape = (n_states, n_actions if recipe.table == "q" else 1)
    table = np.full(shape, recipe.initial_value)
    if available is not None and recipe.table == "q":
        table[~available] = -np.inf
    made = Ingredients(recipe, table, action_tuple(n_actions), discount, *acting, stream, features)
    made = made._replace(target=NAMED["target"][recipe.target].make(made))
    learns = not isinstance(recipe.feed, CountingKeys)  # else the table is solved for, now and then
    return Learner(
        table=table,
        visits=np.zeros(shape),
        clock=np.zeros(1, np.int64),
        discount=discount,
        target=made.target,
        window=new_window(made),
        step_size=to_step_size(recipe.step_size),
        credit=NAMED["credit"][recipe.credit].make(made) if learns else Nowhere(),
        improvement=new_improvement(made),
        correction=NAMED["correction"][recipe.correction].make(made),
        planning=new_model(made),
        tally=tally_of(acting.target),
    )
