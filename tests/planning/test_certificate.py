"""The bound is never violated, and not useless: 1,000 random problems against optima in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from methods import EVERY_WAY, solve_by
from numpy.typing import NDArray
from random_models import FractionRows, error, fractions_of, rational_optimum, solve_rational

from rlgrid import TabularModel

DISCOUNTS = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0]
SCALES = [1e-6, 1.0, 1.0, 1e6]

#: The tolerance asked for, relative to the rewards.
TOL = 1e-8

#: What the bound of a direct solve may amount to, relative to the largest value: its certificate covers rounding in
#: all rows at its worst, over a horizon of up to 1,000 steps. This is far below ``TOL``, which would excuse everything.
ROUNDING = 1e-11


def problem(seed: int) -> tuple[TabularModel, float, float]:
    """2 to 6 states of which the last is terminal; discount, and scale of the rewards.

    At discount 1 every action ends with a probability of 1/11 at least, so that all values are finite.
    """
    rng = np.random.default_rng(seed)
    discount, scale = DISCOUNTS[seed % len(DISCOUNTS)], SCALES[seed % len(SCALES)]
    n, n_actions = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    P = rng.integers(0, 4, (n, n_actions, n)) * (rng.random((n, n_actions, n)) < 0.6)
    P[..., -1] += P.sum(axis=2) == 0
    P[..., -1] += (discount == 1) * (1 + P.sum(axis=2) // 10)
    R = scale * (rng.integers(-20, 21, (n, n_actions)) / 10 if seed % 3 else rng.normal(size=(n, n_actions)))
    available = rng.random((n, n_actions)) < 0.8
    available[:, 0] |= ~available.any(axis=1)
    model = TabularModel.from_arrays(
        P / P.sum(axis=2, keepdims=True), R, terminal=np.arange(n) == n - 1, available=available, name=f"random {seed}"
    )
    return model, discount, scale


def optimum(rows: FractionRows, model: TabularModel, policy: NDArray[np.float64], discount: float) -> list[Fraction]:
    """v*: the exact values of a policy where no action can improve these, else by policy iteration in fractions."""
    gamma, n = Fraction(discount), len(rows)
    matrix, right = [[Fraction(int(s == t)) for t in range(n)] for s in range(n)], [Fraction(0)] * n
    for s in range(n):
        chosen = np.flatnonzero(model.available[s]).tolist().index(int(policy[s].argmax()))
        for p, t, r, end in rows[s][chosen]:
            right[s] += p * r
            matrix[s][t] -= gamma * p * (not end)
    v = solve_rational(matrix, right)
    best = [max(sum(p * (r + gamma * (not end) * v[t]) for p, t, r, end in row) for row in rows[s]) for s in range(n)]
    return v if best == v else rational_optimum(model, discount, rows=rows)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_the_bound_is_never_violated(block: int) -> None:
    """Of each problem as its floats are stored. What is solved exactly has rows divided by their sums."""
    ratios: dict[str, list[float]] = {way: [] for way in EVERY_WAY}
    for seed in range(100 * block, 100 * block + 100):
        model, discount, scale = problem(seed)
        stored, exact = fractions_of(model), None
        for way in EVERY_WAY:
            plan = solve_by(way, model, discount=discount, tol=TOL * scale)
            exact = exact or optimum(stored, model, plan.policy, discount)
            reference = exact
            if way == "exact":
                divided = [[[(p / sum(x[0] for x in row), *rest) for p, *rest in row] for row in s] for s in stored]
                assert plan.exact_v is not None
                reference = optimum(divided, model, plan.policy, Fraction(repr(discount)))
                assert list(plan.exact_v) == reference
            true = error(plan.v, reference)
            assert true <= Fraction(plan.bound), f"{way}, problem {seed}"
            assert plan.bound <= TOL * scale
            largest = float(max(map(abs, reference))) or scale
            ratios[way].append(plan.bound / (10 * float(true) + ROUNDING * largest))
    assert all(np.median(ratio) <= 1 for ratio in ratios.values())
