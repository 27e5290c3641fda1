"""What a method of planning gets, a :class:`Problem`, and what it finds, a :class:`MethodResult`.

Methods work on rows of outcomes: those of the model, or at discount 1 those of the collapsed model that
:mod:`rlgrid.planning.undiscounted` makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.errors import InputError, chosen, number, shown, whole
from rlgrid.kernels.sweeps import NO_WEIGHT, Accuracy, Rows, error_bound
from rlgrid.models.model import TabularModel
from rlgrid.planning.certificate import accuracy_of
from rlgrid.planning.graph import rows_at, soft_weights
from rlgrid.planning.undiscounted import Collapsed

OnSweep: TypeAlias = Callable[[int, Floats], object]

#: Sweeps (or improvements) after which an iteration is given up unless told otherwise.
MAX_SWEEPS = 10_000_000

#: Outcomes to look at in sweeps that cannot stop early: half an hour or so. To call a sweep takes as long as some do.
MOST_OUTCOMES, OUTCOMES_PER_CALL = 2**39, 10_000

#: What may happen when ``max_sweeps`` are made.
ON_LIMIT = ("raise", "return")


@dataclass(frozen=True, eq=False)
class Problem:
    """A model to solve. Q states and R rows: those of ``rows``, which are collapsed at discount 1.

    Attributes:
        model: what is to be solved.
        given: what the method works on; ``None`` for the rows of the model, which are made when they are asked for.
        discount: 1 for the mean reward a step.
        collapsed: how the rows came from those of the model, at discount 1.
        epsilon: the best policy is sought among those that take every available action with epsilon / |A| or more.
        tol, max_sweeps, on_sweep, evaluation_sweeps, horizon, on_limit: as in :func:`rlgrid.solve`.
        weight: [R] where a given policy is evaluated, its probability of each row; else ``NO_WEIGHT``, of length 0.
        first: [R] the same for the policy that policy iteration begins with, where one is given.
    """

    model: TabularModel
    given: Rows | None
    discount: float
    collapsed: Collapsed | None
    epsilon: float
    tol: float
    max_sweeps: int
    on_sweep: OnSweep | None
    evaluation_sweeps: int = 1
    horizon: int | None = None
    on_limit: str = "raise"
    weight: Floats = field(default_factory=lambda: NO_WEIGHT)
    first: Floats | None = None

    @cached_property
    def rows(self) -> Rows:
        """What the method works on."""
        return rows_at(self.model, self.discount) if self.given is None else self.given

    @cached_property
    def accuracy(self) -> Accuracy:
        """How accurate a backup is. Rounding can make the probabilities of a policy add up to a little more than 1."""
        accuracy = accuracy_of(self.model, self.rows, self.discount, mixed=self.epsilon > 0 or len(self.weight) > 0)
        heaviest = np.add.reduceat(self.weight, self.rows.begin[:-1]).max() if len(self.weight) else 1.0
        return accuracy._replace(contraction=accuracy.contraction * max(1.0, float(heaviest)))

    @property
    def policy(self) -> Floats:
        """The policy that is evaluated, [S, A]."""
        return self.weight.reshape(self.model.n_states, self.model.n_actions)

    @property
    def n_states(self) -> int:
        """Q."""
        return self.model.n_states if self.given is None else len(self.given.begin) - 1

    def report(self, k: int, v: Floats) -> None:
        """Tell ``on_sweep`` about the values [Q] after sweep k."""
        if self.on_sweep:
            self.on_sweep(k, self.values(v))

    def values(self, v: Floats) -> Floats:
        """A copy of values [Q], for the states of the model [S]."""
        return v.copy() if self.collapsed is None else v[self.collapsed.number]

    def at_limit(self, v: Floats, change: float, size: float, iterations: int) -> MethodResult:
        """The result of an iteration that ``max_sweeps`` stopped, where that is what was asked for.

        ``change`` is at least max |T v - v|, and ``size`` at least max |v|.

        Raises:
            InputError: where the limit was to be an error.
        """
        if self.on_limit == "raise":
            raise gave_up(self.max_sweeps)
        return MethodResult(v, error_bound(self.accuracy, change, size), iterations, finished=False)

    def of_model(self, v: Floats) -> Floats:
        """Values [S] of the model for the states of the problem [Q]."""
        if self.collapsed is None:
            return v
        _, first = np.unique(self.collapsed.number, return_index=True)
        return v[first]

    def soft(self, choice: Ints) -> Floats:
        """Probability of each row [R] under the (epsilon-soft) policy that chooses one row for each state [Q]."""
        return soft_weights(self.rows, self.epsilon, choice)


class MethodResult(NamedTuple):
    """What a method found."""

    v: Floats  # [Q]
    bound: float  # infinite at discount 1: not known yet
    iterations: int
    before: Floats | None = None  # [Q] with a horizon: values with one step less to go
    method: str = ""  # where another one than was asked for did the work
    gain: float | None = None  # the best mean reward a step, where that was sought; v is then relative, and [S]
    choice: Ints | None = None  # [S] with a gain: greedy row of the model; -1 where no start leads
    finished: bool = True  # False: ``max_sweeps`` stopped it
    surely_ends: bool = False  # every choice of actions that are the best but for rounding ends from everywhere
    of_rows: Callable[[], tuple[Floats, float]] | None = (
        None  # q of the rows [R] at v where they are known, and rounding
    )


def check_limits(tol: float, on_limit: str, on_sweep: OnSweep | None, **counts: int) -> float:
    """Refuse what is outside its range; the tolerance as a float."""
    chosen("on_limit", on_limit, ON_LIMIT)
    if on_sweep is not None and not callable(on_sweep):
        raise InputError(f"on_sweep: found {shown(on_sweep)}; allowed: a function of k and v")
    for name, count in counts.items():
        whole(name, count)
    return number("tol", tol, lambda x: x > 0, "above 0, and finite")


def affordable_sweeps(model: TabularModel, outcomes: int) -> int:
    """How many sweeps over a model take no longer than looking at so many outcomes."""
    return outcomes // (OUTCOMES_PER_CALL + len(model.tables.next_state))


def check_work(model: TabularModel, key: str, sweeps: int) -> None:
    """Refuse a number of sweeps that would not end."""
    if sweeps > (most := affordable_sweeps(model, MOST_OUTCOMES)):
        raise InputError(f"{model.name}: {key}: found {sweeps:,}, which would take hours; allowed: up to {most:,}")


def uncertified(problem: Problem, bound: float) -> InputError:
    """The sentence for values that are not certain to be within the tolerance, but only within ``bound``."""
    other = f"at least about {bound:.1g}" if bound < np.inf else "a discount further from 1, or 1"
    return InputError(
        f"{problem.model.name}: tol {problem.tol:g} cannot be certified in float64; allowed: {other}, or exact=True"
    )


def gave_up(max_sweeps: int) -> InputError:
    """The sentence for an iteration that has not converged."""
    return InputError(
        f"max_sweeps: not settled after {max_sweeps}; allowed: more, a larger tol, a smaller discount, another method, "
        'or on_limit = "return"'
    )
