"""Recipes: the catalog, its guide, what can be set anew, and one sentence for everything that cannot."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import gymnasium as gym
import msgspec
import numpy as np
import pytest
from plain_run import NOISY

import rlgrid
from rlgrid import Constant, Features, GridWorld, Harmonic, InputError, Polynomial, World, library, load_agent
from rlgrid.choices import NAMED
from rlgrid.feeds.feed_for import feed_for
from rlgrid.learning.recipe import Recipe, read_recipe, recipe_to_toml
from rlgrid.rules.step_sizes import HarmonicKeys, PolynomialKeys, to_step_size

CATALOG = library.names("agents")
GUIDE = Path(__file__).parents[2] / "docs" / "agents.md"
LAKE = GridWorld("frozen_lake_4x4")
KEYS = set(Recipe.__struct_fields__)


# The catalog


def test_the_catalog() -> None:
    assert set(CATALOG) >= {
        *("value_iteration", "policy_iteration", "truncated_policy_iteration"),
        *("mc_basic", "mc_exploring_starts", "mc_epsilon_greedy"),
        *("td0", "sarsa", "expected_sarsa", "q_learning"),
    }


@pytest.mark.parametrize("name", CATALOG)
def test_every_recipe_is_sound(name: str) -> None:
    recipe = read_recipe(name, {})
    assert recipe.name == name
    assert len(recipe.source) > 10
    assert sum(budget is not None for budget in (recipe.steps, recipe.episodes, recipe.sweeps)) == 1
    assert read_recipe(library.find("agents", name), {}) == recipe


@pytest.mark.parametrize("name", CATALOG)
def test_a_recipe_written_down_reads_back(name: str, tmp_path: Path) -> None:
    size = {"kind": "polynomial", "a": 0.5, "b": 2.0, "power": 0.6, "per": "update"}
    solves = read_recipe(name, {}).feed.kind in ("solution", "counting")  # in steps of 1
    for recipe in (
        read_recipe(name, {}),
        read_recipe(name, ({} if solves else {"step_size": size}) | {"source": 'a "quoted" \\ line\nbreak'}),
    ):
        path = tmp_path / "again.toml"
        path.write_text(recipe_to_toml(recipe))
        assert read_recipe(path, {}) == recipe


@pytest.mark.parametrize("name", CATALOG)
def test_every_recipe_trains_on_its_kind_of_world(name: str) -> None:
    env = GridWorld("frozen_lake_4x4")
    recipe = read_recipe(name, {})
    unit = "steps" if recipe.feed.kind in ("rollout", "counting") else "sweeps"
    amount = 2 if recipe.feed.kind == "solution" else 300
    discount = {} if recipe.discount is not None else {"discount": 0.95}
    trace = rlgrid.Rollout(env).collect(load_agent("td0", env), steps=500) if recipe.feed.kind == "replay" else None
    run = rlgrid.train(load_agent(name, env, **discount), env, batch=trace, **{unit: amount})
    assert run.done >= amount and len(run.errors) > 1
    assert np.isfinite(run.agent.v).all() and run.agent.policy.sum(axis=1) == pytest.approx(1)
    assert run.agent.behavior_policy.sum(axis=1) == pytest.approx(1)


# The guide


def test_the_guide_lists_exactly_the_catalog() -> None:
    rows = {}
    for line in GUIDE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and re.fullmatch(r"`\w+`", cells[0]):
            rows[cells[0].strip("`")] = cells[1:]
    assert set(rows) == set(CATALOG)
    for name, (feed, target, step_size, credit, source) in rows.items():
        recipe = read_recipe(name, {})
        assert (recipe.feed.kind, recipe.target, recipe.credit) == (feed, target, credit), name
        size = recipe.step_size
        assert (f"{size:g}" if isinstance(size, int | float) else "harmonic, 1/k") == step_size, name
        assert recipe.source == source, name


def test_the_guide_names_every_choice() -> None:
    text = GUIDE.read_text()
    assert set(NAMED) == {"target", "correction", "credit", "step_size", "epsilon", "behavior"}
    assert not [name for names in NAMED.values() for name in names if f'"{name}"' not in text]


def test_the_guide_explains_every_key_with_its_default() -> None:
    explained = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", GUIDE.read_text(), flags=re.MULTILINE))
    assert set(explained) >= KEYS
    for field in msgspec.structs.fields(Recipe):
        if field.default is msgspec.NODEFAULT:
            assert explained[field.name].strip() == "required", field.name
        elif field.default is None:
            assert explained[field.name].strip() == "none", field.name
        else:
            expected = f'"{field.default}"' if isinstance(field.default, str) else f"{field.default:g}"
            assert explained[field.name].strip() == f"`{expected}`", field.name


def test_examples_in_the_guide_are_valid(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert len(examples) >= 2
    for text in examples:
        path = tmp_path / f"{tomllib.loads(text)['name']}.toml"
        path.write_text(text)
        assert rlgrid.train(load_agent(path, LAKE), LAKE, episodes=50).episodes == 50
    assert doctest.testfile(str(GUIDE), module_relative=False).failed == 0


# Settings


def test_settings_replace_keys() -> None:
    agent = load_agent("q_learning", LAKE, seed=3, step_size=0.5, epsilon=0.2, discount=0.7, initial_value=2.0)
    assert agent.learner.step_size == Constant(0.5) and agent.behavior.epsilon == 0.2
    assert agent.discount == 0.7 and (agent.q == 2.0).all() and agent.seed == 3
    assert agent.recipe.step_size == 0.5, "the recipe keeps the settings as they were used"


@pytest.mark.parametrize("size", [Constant(0.3), Harmonic(2.0, 3.0), Harmonic(per_entry=False), Polynomial(power=0.6)])
def test_step_sizes_can_be_given_as_objects_or_keys(size: Constant | Harmonic | Polynomial) -> None:
    agent = load_agent("sarsa", LAKE, step_size=size)
    assert agent.learner.step_size == size == to_step_size(agent.recipe.step_size)
    assert load_agent("sarsa", LAKE, step_size=agent.recipe.step_size).learner.step_size == size


def test_numpy_numbers_and_nested_lists_are_taken_too() -> None:
    agent = load_agent("n_step_sarsa", LAKE, step_size=np.float64(0.1), n=np.int64(3), seed=np.int64(4))
    assert agent.learner.step_size == Constant(0.1) and agent.recipe.n == 3
    size = {"kind": "harmonic", "b": np.float32(1)}
    assert load_agent("sarsa", LAKE, step_size=size).learner.step_size == Harmonic(1.0, 1.0)
    assert rlgrid.train(agent, LAKE, steps=np.int64(100)).steps == 100
    linear = load_agent("td_linear", LAKE, features=[[1.0, 0.5]] * 16, policy=[[0.25] * 4] * 16)
    assert linear.weights.shape == (2,)


def test_returns_may_wait_for_ends_that_are_far_away() -> None:
    """Room is made while an episode goes on, within a batch too."""
    short, long = (load_agent("mc_basic", LAKE, seed=2, episode_length=n) for n in (1000, 10**9))
    assert len(long.learner.window.state) == len(short.learner.window.state)
    tables = [rlgrid.train(agent, LAKE, steps=1).agent.q for agent in (short, long)]
    assert (tables[0] == tables[1]).all()


def test_the_discount_is_the_recipes_else_the_worlds_else_the_default() -> None:
    assert load_agent("sarsa", LAKE, discount=0.5).discount == 0.5
    assert load_agent("sarsa", GridWorld("zhao_5x5")).discount == 0.9
    assert load_agent("sarsa", gym.make("FrozenLake-v1")).discount == 0.99


def test_a_policy_may_be_an_array_and_is_copied() -> None:
    policy = np.full((16, 4), 0.25)
    agent = load_agent("td0", LAKE, policy=policy)
    policy[:] = 0
    assert (agent.policy == 0.25).all()
    stay = load_agent("mc_basic", GridWorld("zhao_2x2"), policy="stay")
    assert (stay.policy[:, 4] == 1).all()


def test_what_agents_hand_out_are_copies() -> None:
    for name in ("q_learning", "mc_basic"):
        agent = load_agent(name, LAKE)
        agent.q[:] = 7
        agent.policy[:] = 7
        agent.behavior_policy[:] = 7
        assert (agent.q == 0).all() and agent.policy.max() <= 1 and agent.behavior_policy.max() <= 1


def test_an_agent_of_state_values_has_no_q() -> None:
    with pytest.raises(InputError, match=r"^td0: it learns state values; allowed: agent.v$"):
        _ = load_agent("td0", LAKE).q


# Bad input


@pytest.mark.parametrize(
    ("recipe", "settings", "sentence"),
    [
        ("q_learning", {"step_size": 0.0}, "step_size: found 0; allowed: above 0, at most 1"),
        ("q_learning", {"step_size": 1.5}, "step_size: found 1.5; allowed: above 0, at most 1"),
        ("q_learning", {"step_size": float("nan")}, "step_size: found nan"),
        ("q_learning", {"step_size": "fast"}, "step_size"),
        (
            "q_learning",
            {"step_size": {"kind": "harmonic", "a": 2.0}},
            "found a = 2, b = 0; allowed: first step above 0",
        ),
        (
            "q_learning",
            {"step_size": {"kind": "harmonic", "b": -1.0}},
            "found a = 1, b = -1; allowed: first step above",
        ),
        ("q_learning", {"step_size": {"kind": "polynomial", "power": -1.0}}, "b = 0, power = -1; allowed: b up to"),
        ("q_learning", {"step_size": {"kind": "harmonik"}}, "harmonik"),
        ("q_learning", {"step_size": {"kind": "harmonic", "power": 2.0}}, "power"),
        ("q_learning", {"step_size": Harmonic(5.0)}, "found a = 5, b = 0"),
        ("q_learning", {"epsilon": 1.1}, "epsilon: found 1.1; allowed: 0 to 1"),
        ("q_learning", {"epsilon": -0.1}, "epsilon: found -0.1; allowed: 0 to 1"),
        ("q_learning", {"epsilon": "high"}, "epsilon"),
        ("q_learning", {"epsilon": {"kind": "harmonic", "a": 0.0}}, "epsilon: found a = 0, b = 0.*allowed: a above 0"),
        ("q_learning", {"epsilon": {"kind": "polynomial", "least": 2.0}}, "epsilon: found least = 2; allowed: 0 to 1"),
        ("q_learning", {"epsilon": {"kind": "linear"}}, 'epsilon: the key "steps" is missing'),
        ("q_learning", {"epsilon": {"kind": "linear", "steps": 0}}, "first = 1, last = 0, steps = 0; allowed"),
        ("q_learning", {"behavior": {"kind": "softmax", "temperature": 0}}, "found temperature = 0; allowed: above 0"),
        ("q_learning", {"behavior": {"kind": "ucb", "c": -1}}, "behavior: found c = -1; allowed: at least 0"),
        ("q_learning", {"behavior": {"kind": "ucb"}, "epsilon": 0.1}, "found epsilon and behavior"),
        ("td0", {"behavior": {"kind": "ucb"}}, "found policy and behavior"),
        ("value_iteration", {"behavior": {"kind": "softmax"}}, "a sweep does not act"),
        ("value_iteration", {"epsilon": {"kind": "harmonic"}}, "epsilon: a schedule counts what is done"),
        ("q_learning", {"discount": 1.01}, "discount: found 1.01; allowed: 0 to 1"),
        ("q_learning", {"discount": -0.5}, "discount: found -0.5; allowed: 0 to 1"),
        ("q_learning", {"epsylon": 0.1}, 'epsylon.*did you mean "epsilon"'),
        ("q_learning", {"feed": "sweeep"}, "sweeep"),
        ("q_learning", {"steps": 0}, "steps: found 0; allowed: a whole number of at least 1"),
        ("q_learning", {"initial_value": float("inf")}, "initial_value: found inf; allowed: a finite number"),
        (
            "q_learning",
            {"policy": "uniform"},
            "a rollout acts by exactly one of epsilon, behavior and policy; found epsilon and policy",
        ),
        ("q_learning", {"credit": "together"}, 'credit: "together" lands at the end of a batch'),
        ("q_learning", {"table": "v"}, "table: state values alone choose no action"),
        ("double_q_learning", {"credit": "dutch_trace"}, "credit: a trace needs a rollout, n = 1 and a target that"),
        ("q_learning", {"improve_every": 1}, "there is no policy to improve"),
        (
            "td0",
            {"target": "policy"},
            "table: state values alone choose no action; allowed with a policy and the target",
        ),
        ("td0", {"table": "q", "improve_every": 1}, "improve_every, improve_within: this rollout has no batches"),
        ("mc_basic", {"episode_length": 0}, "episode_length: found 0; allowed: a whole number of at least 1"),
        ("mc_basic", {"episode_length": None}, 'starts: "every_pair" needs an episode_length'),
        ("mc_basic", {"improve_every": 0}, "improve_every: found 0; allowed: a whole number of at least 1"),
        ("policy_iteration", {"improve_within": -1.0}, "improve_within: found -1; allowed: at least 0"),
        (
            "value_iteration",
            {"target": "return"},
            'a sweep follows no path; found "return", allowed: greedy, behavior, policy',
        ),
        ("value_iteration", {"target": "policy"}, "policy: it is missing"),
        ("td0", {"policy": "upp"}, 'policy: found "upp", did you mean "up"'),
        ("td0", {"policy": np.ones((2, 2))}, r"policy: found shape \(2, 2\); allowed: \(16, 4\)"),
        ("td0", {"policy": np.zeros((16, 4))}, "policy: found .* in state 0; allowed: probabilities"),
        ("q_learning", {"seed": -1}, "^seed: found -1; allowed: a whole number of at least 0, or none"),
        ("q_learning", {"seed": 1.5}, "^seed: found 1.5; allowed: a whole number of at least 0, or none"),
        ("q_learning", {"seed": "a"}, '^seed: found "a"; allowed: a whole number'),
        (None, {}, "^agent: found None; allowed: a name or a path"),
        ("td0", {"policy": [[0.5], [0.5, 0.5]]}, r"^policy: found a list; allowed: \(16, 4\), \[S, A\]"),
        ("td_linear", {"features": [[1.0], [1.0, 2.0]]}, r"^features: found a list; allowed: finite numbers \[S, K\]"),
        (
            "td_linear",
            {"features": Features(np.zeros((16, 2), np.int64), np.ones((16, 1)), 1)},
            r"^features: found shapes \(16, 2\) and \(16, 1\); allowed: whole and finite numbers",
        ),
        (
            "q_learning",
            {"epsilon": {"kind": "harmonic", "power": 1}},
            'epsilon: unknown key: found "power".*lowed: kind, a, b, least, per$',
        ),
        ("q_learning", {"epsilon": {"kind": "linear", "steps": 2**64}}, "epsilon: found first = 1"),
        ("q_learning", {"step_size": {"kind": "polynomial", "b": 1, "power": 1e6}}, "power = 1e.06; allowed: b up to"),
        ("certainty_equivalence", {"prior_reward": float("inf")}, "prior_reward: found inf; allowed: a finite number"),
        ("certainty_equivalence", {"prior_reward": float("nan")}, "prior_reward: found nan; allowed: a finite number"),
        ("n_step_sarsa", {"n": 10**12}, "n: found 1000000000000; allowed: a whole number of at most 1,000,000"),
        ("n_step_sarsa", {"n": 2**63}, "n: found 9223372036854775808; allowed: a whole number of at most"),
        ("dyna_q", {"model_memory": 10**12}, "model_memory: found 1000000000000; allowed: a whole number of at most"),
        ("mc_basic", {"improve_every": 2**64}, "improve_every: found 18446744073709551616; allowed: .* at most"),
        ("q_lerning", {}, 'agent: found "q_lerning", did you mean "q_learning"'),
        ("nowhere/mine.toml", {}, "nowhere/mine.toml"),
        ("n_step_sarsa", {"n": 0}, "n: found 0; allowed: a whole number of at least 1"),
        ("n_step_sarsa", {"target": "return"}, 'n: found 4 with target = "return"; allowed: 1'),
        ("n_step_sarsa", {"target": "greedy"}, "n: found 4; a greedy target looks that far only with a correction"),
        (
            "n_step_sarsa",
            {"correction": "weighted"},
            '"next_action" cannot be corrected; allowed: greedy, behavior, policy, return',
        ),
        ("n_step_sarsa", {"credit": "dutch_trace"}, "credit: a trace needs a rollout, n = 1 and a target that"),
        ("n_step_td", {"correction": "tree_backup"}, 'correction: "tree_backup" needs action values'),
        (
            "q_learning",
            {"correction": "weighted"},
            "correction: one step ahead nothing needs one; allowed with n above 1",
        ),
        ("q_learning", {"visits": "first"}, 'visits: found "first"; allowed without the target return: "every"'),
        ("sarsa_lambda", {"trace_decay": 1.1}, "trace_decay: found 1.1; allowed: 0 to 1"),
        ("sarsa_lambda", {"trace_decay": -0.1}, "trace_decay: found -0.1; allowed: 0 to 1"),
        ("sarsa_lambda", {"trace_cut": 2.0}, "trace_cut: found 2; allowed: 0 to 1"),
        ("sarsa_lambda", {"target": "return"}, "credit: a trace needs a rollout, n = 1 and a target that"),
        (
            "sarsa_lambda",
            {"behavior": "uniform"},
            'behavior: what it does says nothing .*"next_action"; allowed: a corr',
        ),
        (
            "td_lambda",
            {"target": "policy", "table": "q", "behavior": 0.5},
            'needs a target that cuts it; found "policy"',
        ),
        ("mc_off_policy", {"correction": "none"}, 'behavior: .*target = "return"; allowed: a correction'),
        ("mc_off_policy", {"behavior": 1.5}, "behavior: found 1.5; allowed: 0 to 1"),
        ("mc_off_policy", {"behavior": "upp"}, 'behavior: found "upp", did you mean "up"'),
        ("mc_off_policy", {"behavior": np.ones((2, 2))}, r"behavior: found shape \(2, 2\); allowed: \(16, 4\)"),
        ("mc_basic", {"behavior": "uniform"}, "behavior: found with a policy that is improved; allowed with one that"),
        ("value_iteration", {"behavior": "uniform"}, "a sweep does not act; allowed with a rollout"),
        ("td0", {"starts": "exploring"}, 'starts: "exploring" begins with any action, not the policy'),
        (
            "mc_weighted_sampling",
            {"policy": "up", "behavior": "left"},
            "behavior: in state 0 it never takes up, as the policy may",
        ),
        ("dyna_q", {"planning_steps": -1}, "planning_steps: found -1; allowed: a whole number of at least 0"),
        ("dyna_q", {"model_memory": 0}, "model_memory: found 0; allowed: a whole number of at least 1"),
        ("dyna_q", {"exploration_bonus": -1.0}, "exploration_bonus: found -1; allowed: at least 0"),
        ("dyna_q", {"target": "next_action"}, 'planning_steps: in a model nothing follows for target = "next_action"'),
        ("dyna_q", {"n": 3, "correction": "tree_backup"}, 'planning_steps: allowed with n = 1, credit = "entry"'),
    ],
    ids=str,
)
def test_settings_that_are_refused(recipe: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        load_agent(recipe, LAKE, **settings)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700, "one sentence, with a list of names at most"
    assert error.value.__cause__ is None or error.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ('name = "x"\nfeed = "rollout"', "source|target"),
        ("name = [", "mine.toml"),
        ("\x00", "mine.toml"),
    ],
    ids=repr,
)
def test_recipe_files_that_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as error:
        load_agent(path, LAKE)
    assert "mine.toml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("recipe", "budget", "sentence"),
    [
        ("q_learning", {"steps": 0}, "^steps: found 0; allowed: a whole number of at least 1$"),
        ("q_learning", {"episodes": -3}, "^episodes: found -3; allowed: a whole number of at least 1$"),
        ("q_learning", {"sweeps": 10}, "^q_learning: found sweeps; allowed: one of steps, episodes$"),
        ("q_learning", {"steps": 10, "episodes": 10}, "^q_learning: found steps and episodes; allowed: one of"),
        ("value_iteration", {"steps": 10}, "^value_iteration: found steps; allowed: one of sweeps$"),
        ("q_learning", {"steps": 2.5}, "^steps: found 2.5; allowed: a whole number of at least 1$"),
        ("q_learning", {"steps": 10**30}, "^steps: found 1000.*; allowed: a whole number of at most"),
        ("value_iteration", {"sweeps": 0}, "^sweeps: found 0; allowed: a whole number of at least 1$"),
    ],
    ids=str,
)
def test_budgets_that_are_refused(recipe: str, budget: dict[str, int], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        rlgrid.train(load_agent(recipe, LAKE), LAKE, log=tmp_path / "run", **budget)
    assert not (tmp_path / "run").exists()


def test_returns_need_episodes_that_end() -> None:
    endless = GridWorld("zhao_5x5")
    for name in ("mc_epsilon_greedy", "mc_exploring_starts"):
        with pytest.raises(InputError, match=f"^{name}: in zhao_5x5 episodes never end, and a return has to; allowed"):
            load_agent(name, endless, episode_length=None)
    assert feed_for(load_agent("mc_epsilon_greedy", endless, episode_length=50), endless).limit == 50
    limited = World.from_toml(NOISY.replace(", terminal = true", ""))
    assert feed_for(load_agent("mc_epsilon_greedy", GridWorld(limited)), GridWorld(limited)).limit == 40


def test_planning_recipes_need_a_model_and_rollouts_an_environment() -> None:
    class Coin(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

    agent = load_agent("value_iteration", Coin())
    with pytest.raises(InputError, match="Coin: it has no model"):
        rlgrid.train(agent, Coin())
    model = rlgrid.TabularModel.from_world(rlgrid.load_world("cliff"))
    with pytest.raises(InputError, match="rollout: found a model; allowed: an environment to step through"):
        rlgrid.train(load_agent("q_learning", model), model)


def test_sizes_in_the_recipe_are_the_step_sizes() -> None:
    assert to_step_size(HarmonicKeys(a=2, b=3, per="update")) == Harmonic(2, 3, per_entry=False)
    assert to_step_size(PolynomialKeys(power=0.6)) == Polynomial(power=0.6)
    assert to_step_size(1) == Constant(1.0)
