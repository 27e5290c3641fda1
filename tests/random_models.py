"""Small random models, and their optima by policy iteration in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.models.model import TabularModel

Floats = NDArray[np.float64]

#: Rows of each state's available actions: probability, next state, reward, whether it ends.
FractionRows = list[list[list[tuple[Fraction, int, Fraction, bool]]]]


class Dense(NamedTuple):
    """A random model, also as dense arrays: probabilities of going on and mean rewards, 0 where there is no action."""

    P: Floats  # [S, A, S]
    R: Floats  # [S, A]
    available: NDArray[np.bool_]  # [S, A]
    model: TabularModel


def random_model(seed: int, n: int = 6, n_actions: int = 3, denominator: int = 10) -> Dense:
    """Probabilities in tenths, rewards in tenths; the last state is terminal, some actions are missing."""
    rng = np.random.default_rng(seed)
    reaches = rng.random((n, n_actions, n)) < 0.5
    reaches[:, :, 0] |= ~reaches.any(axis=2)
    weight = reaches / reaches.sum(axis=2, keepdims=True)
    P = np.array([[rng.multinomial(denominator, p) for p in row] for row in weight]) / denominator
    available = rng.random((n, n_actions)) < 0.8
    available[np.arange(n), rng.integers(n_actions, size=n)] = True
    terminal = np.arange(n) == n - 1
    R = rng.integers(-20, 21, (n, n_actions)) / 10
    model = TabularModel.from_arrays(P, R, terminal=terminal, available=available, discount=0.9, name=f"random {seed}")
    used = available & ~terminal[:, None]
    return Dense(P * used[:, :, None] * ~terminal, R * used, available | terminal[:, None], model)


def fractions_of(model: TabularModel) -> FractionRows:
    """The model's stored floats as fractions: rows of each state's available actions."""
    return [
        [[(Fraction(p), t, Fraction(r), end) for p, t, r, end in row] for row in actions.values() if row]
        for actions in model.P.values()
    ]


def rational_optimum(
    model: TabularModel, discount: float | Fraction, epsilon: float | Fraction = 0.0, rows: FractionRows | None = None
) -> list[Fraction]:
    """v* of the stored numbers, or of other rows, by policy iteration in rational arithmetic."""
    rows, gamma, eps = rows or fractions_of(model), Fraction(discount), Fraction(epsilon)
    n = len(rows)
    choice = [0] * n
    while True:
        matrix, right = [], []
        for s in range(n):
            line, constant = [Fraction(int(s == t)) for t in range(n)], Fraction(0)
            for a, row in enumerate(rows[s]):
                share = eps / len(rows[s]) + (1 - eps) * (a == choice[s])
                for p, t, r, end in row:
                    constant += share * p * r
                    line[t] -= share * gamma * p * (not end)
            matrix.append(line)
            right.append(constant)
        v = solve_rational(matrix, right)
        q = [[sum(p * (r + gamma * (not end) * v[t]) for p, t, r, end in row) for row in rows[s]] for s in range(n)]
        better = [choice[s] if q[s][choice[s]] == max(q[s]) else q[s].index(max(q[s])) for s in range(n)]
        if better == choice:
            return v
        choice = better


def solve_rational(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next(i for i in range(k, len(rows)) if rows[i][k] != 0)
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(len(rows)):
            if i != k and rows[i][k] != 0:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


def error(v: Floats, exact: list[Fraction]) -> Fraction:
    return max(abs(Fraction(float(x)) - y) for x, y in zip(v, exact, strict=True))
