"""Observations: what they show, the spaces they declare, and environments that are copied in mid-episode."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.utils.env_checker import check_env
from plain_run import NOISY

from rlgrid import ChangingGridWorld, GridWorld, InputError, World, library, load_world
from rlgrid.environments.observations import CHANNELS

CATALOG = library.names("envs")
KINDS = ["index", "coordinates", "one_hot", "image", "window"]

SMALL = """
actions = ["up", "right", "down", "left"]
map = '''
S#x
wbL
jeG
'''
[reward]
step = -1
[cells]
x = { enter = -5 }
w = { wall = true, bump = -10 }
b = { enter = -1 }
L = { leave = { to = "x", reward = 10 } }
j = { enter_to = "S" }
e = { exit = 2 }
G = { terminal = true, enter = 3 }
"""

#: The channels of the small world, 1 where a cell shines.
PICTURES = {
    "wall": ["010", "100", "000"],
    "ends": ["000", "000", "011"],
    "pays": ["000", "000", "011"],
    "costs": ["001", "000", "000"],
    "jumps": ["000", "001", "100"],
}


def small(state: int, kind: str) -> Any:
    return GridWorld(World.from_toml(SMALL), observation=kind).reset(options={"state": state})[0]


def picture(rows: list[str]) -> np.ndarray:
    return np.array([[255 * int(cell) for cell in row] for row in rows], dtype=np.uint8)


# -- by hand ---------------------------------------------------------------------------------------------------------


def test_index_coordinates_and_one_hot() -> None:
    assert small(4, "index") == 4 and isinstance(small(4, "index"), int)
    assert small(5, "coordinates").tolist() == [1, 2]
    assert small(5, "one_hot").tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0]


def cells(seen: np.ndarray, pixels: int) -> np.ndarray:
    """One pixel of each cell, of squares that are of one colour."""
    small = seen[::pixels, ::pixels]
    assert (small.repeat(pixels, axis=0).repeat(pixels, axis=1) == seen).all()
    return small


def test_an_image() -> None:
    seen = cells(small(4, "image"), 12)
    agent = picture(["000", "010", "000"])
    for channel, name in enumerate(CHANNELS):
        assert seen[..., channel].tolist() == (agent if name == "agent" else picture(PICTURES[name])).tolist(), name


@pytest.mark.parametrize("state", [0, 2, 4, 5])
def test_a_window_is_centred_on_the_agent_and_walled_outside(state: int) -> None:
    row, col = divmod(state, 3)
    seen = cells(small(state, "window"), 8)
    for channel, name in enumerate(CHANNELS[1:]):
        around = np.full((7, 7), 255 if name == "wall" else 0, dtype=np.uint8)
        around[2:5, 2:5] = picture(PICTURES[name])
        assert seen[..., channel].tolist() == around[row : row + 5, col : col + 5].tolist(), name


@pytest.mark.parametrize(
    ("enter", "adds", "wanted"), [("-0.5", "true", "costs"), ("-0.5", "false", "pays"), ("0", "true", None)]
)
def test_entering_is_compared_with_a_step(enter: str, adds: str, wanted: str | None) -> None:
    """Where enter_adds_step, a small price on top of the step is a cost; instead of the step, it is a gain."""
    text = f'actions = ["left"]\nmap = "x."\nreward = {{ step = -1, enter_adds_step = {adds} }}\n'
    world = World.from_toml(text + f"cells.x.enter = {enter}\n")
    seen = GridWorld(world, observation="image").reset(seed=0)[0]
    shown = {name for name in ("pays", "costs") if seen[0, 0, CHANNELS.index(name)]}
    assert shown == ({wanted} if wanted else set())


# -- spaces ----------------------------------------------------------------------------------------------------------


def test_spaces_are_exact() -> None:
    world = World.from_toml(SMALL)
    wanted = {
        "index": Discrete(9),
        "coordinates": MultiDiscrete([3, 3]),
        "one_hot": Box(0.0, 1.0, (9,), np.float32),
        "image": Box(0, 255, (36, 36, 6), np.uint8),
        "window": Box(0, 255, (40, 40, 5), np.uint8),
    }
    for kind in KINDS:
        env = GridWorld(world, observation=kind)
        assert env.observation_space == wanted[kind]
        for state in np.flatnonzero(~env.model.terminal).tolist():
            seen = env.reset(options={"state": state})[0]
            assert env.observation_space.contains(seen)
            assert kind == "index" or (seen.dtype, seen.shape) == (wanted[kind].dtype, wanted[kind].shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", CATALOG)
def test_every_world_passes_the_environment_checker(world: str, kind: str) -> None:
    env = GridWorld(world, observation=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


@pytest.mark.parametrize("kind", ["coordinates", "one_hot", "image", "window"])
def test_observations_belong_to_the_states(kind: str) -> None:
    """The same steps are seen, however they are seen; what was handed out does not change."""
    one, other = GridWorld("four_rooms"), GridWorld("four_rooms", observation=kind)
    seen = [(one.reset(seed=4)[0], other.reset(seed=4)[0])]
    for k in range(40):
        found, wanted = other.step(k % 4), one.step(k % 4)
        assert found[1:] == wanted[1:]
        seen.append((wanted[0], found[0]))
    for state, view in seen:
        assert np.array_equal(view, GridWorld("four_rooms", observation=kind).reset(options={"state": state})[0])


def test_an_unknown_kind_is_told_with_the_near_name() -> None:
    with pytest.raises(InputError, match=r'^observation: found "onehot", did you mean "one_hot"\? Allowed: index, '):
        GridWorld("cliff", observation="onehot")


# -- copies ----------------------------------------------------------------------------------------------------------


def steps(env: gym.Env, count: int) -> list[Any]:
    seen: list[Any] = []
    for k in range(count):
        view, reward, terminated, truncated, _ = env.step((k * k + 1) % 4)
        seen.append((np.asarray(view).tobytes(), reward, terminated, truncated))
        if terminated or truncated:
            seen.append(np.asarray(env.reset()[0]).tobytes())
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", ["plain", "gym.make", "changing"])
def test_copies_in_mid_episode_continue_identically(kind: str, made: str) -> None:
    noisy = World.from_toml(NOISY)
    if made == "plain":
        env: gym.Env = GridWorld(noisy, observation=kind)
    elif made == "gym.make":
        env = gym.make("rlgrid/GridWorld-v0", world=noisy, observation=kind, max_episode_steps=17)
    else:
        env = ChangingGridWorld({0: "blocking_maze", 60: "blocking_maze_after"}, observation=kind)
    env.reset(seed=3)
    steps(env, 50)
    copies = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    wanted = steps(env, 90)
    for other in copies:
        assert steps(other, 90) == wanted


def test_a_copy_leaves_the_window_behind() -> None:
    env = GridWorld("cliff", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    again = pickle.loads(pickle.dumps(env))
    assert (again.render() == frame).all()


def test_the_state_can_be_read_and_set() -> None:
    env = GridWorld("four_rooms", observation="coordinates")
    env.reset(seed=0)
    env.state = 16
    assert env.state == 16 and env.reset(options={"state": 20})[0].tolist() == list(divmod(20, 13))
    env.state = 27
    stream = copy.deepcopy(env)
    first = env.step(1)
    assert stream.step(1)[0].tolist() == first[0].tolist() and env.state == int(first[0] @ [13, 1])
    with pytest.raises(InputError, match=r"^state: found 0; allowed: an open state from 0 to 168$"):
        env.state = 0  # a wall


def test_worlds_are_shared_not_changed() -> None:
    world = load_world("cliff")
    env = GridWorld(world, observation="image")
    view = env.reset(seed=0)[0]
    view[...] = 7
    assert env.reset(seed=0)[0].max() == 255 and env.world == load_world("cliff")
