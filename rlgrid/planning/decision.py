"""Which action is the best in each state: decided by what is certain of each state's own value.

An error of 1e-8 in all values says nothing about an action whose advantage is 1e-20, as it is far from reward, or at a
small discount. So the policy that the values suggest is evaluated without subtractions
(:mod:`rlgrid.planning.elimination`): each of its values is accurate relative to its own scale z, what the policy
collects in absolute value. Wherever another action is better beyond that error the policy is improved, until none is.

Error. Let v and z be the computed values and scales, c z(s) at least |T v - v|(s) with the rounding error of T v, for
all s, and x = z + γ P x. Then |v - v_pi| <= c x, as v - v_pi = (v - T v) + γ P (v - v_pi).

Ties. Where two actions are equally good in truth no error is small enough to tell; :mod:`rlgrid.planning.ties` proves
what it can. If every other action is certain to be worse, or ties, then T v_pi = v_pi, so that the policy is optimal;
at discount 1 if it is also worth 0 or more wherever one may wait for ever at no cost (see
:mod:`rlgrid.planning.undiscounted`, where v = T v has one solution).
"""

from __future__ import annotations

from math import frexp
from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import NO_WEIGHT, OUTWARD, UNDERFLOW, Rows, row_values, sweep_in_place
from rlgrid.models.model import TabularModel
from rlgrid.planning.certificate import rounding_of
from rlgrid.planning.chain import chain_of, undiscounted_values, values_of_weights
from rlgrid.planning.elimination import Elimination
from rlgrid.planning.graph import soft_weights, state_of_row, towards
from rlgrid.planning.swept_system import SweptSystem
from rlgrid.planning.ties import ties

#: Cells of a map, and states of a model without one, above which the policy is the greedy one at the values that were
#: found, and only their bound decides: equations of a map fill in less.
MOST_CELLS, MOST_STATES = 5_000, 1_000

#: Sweeps that bring values far from reward to their own scale, and the relative change at which they end.
MOST_SWEEPS, SETTLED = 2_000, 1e-13

#: Improvements after which the policy is taken as it is.
MOST_IMPROVEMENTS = 100

#: What an upper value is above that of its policy, relative, so that rounding does not hide it.
ROOM = 2.0**-40

#: The largest reward is brought to about this power of 2, so that values far from reward do not underflow.
LARGEST = 900


class Decision(NamedTuple):
    """A policy, and what is certain about it."""

    choice: Ints  # [S] row of the model that is chosen
    q: Floats  # [R] action values of the policy
    v: Floats  # [S] values of the policy
    error: Floats  # [S] how far these can be off; where the decision is complete, how far from v*
    doubtful: Bools  # [S] states in which another action may be better
    close: Bools  # [R] actions that are not certain to be worse than the chosen one, itself among them
    complete: bool  # all optimal actions are certain to be among these


class _Enclosed(NamedTuple):
    """The values of a policy, and how far they can be off."""

    v: Floats  # [S]
    error_v: Floats  # [S]
    q: Floats  # [R]
    error: Floats  # [R] of q
    elimination: Elimination | SweptSystem


def settle(rows: Rows, epsilon: float, v: Floats) -> tuple[Rows, Floats]:
    """Values [Q] after sweeps in place until each one is settled relative to itself, and the rows that they are of.

    Rewards and values are multiplied by a power of 2.
    """
    scaled, power = _scaled(rows)
    v = np.ldexp(v, power)
    for _ in range(MOST_SWEEPS):
        before = v.copy()
        sweep_in_place(scaled, NO_WEIGHT, epsilon, v)
        if (np.abs(v - before) <= SETTLED * np.abs(v)).all():
            break
    return scaled, v


def decide(
    model: TabularModel, rows: Rows, discount: float, epsilon: float, choice: Ints, free: Bools | None
) -> Decision | None:
    """Improve the (epsilon-soft) policy that chooses one row for each state, as far as float64 can tell.

    ``free`` [S] are the states in which one may wait for ever at no cost, at discount 1. ``None`` is returned where the
    policy has no finite values, or its equations are too many.
    """
    rows, power = _scaled(rows)
    owner, available = state_of_row(rows), np.diff(rows.first) > 0
    for _ in range(MOST_IMPROVEMENTS):
        found = _enclosed(model, rows, discount, soft_weights(rows, epsilon, choice))
        if found is None:
            return None
        q, low, high = found.q, found.q - found.error, found.q + found.error
        best = np.maximum.reduceat(np.where(available, low, -np.inf), rows.begin[:-1])
        better = best > high[choice]
        if not better.any():
            break
        candidate = np.where(available & (low == best[owner]), np.arange(len(q)), len(q))
        choice = np.where(better, np.minimum.reduceat(candidate, rows.begin[:-1]), choice)
    assert found is not None
    close = available & (high >= low[choice][owner])
    close[choice] = True
    in_question = close.copy()
    in_question[choice] = False
    in_question[model.terminal[owner]] = False  # all actions are worth 0 there
    if in_question.any():
        in_question &= ~ties(model, rows, discount, epsilon, choice, q[choice])
    doubtful = np.zeros(len(choice), np.bool_)
    doubtful[owner[in_question]] = True
    if free is not None:
        doubtful |= free & (found.v < found.error_v)
    complete, error = not doubtful.any(), found.error_v
    if not complete and epsilon == 0:
        most = np.zeros(len(choice))
        np.maximum.at(most, owner[in_question], (high - low[choice][owner])[in_question])
        above = found.elimination.solve(most)
        steps = found.elimination.solve(np.ones(len(choice)))
        above = 2.0 * above + ROOM * float(above.max()) * steps
        upper = _upper_values(rows, found, above)
        complete = bool((upper <= (found.v + found.error_v + above)[owner])[available].all())
        if complete:
            close, error = available & (upper >= (found.v - found.error_v)[owner]), found.error_v + above
    v, error, q = (np.ldexp(x, -power) for x in (found.v, error, q))
    return Decision(choice, q, v, error * OUTWARD + UNDERFLOW * (error > 0), doubtful, close, complete)


def _scaled(rows: Rows) -> tuple[Rows, int]:
    """The rows with rewards multiplied by a power of 2, and that power: no rounding, and no underflow for long."""
    largest = float(np.abs(rows.reward_share).max(initial=0.0))
    power = LARGEST - frexp(largest)[1] if largest > 0 else 0
    return rows._replace(reward_share=np.ldexp(rows.reward_share, power)), power


def _upper_values(rows: Rows, found: _Enclosed, above: Floats) -> Floats:
    """Action values [R] at u = v + error + ``above`` [S], rounded up. Where none is above u, v* is not either.

    At discount 1 that holds too, as they are rounded up by more than nothing (:mod:`rlgrid.planning.inductive_proof`).
    """
    owner = state_of_row(rows)
    ahead = np.empty(len(owner))
    row_values(rows._replace(reward_share=np.zeros_like(rows.reward_share)), above, ahead)
    upper: Floats = OUTWARD * (found.q + found.error + OUTWARD * ahead - found.v[owner]) + found.v[owner]
    return upper


def spread(rows: Rows, epsilon: float, optimal: Bools, doubtful: Bools) -> Bools:
    """States in which the policy may not be optimal, [S]: those in doubt, and those that may be better for their sake.

    ``optimal`` [S, A] are rows among which all optimal ones are. From all other states these lead to no state in doubt,
    and each is worth what the policy's is: so the values of the policy are the only ones that are the best there. The
    rows that the policy itself takes are not enough: one that leads to a state in doubt may turn out the best.
    """
    if not doubtful.any():
        return doubtful
    return towards(rows, np.diff(rows.first) > 0 if epsilon else optimal.ravel(), doubtful)[0]


def _enclosed(model: TabularModel, rows: Rows, discount: float, weight: Floats) -> _Enclosed | None:
    """The values of a policy that takes each row with a probability [R]; ``None`` where they are not to be had."""
    try:
        if discount == 1:
            chain = chain_of(model, weight.reshape(model.n_states, -1))
            found = undiscounted_values(chain._replace(rows=rows))
        else:
            found = values_of_weights(model, rows, discount, weight)
    except InputError:  # the factors would not fit the memory
        return None
    v, scale = found.v, found.scale
    if not np.isfinite(v).all():
        return None
    longest, widest = int(np.diff(rows.first).max()), int(np.diff(rows.begin).max())
    rounding = rounding_of(longest, widest)
    q, size, ahead = np.empty(len(weight)), np.empty(len(weight)), np.empty(len(weight))
    row_values(rows, v, q)
    row_values(rows._replace(reward_share=np.abs(rows.reward_share)), scale, size)
    taken = np.multiply(weight, q, where=weight > 0, out=np.zeros(len(weight)))  # q is -inf for no action
    backup = np.add.reduceat(taken, rows.begin[:-1])
    wrong = np.abs(backup - v) + 2.0 * rounding * scale
    visible = scale > UNDERFLOW
    relative = float((wrong[visible] / scale[visible]).max(initial=0.0))
    most = 1.01 * found.elimination.solve(relative * scale + 4.0 * UNDERFLOW)
    error_v = np.where(scale > 0, np.minimum(most, found.error * scale + UNDERFLOW), 0.0)
    row_values(rows._replace(reward_share=np.zeros_like(rows.reward_share)), error_v, ahead)
    error = np.where(np.diff(rows.first) > 0, OUTWARD * ahead + 1.5 * rounding * size + UNDERFLOW, 0.0)
    return _Enclosed(v, error_v, q, error, found.elimination)
