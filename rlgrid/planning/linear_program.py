"""The linear program of an optimum: the least v that no action can improve, by SciPy's HiGHS."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlgrid.arrays import Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import Rows
from rlgrid.planning.graph import state_of_row, uniform_weights


def basic_policy(rows: Rows, epsilon: float, name: str) -> tuple[Ints, int]:
    """The row of each state in an optimal basis, [Q], and the number of pivots.

    The program is: minimise sum v(s) subject to v(s) >= q(s, a), for all available actions (Puterman, Markov Decision
    Processes, Sec. 6.9; d'Epenoux). With epsilon > 0, q(s, a) stands for (1 - epsilon) q(s, a) plus epsilon times the
    mean over the actions. The dual variable of a row is how often, discounted, an optimal policy takes it when one
    episode starts in each state; those of a state's rows add up to 1 at least. So the row with the largest one is an
    optimal action, however small the differences between actions are. At discount 1 the policy ends, as these numbers
    are finite.

    Raises:
        InputError: where HiGHS finds no optimum.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, diags_array

    n_states, n_rows = len(rows.begin) - 1, len(rows.first) - 1
    owner = state_of_row(rows)
    usable = np.diff(rows.first) > 0
    reward = np.add.reduceat(np.append(rows.reward_share[rows.code], 0.0), rows.first[:-1]) * usable
    ahead = csr_array((rows.continuation[rows.code], rows.next_state, rows.first), shape=(n_rows, n_states))
    if epsilon > 0:
        of_state = csr_array((np.ones(n_rows), (owner, np.arange(n_rows))), shape=(n_states, n_rows))
        mean = of_state @ diags_array(epsilon * uniform_weights(rows))
        ahead = csr_array((1 - epsilon) * ahead + (mean @ ahead)[owner])
        reward = (1 - epsilon) * reward + (mean @ reward)[owner]
    kept = np.flatnonzero(usable)
    chosen = csr_array((np.ones(len(kept)), (np.arange(len(kept)), owner[kept])), shape=(len(kept), n_states))
    at_most: Any = ahead[kept] - chosen  # SciPy's stubs know no sparse ones here
    scale = np.abs(reward).max() or 1.0  # HiGHS takes very large numbers for infinite
    found = linprog(np.ones(n_states), A_ub=at_most, b_ub=-reward[kept] / scale, bounds=(None, None), method="highs")
    if found.status != 0:
        raise InputError(f"{name}: the linear program was not solved ({found.message}); allowed: another method")
    often = np.zeros(n_rows)
    often[kept] = -found.ineqlin.marginals
    often[~usable] = -1.0
    most = np.maximum.reduceat(often, rows.begin[:-1])[owner]
    row = np.flatnonzero(often == most)[::-1]  # of equal ones, the first
    choice = np.empty(n_states, np.int64)
    choice[owner[row]] = row
    return choice, int(found.nit)
