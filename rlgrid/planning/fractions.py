"""Values as fractions, of a policy or the best ones: policy iteration in rational arithmetic.

A policy's linear system is solved by floating-point elimination and exact residuals (Wan, An algorithm to solve integer
linear systems exactly using numerical methods, Journal of Symbolic Computation 41 (2006)). Each round adds some 40 bits
to all values, until fractions near them solve the system exactly. Where float64 cannot tell the system from a singular
one, its states are eliminated in integers instead. What is returned rests on integers alone: these fractions are put
into the system, and the greedy choice at them no longer changes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import frexp, gcd, lcm, ldexp
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import Rows
from rlgrid.models.model import TabularModel
from rlgrid.planning.chain import chain_of, limits
from rlgrid.planning.policy_iteration import policy_iterations
from rlgrid.planning.problem import Problem
from rlgrid.planning.undiscounted import Collapsed, expand

if TYPE_CHECKING:
    from scipy.sparse.linalg import SuperLU


#: States above which no attempt is made.
MOST_STATES = 1_000

#: Two discounts are alike if their distances to 1 are, relatively, to within this.
ALIKE = Fraction(1, 10**12)

#: Entries of a system times bits of its values after which the solution is given up: some seconds.
MOST_BITS = 50_000_000

#: Bits of a float64 that a round uses; the rest of its 53 covers rounding to integers.
ROUND_BITS = 50

#: Bits that a round has to gain at least.
LEAST_GAIN = 4


class IntegerRow(NamedTuple):
    """q = (reward + sum of weight * v[next state]) / scale of the state."""

    row: int
    reward: int
    ahead: list[tuple[int, int]]  # next state, weight


class IntegerRows(NamedTuple):
    """The available rows of each state, over one denominator for each state."""

    scale: list[int]  # [Q]
    of_state: list[list[IntegerRow]]  # [Q]


class Values(NamedTuple):
    """Values [Q] over one denominator."""

    numerators: list[int]
    denominator: int


class OptimalFractions(NamedTuple):
    """v* of S states and A actions as fractions, and what it rounds to."""

    exact_v: tuple[Fraction, ...]  # [S]
    v: Floats  # [S]
    q: Floats  # [S, A]; -inf where an action is not available
    optimal_actions: Bools  # [S, A]
    choice: Ints  # [S] the first optimal row; where waiting is free, one that leads to where it pays to leave
    bound: float  # on the rounding of v
    iterations: int


class PolicyFractions(NamedTuple):
    """v_pi as fractions, and what it rounds to."""

    exact_v: tuple[Fraction | None, ...]  # [S]; None where a value is infinite or undefined
    v: Floats  # [S] -inf, inf or nan there
    bound: float  # on the rounding of the others


class _System(NamedTuple):
    """Equations sum_t left[s][t] v[t] = right[s] in integers; they count in units of ``unit[s]``."""

    left: list[list[tuple[int, int]]]
    right: list[int]
    unit: list[int]


def number_of(discount: float) -> Fraction:
    """The number that a discount in floats stands for: what it prints as, or its own where the two are not alike."""
    printed, own = Fraction(repr(discount)), Fraction(discount)
    return printed if abs(printed - own) <= ALIKE * (1 - own) else own


def optimal_fractions(problem: Problem, model_rows: Rows, choice: Ints, gamma: Fraction) -> OptimalFractions:
    """v* from the problem's rows, and a choice [Q] of these to begin with; ``model_rows`` are those of the model.

    The choice may be any policy with finite values; a good one saves work. ``gamma`` is the discount.

    Raises:
        InputError: where the values have too many digits, or rounding hides them from float64.
    """
    model, collapsed = problem.model, problem.collapsed
    integers = integer_rows(model, problem.rows, gamma)
    epsilon = Fraction(repr(problem.epsilon))
    values, iterations = _optimum(integers, choice.copy(), epsilon, problem.max_sweeps, model.name)
    best = np.array([_best(of_state, values)[0] for of_state in integers.of_state], dtype=np.int64)
    if collapsed is not None:
        integers, best = integer_rows(model, model_rows, gamma), expand(collapsed, model_rows, best)
        values = values._replace(numerators=[values.numerators[s] for s in collapsed.number.tolist()])
    exact_v = tuple(Fraction(numerator, values.denominator) for numerator in values.numerators)
    v, bound = _rounded(exact_v)
    q, optimal = _action_values(model, integers, values, collapsed)
    return OptimalFractions(exact_v, v, q, optimal, best, bound, iterations)


def policy_fractions(problem: Problem) -> PolicyFractions:
    """v_pi of the problem's policy, whose probabilities mean what they print as, each row divided by its sum.

    Raises:
        InputError: where there are too many states, or the values have too many digits.
    """
    check_size(problem.model)
    integers = integer_rows(problem.model, problem.rows, Fraction(repr(problem.discount)))
    share = [Fraction(repr(p)) for p in problem.weight.tolist()]
    taken = [[(row, share[row.row]) for row in of_state if share[row.row]] for of_state in integers.of_state]
    totals = [sum((p for _, p in of_state), Fraction(0)) for of_state in taken]
    taken = [[(row, p / total) for row, p in of_state] for of_state, total in zip(taken, totals, strict=True)]
    return _policy_fractions(problem, integers, taken)


def not_optimal(problem: Problem, model_rows: Rows, policy: Floats) -> Bools:
    """States [S] in which the value of a policy [S, A] that a plan found is not v*, in fractions.

    The policy takes one action, mixed with epsilon times the uniform policy.

    Raises:
        InputError: where there are too many states, or the values have too many digits.
    """
    model, epsilon = problem.model, Fraction(repr(problem.epsilon))
    check_size(model)
    gamma = number_of(problem.discount)
    best = optimal_fractions(problem, model_rows, policy_iterations(problem).choice, gamma)
    integers = integer_rows(model, model_rows, gamma)
    choice = (policy.argmax(axis=1) + model.n_actions * np.arange(model.n_states)).tolist()
    taken = [_soft(of_state, row, epsilon) for of_state, row in zip(integers.of_state, choice, strict=True)]
    own = _policy_fractions(replace(problem, given=model_rows, collapsed=None, weight=policy.ravel()), integers, taken)
    return np.array([x != y for x, y in zip(own.exact_v, best.exact_v, strict=True)])


def _policy_fractions(
    problem: Problem, integers: IntegerRows, taken: list[list[tuple[IntegerRow, Fraction]]]
) -> PolicyFractions:
    """v_pi of the policy that takes some rows of each state with these probabilities."""
    model = problem.model
    v, kept = np.zeros(model.n_states), np.ones(model.n_states, np.bool_)
    if problem.discount == 1:
        v, kept = limits(chain_of(model, problem.policy))
    system = _System([], [], [])
    for s, (scale, of_state) in enumerate(zip(integers.scale, taken, strict=True)):
        _add_equation(system, s, scale, of_state if kept[s] else [])
    values = _solve(system, model.name)
    exact_v = tuple(
        Fraction(numerator, values.denominator) if finite else None
        for numerator, finite in zip(values.numerators, np.isfinite(v).tolist(), strict=True)
    )
    rounded, bound = _rounded(tuple(x or Fraction(0) for x in exact_v))
    return PolicyFractions(exact_v, np.where(np.isfinite(v), rounded, v), bound)


def check_size(model: TabularModel) -> None:
    """Refuse a model with more states than are solved in fractions."""
    if model.n_states > MOST_STATES:
        raise InputError(f"{model.name}: exact: found {model.n_states:,} states; allowed: up to {MOST_STATES:,}")


def _rounded(exact_v: tuple[Fraction, ...]) -> tuple[Floats, float]:
    """The nearest float64 of each value, and a bound on what rounding has cost."""
    try:
        v = np.array([x.numerator / x.denominator for x in exact_v])
    except OverflowError:
        raise InputError("exact: a value is beyond the range of float64; allowed: up to 1.8e308") from None
    distance = max(abs(Fraction(x) - y) for x, y in zip(v.tolist(), exact_v, strict=True))
    return v, float(np.nextafter(float(distance), np.inf)) if distance else 0.0


def _action_values(
    model: TabularModel, integers: IntegerRows, values: Values, collapsed: Collapsed | None
) -> tuple[Floats, Bools]:
    """q, rounded once, and which actions are optimal, [S, A] each; waiting for free is worth v."""
    shape = model.n_states, model.n_actions
    q, optimal = np.full(shape, -np.inf), np.zeros(shape, np.bool_)
    for s, (scale, of_state) in enumerate(zip(integers.scale, integers.of_state, strict=True)):
        waits = {row.row for row in of_state if collapsed is not None and collapsed.inside[row.row]}
        most = values.numerators[s] * scale if waits else _best(of_state, values)[1]
        for row in of_state:
            numerator = most if row.row in waits else row_numerator(row, values)
            q.ravel()[row.row] = numerator / (scale * values.denominator)
            optimal.ravel()[row.row] = numerator == most
    return q, optimal


def distinct_outcomes(model: TabularModel) -> list[tuple[Fraction, Fraction, bool]]:
    """Probability, mean reward and end of each code: a world's own fractions, or what a model's floats are exactly."""
    t = model.tables
    if model.outcomes is not None:
        return [(outcome.probability, outcome.reward.mean, outcome.terminated) for outcome in model.outcomes]
    probabilities, rewards = map(Fraction, t.probability.tolist()), map(Fraction, t.reward.tolist())
    return list(zip(probabilities, rewards, t.terminated.tolist(), strict=True))


def integer_rows(model: TabularModel, rows: Rows, discount: Fraction) -> IntegerRows:
    """Rows with a model's codes in integers: a world's own fractions, or the exact values of a model's floats.

    Each row is divided by its sum. That of floats is not quite 1; where it is above 1, the optimum at discount 1 would
    gain by wandering about.
    """
    distinct = distinct_outcomes(model)
    distinct.append((Fraction(1), Fraction(0), True))  # a stop, where the rows are those of a collapsed model
    begin, first = rows.begin.tolist(), rows.first.tolist()
    next_state, code = rows.next_state.tolist(), rows.code.tolist()
    integers = IntegerRows([], [])
    for s in range(len(begin) - 1):
        of_state = []
        for row in range(begin[s], begin[s + 1]):
            total, reward, ahead = Fraction(0), Fraction(0), dict[int, Fraction]()
            for i in range(first[row], first[row + 1]):
                p, r, ends = distinct[code[i]]
                total, reward = total + p, reward + p * r
                if not ends and discount:
                    ahead[next_state[i]] = ahead.get(next_state[i], Fraction(0)) + discount * p
            if total:
                of_state.append((row, reward / total, [(t, x / total) for t, x in ahead.items()]))
        scale = lcm(*(x.denominator for _, reward, ahead in of_state for x in (reward, *(x for _, x in ahead))))
        integers.scale.append(scale)
        integers.of_state.append(
            [
                IntegerRow(row, int(reward * scale), [(t, int(x * scale)) for t, x in ahead])
                for row, reward, ahead in of_state
            ]
        )
    return integers


def _optimum(rows: IntegerRows, choice: Ints, epsilon: Fraction, max_rounds: int, name: str) -> tuple[Values, int]:
    """v* by Howard's policy iteration, and the number of improvements; ``choice`` [Q] is where it begins and ends.

    Raises:
        InputError: where the values have too many digits, or lie too far from what floating point can approach.
    """
    for k in range(1, max_rounds + 1):
        values = _solve(_system(rows, choice.tolist(), epsilon), name)
        if not _improve(rows, values, choice):
            return values, k
    raise InputError(f"max_sweeps: not settled after {max_rounds}; allowed: more")


def row_numerator(row: IntegerRow, values: Values) -> int:
    """q of a row, times the scale of its state and the denominator of the values."""
    v, total = values.numerators, row.reward * values.denominator
    for t, weight in row.ahead:
        total += weight * v[t]
    return total


def _best(of_state: list[IntegerRow], values: Values) -> tuple[int, int]:
    """The first of the rows with the largest q, and its numerator."""
    best = max(of_state, key=lambda row: row_numerator(row, values))
    return best.row, row_numerator(best, values)


def _improve(rows: IntegerRows, values: Values, choice: Ints) -> bool:
    """Choose a better row where there is one; whether there was."""
    improved = False
    for s, of_state in enumerate(rows.of_state):
        row, most = _best(of_state, values)
        chosen = next(one for one in of_state if one.row == choice[s])
        if most > row_numerator(chosen, values):
            choice[s] = row
            improved = True
    return improved


def _system(rows: IntegerRows, choice: list[int], epsilon: Fraction) -> _System:
    """v = r + P v of the policy that takes its choice, or with probability epsilon any available row."""
    system = _System([], [], [])
    for s, (scale, of_state) in enumerate(zip(rows.scale, rows.of_state, strict=True)):
        _add_equation(system, s, scale, _soft(of_state, choice[s], epsilon))
    return system


def _soft(of_state: list[IntegerRow], chosen: int, epsilon: Fraction) -> list[tuple[IntegerRow, Fraction]]:
    """The rows of a state that are taken, and how likely: the chosen one, or with probability epsilon any of them."""
    shares = [(row, epsilon / len(of_state) + (1 - epsilon) * (row.row == chosen)) for row in of_state]
    return [(row, share) for row, share in shares if share]


def _add_equation(system: _System, state: int, scale: int, taken: list[tuple[IntegerRow, Fraction]]) -> None:
    """Add the equation of a state in which rows are taken with these probabilities; without any its value is 0."""
    whole = lcm(*(share.denominator for _, share in taken))
    left, right = {state: whole * scale}, 0
    for row, share in taken:
        weight = share.numerator * (whole // share.denominator)
        right += weight * row.reward
        for t, ahead in row.ahead:
            left[t] = left.get(t, 0) - weight * ahead
    system.left.append([(t, a) for t, a in left.items() if a])
    system.right.append(right)
    system.unit.append(whole * scale)


def _factors(system: _System) -> SuperLU:
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    entries = [(s, t, a / system.unit[s]) for s, line in enumerate(system.left) for t, a in line]
    s, t, a = zip(*entries, strict=True)
    n = len(system.left)
    return splu(csc_array((np.array(a), (np.array(s), np.array(t))), shape=(n, n)))


def _solve(system: _System, name: str) -> Values:
    """The solution of a system, in rounds: each adds a correction y to what is known, x / 2^bits."""
    n_entries = sum(map(len, system.left))
    x, bits, rest = [0] * len(system.left), 0, list(system.right)
    error, attempt, rounds = float("inf"), 2, 0
    try:
        factors: Any = _factors(system)
    except RuntimeError:  # SuperLU: exactly singular
        factors = None
    while factors is not None and any(rest):
        rounds += 1
        y = factors.solve(np.array([r / unit for r, unit in zip(rest, system.unit, strict=True)]))
        size = float(np.abs(y).max())
        if not 0 < size < float("inf") or frexp(size)[1] - bits > error - LEAST_GAIN:
            factors = None
            break
        error = frexp(size)[1] - bits  # |v - x / 2^bits| is about 2^error
        if rounds >= attempt:
            if (found := _fitting_fractions(system, x, bits, -error)) is not None:
                return found
            attempt = rounds * 3 // 2 + 1
        if n_entries * -error > MOST_BITS:
            raise InputError(
                f"{name}: exact: its values have more than {int(-error * 0.15)} digits; allowed: a smaller model"
            )
        shift = max(0, ROUND_BITS - frexp(size)[1])
        correction = [round(ldexp(step, shift)) for step in y.tolist()]
        x = [(known << shift) + more for known, more in zip(x, correction, strict=True)]
        rest = [
            (r << shift) - sum(a * correction[t] for t, a in line) for r, line in zip(rest, system.left, strict=True)
        ]
        bits += shift
    return Values(x, 1 << bits) if factors is not None else _eliminate(system, name)


def _eliminate(system: _System, name: str) -> Values:
    """The solution of a system by elimination in integers, each equation divided by what its numbers have in common.

    Raises:
        InputError: where the numbers grow too long.
    """
    n_states, work = len(system.left), 0
    lines = [dict(line) for line in system.left]
    right = list(system.right)
    users: list[set[int]] = [set() for _ in lines]
    for s, line in enumerate(lines):
        for t in line:
            users[t].add(s)
    left_over = set(range(n_states))
    order: list[int] = []
    while left_over:  # the state that fewest others lead to and it leads to comes first (Markowitz)
        k = min(left_over, key=lambda s: (len(lines[s]) - 1) * (len(users[s]) - 1))
        left_over.remove(k)
        order.append(k)
        pivot = lines[k][k]
        for s in [s for s in users[k] if s in left_over]:
            line, factor = lines[s], lines[s].pop(k)
            new = {t: a * pivot for t, a in line.items()}
            for t, a in lines[k].items():
                if t != k:
                    new[t] = new.get(t, 0) - factor * a
                    users[t].add(s)
            right[s] = right[s] * pivot - factor * right[k]
            common = gcd(right[s], *new.values())
            lines[s] = {t: a // common for t, a in new.items() if a}
            right[s] //= common
            work += sum(a.bit_length() for a in lines[s].values())
            if work > MOST_BITS:
                raise InputError(f"{name}: exact: its equations have too many digits; allowed: a smaller model")
    v = [Fraction(0)] * n_states
    for k in reversed(order):
        total = right[k] - sum((a * v[t] for t, a in lines[k].items() if t != k), Fraction(0))
        v[k] = Fraction(total) / lines[k][k]
    denominator = lcm(*(x.denominator for x in v))
    return Values([x.numerator * (denominator // x.denominator) for x in v], denominator)


def _fitting_fractions(system: _System, x: list[int], bits: int, accuracy: int) -> Values | None:
    """The fractions of least denominator within 2^-accuracy of x / 2^bits, if they solve the system.

    One common denominator grows from value to value; it may have half as many bits as the values are accurate to.
    """
    denominator, largest = 1, 1 << max(0, accuracy // 2 - 1)
    for value in x:
        if denominator > largest:
            return None
        beyond = value * denominator - ((2 * value * denominator + (1 << bits)) >> (bits + 1) << bits)
        if abs(beyond) <= denominator << max(0, bits - accuracy):  # the denominator serves as it is
            continue
        near = Fraction(value * denominator, 1 << bits).limit_denominator(largest // denominator)
        denominator *= near.denominator
    numerators = [(2 * value * denominator + (1 << bits)) >> (bits + 1) for value in x]
    for line, right in zip(system.left, system.right, strict=True):
        if sum(a * numerators[t] for t, a in line) != right * denominator:
            return None
    return Values(numerators, denominator)
