"""Rules of one's own: what they may do, where they are followed, and one sentence for every wrong return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_run import NOISY

from rlgrid import GridWorld, InputError, Rollout, World, evaluate, load_agent, load_world, model_with_rules, solve

BELT = World.from_toml("""
name = "belt"
actions = ["left", "right"]
discount = 0.5
map = '''
S>>.G
.....
'''
[reward]
step = -1
[cells]
">" = {}
G = { terminal = true, enter = 1 }
""")


def conveyor(world: World, state: int, action: int, outcomes: list) -> list:
    """Who stands on > after a move is carried to the end of the belt."""
    belt = set(world.where(">").tolist())

    def carried(cell: int) -> int:
        while cell in belt:
            cell += 1
        return cell

    return [(p, carried(there), reward, ends) for p, there, reward, ends in outcomes]


def no_way_back(world: World, state: int, action: int, outcomes: list) -> list:
    return [] if world.actions[action] == "left" and state == 3 else outcomes


def stumbling(world: World, state: int, action: int, outcomes: list) -> list:
    """Every other move fails; the parts of a split outcome that stay the same are one again."""
    half = [(p / 2, there, reward, ends) for p, there, reward, ends in outcomes]
    return half + [(p / 2, state, -2.0, False) for p, *_ in outcomes]


def test_a_conveyor_belt() -> None:
    env = GridWorld(BELT, rules=[conveyor])
    assert env.reset(seed=0)[0] == 0
    assert env.step(1) == (3, -1.0, False, False, {}) and env.step(0) == (3, -1.0, False, False, {})
    assert env.step(1) == (4, 1.0, True, False, {})
    assert solve(BELT).v[0] == -1 - 0.5 - 0.25 + 0.125
    assert solve(env).v[[0, 3]].tolist() == [-1 + 0.5, 1]


def test_compiled_loops_follow_the_rule() -> None:
    env = GridWorld(BELT, rules=[conveyor, stumbling])
    batch = Rollout(env, seed=1).collect(load_agent("td0", env, seed=2), steps=2000)
    single = GridWorld(BELT, rules=[conveyor, stumbling])
    single.reset(seed=1)
    for i in range(batch.size):
        found = single.step(int(batch.action[i]))
        assert found[:3] == (batch.next_state[i], batch.reward[i], batch.terminated[i])
        if found[2]:
            single.reset()
    assert not np.isin(batch.next_state, BELT.where(">")).any()


def test_rules_are_applied_one_after_the_other() -> None:
    model = model_with_rules(BELT, [conveyor, stumbling])
    assert sorted(model.P[0][1]) == [(0.5, 0, -2.0, False), (0.5, 3, -1.0, False)]
    one_way = model_with_rules(BELT, [conveyor, stumbling, stumbling])
    assert sorted(one_way.P[0][1]) == [(0.25, 3, -1.0, False), (0.75, 0, -2.0, False)], "equal outcomes are merged"
    assert model.terminal.tolist() == [False] * 4 + [True] + [False] * 5, "ends stay ends"


def test_a_rule_can_make_an_action_unavailable() -> None:
    env = GridWorld(BELT, rules=[no_way_back])
    assert not env.model.available[3, 0] and env.model.available.sum() == 19
    env.reset(options={"state": 3})
    with pytest.raises(InputError, match=r"^action: found 0; "):
        env.step(0)
    assert env.state == 3
    plan = solve(env)
    assert plan.q[3, 0] == -np.inf and plan.policy[3].tolist() == [0, 1]
    agent = load_agent("q_learning", env, seed=0, epsilon=1.0)
    batch = Rollout(env, seed=1).collect(agent, steps=3000)
    assert (batch.action[batch.state == 3] == 1).all() and (batch.state == 3).sum() > 50
    assert agent.q[3, 0] == -np.inf and np.isfinite(agent.q[agent.q > -np.inf]).all()
    assert evaluate(agent.policy, env, episodes=5).success_rate == 1


@pytest.mark.parametrize("model", [[], [conveyor][:0]], ids=["none", "empty"])
def test_no_rule_changes_nothing(model: list) -> None:
    for name in ("cliff", "frozen_lake_4x4", "sutton_gridworld", "book_grid"):
        ruled, plain = model_with_rules(load_world(name), model), GridWorld(name).model
        assert {s: {a: sorted(row) for a, row in rows.items()} for s, rows in ruled.P.items()} == {
            s: {a: sorted(row) for a, row in rows.items()} for s, rows in plain.P.items()
        }
        assert (ruled.terminal == plain.terminal).all() and (ruled.start == plain.start).all()


PLACE = r"^belt: a custom rule, in state 0, action left: "


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, PLACE + r"found None; allowed: a list of \(probability, next state, reward, terminated\)$"),
        (7, PLACE + r"found 7; allowed: a list of "),
        ([(1.0, 0)], PLACE + r"found \(1\.0, 0\); allowed: \(probability, next state, reward, terminated\)$"),
        ([(1.0, 0, "much", False)], PLACE + "found .*much"),
        ([(1.0, 2.5, 0.0, False)], PLACE + r"found \(1\.0, 2\.5"),
        ([5], PLACE + "found 5; "),
        ([(1.0, 10, 0.0, False)], PLACE + "found .*; allowed: probability above 0, next state 0 to 9"),
        ([(1.0, -1, 0.0, False)], PLACE + "found "),
        ([(1.5, 0, 0.0, False)], PLACE + "found "),
        ([(0.0, 0, 0.0, False)], PLACE + "found "),
        ([(float("nan"), 0, 0.0, False)], PLACE + "found "),
        ([(0.5, 0, 0.0, False)], r"^belt: the outcomes of state 0, action 0 add up to 0\.5; allowed: 1$"),
        ([(1.0, 0, float("nan"), False)], r"^belt: the reward of state 0, action 0 is not finite; "),
        ([], r"^belt: the custom rules leave no action anywhere; allowed: at least one in a state$"),
    ],
    ids=str,
)
def test_a_wrong_return_is_told_in_one_sentence(returned: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        GridWorld(BELT, rules=[lambda world, state, action, outcomes: returned])
    assert "\n" not in str(caught.value)


def test_a_rule_cannot_lead_into_a_wall() -> None:
    """No rule of the world file can, and an agent in a wall could not go on."""
    with pytest.raises(InputError, match=r"^dyna_maze: a custom rule, in state 0, .* allowed: .*not a wall$"):
        model_with_rules(load_world("dyna_maze"), [lambda world, s, a, outcomes: [(1.0, 7, 0.0, False)]])


def test_random_rewards_are_refused() -> None:
    with pytest.raises(InputError, match=r"^noisy: it has random rewards; custom rules are allowed where"):
        GridWorld(World.from_toml(NOISY), rules=[conveyor])
