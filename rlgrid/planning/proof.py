"""Lower and upper bounds of v* that anyone can check: one inequality for each state and action, in exact arithmetic.

Theorem. Let every state have an action, let nothing follow an outcome that ends the episode, and let
q_w(s, a) = r(s, a) + discount * sum p w(s') over the outcomes that go on.

- If u(s) >= q_u(s, a) for all s and a, at discount 1 with > wherever u(s) < 0, then u >= v*.
- If a policy takes in each s an action with l(s) <= q_l(s, a), at discount 1 with < wherever l(s) > 0, then the policy
  is worth l at least, and so is v*.

Proof at discount 1. Let R be what some policy is expected to collect within n steps from s, N_k the chance that after k
steps the episode still goes on, in a state where u < 0, c = max |u|, and d > 0 the least of the differences that have
to be positive. Adding up the inequalities along the way, R <= u(s) - d (N_0 + ... + N_(n-1)) + c N_n. If the sum over
all k is finite, N_n goes to 0; else the right side goes to minus infinity. So lim sup R <= u(s), whether or not the
policy ends. The second part is the same with all signs turned, for the policy that is named. Below discount 1 the last
term is discount^n c, and the sum is not needed.

So v* may be the supremum of lim R over all policies, and where R has no limit, of lim inf R or lim sup R.

Bounds are sought as v + d x and v - d x, which takes d (x - P x) >= q_v - v for the upper one, v - q_v for the lower.
Below discount 1, x = 1 serves; at discount 1 the expected steps to an end, those of the policy for the lower bound, the
most by nearly optimal actions for the upper; and -v, where every step costs something. So that d is small, v is first
corrected by what is left over of the policy's equations. What is returned rests on the inequalities alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil, frexp, lcm, ldexp
from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.models.reachability import reached_from
from rlgrid.planning.elimination import Elimination
from rlgrid.planning.exact_model import IntegerRow, graph_rows
from rlgrid.planning.graph import Labels, closed_rows, end_components, recurrent_classes, state_of_row, towards

#: Actions within this of the best, relative to the largest value or reward, count as nearly optimal.
NEARLY = (1e-7, 1e-10, 1e-13, 1e-16, 1e-20, 1e-25, 0.0, 1e-3, 1.0)

#: Where exact values only have to be passed, by how much, relative to the largest value.
TINY = 2.0**-100

#: Rounds in which values are corrected, and in which the most steps are sought.
CORRECTIONS, MOST_ROUNDS = 4, 100

#: Bits that a number of steps has behind the point, and that a correction has of its largest entry.
STEP_BITS, CORRECTION_BITS = 20, 60


class Vector(NamedTuple):
    """Fractions [S] over one denominator."""

    numerators: list[int]
    denominator: int


class Claim(NamedTuple):
    """Proven: w is a bound in the states claimed."""

    w: Vector
    claimed: Bools  # [S]
    distance: float  # largest distance to the values, about

    @property
    def missing(self) -> int:
        """Number of states without a bound."""
        return len(self.claimed) - int(self.claimed.sum())

    def bounds(self) -> list[Fraction | None]:
        """As fractions [S]; ``None`` where none was proven."""
        numbers = zip(self.w.numerators, self.claimed.tolist(), strict=True)
        return [Fraction(n, self.w.denominator) if proven else None for n, proven in numbers]


class Side(NamedTuple):
    """What w has to satisfy: w >= reward + P w for all rows. A lower bound is -w where all rewards are negated."""

    rows: list[list[IntegerRow]]  # of each state; rewards with the sign
    v: Vector  # values with the sign
    known: Bools  # [S] where there is a value
    strict: bool  # discount 1: > wherever w < 0


def prove(
    rows: list[list[IntegerRow]],
    policy: list[int],
    v: list[Fraction | None],
    enough: float,
    shape: tuple[int, int] | None,
    strict: bool,
) -> tuple[list[Fraction | None], list[Fraction | None]]:
    """Lower bounds of the values of a policy, and upper bounds of the best ones.

    Args:
        rows: of each state, in integers.
        policy: [S] which of its rows each state takes.
        v: [S] values of that policy, nearly the best ones; ``None`` where nothing is to be claimed.
        enough: a distance between values and bounds that needs no further attempt.
        shape: of the map, if there is one.
        strict: whether the discount is 1.
    """
    taken = [of_state[a] for of_state, a in zip(rows, policy, strict=True)]
    value = _vector([x or Fraction(0) for x in v])
    label = np.full(len(v), -1)
    if strict:  # where the policy stays for ever, which may be for free, there is nothing to solve
        label = recurrent_classes(graph_rows([[row] for row in taken]), np.ones(len(v), np.bool_))
    chain = _Chain([row if own < 0 else None for row, own in zip(taken, label.tolist(), strict=True)], shape)
    bases = [value] if (corrected := chain.values(value)) in (None, value) else [corrected, value]
    opposite = [[IntegerRow(row.scale, -row.reward, row.ahead)] for row in taken]
    known = np.array([x is not None for x in v])
    below, above = Side(opposite, _negated(value), known, strict), Side(rows, value, known, strict)
    lower = _best_claim(below, _lower_candidates(map(_negated, bases), label, chain, strict), enough)
    upper = _best_claim(above, _upper_candidates(above, bases, shape), enough)
    return [x if x is None else -x for x in lower.bounds()], upper.bounds()


# -- from candidates to claims -----------------------------------------------------------------------------------------


def _best_claim(side: Side, candidates: Iterator[tuple[Vector, Vector]], enough: float) -> Claim:
    """The best of the claims w = base + d x that can be made with some candidates base and x."""
    best = _nothing(side)
    for base, x in candidates:
        found = _claim(side, base, x)
        if (found.missing, found.distance) < (best.missing, best.distance):
            best = found
        if (best.claimed == side.known).all() and best.distance <= enough:
            break
    return best


def _nothing(side: Side) -> Claim:
    return Claim(side.v, np.zeros(len(side.known), np.bool_), np.inf)


def _claim(side: Side, base: Vector, x: Vector) -> Claim:
    """w = base + d x with about the least d that satisfies the inequalities, where there is one.

    A state whose inequalities cannot be satisfied is given up, with all that lead to it.
    """
    gain = [[_excess(row, base, s, row.reward) for row in of_state] for s, of_state in enumerate(side.rows)]
    pace = [[-_excess(row, x, s, 0) for row in of_state] for s, of_state in enumerate(side.rows)]
    claimed = side.known & ~_leading_to(side.rows, ~side.known)
    size = max((abs(n) for n in base.numerators), default=0) / base.denominator or 1.0
    longest = max(x.numerators, default=0) / x.denominator or 1.0
    least = _upwards(size / longest * TINY)
    while claimed.any():
        step = _step(gain, pace, base, x, claimed)
        failing = _failing(side, gain, pace, base, x, step, claimed)
        if failing.any() and step < least:
            step = least
            failing = _failing(side, gain, pace, base, x, step, claimed)
        if not failing.any():
            return _as_claim(side, base, x, step, claimed)
        claimed &= ~_leading_to(side.rows, failing)
    return _nothing(side)


def _excess(row: IntegerRow, w: Vector, s: int, reward: int) -> int:
    """(reward + P w - w(s)) of a row, times its scale and the denominator of w."""
    total = reward * w.denominator - row.scale * w.numerators[s]
    for t, weight in row.ahead:
        total += weight * w.numerators[t]
    return total


def _step(gain: list[list[int]], pace: list[list[int]], base: Vector, x: Vector, claimed: Bools) -> Fraction:
    """About the least d with d * pace >= gain for all rows of claimed states in which x pays for something."""
    most = 0.0
    for s in np.flatnonzero(claimed).tolist():
        for g, y in zip(gain[s], pace[s], strict=True):
            if g > 0 and y > 0:
                try:
                    most = max(most, g * x.denominator / (y * base.denominator), 1e-300)
                except OverflowError:
                    continue
    return _upwards(most)


def _upwards(d: float) -> Fraction:
    """A number of few bits that is a little larger than d, or 0."""
    mantissa, exponent = frexp(d)
    return Fraction(ceil(ldexp(mantissa * (1 + 2.0**-10), 12))) * Fraction(2) ** (exponent - 12)


def _failing(
    side: Side, gain: list[list[int]], pace: list[list[int]], base: Vector, x: Vector, step: Fraction, claimed: Bools
) -> Bools:
    """The claimed states [S] in which w = base + step * x does not satisfy all inequalities: exact."""
    of_base, of_x = step.denominator * x.denominator, step.numerator * base.denominator
    failing = np.zeros(len(claimed), np.bool_)
    for s in np.flatnonzero(claimed).tolist():
        negative = side.strict and base.numerators[s] * of_base + x.numerators[s] * of_x < 0
        for g, y in zip(gain[s], pace[s], strict=True):
            slack = y * of_x - g * of_base
            failing[s] |= slack < 0 or (slack == 0 and negative)
    return failing


def _leading_to(rows: list[list[IntegerRow]], states: Bools) -> Bools:
    """The states from which some rows lead to the given ones, these among them, [S]."""
    if not states.any():
        return states
    graph = graph_rows(rows)
    return towards(graph, np.ones(len(graph.first) - 1, np.bool_), states)[0]


def _as_claim(side: Side, base: Vector, x: Vector, step: Fraction, claimed: Bools) -> Claim:
    of_base, of_x = step.denominator * x.denominator, step.numerator * base.denominator
    numbers = zip(base.numerators, x.numerators, strict=True)
    w = Vector([n * of_base + steps * of_x for n, steps in numbers], base.denominator * of_base)
    pairs = [(w.numerators[s], side.v.numerators[s]) for s in np.flatnonzero(claimed).tolist()]
    furthest = max(abs(n * side.v.denominator - v * w.denominator) for n, v in pairs)
    return Claim(w, claimed, furthest / (w.denominator * side.v.denominator))


# -- candidates --------------------------------------------------------------------------------------------------------


def _lower_candidates(
    bases: Iterable[Vector], label: Labels, chain: _Chain, strict: bool
) -> Iterator[tuple[Vector, Vector]]:
    """Bases and x for a lower bound, both negated; where the policy stays for ever it is one number, and at most 0."""
    steps = chain.steps() if strict else Vector([1] * len(label), 1)
    for base in bases:
        level = _levelled(base, label)
        if steps is not None:
            yield level, steps
        if strict and min(base.numerators) >= 0:  # every value is a cost
            yield level, level


def _upper_candidates(
    side: Side, bases: list[Vector], shape: tuple[int, int] | None
) -> Iterator[tuple[Vector, Vector]]:
    """Bases and x for an upper bound: one number where states can be kept to for free, and at least 0."""
    if not side.strict:
        yield from ((base, Vector([1] * len(side.known), 1)) for base in bases)
        return
    quotient = _Quotient(side.rows, shape)
    levels = [_levelled(base, quotient.label) for base in bases]
    lags = [quotient.lag(level) for level in levels]
    known: dict[bytes, Vector | None] = {}
    tried: set[tuple[int, bytes]] = set()
    for margin in NEARLY:
        for i, lag in enumerate(lags):
            near = np.flatnonzero(lag >= -margin)
            if (i, key := near.tobytes()) in tried:
                continue
            tried.add((i, key))
            if key not in known:
                known[key] = quotient.most_steps(near)
            if (steps := known[key]) is not None:
                yield levels[i], steps
    yield from ((level, _negated(level)) for level in levels if max(level.numerators) <= 0)


def _vector(values: list[Fraction]) -> Vector:
    denominator = lcm(*(x.denominator for x in values))
    return Vector([x.numerator * (denominator // x.denominator) for x in values], denominator)


def _negated(w: Vector) -> Vector:
    return Vector([-n for n in w.numerators], w.denominator)


def _levelled(w: Vector, label: Labels) -> Vector:
    """In each class [S] (-1: in none) the largest of its numbers, and 0 at least."""
    most: dict[int, int] = {}
    for number, n in zip(label.tolist(), w.numerators, strict=True):
        most[number] = max(most.get(number, 0), n)
    numbers = zip(label.tolist(), w.numerators, strict=True)
    return Vector([n if number < 0 else most[number] for number, n in numbers], w.denominator)


class _Chain:
    """One row in each state, of which some may stand for others.

    A state without a row counts as an end, and so does one from which no end is reached.
    """

    def __init__(self, rows: list[IntegerRow | None], shape: tuple[int, int] | None, owner: Ints | None = None) -> None:
        from scipy.sparse import csr_array

        n_states = len(rows)
        self.rows = rows
        self.owner = np.arange(n_states) if owner is None else owner
        entries = [(s, t, w / row.scale) for s, row in enumerate(rows) if row is not None for t, w in row.ahead]
        s, t, p = (np.array(x) for x in zip(*entries, strict=True)) if entries else (np.zeros(0, np.int64),) * 3
        P = csr_array((p.astype(np.float64), (s, self.owner[t])), shape=(n_states, n_states))
        given = np.array([row is not None for row in rows])
        end = np.array([_ending(row) for row in rows])
        leaves = end + P @ (~given).astype(np.float64) > 0
        self.kept = given & reached_from(csr_array(P.T), np.flatnonzero(leaves))
        self.lost = given & ~self.kept  # no end is reached from here
        self.longest = 1.0  # the most expected steps
        self._inverse: Elimination | None = None
        try:
            if self.kept.any():
                self._inverse = Elimination(P, end, self.kept, shape)
                self.longest = float(self._inverse.solve(np.ones(n_states)).max())
        except InputError:  # the factors would not fit the memory
            pass

    def steps(self) -> Vector | None:
        """Expected steps to an end, to within a part of a step."""
        none = Vector([0] * len(self.rows), 1 << STEP_BITS)
        return self._corrected(none, rewarded=False, small=0.125)

    def values(self, w: Vector) -> Vector | None:
        """Values w after corrections by what the equations leave over, until this no longer matters."""
        return self._corrected(w, rewarded=True, small=0.0)

    def _corrected(self, w: Vector, *, rewarded: bool, small: float) -> Vector | None:
        """w nearer to the solution of w = r + P w, where r is the reward, or 1; None: it could not be computed."""
        for _ in range(CORRECTIONS):
            rest = np.zeros(len(self.rows))
            for s in np.flatnonzero(self.kept).tolist():
                row = self.rows[s]
                assert row is not None
                rest[s] = _excess(row, w, s, row.reward if rewarded else row.scale) / (row.scale * w.denominator)
            if not np.abs(rest).max() > small:
                break
            if self._inverse is None:
                return None
            change = self._inverse.solve(rest)
            size = float(np.abs(change).max())
            if not size < np.inf:
                return None
            small = small or size / self.longest / 64
            bits = CORRECTION_BITS - frexp(size)[1] if rewarded else 0
            shift = max(0, bits - (w.denominator.bit_length() - 1))
            scale = w.denominator << shift
            added = [scale * n // d for n, d in (x.as_integer_ratio() for x in change[self.owner].tolist())]
            w = Vector([(n << shift) + more for n, more in zip(w.numerators, added, strict=True)], scale)
        return w


def _ending(row: IntegerRow | None) -> float:
    """Chance that the episode ends with a row, or its discount ends it."""
    return 1.0 if row is None else (row.scale - sum(w for _, w in row.ahead)) / row.scale


class _Quotient:
    """A model at discount 1 in which states that can be kept to for free are one."""

    def __init__(self, rows: list[list[IntegerRow]], shape: tuple[int, int] | None) -> None:
        from scipy.sparse import csr_array

        graph = graph_rows(rows)
        flat = [row for of_state in rows for row in of_state]
        inside = closed_rows(graph) & np.array([row.reward == 0 for row in flat])
        self.label = end_components(graph, inside)
        self._state = state_of_row(graph)
        first: dict[int, int] = {}
        self._owner = np.array(
            [s if number < 0 else first.setdefault(number, s) for s, number in enumerate(self.label.tolist())]
        )
        self._flat, self._inside, self._shape = flat, inside, shape
        length = [len(row.ahead) for row in flat]
        target = self._owner[np.array([t for row in flat for t, _ in row.ahead], np.int64)]
        share = np.array([w / row.scale for row in flat for _, w in row.ahead])
        begin = np.concatenate([[0], np.cumsum(length)])
        self._P = csr_array((share, target, begin), shape=(len(flat), len(rows)))

    def lag(self, w: Vector) -> Floats:
        """q - w of each row [R], relative to the largest value or reward; -inf: it keeps to a class."""
        size = max(
            *(abs(n) / w.denominator for n in w.numerators), *(abs(row.reward) / row.scale for row in self._flat)
        )
        lag = np.array(
            [
                _excess(row, w, s, row.reward) / (row.scale * w.denominator)
                for row, s in zip(self._flat, self._state.tolist(), strict=True)
            ]
        )
        return np.where(self._inside, -np.inf, lag / (size or 1.0))

    def most_steps(self, near: Ints) -> Vector | None:
        """The most expected steps to an end by some of the rows; 0 where there may be no end to them.

        By policy iteration (Howard): a step is like a reward of 1.
        """
        choice = np.full(len(self._owner), -1)
        choice[self._owner[self._state[near[::-1]]]] = near[::-1]
        for _ in range(MOST_ROUNDS):
            chosen = [None if r < 0 else self._flat[r] for r in choice.tolist()]
            chain = _Chain(chosen, self._shape, self._owner)
            if (steps := chain.steps()) is None:
                return None
            choice[chain.lost] = -1
            near = near[choice[self._owner[self._state[near]]] >= 0]
            owner = self._owner[self._state[near]]
            x = np.array([n / steps.denominator for n in steps.numerators])
            longer = 1.0 + self._P[near] @ x
            better = np.flatnonzero(longer > x[owner] + 0.5)  # x - P x is 1/2 at least for the others
            if not len(better) and not chain.lost.any():
                return Vector([steps.numerators[s] for s in self._owner.tolist()], steps.denominator)
            better = better[np.argsort(longer[better], kind="stable")]
            choice[owner[better]] = near[better]
        return None
