"""Corrections: how a return counts that was made by other actions than those of the target policy.

A window walks back from its end: the return G from transition j on, and the weight W of what was done after it. At each
transition on the way a correction says what the action taken there does to both.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from rlgrid.choices import choice, rule, rule_with_default, unsigned
from rlgrid.rules.behaviors import (
    Behavior,
    Table,
    expected,
    probability,
)


class NoCorrection(NamedTuple):
    """The return counts as it is: on-policy learning."""


class OrdinarySampling(NamedTuple):
    """The target is W G, W the product of the ratios pi(a|s) / b(a|s): unbiased (Sutton & Barto 2e, eq. 5.5)."""

    policy: Behavior


class WeightedSampling(NamedTuple):
    """The target is G and has the weight W; with the step size 1/k, k the sum of the weights, a weighted mean.

    Sutton & Barto 2e, eqs 5.6 to 5.8; with bootstrapping, eqs 7.9 and 7.11.
    """

    policy: Behavior


class PerDecisionSampling(NamedTuple):
    """Every reward is weighted with the ratios of the actions up to it alone (Sutton & Barto 2e, Sec. 5.9)."""

    policy: Behavior


class TreeBackup(NamedTuple):
    """The actions not taken count with their values, the one taken with its return (Sutton & Barto 2e, eq. 7.16).

    No probability of the behavior is needed.
    """

    policy: Behavior


Correction: TypeAlias = NoCorrection | OrdinarySampling | WeightedSampling | PerDecisionSampling | TreeBackup


@rule
def correct(  # type: ignore[empty-body]
    correction: Any, table: Table, state: int, action: int, behavior: float, total: float, weight: float
) -> tuple[float, float]:
    """Return and weight as they count for what came before (state, action), taken with probability ``behavior``."""


@choice(correct, NoCorrection)
def _no_correction(
    correction: NoCorrection, table: Table, state: int, action: int, behavior: float, total: float, weight: float
) -> tuple[float, float]:
    return total, weight


@choice(correct, OrdinarySampling)
def _ordinary(
    correction: OrdinarySampling, table: Table, state: int, action: int, behavior: float, total: float, weight: float
) -> tuple[float, float]:
    return total, weight * (probability(correction.policy, table, state, action) / behavior)


@choice(correct, WeightedSampling)
def _weighted(
    correction: WeightedSampling, table: Table, state: int, action: int, behavior: float, total: float, weight: float
) -> tuple[float, float]:
    return total, weight * (probability(correction.policy, table, state, action) / behavior)


@choice(correct, PerDecisionSampling)
def _per_decision(
    correction: PerDecisionSampling,
    table: Table,
    state: int,
    action: int,
    behavior: float,
    total: float,
    weight: float,
) -> tuple[float, float]:
    return total * (probability(correction.policy, table, state, action) / behavior), weight


@choice(correct, TreeBackup)
def _tree_backup(
    correction: TreeBackup, table: Table, state: int, action: int, behavior: float, total: float, weight: float
) -> tuple[float, float]:
    surprise = total - table[unsigned(state), unsigned(action)]
    ahead: float = expected(correction.policy, table, state)
    return ahead + probability(correction.policy, table, state, action) * surprise, weight


@rule_with_default
def corrected(correction: Any, total: float, weight: float) -> tuple[float, float]:
    """Target and its weight."""
    return total, weight


@choice(corrected, OrdinarySampling)
def _corrected_ordinary(correction: OrdinarySampling, total: float, weight: float) -> tuple[float, float]:
    return weight * total, 1.0
