"""What happens under a policy at discount 1, against fractions, in random chains with very unlikely ends.

Every number is compared by itself: values relative to what is collected in absolute value, all others relative to
themselves. Which states never end is decided here by closing the graph, in a few lines that share nothing with rlgrid.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from rlgrid import (
    TabularModel,
    end_distribution,
    end_probability,
    evaluate_exact,
    evaluate_policy,
    expected_steps,
    occupancy,
    return_variance,
)
from rlgrid.errors import InputError
from rlgrid.planning import elimination

Floats = NDArray[np.float64]

#: What is asked of each number, relative.
TOLERANCE = Fraction(1, 10**10)

#: How many chains of each shape and kind of elimination.
MANY = 56


class Random(NamedTuple):
    """A model and a policy; ends are terminal states."""

    P: Floats  # [S, A, S]
    R: Floats  # [S, A, S]
    policy: Floats  # [S, A]
    terminal: NDArray[np.bool_]  # [S]
    start: Floats  # [S]
    noise_std: float = 0.0

    @property
    def model(self) -> TabularModel:
        made = TabularModel.from_arrays(self.P, self.R, terminal=self.terminal, start=self.start, discount=1)
        if self.noise_std == 0:
            return made
        t = made.tables
        noise = np.where(t.terminated & (t.reward == 0), -1, 0)  # not in terminal states
        one = np.zeros((1, 1))
        return made.with_tables(
            t._replace(noise=noise, noise_values=one, noise_cumulative=one + 1, noise_std=np.array([self.noise_std]))
        )


def rows_of(weights: Floats) -> Floats:
    return weights / weights.sum(axis=-1, keepdims=True)


def with_ends(inner: Floats, ends: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Rows [S, A, S + E] that sum to 1 from weights of going on [S, A, S] and of ending in each of E states."""
    n, n_actions, n_ends = ends.shape
    P = np.zeros((n + n_ends, n_actions, n + n_ends))
    P[:n] = with_few_digits(np.concatenate([inner, ends], axis=2))
    P[n:, :, n:] = np.eye(n_ends)[:, None, :]
    return P, np.arange(n + n_ends) >= n


def with_few_digits(weights: Floats) -> Floats:
    """Probabilities, which fractions can work with for a while: multiples of 2^-30, and below that powers of 2."""
    P = rows_of(weights)
    grid = 2.0**-30
    rounded = np.where(grid < P, np.round(P / grid) * grid, 2.0 ** np.round(np.log2(np.where(P > 0, P, 1.0))) * (P > 0))
    largest = P.argmax(axis=-1)[..., None]
    np.put_along_axis(rounded, largest, 0.0, axis=-1)
    rest = np.where(rounded < grid, 0.0, rounded).sum(axis=-1, keepdims=True)
    np.put_along_axis(rounded, largest, 1.0 - rest, axis=-1)
    return rounded


def finished(rng: np.random.Generator, inner: Floats, ends: Floats, R: Floats | float = -1.0) -> Random:
    """A model with these weights, a random policy and random starts; rewards of all outcomes."""
    P, terminal = with_ends(inner, ends)
    n_actions = P.shape[1]
    start = np.where(terminal, 0.0, rng.random(len(P)) * (rng.random(len(P)) < 0.7))
    start[0] += 0.1
    policy = with_few_digits(rng.random((len(P), n_actions)) + 1e-3)
    return Random(P, np.broadcast_to(R, P.shape), policy, terminal, start / start.sum())


def tiny(rng: np.random.Generator, shape: tuple[int, ...], share: float = 0.4) -> Floats:
    """Chances down to 1e-18, some of them 0."""
    return np.where(rng.random(shape) < share, 10.0 ** rng.uniform(-18, 0, shape), 0.0)


def size(rng: np.random.Generator, large: int = 24) -> int:
    return int(rng.integers(1, 11)) if rng.random() < 0.97 else large


def sparse(rng: np.random.Generator, n: int, n_actions: int) -> Floats:
    """Weights of going on, from each state to each next one and a few others."""
    inner = rng.random((n, n_actions, n)) * (rng.random((n, n_actions, n)) < 2 / n)
    inner[np.arange(n), :, (np.arange(n) + 1) % n] += 0.1
    return inner


def ring(rng: np.random.Generator) -> Random:
    n, n_actions = size(rng), int(rng.integers(1, 4))
    ends = tiny(rng, (n, n_actions, 1), 0.3)
    ends[0] += 1e-18
    return finished(rng, sparse(rng, n, n_actions), ends)


def corridor(rng: np.random.Generator) -> Random:
    """One way: a step succeeds, or leads back or nowhere; the product of the chances goes down to 1e-200."""
    n = size(rng, large=40)
    inner, ends = np.zeros((n, 1, n)), np.zeros((n, 1, 1))
    forth = 10.0 ** -rng.uniform(0, min(18, 200 / n), n)
    inner[np.arange(n - 1), 0, np.arange(1, n)] = forth[:-1]
    ends[n - 1] = forth[-1]
    back = np.minimum(rng.integers(0, n, n), np.arange(n))
    inner[np.arange(n), 0, back] += 1.0
    return finished(rng, inner, ends)


def away_from_the_goal(rng: np.random.Generator) -> Random:
    """A walk in a corridor, with epsilon for the actions that lead to the goal."""
    n, epsilon = int(rng.integers(2, 41)), 2.0 ** -rng.integers(1, 20)
    inner, ends = np.zeros((n, 2, n)), np.zeros((n, 2, 1))
    inner[np.arange(n), 0, np.maximum(np.arange(n) - 1, 0)] = 1.0
    inner[np.arange(n - 1), 1, np.arange(1, n)] = 1.0
    ends[n - 1, 1] = 1.0
    made = finished(rng, inner, ends)
    return made._replace(policy=np.tile([1 - epsilon / 2, epsilon / 2], (n + 1, 1)))


def several_ends(rng: np.random.Generator) -> Random:
    n, n_actions = size(rng), 2
    ends = tiny(rng, (n, n_actions, 3), 0.3)
    ends[0, :, 0] += 1e-18
    inner = sparse(rng, n, n_actions)
    if n > 3:  # and one from which only the last end can be reached
        inner[-1, :, :-1] = 0.0
        ends[-1] = 0.0
        ends[-1, :, 2] = 1e-9
    reward = np.zeros((n + 3, n_actions, n + 3))
    reward[:, :, n:] = rng.integers(-3, 4, 3)
    return finished(rng, inner, ends, reward)


def at_rest(rng: np.random.Generator) -> Random:
    """Classes that are never left and pay nothing, entered with a small chance or a large one."""
    n = size(rng) + 4
    made = several_ends_and_classes(rng, n)
    R = np.where(np.arange(len(made.P))[:, None, None] >= n - 4, 0.0, -1.0)
    return made._replace(R=np.broadcast_to(R, made.P.shape))


def paid_for_ever(rng: np.random.Generator) -> Random:
    """Classes that are never left, one of which costs, one of which may pay."""
    n = size(rng) + 4
    made = several_ends_and_classes(rng, n, least_end=1e-18)  # so that these are the only ones
    R = np.where(rng.random(made.P.shape) < 0.5, 1.0, -0.5)
    R[n - 4 : n - 2], R[n - 2 : n] = rng.choice([0.0, -1.0]), rng.choice([0.0, 1.0])
    return made._replace(R=R)


def several_ends_and_classes(rng: np.random.Generator, n: int, least_end: float = 0.0) -> Random:
    """Two pairs of states at the end, which are never left, and others from some of which they can be entered."""
    inner, ends = np.zeros((n, 2, n)), np.zeros((n, 2, 2))
    inner[:, :, : n - 4] = sparse(rng, n, 2)[:, :, : n - 4]
    inner[:, 0, n - 4 :] = tiny(rng, (n, 4), 0.1)
    ends[:, 0] = tiny(rng, (n, 2), 0.3) + least_end
    ends[0] += 1e-18
    inner[n - 4 :], ends[n - 4 :] = 0.0, 0.0
    for a, b in ((n - 4, n - 3), (n - 2, n - 1)):
        inner[a, :, b] = inner[b, :, a] = 1.0
    inner[: n - 4, :, : n - 4] += 1e-3 * np.eye(n - 4)[:, None, :]
    return finished(rng, inner, ends)


def cancelling(rng: np.random.Generator) -> Random:
    """Rewards of both signs whose mean is about 0 in each state."""
    made = ring(rng)
    R = rng.choice([-1.0, 1.0, -1e-6, 1e3, -1e3], made.P.shape)
    return made._replace(R=R)


def noisy(rng: np.random.Generator) -> Random:
    return several_ends(rng)._replace(noise_std=float(10.0 ** rng.uniform(-3, 1)))


def started_in_one_state(rng: np.random.Generator) -> Random:
    """Most states cannot be reached from the start, some of them never end."""
    made = at_rest(rng)
    start = np.zeros(len(made.P))
    start[int(rng.integers(len(start) - 2))] = 1.0
    return made._replace(start=start)


SHAPES: dict[str, Callable[[np.random.Generator], Random]] = {
    made.__name__: made
    for made in (
        ring, corridor, away_from_the_goal, several_ends, at_rest, paid_for_ever, cancelling, noisy,
        started_in_one_state,
    )
}  # fmt: skip


class Exact:
    """All that is compared, in fractions: rows of the model and of the policy are divided by their sums."""

    def __init__(self, made: Random, model: TabularModel) -> None:
        self.n = n = len(made.P)
        self.P = [[Fraction(0)] * n for _ in range(n)]
        self.end = [[Fraction(0)] * n for _ in range(n)]
        self.outcomes: list[list[tuple[Fraction, Fraction, int, bool]]] = [[] for _ in range(n)]
        for s in range(n):
            share = [Fraction(p) for p in made.policy[s].tolist()]
            for a, row in model.P[s].items():
                total = sum(Fraction(p) for p, *_ in row)
                for p, t, r, ends in row:
                    chance = share[a] / sum(share) * Fraction(p) / total
                    (self.end if ends else self.P)[s][t] += chance
                    self.outcomes[s].append((chance, Fraction(r), t, ends))
        reach = np.array([[bool(p) for p in row] for row in self.P]) | np.eye(n, dtype=np.bool_)
        for _ in range(n.bit_length()):
            reach = reach @ reach
        ends = np.array([any(row) for row in self.end])
        self.reach = reach
        self.endless = ~(reach & ends).any(axis=1)  # no end can be reached, and all that is reached leads back
        self.endless &= np.array([all(reach[t, s] for t in np.flatnonzero(reach[s])) for s in range(n)])
        self.kept = np.flatnonzero(~self.endless).tolist()
        self.ends = np.flatnonzero(model.terminal).tolist()
        zero = Fraction(0)
        self.gains, self.losses, self.steps, *self.shares = self.solve(
            self.mean(lambda s, r, t, ends: max(r, zero)),
            self.mean(lambda s, r, t, ends: max(-r, zero)),
            [Fraction(int(not t)) for t in model.terminal.tolist()],
            *([row[e] for row in self.end] for e in self.ends),
        )
        self.scale = [g + loss for g, loss in zip(self.gains, self.losses, strict=True)]
        self.v = [g - loss for g, loss in zip(self.gains, self.losses, strict=True)]

    def may_enter(self, states: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return (self.reach & states).any(axis=1)

    def solve(self, *right: list[Fraction], transposed: bool = False) -> list[list[Fraction]]:
        """x = right + P x for each right side, 0 in endless states, in whole numbers (Bareiss 1968)."""
        kept, M = self.kept, []
        units = [lcm(*(side[i].denominator for i in kept)) for side in right]
        for i in kept:
            row = [Fraction(int(i == j)) - (self.P[j][i] if transposed else self.P[i][j]) for j in kept]
            scale = lcm(*(x.denominator for x in row))
            sides = [side[i] * unit * scale for side, unit in zip(right, units, strict=True)]
            M.append([int(x * scale) for x in row] + [int(x) for x in sides])
        last = 1
        for k in range(len(M)):
            pivot = M[k]
            for i, row in enumerate(M):
                if i != k:
                    factor = row[k]
                    M[i] = [(x * pivot[k] - factor * y) // last for x, y in zip(row, pivot, strict=True)]
            last = pivot[k]
        solutions = [[Fraction(0)] * self.n for _ in right]
        for i, row in zip(kept, M, strict=True):
            for side, unit, x in zip(solutions, units, row[len(kept) :], strict=True):
                side[i] = Fraction(x, last * unit)
        return solutions

    def mean(self, value: Callable[[int, Fraction, int, bool], Fraction]) -> list[Fraction]:
        """The mean over the outcomes of each state of what they are worth: state, reward, next state, ends."""
        return [
            sum((p * value(s, r, t, ends) for p, r, t, ends in of_state), Fraction(0))
            for s, of_state in enumerate(self.outcomes)
        ]


def compare(found: Floats, exact: list[Fraction], scale: list[Fraction], where: NDArray[np.bool_]) -> None:
    for s in np.flatnonzero(where).tolist():
        assert abs(Fraction(float(found[s])) - exact[s]) <= TOLERANCE * scale[s], (s, found[s], float(exact[s]))


def check(made: Random) -> None:
    model = made.model
    exact = Exact(made, model)
    finite = check_values(made, model, exact)
    check_variance(made, model, exact, finite)
    check_steps_and_visits(made, model, exact)
    check_ends(made, model, exact)


def check_values(made: Random, model: TabularModel, exact: Exact) -> NDArray[np.bool_]:
    mean = [sum(p * r for p, r, *_ in of_state) for of_state in exact.outcomes]
    loses, gains = (exact.may_enter(exact.endless & np.array([sign * m > 0 for m in mean])) for sign in (-1, 1))
    v = evaluate_exact(model, made.policy)
    plan = evaluate_policy(model, made.policy)
    assert np.array_equal(plan.v, v, equal_nan=True)
    assert np.array_equal(v == -np.inf, loses & ~gains)
    assert np.array_equal(v == np.inf, gains & ~loses) and np.array_equal(np.isnan(v), loses & gains)
    compare(v, exact.v, exact.scale, ~loses & ~gains)
    for s in np.flatnonzero(~loses & ~gains).tolist():
        assert abs(Fraction(float(v[s])) - exact.v[s]) <= Fraction(plan.bound)
        assert (v[s] >= 0 or exact.losses[s] > 0) and (v[s] <= 0 or exact.gains[s] > 0)
    return ~loses & ~gains


def check_variance(made: Random, model: TabularModel, exact: Exact, finite: NDArray[np.bool_]) -> None:
    """Var G = E[G^2] - v^2, and E[G^2] = sum p (r^2 + noise + 2 r v' + E[G'^2]), relative to E[(sum of |r|)^2]."""
    noise, zero = Fraction(made.noise_std) ** 2, Fraction(0)

    def squares(v: list[Fraction]) -> Callable[[int, Fraction, int, bool], Fraction]:
        return lambda s, r, t, ends: r * r + 2 * r * (zero if ends else v[t]) + (zero if ends and r == 0 else noise)

    def absolute(s: int, r: Fraction, t: int, ends: bool) -> Fraction:
        return squares(exact.scale)(s, abs(r), t, ends)

    second, of_absolute = exact.solve(exact.mean(squares(exact.v)), exact.mean(absolute))
    if max(of_absolute) > 10**305:
        with pytest.raises(InputError, match="largest float64"):
            return_variance(model, made.policy)
        return
    found = return_variance(model, made.policy)
    assert np.array_equal(np.isnan(found), ~finite)
    assert (found[finite] >= 0).all()
    compare(found, [m - x * x for m, x in zip(second, exact.v, strict=True)], of_absolute, finite & np.isfinite(found))


def check_steps_and_visits(made: Random, model: TabularModel, exact: Exact) -> None:
    lost = exact.may_enter(exact.endless)
    found = expected_steps(model, made.policy)
    assert np.array_equal(found == np.inf, lost)
    assert (found[~model.terminal] >= 1).all() and (found[model.terminal] == 0).all()
    compare(found, exact.steps, exact.steps, ~lost)
    begins = [Fraction(p) for p in np.where(model.terminal, 0.0, model.start).tolist()]
    (visits,) = exact.solve(begins, transposed=True)
    found = occupancy(model, made.policy)
    reached = (exact.reach & (model.start > 0)[:, None]).any(axis=0)
    assert np.array_equal(found == np.inf, exact.endless & reached)
    assert (found >= 0).all() and (found[~reached] == 0).all()
    compare(found, visits, visits, ~exact.endless)


def check_ends(made: Random, model: TabularModel, exact: Exact) -> None:
    terminal, shares = exact.ends, exact.shares
    for cells in [[e] for e in terminal] + [terminal[:2], terminal]:
        found = end_probability(model, made.policy, cells)
        total = [sum((shares[terminal.index(e)][s] for e in cells), Fraction(0)) for s in range(exact.n)]
        assert ((found >= 0) & (found <= 1)).all()
        assert np.array_equal(found[[x == 0 for x in total]], np.zeros(sum(x == 0 for x in total)))
        assert (found[[x == 1 for x in total]] == 1).all()
        compare(found, total, total, np.ones(exact.n, np.bool_))
    assert np.array_equal(end_probability(model, made.policy), end_probability(model, made.policy, terminal))
    begin = [Fraction(p) for p in model.start.tolist()]
    found = end_distribution(model, made.policy)
    assert ((found >= 0) & (found <= 1)).all() and (found[~model.terminal] == 0).all()
    expected = [sum(b * x for b, x in zip(begin, share, strict=True)) for share in shares]
    compare(found[terminal], expected, expected, np.ones(len(terminal), np.bool_))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("small", [elimination.SMALL, 0], ids=["dense", "sparse"])
def test_each_number_is_right_by_itself(shape: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,008 chains, half of them eliminated as larger chains are."""
    monkeypatch.setattr(elimination, "SMALL", small)
    monkeypatch.setattr(elimination, "_SPARSE_COST", 0 if small == 0 else elimination._SPARSE_COST)
    rng = np.random.default_rng([len(shape), small])
    for _ in range(MANY):
        check(SHAPES[shape](rng))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_few_numbers_are_right_by_themselves(shape: str) -> None:
    rng = np.random.default_rng(11)
    for _ in range(3):
        check(SHAPES[shape](rng))


def test_large_values_elsewhere_do_not_blur_a_discounted_variance() -> None:
    P = np.zeros((4, 1, 4))
    P[np.arange(4), 0, [0, 3, 0, 1]] = 1
    model = TabularModel.from_arrays(P, [[1.0], [1.0], [1e30], [0.0]])  # nothing is left to chance
    variance = return_variance(model, np.ones((4, 1)), discount=0.9)
    assert (variance >= 0).all()
    assert variance[[0, 1, 3]].max() < 1e-20
