"""Measure environments against EnvPool, Navix and Gymnasium; exit with 1 where a bar is missed.

    pip install "rlgrid[bench]"
    python scripts/bench_env.py [--repeats 5] [--json]

Contestants take turns; what is shown are medians of environment steps a second, on all cores. EnvPool and Gymnasium
step their own FrozenLake 8x8, which is the same world as ours. Navix steps Empty-8x8, its simplest world, with random
actions inside one compiled ``lax.scan``, where it is fastest. Actions of the others are drawn beforehand.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table

import rlgrid

LAKE = "frozen_lake_8x8"
FEW, MANY, MOST = 64, 16_384, 65_536
NAVIX_ENVS = 4096

Measure = Callable[[], float]


class Bar(NamedTuple):
    """What is compared, and how many times faster we want to be."""

    ours: str
    theirs: str
    factor: float


BARS = (
    Bar(f"GridWorldVec {MANY:,}", f"EnvPool {MANY:,}", 100),
    Bar(f"GridWorldVec {FEW}", f"EnvPool {FEW}", 20),
    Bar(f"GridWorldVec {MOST:,}", f"Navix {NAVIX_ENVS:,}", 25),
    Bar("GridWorld.step", "Gymnasium", 10),
)

ROLLOUT_BAR = 40e6


def speed(step: Callable[[], object], steps_each: int, at_least: int = 2_000_000) -> float:
    """Environment steps a second of a call that makes so many."""
    calls = max(at_least // steps_each, 3)
    begin = time.perf_counter()
    for _ in range(calls):
        step()
    return calls * steps_each / (time.perf_counter() - begin)


def vector(num_envs: int) -> Measure:
    envs = rlgrid.GridWorldVec(LAKE, num_envs)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 4, num_envs)
    envs.step(actions)
    return lambda: speed(lambda: envs.step(actions), num_envs)


def rollout() -> Measure:
    num_envs, steps = 1024, 1000
    envs = rlgrid.GridWorldVec(LAKE, num_envs)
    envs.reset(seed=0)
    policy = np.full((64, 4), 0.25)
    batch = envs.rollout(policy, steps)
    return lambda: speed(lambda: envs.rollout(policy, steps, out=batch), num_envs * steps)


def scalar(env: Any) -> Measure:
    actions = np.random.default_rng(0).integers(0, 4, 100_000).tolist()

    def run() -> None:
        env.reset(seed=0)
        step, reset = env.step, env.reset
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()

    return lambda: speed(run, len(actions), 1)


def envpool(num_envs: int) -> Measure:
    import envpool

    envs = envpool.make("FrozenLake8x8-v1", env_type="gymnasium", num_envs=num_envs)
    envs.reset()
    actions = np.random.default_rng(0).integers(0, 4, num_envs).astype(np.int32)
    envs.step(actions)
    return lambda: speed(lambda: envs.step(actions), num_envs, 400_000)


def navix() -> Measure:
    import jax
    import navix

    env, steps = navix.make("Navix-Empty-8x8-v0"), 100

    def body(timestep: Any, key: Any) -> tuple[Any, None]:
        return jax.vmap(env.step)(timestep, jax.random.randint(key, (NAVIX_ENVS,), 0, 7)), None

    key = jax.random.PRNGKey(0)
    run = jax.jit(lambda timestep: jax.lax.scan(body, timestep, jax.random.split(key, steps))[0])
    begin = jax.jit(jax.vmap(env.reset))(jax.random.split(key, NAVIX_ENVS))
    jax.block_until_ready(run(begin))
    return lambda: speed(lambda: jax.block_until_ready(run(begin)), NAVIX_ENVS * steps, 400_000)


def measure(repeats: int) -> dict[str, float]:
    """Median steps a second of each contestant."""
    contestants: dict[str, Measure] = {f"GridWorldVec {n:,}": vector(n) for n in (FEW, MANY, MOST)}
    contestants |= {f"EnvPool {n:,}": envpool(n) for n in (FEW, MANY)}
    contestants[f"Navix {NAVIX_ENVS:,}"] = navix()
    contestants["GridWorld.step"] = scalar(rlgrid.GridWorld(LAKE))
    lake = gymnasium.make("FrozenLake-v1", map_name="8x8").unwrapped
    contestants["Gymnasium"] = scalar(lake)
    contestants["GridWorldVec.rollout"] = rollout()
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, take in contestants.items():
            found[name].append(take())
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        found = measure(arguments.repeats)
    except ImportError as error:
        print(f'{error}; the peers come with: pip install "rlgrid[bench]"', file=sys.stderr)
        return 2
    rows = [(b.ours, b.theirs, found[b.ours], found[b.theirs], found[b.ours] / found[b.theirs], b.factor) for b in BARS]
    rolled = found["GridWorldVec.rollout"]
    met = all(ratio >= factor for *_, ratio, factor in rows) and rolled >= ROLLOUT_BAR
    if arguments.json:
        print(json.dumps({"steps_per_second": found, "all_met": met}, indent=2))
        return 0 if met else 1
    table = Table(title="Millions of environment steps a second (medians)")
    for title in ("rlgrid", "M/s", "other", "M/s", "ratio", "bar"):
        table.add_column(title, justify="left" if title in ("rlgrid", "other") else "right", no_wrap=True)
    for ours, theirs, a, b, ratio, factor in rows:
        table.add_row(ours, f"{a / 1e6:.2f}", theirs, f"{b / 1e6:.3f}", f"{ratio:.1f}", f">= {factor:g}")
    table.add_row("GridWorldVec.rollout", f"{rolled / 1e6:.2f}", "", "", "", f">= {ROLLOUT_BAR / 1e6:g} M")
    Console().print(table)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
