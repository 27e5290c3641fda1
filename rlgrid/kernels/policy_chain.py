"""Sweeps for models without a map: improvement, and policies as chains with one row for each state.

A row's q is its mean reward plus what follows: ``reward[row] + sum of weight v``, the weight being the discount times
the probability of going on. A policy has one row for each state, which is copied out, so that its sweeps read memory in
order.

How far T v moves v says how far v* can be (:mod:`rlgrid.planning.modified_policy_iteration`), and by how much the
differences between rows can change: by the span of a change of v at most. So rows that are far behind need no look.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled
from rlgrid.kernels.sweeps import Rows
from rlgrid.models.tables import Tables


class Backups(NamedTuple):
    """Rows by their mean rewards: S states, R rows, N outcomes."""

    begin: Ints  # [S + 1] where the rows of each state begin
    first: Ints  # [R + 1] where the outcomes of each row begin
    next_state: NDArray[np.int32]  # [N]
    weight: Floats  # [N] discount times the probability of going on
    reward: Floats  # [R] mean
    total: Floats  # [R] sum of the weights


class Chain(NamedTuple):
    """A policy: a row for each of S states, with room for M outcomes."""

    first: Ints  # [S] where the outcomes of each state's row begin
    last: Ints  # [S] and where they end
    next_state: NDArray[np.int32]  # [M]
    weight: Floats  # [M]
    reward: Floats  # [S]
    total: Floats  # [S]


class Change(NamedTuple):
    """How a sweep has changed v."""

    least: float  # least T v - v
    most: float  # greatest T v - v
    mean: float
    size: float  # greatest |v|
    looked_at: int  # states of which all rows were looked at


class Measured(NamedTuple):
    """What there is in all rows that have outcomes."""

    low: float  # least sum of weights
    high: float  # greatest one
    reward: float  # greatest sum of probability times |reward|
    longest: int  # most outcomes of a row
    widest: int  # most rows of a state


@compiled
def gather(rows: Rows, weight: Floats, reward: Floats, total: Floats) -> Measured:
    """Write the weights [N], mean rewards [R] and sums of weights [R] of rows."""
    low, high, largest, longest, widest = np.inf, 0.0, 0.0, 0, 0
    for s in range(len(rows.begin) - 1):
        widest = max(widest, rows.begin[unsigned(s + 1)] - rows.begin[unsigned(s)])
        for row in range(rows.begin[unsigned(s)], rows.begin[unsigned(s + 1)]):
            begin, end = rows.first[unsigned(row)], rows.first[unsigned(row + 1)]
            mean, size, ahead = 0.0, 0.0, 0.0
            for i in range(begin, end):
                code = rows.code[unsigned(i)]
                weight[unsigned(i)] = rows.continuation[unsigned(code)]
                mean += rows.reward_share[unsigned(code)]
                size += abs(rows.reward_share[unsigned(code)])
                ahead += weight[unsigned(i)]
            reward[unsigned(row)], total[unsigned(row)] = mean, ahead
            if begin < end:
                low, high, largest = min(low, ahead), max(high, ahead), max(largest, size)
                longest = max(longest, end - begin)
    return Measured(low, high, largest, longest, widest)


@compiled
def gather_tables(
    t: Tables, n_actions: int, discount: float, weight: Floats, reward: Floats, total: Floats
) -> Measured:
    """The same of a model's rows at a discount, without making these first: that takes as much memory as the model."""
    low, high, largest, longest = np.inf, 0.0, 0.0, 0
    for row in range(len(reward)):
        begin, end = t.first[unsigned(row)], t.first[unsigned(row + 1)]
        mean, size, ahead = 0.0, 0.0, 0.0
        for i in range(begin, end):
            code = t.code[unsigned(i)]
            p = t.probability[unsigned(code)]
            weight[unsigned(i)] = 0.0 if t.terminated[unsigned(code)] else discount * p
            mean += p * t.reward[unsigned(code)]
            size += abs(p * t.reward[unsigned(code)])
            ahead += weight[unsigned(i)]
        reward[unsigned(row)], total[unsigned(row)] = mean, ahead
        if begin < end:
            low, high, largest = min(low, ahead), max(high, ahead), max(largest, size)
            longest = max(longest, end - begin)
    return Measured(low, high, largest, longest, n_actions)


@compiled
def back_up(begin: int, end: int, next_state: NDArray[np.int32], weight: Floats, reward: float, v: Floats) -> float:
    """q of a row whose outcomes stand at ``begin`` to ``end``."""
    q = reward
    for i in range(begin, end):
        q += weight[unsigned(i)] * v[unsigned(next_state[unsigned(i)])]
    return q


@compiled
def improve(
    b: Backups,
    chain: Chain,
    epsilon: float,
    v: Floats,
    drift: float,
    out: Floats,
    choice: NDArray[np.int32],
    gap: Floats,
    of_rows: Floats,
) -> Change:
    """out = T v, with the greedy row of each state in ``choice``; T and epsilon as in :mod:`rlgrid.kernels.sweeps`.

    ``gap`` [S] is by how much the greedy row was ahead of the next one, plus how much v had drifted by then. States
    whose gap is larger than the ``drift`` by now keep their row, that of the ``chain``. With epsilon above 0, and where
    ``gap`` is -inf, all rows are looked at. Their q go to ``of_rows`` [R], where there is room.
    """
    least, most, total, size, looked_at = np.inf, -np.inf, 0.0, 0.0, 0
    for s in range(len(v)):
        if gap[unsigned(s)] > drift and epsilon == 0.0:
            begin, end = chain.first[unsigned(s)], chain.last[unsigned(s)]
            new = back_up(begin, end, chain.next_state, chain.weight, chain.reward[unsigned(s)], v)
        else:
            looked_at += 1
            new, second, arg, mean, n = -np.inf, -np.inf, -1, 0.0, 0
            end = b.first[unsigned(b.begin[unsigned(s)])]
            for row in range(b.begin[unsigned(s)], b.begin[unsigned(s + 1)]):
                begin, end = end, b.first[unsigned(row + 1)]
                if begin == end:
                    continue
                q = back_up(begin, end, b.next_state, b.weight, b.reward[unsigned(row)], v)
                if len(of_rows) > 0:
                    of_rows[unsigned(row)] = q
                mean += q
                n += 1
                second = max(second, min(q, new))
                arg = row if q > new else arg
                new = max(q, new)
            gap[unsigned(s)] = new - second + drift
            choice[unsigned(s)] = arg
            if epsilon > 0.0:
                new = (1.0 - epsilon) * new + epsilon * (mean / n)
        out[unsigned(s)] = new
        change = new - v[unsigned(s)]
        total += change
        least, most, size = min(least, change), max(most, change), max(size, abs(v[unsigned(s)]))
    return Change(least, most, total / len(v), size, looked_at)


@compiled
def begin(b: Backups, epsilon: float, out: Floats, choice: NDArray[np.int32], gap: Floats) -> Change:
    """The improvement of v = 0, where each row's q is its mean reward."""
    least, most, total = np.inf, -np.inf, 0.0
    for s in range(len(out)):
        new, second, arg, mean, n = -np.inf, -np.inf, -1, 0.0, 0
        for row in range(b.begin[unsigned(s)], b.begin[unsigned(s + 1)]):
            if b.first[unsigned(row)] == b.first[unsigned(row + 1)]:
                continue
            q = b.reward[unsigned(row)]
            mean += q
            n += 1
            second = max(second, min(q, new))
            arg = row if q > new else arg
            new = max(q, new)
        gap[unsigned(s)] = new - second
        choice[unsigned(s)] = arg
        if epsilon > 0.0:
            new = (1.0 - epsilon) * new + epsilon * (mean / n)
        out[unsigned(s)] = new
        total += new
        least, most = min(least, new), max(most, new)
    return Change(least, most, total / len(out), 0.0, len(out))


@compiled
def row_bounds(b: Backups, v: Floats) -> tuple[float, float]:
    """The least over the states of the largest (q - v) / (1 - total) of a row, and the largest one of all."""
    low, high = np.inf, -np.inf
    for s in range(len(v)):
        best = -np.inf
        for row in range(b.begin[unsigned(s)], b.begin[unsigned(s + 1)]):
            begin, end = b.first[unsigned(row)], b.first[unsigned(row + 1)]
            if begin < end:
                q = back_up(begin, end, b.next_state, b.weight, b.reward[unsigned(row)], v)
                best = max(best, (q - v[unsigned(s)]) / (1.0 - b.total[unsigned(row)]))
        low, high = min(low, best), max(high, best)
    return low, high


@compiled
def make_room(b: Backups, chain: Chain) -> None:
    """Room in the chain for the longest row of each state."""
    place = 0
    for s in range(len(chain.first)):
        most = 0
        for row in range(b.begin[unsigned(s)], b.begin[unsigned(s + 1)]):
            most = max(most, b.first[unsigned(row + 1)] - b.first[unsigned(row)])
        chain.first[unsigned(s)] = chain.last[unsigned(s)] = place
        place += most


@compiled
def follow(b: Backups, choice: NDArray[np.int32], followed: NDArray[np.int32], chain: Chain) -> None:
    """Make the chain that of a policy that takes one row in each state; ``followed`` [S] are those it has."""
    for s in range(len(choice)):
        row = choice[unsigned(s)]
        if row == followed[unsigned(s)]:
            continue
        followed[unsigned(s)] = row
        chain.reward[unsigned(s)], chain.total[unsigned(s)] = b.reward[unsigned(row)], b.total[unsigned(row)]
        to = chain.first[unsigned(s)]
        for i in range(b.first[unsigned(row)], b.first[unsigned(row + 1)]):
            chain.next_state[unsigned(to)], chain.weight[unsigned(to)] = (
                b.next_state[unsigned(i)],
                b.weight[unsigned(i)],
            )
            to += 1
        chain.last[unsigned(s)] = to


@compiled
def mix(b: Backups, share: Floats, chain: Chain) -> None:
    """Make the chain that of a policy that takes each row with a probability, ``share`` [R]."""
    n = 0
    for s in range(len(chain.reward)):
        chain.first[unsigned(s)] = n
        reward, total = 0.0, 0.0
        for row in range(b.begin[unsigned(s)], b.begin[unsigned(s + 1)]):
            p = share[unsigned(row)]
            if p > 0.0:
                reward += p * b.reward[unsigned(row)]
                total += p * b.total[unsigned(row)]
                for i in range(b.first[unsigned(row)], b.first[unsigned(row + 1)]):
                    chain.next_state[unsigned(n)] = b.next_state[unsigned(i)]
                    chain.weight[unsigned(n)] = p * b.weight[unsigned(i)]
                    n += 1
        chain.last[unsigned(s)] = n
        chain.reward[unsigned(s)], chain.total[unsigned(s)] = reward, total


@compiled
def sweep_chain(chain: Chain, v: Floats, out: Floats) -> tuple[float, float]:
    """out = r + P v, the weights being P; least and greatest out - v."""
    least, most = np.inf, -np.inf
    for s in range(len(v)):
        begin, end = chain.first[unsigned(s)], chain.last[unsigned(s)]
        new = back_up(begin, end, chain.next_state, chain.weight, chain.reward[unsigned(s)], v)
        out[unsigned(s)] = new
        least, most = min(least, new - v[unsigned(s)]), max(most, new - v[unsigned(s)])
    return least, most


@compiled
def sweep_in_place(chain: Chain, v: Floats) -> tuple[float, float]:
    """v = r + P v, a state at a time with the newest values of the others; the least and greatest change."""
    least, most = np.inf, -np.inf
    for s in range(len(v)):
        begin, end = chain.first[unsigned(s)], chain.last[unsigned(s)]
        new = back_up(begin, end, chain.next_state, chain.weight, chain.reward[unsigned(s)], v)
        least, most = min(least, new - v[unsigned(s)]), max(most, new - v[unsigned(s)])
        v[unsigned(s)] = new
    return least, most


@compiled
def raise_by(chain: Chain, change: float, out: Floats) -> None:
    """Make of out = r + P v what it is for v + change."""
    for s in range(len(out)):
        out[unsigned(s)] += chain.total[unsigned(s)] * change


@compiled
def average(v: Floats, out: Floats) -> None:
    """out = (v + out) / 2."""
    for s in range(len(v)):
        out[unsigned(s)] = 0.5 * (v[unsigned(s)] + out[unsigned(s)])


@compiled
def span(a: Floats, b: Floats) -> float:
    """max (a - b) - min (a - b)."""
    least, most = np.inf, -np.inf
    for s in range(len(a)):
        change = a[unsigned(s)] - b[unsigned(s)]
        least, most = min(least, change), max(most, change)
    return most - least


@compiled
def multiply(chain: Chain, x: Floats, y: Floats) -> None:
    """y = x - P x."""
    for s in range(len(x)):
        total = x[unsigned(s)]
        for i in range(chain.first[unsigned(s)], chain.last[unsigned(s)]):
            total -= chain.weight[unsigned(i)] * x[unsigned(chain.next_state[unsigned(i)])]
        y[unsigned(s)] = total


@compiled
def biconjugate_gradients(chain: Chain, r: Floats, x: Floats, work: Floats, tol: float, most: int) -> int:
    """x with about x - P x = r, by BiCGstab from x = 0 (van der Vorst 1992); the multiplications that it took.

    r is used up; it ends where its length has fallen by ``tol``, after ``most`` multiplications, or where the method
    breaks down. ``work`` [4, S] is room.
    """
    start, p, y, t = work[0], work[1], work[2], work[3]
    rho = 0.0
    for s in range(len(r)):
        x[unsigned(s)] = 0.0
        start[unsigned(s)] = p[unsigned(s)] = r[unsigned(s)]
        rho += r[unsigned(s)] ** 2
    length, done = rho, 0
    while done < most and rho != 0.0:
        multiply(chain, p, y)
        along = 0.0
        for s in range(len(r)):
            along += start[unsigned(s)] * y[unsigned(s)]
        alpha = rho / along
        for s in range(len(r)):
            r[unsigned(s)] -= alpha * y[unsigned(s)]
        multiply(chain, r, t)
        done += 2
        tt, tr = 0.0, 0.0
        for s in range(len(r)):
            tt += t[unsigned(s)] ** 2
            tr += t[unsigned(s)] * r[unsigned(s)]
        omega = tr / tt if tt > 0.0 else 0.0
        left, new = 0.0, 0.0
        for s in range(len(r)):
            x[unsigned(s)] += alpha * p[unsigned(s)] + omega * r[unsigned(s)]
            r[unsigned(s)] -= omega * t[unsigned(s)]
            left += r[unsigned(s)] ** 2
            new += start[unsigned(s)] * r[unsigned(s)]
        if not left > tol * tol * length or omega == 0.0:
            break
        beta = new / rho * (alpha / omega)
        rho = new
        for s in range(len(r)):
            p[unsigned(s)] = r[unsigned(s)] + beta * (p[unsigned(s)] - omega * y[unsigned(s)])
    return done
