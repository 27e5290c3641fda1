"""Measure the speed of the core against plain Python, Gymnasium and the clock; exit with 1 where a bar is missed.

    python scripts/bench_core.py [--steps 10000000] [--repeats 5] [--json]

Contestants take turns, so that whatever else the machine does hits all of them alike; what is shown are medians.

- Learning: one process, FrozenLake 8x8, alpha 0.1, gamma 0.99, epsilon 0.1. The other side is the best plain-Python
  loop we know: lists of lists, local names only, transitions laid out beforehand as tuples (one draw and a bisection
  pick an outcome), ties between greedy actions broken at random as rlgrid does, and no record of anything but the
  number of finished episodes. rlgrid's side is ``Rollout.advance``, which besides fills its batch and keeps returns
  and lengths.
- Stepping: ``GridWorld.step`` against Gymnasium's own FrozenLake 8x8 without wrappers, both given the same random
  actions; resets are included.
- Starting: fresh processes, each after a first one that fills the file cache.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table

import rlgrid

LAKE = "frozen_lake_8x8"
ALPHA, GAMMA, EPSILON = 0.1, 0.99, 0.1
LEARNERS = ("q_learning", "sarsa", "expected_sarsa", "mc_epsilon_greedy")
Q_LEARNING_BAR, STEP_BAR, IMPORT_BAR, HELP_BAR = 15.0, 8.0, 1.5, 0.6


class Result(NamedTuple):
    """One line of the table: a measured figure against another one, and the bar, if there is one."""

    name: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None
    bar: str
    met: bool | None  # None: for information


def alternate(contestants: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median of what each contestant measures, taken in turns."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, measure in contestants.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


# Learning


def plain_q_learning(steps: int) -> float:
    """Steps a second of tabular Q-learning on lists."""
    rows = [
        [
            (tuple(accumulate(outcome[0] for outcome in row[:-1])), tuple(outcome[1:] for outcome in row))
            for row in actions.values()
        ]
        for actions in rlgrid.GridWorld(LAKE).P.values()
    ]
    q = [[0.0] * 4 for _ in rows]
    return steps / _timed(lambda: _plain_loop(rows, q, steps, random.Random(1).random))


def _plain_loop(rows: list[Any], q: list[list[float]], steps: int, uniform: Callable[[], float]) -> int:
    alpha, gamma, epsilon, limit = ALPHA, GAMMA, EPSILON, 200
    state, elapsed, episodes = 0, 0, 0
    for _ in range(steps):
        values = q[state]
        if uniform() < epsilon:
            action = int(uniform() * 4)
        else:
            best = max(values)
            if values.count(best) == 1:
                action = values.index(best)
            else:
                ties = [a for a in (0, 1, 2, 3) if values[a] == best]
                action = ties[int(uniform() * len(ties))]
        thresholds, outcomes = rows[state][action]
        next_state, reward, terminated = outcomes[bisect(thresholds, uniform())]
        target = reward if terminated else reward + gamma * max(q[next_state])
        values[action] += alpha * (target - values[action])
        elapsed += 1
        if terminated or elapsed == limit:
            state, elapsed, episodes = 0, 0, episodes + 1
        else:
            state = next_state
    return episodes


def learning(recipe: str, steps: int) -> float:
    """Steps a second of a recipe in the compiled loop; what is compiled is compiled before."""
    env = rlgrid.GridWorld(LAKE)
    own = {"step_size": ALPHA} if recipe != "mc_epsilon_greedy" else {}
    agent = rlgrid.load_agent(recipe, env, discount=GAMMA, epsilon=EPSILON, **own)
    feed = rlgrid.feed_for(agent, env)
    feed.advance(agent, 1, 1, record=False)

    def run() -> None:
        left = steps
        while left > 0:
            left -= feed.advance(agent, min(left, 262_144), 262_144, record=False).steps

    return steps / _timed(run)


def bench_learning(steps: int, repeats: int) -> list[Result]:
    contestants: dict[str, Callable[[], float]] = {"plain": lambda: plain_q_learning(max(steps // 15, 1))}
    contestants |= {recipe: (lambda recipe=recipe: learning(recipe, steps)) for recipe in LEARNERS}
    speed = alternate(contestants, repeats)
    results = []
    for recipe in LEARNERS:
        ratio = speed[recipe] / speed["plain"]
        judged = recipe == "q_learning"
        bar, met = (f">= {Q_LEARNING_BAR:g} x", ratio >= Q_LEARNING_BAR) if judged else ("", None)
        results.append(
            Result(f"{recipe} / plain Q-learning", speed[recipe], speed["plain"], "steps/s", ratio, bar, met)
        )
    return results


# Stepping


def stepping(env: Any, actions: list[int]) -> float:
    """Steps a second through an environment, resets included."""
    env.reset(seed=1)
    step, reset = env.step, env.reset

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()

    return len(actions) / _timed(run)


def bench_stepping(steps: int, repeats: int) -> list[Result]:
    actions = np.random.default_rng(1).integers(0, 4, size=steps).tolist()
    ours, theirs = rlgrid.GridWorld(LAKE), gymnasium.make("FrozenLake8x8-v1").unwrapped
    contestants = {"ours": lambda: stepping(ours, actions), "theirs": lambda: stepping(theirs, actions)}
    speed = alternate(contestants, repeats)
    ratio = speed["ours"] / speed["theirs"]
    name = "GridWorld.step / Gymnasium's FrozenLake.step"
    return [Result(name, speed["ours"], speed["theirs"], "steps/s", ratio, f">= {STEP_BAR:g} x", ratio >= STEP_BAR)]


# Starting


def starting(*arguments: str) -> float:
    """Seconds that a fresh Python process takes."""
    return _timed(lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True))


def bench_starting(repeats: int) -> list[Result]:
    commands = {
        "rlgrid": ("-c", "import rlgrid"),
        "gymnasium": ("-c", "import gymnasium"),
        "help": ("-m", "rlgrid", "--help"),
    }
    if subprocess.run([sys.executable, *commands["help"]], check=False, capture_output=True).returncode:
        commands["help"] = (
            "-c",
            "import sys; from rlgrid.cli.main import main; sys.argv = ['rlgrid', '--help']; main()",
        )
    for command in commands.values():
        starting(*command)
    seconds = alternate({name: (lambda c=command: starting(*c)) for name, command in commands.items()}, repeats)
    ratio = seconds["rlgrid"] / seconds["gymnasium"]
    bar, met = f"<= {IMPORT_BAR:g} x", ratio <= IMPORT_BAR
    importing = Result(
        "import rlgrid / import gymnasium", seconds["rlgrid"], seconds["gymnasium"], "s", ratio, bar, met
    )
    return [
        importing,
        Result("rlgrid --help", seconds["help"], None, "s", None, f"<= {HELP_BAR:g} s", seconds["help"] <= HELP_BAR),
    ]


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def show(results: list[Result]) -> None:
    table = Table("what", "rlgrid", "other", "unit", "ratio", "bar", "met", title="The core's speed (medians)")
    for result in results:
        form = (lambda x: f"{x:,.0f}") if result.unit == "steps/s" else (lambda x: f"{x:.3f}")
        met = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[result.met]
        other = form(result.theirs) if result.theirs is not None else ""
        ratio = f"{result.ratio:.2f}" if result.ratio is not None else ""
        table.add_row(result.name, form(result.ours), other, result.unit, ratio, result.bar, met)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the speed of the core.")
    parser.add_argument("--steps", type=int, default=10_000_000, help="steps of each learner in each repetition")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median counts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    results = [
        *bench_learning(options.steps, options.repeats),
        *bench_stepping(max(options.steps // 20, 1), options.repeats),
        *bench_starting(options.repeats),
    ]
    if options.json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        show(results)
    return 1 if any(result.met is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
