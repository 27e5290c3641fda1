"""Targets: what a transition says the value of its next state is.

With :class:`OneStep` windows an update aims at ``r + discount * (1 - terminated) * bootstrap``; with :class:`Episode`
windows at the return, and no bootstrapped value is asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from rlgrid.batch import Batch
from rlgrid.behaviors import LEAST, Actions, Behavior, Table, expected, greatest
from rlgrid.dispatch import at, choice, rule


class Greedy(NamedTuple):
    """max_a q(s', a): value iteration, Q-learning (Sutton & Barto 2e, eqs 4.10 and 6.8; Zhao, Alg. 7.2)."""

    actions: Actions


class NextAction(NamedTuple):
    """q(s', a') of the action that follows, or v(s') of a value table: Sarsa, TD(0) (S&B 2e, eqs 6.7 and 6.2)."""


class Expected(NamedTuple):
    """sum_a pi(a|s') q(s', a) under a behavior: expected Sarsa, policy evaluation (S&B 2e, eqs 6.9 and 4.5)."""

    policy: Behavior


class Return(NamedTuple):
    """Nothing: the target is the return itself (Monte Carlo)."""


Target: TypeAlias = Greedy | NextAction | Expected | Return


@rule
def bootstrap(target: Any, table: Table, batch: Batch, i: int) -> float:  # type: ignore[empty-body]
    """The value of the next state of transition i."""


@choice(bootstrap, Greedy)
def _greedy(target: Greedy, table: Table, batch: Batch, i: int) -> float:
    return greatest(table, target.actions, batch.next_state[at(i)])


@choice(bootstrap, NextAction)
def _next_action(target: NextAction, table: Table, batch: Batch, i: int) -> float:
    column = batch.next_action[at(i)] if table.shape[1] > 1 else 0
    # Where an episode ends, the action that nobody takes may not be available: 0 times -inf would not be a number.
    value: float = max(table[at(batch.next_state[at(i)]), at(column)], LEAST)
    return value


@choice(bootstrap, Expected)
def _expected(target: Expected, table: Table, batch: Batch, i: int) -> float:
    value: float = expected(target.policy, table, batch.next_state[at(i)])
    return value


@choice(bootstrap, Return)
def _return(target: Return, table: Table, batch: Batch, i: int) -> float:
    return 0.0
