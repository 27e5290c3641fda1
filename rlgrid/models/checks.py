"""Checks of discounts and policies against a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError, number, numbers
from rlgrid.models.model import TabularModel
from rlgrid.models.policies import policy_table
from rlgrid.models.tables import ROW_SUM_TOLERANCE

#: The discount where neither the caller nor the recipe nor the world names one.
DEFAULT_DISCOUNT = 0.99


def resolve_discount(*candidates: float | None) -> float:
    """The first discount that is given."""
    for discount in candidates:
        if discount is not None:
            return check_share("discount", discount)
    return DEFAULT_DISCOUNT


def check_share(key: str, found: object) -> float:
    """A discount or a probability as a float."""
    return number(key, found, lambda x: 0 <= x <= 1, "0 to 1")


def check_policy(model: TabularModel, policy: ArrayLike) -> Floats:
    """A policy in any of its forms as contiguous floats [S, A]; see :func:`rlgrid.models.policies.policy_table`."""
    return check_probabilities(policy_table(model, policy), model.available)


def check_probabilities(policy: ArrayLike, available: Bools, name: str = "policy") -> Floats:
    """A policy as contiguous floats; its rows have to be probabilities of the actions in ``available`` [S, A]."""
    array = np.ascontiguousarray(numbers(name, policy, f"{available.shape}, [S, A]"))
    if array.shape != available.shape:
        raise InputError(f"{name}: found shape {array.shape}; allowed: {available.shape}, [S, A]")
    wrong = ~(np.isclose(array.sum(axis=1), 1.0, rtol=0, atol=ROW_SUM_TOLERANCE) & (array >= 0).all(axis=1))
    wrong |= ((array > 0) & ~available).any(axis=1)
    if wrong.any():
        s = int(np.argmax(wrong))
        raise InputError(f"{name}: found {array[s].tolist()} in state {s}; allowed: probabilities of available actions")
    return array
