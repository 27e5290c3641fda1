"""At discount 1: which actions never lead to where no policy ends, where the value is minus infinity."""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Bools
from rlgrid.models.model import TabularModel
from rlgrid.planning.graph import closed_rows, edges, end_components, mean_rewards, rows_at, state_of_row, towards


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
