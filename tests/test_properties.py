"""What holds in every world, shown on random ones; and what is drawn is what the model says."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st
from random_worlds import examples, mirrored, rotated, worlds
from scipy import stats
from slow_rules import SlowRules, pay_of

from rlgrid import GridWorld, GridWorldVec, TabularModel, World, load_world, solve
from rlgrid.worlds.outcomes import compile_world

LEAST_P = 1e-6


# -- the compiler ----------------------------------------------------------------------------------------------------


def compiled_rows(world: World) -> list[dict]:
    table = compile_world(world)
    pays = [pay_of(outcome.reward) for outcome in table.outcomes]
    rows = []
    for begin, end in zip(table.first[:-1], table.first[1:], strict=True):
        found: Counter = Counter()
        for k in range(begin, end):
            outcome = table.outcomes[table.code[k]]
            found[int(table.next_state[k]), pays[table.code[k]], outcome.terminated] += outcome.probability
        rows.append(dict(found))
    return rows


def assert_compiled_exactly(world: World) -> None:
    slow, rows = SlowRules(world), compiled_rows(world)
    for state in range(world.n_states):
        for a, action in enumerate(world.actions):
            found, wanted = rows[state * world.n_actions + a], slow.row_of(state, action)
            assert sum(wanted.values()) == 1
            assert found == wanted, f"state {state}, {action}"


@pytest.mark.slow
@given(worlds())
@examples(700)
def test_the_compiler_follows_the_rules_exactly(world: World) -> None:
    assert_compiled_exactly(world)


@pytest.mark.parametrize(
    "name", ["windy_king_stochastic", "aima_4x3", "frozen_lake_4x4", "zhao_5x5_bump", "sutton_gridworld", "book_grid"]
)
def test_the_compiler_follows_the_rules_exactly_in_the_catalog(name: str) -> None:
    assert_compiled_exactly(load_world(name))


@pytest.mark.slow
@given(worlds())
@examples(150)
def test_rows_add_up_to_one_and_ends_absorb(world: World) -> None:
    model = TabularModel.from_world(world)
    closed = world.mask("wall") | world.mask("terminal")
    assert (model.terminal >= closed).all()
    for state, actions in model.P.items():
        for row in actions.values():
            assert sum(p for p, *_ in row) == pytest.approx(1, abs=1e-12)
            assert not world.mask("wall")[[there for _, there, _, _ in row]].any() or closed[state]
            assert not closed[state] or row == [(1.0, state, 0.0, True)]
    assert model.start.sum() == pytest.approx(1) and not (closed & (model.start > 0)).any()


@pytest.mark.slow
@given(worlds())
@examples(250)
def test_a_world_survives_writing_and_reading(world: World) -> None:
    text = world.to_toml()
    again = World.from_toml(text)
    assert again == world and again.to_toml() == text


# -- stepping --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(worlds(), st.integers(0, 2**31), st.sampled_from([AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]))
@examples(80)
def test_many_environments_step_as_single_ones(world: World, seed: int, mode: AutoresetMode) -> None:
    envs, singles = GridWorldVec(world, 3, autoreset_mode=mode), [GridWorld(world) for _ in range(3)]
    states, _ = envs.reset(seed=seed)
    assert states.tolist() == [single.reset(seed=seed + i)[0] for i, single in enumerate(singles)]
    random, over = np.random.default_rng(seed), [False] * 3
    for _ in range(25):
        actions = random.integers(0, world.n_actions, size=3)
        states, rewards, terminated, truncated, _ = envs.step(actions)
        for i, single in enumerate(singles):
            wanted = (single.reset()[0], 0.0, False, False) if over[i] else single.step(int(actions[i]))[:4]
            ended = wanted[2] or wanted[3]
            over[i] = ended and mode == AutoresetMode.NEXT_STEP
            state = single.reset()[0] if ended and mode == AutoresetMode.SAME_STEP else wanted[0]
            assert (states[i], rewards[i], terminated[i], truncated[i]) == (state, *wanted[1:])


FULL = """
name = "full"
actions = ["up", "right", "down", "left", "stay"]
map = '''
S.w.e
.#...
S.l.G
t.t.#
'''
[reward]
step = -1
[cells]
w = { wall = true, bump = -3 }
e = { enter = 2, enter_to = "S" }
l = { leave = { to = "t", reward = 1 } }
t = {}
G = { terminal = true, enter = 10 }
[slip]
random = "1/3"
[wind]
up = [0, 1, 0, -1, 0]
varies = { -1 = "1/4", 0 = "1/2", 1 = "1/4" }
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "frozen_lake_4x4", "windy_stochastic", "aima_4x3", "four_rooms"])
@pytest.mark.parametrize("seed", [3, 4])
def test_sampled_frequencies_match_the_probabilities(name: str, seed: int) -> None:
    world = World.from_toml(FULL) if name == "full" else load_world(name)
    model = TabularModel.from_world(world)
    n, random = 2000, np.random.default_rng(seed)
    envs = GridWorldVec(world, n, autoreset_mode=AutoresetMode.NEXT_STEP)
    before, over = envs.reset(seed=seed)[0], np.zeros(n, np.bool_)
    seen = []
    for _ in range(150):
        actions = random.integers(0, world.n_actions, size=n)
        states, rewards, terminated, truncated, _ = envs.step(actions)
        seen.append(np.stack([before, actions, states, rewards, terminated])[:, ~over])
        before, over = states, terminated | truncated
    counts = Counter(zip(*np.concatenate(seen, axis=1).tolist(), strict=True))
    statistic, freedom, drawn = 0.0, 0, 0
    for state, actions_of in model.P.items():
        for action, row in actions_of.items():
            keys = [(state, action, there, reward, ends) for _, there, reward, ends in row]
            observed = np.array([counts[key] for key in keys])
            drawn += observed.sum()
            expected = observed.sum() * np.array([p for p, *_ in row])
            if expected.min() >= 5:
                statistic += ((observed - expected) ** 2 / expected).sum()
                freedom += len(row) - 1
    assert drawn == sum(counts.values()), "nothing is drawn that the model does not have"
    assert freedom > 20
    assert stats.chi2.sf(statistic, freedom) > LEAST_P


# -- symmetry --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(worlds())
@examples(120)
def test_turning_a_world_turns_its_values(world: World) -> None:
    v = solve(world, discount=0.9).v.reshape(world.shape)
    turned, mirror = rotated(world), mirrored(world)
    assert solve(turned, discount=0.9).v.reshape(turned.shape) == pytest.approx(np.rot90(v, -1), abs=1e-7)
    assert solve(mirror, discount=0.9).v.reshape(mirror.shape) == pytest.approx(v[:, ::-1], abs=1e-7)


@pytest.mark.slow
@given(worlds())
@examples(100)
def test_four_turns_and_two_mirrors_are_none(world: World) -> None:
    turned = rotated(rotated(rotated(rotated(world))))
    assert compiled_rows(turned) == compiled_rows(world) == compiled_rows(mirrored(mirrored(world)))


def test_the_slow_rules_by_hand() -> None:
    """The reference itself, on a cell where slip, wind, wall and edge meet."""
    slow = SlowRules(World.from_toml(FULL))
    row = slow.row_of(1, "up")  # column 1 has wind; every move but one goes over the edge
    step, third = pay_of(World.from_toml(FULL).reward.step), Fraction(1, 3)
    onto = {there: p for (there, pay, ends), p in row.items() if pay == step and not ends}
    assert sum(onto.values()) + sum(p for (_, pay, _), p in row.items() if pay != step) == 1
    # right with a gust of -1: onto w, which costs 3. down: wind 0 onto the wall below, wind 1 back onto itself.
    bumps = {pay: p for (_, pay, _), p in row.items() if pay != step}
    assert list(bumps.values()) == [third / 4 * Fraction(1, 4)]
