"""Worlds that change: at the same step compiled, in Python and by hand, and never under the agent's feet."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics
from plain_run import NOISY, drive

from rlgrid import ChangingGridWorld, InputError, Rollout, World, evaluate, load_agent, solve, train
from rlgrid.batch import Batch, joined

HALL = "name = '{}'\nactions = ['left', 'right']\nmap = '''\n{}\n'''\ncells.G = {{ terminal = true, enter = 1 }}\n"
OPEN, SHUT = World.from_toml(HALL.format("open", "S..G")), World.from_toml(HALL.format("shut", "S#.G"))
BEFORE = World.from_toml(NOISY)
AFTER = World.from_toml(NOISY.replace("S.x\n.#S\nw.G", "S.x\n#.S\nG.w").replace("{ mean = 5, std = 1 }", "7"))
SCHEDULES = {
    "noisy": {0: BEFORE, 137: AFTER, 138: BEFORE, 700: AFTER},
    "mazes": {0: "blocking_maze", 400: "blocking_maze_after", 900: "shortcut_maze", 1300: "shortcut_maze_after"},
}


def collected(env: gym.Env, chunks: list[int], steps: int = 2000) -> Batch:
    agent = load_agent("q_learning", env, seed=4, epsilon=0.6, discount=0.9)
    return joined(drive(agent, Rollout(env, seed=9), chunks=chunks, steps=steps, record=True).batches)


def assert_same(one: Batch, other: Batch) -> None:
    for name, column in one._asdict().items():
        assert column.tobytes() == getattr(other, name).tobytes(), name


@pytest.mark.parametrize("name", SCHEDULES)
def test_compiled_in_python_and_by_hand_the_change_is_the_same(name: str) -> None:
    batch = collected(ChangingGridWorld(SCHEDULES[name]), [2000])
    assert_same(batch, collected(ChangingGridWorld(SCHEDULES[name]), [1, 17, 300]))
    wrapped = RecordEpisodeStatistics(ChangingGridWorld(SCHEDULES[name]))
    assert Rollout(wrapped).model is None, "it is stepped in Python"
    assert_same(batch, collected(wrapped, [250]))
    single = ChangingGridWorld(SCHEDULES[name])
    state, _ = single.reset(seed=9)
    seen = {single.world.map}
    for i in range(batch.size):
        assert state == batch.state[i]
        state, *found = single.step(int(batch.action[i]))[:4]
        wanted = batch.reward[i], batch.terminated[i], batch.truncated[i]
        assert state == batch.next_state[i] and tuple(found) == wanted
        if batch.terminated[i] or batch.truncated[i]:
            state, _ = single.reset()
        seen.add(single.world.map)
    assert len(seen) == len({world.map for _, world, _ in single._worlds}), "every world had its turn"


def test_the_world_changes_after_so_many_steps() -> None:
    env = ChangingGridWorld({0: OPEN, 3: SHUT})
    env.reset(seed=0)
    for action, state in ((1, 1), (0, 0), (0, 0), (1, 0)):  # the fourth step finds the wall
        assert env.step(action)[0] == state
    assert env.model.name == "shut" and env.P[0][1] == [(1.0, 0, 0.0, False)]


def test_the_change_waits_until_the_agent_has_left() -> None:
    env = ChangingGridWorld({0: OPEN, 1: SHUT, 2: OPEN})
    env.reset(seed=0)
    assert env.step(1)[0] == 1 and env.model.name == "open", "step 1 ends where the wall will be"
    env = ChangingGridWorld({0: OPEN, 1: SHUT})
    env.reset(seed=0)
    env.step(1)
    assert env.step(1)[0] == 2 and env.model.name == "shut"
    assert env.step(0)[0] == 2, "now the wall is there"
    assert env.step(1)[:3] == (3, 1.0, True)


def test_the_end_of_an_episode_lets_the_change_happen() -> None:
    """In the second world the goal of the first one is a wall."""
    after = World.from_toml(HALL.format("after", "S.G#"))
    env = ChangingGridWorld({0: OPEN, 3: after})
    env.reset(seed=0)
    for _ in range(3):
        ended = env.step(1)
    assert ended[2] and env.model.name == "after" and env.reset()[0] == 0
    env.step(1)
    assert env.step(1)[:3] == (2, 1.0, True)


def test_a_seed_starts_over_and_none_does_not() -> None:
    env = ChangingGridWorld({0: OPEN, 2: SHUT})
    env.reset(seed=0)
    for _ in range(2):
        env.step(0)
    env.reset()
    assert env.model.name == "shut" and env.step(1)[0] == 0
    env.reset(seed=0)
    assert env.model.name == "open" and env.step(1)[0] == 1


def test_a_time_limit_holds_across_the_change() -> None:
    worlds = [World.from_toml("max_episode_steps = 4\n" + HALL.format("limited", row)) for row in ("S..G", ".S.G")]
    schedule = dict(zip((0, 10), worlds, strict=True))
    batch = collected(ChangingGridWorld(schedule), [300], steps=300)
    assert_same(batch, collected(RecordEpisodeStatistics(ChangingGridWorld(schedule)), [300], steps=300))
    ends = np.flatnonzero(batch.terminated | batch.truncated)
    assert batch.truncated.any() and np.diff(ends).max() == 4


def test_chosen_starts_do_not_fit_worlds_that_change() -> None:
    """A cell that can be chosen in one world may be a wall in the next one."""
    with pytest.raises(InputError, match=r"^starts: in a world that changes, .*; allowed: world$"):
        Rollout(ChangingGridWorld({0: OPEN, 50: SHUT}), starts="exploring")
    assert Rollout(ChangingGridWorld({0: OPEN}), starts="exploring").model is not None


@pytest.mark.parametrize(
    ("worlds", "sentence"),
    [
        ({}, r"^worlds: found changes at \[\]; allowed: the first one at 0$"),
        ({5: OPEN}, r"^worlds: found changes at \[5\]; allowed: the first one at 0$"),
        ({0: OPEN, -1: SHUT}, r"^worlds: found changes at \[-1, 0\]; "),
        (
            {0: "cliff", 9: "blocking_maze"},
            r"^blocking_maze: found another shape, other .* than in cliff; allowed: the same$",
        ),
        ({0: "zhao_5x5", 9: "sutton_gridworld"}, r"^sutton_gridworld: found another shape, other actions"),
        (
            {0: BEFORE, 9: World.from_toml(NOISY.replace("steps = 40", "steps = 9"))},
            r"^noisy: found .*max_episode_steps",
        ),
        ({0: "clif"}, r'^world: found "clif", did you mean "cliff"\?'),
    ],
    ids=str,
)
def test_worlds_have_to_fit_together(worlds: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ChangingGridWorld(worlds)


def test_gymnasium_makes_it() -> None:
    env = gym.make("rlgrid/ChangingGridWorld-v0", worlds={0: OPEN, 2: SHUT})
    env.reset(seed=0)
    assert [env.step(0)[0], env.step(0)[0], env.step(1)[0]] == [0, 0, 0]


def test_q_learning_finds_the_new_way() -> None:
    """A detour of 16 steps replaces a way of 10 (Sutton & Barto 2e, Example 8.2)."""
    change = 60_000
    env = ChangingGridWorld({0: "blocking_maze", change: "blocking_maze_after"})
    agent = load_agent("q_learning", env, seed=1, step_size=0.5, epsilon=0.1)
    run = train(agent, env, steps=change)
    before = evaluate(agent.policy, ChangingGridWorld({0: "blocking_maze"}), episodes=3)
    assert before.mean_length == 10 and before.success_rate == 1
    run = train(load_agent("q_learning", env, seed=1, step_size=0.5, epsilon=0.1), env, steps=4 * change)
    after = evaluate(run.agent.policy, ChangingGridWorld({0: "blocking_maze_after"}), episodes=3)
    assert after.mean_length == 16 and after.success_rate == 1
    at = int(np.searchsorted(run.lengths.cumsum(), change))
    assert np.median(run.lengths[at - 50 : at]) < 13 < run.lengths[at : at + 2].max()
    assert solve(ChangingGridWorld({0: "blocking_maze_after"})).v[48] == pytest.approx(0.95**15)
