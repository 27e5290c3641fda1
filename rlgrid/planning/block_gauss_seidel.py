"""The stencil of a model, and the method that uses it: block Gauss-Seidel, outwards from where reward comes in.

Seen from where each stands, the rows of most cells of a grid are alike: a thousand by a thousand cells with walls at
random have some twenty patterns. A pattern says how far away neighbours are and how each action weighs their values. So
of a state only its pattern's number, its value and its neighbours' places are kept, no rows of outcomes. Staying is
solved for, so that a long wait in front of a wall takes no sweeps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.kernels.stencil import (
    BLOCK,
    Stencil,
    find_patterns,
    guess,
    lay_out,
    link_blocks,
    order_states,
    relax,
    residual,
)
from rlgrid.kernels.sweeps import NO_WEIGHT, Accuracy, Rows, error_bound, slack, sweep
from rlgrid.planning.certificate import UNIT, accuracy_of, certified
from rlgrid.planning.problem import MethodResult, Problem

#: More patterns, neighbours or actions than these make no stencil.
MOST_PATTERNS, MOST_SIDES, MOST_ACTIONS = 4096, 16, 16

#: Neighbours that a pattern has room for at least; numbers of actions and neighbours for which loops are unrolled.
LEAST_SIDES, UNROLLED = 4, ((4, 4), (5, 4))

#: Levels of patterns: states are ordered from the most rewarding one; where it cannot be reached, from the next; ...
LEVELS = 8

#: Blocks that can depend on one block.
MOST_LINKS = 48

#: Passes between two chances to interrupt.
PASSES = 64


class Grid(NamedTuple):
    """A stencil with the states that it is made of."""

    stencil: Stencil
    order: NDArray[np.int32]  # [m] state at each place; all others have the value 0
    links: NDArray[np.int32]  # [blocks, L]
    accuracy: Accuracy


class _Patterns(NamedTuple):
    """The rows of P patterns with A actions, taken apart; a pattern has D neighbours at most."""

    distance: Ints  # [P, D] to each neighbour; 0: there is none
    reward: Floats  # [P, A]; -inf where the action is not available
    continuation: Floats  # [P, A, D] discounted probability of each neighbour
    staying: Floats  # [P, A] discounted probability of staying
    stuck: Bools  # [P, A] nothing but staying, for ever, at discount 1: it would pay a negative reward without end


def grid_of(problem: Problem) -> Grid | None:
    """The stencil of a problem; ``None`` where its states are too different."""
    rows, model = problem.rows, problem.model
    n_states, n_actions = model.n_states, model.n_actions
    if rows.first is not model.tables.first or problem.epsilon > 0 or n_actions > MOST_ACTIONS:
        return None
    pattern, example = np.empty(n_states, np.uint16), np.empty(MOST_PATTERNS, np.int32)
    table, hashes = np.full(4 * MOST_PATTERNS, -1, np.int32), np.empty(MOST_PATTERNS, np.uint64)
    found = find_patterns(rows.first, rows.next_state, rows.code, n_actions, table, hashes, example, pattern)
    if found < 0:
        return None
    examples = _examples(rows, example[:found].astype(np.int64), n_actions)
    patterns = _patterns(examples, example[:found].astype(np.int64), n_actions, problem.discount)
    if patterns is None:
        return None
    level = _levels(patterns)
    offsets = np.unique(patterns.distance[patterns.distance != 0])
    leads = (patterns.distance[:, :, None] == offsets).any(axis=1)
    order, place = np.empty(n_states, np.int32), np.full(n_states, -1, np.int32)
    m = order_states(pattern, offsets, leads, level, order, place)
    order = order[:m].copy()
    stencil = _stencil(patterns, np.empty(m, np.uint16), np.empty((m, patterns.distance.shape[1]), np.int32))
    lay_out(pattern, order, place, patterns.distance, stencil.pattern, stencil.neighbour)
    links = np.full((-(-m // BLOCK), MOST_LINKS), -1, np.int32)
    if not link_blocks(stencil.neighbour, links):
        return None
    return Grid(stencil, order, links, _accuracy(problem, examples, patterns))


def _examples(rows: Rows, states: Ints, n_actions: int) -> Rows:
    """The rows of one state for each pattern; their next states as distances."""
    row = (states[:, None] * n_actions + np.arange(n_actions)).ravel()
    length = rows.first[row + 1] - rows.first[row]
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(length)])
    outcome = np.repeat(rows.first[row] - first[:-1], length) + np.arange(first[-1])
    distance = rows.next_state[outcome] - np.repeat(states.repeat(n_actions), length)
    begin = np.arange(0, len(row) + 1, n_actions)
    return Rows(begin, first, distance.astype(np.int32), rows.code[outcome], rows.reward_share, rows.continuation)


def _patterns(examples: Rows, states: Ints, n_actions: int, discount: float) -> _Patterns | None:
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
    leaving = np.bincount(row, (distance != 0) | (goes_on == 0), n_patterns * n_actions)
    stuck = (discount == 1) & (leaving == 0) & (np.diff(examples.first) > 0)
    if not (staying[~stuck] < 1.0).all():
        return None  # it does leave, but so rarely that float64 cannot tell
    shape = (n_patterns, n_actions)
    continuation = weight.reshape(*shape, n_sides)
    return _Patterns(distances, reward.reshape(shape), continuation, staying.reshape(shape), stuck.reshape(shape))


def _levels(patterns: _Patterns) -> Ints:
    """The level of each pattern, [P]: 0 for the one whose best action pays most if it could be repeated for ever.

    -1: nothing is paid and nothing goes on, so the value is 0.
    """
    lasting = patterns.continuation.sum(axis=2) + patterns.staying
    worth = np.where(patterns.reward > -np.inf, patterns.reward / np.maximum(1.0 - lasting, 1e-6), -np.inf).max(axis=1)
    level = np.unique(-worth, return_inverse=True)[1].ravel()
    ends = (lasting == 0).all(axis=1) & ((patterns.reward == 0) | (patterns.reward == -np.inf)).all(axis=1)
    return np.where(ends, -1, np.minimum(level - level[~ends].min(initial=0), LEVELS - 1))


def _stencil(patterns: _Patterns, pattern: NDArray[np.uint16], neighbour: NDArray[np.int32]) -> Stencil:
    moving = np.where(patterns.stuck, 1.0, 1.0 - patterns.staying)
    constant = np.where(patterns.stuck, -np.inf, patterns.reward / moving)
    weight = np.where(patterns.stuck[:, :, None], 0.0, patterns.continuation / moving[:, :, None])
    n_actions, n_sides = weight.shape[1:]
    return Stencil(
        constant=constant.ravel(),
        weight=weight.reshape(-1, n_sides),
        moving=moving.ravel(),
        pattern=pattern,
        neighbour=neighbour,
        n_actions=n_actions,
        actions=tuple(range(n_actions)) if (n_actions, n_sides) in UNROLLED else (),
        sides=tuple(range(n_sides)) if (n_actions, n_sides) in UNROLLED else (),
    )


def _accuracy(problem: Problem, examples: Rows, patterns: _Patterns) -> Accuracy:
    """The accuracy of :func:`residual`, which computes moving (constant + sum of weight v' - v).

    To the roundings of a backup come those of the sums over equal neighbours, of 1 - stay, of the quotients and of the
    sum over D neighbours, 2 D + 10 at most; errors of ``moving`` itself cancel but for |v|, hence the factor 2.
    """
    exact = accuracy_of(problem.model, examples, problem.discount, mixed=False)
    more = (2 * patterns.distance.shape[1] + 10) * UNIT
    return exact._replace(rounding=2.0 * (exact.rounding + more))


def block_gauss_seidel(problem: Problem, grid: Grid, limit: int) -> MethodResult | None:
    """Gauss-Seidel by blocks on a stencil; ``None`` where so many passes were not enough.

    Below discount 1 until the values are certified, else until only rounding moves them.
    """
    stencil, accuracy = grid.stencil, grid.accuracy
    m, beta = len(grid.order), accuracy.contraction
    v, choice = np.zeros(m + 1), np.full(m, -1, np.int32)
    guess(stencil, v)
    theta = problem.tol * (1.0 - beta) / 4.0 if beta < 1.0 else problem.tol / 1e3
    passes = 0
    while True:
        active, low = np.ones(len(grid.links), np.bool_), 0
        while low < len(active):
            if passes >= limit:
                return None
            low, made = relax(stencil, v, choice, active, grid.links, low, theta, min(PASSES, limit - passes))
            passes += made
            if problem.on_sweep:
                problem.report(passes, _all_states(problem, grid, v))
        change, size = residual(stencil, v)
        rounding = slack(accuracy, size)
        if beta < 1.0 and error_bound(accuracy, change, size) <= problem.tol:
            return MethodResult(_all_states(problem, grid, v), error_bound(accuracy, change, size), passes)
        if change <= 2.0 * rounding:
            return _swept(problem, _all_states(problem, grid, v), passes)
        theta = max(min(theta, change) / 8.0, rounding / 16.0)


def _swept(problem: Problem, v: Floats, passes: int) -> MethodResult:
    """The result of one more sweep over all outcomes, whose rounding errors are smaller: as close as float64 comes."""
    out, accuracy = np.empty_like(v), problem.accuracy
    change, size = sweep(problem.rows, NO_WEIGHT, 0.0, v, out)
    return MethodResult(
        out, certified(problem.model, accuracy, accuracy.contraction * change, size, problem.tol), passes
    )


def _all_states(problem: Problem, grid: Grid, v: Floats) -> Floats:
    values = np.zeros(problem.n_states)
    values[grid.order] = v[:-1]
    return values
