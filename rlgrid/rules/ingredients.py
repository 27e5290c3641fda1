"""What the choices of a learner are made from when an agent is put together."""

from __future__ import annotations

from typing import Any, NamedTuple

from rlgrid.randomness import Stream
from rlgrid.rules.behaviors import Actions, Behavior, Table


class Ingredients(NamedTuple):
    """What a choice may need of the agent. S states, A actions; C = A for action values, 1 for state values."""

    recipe: Any  # the keys of the recipe: rlgrid.learning.recipe.Recipe
    table: Table  # [S, C] with the initial values
    actions: Actions
    discount: float
    behavior: Behavior  # the policy that acts
    policy: Behavior  # the policy that is learned about, the same one where there is no other
    stream: Stream  # for what is random in learning
    features: Any  # of linear functions: rlgrid.approximation.features.Features, or None
    target: Any = None  # made first, because credits depend on it
