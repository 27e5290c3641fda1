"""How actions are chosen from a table of action values, and what a state is worth under that choice.

An action that is not available has the value -inf; no rule here draws it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlgrid.choices import choice, function, named, rule, rule_with_default, unsigned
from rlgrid.randomness import Stream, uniform
from rlgrid.rules.schedules import NoTally, Schedule, Tally, current, new_tally
from rlgrid.toml import Keys

Table: TypeAlias = NDArray[np.float64]

#: ``(0, 1, ..., A - 1)``. The length of a tuple is part of its type, so that compiled loops over the actions of a state
#: have a known length, which makes them a quarter faster. Empty where there are many actions.
Actions: TypeAlias = tuple[int, ...]

#: Above so many actions, loops of a known length gain nothing and take long to compile.
MOST_UNROLLED = 16

#: The least finite number: the value of an action that is available is at least this.
LEAST = -1.7976931348623157e308


class EpsilonGreedy(NamedTuple):
    """A greedy action with probability 1 - epsilon + epsilon/|A|, any other with epsilon/|A| (Zhao, Sec. 5.4).

    Ties between greedy actions are broken at random. epsilon = 0 is the greedy policy.
    """

    epsilon: float
    actions: Actions


class ScheduledEpsilonGreedy(NamedTuple):
    """Epsilon-greedy with an epsilon that shrinks while it acts (GLIE: Singh, Jaakkola, Littman & Szepesvári 2000)."""

    schedule: Schedule
    actions: Actions


class Softmax(NamedTuple):
    """b(a|s) proportional to exp(q(s, a) / temperature), Boltzmann exploration (Sutton & Barto 2e, eq. 13.2)."""

    temperature: float
    actions: Actions


class SoftmaxKeys(Keys, frozen=True, tag_field="kind", tag="softmax"):
    """``{ kind = "softmax", temperature = 1 }``."""

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"found temperature = {self.temperature:g}; allowed: above 0")


@named("behavior", "softmax", keys=SoftmaxKeys)
def _make_softmax(keys: SoftmaxKeys, n_states: int, n_actions: int) -> Softmax:
    return Softmax(keys.temperature, action_tuple(n_actions))


class UpperConfidence(NamedTuple):
    """The action with the greatest q(s, a) + c sqrt(ln t / N(s, a)) (UCB: Sutton & Barto 2e, eq. 2.10).

    N counts how often an action was taken in the state, t is one more than the sum of these. An action never taken
    comes first. Ties are broken at random.
    """

    c: float
    tally: Tally  # with taken [S, A]
    actions: Actions


class UpperConfidenceKeys(Keys, frozen=True, tag_field="kind", tag="ucb"):
    """``{ kind = "ucb", c = 1 }``."""

    c: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.c < math.inf:
            raise ValueError(f"found c = {self.c:g}; allowed: at least 0")


@named("behavior", "ucb", keys=UpperConfidenceKeys)
def _make_upper_confidence(keys: UpperConfidenceKeys, n_states: int, n_actions: int) -> UpperConfidence:
    return UpperConfidence(keys.c, new_tally((n_states, n_actions)), action_tuple(n_actions))


class Stored(NamedTuple):
    """A policy kept as an array [S, A]; a learner may improve it (see :class:`rlgrid.rules.update.Improvement`)."""

    probability: NDArray[np.float64]


Behavior: TypeAlias = EpsilonGreedy | ScheduledEpsilonGreedy | Softmax | UpperConfidence | Stored


@rule_with_default
def tally_of(behavior: Any) -> Any:
    """The tally that a behavior depends on, which the learner keeps up to date."""
    return NoTally()


@choice(tally_of, UpperConfidence)
def _tally_of_upper_confidence(behavior: UpperConfidence) -> Tally:
    return behavior.tally


@choice(tally_of, ScheduledEpsilonGreedy)
def _tally_of_schedule(behavior: ScheduledEpsilonGreedy) -> Tally:
    return behavior.schedule.tally


@rule
def draw(behavior: Any, table: Table, state: int, stream: Stream) -> tuple[int, float]:  # type: ignore[empty-body]
    """Draw an action for a state; the action, and the probability b(a|s) with which it was drawn."""


@rule
def expected(behavior: Any, table: Table, state: int) -> float:  # type: ignore[empty-body]
    """The value of a state under the behavior, sum_a b(a|s) q(s, a)."""


def action_tuple(n_actions: int) -> Actions:
    """The actions as a tuple; an empty one where there are many.

    >>> action_tuple(4), action_tuple(1000)
    ((0, 1, 2, 3), ())
    """
    return tuple(range(n_actions)) if n_actions <= MOST_UNROLLED else ()


@function
def width(table: Table, actions: Actions) -> int:
    """The number of actions; known when compiling where ``actions`` is not empty."""
    return len(actions) if len(actions) > 0 else table.shape[1]


@function
def greatest(table: Table, actions: Actions, state: int) -> float:
    """max_a q(state, a)."""
    best: float = table[unsigned(state), 0]
    for a in range(1, width(table, actions)):
        best = max(best, table[unsigned(state), unsigned(a)])
    return best


@function
def nth_at_least(table: Table, actions: Actions, state: int, value: float, n: int) -> int:
    """The n-th action (from 0) worth at least ``value``."""
    last = 0
    for a in range(width(table, actions)):  # no early exit, as in rlgrid.models.sampling.sample
        good = table[unsigned(state), unsigned(a)] >= value
        last = a if good and n >= 0 else last
        n -= good
    return last


@function
def draw_epsilon_greedy(
    epsilon: float, actions: Actions, table: Table, state: int, stream: Stream
) -> tuple[int, float]:
    """An epsilon-greedy action and its probability."""
    n_actions = width(table, actions)
    best = greatest(table, actions, state)
    ties = 0
    available = 0
    for a in range(n_actions):
        ties += table[unsigned(state), unsigned(a)] == best
        available += table[unsigned(state), unsigned(a)] > -np.inf
    u = uniform(stream)
    # Divisions take long: this is epsilon / available and (1 - epsilon) / ties, the usual cases apart.
    probability = epsilon / n_actions if available == n_actions else epsilon / available
    share = 1.0 - epsilon if ties == 1 else (1.0 - epsilon) / ties
    if u < epsilon:
        action = min(int(u / epsilon * n_actions), n_actions - 1)
        if available < n_actions and table[unsigned(state), unsigned(action)] == -np.inf:
            action = nth_at_least(table, actions, state, LEAST, int(uniform(stream) * available))
    else:
        rank = int((u - epsilon) / (1.0 - epsilon) * ties) if ties > 1 else 0
        action = nth_at_least(table, actions, state, best, rank)
    if table[unsigned(state), unsigned(action)] == best:
        probability += share
    return action, probability


@choice(draw, EpsilonGreedy)
def _draw_epsilon_greedy(behavior: EpsilonGreedy, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    drawn: tuple[int, float] = draw_epsilon_greedy(behavior.epsilon, behavior.actions, table, state, stream)
    return drawn


@choice(draw, ScheduledEpsilonGreedy)
def _draw_scheduled(behavior: ScheduledEpsilonGreedy, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    epsilon = current(behavior.schedule, state)
    drawn: tuple[int, float] = draw_epsilon_greedy(epsilon, behavior.actions, table, state, stream)
    return drawn


@function
def preference(behavior: Softmax, table: Table, state: int, a: int, best: float) -> float:
    """exp((q(s, a) - max q) / temperature): at most 1, and 0 for an action that is not available."""
    return math.exp((table[unsigned(state), unsigned(a)] - best) / behavior.temperature)


@choice(draw, Softmax)
def _draw_softmax(behavior: Softmax, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    n_actions = width(table, behavior.actions)
    best = greatest(table, behavior.actions, state)
    total = 0.0
    for a in range(n_actions):
        total += preference(behavior, table, state, a, best)
    u = uniform(stream) * total
    action = 0
    below = 0.0
    for a in range(n_actions - 1):
        below += preference(behavior, table, state, a, best)
        action += u >= below
    while action > 0 and preference(behavior, table, state, action, best) == 0.0:  # u is above a sum that was rounded
        action -= 1
    return action, preference(behavior, table, state, action, best) / total


@function
def taken_in(behavior: UpperConfidence, table: Table, state: int) -> int:
    """How many actions have been taken in a state."""
    total = 0
    for a in range(width(table, behavior.actions)):
        total += behavior.tally.taken[unsigned(state), unsigned(a)]
    return total


@function
def upper_bound(behavior: UpperConfidence, table: Table, state: int, a: int, taken: int) -> float:
    """q(s, a) + c sqrt(ln t / N(s, a)); infinite for an action never taken."""
    value: float = table[unsigned(state), unsigned(a)]
    n = behavior.tally.taken[unsigned(state), unsigned(a)]
    if n > 0:
        value += behavior.c * math.sqrt(math.log(taken + 1.0) / n)
    elif value > -np.inf:
        value = np.inf
    return value


@choice(draw, UpperConfidence)
def _draw_upper_confidence(behavior: UpperConfidence, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    n_actions = width(table, behavior.actions)
    taken = taken_in(behavior, table, state)
    best = -np.inf
    ties = 0
    for a in range(n_actions):
        bound = upper_bound(behavior, table, state, a, taken)
        ties = 1 if bound > best else ties + (bound == best)
        best = max(best, bound)
    rank = int(uniform(stream) * ties)
    action = 0
    for a in range(n_actions):
        if upper_bound(behavior, table, state, a, taken) == best:
            if rank == 0:
                action = a
            rank -= 1
    return action, 1.0 / max(ties, 1)


@choice(draw, Stored)
def _draw_stored(behavior: Stored, table: Table, state: int, stream: Stream) -> tuple[int, float]:
    u = uniform(stream)
    action = 0
    below = 0.0
    for a in range(behavior.probability.shape[1] - 1):  # no early exit, as in rlgrid.models.sampling.sample
        below += behavior.probability[unsigned(state), unsigned(a)]
        action += u >= below
    # u may lie above a sum that rounding made less than 1.
    while behavior.probability[unsigned(state), unsigned(action)] == 0.0:
        action -= 1
    return action, behavior.probability[unsigned(state), unsigned(action)]


@function
def expected_epsilon_greedy(epsilon: float, actions: Actions, table: Table, state: int) -> float:
    """The value of a state under epsilon-greedy actions."""
    best = -np.inf
    total = 0.0
    available = 0
    for a in range(width(table, actions)):
        value = table[unsigned(state), unsigned(a)]
        best = max(best, value)
        if value > -np.inf:
            total += value
            available += 1
    return (1.0 - epsilon) * best + epsilon * (total / max(available, 1))


@choice(expected, EpsilonGreedy)
def _expected_epsilon_greedy(behavior: EpsilonGreedy, table: Table, state: int) -> float:
    value: float = expected_epsilon_greedy(behavior.epsilon, behavior.actions, table, state)
    return value


@choice(expected, ScheduledEpsilonGreedy)
def _expected_scheduled(behavior: ScheduledEpsilonGreedy, table: Table, state: int) -> float:
    value: float = expected_epsilon_greedy(current(behavior.schedule, state), behavior.actions, table, state)
    return value


@choice(expected, Softmax)
def _expected_softmax(behavior: Softmax, table: Table, state: int) -> float:
    best = greatest(table, behavior.actions, state)
    total = 0.0
    value = 0.0
    for a in range(width(table, behavior.actions)):
        if table[unsigned(state), unsigned(a)] > -np.inf:
            weight = preference(behavior, table, state, a, best)
            total += weight
            value += weight * table[unsigned(state), unsigned(a)]
    return value / total


@choice(expected, UpperConfidence)
def _expected_upper_confidence(behavior: UpperConfidence, table: Table, state: int) -> float:
    taken = taken_in(behavior, table, state)
    best = -np.inf
    ties = 0
    value = 0.0
    for a in range(width(table, behavior.actions)):
        bound = upper_bound(behavior, table, state, a, taken)
        if bound > best:
            best, ties, value = bound, 1, table[unsigned(state), unsigned(a)]
        elif bound == best and bound > -np.inf:
            ties += 1
            value += table[unsigned(state), unsigned(a)]
    return value / max(ties, 1)


@choice(expected, Stored)
def _expected_stored(behavior: Stored, table: Table, state: int) -> float:
    value = 0.0
    for a in range(table.shape[1]):
        if behavior.probability[unsigned(state), unsigned(a)] > 0.0:
            value += behavior.probability[unsigned(state), unsigned(a)] * table[unsigned(state), unsigned(a)]
    return value


@rule
def probability(policy: Any, table: Table, state: int, action: int) -> float:  # type: ignore[empty-body]
    """The probability pi(a|s) with which a policy takes an action."""


@choice(probability, Stored)
def _probability_stored(policy: Stored, table: Table, state: int, action: int) -> float:
    share: float = policy.probability[unsigned(state), unsigned(action)]
    return share


@function
def probability_epsilon_greedy(epsilon: float, actions: Actions, table: Table, state: int, action: int) -> float:
    """pi(a|s) of epsilon-greedy actions."""
    best = greatest(table, actions, state)
    ties = 0
    available = 0
    for a in range(width(table, actions)):
        ties += table[unsigned(state), unsigned(a)] == best
        available += table[unsigned(state), unsigned(a)] > -float("inf")
    share = epsilon / available
    if table[unsigned(state), unsigned(action)] == best:
        share += (1.0 - epsilon) / ties
    return share


@choice(probability, EpsilonGreedy)
def _probability_epsilon_greedy(policy: EpsilonGreedy, table: Table, state: int, action: int) -> float:
    share: float = probability_epsilon_greedy(policy.epsilon, policy.actions, table, state, action)
    return share


@choice(probability, ScheduledEpsilonGreedy)
def _probability_scheduled(policy: ScheduledEpsilonGreedy, table: Table, state: int, action: int) -> float:
    epsilon = current(policy.schedule, state)
    share: float = probability_epsilon_greedy(epsilon, policy.actions, table, state, action)
    return share


@choice(probability, Softmax)
def _probability_softmax(policy: Softmax, table: Table, state: int, action: int) -> float:
    best = greatest(table, policy.actions, state)
    total = 0.0
    for a in range(width(table, policy.actions)):
        total += preference(policy, table, state, a, best)
    share: float = preference(policy, table, state, action, best) / total
    return share


@choice(probability, UpperConfidence)
def _probability_upper_confidence(policy: UpperConfidence, table: Table, state: int, action: int) -> float:
    taken = taken_in(policy, table, state)
    own = upper_bound(policy, table, state, action, taken)
    ties = 0
    greater = 0
    for a in range(width(table, policy.actions)):
        bound = upper_bound(policy, table, state, a, taken)
        ties += bound == own
        greater += bound > own
    return 0.0 if greater > 0 else 1.0 / ties
