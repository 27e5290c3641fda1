"""The catalog: the worlds of published.json, what each other world is there to show, and tables that never change."""

from __future__ import annotations

import hashlib

import gymnasium as gym
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from published_worlds import PUBLISHED, published_world

from rlgrid import library
from rlgrid.errors import InputError
from rlgrid.models import tables
from rlgrid.models.model import TabularModel
from rlgrid.planning.evaluation import evaluate_exact
from rlgrid.planning.solve import solve
from rlgrid.worlds import outcomes as rules
from rlgrid.worlds.generators import generate_world
from rlgrid.worlds.world import HEADINGS, World, load_world

CATALOG = library.names("envs")

#: Catalog world behind every grid of published.json.
PUBLISHED_AS = {
    "zhao_fig3.4a": "zhao_5x5",
    "zhao_fig3.4b": "zhao_5x5",
    "zhao_fig3.4c": "zhao_5x5",
    "zhao_fig3.4d": "zhao_5x5_strict",
    "zhao_fig2.7_good1": "zhao_5x5",
    "zhao_fig2.7_good2": "zhao_5x5",
    "zhao_fig8.6b": "zhao_5x5",
    "zhao_fig5.4_L1": "zhao_5x5_strict",
    "zhao_fig5.4_L2": "zhao_5x5_strict",
    "zhao_fig5.4_L3": "zhao_5x5_strict",
    "zhao_fig5.4_L15": "zhao_5x5_strict",
    "zhao_fig5.4_L100": "zhao_5x5_strict",
    "zhao_fig5.6_eps0.1": "zhao_5x5_bump",
    "zhao_fig5.6_eps0.2": "zhao_5x5_bump",
    "zhao_fig5.6_eps0.5": "zhao_5x5_bump",
    "zhao_fig7.2_opt_g1.0": "zhao_5x5_episodic",
    "zhao_fig2.4": "zhao_2x2",
    "zhao_fig2.5": "zhao_2x2",
    "zhao_tab4.2_v1": "zhao_2x2",
    "zhao_tab4.2_v2": "zhao_2x2",
    "zhao_fig3.5a": "zhao_2x2_clear",
    "zhao_fig4.3": "zhao_1x2",
    "zhao_sec5.2_q": "zhao_3x3",
    "sb_ex3.5": "sutton_gridworld",
    "sb_ex3.8": "sutton_gridworld",
    "sb_ex4.1": "sutton_4x4",
    "sb_ex6.2": "random_walk_5",
    "sb_windy_4": "windy",
    "sb_windy_king8": "windy_king",
    "sb_windy_4_stoch": "windy_stochastic",
    "sb_ex6.6_cliff": "cliff",
    "sb_maze_dyna": "dyna_maze",
    "sb_maze_blocking_before": "blocking_maze",
    "sb_maze_blocking_after": "blocking_maze_after",
    "aima_4x3_3e": "aima_4x3",
    "cs188_bookgrid": "book_grid",
    "frozenlake_4x4": "frozen_lake_4x4",
}


def outcomes(model: TabularModel) -> tuple[NDArray[np.generic], ...]:
    """What happens where, apart from how it is numbered."""
    t = model.tables
    return t.first, t.next_state, t.probability[t.code], t.reward[t.code], t.terminated[t.code]


def start_value(world: World, **options: float) -> float:
    return float(solve(world, **options).v[world.starts].mean())


def optimal_actions_at_start(world: World) -> set[str]:
    best = solve(world).optimal_actions[world.starts[0]]
    return {world.actions[a] for a in np.flatnonzero(best)}


def without_slip(world: World) -> World:
    return msgspec.structs.replace(world, slip=None)


# -- published worlds --------------------------------------------------------------------------------------------------


def test_every_published_grid_is_in_the_catalog() -> None:
    assert set(PUBLISHED_AS) == {name for name, entry in PUBLISHED.items() if entry["world"]["kind"] == "grid"}
    assert set(PUBLISHED_AS.values()) <= set(CATALOG)


@pytest.mark.parametrize(("published", "name"), PUBLISHED_AS.items())
def test_catalog_worlds_have_the_published_outcomes(published: str, name: str) -> None:
    """What holds for the worlds that are made of the entries (test_published.py) holds for the catalog's, too."""
    expected = TabularModel.from_world(published_world(PUBLISHED[published]))
    for found, wanted in zip(outcomes(TabularModel.from_world(load_world(name))), outcomes(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("published", "name"), PUBLISHED_AS.items())
def test_catalog_worlds_suggest_a_published_discount(published: str, name: str) -> None:
    published_discounts = {PUBLISHED[p].get("gamma") or 1.0 for p, n in PUBLISHED_AS.items() if n == name}
    assert load_world(name).discount in published_discounts


@pytest.mark.parametrize(
    ("name", "env_id"),
    [
        ("frozen_lake_4x4", "FrozenLake-v1"),
        ("frozen_lake_8x8", "FrozenLake8x8-v1"),
        ("cliff", "CliffWalking-v1"),
        ("cliff_slippery", "CliffWalkingSlippery-v1"),
    ],
)
def test_worlds_of_gymnasium_have_its_values(name: str, env_id: str) -> None:
    world, env = load_world(name), gym.make(env_id)
    model = TabularModel.from_env(env)
    reachable = TabularModel.from_world(world).reachable
    ours, theirs = solve(world, discount=0.97).q, solve(model, discount=0.97).q
    np.testing.assert_allclose(ours[reachable], theirs[reachable], rtol=0, atol=1e-7)
    assert world.n_states == model.n_states
    assert reachable.sum() > 10


# -- worlds with a known optimum ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "steps"),
    [("windy", 15), ("windy_king", 7), ("windy_king_stay", 7), ("cliff", 13), ("zhao_5x5_episodic", 10)],
)
def test_undiscounted_steps(name: str, steps: int) -> None:
    assert start_value(load_world(name), discount=1) == pytest.approx(-steps, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("dyna_maze", 14),
        ("blocking_maze", 10),
        ("blocking_maze_after", 16),
        ("shortcut_maze", 16),
        ("shortcut_maze_after", 10),
        ("open_room", 18),
        ("spiral", 70),
        ("maze_50x50", 257),
    ],
)
def test_steps_to_the_goal(name: str, steps: int) -> None:
    world = load_world(name)
    assert start_value(world) == pytest.approx(world.discount ** (steps - 1), rel=1e-6)


def test_the_mazes_change_in_their_wall_alone() -> None:
    blocking, blocked = load_world("blocking_maze").rows, load_world("blocking_maze_after").rows
    shortcut, opened = load_world("shortcut_maze").rows, load_world("shortcut_maze_after").rows
    assert [r for r in range(6) if blocking[r] != blocked[r]] == [3]
    assert [r for r in range(6) if shortcut[r] != opened[r]] == [3]
    assert shortcut == blocked
    assert opened[3] == ".#######."


def test_random_walks_have_the_values_of_a_fair_game() -> None:
    for name, values in (("random_walk_5", np.arange(1, 6) / 6), ("random_walk_19", np.arange(-9, 10) / 10)):
        world = load_world(name)
        v = evaluate_exact(world, np.full((world.n_states, 2), 0.5))
        np.testing.assert_allclose(v[1:-1], values, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_stochastic_wind_with_king_moves() -> None:
    """Against value iteration over the rules as the book's exercise tells them, written down once more."""
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
    goal, v = (3, 7), np.zeros((7, 10))
    for _ in range(400):
        q = np.zeros((8, 7, 10))
        for a, (down, right) in enumerate(HEADINGS.values()):
            for row in range(7):
                for col in range(10):
                    for gust in (-1, 0, 1) if wind[col] else (0,):
                        landing = row + down - (wind[col] + gust if wind[col] else 0), col + right
                        landing = min(max(landing[0], 0), 6), min(max(landing[1], 0), 9)
                        q[a, row, col] += (-1 + v[landing]) / (3 if wind[col] else 1)
        v = q.max(axis=0)
        v[goal] = 0
    found = solve(load_world("windy_king_stochastic")).v
    np.testing.assert_allclose(found.reshape(7, 10), v, rtol=0, atol=1e-6)


def test_deep_sea_pays_one_path_in_1024() -> None:
    world = load_world("deep_sea")
    assert start_value(world) == pytest.approx(0.99, abs=1e-12)
    random = evaluate_exact(world, np.full((world.n_states, 2), 0.5))
    assert random[0] == pytest.approx(2.0**-10 - 10 * 0.001 / 2, abs=1e-12)
    model = TabularModel.from_world(world)
    assert model.reachable.sum() == 55 + 11  # a triangle of 10 rows, and the row of ends


def test_noisy_grid_has_the_papers_rewards() -> None:
    world = load_world("noisy_3x3")
    discount = 0.95
    assert start_value(world) == pytest.approx(5 * discount**4 - sum(discount**k for k in range(4)), abs=1e-7)
    assert start_value(world, discount=1) / 5 == pytest.approx(0.2, abs=1e-12)  # mean reward of a step, five in all
    t = TabularModel.from_world(world).tables
    assert t.noise_values.tolist() == [[-12, 10]]


# -- our own drawings --------------------------------------------------------------------------------------------------


def test_the_bridge_is_crossed_only_where_nothing_slips() -> None:
    world = load_world("bridge")
    assert optimal_actions_at_start(world) == {"left"}
    assert optimal_actions_at_start(without_slip(world)) == {"right"}


@pytest.mark.parametrize(
    ("slips", "discount", "first", "parting", "then"),
    [
        (False, 0.1, "right", (4, 2), "up"),  # by the short way to the near exit
        (False, 0.9, "right", (4, 2), "right"),  # by the short way to the far exit
        (True, 0.4, "up", (0, 2), "down"),  # by the safe way to the near exit
        (True, 0.9, "up", (0, 2), "right"),  # by the safe way to the far exit
    ],
)
def test_the_discount_grid_has_all_four_answers(
    slips: bool, discount: float, first: str, parting: tuple[int, int], then: str
) -> None:
    world = load_world("discount_grid") if slips else without_slip(load_world("discount_grid"))
    best = solve(world, discount=discount).optimal_actions
    for (row, col), action in (((4, 0), first), (parting, then)):
        assert np.flatnonzero(best[row * 6 + col]).tolist() == [world.actions.index(action)]


def test_the_cliffs_are_passed_at_a_distance_where_moves_slip() -> None:
    world = load_world("cliff_exit")
    assert optimal_actions_at_start(world) == {"up"}
    assert start_value(without_slip(world)) == pytest.approx(10 - 7, abs=1e-9)


def test_the_large_maze_comes_from_the_generator() -> None:
    world = load_world("maze_50x50")
    assert world == msgspec.structs.replace(generate_world("maze", (50, 50), seed=0), name="maze_50x50")


# -- compiled tables ---------------------------------------------------------------------------------------------------


def digest(world: World) -> str:
    """A fingerprint of everything that a world compiles to."""
    model = TabularModel.from_world(world)
    digest = hashlib.sha256()
    for array in model.tables:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr([tuple(outcome) for outcome in model.outcomes or ()]).encode())
    return digest.hexdigest()[:12]


TABLES = {
    "aima_4x3": "f4277de96aa2",
    "blocking_maze": "8a68d1476998",
    "blocking_maze_after": "748d7c6928d4",
    "book_grid": "cb124a0498f5",
    "bridge": "5d4b2e2aced3",
    "cliff": "e5e18afa03ef",
    "cliff_exit": "383394363033",
    "cliff_slippery": "10280df816e4",
    "deep_sea": "673d6d62411a",
    "discount_grid": "19091ab465cb",
    "dyna_maze": "4eae4c078f42",
    "four_rooms": "9e00d017db1d",
    "frozen_lake_4x4": "4e833316f67c",
    "frozen_lake_8x8": "bdd8dea56c4c",
    "maze_50x50": "0a2662262e5c",
    "noisy_3x3": "64702167ff9f",
    "open_room": "4be4ff89331a",
    "random_walk_19": "87682a6eb140",
    "random_walk_5": "4085dd883ec3",
    "shortcut_maze": "748d7c6928d4",
    "shortcut_maze_after": "ba1d1af84f3b",
    "spiral": "de610041e8ca",
    "sutton_4x4": "4e9d4eb7deee",
    "sutton_gridworld": "b63c782f710a",
    "windy": "254e71f6f066",
    "windy_king": "a60231d52149",
    "windy_king_stay": "975adacb5ca7",
    "windy_king_stochastic": "76f33f287b2e",
    "windy_stochastic": "ac7ae86a626c",
    "zhao_1x2": "4a347ff0be88",
    "zhao_2x2": "be392fa0df9c",
    "zhao_2x2_clear": "518db427d727",
    "zhao_3x3": "c0eabca9c624",
    "zhao_5x5": "7c73b1976303",
    "zhao_5x5_bump": "74afa060753f",
    "zhao_5x5_episodic": "e176931eee30",
    "zhao_5x5_strict": "09bf8763295e",
}


@pytest.mark.parametrize("name", CATALOG)
def test_tables_are_what_they_were(name: str) -> None:
    """A faster compiler may not change a bit; who changes a world on purpose writes its new fingerprint here."""
    assert digest(load_world(name)) == TABLES.get(name)


@pytest.mark.parametrize("name", ["zhao_5x5_bump", "windy_king_stochastic", "four_rooms", "cliff", "sutton_gridworld"])
def test_tables_do_not_depend_on_how_many_cells_are_compiled_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = load_world(name)
    whole = TabularModel.from_world(world)
    monkeypatch.setattr(rules, "BLOCK", 100)
    monkeypatch.setattr(tables, "BLOCK", 7)
    parts = TabularModel.from_world(world)
    for found, wanted in zip(outcomes(parts), outcomes(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(parts.expected_reward, whole.expected_reward)
    np.testing.assert_array_equal(parts.terminal, whole.terminal)


def test_a_world_with_too_many_outcomes_is_refused() -> None:
    rows = "\n".join(["x." * 100] * 200)
    cells = '[cells]\nx = { enter_to = "." }'
    world = World.from_toml(f'actions = ["up", "right"]\nmap = """\n{rows}\n"""\n{cells}')
    with pytest.raises(InputError, match=r"^unnamed: cells: enter_to and leave with very many targets make [\d,]+ out"):
        TabularModel.from_world(world)
