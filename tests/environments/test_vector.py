"""GridWorldVec: the same as many single environments, in every autoreset mode and with any number of threads."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import gymnasium as gym
import msgspec
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import (
    DictInfoToList,
    FlattenObservation,
    RecordEpisodeStatistics,
    RecordVideo,
    TransformReward,
)
from plain_run import NOISY

import rlgrid
from rlgrid import GridWorld, GridWorldVec, InputError, World, load_world
from rlgrid.environments import vector as vector_env

WORLDS = ["frozen_lake_8x8", "four_rooms", "windy_stochastic", "noisy_3x3", "cliff"]
MODES = list(AutoresetMode)
KINDS = ["index", "coordinates", "one_hot", "image", "window"]


def limited(name: str, steps: int) -> World:
    return msgspec.structs.replace(load_world(name), max_episode_steps=steps)


def assert_same(found: Any, wanted: Any) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()


def assert_same_final(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    if "final_obs" in wanted:
        assert_same(found["_final_obs"], wanted["_final_obs"])
        assert_same(found["_final_info"], wanted["_final_info"])
        assert found["final_info"] == wanted["final_info"] == {}
        for mine, theirs in zip(found["final_obs"], wanted["final_obs"], strict=True):
            assert (mine is None) == (theirs is None)
            if theirs is not None:
                assert_same(mine, theirs)


# -- the same as Gymnasium's vector of single environments -----------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", WORLDS)
def test_every_step_is_that_of_single_environments(name: str, mode: AutoresetMode) -> None:
    world, n = limited(name, 23), 7
    envs = GridWorldVec(world, n, autoreset_mode=mode)
    singles = SyncVectorEnv([lambda: GridWorld(world)] * n, autoreset_mode=mode)
    assert envs.observation_space == singles.observation_space and envs.action_space == singles.action_space
    assert_same(envs.reset(seed=5)[0], singles.reset(seed=5)[0])
    random, ended = np.random.default_rng(1), 0
    for _ in range(200):
        actions = random.integers(0, world.n_actions, size=n)
        found, wanted = envs.step(actions), singles.step(actions)
        for mine, theirs in zip(found[:4], wanted[:4], strict=True):
            assert_same(mine, theirs)
        assert_same_final(found[4], wanted[4])
        over = found[2] | found[3]
        ended += over.sum()
        if mode == AutoresetMode.DISABLED and over.any():
            options = [{"reset_mask": over.copy()} for _ in range(2)]  # Gymnasium's takes it out
            assert_same(envs.reset(options=options[0])[0], singles.reset(options=options[1])[0])
    assert ended > n


@pytest.mark.parametrize("kind", KINDS)
def test_every_observation_is_that_of_single_environments(kind: str) -> None:
    world = limited("aima_4x3", 9)
    made = {"autoreset_mode": AutoresetMode.SAME_STEP}
    envs = GridWorldVec(world, 3, observation=kind, **made)
    singles = SyncVectorEnv([lambda: GridWorld(world, observation=kind)] * 3, **made)
    assert envs.observation_space == singles.observation_space
    assert envs.single_observation_space == singles.single_observation_space
    assert_same(envs.reset(seed=2)[0], singles.reset(seed=2)[0])
    for k in range(60):
        found, wanted = envs.step(np.array([k, k + 1, k + 2]) % 4), singles.step(np.array([k, k + 1, k + 2]) % 4)
        assert envs.observation_space.contains(found[0])
        assert_same(found[0], wanted[0])
        assert_same_final(found[4], wanted[4])


def test_a_list_of_seeds_gives_one_to_each() -> None:
    world = load_world("four_rooms")
    envs, singles = GridWorldVec(world, 3), [GridWorld(world) for _ in range(3)]
    seeds = [9, 4, 9]
    found = [envs.reset(seed=seeds)[0], *(envs.step(np.array([1, 2, 1])) for _ in range(8))]
    wanted = [s.reset(seed=seed)[0] for s, seed in zip(singles, seeds, strict=True)]
    assert found[0].tolist() == wanted and found[0][0] == found[0][2]
    for states, rewards, *_ in found[1:]:
        steps = [single.step(action) for single, action in zip(singles, (1, 2, 1), strict=True)]
        assert rewards.tolist() == [step[1] for step in steps] and states.tolist() == [step[0] for step in steps]


def test_a_seed_may_be_missing_in_a_list() -> None:
    """The environment without one goes on with its stream."""
    envs = GridWorldVec("four_rooms", 2)
    envs.reset(seed=1)
    stream = envs._stream.copy()
    envs.reset(seed=[7, None])
    assert (envs._stream[0] != stream[0]).any() and (envs._stream[1] == stream[1]).all()


def test_resets_without_a_seed_differ_and_go_on() -> None:
    streams = {GridWorldVec("cliff", 2) for _ in range(2)}
    for envs in streams:
        envs.reset()
    words = np.concatenate([envs._stream[:, 0] for envs in streams])
    assert len(set(words.tolist())) == 4, "fresh entropy everywhere"


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_threads_do_not_matter(monkeypatch: pytest.MonkeyPatch, mode: AutoresetMode) -> None:
    monkeypatch.setattr(vector_env, "_PER_THREAD", 4)
    world, n = msgspec.structs.replace(World.from_toml(NOISY), max_episode_steps=11), 37
    several = [GridWorldVec(world, n, autoreset_mode=mode, threads=threads) for threads in (1, 2, 5)]
    assert [len(envs._parts) - 1 for envs in several] == [1, 2, 5]
    random = np.random.default_rng(0)
    for envs in several:
        envs.reset(seed=3)
    for _ in range(60):
        actions = random.integers(0, 4, size=n)
        first, *others = [envs.step(actions) for envs in several]
        for other in others:
            for mine, theirs in zip(first[:4], other[:4], strict=True):
                assert_same(mine, theirs)
        over = first[2] | first[3]
        if mode == AutoresetMode.DISABLED and over.any():
            for envs in several:
                envs.reset(options={"reset_mask": over})
    for envs in several:
        envs.close()


def test_a_rollout_is_stepping() -> None:
    world, n, steps = World.from_toml(NOISY), 5, 90
    policy = np.full((9, 4), 0.25)
    rolled, stepped = (GridWorldVec(world, n, autoreset_mode=AutoresetMode.SAME_STEP) for _ in range(2))
    rolled.reset(seed=8)
    before, _ = stepped.reset(seed=8)
    batch = rolled.rollout(policy, steps, seed=1)
    columns = {name: column.reshape(n, steps) for name, column in batch._asdict().items()}
    for k in range(steps):
        assert_same(columns["state"][:, k], before)
        before, rewards, terminated, truncated, info = stepped.step(columns["action"][:, k])
        over = terminated | truncated
        last = np.where(over, info.get("final_obs", before), before).astype(np.int64)
        for name, wanted in zip(
            ("next_state", "reward", "terminated", "truncated"), (last, rewards, terminated, truncated), strict=True
        ):
            assert_same(columns[name][:, k], wanted)
    assert_same(rolled.states, stepped.states)


# -- state access ----------------------------------------------------------------------------------------------------


def test_episodes_begin_in_chosen_states() -> None:
    envs = GridWorldVec("four_rooms", 3)
    assert envs.reset(seed=0, options={"state": 14})[0].tolist() == [14, 14, 14]
    assert envs.reset(options={"state": [15, 16, 17]})[0].tolist() == [15, 16, 17]
    mask = np.array([False, True, False])
    assert envs.reset(options={"state": 20, "reset_mask": mask})[0].tolist() == [15, 20, 17]
    assert envs.states.tolist() == [15, 20, 17]


def test_chosen_states_leave_the_streams_as_single_environments_do() -> None:
    """The noisy world has one start; without S it has many, and drawing one takes a random number."""
    world = World.from_toml(NOISY.replace("S", "."))
    envs, singles = GridWorldVec(world, 2), [GridWorld(world) for _ in range(2)]
    envs.reset(seed=1, options={"state": 6})
    for i, single in enumerate(singles):
        single.reset(seed=1 + i, options={"state": 6})
    for _ in range(10):
        rewards = envs.step(np.zeros(2, np.int64))[1]
        assert rewards.tolist() == [single.step(0)[1] for single in singles]


def test_arrays_that_were_handed_out_never_change() -> None:
    for kind in KINDS:
        envs = GridWorldVec(limited("frozen_lake_8x8", 5), 4, observation=kind, autoreset_mode="SameStep")
        kept = [envs.reset(seed=0)[0], envs.states, *envs.step(np.array([1, 2, 1, 2]))[:4]]
        copies = [array.copy() for array in kept]
        for _ in range(20):
            envs.step(np.array([2, 1, 2, 1]))
        envs.reset(seed=1)
        for array, copied in zip(kept, copies, strict=True):
            assert_same(array, copied)


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        ([0, 0, 4], r"^environment 2: found action 4; allowed: 0 to 3$"),
        ([0, -1, 4], r"^environment 1: found action -1; allowed: 0 to 3$"),
        ([0, 0], r"^actions: found shape \(2,\); allowed: \(3,\)$"),
        ([[0, 0, 0]], r"^actions: found shape \(1, 3\); allowed: \(3,\)$"),
        (0, r"^actions: found shape \(\); allowed: \(3,\)$"),
        ([0.5, 0.0, 1.0], r"^actions: .*allowed: whole numbers"),
        (["up", "up", "up"], r"^actions: .*allowed: whole numbers"),
        (None, r"^actions: .*allowed: whole numbers"),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_refused_actions_leave_everything_as_it_was(mode: AutoresetMode, actions: Any, sentence: str) -> None:
    envs, others = (GridWorldVec("frozen_lake_8x8", 3, autoreset_mode=mode) for _ in range(2))
    for each in (envs, others):
        each.reset(seed=0)
        each.step(np.array([1, 1, 1]))
    with pytest.raises(InputError, match=sentence):
        envs.step(actions)
    for mine, theirs in zip(envs.step(np.array([2, 2, 2])), others.step(np.array([2, 2, 2])), strict=True):
        assert mine == theirs if isinstance(mine, dict) else mine.tobytes() == theirs.tobytes()


def test_a_step_needs_a_reset_first() -> None:
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
        with pytest.raises(InputError, match=r"^environment 0: its episode has ended; allowed: reset\(seed=\.\.\.\)"):
            GridWorldVec("cliff", 2, autoreset_mode=mode).step(np.zeros(2, int))


def test_before_the_first_reset_next_step_mode_does_not_step_either() -> None:
    with pytest.raises(InputError, match=r"allowed: reset\(seed=\.\.\.\) before step$"):
        GridWorldVec("cliff", 2).step(np.zeros(2, int))


def test_disabled_mode_wants_ended_episodes_to_be_reset() -> None:
    envs = GridWorldVec(limited("cliff", 3), 2, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.zeros(2, int))
    envs.reset(options={"reset_mask": np.array([False, True])})
    assert envs.step(np.zeros(2, int))[3].tolist() == [True, False]
    with pytest.raises(InputError, match=r"^environment 0: its episode has ended; allowed: reset\(options="):
        envs.step(np.zeros(2, int))
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert envs.step(np.zeros(2, int))[3].tolist() == [False, False]


@pytest.mark.parametrize("mask", [[True], np.ones(3), np.zeros(3, bool), np.ones((3, 1), bool), "yes"], ids=str)
def test_a_reset_mask_has_to_be_one(mask: Any) -> None:
    envs = GridWorldVec("cliff", 3)
    envs.reset(seed=0)
    with pytest.raises(InputError, match=r"^reset_mask: allowed: a bool array \[3\] with at least one True$"):
        envs.reset(options={"reset_mask": mask})


def test_the_first_reset_is_of_all() -> None:
    envs = GridWorldVec("four_rooms", 3)
    with pytest.raises(InputError, match=r"^reset_mask: allowed: after a first reset of all environments$"):
        envs.reset(seed=0, options={"reset_mask": np.array([True, False, False])})


@pytest.mark.parametrize("state", [-1, 169, 0, [14, 14], 2.5, "S", [14, 14, 0]], ids=str)
def test_refused_starts_leave_everything_as_it_was(state: Any) -> None:
    envs = GridWorldVec("four_rooms", 3)
    envs.reset(seed=0)
    envs.step(np.array([1, 2, 1]))
    place, stream = envs._place.copy(), envs._stream.copy()
    with pytest.raises(InputError, match=r"^reset: found state .*; allowed: open states from 0 to 168"):
        envs.reset(seed=3, options={"state": state})
    assert (envs._place == place).all() and (envs._stream == stream).all()


def test_seeds_have_to_be_as_many_as_environments() -> None:
    envs = GridWorldVec("cliff", 3)
    with pytest.raises(InputError, match=r"^seed: found 2 of them; allowed: one number, or 3$"):
        envs.reset(seed=[1, 2])
    assert envs.reset(seed=np.int64(1))[0].tolist() == [36, 36, 36]


def test_what_it_is_made_with_is_checked() -> None:
    with pytest.raises(InputError, match=r"^num_envs: found 0"):
        GridWorldVec("cliff", 0)
    with pytest.raises(InputError, match=r"^render_mode: found 'human'"):
        GridWorldVec("cliff", 1, render_mode="human")


# -- Gymnasium around it ---------------------------------------------------------------------------------------------


def test_gymnasium_makes_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, more in (("rlgrid/FourRooms-v0", {}), ("rlgrid/GridWorld-v0", {"world": "four_rooms"})):
            envs = gym.make_vec(name, num_envs=4, vectorization_mode="vector_entry_point", observation="window", **more)
            assert isinstance(envs.unwrapped, GridWorldVec) and envs.spec.id == name
            assert envs.reset(seed=0)[0].shape == (4, 40, 40, 5)
            assert envs.step(envs.action_space.sample())[1].shape == (4,)
            envs.close()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
def test_episode_statistics_are_right(mode: AutoresetMode) -> None:
    envs = RecordEpisodeStatistics(GridWorldVec(limited("cliff", 6), 3, autoreset_mode=mode))
    envs.reset(seed=0)
    for _ in range(5):
        assert "episode" not in envs.step(np.zeros(3, int))[4]
    info = envs.step(np.array([0, 1, 0]))[4]
    assert info["_episode"].all() and info["episode"]["l"].tolist() == [6, 6, 6]
    assert info["episode"]["r"].tolist() == [-6, -6, -6]
    for _ in range(7):
        envs.step(np.zeros(3, int))
    assert envs.episode_count == 6 and list(envs.length_queue) == [6] * 6


def test_infos_become_lists() -> None:
    made = GridWorldVec(limited("cliff", 2), 2, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = DictInfoToList(RecordEpisodeStatistics(made))
    assert envs.reset(seed=0)[1] == [{}, {}]
    assert envs.step(np.zeros(2, int))[4] == [{}, {}]
    infos = envs.step(np.array([0, 0]))[4]
    assert [info["final_obs"] for info in infos] == [12, 12] and [info["episode"]["r"] for info in infos] == [-2, -2]


def test_rewards_and_observations_are_transformed() -> None:
    envs = TransformReward(GridWorldVec("cliff", 2), lambda reward: reward / 100)
    envs.reset(seed=0)
    assert envs.step(np.array([0, 1]))[1].tolist() == [-0.01, -1.0]
    for kind, size in (("one_hot", 48), ("image", 48 * 81 * 6)):
        flat = FlattenObservation(GridWorldVec("cliff", 2, observation=kind))
        seen, _ = flat.reset(seed=0)
        assert seen.shape == (2, size) and flat.observation_space.contains(seen)
        assert flat.single_observation_space.shape == (size,)


def test_frames_show_every_environment() -> None:
    envs = GridWorldVec("zhao_2x2", 2, render_mode="rgb_array")
    envs.reset(seed=0, options={"state": [0, 2]})
    first, second = envs.render()
    assert first.dtype == np.uint8 and first.shape == second.shape and (first != second).any()
    single = GridWorld("zhao_2x2", render_mode="rgb_array")
    single.reset(options={"state": 2})
    assert (single.render() == second).all()
    assert GridWorldVec("cliff").render() is None


@pytest.mark.slow
def test_a_video_of_every_environment(tmp_path) -> None:
    envs = RecordVideo(GridWorldVec("zhao_2x2", 3, render_mode="rgb_array"), str(tmp_path / "video"), video_length=4)
    envs.reset(seed=0)
    for _ in range(5):
        envs.step(np.zeros(3, int))
    envs.close()
    assert [file.suffix for file in tmp_path.rglob("*.mp4")] == [".mp4"]


@pytest.mark.parametrize("num_envs", [7, 10])
def test_copies_in_mid_episode_continue_identically(monkeypatch: pytest.MonkeyPatch, num_envs: int) -> None:
    """With threads (10) and without; a copy and its original do not touch each other."""
    monkeypatch.setattr(vector_env, "_PER_THREAD", 4)
    envs = GridWorldVec("four_rooms", num_envs, threads=2)
    envs.reset(seed=3)
    actions = np.random.default_rng(0).integers(0, 4, (60, num_envs))
    for row in actions[:30]:
        envs.step(row)
    copies = [copy.deepcopy(envs), pickle.loads(pickle.dumps(envs))]
    wanted = [envs.step(row)[:4] for row in actions[30:]]
    for other in copies:
        found = [other.step(row)[:4] for row in actions[30:]]
        assert all((a == b).all() for f, w in zip(found, wanted, strict=True) for a, b in zip(f, w, strict=True))
        other.close()
    envs.close()


def test_the_public_name() -> None:
    assert rlgrid.GridWorldVec is GridWorldVec
