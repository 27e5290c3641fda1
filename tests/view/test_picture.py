"""Pictures: what is seen and where. Everything runs without a screen."""

from __future__ import annotations

import os

os.environ["SDL_VIDEODRIVER"] = "dummy"

import numpy as np
import pygame
import pytest

from rlgrid.errors import InputError
from rlgrid.view.palette import NEGATIVE, PIT, POSITIVE, WALL, value_colours
from rlgrid.view.picture import Layers, Picture
from rlgrid.worlds.world import HEADINGS, World

EVERY_KIND = """
actions = ["up", "right", "down", "left", "stay", "up-left"]
map = '''
SFTHG
W#ABp
a#b.n
.##.t
CCc.R
'''
[reward]
bump = -1
[cells]
F = { enter = -1 }
T = { enter = 1 }
H = { terminal = true, enter = -5 }
G = { terminal = true, enter = 5 }
W = { wall = true, bump = -10 }
A = { leave = { to = "a", reward = 10 } }
B = { leave = { to = "b", reward = { mean = 5, std = 1.0 } } }
a = {}
b = {}
p = { exit = 1 }
n = { exit = -1 }
t = { terminal = true }
C = { enter = -2, enter_to = "c" }
c = {}
R = { enter_to = "." }
[wind]
up = [0, 0, 1, 2, 0]
right = [0, 1, 0, 0, -1]
"""


def open_world(n_rows: int, n_cols: int, cells: str = "") -> World:
    rows = "\n".join(["." * n_cols] * n_rows)
    actions = ", ".join(f'"{action}"' for action in [*HEADINGS, "stay"])
    return World.from_toml(f"actions = [{actions}]\nmap = '''\n{rows}\n'''\n{cells}")


def world_of(rows: str, rules: str = "") -> World:
    return World.from_toml(f"actions = ['up', 'right', 'down', 'left']\nmap = '''\n{rows}\n'''\n{rules}")


WORLDS = {
    "1x1": open_world(1, 1),
    "1x7": open_world(1, 7),
    "7x1": open_world(7, 1),
    "50x50": open_world(50, 50),
    "every kind": World.from_toml(EVERY_KIND),
}


def cell_of(picture: Picture, frame: np.ndarray, state: int) -> np.ndarray:
    """The inside of a state's cell, without the grid lines."""
    area = picture.layout.rect(state)
    return frame[area.top + 1 : area.bottom, area.left + 1 : area.right]


def cells_that_differ(picture: Picture, a: np.ndarray, b: np.ndarray) -> set[int]:
    states = range(picture.world.n_states)
    return {s for s in states if (cell_of(picture, a, s) != cell_of(picture, b, s)).any()}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_every_layer_shows_on_every_shape_and_kind_of_cell(name: str) -> None:
    world = WORLDS[name]
    picture = Picture(world)
    random = np.random.default_rng(1)
    agent = int(np.flatnonzero(~(world.mask("wall") | world.mask("terminal")))[0])
    values = random.normal(size=world.n_states)
    policy = random.dirichlet(np.ones(world.n_actions), world.n_states)
    plain = picture.rgb()
    assert plain.dtype == np.uint8
    height, width, channels = plain.shape
    assert (height % 2, width % 2, channels) == (0, 0, 3)
    assert (width, height) == picture.size
    assert len(np.unique(plain @ [1 << 16, 1 << 8, 1])) > 2  # page, floor, grid
    for layers in (Layers(agent=agent), Layers(values=values), Layers(policy=policy), Layers(caption="episode 12")):
        frame = picture.rgb(layers)
        assert frame.shape == plain.shape
        assert (frame != plain).any()
    assert world.n_states == 1 or (picture.rgb(Layers(trajectory=[0, 1])) != plain).any()
    both = Layers(agent=agent, values=values, policy=policy, trajectory=[agent], caption="all")
    assert np.array_equal(picture.rgb(both), Picture(world).rgb(both)), "the same input gives the same pixels"
    assert np.array_equal(picture.rgb(), plain), "layers leave nothing behind"


@pytest.mark.parametrize(("name", "cell"), [("1x1", 120), ("1x7", 115), ("7x1", 115), ("50x50", 16)])
def test_cells_are_large_enough_to_read_and_small_enough_to_fit(name: str, cell: int) -> None:
    picture = Picture(WORLDS[name])
    assert picture.layout.cell == cell
    board = picture.layout.board
    assert pygame.Rect((0, 0), picture.size).contains(board)


def test_a_map_too_large_for_a_picture_is_refused_and_a_large_one_stays_within_bounds() -> None:
    assert max(Picture(open_world(2, 1200)).size) < 2500
    with pytest.raises(InputError, match="found 1 x 1201 cells; allowed in a picture: 1200 a side"):
        Picture(open_world(1, 1201))


@pytest.mark.parametrize("values", [None, np.linspace(-1.0, 1.0, 64)])
def test_when_the_agent_moves_only_two_cells_change(values: np.ndarray | None) -> None:
    picture = Picture(open_world(8, 8))
    before, after = (picture.rgb(Layers(agent=state, values=values)) for state in (9, 10))
    assert cells_that_differ(picture, before, after) == {9, 10}
    outside = np.ones(before.shape[:2], dtype=bool)
    for state in (9, 10):
        area = picture.layout.rect(state)
        outside[area.top : area.bottom, area.left : area.right] = False
    assert np.array_equal(before[outside], after[outside])


def test_the_number_of_a_value_stays_when_the_agent_enters_the_cell() -> None:
    picture = Picture(open_world(8, 8))
    values = np.linspace(-1.0, 1.0, 64)
    away, here = (cell_of(picture, picture.rgb(Layers(agent=s, values=values)), 20) for s in (0, 20))
    lower = slice(int(0.75 * len(here)), None)
    assert (here[: len(here) // 2] != away[: len(away) // 2]).any()
    assert np.array_equal(here[lower], away[lower])
    assert len(np.unique(here[lower].reshape(-1, 3), axis=0)) > 5, "there is a number to see"


def test_walls_and_holes_are_dark_and_floor_is_light() -> None:
    world = world_of("#.H\n..G", "[cells]\nH = { terminal = true }\nG = { terminal = true, enter = 1 }")
    picture = Picture(world)
    for layers in (Layers(), Layers(values=np.linspace(0, 1, 6)), Layers(policy=np.full((6, 4), 0.25))):
        frame = picture.rgb(layers)
        middle = [cell_of(picture, frame, state)[60, 60] for state in range(6)]
        assert tuple(middle[0]) == WALL
        assert tuple(middle[2]) == PIT
        assert all(cell_of(picture, frame, state)[110, 10].min() > 90 for state in (1, 3, 4))


def test_good_bad_and_neutral_cells_differ_by_the_reward_against_a_step() -> None:
    rules = "[reward]\nstep = -1\n[cells]\na = { enter = -2 }\nb = { enter = 0 }\nc = { enter = -1 }"
    picture = Picture(world_of("abc.", rules))
    frame = picture.rgb()
    corner = [tuple(cell_of(picture, frame, state)[-3, 60].astype(int)) for state in range(4)]
    bad, good, neutral, floor = corner
    assert neutral == floor
    assert bad[0] > bad[2] + 20, "orange"
    assert good[1] > good[0] + 10, "green"


def test_what_is_added_to_the_step_reward_is_judged_by_itself() -> None:
    rules = "[reward]\nstep = -1\nenter_adds_step = true\n[cells]\na = { enter = -0.5 }\nb = { enter = 0.5 }"
    picture = Picture(world_of("ab", rules))
    frame = picture.rgb().astype(int)
    bad, good = (cell_of(picture, frame, state)[-3, 60] for state in (0, 1))
    assert (bad[0] > bad[2] + 20, good[1] > good[0] + 10) == (True, True)


def test_the_only_end_is_a_goal_even_if_it_pays_nothing() -> None:
    picture = Picture(world_of("..G", "[reward]\nstep = -1\n[cells]\nG = { terminal = true }"))
    red, green, blue = cell_of(picture, picture.rgb(), 2)[60, 60].astype(int)
    assert green > red + 50
    assert green > blue


def test_teleports_starts_and_wind_leave_their_marks() -> None:
    plain = Picture(world_of("...\n..."))
    floor = cell_of(plain, plain.rgb(), 0)
    teleport = Picture(world_of("A..\n..a", '[cells]\nA = { leave = { to = "a", reward = 10 } }\na = {}'))
    frame = teleport.rgb()
    source, target = cell_of(teleport, frame, 0), cell_of(teleport, frame, 5)
    assert tuple(source[-3, 3]) == tuple(target[-3, -3]) != tuple(floor[-3, 3])
    start = Picture(world_of("S..\n..."))
    assert cells_that_differ(plain, plain.rgb(), start.rgb()) == {0}
    windy = Picture(world_of("...\n...", "[wind]\nup = [0, 0, 2]"))
    blown = windy.rgb()
    differing = {s for s in range(6) if (cell_of(windy, blown, s) != floor).any()}
    assert differing == {2, 5}
    below = blown[windy.layout.board.bottom + 2 :]
    assert (below < 200).any(), "the wind's strength stands below the columns"


def test_a_jump_to_a_start_points_there() -> None:
    cliff = Picture(world_of("S.C", '[cells]\nC = { enter = -100, enter_to = "S" }'))
    lava = Picture(world_of("S.C", "[cells]\nC = { enter = -100 }"))
    assert cells_that_differ(cliff, cliff.rgb(), lava.rgb()) == {2}


@pytest.mark.parametrize(
    ("values", "full"),
    [(np.linspace(0, 1, 9), POSITIVE), (np.linspace(5, 9, 9), POSITIVE), (np.linspace(0, -3, 9), NEGATIVE)],
)
def test_values_of_one_sign_grow_steadily_from_pale_to_full(values: np.ndarray, full: tuple[int, int, int]) -> None:
    picture = Picture(open_world(1, 9))
    frame = picture.rgb(Layers(values=values))
    colours = np.array([cell_of(picture, frame, state)[5, 5] for state in range(9)], dtype=int)
    distance = np.abs(colours - np.array(full)).sum(axis=1)
    assert (np.diff(distance) < 0).all()
    assert distance[-1] == 0


def test_values_of_both_signs_diverge_around_zero_with_one_scale() -> None:
    blue = value_colours(np.array([-4.0, -2.0, 0.0, 1.0, 2.0])).astype(int)
    assert tuple(blue[0]) == NEGATIVE
    assert blue[2].min() > 245
    assert (np.diff(blue[:, 0]) * [1, 1, -1, -1] > 0).all(), "red channel: up to white, then down to blue"
    assert np.abs(blue[4] - (np.array(POSITIVE) + blue[2]) / 2).max() <= 1, "half the scale is half the colour"


def test_equal_huge_and_missing_values_are_drawn() -> None:
    assert len(np.unique(value_colours(np.full(4, 0.3)), axis=0)) == 1
    assert value_colours(np.array([-1e308, 1e308]))[1].tolist() == list(POSITIVE)
    picture = Picture(open_world(1, 7))
    values = np.array([np.nan, 1.0, 2.0, np.inf, 3.0, 4.0, -np.inf])
    frame, plain = picture.rgb(Layers(values=values)), picture.rgb()
    assert cells_that_differ(picture, frame, plain) == {1, 2, 4, 5}


def test_numbers_appear_only_where_they_can_be_read() -> None:
    for side, readable in ((5, True), (50, False)):
        picture = Picture(open_world(side, side))
        values = np.full(side * side, 0.123)
        colours = len(np.unique(cell_of(picture, picture.rgb(Layers(values=values)), 0).reshape(-1, 3), axis=0))
        assert (colours > 1) == readable


def ink(picture: Picture, frame: np.ndarray, state: int) -> np.ndarray:
    """How dark each pixel of a cell is, compared with floor."""
    return 246.0 - np.minimum(cell_of(picture, frame, state).astype(float).mean(axis=2), 246.0)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("side", [5, 50])
@pytest.mark.parametrize("heading", HEADINGS)
def test_an_arrow_has_its_head_where_it_leads(heading: str, side: int, alone: bool) -> None:
    world = open_world(side, side)
    picture = Picture(world)
    policy = np.zeros((world.n_states, world.n_actions))
    policy[12, world.actions.index(heading)] = 1.0 if alone else 0.9
    policy[12, world.actions.index("stay")] = 0.0 if alone else 0.1
    frame = picture.rgb(Layers(policy=policy))
    assert cells_that_differ(picture, frame, picture.rgb()) == {12}
    dark = ink(picture, frame, 12)
    position = np.arange(len(dark)) + 1.5 - picture.layout.cell / 2  # the cell begins with a grid line
    row, column = np.array(HEADINGS[heading]) / np.hypot(*HEADINGS[heading])
    along = position[:, None] * row + position * column
    across = position[:, None] * column - position * row
    ahead, behind = (dark * abs(across))[along > 0].sum(), (dark * abs(across))[along < 0].sum()
    assert ahead > 1.5 * behind, "the head is broader than the tail"
    assert abs((dark * across).sum()) < 0.3 * dark.sum(), "it lies on the line through the middle"


def test_more_probable_actions_get_longer_arrows_and_negligible_ones_none() -> None:
    world = open_world(5, 5)
    picture = Picture(world)
    policy = np.zeros((25, 9))
    policy[:, world.actions.index("up")] = 0.01
    stay, right = world.actions.index("stay"), world.actions.index("right")
    assert np.array_equal(picture.rgb(Layers(policy=policy)), Picture(world).rgb(Layers(policy=np.zeros((25, 9)))))
    for state, probability in ((0, 0.1), (1, 0.4), (2, 0.8)):
        policy[state, [right, stay]] = probability, 1 - probability
    frame = picture.rgb(Layers(policy=policy))
    reach = [np.flatnonzero((ink(picture, frame, state) > 60).any(axis=0)).max() for state in range(3)]
    assert reach[0] < reach[1] < reach[2]


def test_walls_and_ends_get_neither_values_nor_arrows() -> None:
    world = world_of("#.H", "[cells]\nH = { terminal = true }")
    picture = Picture(world)
    frame = picture.rgb(Layers(values=np.ones(3), policy=np.full((3, 4), 0.25)))
    other = picture.rgb(Layers(values=np.array([9.0, 1.0, -9.0]), policy=np.eye(4)[[0, 1, 2]]))
    assert cells_that_differ(picture, frame, other) == {1}


def test_a_path_fades_and_a_jump_leaves_a_gap() -> None:
    picture = Picture(open_world(1, 7))
    frame = picture.rgb(Layers(trajectory=[0, 1, 2, 3, 3, 3, 6]))
    plain = picture.rgb()
    assert cells_that_differ(picture, frame, plain) == {0, 1, 2, 3}
    middle = picture.layout.cell // 2
    strength = [ink(picture, frame, state)[middle, -2] for state in (0, 1, 2)]
    assert strength[0] < strength[1] < strength[2]


def test_arrays_that_change_in_place_are_seen_and_given_frames_stay_as_they_are() -> None:
    picture = Picture(open_world(2, 2))
    values = np.array([1.0, 2.0, 3.0, 4.0])
    before = picture.rgb(Layers(values=values))
    kept = before.copy()
    values[:] = values[::-1].copy()
    after = picture.rgb(Layers(values=values))
    assert (after != before).any()
    assert np.array_equal(before, kept)
    assert after.flags.writeable


def test_a_long_caption_is_cut_to_the_page() -> None:
    picture = Picture(open_world(3, 1))
    frame = picture.rgb(Layers(caption="a caption that is much too long for such a narrow page " * 3))
    assert (frame[: picture.layout.top, 16:-16] < 128).any()
    assert (frame[: picture.layout.top, -8:] == 255).all()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (Layers(values=np.zeros(3)), r"values: found the shape \(3,\); allowed: \(4,\)"),
        (Layers(policy=np.zeros((4, 2))), r"policy: found the shape \(4, 2\); allowed: \(4, 9\)"),
        (Layers(agent=4), "found the state 4; allowed: 0 to 3"),
        (Layers(trajectory=[0, -1]), "found the state -1; allowed: 0 to 3"),
    ],
)
def test_layers_of_another_world_are_refused(layers: Layers, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Picture(open_world(2, 2)).rgb(layers)


@pytest.mark.slow
def test_many_frames_do_not_pile_up_sprites() -> None:
    random = np.random.default_rng(0)
    picture = Picture(open_world(8, 8), size=160)
    for step in range(300):
        policy = random.dirichlet(np.ones(9), 64)
        picture.surface(Layers(agent=step % 64, policy=policy, trajectory=[0, 63, 5], caption=f"step {step}"))
    kept = len(picture._sprites._kept)
    for step in range(300):
        policy = random.dirichlet(np.ones(9), 64)
        picture.surface(Layers(agent=step % 64, policy=policy, trajectory=[0, 63, 5], caption=f"step {step}"))
    assert len(picture._sprites._kept) <= kept + 20


def test_pictures_survive_somebody_else_quitting_pygame() -> None:
    pygame.init()
    picture = Picture(open_world(3, 3))
    before = picture.rgb(Layers(values=np.arange(9.0), caption="before"))
    pygame.quit()
    pygame.init()
    pygame.quit()
    after = Picture(open_world(3, 3)).rgb(Layers(values=np.arange(9.0), caption="before"))
    assert np.array_equal(before, after)
