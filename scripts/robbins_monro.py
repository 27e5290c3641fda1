"""Robbins-Monro: the measured variance of thousands of runs beside the exact one and its limit, and a picture of paths.

python scripts/robbins_monro.py [--runs 5000] [--steps 1000] [--png robbins_monro.png]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from rlgrid import (
    Constant,
    ExpandingTruncation,
    Harmonic,
    Polynomial,
    Projection,
    exact_variance,
    find_root,
    kiefer_wolfowitz,
    sgd,
)
from rlgrid.rules.step_sizes import StepSize

CASES: list[tuple[str, StepSize, float, bool]] = [
    ("1 / k", Harmonic(), 1.0, False),
    ("1 / k", Harmonic(), 2.0, False),
    ("2 / k", Harmonic(2.0), 1.0, False),
    ("2 / k", Harmonic(2.0), 2.0, False),
    ("1 / (4 k)", Harmonic(0.25), 1.0, False),
    ("k^-0.7", Polynomial(power=0.7), 1.0, False),
    ("k^-0.7, averaged", Polynomial(power=0.7), 1.0, True),
    ("k^-0.7, averaged", Polynomial(power=0.7), 2.0, True),
    ("0.1", Constant(0.1), 1.0, False),
    ("0.1, averaged", Constant(0.1), 1.0, True),
]


def cube(w):
    return w**3 - 5


def print_variances(runs: int, steps: int) -> None:
    """k^p times the variance: measured with its 99 % interval, exact after so many updates, and in the limit."""
    print(f"w <- w - α (c w + η), η ~ N(0, 1): k^p Var after k = {steps:,} updates, {runs:,} runs each\n")
    print(f"{'α of update k':<18}{'c':>2} {'p':>4}{'measured':>10}{'99 % interval':>18}{'exact':>9}{'limit':>8}  RM")
    print("─" * 80)
    started = time.perf_counter()
    for name, step_size, slope, averaged in CASES:
        found = find_root(lambda w, c=slope: c * w, steps=steps, step_size=step_size, noise=1.0, seed=1, runs=runs)
        predicted = found.predicted_average if averaged else found.predicted
        power = predicted.power if predicted.variance is not None else 1.0
        scale = steps**power
        measured = (found.average_variance if averaged else found.variance)[-1]
        low, high = found.interval(averaged=averaged)
        exact = exact_variance(step_size, slope, 1.0, steps, averaged=averaged)[-1]
        limit = "none" if predicted.variance is None else f"{predicted.variance:.4f}"
        inside = " " if low[-1] <= exact <= high[-1] else "!"
        print(
            f"{name:<18}{slope:>2g} {power:>4g}{scale * measured:>10.4f}"
            f"{f'{scale * low[-1]:.4f} – {scale * high[-1]:.4f}':>18}{inside}{scale * exact:>8.4f}{limit:>8}"
            f"  {'yes' if step_size.conditions.hold else 'no'}"
        )
    print(f"\n{len(CASES) * runs:,} runs in {time.perf_counter() - started:.1f} s. RM: Σα = ∞ and Σα² < ∞.\n")


def print_cube(runs: int, steps: int) -> None:
    """Zhao's Fig 6.3 as printed, and what helps."""
    print("g(w) = w³ - 5 from w = 0 with α = 1/k (Zhao, Fig. 6.3), without noise:\n")
    for line in _wrapped(str(find_root(cube, steps=steps))):
        print(f"  {line}")
    print(
        f"\n{f'with noise of variance 1, {runs:,} runs':<38}"
        f"{'stay finite':>12}{'k Var':>9}{'limit':>8}{'taken back':>13}"
    )
    print("─" * 80)
    for name, settings in (
        ("as printed", {}),
        ("smaller first steps, 1 / (k + 2)", {"step_size": Harmonic(1.0, 2.0)}),
        ("projection onto -3 to 3", {"within": Projection(-3.0, 3.0)}),
        ("expanding truncations", {"within": ExpandingTruncation()}),
    ):
        found = find_root(cube, steps=steps, noise=1.0, seed=1, runs=runs, **settings)
        lucky = found.finite < runs
        measured = "" if lucky else f"{steps * found.variance[-1]:.4f}"
        limit = "" if lucky or found.predicted.variance is None else f"{found.predicted.variance:.4f}"
        print(f"{name:<38}{found.finite:>12,}{measured:>9}{limit:>8}{found.truncations.mean():>13.2f}")
    print()


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 76)


def print_gradients(runs: int, steps: int) -> None:
    """The mean of 100 samples as the minimum of the mean squared distance, with and without the gradient."""
    samples = np.random.default_rng(1).exponential(size=100)
    print(f"The minimum of E (w - X)² / 2 over 100 samples, α = 1/k, k = {steps:,}\n")
    print(f"{'':<34}{'mean of w':>12}{'E X':>9}{'k Var':>12}{'limit':>12}")
    print("─" * 80)
    for size in (1, 10):
        found = sgd(lambda w, x: w - x, samples, steps=steps, batch_size=size, seed=1, runs=runs)
        numbers = f"{steps * found.variance[-1]:>12.5f}{found.predicted.variance:>12.5f}"
        print(f"{f'SGD, batches of {size}':<34}{found.mean[-1]:>12.5f}{samples.mean():>9.5f}{numbers}")
    full = sgd(lambda w, x: w - x, samples, steps=5, batch_size="full")
    print(f"{'batch gradient descent, 5 updates':<34}{full.last:>12.5f}{samples.mean():>9.5f}{'0':>12}{'0':>12}")
    found = kiefer_wolfowitz(
        lambda w: ((w[:, None] - samples) ** 2).mean(axis=1) / 2, steps=steps, noise=0.1, seed=1, runs=min(runs, 500)
    )
    numbers = f"{steps * found.variance[-1]:>12.5f}{'none':>12}"
    print(f"{'Kiefer-Wolfowitz, noise 0.1':<34}{found.mean[-1]:>12.5f}{samples.mean():>9.5f}{numbers}")


def draw(path: str, steps: int) -> None:
    """Paths of three step sizes, and how the spread of many shrinks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
    kinds = (
        ("α = 0.1", Constant(0.1), "#c2553a"),
        ("α = 1 / k", Harmonic(), "#2f6c8f"),
        ("α = k^-0.7", Polynomial(power=0.7), "#4f8a4c"),
    )
    k = np.arange(steps + 1)
    for axis, (name, step_size, color) in zip(axes, kinds, strict=True):
        for seed in range(12):
            one = find_root(lambda w: w - 1, start=3.0, steps=steps, step_size=step_size, noise=1.0, seed=seed)
            axis.plot(k, one.iterates, color=color, alpha=0.35, linewidth=0.8)
        if isinstance(step_size, Polynomial):
            axis.plot(k[1:], one.averages, color="black", linewidth=1.4, label="the average of one path's iterates")
        deviation = np.sqrt(exact_variance(step_size, 1.0, 1.0, steps))
        axis.plot(
            k[1:], 1 + 2 * deviation[1:], color="black", linestyle=":", linewidth=1, label="root ± 2 exact deviations"
        )
        axis.plot(k[1:], 1 - 2 * deviation[1:], color="black", linestyle=":", linewidth=1)
        axis.axhline(1.0, color="black", linewidth=0.6)
        axis.set(title=name, xscale="log", xlabel="updates", xlim=(1, steps), ylim=(-1.5, 3.2))
        axis.legend(frameon=False, loc="upper right", fontsize=9)
    axes[0].set_ylabel("w")
    figure.suptitle("Finding the root of g(w) = w - 1 through noise of variance 1, twelve paths each")
    figure.savefig(path, dpi=120)
    print(f"\npicture: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--png", help="write a picture of paths, which needs matplotlib")
    arguments = parser.parse_args()
    print_variances(arguments.runs, arguments.steps)
    print_cube(arguments.runs, arguments.steps)
    print_gradients(arguments.runs, arguments.steps)
    if arguments.png:
        draw(arguments.png, arguments.steps)


if __name__ == "__main__":
    main()
