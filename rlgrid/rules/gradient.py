"""Linear function approximation: a target moves the weights of its entry's features, along the gradient.

    q(s, a) = phi(s)^T w_a,      w_a  <-  w_a + alpha (target - q(s, a)) phi(s)

It is called semi-gradient because the target, though it depends on w, is held fixed (Sutton & Barto 2e, Secs 9.3 and
10.1; Zhao, Secs 8.2 to 8.4). The learner's table holds the values that the weights give. Those of a state are brought
up to date when it is looked at, all of them at the end of a batch or chunk, so that a step costs as much as a state has
features, however many states there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats
from rlgrid.choices import choice, function, named, unsigned
from rlgrid.rules.behaviors import Table
from rlgrid.rules.credits import land, land_rest, refresh
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.step_sizes import rate


class Gradient(NamedTuple):
    """The weights of the entry's features move (see :class:`rlgrid.approximation.features.Features`)."""

    weights: Floats  # [K, C]
    active: NDArray[np.int64]  # [S, M] numbers of features
    value: Floats  # [S, M]


@named("credit", "gradient", "features")
def _make_gradient(made: Ingredients) -> Gradient:
    weights = np.zeros((made.features.size, made.table.shape[1]))
    return Gradient(weights, made.features.active, made.features.value)


@function
def approximate(credit: Gradient, state: int, column: int) -> float:
    """phi(s)^T w."""
    total = 0.0
    for k in range(credit.active.shape[1]):
        total += (
            credit.weights[unsigned(credit.active[unsigned(state), unsigned(k)]), unsigned(column)]
            * credit.value[unsigned(state), unsigned(k)]
        )
    return total


@choice(refresh, Gradient)
def _refresh_gradient(credit: Gradient, table: Table, state: int) -> None:
    for column in range(table.shape[1]):
        if table[unsigned(state), unsigned(column)] != -np.inf:  # not available
            table[unsigned(state), unsigned(column)] = approximate(credit, state, column)


@choice(land, Gradient)
def _land_gradient(credit: Gradient, learner: Learner, state: int, column: int, target: float, weight: float) -> None:
    alpha = rate(learner.step_size, learner.visits, learner.clock, state, column, weight) * weight
    step = alpha * (target - approximate(credit, state, column))
    for k in range(credit.active.shape[1]):
        feature = credit.active[unsigned(state), unsigned(k)]
        credit.weights[unsigned(feature), unsigned(column)] += step * credit.value[unsigned(state), unsigned(k)]


@choice(land_rest, Gradient)
def _land_rest_gradient(credit: Gradient, learner: Learner) -> float:
    for state in range(learner.table.shape[0]):
        refresh(credit, learner.table, state)
    return np.inf
