"""Plan: what a planner finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rlgrid.graph import Floats, Ints
from rlgrid.model import TabularModel


@dataclass(frozen=True, eq=False)
class Plan:
    """A solved model: S states, A actions. Terminal states and walls have the value 0.

    Attributes:
        v: optimal values [S]; with a horizon, for that many steps to go.
        q: action values [S, A]; -inf where an action is not available.
        policy: [S, A], the first action whose q is within a relative 1e-12 of the best; mixed with epsilon times
            the uniform policy where epsilon > 0. At discount 1, where waiting is free, it goes to where it pays to
            leave. With a horizon it is the policy of the first step.
        optimal_actions: bool [S, A], every action that the certified bound cannot rule out: those whose q is at
            least max q - 2 bound, less rounding. All optimal actions are among them. Where the bound is
            infinite, ``tol`` takes its place and nothing is proven. At discount 1 an action that only waits counts.
        bound: proven bound on max |v - v*|, rounding included, both for the probabilities, rewards and discount as
            they are stored and for the numbers that these were rounded from. Infinite: none was found (discount 1).
        iterations: sweeps, policies, or pivots of the linear program.
        discount, method, epsilon, horizon: what was solved, and how.
        exact_v: optimal values [S] as fractions, with ``exact``. ``v`` and ``q`` are then rounded once, ``bound`` is
            the rounding of ``v``, ``optimal_actions`` are the optimal ones, and ``policy`` takes the first of them.
        gain: the best mean reward a step, with ``average_reward``. ``bound`` is then one on |gain - gain*|, ``v`` are
            values relative to a start, so that v = max over actions of r - gain + P v; nothing is proven about these.
    """

    v: Floats
    q: Floats
    policy: Floats
    optimal_actions: NDArray[np.bool_]
    bound: float
    iterations: int
    discount: float
    method: str
    epsilon: float
    horizon: int | None
    exact_v: tuple[Fraction, ...] | None = field(default=None, repr=False)
    gain: float | None = None


def soft_policy(model: TabularModel, choice: Ints, epsilon: float) -> Floats:
    """The (epsilon-soft) policy [S, A] that chooses one row for each state."""
    policy = np.zeros((model.n_states, model.n_actions))
    if epsilon > 0:
        policy[:] = epsilon * model.available / model.available.sum(axis=1, keepdims=True)
    policy.ravel()[choice] += 1.0 - epsilon
    return policy
