"""Dyna: what its model holds, and how fast it finds its way (Sutton & Barto 2e, Secs 8.2 and 8.3)."""

from __future__ import annotations

import numpy as np
import pytest
from experience import recorded, scripted, taught

import rlgrid
from rlgrid import ChangingGridWorld, GridWorld, load_agent
from rlgrid.rules.dyna import Dyna


def model_of(agent: rlgrid.Agent) -> Dyna:
    assert isinstance(agent.learner.planning, Dyna)
    return agent.learner.planning


def test_the_model_is_what_was_seen_last() -> None:
    env, batch = recorded("frozen_lake_4x4", 100)
    planning = model_of(taught("dyna_q", env, batch))
    assert planning.clock.tolist() == [batch.size, len(set(batch.state.tolist()))]
    for row in range(64):
        times = np.flatnonzero(batch.state * 4 + batch.action == row)
        assert planning.tried[row] == len(times)
        if len(times):
            assert planning.next_state[row, 0] == batch.next_state[times[-1]]
            assert planning.last[row] == times[-1] + 1
            assert (planning.reward[row, 0], planning.terminated[row, 0]) == (
                batch.reward[times[-1]],
                batch.terminated[times[-1]],
            )


def test_more_memory_keeps_the_latest_outcomes() -> None:
    env, batch = recorded("frozen_lake_4x4", 100)
    planning = model_of(taught("dyna_q", env, batch, model_memory=4))
    for row in np.flatnonzero(planning.tried >= 4):
        times = np.flatnonzero(batch.state * 4 + batch.action == row)
        assert sorted(planning.next_state[row]) == sorted(batch.next_state[times[-4:]])


def test_planning_spreads_what_one_episode_found() -> None:
    """One episode along a corridor, then nothing but planning: q-learning's fixed point on what was tried."""
    env = GridWorld("random_walk_5")
    batch = scripted([3, 4, 5, 6], [1, 1, 1], [0.0, 0.0, 1.0])
    agent = taught("dyna_q", env, batch, planning_steps=1000, step_size=0.5, discount=0.9)
    assert agent.q[[3, 4, 5], 1] == pytest.approx([0.81, 0.9, 1.0], abs=1e-9)
    assert (agent.q[:, 0] == 0).all() and (agent.q[[1, 2], 1] == 0).all(), "what was never tried stays"
    one_step = taught("q_learning", env, batch, step_size=0.5, discount=0.9)
    assert one_step.q[:, 1].tolist() == [0, 0, 0, 0, 0, 0.5, 0]


def test_an_action_never_tried_is_planned_to_lead_back_for_its_bonus() -> None:
    env = GridWorld("random_walk_5")
    batch = scripted([3, 4], [1], [0.0], terminated=False)
    agent = taught("dyna_q_plus", env, batch, planning_steps=4000, step_size=1.0, discount=0.5, exploration_bonus=0.25)
    assert agent.q[3, 0] == pytest.approx(0.25 + 0.5 * agent.q[3, 0]), "tau is 1 after one transition"
    assert agent.q[3, 1] == 0.0, "tried just now: no bonus"


@pytest.mark.slow
def test_dyna_q_needs_few_episodes_in_the_maze() -> None:
    """Sutton & Barto 2e, Fig. 8.2: 30 runs, alpha 0.1, gamma 0.95, epsilon 0.1; the shortest path has 14 steps.

    With 50 planning steps the third episode is nearly optimal (epsilon costs a few steps), with 0 it takes hundreds.
    """
    env = GridWorld("dyna_maze")
    lengths = {}
    for n in (0, 5, 50):
        runs = [
            rlgrid.train(
                load_agent("dyna_q", env, seed=seed, discount=0.95, planning_steps=n), env, episodes=10
            ).lengths
            for seed in range(30)
        ]
        lengths[n] = np.mean(runs, axis=0)
    assert lengths[50][2:].max() < 25 and lengths[50][2:].min() > 14
    assert lengths[5][1] > lengths[50][1] + 20 and lengths[5][-1] < 30
    assert lengths[0][2:5].min() > 150


@pytest.mark.slow
@pytest.mark.parametrize(("world", "change", "steps"), [("blocking_maze", 1000, 3000), ("shortcut_maze", 3000, 6000)])
def test_dyna_q_plus_adapts_when_the_world_changes(world: str, change: int, steps: int) -> None:
    """Sutton & Barto 2e, Examples 8.2 and 8.3: it goes round the block, and takes the shortcut that opens.

    The shortcut is judged by the reward per step at the end: along the old way it is at most 1/16, the new one has 10
    steps. Means over 20 runs.
    """
    env = ChangingGridWorld({0: world, change: f"{world}_after"})
    late = {}
    for recipe in ("dyna_q", "dyna_q_plus"):
        rates = []
        for seed in range(20):
            settings = {"planning_steps": 50, "step_size": 1.0, "discount": 0.95, "episode_length": None}
            run = rlgrid.train(load_agent(recipe, env, seed=seed, **settings), env, steps=steps)
            ends = np.cumsum(run.lengths)
            rates.append((ends > steps - 1000).sum() / 1000)
        late[recipe] = np.mean(rates)
    assert late["dyna_q_plus"] > late["dyna_q"]
    if world == "shortcut_maze":
        assert late["dyna_q_plus"] > 1 / 16 > late["dyna_q"]
