"""Plan: a solved model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from rlgrid.graph import Bools, Floats
from rlgrid.plan_files import ActionTables, PlanFiles


@dataclass(frozen=True, eq=False)
class Plan(PlanFiles):
    """A solved model: S states, A actions. Terminal states and walls have the value 0.

    Attributes:
        v: optimal values [S]; with a horizon, for that many steps to go.
        q: action values [S, A]; -inf where an action is not available.
        policy: [S, A], the first of ``optimal_actions`` whose q is within 1e-12 of the best, relative to the rewards
            and values that add up to it; mixed with epsilon times the uniform policy where epsilon > 0. At discount
            1, where waiting is free, it goes to where it pays to leave, and where such actions would never end, one
            that leads to an end takes their place. With a horizon it is the policy of the first step.
        optimal_actions: bool [S, A], every action that the certified bound cannot rule out: those whose q is at
            least max q - 2 bound, less rounding. All optimal actions are among them. Where the bound is
            infinite, ``tol`` takes its place and nothing is proven. At discount 1 an action that only waits counts.
        bound: proven bound on max |v - v*|, rounding included, both for the probabilities, rewards and discount as
            they are stored and for the numbers that these were rounded from. Infinite: none was found (discount 1).
        iterations: sweeps, policies, or pivots of the linear program.
        discount, method, epsilon, horizon: what was solved, and how.
        shape, actions: the map's rows and columns, and the actions' names.
        exact_v: optimal values [S] as fractions, with ``exact``. ``v`` and ``q`` are then rounded once, ``bound`` is
            the rounding of ``v``, ``optimal_actions`` are the optimal ones, and ``policy`` takes the first of them.
        gain: the best mean reward a step, with ``average_reward``. ``bound`` is then one on |gain - gain*|, ``v`` are
            values relative to a start, so that v = max over actions of r - gain + P v; nothing is proven about these.
    """

    v: Floats
    bound: float
    iterations: int
    discount: float
    method: str
    epsilon: float
    horizon: int | None
    tables: Callable[[], ActionTables] = field(repr=False)  # for large maps: made when one of them is asked for
    shape: tuple[int, int] | None = None
    actions: tuple[str, ...] | None = None
    exact_v: tuple[Fraction, ...] | None = field(default=None, repr=False)
    gain: float | None = None

    @cached_property
    def _tables(self) -> ActionTables:
        return self.tables()

    @property
    def q(self) -> Floats:
        return self._tables.q

    @property
    def policy(self) -> Floats:
        return self._tables.policy

    @property
    def optimal_actions(self) -> Bools:
        return self._tables.optimal_actions
