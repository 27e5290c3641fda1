"""Agent: a learner with its behavior and its random streams, put together from a recipe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlgrid.approximation.features import Features
from rlgrid.errors import InputError
from rlgrid.learning.actor import Actor
from rlgrid.learning.build import assemble, policies
from rlgrid.learning.policies import acting_policy, greedy
from rlgrid.learning.recipe import Recipe
from rlgrid.randomness import new_stream
from rlgrid.rules.behaviors import Stored
from rlgrid.rules.gradient import Gradient


class Agent(Actor):
    """Learns from batches, whatever made them: exact sweeps, episodes or single transitions.

    Use :func:`load_agent` to make one.

    Attributes:
        recipe: the choices behind it.
        chosen: the policy that acts, and the one that is learned.
        seed: as given.
        env_seed: seed of the environment that it learns from.
    """

    def __init__(
        self,
        recipe: Recipe,
        n_states: int,
        n_actions: int,
        *,
        discount: float,
        seed: int | None = 0,
        policy: NDArray[np.float64] | None = None,
        behavior: NDArray[np.float64] | None = None,
        available: NDArray[np.bool_] | None = None,
        features: Features | None = None,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        env_seed, *streams = np.random.SeedSequence(seed).spawn(3)
        self.env_seed = int(env_seed.generate_state(1)[0])
        self.chosen, tally = policies(recipe, policy, behavior, n_states, n_actions)
        made = [new_stream(child) for child in streams]
        learner = assemble(recipe, self.chosen, n_states, n_actions, discount, available, made[1], features)
        super().__init__(learner._replace(tally=tally), self.chosen.behavior, n_actions, made)

    @property
    def discount(self) -> float:
        return self.learner.discount

    @property
    def q(self) -> NDArray[np.float64]:
        """Action values, a copy [S, A]; -inf where an action is not available.

        Raises:
            InputError: for an agent that learns state values only.
        """
        if self.recipe.table == "v":
            raise InputError(f"{self.recipe.name}: it learns state values; allowed: agent.v")
        return self.learner.table.copy()

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights of the features, a copy [K, A], or [K] for state values: ``features.matrix @ weights`` is the table.

        Raises:
            InputError: for an agent without features.
        """
        credit = self.learner.credit
        if not isinstance(credit, Gradient):
            raise InputError(f"{self.recipe.name}: it has no features, so no weights; allowed: agent.q or agent.v")
        return credit.weights[:, 0].copy() if self.recipe.table == "v" else credit.weights.copy()

    @property
    def v(self) -> NDArray[np.float64]:
        """State values under :attr:`policy` according to the table, [S]."""
        table = self.learner.table
        if self.recipe.table == "v":
            return table[:, 0].copy()
        if not isinstance(self.behavior, Stored):
            return np.asarray(table.max(axis=1))
        values: NDArray[np.float64] = (self.policy * np.where(table > -np.inf, table, 0.0)).sum(axis=1)
        return values

    @property
    def policy(self) -> NDArray[np.float64]:
        """The policy that is learned, [S, A]: the stored one, or the greedy one with ties shared equally."""
        if isinstance(self.chosen.target, Stored):
            return self.chosen.target.probability.copy()
        return greedy(self.learner.table)

    @property
    def behavior_policy(self) -> NDArray[np.float64]:
        """The policy that acts now, [S, A]: with these probabilities the next action is drawn."""
        return acting_policy(self.behavior, self.learner.table)

    @property
    def stored(self) -> list[NDArray[np.float64]]:
        """The stored policies, live [S, A]: what acts, and what is learned where that is another."""
        different = self.chosen if self.chosen.target is not self.chosen.behavior else self.chosen[:1]
        return [policy.probability for policy in different if isinstance(policy, Stored)]

    @property
    def keeps_acting(self) -> NDArray[np.float64] | None:
        """The policy that acts [S, A] where it stays the same all along; None: it changes."""
        return self.behavior_policy if isinstance(self.behavior, Stored) and not self.recipe.improves else None
