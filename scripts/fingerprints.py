"""What every recipe learns and every method of planning finds, as hashes: a change of structure must change none.

Run it before and after the change and compare the two outputs with ``diff``; with NUMBA_DISABLE_JIT=1 the plain rules
run instead of the compiled ones, and print the same lines.

    python scripts/fingerprints.py > before.txt
    python scripts/fingerprints.py --agents-only > before_agents.txt
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import rlgrid
from rlgrid import library

WORLDS = ("frozen_lake_4x4", "cliff", "aima_4x3")
METHODS = (
    "auto",
    "value_iteration",
    "gauss_seidel",
    "block_gauss_seidel",
    "prioritized_sweeping",
    "policy_iteration",
    "truncated_policy_iteration",
    "linear_programming",
    "average_reward",
)
SETTINGS: dict[str, Any] = {"discount": 0.9}


def fingerprint(*arrays: Any) -> str:
    """A hash of the bits of arrays; structured ones column by column."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        for column in [array[name] for name in array.dtype.names] if array.dtype.names else [array]:
            digest.update(f"{column.dtype.str} {column.shape} ".encode() + np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:12]


def trained(recipe: str, world: str) -> dict[str, str]:
    """What is left of a short run: table, policies, returns and exact learning curve."""
    env = rlgrid.GridWorld(world)
    agent = rlgrid.load_agent(recipe, env, seed=11, **SETTINGS)
    options: dict[str, Any] = {"steps": 3000}
    if recipe.startswith("batch_"):
        teacher = rlgrid.load_agent("td0", env, seed=3, **SETTINGS)
        options = {"sweeps": 5, "batch": rlgrid.Rollout(env, seed=5).collect(teacher, episodes=20)}
    try:
        run = rlgrid.train(agent, env, **options)
    except rlgrid.InputError:
        agent = rlgrid.load_agent(recipe, env, seed=11, **SETTINGS)
        run = rlgrid.train(agent, env, sweeps=7)
    table = run.agent.v if run.agent.recipe.table == "v" else run.agent.q
    return {
        "table": fingerprint(table),
        "policy": fingerprint(run.agent.policy),
        "returns": fingerprint(run.returns, run.lengths),
        "errors": fingerprint(run.errors),
        "curve": fingerprint(run.curve),
        "behavior": fingerprint(run.agent.behavior_policy),
    }


def planned(method: str, world: str) -> dict[str, str]:
    """What a method finds."""
    plan = rlgrid.solve(rlgrid.load_world(world), method)
    return {"v": fingerprint(plan.v), "q": fingerprint(plan.q), "policy": fingerprint(plan.policy)}


def lines(kind: str, names: tuple[str, ...], worlds: tuple[str, ...], make: Callable[..., Any]) -> Iterator[str]:
    """A line for each pair; what is refused is a result too."""
    for name in names:
        for world in worlds:
            try:
                found = make(name, world)
            except rlgrid.InputError:
                found = {"refused": "-"}
            yield " ".join([kind, name, world, *(f"{key}={value}" for key, value in found.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents-only", action="store_true", help="leave planning out (plain Python is slow at it)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for line in lines("agent", tuple(library.names("agents")), WORLDS, trained):
        print(line, flush=True)
    if not options.agents_only:
        for line in lines("plan", METHODS, tuple(library.names("envs")), planned):
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
