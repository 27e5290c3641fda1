"""Step sizes, mean estimation and root finding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from published_worlds import PUBLISHED

from rlgrid import Constant, Harmonic, InputError, Polynomial, find_root, mean_estimation
from rlgrid.rules.step_sizes import RobbinsMonro, StepSize, rate

CUBE_ROOT = PUBLISHED["zhao_rm_cube"]["values"]


def cube(w: float) -> float:
    return w**3 - 5


def standard_normal(generator: np.random.Generator) -> float:
    return generator.standard_normal()


# Step sizes


def rates(step_size: StepSize, entries: list[tuple[int, int]]) -> list[float]:
    visits, clock = np.zeros((3, 2), np.int64), np.zeros(1, np.int64)
    return [float(rate(step_size, visits, clock, state, column)) for state, column in entries]


ORDER = [(0, 0), (0, 1), (0, 0), (2, 1), (0, 0), (0, 1)]


@pytest.mark.parametrize(
    ("step_size", "expected"),
    [
        (Constant(0.25), [0.25] * 6),
        (Harmonic(), [1, 1, 1 / 2, 1, 1 / 3, 1 / 2]),
        (Harmonic(2.0, 3.0), [2 / 4, 2 / 4, 2 / 5, 2 / 4, 2 / 6, 2 / 5]),
        (Harmonic(2.0, 3.0, per_entry=False), [2 / (3 + k) for k in range(1, 7)]),
        (Polynomial(1.5, 2.0, 0.6), [1.5 / (2.0 + k) ** 0.6 for k in (1, 1, 2, 1, 3, 2)]),
        (Polynomial(1.5, 2.0, 0.6, per_entry=False), [1.5 / (2.0 + k) ** 0.6 for k in range(1, 7)]),
        (Polynomial(0.5, power=0.0), [0.5] * 6),
    ],
    ids=str,
)
def test_step_sizes_are_exact(step_size: StepSize, expected: list[float]) -> None:
    assert rates(step_size, ORDER) == expected


@pytest.mark.parametrize(
    ("step_size", "sum_diverges", "sum_of_squares_converges"),
    [
        (Constant(0.1), True, False),
        (Constant(0.0), False, True),
        (Harmonic(), True, True),
        (Harmonic(0.1, 100.0, per_entry=False), True, True),
        (Polynomial(power=1.0), True, True),
        (Polynomial(power=0.51), True, True),
        (Polynomial(power=0.5), True, False),
        (Polynomial(power=0.0), True, False),
        (Polynomial(power=1.01), False, True),
    ],
    ids=str,
)
def test_robbins_monro_conditions(step_size: StepSize, sum_diverges: bool, sum_of_squares_converges: bool) -> None:
    conditions = step_size.conditions
    assert conditions == RobbinsMonro(sum_diverges, sum_of_squares_converges)
    assert conditions.hold == (sum_diverges and sum_of_squares_converges)


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 0.51, 0.75, 1.0, 1.01, 1.5])
def test_the_conditions_are_those_of_the_series(power: float) -> None:
    """A series of k^-p converges just where its blocks from n to 2n get smaller (Cauchy's condensation)."""
    k = np.arange(1.0, 2.0**20)

    def converges(exponent: float) -> bool:
        terms = k**-exponent
        return bool(terms[2**18 : 2**19].sum() < terms[2**17 : 2**18].sum() * (1 - 1e-6))

    conditions = Polynomial(power=power).conditions
    assert conditions.sum_diverges != converges(power)
    assert conditions.sum_of_squares_converges == converges(2 * power)


# Mean estimation


@pytest.mark.parametrize("start", [0.0, -1e6])
def test_with_steps_of_one_over_k_the_estimate_is_the_mean(start: float) -> None:
    samples = np.random.default_rng(5).exponential(3.0, size=1000)
    path = mean_estimation(samples, start=start)
    means = np.cumsum(samples) / np.arange(1, 1001)
    assert path.iterates[0] == start and len(path.iterates) == 1001
    assert path.iterates[1:] == pytest.approx(means, rel=1e-12)
    assert path.last == pytest.approx(np.mean(samples), rel=1e-12)
    assert path.conditions.hold and path.diverged_at is None


def test_a_constant_step_forgets_exponentially() -> None:
    samples = np.random.default_rng(5).normal(size=50)
    weights = 0.2 * 0.8 ** np.arange(49, -1, -1)
    path = mean_estimation(samples, step_size=Constant(0.2), start=7.0)
    assert path.last == pytest.approx(weights @ samples + 0.8**50 * 7.0, rel=1e-12)
    assert not path.conditions.hold


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.6, 0.75, 1.0])
def test_the_mean_is_found_with_any_step_that_meets_the_conditions(power: float) -> None:
    """After n steps the error has a variance of about alpha_n var(x) / 2 for power < 1, and of var(x) / n for 1."""
    n = 20_000
    bound = 5 * 2.0 * math.sqrt(1.0 / n if power == 1 else n**-power)
    for seed in range(10):
        samples = np.random.default_rng(seed).normal(-3.0, 2.0, size=n)
        assert abs(mean_estimation(samples, step_size=Polynomial(power=power)).last + 3.0) < bound


@pytest.mark.parametrize("samples", [[1.0, math.nan], [math.inf], [[1.0]], 3.0], ids=str)
def test_samples_have_to_be_finite_numbers(samples: object) -> None:
    with pytest.raises(InputError, match=r"^samples: found .*; allowed: a list of finite numbers$"):
        mean_estimation(samples)


def test_no_samples_leave_the_start() -> None:
    assert mean_estimation([], start=2.0).iterates.tolist() == [2.0]


# Root finding


def test_zhao_fig_6_4() -> None:
    published = PUBLISHED["zhao_rm_tanh"]
    path = find_root(lambda w: math.tanh(w - 1), start=3.0, steps=9)
    assert path.iterates == pytest.approx(published["values"], abs=published["tolerance"])


def test_the_cube_as_stated_diverges_and_the_path_says_where() -> None:
    path = find_root(cube, steps=100)
    assert path.iterates[:3].tolist() == [0.0, 5.0, -55.0]
    assert path.iterates[3] == pytest.approx(55405, rel=1e-12)
    assert path.diverged_at == 8 == len(path.iterates) + 1
    assert np.isfinite(path.iterates).all()
    assert path.conditions.hold, "the step sizes are not to blame: g grows faster than linearly"


@pytest.mark.slow
def test_the_cube_diverges_for_nearly_every_noise() -> None:
    diverged = [find_root(cube, steps=200, noise=standard_normal, seed=seed).diverged_at for seed in range(100)]
    assert sum(at is not None for at in diverged) >= 95  # 99.6 % of many runs


@pytest.mark.slow
def test_with_smaller_first_steps_the_cube_root_is_found() -> None:
    """Near the root a_k = 1/(k + 2) has a variance of 1 / (n (2 g'(w) - 1)) for noise of variance 1."""
    n = 20_000
    bound = 5 / math.sqrt(n * (2 * 3 * CUBE_ROOT**2 - 1))
    for seed in range(20):
        path = find_root(cube, steps=n, step_size=Harmonic(1.0, 2.0), noise=standard_normal, seed=seed)
        assert path.diverged_at is None
        assert abs(path.last - CUBE_ROOT) < bound
    quiet = find_root(cube, steps=n, step_size=Harmonic(1.0, 2.0))
    assert quiet.last == pytest.approx(CUBE_ROOT, abs=1e-9)


def test_a_seed_repeats_a_path() -> None:
    one, same, other = (
        find_root(math.tanh, start=1.0, steps=50, noise=standard_normal, seed=seed).iterates for seed in (3, 3, 4)
    )
    assert one.tolist() == same.tolist() != other.tolist()


def test_an_overflow_is_a_divergence_too() -> None:
    assert find_root(lambda w: math.exp(w) * -1e300, start=700.0, steps=5).diverged_at == 2
    assert find_root(lambda w: math.nan, steps=5).diverged_at == 2


def test_at_least_one_step() -> None:
    with pytest.raises(InputError, match=r"^steps: found 0; allowed: a whole number of at least 1$"):
        find_root(cube, steps=0)
