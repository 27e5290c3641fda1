"""Measure the speed of learning against loops written by hand; exit with 1 where a bar is missed.

    python scripts/bench_learning.py [--steps 5000000] [--repeats 5] [--json]

All in one process on one core; contestants take turns, what is shown are medians. FrozenLake 8x8, alpha 0.1, gamma
0.99, epsilon 0.1. The other sides are

- a tight plain-Python loop of Q-learning on lists (``bench_core.py``),
- for each algorithm a monolithic Numba loop that does nothing else (``yardsticks.py``),
- MushroomRL's tabular agents on its own 8 x 8 grid world, where it is installed.

rlgrid's side is ``Rollout.advance``, as in training, which besides keeps returns and lengths. The last lines are the
share of training time that the exact learning curve takes, and a world of 1000 x 1000 cells: its speed, and the memory
of the agent and its training in copies of q.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import yardsticks
from bench_core import ALPHA, EPSILON, GAMMA, LAKE, alternate, learning, plain_q_learning
from rich.console import Console
from rich.table import Table

import rlgrid
from rlgrid.rules.traces import longest_trace

LIMIT = 200
TRACE_DECAY, TRACE_CUT = 0.9, 1e-3
PLAIN_BAR, ONE_STEP_BAR, FAR_BAR, MUSHROOM_BAR = 25.0, 0.7, 0.5, 1000.0
LARGE_SPEED_BAR, LARGE_MEMORY_BAR, CURVE_BAR = 8e6, 3.0, 5.0
ONE_STEP = ("q_learning", "sarsa", "expected_sarsa")
RECIPES = (*ONE_STEP, "mc_epsilon_greedy", "n_step_sarsa", "sarsa_lambda")


class Result(NamedTuple):
    """One line of the table: our figure, the other one, and what their ratio has to be."""

    name: str
    ours: float
    theirs: float | None
    ratio: float
    bar: str
    met: bool


def monolithic(recipe: str, steps: int) -> float:
    """Steps a second of the loop written by hand."""
    world = yardsticks.world_of(LAKE)
    q, settings = np.zeros((64, 4)), (GAMMA, EPSILON, LIMIT)

    def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(n, np.int64), np.zeros(n)

    loops: dict[str, Callable[[int], Any]] = {
        "q_learning": lambda n: yardsticks.q_learning(world, q, n, ALPHA, *settings),
        "sarsa": lambda n: yardsticks.sarsa(world, q, n, ALPHA, *settings),
        "expected_sarsa": lambda n: yardsticks.expected_sarsa(world, q, n, ALPHA, *settings),
        "mc_epsilon_greedy": lambda n: yardsticks.monte_carlo(world, q, np.zeros(256), *rows(LIMIT), n, *settings),
        "n_step_sarsa": lambda n: yardsticks.four_step_sarsa(world, q, *rows(4), n, ALPHA, *settings),
        "sarsa_lambda": lambda n: yardsticks.sarsa_lambda(
            world, q, *rows(LIMIT), n, ALPHA, *settings, TRACE_DECAY, longest_trace(GAMMA * TRACE_DECAY, TRACE_CUT)
        ),
    }
    loops[recipe](1)  # compiles
    started = time.perf_counter()
    loops[recipe](steps)
    return steps / (time.perf_counter() - started)


def mushroom(algorithm: str, steps: int) -> float | None:
    """Steps a second of MushroomRL's agent; None where it is not installed."""
    try:
        from mushroom_rl.algorithms.value import SARSA, ExpectedSARSA, QLearning
        from mushroom_rl.core import Core
        from mushroom_rl.environments import GridWorld
        from mushroom_rl.policy import EpsGreedy
        from mushroom_rl.utils.parameters import Parameter
    except ImportError:
        return None
    kind = {"q_learning": QLearning, "sarsa": SARSA, "expected_sarsa": ExpectedSARSA}[algorithm]
    world = GridWorld(height=8, width=8, goal=(7, 7))
    agent = kind(world.info, EpsGreedy(epsilon=Parameter(EPSILON)), learning_rate=Parameter(ALPHA))
    core = Core(agent, world)
    started = time.perf_counter()
    core.learn(n_steps=steps, n_steps_per_fit=1, quiet=True)
    return steps / (time.perf_counter() - started)


def bench_lake(steps: int, repeats: int) -> list[Result]:
    contestants: dict[str, Callable[[], float]] = {"plain": lambda: plain_q_learning(max(steps // 10, 1))}
    for recipe in RECIPES:
        contestants[recipe] = lambda recipe=recipe: learning(recipe, steps)
        contestants[f"{recipe}, by hand"] = lambda recipe=recipe: monolithic(recipe, steps)
    has_mushroom = mushroom("q_learning", 10) is not None
    if has_mushroom:
        for recipe in ONE_STEP:
            contestants[f"{recipe}, MushroomRL"] = lambda recipe=recipe: mushroom(recipe, max(steps // 1000, 1)) or 0.0
    else:
        print("MushroomRL is not installed: left out", file=sys.stderr)
    speed = alternate(contestants, repeats)
    results = []
    for recipe in RECIPES:
        others = [(f"{recipe}, by hand", ONE_STEP_BAR if recipe in ONE_STEP else FAR_BAR)]
        if recipe in ONE_STEP:
            others.append(("plain", PLAIN_BAR))
        if recipe in ONE_STEP and has_mushroom:
            others.append((f"{recipe}, MushroomRL", MUSHROOM_BAR))
        for other, bar in others:
            ratio = speed[recipe] / speed[other]
            kind = other.removeprefix(f"{recipe}, ").removesuffix("RL")
            results.append(Result(f"{recipe} / {kind}", speed[recipe], speed[other], ratio, f"{bar:,g}", ratio >= bar))
    return results


def large_world() -> rlgrid.World:
    """1000 x 1000 open cells with a goal in the middle."""
    rows = [["."] * 1000 for _ in range(1000)]
    rows[0][0], rows[500][500] = "S", "G"
    text = "\n".join("".join(row) for row in rows)
    head = 'name = "large"\ndiscount = 0.99\nactions = ["up", "right", "down", "left"]\n'
    return rlgrid.World.from_toml(f'{head}map = """\n{text}\n"""\n[cells]\nG = {{ enter = 1, terminal = true }}\n')


def bench_large(steps: int, repeats: int) -> list[Result]:
    env = rlgrid.GridWorld(large_world())
    speeds = []
    tracemalloc.start()
    for _ in range(repeats):
        tracemalloc.clear_traces()
        before = tracemalloc.get_traced_memory()[0]
        agent = rlgrid.load_agent("q_learning", env, epsilon=EPSILON, step_size=ALPHA)
        feed = rlgrid.feed_for(agent, env)
        feed.prepare(agent)
        started, left = time.perf_counter(), steps
        while left > 0:
            left -= feed.advance(agent, min(left, 262_144), 262_144, record=False).steps
        speeds.append(steps / (time.perf_counter() - started))
        copies = (tracemalloc.get_traced_memory()[1] - before) / agent.learner.table.nbytes
        tracemalloc.reset_peak()
    tracemalloc.stop()
    speed = float(np.median(speeds))
    return [
        Result("q_learning, 1000 x 1000", speed, None, speed / 1e6, "8 M/s", speed >= LARGE_SPEED_BAR),
        Result("its memory, copies of q", copies, None, copies, "<= 3", copies <= LARGE_MEMORY_BAR),
    ]


class Timed(rlgrid.ExactError):
    """Counts the seconds that exact errors and the learning curve take."""

    spent = 0.0

    def begin(self, run: rlgrid.Run) -> None:
        started = time.perf_counter()
        super().begin(run)
        self.spent += time.perf_counter() - started

    def see(self, run: rlgrid.Run, chunk: Any) -> None:
        started = time.perf_counter()
        super().see(run, chunk)
        self.spent += time.perf_counter() - started


def bench_curve(steps: int, repeats: int) -> list[Result]:
    """The share of training time that errors and curve take at their default intervals.

    They take some milliseconds in shorter runs too, which is a larger share.
    """
    env = rlgrid.GridWorld(LAKE)
    shares = []
    for _ in range(repeats + 1):  # the first one compiles
        timed = Timed()
        run = rlgrid.train(rlgrid.load_agent("q_learning", env, discount=GAMMA), env, steps=steps, observers=[timed])
        shares.append(100 * timed.spent / run.seconds)
    share = float(np.median(shares[1:]))
    return [Result("its exact learning curve, %", share, None, share, f"<= {CURVE_BAR:g}", share <= CURVE_BAR)]


def show(results: list[Result]) -> None:
    table = Table("what", "rlgrid", "other", "ratio", "bar", "met", title="Learning, steps a second (medians)")
    for result in results:
        met = "[green]yes[/]" if result.met else "[red]no[/]"
        ours = f"{result.ours:,.0f}" if result.ours > 100 else f"{result.ours:.2f}"
        other = f"{result.theirs:,.0f}" if result.theirs is not None else ""
        table.add_row(result.name, ours, other, f"{result.ratio:,.2f}" if other else "", result.bar, met)
    Console(width=80).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the speed of learning.")
    parser.add_argument("--steps", type=int, default=5_000_000, help="steps of each learner in each repetition")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median counts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    results = bench_lake(options.steps, options.repeats) + bench_curve(options.steps, options.repeats)
    results += bench_large(options.steps, options.repeats)
    if options.json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        show(results)
    return 1 if any(not result.met for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
