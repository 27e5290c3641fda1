"""Corrections: how a return counts that was made by other actions than those of the target policy.

A window is walked from its end back, with two numbers: the return G from transition j on, and the weight W of the
actions after j. At each transition on the way a correction says what the action taken there does to both numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rlgrid.choices import choice, named, rule, rule_with_default, unsigned
from rlgrid.rules.behaviors import Behavior, EpsilonGreedy, Table, expected, probability
from rlgrid.rules.ingredients import Ingredients


class NoCorrection(NamedTuple):
    """The return counts as it is: on-policy learning."""


@named("correction", "none")
def _make_none(made: Ingredients) -> NoCorrection:
    return NoCorrection()


class OrdinarySampling(NamedTuple):
    """The target is W G, W the product of the ratios pi(a|s) / b(a|s): unbiased (Sutton & Barto 2e, eq. 5.5)."""

    policy: Behavior


@named("correction", "ordinary", "ratios")
def _make_ordinary(made: Ingredients) -> OrdinarySampling:
    return OrdinarySampling(target_policy(made))


class WeightedSampling(NamedTuple):
    """The target is G and has the weight W; with the step size 1/k, k the sum of the weights, a weighted mean.

    Sutton & Barto 2e, eqs 5.6 to 5.8; with bootstrapping, eqs 7.9 and 7.11.
    """

    policy: Behavior


@named("correction", "weighted", "ratios")
def _make_weighted(made: Ingredients) -> WeightedSampling:
    return WeightedSampling(target_policy(made))


class PerDecisionSampling(NamedTuple):
    """Every reward is weighted with the ratios of the actions up to it alone (Sutton & Barto 2e, Sec. 5.9)."""

    policy: Behavior


@named("correction", "per_decision", "ratios")
def _make_per_decision(made: Ingredients) -> PerDecisionSampling:
    return PerDecisionSampling(target_policy(made))


class TreeBackup(NamedTuple):
    """The actions not taken count with their values, the one taken with its return (Sutton & Barto 2e, eq. 7.16).

    No probability of the behavior is needed.
    """

    policy: Behavior


@named("correction", "tree_backup", "action_values")
def _make_tree_backup(made: Ingredients) -> TreeBackup:
    return TreeBackup(target_policy(made))


def target_policy(made: Ingredients) -> Behavior:
    """The policy whose returns are estimated: the greedy one, the one that acts, or the one that is learned about."""
    if made.recipe.is_a("target", "greedy_policy"):
        return EpsilonGreedy(0.0, made.actions)
    return made.behavior if made.recipe.target == "behavior" else made.policy


@rule
def correct(  # type: ignore[empty-body]
    correction: Any, table: Table, state: int, action: int, behavior: float, total: float, weight: float
) -> tuple[float, float]:
    """Return and weight as they count before (state, action); ``behavior`` is the b(a|s) with which it was taken."""


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
    """The target that a return and its weight make, and the weight of this target."""
    return total, weight


@choice(corrected, OrdinarySampling)
def _corrected_ordinary(correction: OrdinarySampling, total: float, weight: float) -> tuple[float, float]:
    return weight * total, 1.0
