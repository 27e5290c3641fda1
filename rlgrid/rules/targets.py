"""Targets: how the value of a transition's next state is estimated.

An update aims at ``r + discount * (1 - terminated) * bootstrap``; a ``windows.Window`` puts more rewards
between the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.batch import Transition
from rlgrid.choices import choice, function, named, rule, unsigned
from rlgrid.randomness import Stream, uniform
from rlgrid.rules.behaviors import LEAST, Actions, Behavior, Table, expected, greatest, width
from rlgrid.rules.ingredients import Ingredients


class Greedy(NamedTuple):
    """max_a q(s', a): value iteration, Q-learning (Sutton & Barto 2e, eqs 4.10 and 6.8; Zhao, Alg. 7.2)."""

    actions: Actions


@named("target", "greedy", "greedy_policy")
def _make_greedy(made: Ingredients) -> Greedy:
    return Greedy(made.actions)


class NextAction(NamedTuple):
    """q(s', a') of the action that follows, or v(s') of a value table: Sarsa, TD(0) (S&B 2e, eqs 6.7 and 6.2)."""


@named("target", "next_action", "follows_path")
def _make_next_action(made: Ingredients) -> NextAction:
    return NextAction()


class Expected(NamedTuple):
    """sum_a pi(a|s') q(s', a) under a behavior: expected Sarsa, policy evaluation (S&B 2e, eqs 6.9 and 4.5)."""

    policy: Behavior


@named("target", "behavior")
def _make_expected_of_behavior(made: Ingredients) -> Expected:
    return Expected(made.behavior)


@named("target", "policy", "needs_policy")
def _make_expected_of_policy(made: Ingredients) -> Expected:
    return Expected(made.policy)


class Return(NamedTuple):
    """0: the target is the return itself, without bootstrapping (Monte Carlo: S&B 2e, Ch. 5)."""


@named("target", "return", "follows_path", "whole_episode")
def _make_return(made: Ingredients) -> Return:
    return Return()


class Double(NamedTuple):
    """The action that one of two tables takes for the best, valued by the other: double Q-learning.

    A coin says which of them is to move (S&B 2e, eq. 6.10; van Hasselt, Double Q-learning, NeurIPS 2010).
    """

    first: Table  # [S, A]
    second: Table  # [S, A]
    turn: NDArray[np.int64]  # [1] 0: the first table is to move
    stream: Stream
    actions: Actions


@named("target", "double", "two_tables")
def _make_double(made: Ingredients) -> Double:
    return Double(made.table.copy(), made.table.copy(), np.zeros(1, np.int64), made.stream, made.actions)


Target: TypeAlias = Greedy | NextAction | Expected | Return | Double


@rule
def bootstrap(target: Any, table: Table, step: Transition) -> float:  # type: ignore[empty-body]
    """The estimated value of the next state of a transition."""


@choice(bootstrap, Greedy)
def _greedy(target: Greedy, table: Table, step: Transition) -> float:
    return greatest(table, target.actions, step.next_state)


@choice(bootstrap, NextAction)
def _next_action(target: NextAction, table: Table, step: Transition) -> float:
    column = step.next_action if table.shape[1] > 1 else 0
    # Where an episode ends, the action that nobody takes may not be available: 0 times -inf would not be a number.
    value: float = max(table[unsigned(step.next_state), unsigned(column)], LEAST)
    return value


@choice(bootstrap, Expected)
def _expected(target: Expected, table: Table, step: Transition) -> float:
    value: float = expected(target.policy, table, step.next_state)
    return value


@choice(bootstrap, Return)
def _return(target: Return, table: Table, step: Transition) -> float:
    return 0.0


@choice(bootstrap, Double)
def _double(target: Double, table: Table, step: Transition) -> float:
    target.turn[0] = int(uniform(target.stream) < 0.5)
    if target.turn[0] == 0:
        return _cross_value(target.first, target.second, table, target.actions, step.next_state)
    return _cross_value(target.second, target.first, table, target.actions, step.next_state)


@function
def _cross_value(chooses: Table, values: Table, table: Table, actions: Actions, state: int) -> float:
    """The value in one table of the available action that the other takes for the best (the first of equals)."""
    best, chosen = -np.inf, 0
    for a in range(width(table, actions)):
        if table[unsigned(state), unsigned(a)] > -np.inf and chooses[unsigned(state), unsigned(a)] > best:
            best, chosen = chooses[unsigned(state), unsigned(a)], a
    value: float = max(values[unsigned(state), unsigned(chosen)], LEAST)
    return value


@rule
def follows(target: Any, table: Table, step: Transition) -> bool:  # type: ignore[empty-body]
    """Whether the target could have taken the next action; where not, traces end (Watkins: S&B 2e, Sec. 12.10)."""


@choice(follows, NextAction)
@choice(follows, Expected)
def _follows_always(target: Any, table: Table, step: Transition) -> bool:
    return True


@choice(follows, Greedy)
def _follows_greedy(target: Greedy, table: Table, step: Transition) -> bool:
    best = greatest(table, target.actions, step.next_state)
    return bool(table[unsigned(step.next_state), unsigned(step.next_action)] == best)
