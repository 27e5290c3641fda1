"""The stencil of a model: its cells by patterns, or a policy's chain with a row for each cell, in the order of passes.

Seen from where each stands, the rows of most cells of a grid are alike: a thousand by a thousand cells with walls at
random have some twenty patterns. A pattern says how far away neighbours are and how each action weighs their values. So
of a state only its pattern's number, its value and its neighbours' places are kept, no rows of outcomes. Staying is
solved for, so that a long wait in front of a wall takes no sweeps.

With epsilon, each action stands for the mixture that is taken when it is chosen, (1 - epsilon) of its own row and
epsilon of the mean of all. A policy leaves each state one row, the mixture of its actions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.kernels.chain_layout import Steps, lay_out_chain, mix_rows, order_chain
from rlgrid.kernels.stencil import BLOCK, Stencil, find_patterns, lay_out, link_blocks, order_states
from rlgrid.kernels.sweeps import Accuracy, Rows
from rlgrid.planning.certificate import UNIT, accuracy_of
from rlgrid.planning.inductive_proof import Costs, costs_of
from rlgrid.planning.problem import Problem

#: More patterns, neighbours or actions than these make no stencil.
MOST_PATTERNS, MOST_SIDES, MOST_ACTIONS = 4096, 16, 16

#: Neighbours that a pattern has room for at least; numbers of actions and neighbours for which loops are unrolled.
LEAST_SIDES, UNROLLED = 4, ((4, 4), (5, 4), (1, 4))

#: Levels of patterns: states are ordered from the most rewarding one; where it cannot be reached, from the next; ...
LEVELS = 8

#: Blocks that can depend on one block.
MOST_LINKS = 48

#: A state that leaves itself with less than this cannot be solved for.
LEAST_MOVING = 1e-100


class Grid(NamedTuple):
    """A stencil with the states that it is made of."""

    stencil: Stencil
    order: NDArray[np.int32]  # [m] state at each place; all others have the value 0
    links: NDArray[np.int32]  # [blocks, L]
    accuracy: Accuracy
    costs: Costs  # at discount 1
    ends: bool  # every state leads to an end, and no row that only stays is free; known at discount 1 only


class _Patterns(NamedTuple):
    """The rows of P patterns with A actions, taken apart; a pattern has D neighbours at most."""

    distance: Ints  # [P, D] to each neighbour; 0: there is none
    reward: Floats  # [P, A]; -inf where the action is not available
    continuation: Floats  # [P, A, D] discounted probability of each neighbour
    staying: Floats  # [P, A] discounted probability of staying
    ending: Floats  # [P, A] what is lost on the way: the chance to end, below discount 1 also what is discounted

    @property
    def moving(self) -> Floats:
        """1 - staying [P, A], summed and not subtracted; 0: nothing but staying, for ever."""
        leaves: Floats = self.ending + self.continuation.sum(axis=2)
        return leaves


def outcomes_repeat(problem: Problem) -> bool:
    """Whether outcomes repeat, as they do on grids; else there is no use in looking for patterns."""
    t = problem.model.tables
    return 2 * len(t.probability) <= len(t.next_state)


def grid_of(problem: Problem, reward: Floats | None = None) -> Grid | None:
    """The stencil of a problem, or of the policy that it evaluates; ``None`` where its states are too different.

    ``reward`` [S] takes the place of what the policy's steps pay.
    """
    if problem.rows.first is not problem.model.tables.first:
        return None
    return _grid_of_policy(problem, reward) if len(problem.weight) else _grid_of_patterns(problem)


# -- patterns --------------------------------------------------------------------------------------------------------


def _grid_of_patterns(problem: Problem) -> Grid | None:
    rows, model = problem.rows, problem.model
    n_states, n_actions = model.n_states, model.n_actions
    if n_actions > MOST_ACTIONS:
        return None
    pattern, example = np.empty(n_states, np.uint16), np.empty(MOST_PATTERNS, np.int32)
    table, hashes = np.full(4 * MOST_PATTERNS, -1, np.int32), np.empty(MOST_PATTERNS, np.uint64)
    found = find_patterns(rows.first, rows.next_state, rows.code, n_actions, table, hashes, example, pattern)
    if found < 0:
        return None
    states = example[:found].astype(np.int64)
    examples = _examples(rows, states, n_actions)
    patterns = _patterns(examples, states, n_actions, _lost(problem))
    if patterns is None:
        return None
    if problem.epsilon > 0:
        patterns = _softened(patterns, problem.epsilon)
    available = patterns.reward > -np.inf
    moving = patterns.moving
    if not (moving[available & (moving > 0)] >= LEAST_MOVING).all():
        return None
    offsets = np.unique(patterns.distance[patterns.distance != 0])
    leads = (patterns.distance[:, :, None] == offsets).any(axis=1)
    order, place = np.empty(n_states, np.int32), np.full(n_states, -1, np.int32)
    m, levels = order_states(pattern, offsets, leads, _levels(patterns), order, place)
    order = order[:m].copy()
    stencil = _stencil(patterns, np.empty(m, np.uint16), np.empty((m, patterns.distance.shape[1]), np.int32))
    lay_out(pattern, order, place, patterns.distance, stencil.pattern, stencil.neighbour)
    links = np.full((-(-m // BLOCK), MOST_LINKS), -1, np.int32)
    if not link_blocks(stencil.neighbour, links):
        return None
    ends = problem.discount == 1 and _all_end(patterns, pattern, offsets, leads, levels)
    counts = _counts(patterns)
    costs = costs_of(patterns.reward[counts].ravel(), patterns.ending[counts].ravel(), _deviation(problem, examples))
    accuracy = _accuracy(problem, examples, patterns.distance.shape[1])
    return Grid(stencil, order, links, accuracy, costs, ends)


def _lost(problem: Problem) -> Floats:
    """Probability of each distinct outcome [C] minus its continuation."""
    t = problem.model.tables
    return np.where(t.terminated, t.probability, (1.0 - problem.discount) * t.probability)


def _examples(rows: Rows, states: Ints, n_actions: int) -> Rows:
    """The rows of one state for each pattern; their next states as distances."""
    row = (states[:, None] * n_actions + np.arange(n_actions)).ravel()
    length = rows.first[row + 1] - rows.first[row]
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(length)])
    outcome = np.repeat(rows.first[row] - first[:-1], length) + np.arange(first[-1])
    distance = rows.next_state[outcome] - np.repeat(states.repeat(n_actions), length)
    begin = np.arange(0, len(row) + 1, n_actions)
    return Rows(begin, first, distance.astype(np.int32), rows.code[outcome], rows.reward_share, rows.continuation)


def _patterns(examples: Rows, states: Ints, n_actions: int, lost: Floats) -> _Patterns | None:
    n_patterns = len(states)
    row = np.repeat(np.arange(n_patterns * n_actions), np.diff(examples.first))
    pays, goes_on, distance = (
        examples.reward_share[examples.code],
        examples.continuation[examples.code],
        examples.next_state,
    )
    reward = np.asarray(np.bincount(row, pays, n_patterns * n_actions), np.float64)
    reward[np.diff(examples.first) == 0] = -np.inf
    stays = np.where(distance == 0, goes_on, 0.0)
    staying = np.asarray(np.bincount(row, stays, n_patterns * n_actions), np.float64)
    ending = np.asarray(np.bincount(row, lost[examples.code], n_patterns * n_actions), np.float64)
    moves = (distance != 0) & (goes_on > 0)
    pairs, side = np.unique(np.stack([row[moves] // n_actions, distance[moves]]), axis=1, return_inverse=True)
    first_pair = np.searchsorted(pairs[0], np.arange(n_patterns))
    column = np.arange(pairs.shape[1]) - first_pair[pairs[0]]
    n_sides = max(LEAST_SIDES, int(column.max(initial=0)) + 1)
    if n_sides > MOST_SIDES:
        return None
    distances = np.zeros((n_patterns, n_sides), np.int64)
    distances[pairs[0], column] = pairs[1]
    weight = np.zeros((n_patterns * n_actions, n_sides))
    np.add.at(weight, (row[moves], column[side.ravel()]), goes_on[moves])
    shape = (n_patterns, n_actions)
    return _Patterns(
        distances, reward.reshape(shape), weight.reshape(*shape, n_sides), staying.reshape(shape), ending.reshape(shape)
    )


def _softened(patterns: _Patterns, epsilon: float) -> _Patterns:
    """Each action's row mixed with the mean of all available ones."""
    available = patterns.reward > -np.inf
    share = epsilon / available.sum(axis=1)

    def mixed(numbers: Floats) -> Floats:
        axes = (1,) * (numbers.ndim - 2)
        kept = np.where(available.reshape(*available.shape, *axes), numbers, 0.0)
        means: Floats = (1.0 - epsilon) * kept + share.reshape(-1, 1, *axes) * kept.sum(axis=1, keepdims=True)
        return means

    return _Patterns(
        patterns.distance,
        np.where(available, mixed(patterns.reward), -np.inf),
        mixed(patterns.continuation),
        mixed(patterns.staying),
        mixed(patterns.ending),
    )


def _worth(reward: Floats, staying: Floats, going: Floats) -> Floats:
    """What a row would be worth if it could be repeated for ever, or nearly so."""
    return np.where(reward > -np.inf, reward / np.maximum(1.0 - (staying + going), 1e-6), -np.inf)


def _counts(patterns: _Patterns) -> Bools:
    """Patterns of states that are worth something: they pay, or go on, [P]."""
    goes_on = (patterns.continuation.sum(axis=2) + patterns.staying > 0).any(axis=1)
    counts: Bools = goes_on | ((patterns.reward != 0) & (patterns.reward > -np.inf)).any(axis=1)
    return counts


def _levels(patterns: _Patterns) -> Ints:
    """The level of each pattern, [P]: 0 for the one whose best action pays most if it could be repeated for ever.

    -1: nothing is paid and nothing goes on, so the value is 0.
    """
    worth = _worth(patterns.reward, patterns.staying, patterns.continuation.sum(axis=2)).max(axis=1)
    level = np.unique(-worth, return_inverse=True)[1].ravel()
    counts = _counts(patterns)
    return np.where(counts, np.minimum(level - level[counts].min(initial=0), LEVELS - 1), -1)


def _all_end(patterns: _Patterns, pattern: NDArray[np.uint16], offsets: Ints, leads: Bools, levels: int) -> bool:
    """Whether some rows lead from every state that counts to an end, and none that only stays is free."""
    stuck = (patterns.moving == 0) & (patterns.reward >= 0)
    counts, can_end = _counts(patterns), np.any(patterns.ending > 0, axis=1)
    if stuck[counts].any():
        return False
    if levels <= 1 and (can_end | (_levels(patterns) != 0)).all():
        return True
    n_states = len(pattern)
    level = np.where(counts, np.where(can_end, 0, 1), -1)
    order, place = np.empty(n_states, np.int32), np.full(n_states, -1, np.int32)
    return bool(order_states(pattern, offsets, leads, level, order, place)[1] <= 1)


def _stencil(patterns: _Patterns, pattern: NDArray[np.uint16], neighbour: NDArray[np.int32]) -> Stencil:
    stuck = (patterns.moving == 0) & (patterns.reward > -np.inf)
    moving = np.where(patterns.moving == 0, 1.0, patterns.moving)
    constant = np.where(stuck, -np.inf, patterns.reward / moving)
    weight = patterns.continuation / moving[:, :, None]
    n_actions, n_sides = weight.shape[1:]
    return Stencil(
        constant=constant.ravel(),
        weight=weight.reshape(-1, n_sides),
        moving=moving.ravel(),
        pattern=pattern,
        neighbour=neighbour,
        n_actions=n_actions,
        **_unrolled(n_actions, n_sides),
    )


def _unrolled(n_actions: int, n_sides: int) -> dict[str, tuple[int, ...]]:
    known = (n_actions, n_sides) in UNROLLED
    return {"actions": tuple(range(n_actions)) if known else (), "sides": tuple(range(n_sides)) if known else ()}


# -- policies --------------------------------------------------------------------------------------------------------


def _grid_of_policy(problem: Problem, reward: Floats | None) -> Grid | None:
    """Every state is a pattern of its own, with one row."""
    steps = _steps_of_policy(problem)
    if steps is None:
        return None
    if reward is not None:
        steps = steps._replace(reward=reward)
    n_states, n_sides = steps.target.shape
    going = steps.chance.sum(axis=1)
    counts = (going + steps.staying > 0) | (steps.reward != 0)
    worth = np.where(counts, _worth(steps.reward, steps.staying, going), -np.inf)
    order, leading = _order_from(steps, worth == worth.max(initial=-np.inf), counts)
    m = len(order)
    place = np.full(n_states, -1, np.int32)
    place[order] = np.arange(m, dtype=np.int32)
    stencil = Stencil(
        constant=np.empty(m),
        weight=np.empty((m, n_sides)),
        moving=np.empty(m),
        pattern=np.arange(m, dtype=np.int32),
        neighbour=np.empty((m, n_sides), np.int32),
        n_actions=1,
        **_unrolled(1, n_sides),
    )
    moves = lay_out_chain(steps, order, place, stencil.constant, stencil.weight, stencil.moving, stencil.neighbour)
    links = np.full((-(-m // BLOCK), MOST_LINKS), -1, np.int32)
    if not (moves and (stencil.moving >= LEAST_MOVING).all() and link_blocks(stencil.neighbour, links)):
        return None
    can_end = steps.ending > 0
    ends = problem.discount == 1 and (
        (leading == m and bool(can_end[order[0]])) or _order_from(steps, can_end & counts, counts)[1] == m
    )
    costs = costs_of(steps.reward[counts], steps.ending[counts], _deviation(problem, problem.rows))
    accuracy = _accuracy(problem, problem.rows, n_sides)
    if reward is not None:
        accuracy = accuracy._replace(reward=float(np.abs(reward).max(initial=0.0)))
    return Grid(stencil, order, links, accuracy, costs, ends)


def _steps_of_policy(problem: Problem) -> Steps | None:
    """A step of the policy from each state; ``None`` where it can lead to too many others."""
    n_states, lost = problem.n_states, _lost(problem)
    reward, ending, staying = np.empty(n_states), np.empty(n_states), np.empty(n_states)
    for n_sides in (LEAST_SIDES, MOST_SIDES):
        target, chance = np.empty((n_states, n_sides), np.int32), np.empty((n_states, n_sides))
        steps = Steps(reward, ending, staying, target, chance)
        if mix_rows(problem.rows, lost, problem.weight, steps):
            return steps
    return None


def _order_from(steps: Steps, source: Bools, wanted: Bools) -> tuple[NDArray[np.int32], int]:
    """States wanted by the number of steps from which they lead to a source, and how many do."""
    n_states = len(source)
    begin, before = np.zeros(n_states + 2, np.int64), np.empty(steps.target.size, np.int32)
    order = np.empty(int(wanted.sum()), np.int32)
    return order, order_chain(steps.target, source, ~wanted, begin, before, order)


# -- accuracy --------------------------------------------------------------------------------------------------------


def _accuracy(problem: Problem, rows: Rows, n_sides: int) -> Accuracy:
    """The accuracy of :func:`residual`, which computes moving (constant + sum of weight v' - v).

    To the roundings of a backup come those of the sums over equal neighbours, of what leaves, of the quotients and of
    the sum over D neighbours, 3 D + 12 at most; errors of ``moving`` itself cancel but for |v|, hence the factor 2.
    """
    if len(problem.weight):
        exact = problem.accuracy
    else:
        exact = accuracy_of(problem.model, rows, problem.discount, mixed=problem.epsilon > 0)
    more = (3 * n_sides + 12) * UNIT
    return exact._replace(rounding=2.0 * (exact.rounding + more))


def _deviation(problem: Problem, rows: Rows) -> float:
    """How far probabilities of rows, and of a policy, are from adding up to 1, at discount 1."""
    if problem.discount < 1:
        return 0.0
    sums = np.add.reduceat(problem.model.tables.probability[rows.code], rows.first[:-1][np.diff(rows.first) > 0])
    deviation = float(np.abs(sums - 1.0).max(initial=0.0))
    if len(problem.weight):
        shares = np.add.reduceat(problem.weight, problem.rows.begin[:-1])
        deviation += float(np.abs(shares - 1.0).max(initial=0.0))
    return deviation
