"""Learning curves at discount 1, -1 a step: no regret below 0, no nan where the start has a value."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rlgrid
from rlgrid import ExactError, GridWorld, TabularModel, World, load_agent, train
from rlgrid.runs.curve import LearningCurve
from rlgrid.runs.run import Run

CORRIDORS, SPIRALS = ("random_walk_5", "random_walk_19", "cliff"), ("spiral",)
MAZES = ("dyna_maze", "blocking_maze", "shortcut_maze", "four_rooms", "maze_50x50")
AGENTS = (
    "q_learning", "q_learning_off_policy", "double_q_learning", "watkins_q_lambda", "n_step_tree_backup", "dyna_q",
    "mc_basic", "mc_exploring_starts", "mc_off_policy", "mc_epsilon_greedy", "sarsa", "expected_sarsa", "n_step_sarsa",
    "n_step_expected_sarsa", "sarsa_lambda", "true_online_sarsa_lambda",
)  # fmt: skip
ENVS = Path(rlgrid.__file__).parents[1] / "envs"


def each_step_costs(name: str) -> World:
    """A catalog world at discount 1 in which every step costs 1."""
    lines = [line for line in (ENVS / f"{name}.toml").read_text().splitlines() if not line.startswith("discount")]
    text = "\n".join(["discount = 1", *lines])
    if "[reward]" not in text:
        return World.from_toml(text + "\n[reward]\nstep = -1\n")
    return World.from_toml(text)


class Policies(ExactError):
    """Keeps the policies whose values are points of the curve."""

    def begin(self, run: Run) -> None:
        self.kept: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        super().begin(run)

    def _add_row(self, run: Run, truth: object, error: float) -> None:
        self.kept.append((run.agent.policy.copy(), run.agent.behavior_policy.copy()))
        super()._add_row(run, truth, error)  # type: ignore[arg-type]


def ends_surely(model: TabularModel, policy: NDArray[np.float64]) -> bool:
    """Whether an end can be reached from every state to which the policy leads from a start, found state by state."""
    following: dict[int, set[int]] = {}
    ending = set()
    for s, actions in model.P.items():
        taken = [outcome for a, row in actions.items() if policy[s, a] > 0 for outcome in row]
        following[s] = {t for _, t, _, ended in taken if not ended}
        ending |= {s for *_, ended in taken if ended}
    reached, open_ = set(), set(np.flatnonzero(model.start).tolist())
    while open_:
        s = open_.pop()
        reached.add(s)
        open_ |= following[s] - reached
    good = reached & ending
    while new := {s for s in reached - good if following[s] & good}:
        good |= new
    return reached == good


def check_curve(world: str, agent: str, steps: int, points: int) -> None:
    env = GridWorld(each_step_costs(world))
    observer = Policies(points=points)
    learner = load_agent(agent, env, seed=1, discount=1, episode_length=200)
    run = train(learner, env, steps=steps, observers=[observer])
    assert len(run.curve) == len(observer.kept) > 1
    best = float(env.model.start @ rlgrid.solve(env, discount=1).v)
    for row, (greedy, acting) in zip(run.curve, observer.kept, strict=True):
        for name, policy in (("greedy_value", greedy), ("behavior_value", acting)):
            assert np.isfinite(row[name]) == ends_surely(env.model, policy), (row["done"], name)
            if np.isfinite(row[name]):
                assert row[name] <= best + 1e-9
        assert not row["regret"] < 0


@pytest.mark.parametrize(("world", "agent"), [("spiral", "sarsa"), ("random_walk_19", "q_learning")])
def test_regret_and_values_in_a_corridor(world: str, agent: str) -> None:
    check_curve(world, agent, 4000, 8)


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("world", CORRIDORS + SPIRALS + MAZES[:-1])
def test_every_agent_in_corridors_spirals_and_mazes(world: str, agent: str) -> None:
    check_curve(world, agent, 20_000, 10)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["sarsa", "q_learning", "dyna_q"])
def test_a_large_maze(agent: str) -> None:
    check_curve("maze_50x50", agent, 20_000, 4)


def test_why_a_value_is_missing_is_said() -> None:
    env = GridWorld("cliff")
    agent = load_agent("q_learning", env, seed=1, discount=1.0)
    agent.learner.table[:, 0] = 1.0  # up for ever
    run = train(agent, env, steps=1, observers=[ExactError(points=1)])
    assert run.facts["greedy_value"] is None and math.isnan(run.curve["greedy_value"][-1])
    assert run.facts["unknown"] == {"greedy_value": "minus infinity: it may never end from row 4, column 1"}
    assert run.facts["greedy_policy"].startswith("never ends from 3")
    assert LearningCurve().unknown == {}


def test_a_start_of_probability_0_does_not_count() -> None:
    """Right of the wall the policy never ends, but no episode begins there."""
    text = 'discount = 1\nactions = ["left", "right"]\nmap = "GS#.."\n[reward]\nstep = -1\n'
    world = World.from_toml(text + "[cells]\nG = { terminal = true }")
    env = GridWorld(world)
    agent = load_agent("q_learning", env, seed=1, epsilon=0.0)
    agent.learner.table[:, 1] = -1.0  # left everywhere
    run = train(agent, env, steps=1, observers=[ExactError(points=1)])
    assert run.curve["greedy_value"].tolist() == [-1, -1] and run.curve["regret"].tolist() == [0, 0]
    assert run.facts["greedy_policy"] is None


def test_a_pit_that_the_best_policy_never_enters() -> None:
    """Right of S one falls into a pit that nothing leaves: its value is minus infinity, that of the start is -2."""
    text = 'discount = 1\nactions = ["left", "right"]\nmap = "G.Sx#p"\n[reward]\nstep = -1\n'
    env = GridWorld(
        World.from_toml(text + '[cells]\nG = { terminal = true }\nx = { enter_to = "p" }\np = { enter = -3 }\n')
    )
    assert rlgrid.solve(env).v[[0, 1, 2, 5]].tolist() == [0, -1, -2, -np.inf]
    agent = load_agent("q_learning", env, seed=1, epsilon=0.0)
    agent.learner.table[:, 1] = -9.0
    run = train(agent, env, steps=10, observers=[ExactError(points=1)])
    assert run.exact.exact is not None and run.exact.exact[[0, 1, 2, 5]].tolist() == [0, -1, -2, -np.inf]
    assert run.curve["greedy_value"].tolist() == [-2, -2] and run.curve["regret"].tolist() == [0, 0]
    assert run.facts["greedy_policy"] == "never ends from 1 cell; first: row 1, column 6"
