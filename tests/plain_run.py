"""Short runs of every kind of learner and what is left of them, as hashes.

Run as a script it prints them; with NUMBA_DISABLE_JIT=1 in the environment nothing is compiled then, and the hashes
have to be those of the compiled runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlgrid import GridWorld, TabularModel, World, load_agent
from rlgrid.batch import Batch, joined
from rlgrid.feeds.feed import Feed, Finished
from rlgrid.feeds.feed_for import feed_for
from rlgrid.kernels.interaction import interact
from rlgrid.learning.agent import Agent
from rlgrid.runs.checkpoint import arrays_of

NOISY = """
name = "noisy"
discount = 0.9
max_episode_steps = 40
actions = ["up", "right", "down", "left"]
map = '''
S.x
.#S
w.G
'''
[reward]
step = { mean = -1, std = 0.5 }
[cells]
x = { enter = { values = [-3, 1, 2], probabilities = ["1/2", "1/4", "1/4"] } }
w = { enter = -2 }
G = { enter = { mean = 5, std = 1 }, terminal = true }
[slip]
turn = { 0 = 0.8, 90 = 0.1, -90 = 0.1 }
"""

HARMONIC = {"kind": "harmonic", "a": 2.0, "b": 3.0}
POLYNOMIAL = {"kind": "polynomial", "power": 0.7}
BY_VISIT = {"kind": "polynomial", "power": 0.6, "per": "visit"}
PER_UPDATE = {"kind": "polynomial", "a": 1.5, "b": 10.0, "power": 0.6, "per": "update"}


class Case(NamedTuple):
    """A recipe with settings, and the world that it runs in ("noisy" is the one above)."""

    recipe: str
    world: str
    settings: dict[str, Any] = {}  # noqa: RUF012 (never changed)

    def make(self) -> tuple[Agent, GridWorld]:
        env = GridWorld(World.from_toml(NOISY) if self.world == "noisy" else self.world)
        return load_agent(self.recipe, env, seed=7, **self.settings), env


#: Every rule of every rollout at least once.
ROLLOUTS = {
    "q_learning": Case("q_learning", "frozen_lake_8x8", {"discount": 0.99, "initial_value": 0.5}),
    "q_learning, harmonic": Case("q_learning", "noisy", {"step_size": HARMONIC}),
    "q_learning, polynomial": Case("q_learning", "noisy", {"step_size": POLYNOMIAL, "epsilon": 0.3}),
    "sarsa": Case("sarsa", "cliff"),
    "sarsa, per update": Case("sarsa", "noisy", {"step_size": PER_UPDATE}),
    "expected_sarsa": Case("expected_sarsa", "noisy"),
    "td0": Case("td0", "noisy"),
    "td0, harmonic": Case("td0", "aima_4x3", {"step_size": HARMONIC}),
    "mc_epsilon_greedy": Case("mc_epsilon_greedy", "noisy"),
    "mc_epsilon_greedy, long": Case("mc_epsilon_greedy", "four_rooms"),
    "mc_epsilon_greedy, first visits": Case("mc_epsilon_greedy", "frozen_lake_4x4", {"visits": "first"}),
    "mc_exploring_starts": Case("mc_exploring_starts", "noisy"),
    "softmax": Case("expected_sarsa", "noisy", {"behavior": {"kind": "softmax", "temperature": 0.7}}),
    "ucb": Case("expected_sarsa", "noisy", {"behavior": {"kind": "ucb", "c": 2.0}}),
    "epsilon by visit": Case("expected_sarsa", "noisy", {"epsilon": BY_VISIT}),
    "epsilon by episode": Case("sarsa", "noisy", {"epsilon": {"kind": "harmonic", "a": 3.0, "least": 0.05}}),
    "epsilon by step": Case("mc_epsilon_greedy", "noisy", {"epsilon": {"kind": "polynomial", "per": "step"}}),
    "epsilon linear": Case("q_learning", "cliff", {"epsilon": {"kind": "linear", "steps": 2000}}),
    "mc_basic": Case("mc_basic", "noisy", {"episode_length": 5, "episodes_per_pair": 2, "improve_every": 3}),
}
#: Those of windows, corrections, traces, two tables and learned models.
ROLLOUTS |= {
    "mc_prediction": Case("mc_prediction", "noisy", {"visits": "first"}),
    "mc_ordinary_sampling": Case("mc_ordinary_sampling", "noisy", {"table": "v", "policy": "right", "behavior": 0.5}),
    "mc_weighted_sampling": Case("mc_weighted_sampling", "noisy", {"policy": "right", "behavior": "uniform"}),
    "mc_per_decision": Case("mc_per_decision", "noisy", {"policy": "right", "behavior": 0.9}),
    "mc_off_policy": Case("mc_off_policy", "frozen_lake_4x4", {"behavior": 0.5}),
    "n_step_td": Case("n_step_td", "noisy", {"n": 3}),
    "n_step_td, off-policy": Case("n_step_td", "noisy", {"correction": "per_decision", "behavior": 0.5}),
    "n_step_sarsa": Case("n_step_sarsa", "noisy", {"n": 300}),
    "n_step_expected_sarsa": Case("n_step_expected_sarsa", "frozen_lake_4x4"),
    "n_step_tree_backup": Case("n_step_tree_backup", "noisy"),
    "n_step_tree_backup, on-policy": Case("n_step_tree_backup", "noisy", {"target": "behavior", "n": 2}),
    "n_step, weighted": Case("n_step_tree_backup", "noisy", {"correction": "weighted", "step_size": HARMONIC}),
    "td_lambda": Case("td_lambda", "noisy", {"step_size": HARMONIC}),
    "true_online_td_lambda": Case("true_online_td_lambda", "random_walk_19"),
    "sarsa_lambda": Case("sarsa_lambda", "frozen_lake_4x4", {"trace_cut": 0.01}),
    "sarsa_lambda, whole episodes": Case("sarsa_lambda", "four_rooms", {"trace_cut": 0}),
    "true_online_sarsa_lambda": Case("true_online_sarsa_lambda", "noisy"),
    "watkins_q_lambda": Case("watkins_q_lambda", "noisy"),
    "double_q_learning": Case("double_q_learning", "noisy", {"step_size": POLYNOMIAL}),
    "q_learning_off_policy": Case("q_learning_off_policy", "noisy"),
    "expected_sarsa_off_policy": Case("expected_sarsa_off_policy", "noisy"),
    "dyna_q": Case("dyna_q", "noisy", {"planning_steps": 2, "model_memory": 3}),
    "dyna_q_plus": Case("dyna_q_plus", "dyna_maze", {"planning_steps": 3}),
}
#: Those of linear functions.
ROLLOUTS |= {
    "td_linear": Case("td_linear", "noisy"),
    "sarsa_linear": Case("sarsa_linear", "noisy", {"step_size": PER_UPDATE}),
    "q_learning_linear": Case("q_learning_linear", "frozen_lake_8x8", {"features": {"kind": "polynomial"}}),
    "q_learning_linear, one-hot": Case("q_learning_linear", "noisy", {"features": {"kind": "one_hot"}}),
    "n-step Sarsa, linear": Case("sarsa_linear", "noisy", {"n": 3}),
    "Monte Carlo, linear": Case("td_linear", "noisy", {"target": "return"}),
}
SWEEPS = {
    "value_iteration": Case("value_iteration", "aima_4x3"),
    "truncated_policy_iteration": Case("truncated_policy_iteration", "noisy", {"improve_every": 2}),
    "policy_iteration": Case("policy_iteration", "zhao_2x2", {"improve_within": 1e-3}),
}
STEPS = 3000


class Outcome(NamedTuple):
    """What a run left behind: recorded batches (none where nobody asked) and finished episodes."""

    batches: list[Batch]
    finished: Finished


def drive(agent: Agent, feed: Feed, *, chunks: Sequence[int], steps: int = STEPS, record: bool = False) -> Outcome:
    """Advance a feed until so many steps are done; chunk lengths go round."""
    batches, finished = [], []
    done = turn = 0
    while done < steps:
        chunk = feed.advance(agent, min(chunks[turn % len(chunks)], steps - done), 100_000, record=record)
        done, turn = done + chunk.steps, turn + 1
        finished.append(chunk.finished)
        if chunk.batch is not None:
            batches.append(chunk.batch)
    return Outcome(batches, Finished(*(np.concatenate(column) for column in zip(*finished, strict=True))))


def learned(agent: Agent) -> dict[str, bytes]:
    """Everything that an agent carries from one step to the next, as bytes."""
    arrays = dict(arrays_of(agent.learner, "learner"))
    arrays |= {f"stream {i}": stream for i, stream in enumerate(agent.streams)}
    return {name: array.tobytes() for name, array in arrays.items()} | {"policy": agent.policy.tobytes()}


def of_episodes(finished: Finished) -> dict[str, bytes]:
    """Returns, lengths and ends of episodes, as bytes."""
    return {name: column.tobytes() for name, column in finished._asdict().items()}


def hashes() -> dict[str, str]:
    """One hash for each run."""
    found = {}
    for name, case in (ROLLOUTS | SWEEPS).items():
        agent, env = case.make()
        outcome = drive(
            agent, feed_for(agent, env), chunks=[1000], steps=STEPS if name in ROLLOUTS else 40, record=True
        )
        kept = learned(agent) | of_episodes(outcome.finished)
        kept |= {name: column.tobytes() for name, column in joined(outcome.batches)._asdict().items()}
        found[name] = hashlib.sha256(b"".join(kept.values())).hexdigest()
    found["unavailable actions"] = _with_unavailable_actions()
    return found


def _with_unavailable_actions() -> str:
    """Epsilon-greedy values and draws in a model in which not every action is available."""
    random = np.random.default_rng(3)
    model = TabularModel.from_arrays(
        random.dirichlet(np.ones(4), size=(4, 3)),
        random.normal(size=(4, 3)),
        available=[[True, False, True], [True, True, True], [False, False, True], [False, True, True]],
        discount=0.8,
    )
    sweeping = load_agent("value_iteration", model)
    drive(sweeping, feed_for(sweeping, model), chunks=[1], steps=40)
    acting = load_agent("q_learning", model, epsilon=0.4)
    acting.learner.table[...] = sweeping.learner.table
    actions = np.array([acting.act(k % 4) for k in range(1000)])
    return hashlib.sha256(sweeping.learner.table.tobytes() + actions.tobytes()).hexdigest()


if __name__ == "__main__":
    print(json.dumps(hashes() | {"compiled": hasattr(interact, "signatures")}))
