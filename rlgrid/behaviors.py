"""How actions are chosen from a table of action values, and what a state is worth under that choice.

An action that is not available has the value -inf; no rule here draws it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.dispatch import at, choice, function, rule
from rlgrid.randomness import Stream, uniform

Table: TypeAlias = NDArray[np.float64]

#: ``(0, 1, ..., A - 1)``. The length of a tuple is part of its type, so that compiled loops over the actions of a state
#: have a known length, which makes them a quarter faster. Empty where there are many actions.
Actions: TypeAlias = tuple[int, ...]

#: Above so many actions, loops of a known length gain nothing and take long to compile.
MOST_UNROLLED = 16

#: The least finite number: "any action that is available".
LEAST = -1.7976931348623157e308


class EpsilonGreedy(NamedTuple):
    """A greedy action with probability 1 - epsilon + epsilon/|A|, any other with epsilon/|A| (Zhao, Sec. 5.4).

    Ties between greedy actions are broken at random. epsilon = 0 is the greedy policy.
    """

    epsilon: float
    actions: Actions


class Stored(NamedTuple):
    """A policy kept as an array [S, A]; a learner may improve it (see :class:`rlgrid.learner.Improvement`)."""

    probability: NDArray[np.float64]


Behavior: TypeAlias = EpsilonGreedy | Stored


@rule
def draw(behavior: Any, table: Table, state: int, stream: Stream) -> tuple[int, float]:  # type: ignore[empty-body]
    """An action for a state, and the probability b(a|s) with which it was drawn."""


@rule
def expected(behavior: Any, table: Table, state: int) -> float:  # type: ignore[empty-body]
    """The value of a state under the behavior, sum_a b(a|s) q(s, a)."""


def action_tuple(n_actions: int) -> Actions:
    """The actions as a tuple, or none where there are many.

    >>> action_tuple(4), action_tuple(1000)
    ((0, 1, 2, 3), ())
    """
    return tuple(range(n_actions)) if n_actions <= MOST_UNROLLED else ()


@function
def width(table: Table, actions: Actions) -> int:
    """Number of actions."""
    return len(actions) if len(actions) > 0 else table.shape[1]


@function
def greatest(table: Table, actions: Actions, state: int) -> float:
    """max_a q(state, a)."""
    best: float = table[at(state), 0]
    for a in range(1, width(table, actions)):
        best = max(best, table[at(state), at(a)])
    return best


@function
def nth_at_least(table: Table, actions: Actions, state: int, value: float, n: int) -> int:
    """The n-th action (from 0) worth at least ``value``."""
    last = 0
    for a in range(width(table, actions)):  # no early exit, as in rlgrid.sampling.sample
        good = table[at(state), at(a)] >= value
        last = a if good and n >= 0 else last
        n -= good
    return last


@choice(draw, EpsilonGreedy)
def _draw_epsilon_greedy(behavior: EpsilonGreedy, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    n_actions = width(table, behavior.actions)
    best = greatest(table, behavior.actions, state)
    ties = 0
    available = 0
    for a in range(n_actions):
        ties += table[at(state), at(a)] == best
        available += table[at(state), at(a)] > -np.inf
    u = uniform(stream)
    # Divisions take long: this is epsilon / available and (1 - epsilon) / ties, the usual cases apart.
    probability = behavior.epsilon / n_actions if available == n_actions else behavior.epsilon / available
    share = 1.0 - behavior.epsilon if ties == 1 else (1.0 - behavior.epsilon) / ties
    if u < behavior.epsilon:
        action = min(int(u / behavior.epsilon * n_actions), n_actions - 1)
        if available < n_actions and table[at(state), at(action)] == -np.inf:
            action = nth_at_least(table, behavior.actions, state, LEAST, int(uniform(stream) * available))
    else:
        rank = int((u - behavior.epsilon) / (1.0 - behavior.epsilon) * ties) if ties > 1 else 0
        action = nth_at_least(table, behavior.actions, state, best, rank)
    if table[at(state), at(action)] == best:
        probability += share
    return action, probability


@choice(draw, Stored)
def _draw_stored(behavior: Stored, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    u = uniform(stream)
    action = 0
    below = 0.0
    for a in range(behavior.probability.shape[1] - 1):  # no early exit, as in rlgrid.sampling.sample
        below += behavior.probability[at(state), at(a)]
        action += u >= below
    while behavior.probability[at(state), at(action)] == 0.0:  # u is above a sum that rounding made less than 1
        action -= 1
    return action, behavior.probability[at(state), at(action)]


@choice(expected, EpsilonGreedy)
def _expected_epsilon_greedy(behavior: EpsilonGreedy, table: Table, state: int) -> float:
    best = -np.inf
    total = 0.0
    available = 0
    for a in range(width(table, behavior.actions)):
        value = table[at(state), at(a)]
        best = max(best, value)
        if value > -np.inf:
            total += value
            available += 1
    return (1.0 - behavior.epsilon) * best + behavior.epsilon * (total / available)


@choice(expected, Stored)
def _expected_stored(behavior: Stored, table: Table, state: int) -> float:
    value = 0.0
    for a in range(table.shape[1]):
        if behavior.probability[at(state), at(a)] > 0.0:
            value += behavior.probability[at(state), at(a)] * table[at(state), at(a)]
    return value
