"""Modified policy iteration with bounds by the span, for models that are no grid.

A policy is improved by a backup T of all states, then evaluated a little, and so on (Puterman & Shin 1978; Puterman,
Markov Decision Processes, Sec. 6.5). What T v - v has in common in all states is a constant that v is off by; so it is
the span of T v - v that bounds the error (MacQueen 1966; Puterman, Sec. 6.6.3), and it soon falls where a model mixes.

Theorem. Let b be the sum of a row's weights, discount times the probabilities of going on, and g = (q - v(s)) / (1 - b)
with q = r + sum of weight v. Then v + low <= v* <= v + high, where high is the largest g of all rows and low the least
over the states of their largest g. Proof. If v is raised by d everywhere, a row's q rises by b d. So with d = high all
rows have q <= v, T v <= v and v* <= v; with d = low each state has a row with q >= v, T v >= v, and v* >= v.
Where all b lie between two numbers, bounds on T v - v give bounds on g.

How a policy is evaluated depends on what the model is like:

- a few sweeps in place and a constant, where it mixes: they need fewer passes than synchronous ones, but the span that
  is proven is that of a synchronous backup, as theirs does not settle where all of v is off;
- sweeps and corrections by blocks of states that lie near each other (:mod:`rlgrid.kernels.blocks`), in the order of
  their numbers or of a search of the graph, where a step leads to near states only;
- BiCGstab, where neither is enough.

None of these needs to be right: a new v counts by what a backup of it shows.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.kernels.blocks import Blocks, correct, factorize, find_edges
from rlgrid.kernels.policy_chain import (
    Backups,
    Chain,
    Change,
    Measured,
    average,
    begin,
    biconjugate_gradients,
    follow,
    gather,
    gather_tables,
    improve,
    make_room,
    mix,
    raise_by,
    row_bounds,
    span,
    sweep_chain,
    sweep_in_place,
)
from rlgrid.kernels.sweeps import NO_WEIGHT, OUTWARD, Accuracy, slack
from rlgrid.planning.certificate import UNIT, accuracy_from
from rlgrid.planning.problem import MethodResult, Problem
from rlgrid.planning.sweeping import value_iteration

#: Sweeps of a policy between two improvements: while many states may still change their action, and later.
FEW, MANY = 2, 32

#: A policy's sweeps end where the span of their change is so much smaller than that of the improvement.
ENOUGH = 0.01

#: Improvements without one that halves the error bound, after which another way to evaluate is taken.
PATIENCE = {"constant": 10, "blocks": 60, "ordered blocks": 60, "gradients": 25}

#: Sweeps after a correction by blocks and a damped one, and corrections of a policy.
SMOOTHING, CORRECTIONS = 2, 3

#: Corrections that make the span of the change so many times larger are taken back.
WORSE = 10.0

#: Blocks lead to so many others each at most, or a correction by blocks is given up.
MOST_NEIGHBOURS = 12

#: Steps that are short, and half the width of a band that is narrow enough as it is.
SHORT, NARROW = 3, 4

#: BiCGstab reduces the length of what is left by so much, in so many multiplications at most.
INNER, MOST_MULTIPLICATIONS = 1e-3, 1_000


def modified_policy_iteration(problem: Problem) -> MethodResult:
    """Modified policy iteration; where it does not settle, value iteration, which does.

    At discount 1 policies that are good but for rounding can put the end off for ever, so that none settles.
    """
    iteration = _Iteration(problem)
    found = iteration.settle()
    if found is not None:
        return found
    if iteration.done < problem.max_sweeps:
        return value_iteration(problem)
    change = iteration.improve(full=True)
    largest = max(abs(change.least), abs(change.most)) + slack(iteration.accuracy, change.size)
    return problem.at_limit(iteration.v, largest, change.size, problem.max_sweeps)


def settled(problem: Problem) -> MethodResult | None:
    """The same, or ``None`` where it does not settle soon."""
    return _Iteration(problem).settle()


def bounds(accuracy: Accuracy, low_total: float, change: Change) -> tuple[float, float]:
    """Numbers with v + low <= v* <= v + high, where T v - v is known, and the least sum of a row's weights.

    They hold for the numbers as stored and for those they were rounded from.
    """
    if not accuracy.contraction < 1.0:
        return -np.inf, np.inf
    error = slack(accuracy, change.size)
    most = change.most + error + 4 * UNIT * abs(change.most)
    least = change.least - error - 4 * UNIT * abs(change.least)
    short, long = 1.0 - low_total * (1.0 - 2.0 * accuracy.rounding), 1.0 - accuracy.contraction
    high = most / (long if most >= 0 else short)
    low = least / (short if least >= 0 else long)
    return low - 4 * UNIT * abs(low), high + 4 * UNIT * abs(high)


def rowwise_bounds(accuracy: Accuracy, b: Backups, v: Floats, size: float) -> tuple[float, float]:
    """The same from each row's own sum.

    Rounding moves q by the slack of a backup, and 1 - b by rounding times b; so a bound d is right once it is moved
    outwards by slack (where |v| is larger by |d|) / (1 - b), and by the roundings of its own.
    """
    if not accuracy.contraction < 1.0:
        return -np.inf, np.inf
    low, high = row_bounds(b, v)
    out = [
        OUTWARD * slack(accuracy, size + abs(d)) / (1.0 - accuracy.contraction) + 8 * UNIT * abs(d) for d in (low, high)
    ]
    return low - out[0], high + out[1]


class _Iteration:
    """One attempt at a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.backups, measured = backups_of(problem)
        self.low_total, self.high_total = measured.low, measured.high
        self.accuracy = accuracy_from(
            problem.model, (measured.high, *measured[2:]), problem.discount, mixed=problem.epsilon > 0
        )
        n = problem.n_states
        self.chain = Chain(
            np.empty(n, np.int64),
            np.empty(n, np.int64),
            np.empty(len(self.backups.next_state), np.int32),
            np.empty(len(self.backups.next_state)),
            np.empty(n),
            np.empty(n),
        )
        if len(problem.weight):
            self._evaluate_only()
        make_room(self.backups, self.chain)
        self.v, self.out, self.before = np.zeros(n), np.empty(n), np.empty(n)
        self.choice, self.followed = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
        self.gap, self.drift = np.full(n, -np.inf), 0.0
        self.backup = np.empty(n if self.accuracy.contraction >= 1 else 0)
        self.done, self.of_rows = 0, NO_WEIGHT
        self.blocks = blocks_by(self.backups, np.arange(n))
        self.way = "constant" if self.blocks is None else "blocks"

    def _evaluate_only(self) -> None:
        """Where a policy is given: its mixed row is the only one of each state."""
        mix(self.backups, self.problem.weight, self.chain)
        heaviest = float(np.add.reduceat(self.problem.weight, self.backups.begin[:-1]).max())
        first = np.append(self.chain.first, self.chain.last[-1])
        begin = np.arange(self.problem.n_states + 1)
        self.backups = Backups(
            begin,
            first,
            self.chain.next_state[: first[-1]].copy(),
            self.chain.weight[: first[-1]].copy(),
            self.chain.reward.copy(),
            self.chain.total.copy(),
        )
        self.low_total, self.high_total = float(self.chain.total.min()), float(self.chain.total.max())
        k = (10 + 2 * int(np.diff(first).max())) * UNIT  # a mixed row adds all outcomes of its rows
        self.accuracy = Accuracy(
            self.accuracy.contraction * max(1.0, heaviest), self.accuracy.reward * max(1.0, heaviest), k / (1 - k)
        )

    def settle(self) -> MethodResult | None:
        """Improve and evaluate until v is certified, or at discount 1 until only rounding moves it."""
        least, best, since, full = np.inf, np.inf, 0, False
        while self.done < self.problem.max_sweeps:
            change = self.improve(full=full)
            width = change.most - change.least
            if self.accuracy.contraction >= 1:
                width = abs(change.least) + abs(change.most)
                if not width <= WORSE * least:
                    self._back_to_sweeps()
                    continue
                least = min(least, width)
            low, high = bounds(self.accuracy, self.low_total, change)
            if self._is_near(change, low, high):
                if not full:
                    full = True
                    continue
                found = self._finished(change, low, high)
                if found is not None:
                    return found
            self.problem.report(self.done, self.v)
            best, since = (width, 0) if width <= 0.5 * best else (best, since + 1)
            if since > PATIENCE[self.way] or not np.isfinite(width):
                if not self._next_way():
                    return None
                best, since = np.inf, 0
            full = self._evaluate(change)
        return None

    def _back_to_sweeps(self) -> None:
        """Take back the last evaluation but for the backup that it began with.

        At discount 1 a greedy policy may never end, and its values are not finite. Backups alone lead to v* there.
        """
        self.v[:] = self.backup
        self.gap[:], self.drift = -np.inf, 0.0

    def improve(self, *, full: bool) -> Change:
        """out = T v. A full improvement looks at all rows of each state, and keeps their values."""
        epsilon, of_rows = self.problem.epsilon, NO_WEIGHT
        self.done += 1
        if self.done == 1 and not full:  # v is 0
            return Change(*begin(self.backups, epsilon, self.out, self.choice, self.gap))
        if full:
            self.gap[:], self.drift = -np.inf, 0.0
            of_rows = self.of_rows = np.full(len(self.backups.reward), -np.inf)
        change = improve(
            self.backups, self.chain, epsilon, self.v, self.drift, self.out, self.choice, self.gap, of_rows
        )
        return Change(*change)

    def _is_near(self, change: Change, low: float, high: float) -> bool:
        """Whether v may be as good as it gets."""
        rounding = slack(self.accuracy, change.size)
        if self.accuracy.contraction >= 1:
            return max(abs(change.least), abs(change.most)) <= 4 * rounding
        return 0.5 * (high - low) <= self.problem.tol or change.most - change.least <= 4 * rounding

    def _finished(self, change: Change, low: float, high: float) -> MethodResult | None:
        """The result of a full improvement."""
        if self.accuracy.contraction >= 1:
            return MethodResult(self.out, np.inf, self.done)
        if not 0.5 * (high - low) <= self.problem.tol and self.low_total < self.high_total and not self.problem.epsilon:
            own = rowwise_bounds(self.accuracy, self.backups, self.v, change.size)
            low, high = max(low, own[0]), min(high, own[1])
        middle = 0.5 * (low + high)
        bound = OUTWARD * max(high - middle, middle - low) + 4 * UNIT * (change.size + abs(middle))
        moves = change.most - change.least > 4 * slack(self.accuracy, change.size)
        if bound > self.problem.tol and moves:
            return None
        found = MethodResult(self.v + middle, bound, self.done)
        if len(self.problem.weight) or self.problem.given is not None or not len(self.of_rows):
            return found
        rounding = 2 * slack(self.accuracy, change.size + abs(middle))
        return found._replace(of_rows=partial(_raised, self.of_rows, self.backups.total, middle, rounding))

    def _evaluate(self, change: Change) -> bool:
        """Move v towards the values of the policy found; whether it is likely to be good enough now."""
        self.before[:] = self.v
        self.v, self.out = self.out, self.v
        if self.accuracy.contraction >= 1:
            self.backup[:] = self.v
        if self.problem.epsilon > 0:
            mix(self.backups, self.problem.soft(self.choice.astype(np.int64)), self.chain)
        else:
            follow(self.backups, self.choice, self.followed, self.chain)
        aim = ENOUGH * (change.most - change.least)
        if self.way == "gradients":
            left = self._by_gradients()
        elif self.blocks is not None:
            left = self._by_blocks(self.blocks, aim)
        else:
            leaving = 1.0 - float(self.chain.total.mean())
            if leaving > 0:
                raise_by(self.chain, change.mean / leaving, self.v)
            most = FEW if change.looked_at > len(self.v) // 16 else MANY
            left = self._in_place(most, aim)
        self.drift += span(self.v, self.before)
        return 0.5 * left <= self.problem.tol * (1.0 - self.high_total)

    def _sweeps(self, most: int, aim: float, *, damped: bool) -> float:
        """Sweeps of the policy; the span of the last one's change.

        Where a chain has a period of 2, errors only change their sign. One sweep that goes half the way stops that.
        """
        left = np.inf
        if damped:
            sweep_chain(self.chain, self.v, self.out)
            average(self.v, self.out)
            self.v, self.out = self.out, self.v
        for _ in range(most):
            least, greatest = sweep_chain(self.chain, self.v, self.out)
            self.v, self.out = self.out, self.v
            left = greatest - least
            if left <= aim:
                break
        return left

    def _in_place(self, most: int, aim: float) -> float:
        """Sweeps of the policy in place; the span of the last one's change."""
        left = np.inf
        for _ in range(most):
            least, greatest = sweep_in_place(self.chain, self.v)
            left = greatest - least
            if left <= aim:
                break
        return left

    def _by_blocks(self, blocks: Blocks, aim: float) -> float:
        """Corrections by blocks, unless they make it worse.

        The steps between blocks make the span of the change larger for a while, so it is looked at in the end.
        """
        factorize(self.chain, blocks)
        uncorrected, before, left = self.v.copy(), np.inf, np.inf
        for _ in range(CORRECTIONS):
            least, most = sweep_chain(self.chain, self.v, self.out)
            before = min(before, WORSE * (most - least))
            correct(blocks, self.v, self.out)
            left = self._sweeps(SMOOTHING, 0.0, damped=True)
            if left <= aim:
                break
        if left <= before:
            return left
        self.v = uncorrected
        return self._sweeps(MANY, aim, damped=True)

    def _by_gradients(self) -> float:
        sweep_chain(self.chain, self.v, self.out)
        x, work = np.empty_like(self.v), np.empty((4, len(self.v)))
        biconjugate_gradients(self.chain, self.out - self.v, x, work, INNER, MOST_MULTIPLICATIONS)
        if np.isfinite(x).all():
            self.v += x
        return self._sweeps(1, 0.0, damped=False)

    def _next_way(self) -> bool:
        """Turn to another way to evaluate; whether there is one."""
        if not np.isfinite(self.v).all():
            self.v[:] = 0.0
        self.gap[:], self.drift = -np.inf, 0.0
        if self.way == "constant":
            self.blocks = blocks_by(self.backups, search_positions(self.backups))
            self.way = "ordered blocks" if self.blocks is not None else "gradients"
            return True
        self.blocks = None
        self.way, before = "gradients", self.way
        return before != "gradients"


def _raised(of_rows: Floats, total: Floats, change: float, rounding: float) -> tuple[Floats, float]:
    """The values of rows where v is raised by a change, and how far rounding can move them."""
    return of_rows + total * change, rounding


def backups_of(problem: Problem) -> tuple[Backups, Measured]:
    """Rows by their mean rewards, and what there is in them."""
    if problem.given is not None:
        rows = problem.given
        b = _empty_backups(rows.begin, rows.first, rows.next_state)
        return b, Measured(*gather(rows, b.weight, b.reward, b.total))
    t, n_actions = problem.model.tables, problem.model.n_actions
    b = _empty_backups(np.arange(0, problem.n_states * n_actions + 1, n_actions), t.first, t.next_state)
    return b, Measured(*gather_tables(t, n_actions, problem.discount, b.weight, b.reward, b.total))


def _empty_backups(begin: Ints, first: Ints, next_state: NDArray[np.int32]) -> Backups:
    n_rows = len(first) - 1
    return Backups(begin, first, next_state, np.empty(len(next_state)), np.empty(n_rows), np.empty(n_rows))


def blocks_by(b: Backups, position: Ints) -> Blocks | None:
    """Blocks of states that stand together, by the position [S] of each; ``None`` where they lead to too many others.

    A block is as wide as a step, on average; where steps are short, each state is a block, and what the blocks say is
    exact. A small graph, of the blocks, is searched for an order with a narrow band.
    """
    from scipy.sparse import csr_array  # SciPy loads when it is used
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    n = len(position)
    width = _mean_step(b, position)
    if width > n / 32:
        return None
    of_state = (position // width).astype(np.int32)
    count = int(of_state.max()) + 1
    room = MOST_NEIGHBOURS * count
    source, target = np.empty(room, np.int64), np.empty(room, np.int64)
    order = np.argsort(position, kind="stable")
    n_edges = find_edges(b, order, of_state, np.full(count, -1), source, target)
    if n_edges < 0:
        return None
    source, target = source[:n_edges], target[:n_edges]
    rank = np.arange(count, dtype=np.int32)
    if np.abs(source - target).max(initial=0) > NARROW:
        graph = csr_array((np.ones(n_edges), (source, target)), shape=(count, count))
        rank[reverse_cuthill_mckee(csr_array(graph + graph.T), symmetric_mode=True)] = np.arange(count, dtype=np.int32)
    half = int(np.abs(rank[source] - rank[target]).max(initial=0))
    if count * (half + 1) ** 2 > 10 * len(b.next_state):
        return None
    of_state = rank[of_state]
    size = np.bincount(of_state, minlength=count).astype(np.float64)
    return Blocks(of_state, size, np.empty((count, 2 * half + 1)), np.empty(count))


def _mean_step(b: Backups, position: Ints) -> int:
    """About how far outcomes lead on average, the short way round; 1 where that is not far."""
    n = len(position)
    rows = np.linspace(0, len(b.first) - 2, 500).astype(np.int64)
    rows = rows[b.first[rows] < b.first[rows + 1]]
    state = np.searchsorted(b.begin, rows, side="right") - 1
    outcome = (b.first[rows] + b.first[rows + 1]) // 2  # one in the middle, as they are in order
    far = np.abs(position[b.next_state[outcome]] - position[state])
    step = float(np.minimum(far, n - far).mean()) if len(rows) else 0.0
    return 1 if step <= SHORT else round(step)


def search_positions(b: Backups) -> Ints:
    """The position of each state in a search of the graph that keeps neighbours together (reverse Cuthill-McKee)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    n = len(b.begin) - 1
    graph = csr_array((np.ones(len(b.next_state), np.int8), b.next_state, b.first[b.begin]), shape=(n, n))
    position = np.empty(n, np.int64)
    position[reverse_cuthill_mckee(csr_array(graph + graph.T), symmetric_mode=True)] = np.arange(n)
    return position
