"""At discount 1: which actions never lead to where no policy ends, where the value is minus infinity."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Bools
from rlgrid.models.model import TabularModel
from rlgrid.planning.graph import closed_rows, edges, end_components, mean_rewards, rows_at, state_of_row, towards
from rlgrid.worlds.numbers import Reward
from rlgrid.worlds.outcomes import Outcome


def rows_that_can_end(model: TabularModel, counted: Bools) -> Bools:
    """Rows of the states ``counted`` [S] after which some policy ends, or rests at no cost, with certainty, [R].

    The others may lead to a state from which no policy does. Without them such a state may be left with no row at all;
    then the rows that may lead to it go, too, and so on (Baier & Katoen, Principles of Model Checking, Sec. 10.6.1).
    """
    rows = rows_at(model, 1.0)
    owner, closed = state_of_row(rows), closed_rows(rows)
    at_rest = end_components(rows, closed & (mean_rewards(rows) == 0)) >= 0
    usable = (np.diff(rows.first) > 0) & counted[owner]
    row, _, next_state = edges(rows, usable)
    while True:
        ends = at_rest & counted
        ends[owner[usable & ~closed]] = True
        good, _ = towards(rows, usable, ends)
        bad = np.zeros(len(usable), np.bool_)
        bad[row[~good[next_state]]] = True
        bad |= ~good[owner]
        if not (usable & bad).any():
            return usable
        usable &= ~bad


class Avoiding(NamedTuple):
    """A model without the states from which no policy ends for certain."""

    model: TabularModel  # these states are terminal, and actions that may lead to them are not available
    lost: Bools  # [S] which these are


def avoiding(model: TabularModel) -> Avoiding:
    """The model without the states whose value is minus infinity at discount 1, and without what may lead to them."""
    usable = rows_that_can_end(model, np.ones(model.n_states, np.bool_))
    lost: Bools = ~np.logical_or.reduceat(usable, np.arange(0, len(usable), model.n_actions))
    return Avoiding(part_of(model, usable, lost), lost)


def part_of(model: TabularModel, usable: Bools, left_out: Bools) -> TabularModel:
    """The model with some of its rows [R] only; the states left out [S], to which they do not lead, are terminal."""
    t, row, n_codes = model.tables, model.row_of_outcome, len(model.tables.probability)
    kept = usable[row] & ~left_out[row // model.n_actions]
    resting = np.flatnonzero(np.repeat(left_out, model.n_actions))
    rows = np.concatenate([row[kept], resting])
    order = np.argsort(rows, kind="stable")
    code = np.concatenate([t.code[kept].astype(np.int64), np.full(len(resting), n_codes)])[order]
    tables = t._replace(
        first=np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows, minlength=len(usable)))]),
        next_state=np.concatenate([t.next_state[kept], resting // model.n_actions])[order].astype(np.int32),
        code=code.astype(t.code.dtype if n_codes <= np.iinfo(t.code.dtype).max else np.uint32),
        probability=np.append(t.probability, 1.0),
        reward=np.append(t.reward, 0.0),
        terminated=np.append(t.terminated, True),
        noise=np.append(t.noise, t.noise.dtype.type(-1)),
    )
    rest = None if model.outcomes is None else (*model.outcomes, Outcome(Fraction(1), Reward((Fraction(0),)), True))
    return model.with_tables(tables, outcomes=rest, terminal=model.terminal | left_out)
