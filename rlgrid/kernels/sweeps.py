"""Sweeps of planning over rows of outcomes, with the bounds that say when to stop.

T is the operator that is swept: (1 - epsilon) max_a q(s, a) + epsilon mean_a q(s, a) over the actions of a state, or
sum_a policy(a | s) q(s, a) where the rows carry weights. A row without outcomes is an action that is not available.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.choices import unsigned
from rlgrid.compiled import compiled

#: More than what all underflows of a backup can add up to.
UNDERFLOW = 1e-300

#: Covers the few roundings in a bound itself.
OUTWARD = 1.0 + 2.0**-45

#: The weights of rows where T is the operator of the optimum.
NO_WEIGHT = np.zeros(0)


class Rows(NamedTuple):
    """A model at a discount: S states, R rows, N outcomes in all rows, C distinct ones."""

    begin: Ints  # [S + 1] where the rows of each state begin
    first: Ints  # [R + 1] where the outcomes of each row begin
    next_state: NDArray[np.int32]  # [N]
    code: NDArray[np.integer[Any]]  # [N] into the next two
    reward_share: Floats  # [C] probability times reward
    continuation: Floats  # [C] discount times the probability of going on; 0 where the episode ends


class Accuracy(NamedTuple):
    """How far a computed backup can be from T v: ``rounding * (reward + contraction * max |v|)``."""

    contraction: float  # T brings two values this much closer in the largest norm; not below 1 at discount 1
    reward: float  # largest sum of probability times |reward| in a row
    rounding: float  # relative error of a backup


@compiled
def slack(accuracy: Accuracy, size: float) -> float:
    """Largest rounding error of T v where max |v| = size."""
    return accuracy.rounding * (accuracy.reward + accuracy.contraction * size) + UNDERFLOW


@compiled
def error_bound(accuracy: Accuracy, change: float, size: float) -> float:
    """Bound on max |v - v*| where the computed T v differs from v by at most ``change``, and max |v| = size.

    |v - v*| <= |v - T v| + |T v - T v*| <= change + slack + contraction |v - v*|. For T v in the place of v the same
    holds with ``contraction * change``.
    """
    if not accuracy.contraction < 1.0:
        return np.inf
    return OUTWARD * (change + slack(accuracy, size)) / (1.0 - accuracy.contraction)


@compiled
def converged(accuracy: Accuracy, change: float, size: float, tol: float) -> bool:
    """Whether sweeps can stop after one that changed v by ``change``, where max |v| = ``size``.

    At discount 1: where v changes by rounding only. Below it also where v is certified to ``tol``, and where it never
    will be: v is then so near to v* that max |v*| is at least ``size`` / 2, and values so large cannot be computed to
    ``tol`` in float64.
    """
    error, beta = slack(accuracy, size), accuracy.contraction
    if beta >= 1.0:
        return change <= 4.0 * error
    if change <= error or error_bound(accuracy, beta * change, size) <= tol:
        return True
    return error > 2.0 * tol * (1.0 - beta) and beta * change <= 0.25 * (1.0 - beta) * size


@compiled
def row_value(rows: Rows, row: int, v: Floats) -> float:
    """q of a row: expected reward plus discounted expected value of what follows."""
    total = 0.0
    for i in range(rows.first[unsigned(row)], rows.first[unsigned(row + 1)]):
        code = rows.code[unsigned(i)]
        total += rows.reward_share[unsigned(code)]
        total += rows.continuation[unsigned(code)] * v[unsigned(rows.next_state[unsigned(i)])]
    return total


@compiled
def optimal_backup(rows: Rows, epsilon: float, v: Floats, state: int) -> tuple[float, float]:
    """(T v)(state), and the greatest q of the state."""
    best, total, n = -np.inf, 0.0, 0
    for row in range(rows.begin[state], rows.begin[state + 1]):
        if rows.first[row + 1] > rows.first[row]:
            q = row_value(rows, row, v)
            best = max(best, q)
            total += q
            n += 1
    if epsilon > 0.0:
        return (1.0 - epsilon) * best + epsilon * (total / n), best
    return best, best


@compiled
def policy_backup(rows: Rows, weight: Floats, v: Floats, state: int) -> float:
    """(T v)(state) for a policy that takes each row with probability ``weight[row]``."""
    total = 0.0
    for row in range(rows.begin[state], rows.begin[state + 1]):
        if weight[row] > 0.0:
            total += weight[row] * row_value(rows, row, v)
    return total


@compiled
def sweep(rows: Rows, weight: Floats, epsilon: float, v: Floats, out: Floats) -> tuple[float, float]:
    """out = T v; max |T v - v| and max |v|. Without weights (length 0) T is the operator of the optimum."""
    change, size = 0.0, 0.0
    for s in range(len(v)):
        new = policy_backup(rows, weight, v, s) if len(weight) else optimal_backup(rows, epsilon, v, s)[0]
        change = max(change, abs(new - v[s]))
        size = max(size, abs(v[s]))
        out[s] = new
    return change, size


@compiled
def sweep_in_place(rows: Rows, weight: Floats, epsilon: float, v: Floats) -> tuple[float, float]:
    """v = T v, a state at a time; the largest change, and the largest |v| before or after it."""
    change, size = 0.0, 0.0
    for s in range(len(v)):
        new = policy_backup(rows, weight, v, s) if len(weight) else optimal_backup(rows, epsilon, v, s)[0]
        change = max(change, abs(new - v[s]))
        size = max(size, abs(v[s]), abs(new))
        v[s] = new
    return change, size


@compiled
def iterate(
    rows: Rows, weight: Floats, epsilon: float, v: Floats, work: Floats, accuracy: Accuracy, tol: float, limit: int
) -> tuple[int, float, float]:
    """Sweep v in place up to ``limit`` times (at least once), or until they have converged; negative ``tol``: never.

    Returns the sweeps made, how far the last one moved v, and max |v| before it.
    """
    old, new = v, work
    done, change, size = 0, 0.0, 0.0
    while done < limit:
        change, size = sweep(rows, weight, epsilon, old, new)
        old, new = new, old
        done += 1
        if tol >= 0.0 and converged(accuracy, change, size, tol):
            break
    if done % 2 == 1:
        for s in range(len(v)):
            v[s] = work[s]
    return done, change, size


@compiled
def row_size(rows: Rows, row: int, v: Floats) -> float:
    """What the terms of a row's q add up to without their signs: rounding is relative to this, not to q."""
    total = 0.0
    for i in range(rows.first[row], rows.first[row + 1]):
        code = rows.code[i]
        total += abs(rows.reward_share[code]) + rows.continuation[code] * abs(v[rows.next_state[i]])
    return total


@compiled
def choose_rows(
    rows: Rows, epsilon: float, v: Floats, choice: Ints, tie: float, most: float = np.inf
) -> tuple[float, float]:
    """Write the greedy row of each state; max |T v - v| and max |v|.

    Rows are equally good within ``tie`` of the best, relative to its size, and within ``most``. Of these it keeps the
    one that ``choice`` names already, else takes the first.
    """
    change, size = 0.0, 0.0
    for s in range(len(v)):
        new, best = optimal_backup(rows, epsilon, v, s)
        margin = 0.0
        if tie > 0.0:
            for row in range(rows.begin[s], rows.begin[s + 1]):
                if rows.first[row + 1] > rows.first[row] and row_value(rows, row, v) == best:
                    margin = max(margin, tie * row_size(rows, row, v))
            margin = min(margin, most)
        if choice[s] < 0 or not row_value(rows, choice[s], v) >= best - margin:
            for row in range(rows.begin[s], rows.begin[s + 1]):
                if rows.first[row + 1] > rows.first[row] and row_value(rows, row, v) >= best - margin:
                    choice[s] = row
                    break
        change = max(change, abs(new - v[s]))
        size = max(size, abs(v[s]))
    return change, size


@compiled
def choose_by_values(rows: Rows, q: Floats, v: Floats, choice: Ints, tie: float, most: float) -> None:
    """The same choice from the values q of the rows, [R], at v."""
    for s in range(len(v)):
        best, margin = -np.inf, 0.0
        for row in range(rows.begin[unsigned(s)], rows.begin[unsigned(s + 1)]):
            best = max(best, q[unsigned(row)])
        for row in range(rows.begin[unsigned(s)], rows.begin[unsigned(s + 1)]):
            if q[unsigned(row)] == best and rows.first[unsigned(row + 1)] > rows.first[unsigned(row)]:
                margin = max(margin, tie * row_size(rows, row, v))
        least = best - min(margin, most)
        if choice[unsigned(s)] < 0 or not q[unsigned(choice[unsigned(s)])] >= least:
            for row in range(rows.begin[unsigned(s)], rows.begin[unsigned(s + 1)]):
                if q[unsigned(row)] >= least and rows.first[unsigned(row + 1)] > rows.first[unsigned(row)]:
                    choice[unsigned(s)] = row
                    break


@compiled
def near_the_best(q: Floats, near: float, optimal: NDArray[np.bool_], several: NDArray[np.bool_], best: Ints) -> None:
    """Which ones of q [S, A] are within ``near`` of the best; where these are several, and the first best row, [S]."""
    n_actions = q.shape[1]
    for s in range(len(q)):
        most, arg, count = -np.inf, 0, 0
        for a in range(n_actions):
            arg = a if q[unsigned(s), unsigned(a)] > most else arg
            most = max(most, q[unsigned(s), unsigned(a)])
        for a in range(n_actions):
            is_near = q[unsigned(s), unsigned(a)] >= most - near
            optimal[unsigned(s), unsigned(a)] = is_near
            count += is_near
        several[unsigned(s)] = count > 1
        best[unsigned(s)] = s * n_actions + arg


@compiled
def row_values(rows: Rows, v: Floats, out: Floats) -> None:
    """q of every row, [R]; -inf where the action is not available."""
    for row in range(len(out)):
        out[row] = row_value(rows, row, v) if rows.first[row + 1] > rows.first[row] else -np.inf


@compiled
def count_steps(rows: Rows, near: NDArray[np.bool_], epsilon: float, x: Floats, out: Floats) -> float:
    """out = 1 + P x, at discount 1, for the near row of each state that makes it greatest; max (out - x).

    P moves by that row with probability 1 - epsilon, and by any available one otherwise.
    """
    change = 0.0
    for s in range(len(x)):
        best, total, n = 0.0, 0.0, 0
        for row in range(rows.begin[s], rows.begin[s + 1]):
            if rows.first[row + 1] == rows.first[row] or not (near[row] or epsilon > 0.0):
                continue
            ahead = 0.0
            for i in range(rows.first[row], rows.first[row + 1]):
                ahead += rows.continuation[rows.code[i]] * x[rows.next_state[i]]
            if near[row]:
                best = max(best, ahead)
            total += ahead
            n += 1
        out[s] = 1.0 + (1.0 - epsilon) * best + epsilon * (total / n)
        change = max(change, out[s] - x[s])
    return change


@compiled
def raise_steps(rows: Rows, near: NDArray[np.bool_], order: Ints, x: Floats) -> float:
    """x = 1 + P x in place, in an order, without epsilon and with staying solved for; the largest relative change."""
    change = 0.0
    for s in order:
        most = x[s]
        for row in range(rows.begin[s], rows.begin[s + 1]):
            if not near[row] or rows.first[row + 1] == rows.first[row]:
                continue
            ahead, stay = 1.0, 0.0
            for i in range(rows.first[row], rows.first[row + 1]):
                if rows.next_state[i] == s:
                    stay += rows.continuation[rows.code[i]]
                else:
                    ahead += rows.continuation[rows.code[i]] * x[rows.next_state[i]]
            if stay < 1.0:
                most = max(most, ahead / (1.0 - stay))
        change = max(change, (most - x[s]) / most)
        x[s] = most
    return change


@compiled
def measure(rows: Rows) -> tuple[float, float, int, int]:
    """Over all rows: greatest sum of ``continuation`` and of |reward_share|, most outcomes; most rows of a state."""
    continuation, reward, longest, widest = 0.0, 0.0, 0, 0
    for s in range(len(rows.begin) - 1):
        begin, end = rows.begin[unsigned(s)], rows.begin[unsigned(s + 1)]
        widest = max(widest, end - begin)
        for row in range(begin, end):
            first, last = rows.first[unsigned(row)], rows.first[unsigned(row + 1)]
            on, pay = 0.0, 0.0
            for i in range(first, last):
                code = rows.code[unsigned(i)]
                on += rows.continuation[unsigned(code)]
                pay += abs(rows.reward_share[unsigned(code)])
            continuation, reward = max(continuation, on), max(reward, pay)
            longest = max(longest, last - first)
    return continuation, reward, longest, widest


@compiled
def prune(rows: Rows, label: NDArray[np.int32], usable: NDArray[np.bool_]) -> bool:
    """Drop the usable rows that may leave their state's component, until none does; whether any was dropped.

    A state that has lost its last usable row gets the label -1: no row may lead there either. Going over the states
    forth and back lets long chains of such losses run through in few passes.
    """
    n_states = len(label)
    dropped, again = False, True
    while again:
        again = False
        for k in range(2 * n_states):
            s = k if k < n_states else 2 * n_states - 1 - k
            if label[s] < 0:
                continue
            left = 0
            for row in range(rows.begin[s], rows.begin[s + 1]):
                if not usable[row]:
                    continue
                for i in range(rows.first[row], rows.first[row + 1]):
                    if label[rows.next_state[i]] != label[s]:
                        usable[row] = False
                        dropped = True
                        break
                if usable[row]:
                    left += 1
            if left == 0:
                label[s] = -1
                again = True
    return dropped
