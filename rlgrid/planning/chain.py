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
from rlgrid.planning.elimination import Elimination
from rlgrid.planning.graph import Labels, recurrent_classes, rows_at, towards
from rlgrid.planning.undiscounted import signs_of_classes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array


class Chain(NamedTuple):
    """A model under a policy."""

    model: TabularModel
    policy: Floats  # [S, A]
    P: csr_array[np.float64]  # [S, S] probabilities of going on
    ending: Floats  # [S] probability that the episode ends with the next step
    rows: Rows  # at discount 1
    used: Bools  # [S A] rows that the policy takes
    label: Labels  # [S] recurrent class of each state, -1 outside of them

    @property
    def endless(self) -> Bools:
        """States in recurrent classes, [S]."""
        return self.label >= 0

    def elimination(self, kept: Bools) -> Elimination:
        """The equations of the states kept [S], from which the episode ends or leaves for the others."""
        return Elimination(self.P, self.ending, kept, self.model.shape)


class Values(NamedTuple):
    """The values of a policy at discount 1."""

    v: Floats  # [S] -inf, inf or nan (undefined) where an endless class that pays or costs may be entered
    bound: float  # on the error of the finite ones


def chain_of(model: TabularModel, policy: ArrayLike) -> Chain:
    """The chain that a policy [S, A] makes of a model.

    Raises:
        InputError: for a policy that does not fit.
    """
    checked = check_policy(model, policy)
    rows, used = rows_at(model, 1.0), checked.ravel() > 0
    ending = ending_probability(model, checked, np.ones(model.n_states, np.bool_))
    return Chain(model, checked, model.chain(checked)[0], ending, rows, used, recurrent_classes(rows, used))


def ending_probability(model: TabularModel, policy: Floats, cells: Bools) -> Floats:
    """Probability that the episode ends in one of the cells [S] with the next step, [S]."""
    t, row = model.tables, model.row_of_outcome
    share = np.where(t.terminated, t.probability, 0.0)[t.code] * cells[t.next_state] * policy.ravel()[row]
    return np.bincount(row // model.n_actions, share, model.n_states).astype(np.float64)


def undiscounted_values(chain: Chain) -> Values:
    """v_pi at discount 1, each entry accurate relative to what is collected in absolute value."""
    model, rows = chain.model, chain.rows
    sign = signs_of_classes(rows, chain.used, chain.label, chain.policy.ravel())
    at_rest = chain.endless & (sign == 0)
    reaches = {s: towards(rows, chain.used, chain.endless & (sign == s))[0] for s in (-1.0, 1.0)}
    undefined = towards(rows, chain.used, chain.endless & np.isnan(sign))[0] | (reaches[-1.0] & reaches[1.0])
    kept = ~(at_rest | reaches[-1.0] | reaches[1.0] | undefined)
    share = chain.policy.ravel()[model.row_of_outcome] * rows.reward_share[rows.code]
    state = model.row_of_outcome // model.n_actions
    elimination = chain.elimination(kept)
    gains, losses = (
        elimination.solve(np.bincount(state, np.maximum(side * share, 0.0), model.n_states).astype(np.float64))
        for side in (1.0, -1.0)
    )
    v = gains - losses
    v[reaches[-1.0]], v[reaches[1.0]], v[undefined] = -np.inf, np.inf, np.nan
    return Values(v, elimination.error * float((gains + losses).max(initial=0.0)))
