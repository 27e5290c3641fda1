"""Agent: a learner with its behavior and its random streams, put together from a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from rlgrid.approximation.features import Features
from rlgrid.arrays import Bools, Floats
from rlgrid.environments.grid_world import GridWorld
from rlgrid.environments.spaces import Spaces, spaces_of
from rlgrid.errors import InputError
from rlgrid.learning.actor import TableActor
from rlgrid.learning.build import assemble, policies
from rlgrid.learning.policies import greedy, policy_of
from rlgrid.learning.recipe import Recipe
from rlgrid.models.model import TabularModel
from rlgrid.randomness import new_stream
from rlgrid.rules.behaviors import Stored
from rlgrid.rules.gradient import Gradient

if TYPE_CHECKING:
    import gymnasium


class Agent(TableActor):
    """Learns from batches, whatever made them: exact sweeps, episodes or single transitions.

    Use :func:`load_agent` to make one.

    Attributes:
        recipe: the choices behind it.
        policies: the one that acts, and the one that is learned.
        seed: of everything random in the agent and its training.
        env_seed: of the environment that it learns from; it follows from ``seed``.
    """

    def __init__(
        self,
        recipe: Recipe,
        n_states: int,
        n_actions: int,
        *,
        discount: float,
        seed: int | None = 0,
        policy: Floats | None = None,
        behavior: Floats | None = None,
        available: Bools | None = None,
        features: Features | None = None,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        env_seed, *streams = np.random.SeedSequence(seed).spawn(3)
        self.env_seed = int(env_seed.generate_state(1)[0])
        self._known: tuple[ref[Any], Spaces] | None = None
        self.policies = policies(recipe, policy, behavior, n_states, n_actions)
        made = [new_stream(child) for child in streams]
        learner = assemble(recipe, self.policies, n_states, n_actions, discount, available, made[1], features)
        super().__init__(learner, self.policies.behavior, n_actions, made)

    def remember(self, env: gymnasium.Env[Any, Any] | TabularModel, spaces: Spaces) -> None:
        """Keep what was found out about an environment, so that no model is made twice.

        A gridworld is asked anew, which costs nothing: its world may change.
        """
        if not isinstance(env, TabularModel) and not isinstance(env.unwrapped, GridWorld):
            self._known = ref(env), spaces

    def spaces_for(self, env: gymnasium.Env[Any, Any] | TabularModel) -> Spaces:
        """What an agent has to know of an environment; found out anew where nothing is kept of it."""
        if self._known is not None and self._known[0]() is env:
            return self._known[1]
        return spaces_of(env)

    @property
    def discount(self) -> float:
        """gamma."""
        return self.learner.discount

    @property
    def q(self) -> Floats:
        """Action values, a copy [S, A]; -inf where an action is not available.

        Raises:
            InputError: for an agent that learns state values only.
        """
        if self.recipe.table == "v":
            raise InputError(f"{self.recipe.name}: it learns state values; allowed: agent.v")
        return self.learner.table.copy()

    @property
    def weights(self) -> Floats:
        """Weights of the features, a copy [K, A], or [K] for state values: ``features.matrix @ weights`` is the table.

        Raises:
            InputError: for an agent without features.
        """
        credit = self.learner.credit
        if not isinstance(credit, Gradient):
            raise InputError(f"{self.recipe.name}: it has no features, so no weights; allowed: agent.q or agent.v")
        return credit.weights[:, 0].copy() if self.recipe.table == "v" else credit.weights.copy()

    @property
    def v(self) -> Floats:
        """State values under :attr:`policy` according to the table, [S]."""
        table = self.learner.table
        if self.recipe.table == "v":
            return table[:, 0].copy()
        if not isinstance(self.behavior, Stored):
            return np.asarray(table.max(axis=1))
        values: Floats = (self.policy * np.where(table > -np.inf, table, 0.0)).sum(axis=1)
        return values

    @property
    def policy(self) -> Floats:
        """The policy that is learned, [S, A]: the stored one, or the greedy one with ties shared equally."""
        if isinstance(self.policies.target, Stored):
            return self.policies.target.probability.copy()
        return greedy(self.learner.table)

    @property
    def behavior_policy(self) -> Floats:
        """The policy that acts now, [S, A]: with these probabilities the next action is drawn."""
        return policy_of(self.behavior, self.learner.table, self.n_actions)

    @property
    def stored(self) -> list[Floats]:
        """The stored policies, live [S, A]: what acts, and what is learned where that is another."""
        different = self.policies if self.policies.target is not self.policies.behavior else self.policies[:1]
        return [policy.probability for policy in different if isinstance(policy, Stored)]

    @property
    def keeps_acting(self) -> Floats | None:
        """The policy that acts [S, A] where it stays the same all along; None: it changes."""
        return self.behavior_policy if isinstance(self.behavior, Stored) and not self.recipe.improves else None
