"""The Markov chain that a policy makes of a model, at discount 1: where it rests, ends, or goes on for ever.

A *recurrent class* is a set of states that the policy never leaves and in which no episode ends. One that pays nothing
is at rest: to enter it is like an end, worth 0. One that pays or costs makes the value of every state from which it may
be entered infinite, or undefined where rewards of both signs are collected. From all other states the episode ends, or
comes to rest, with probability 1. Their equations have one solution, and each number of it is accurate by itself (see
``rlgrid.planning.elimination``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats
from rlgrid.kernels.sweeps import Rows
from rlgrid.models.checks import check_policy
from rlgrid.models.model import TabularModel
from rlgrid.models.tables import row_sums
from rlgrid.planning.certificate import UNIT
from rlgrid.planning.components import Components, components_of
from rlgrid.planning.elimination import Elimination
from rlgrid.planning.graph import rows_at
from rlgrid.planning.linear_system import policy_values
from rlgrid.planning.swept_system import SweptSystem, system_of
from rlgrid.planning.undiscounted import signs_of_classes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array


class Chain(NamedTuple):
    """A model under a policy."""

    model: TabularModel
    policy: Floats  # [S, A]
    weight: Floats  # [S, A] its probabilities over the sums of the rows, so that all outcomes of a state sum to 1
    P: csr_array[np.float64]  # [S, S] probabilities of going on
    ending: Floats  # [S] probability that the episode ends with the next step
    rows: Rows  # at discount 1
    components: Components  # of P
    endless: Bools  # [S] states in recurrent classes

    def elimination(self, kept: Bools) -> Elimination | SweptSystem:
        """The equations of the states kept [S], from which the episode ends or leaves for the others."""
        return system_of(self.P, self.ending, kept, self.model.shape, self.components)


class Values(NamedTuple):
    """The values of a policy, each accurate by itself."""

    v: Floats  # [S] at discount 1 -inf, inf or nan (undefined) where an endless class that pays or costs may be entered
    scale: Floats  # [S] what is collected in absolute value; 0 where v is not finite
    error: float  # of each finite value, relative to its scale, at most
    elimination: Elimination | SweptSystem  # of the states that were solved for

    @property
    def bound(self) -> float:
        """On the error of all finite values."""
        return self.error * float(self.scale.max(initial=0.0))


def chain_of(model: TabularModel, policy: ArrayLike) -> Chain:
    """The chain that a policy [S, A] makes of a model.

    Raises:
        InputError: for a policy that does not fit.
    """
    checked = check_policy(model, policy)
    sums = row_sums(model.tables, model.tables.probability).reshape(checked.shape)
    weight = checked / (np.where(sums > 0, sums, 1.0) * checked.sum(axis=1, keepdims=True))
    P = model.chain(weight)[0]
    ending = ending_probability(model, weight, np.ones(model.n_states, np.bool_))
    components = components_of(P)
    endless = components.recurrent(ending)
    return Chain(model, checked, weight, P, ending, rows_at(model, 1.0), components, endless)


def ending_probability(model: TabularModel, weight: Floats, cells: Bools) -> Floats:
    """Probability that the episode ends in one of the cells [S] with the next step, [S]; ``weight`` is [S, A]."""
    t, row = model.tables, model.row_of_outcome
    share = np.where(t.terminated, t.probability, 0.0)[t.code] * cells[t.next_state] * weight.ravel()[row]
    return np.bincount(row // model.n_actions, share, model.n_states).astype(np.float64)


def undiscounted_values(chain: Chain) -> Values:
    """v_pi at discount 1, each entry accurate relative to what is collected in absolute value."""
    v, kept = limits(chain)
    found = _collected(chain.elimination(kept), chain.rows, chain.weight.ravel())
    found.v[~kept] = v[~kept]
    return found


def limits(chain: Chain) -> tuple[Floats, Bools]:
    """What the graph alone says of the values at discount 1, [S], and for which states it does not: those to solve for.

    The values are 0 at rest, -inf or inf where an endless class that costs or pays may be entered, and nan (undefined)
    where both, or one with rewards of both signs.
    """
    v = np.zeros(chain.model.n_states)
    if not chain.endless.any():
        return v, ~chain.endless
    label, weight = np.where(chain.endless, chain.components.label, -1), chain.weight.ravel()
    sign = signs_of_classes(chain.rows, weight > 0, label, weight)
    loses, gains, cancels = (chain.components.reaching(which) for which in (sign < 0, sign > 0, np.isnan(sign)))
    v[loses], v[gains], v[cancels | (loses & gains)] = -np.inf, np.inf, np.nan
    return v, ~chain.endless & (v == 0)


def values_of_weights(
    model: TabularModel, rows: Rows, discount: float, weight: Floats, kept: Bools | None = None
) -> Values:
    """Values of the policy that takes each row with a probability ``weight`` [R]: at discount 1, of one that ends.

    The rows are those of the model, or at discount 1 collapsed ones. A discount is a chance to end with each step.
    ``kept`` are the states whose equations are solved, all by default; to leave them is to end, for 0.
    """
    from scipy.sparse import csr_array

    t, n_states = model.tables, len(rows.begin) - 1
    ends = np.where(t.terminated, t.probability, (1.0 - discount) * t.probability)
    ends = np.append(ends, 1.0)  # a stop of collapsed rows
    length = np.diff(rows.first)
    state = np.repeat(np.repeat(np.arange(n_states), np.diff(rows.begin)), length)
    share = np.repeat(weight, length)
    ending = np.bincount(state, share * ends[rows.code], n_states).astype(np.float64)
    entries = share * rows.continuation[rows.code]
    going = entries > 0
    P = csr_array((entries[going], (state[going], rows.next_state[going])), shape=(n_states, n_states))
    return _collected(system_of(P, ending, kept, model.shape), rows, weight)


def discounted_values(model: TabularModel, rows: Rows, discount: float, weight: Floats) -> Floats:
    """v [S] below discount 1 by LU, which is the fastest; without subtractions where rounding makes that singular."""
    try:
        return policy_values(rows, weight)
    except np.linalg.LinAlgError:
        return values_of_weights(model, rows, discount, weight).v


def _collected(elimination: Elimination | SweptSystem, rows: Rows, weight: Floats) -> Values:
    """Values of the policy that takes each row with a probability ``weight`` [R], by its equations."""
    n_states, length = len(rows.begin) - 1, np.diff(rows.first)
    outcomes = np.diff(rows.first[rows.begin])
    reward = np.repeat(weight, length) * rows.reward_share[rows.code]
    state = np.repeat(np.arange(n_states), outcomes)
    gains, losses = (
        elimination.solve(np.bincount(state, np.maximum(side * reward, 0.0), n_states).astype(np.float64))
        for side in (1.0, -1.0)
    )
    of_sums = (float(outcomes.max(initial=0)) + 4.0) * UNIT
    return Values(gains - losses, gains + losses, elimination.error + of_sums, elimination)
