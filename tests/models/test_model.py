"""TabularModel: from worlds, toy-text tables and arrays; what is refused, and with which sentence."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from plain_run import NOISY

from rlgrid import GridWorld, InputError, TabularModel, World, library, load_world
from rlgrid.models.checks import check_policy
from rlgrid.models.model import as_model

CATALOG = library.names("envs")
Row = list[tuple[float, int, float, bool]]


def merged(row: Row) -> dict[tuple[int, float, bool], float]:
    """Outcomes of a toy-text row with the probabilities of equal ones added up."""
    sums: dict[tuple[int, float, bool], float] = {}
    for probability, next_state, reward, done in row:
        key = (int(next_state), float(reward), bool(done))
        sums[key] = sums.get(key, 0.0) + probability
    return sums


class ToyText(gym.Env):
    """An environment that is nothing but its table."""

    def __init__(self, P: object, n_states: int = 2, n_actions: int = 1) -> None:
        self.P = P
        self.observation_space, self.action_space = gym.spaces.Discrete(n_states), gym.spaces.Discrete(n_actions)


# The toy-text form


@pytest.mark.parametrize("world", CATALOG)
def test_rows_of_probabilities_add_up_to_one(world: str) -> None:
    model = TabularModel.from_world(load_world(world))
    for actions in model.P.values():
        for row in actions.values():
            assert sum(outcome[0] for outcome in row) == pytest.approx(1, abs=1e-12)
            assert len(merged(row)) == len(row), "equal outcomes are merged"
    t = model.tables
    assert t.code.dtype == np.uint16 and t.next_state.dtype == np.int32
    assert len(set(zip(t.probability, t.reward, t.terminated, t.noise, strict=True))) == len(t.probability)


@pytest.mark.parametrize(
    ("world", "theirs"),
    [("frozen_lake_4x4", "FrozenLake-v1"), ("frozen_lake_8x8", "FrozenLake8x8-v1"), ("cliff", "CliffWalking-v1")],
)
def test_the_table_is_gymnasiums_own(world: str, theirs: str) -> None:
    ours, published = GridWorld(world).P, gym.make(theirs).unwrapped.P
    checked = 0
    for state in GridWorld(world).model.reachable.nonzero()[0].tolist():
        if (world, state) == ("cliff", 47):  # the published goal row moves on
            continue
        for action in range(4):
            found, expected = merged(ours[state][action]), merged(published[state][action])
            assert found == pytest.approx(expected, abs=1e-12), (state, action)
            checked += 1
    assert checked == {"cliff": 37 * 4, "frozen_lake_4x4": 64, "frozen_lake_8x8": 256}[world]


@pytest.mark.parametrize("world", CATALOG)
def test_a_model_made_of_its_own_table_is_the_same(world: str) -> None:
    own = TabularModel.from_world(load_world(world))
    read = TabularModel.from_env(ToyText(own.P, own.n_states, own.n_actions))
    assert (read.terminal >= own.terminal).all()
    for state in np.flatnonzero(own.reachable).tolist():
        for action, row in own.P[state].items():
            assert merged(read.P[state][action]) == pytest.approx(merged(row), abs=1e-15)


def test_the_goal_of_cliff_walking_absorbs() -> None:
    env = gym.make("CliffWalking-v1")
    assert env.unwrapped.P[47][0][0][1] != 47, "the published table moves on from the goal"
    model = TabularModel.from_env(env)
    assert np.flatnonzero(model.terminal).tolist() == [47]
    assert model.P[47] == {a: [(1.0, 47, 0.0, True)] for a in range(4)}
    assert model.start[36] == 1 and model.shape == (4, 12) and model.max_episode_steps is None


def test_other_tables_of_gymnasium() -> None:
    lake = TabularModel.from_env(gym.make("FrozenLake8x8-v1"))
    assert (lake.n_states, int(lake.terminal.sum()), lake.max_episode_steps, lake.shape) == (64, 11, 200, (8, 8))
    taxi = TabularModel.from_env(gym.make("Taxi-v4"))
    # Its table also enters the four goals without done (from states that cannot be reached), so they stay open.
    assert (taxi.n_states, taxi.n_actions, int(taxi.terminal.sum())) == (500, 6, 0)
    assert any(done for row in taxi.P[0].values() for *_, done in row) == any(
        done for row in gym.make("Taxi-v4").unwrapped.P[0].values() for *_, done in row
    )
    assert int((taxi.start > 0).sum()) == 300 and taxi.start.sum() == pytest.approx(1)


# What a model tells


def test_terminal_states_reachable_states_and_starts() -> None:
    model = TabularModel.from_world(World.from_toml(NOISY))
    assert np.flatnonzero(model.terminal).tolist() == [4, 8], "a wall is never entered, and rests"
    assert np.flatnonzero(~model.reachable).tolist() == [4]
    assert np.flatnonzero(model.start).tolist() == [0, 5] and model.start[[0, 5]].tolist() == [0.5, 0.5]
    assert model.available.all()
    assert model.P[1][3][0][2] in (-1.0, -0.75) and model.expected_reward[1, 1] < 0


def test_states_behind_a_wall_are_not_reachable() -> None:
    text = "actions = ['left', 'right']\nmap = '''\nS.G#..\n'''\n[cells]\nG = { terminal = true }\n"
    model = TabularModel.from_world(World.from_toml(text))
    assert model.reachable.tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("world", ["zhao_5x5", "cliff", "frozen_lake_4x4", "windy"])
def test_the_chain_of_a_policy_is_the_dense_one(world: str) -> None:
    model = TabularModel.from_world(load_world(world))
    policy = np.random.default_rng(1).dirichlet(np.ones(model.n_actions), size=model.n_states)
    transitions, rewards = np.zeros((model.n_states, model.n_states)), np.zeros(model.n_states)
    for state, actions in model.P.items():
        for action, row in actions.items():
            for probability, next_state, reward, terminated in row:
                transitions[state, next_state] += policy[state, action] * probability * (not terminated)
                rewards[state] += policy[state, action] * probability * reward
    chain, mean_rewards = model.chain(policy)
    assert chain.toarray() == pytest.approx(transitions, abs=1e-14)
    assert mean_rewards == pytest.approx(rewards, abs=1e-12)
    assert np.abs(chain.sum(axis=1)[model.terminal]).max(initial=0.0) == 0


def test_from_arrays() -> None:
    P = np.zeros((3, 2, 3))
    P[0, 0] = [0.0, 0.25, 0.75]
    P[0, 1] = [1.0, 0.0, 0.0]
    P[1, 0] = [0.5, 0.5, 0.0]
    R = np.zeros((3, 2, 3))
    R[0, 0, 2] = 4.0
    model = TabularModel.from_arrays(
        P, R, terminal=[False, False, True], available=[[True, True], [True, False], [True, True]], discount=0.5
    )
    assert model.P[0][0] == [(0.25, 1, 0.0, False), (0.75, 2, 4.0, True)]
    assert model.P[1] == {0: [(0.5, 0, 0.0, False), (0.5, 1, 0.0, False)], 1: []}
    assert model.available.tolist() == [[True, True], [True, False], [True, True]]
    assert model.terminal.tolist() == [False, False, True] and model.start.tolist() == [0.5, 0.5, 0.0]
    assert model.expected_reward.tolist() == [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]] and model.discount == 0.5


def test_as_model() -> None:
    world = load_world("cliff")
    env = gym.make("rlgrid/Cliff-v0")
    assert as_model(world).P == as_model(env).P
    assert as_model(env) is env.unwrapped.model is as_model(as_model(env))
    for rubbish in ("cliff", 3, None, [1]):
        with pytest.raises(InputError, match=r"^model: found \w+; allowed: a World, a TabularModel or an environment"):
            as_model(rubbish)
    with pytest.raises(InputError, match="CartPole-v1: it has no model"):
        as_model(gym.make("CartPole-v1"))


# Bad input

TWO = [[[0.5, 0.5]], [[0.0, 1.0]]]
NO_REWARD = [[0.0], [0.0]]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"P": [[[0.5, 0.6]], [[0, 1]]]},
            "the outcomes of state 0, action 0 add up to 1.1, which is 0.1 off .*; allowed: 1, or normalize=True",
        ),
        ({"P": [[[0.5, 0.5]], [[0.2, 0.2]]]}, "the outcomes of state 1, action 0 add up to 0.4, which is 0.6 off"),
        ({"P": [[[1.5, -0.5]], [[0, 1]]]}, "a probability of state 0, action 0 is -0.5; allowed: 0 to 1"),
        ({"P": [[[NAN, 1]], [[0, 1]]]}, "a probability of state 0, action 0 is nan"),
        ({"P": [[[INF, 1]], [[0, 1]]]}, "a probability of state 0, action 0 is inf"),
        ({"R": [[NAN], [0]]}, "the reward of state 0, action 0 is not finite; allowed: finite rewards"),
        ({"R": [[0], [-INF]]}, "the reward of state 1, action 0 is not finite"),
        ({"P": [[[0.5, 0.5]]]}, r"found P \(1, 1, 2\) and R \(2, 1\); allowed: P \[S, A, S\]"),
        ({"R": [1.0, 0.0]}, r"found P .* and R \(2,\)"),
        ({"P": [[[0.5, 0.5]], [[0.0]]]}, "P, R: allowed: arrays of numbers"),
        ({"R": [["a"], [0.0]]}, "P, R: allowed: arrays of numbers"),
        ({"P": np.zeros((0, 1, 0)), "R": np.zeros((0, 1))}, r"allowed: P \[S, A, S\]"),
        ({"terminal": [True]}, r"found terminal \(1,\)"),
        ({"available": [[True]]}, r"available \(1, 1\); allowed: \[S\] and \[S, A\]"),
        ({"available": [[True], [False]]}, "state 1 has no available action; allowed: at least one"),
        ({"start": [0.0, 0.0]}, "start: allowed: probabilities"),
        ({"start": [-1.0, 2.0]}, "start: allowed: probabilities"),
        ({"start": [NAN, 1.0]}, "start: allowed: probabilities"),
        ({"start": [1.0]}, "start: allowed: probabilities"),
    ],
    ids=str,
)
def test_arrays_that_are_no_model(arrays: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^toy: .*{sentence}") as error:
        TabularModel.from_arrays(**{"P": TWO, "R": NO_REWARD, "name": "toy"} | arrays)
    assert "\n" not in str(error.value)


GOOD: Row = [(1.0, 1, 0.0, True)]


@pytest.mark.parametrize(
    ("P", "sentence"),
    [
        ({0: {0: [(0.5, 1, 0.0, True)]}, 1: {0: GOOD}}, "the outcomes of state 0, action 0 add up to 0.5, which"),
        (
            {0: {0: [(2.0, 1, 0.0, True), (-1.0, 0, 0.0, False)]}, 1: {0: GOOD}},
            "a probability of state 0, action 0 is -1",
        ),
        ({0: {0: [(1.0, 1, NAN, True)]}, 1: {0: GOOD}}, "the reward of state 0, action 0 is not finite"),
        ({0: {0: [(1.0, 5, 0.0, True)]}, 1: {0: GOOD}}, r"P: allowed: P\[state\]\[action\]"),
        ({0: {0: [(1.0, -1, 0.0, False)]}, 1: {0: GOOD}}, r"P: allowed: P\[state\]\[action\]"),
        ({0: {0: GOOD, 7: GOOD}, 1: {0: GOOD}}, r"P: allowed: P\[state\]\[action\]"),
        ({1: {0: GOOD}, 2: {0: GOOD}}, r"P: allowed: P\[state\]\[action\]"),
        ({0: {0: [(1.0, 1)]}, 1: {0: GOOD}}, r"P: allowed: P\[state\]\[action\]"),
        ({}, r"P: allowed: P\[state\]\[action\]"),
        (3, r"P: allowed: P\[state\]\[action\]"),
        ({0: {0: []}, 1: {0: GOOD}}, "state 0 has no available action"),
    ],
    ids=str,
)
def test_tables_that_are_no_model(P: object, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^ToyText: {sentence}") as error:
        TabularModel.from_env(ToyText(P))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (np.ones((2, 2)), r"found shape \(2, 2\); allowed: \(16, 4\), \[S, A\]"),
        (np.zeros((16, 4)), r"found \[0.0, 0.0, 0.0, 0.0\] in state 0"),
        (np.full((16, 4), NAN), r"found \[nan, nan, nan, nan\] in state 0"),
        (np.tile([1.5, -0.5, 0.0, 0.0], (16, 1)), r"found \[1.5, -0.5, 0.0, 0.0\] in state 0"),
    ],
    ids=["shape", "zeros", "nan", "negative"],
)
def test_policies_that_are_none(policy: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^policy: {sentence}"):
        check_policy(TabularModel.from_world(load_world("frozen_lake_4x4")), policy)


def test_a_policy_may_not_take_what_is_not_there() -> None:
    model = TabularModel.from_arrays([[[0.0, 1.0]] * 2] * 2, [[0.0] * 2] * 2, available=[[True, False], [True, True]])
    with pytest.raises(InputError, match=r"found \[0.5, 0.5\] in state 0; allowed: probabilities of available actions"):
        check_policy(model, np.full((2, 2), 0.5))
    assert check_policy(model, [[1.0, 0.0], [0.5, 0.5]]).flags.c_contiguous
