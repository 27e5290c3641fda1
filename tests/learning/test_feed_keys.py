"""The feed of a recipe: a table or a word, and the older keys beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlgrid import InputError, library
from rlgrid.learning.recipe import read_recipe

HEAD = (
    'name = "mine"\nsource = "a test"\ntarget = "greedy"\nstep_size = 1\ncredit = "together"\nepsilon = 0\nsteps = 10\n'
)
SAME = {
    'feed = "counting"\nsolve_every = 100\nprior = 0.5\nposterior = "sample"\n': (
        'feed = { kind = "counting", every = 100, prior = 0.5, posterior = "sample" }\n'
    ),
    'feed = "counting"\nepisode_length = 7\n': 'feed = { kind = "counting", episode_length = 7 }\n',
    'feed = "counting"\nstarts = "world"\nepisodes_per_pair = 1\n': 'feed = { kind = "counting" }\n',
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("older", SAME, ids=str)
def test_keys_beside_the_feed_mean_the_same_as_in_its_table(older: str, tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, HEAD + older), {}) == read_recipe(written(tmp_path, HEAD + SAME[older]), {})


def test_nobody_has_to_state_what_a_feed_leaves_no_choice_of(tmp_path: Path) -> None:
    head = 'name = "mine"\nsource = "a test"\n'
    recipe = read_recipe(written(tmp_path, head + 'feed = "solution"\nsweeps = 1\n'), {})
    assert (recipe.target, recipe.step_size, recipe.credit, recipe.feed.method) == ("greedy", 1, "together", "auto")
    recipe = read_recipe(written(tmp_path, head + 'feed = "sweep"\ntarget = "greedy"\nsweeps = 1\n'), {})
    assert (recipe.step_size, recipe.credit) == (1, "together")
    with pytest.raises(InputError, match='the key "step_size" is missing'):
        read_recipe(written(tmp_path, head + 'feed = "rollout"\ntarget = "greedy"\nepsilon = 0\nsteps = 1\n'), {})


@pytest.mark.parametrize("name", library.names("agents"))
def test_no_recipe_of_the_catalog_states_a_choice_that_nothing_uses(name: str) -> None:
    text = library.find("agents", name).read_text(encoding="utf-8")
    recipe = read_recipe(name, {})
    stated = [
        key for key, value in recipe.feed.implied.items() if f"\n{key} = " in text and getattr(recipe, key) == value
    ]
    assert not stated


@pytest.mark.parametrize(
    ("recipe", "settings", "sentence"),
    [
        ("mc_basic", {"episode_length": 0}, "feed.episode_length: found 0; allowed: a whole number of at least 1"),
        ("mc_basic", {"feed": {"kind": "rollout", "episode_length": 0}}, "feed.episode_length: found 0; allowed"),
        (
            "q_learning",
            {"feed": {"kind": "rollout", "every": 3}},
            'feed: unknown key: found "every"; allowed: kind, starts',
        ),
        ("q_learning", {"feed": {"kind": "rolout"}}, 'feed.kind: found "rolout", did you mean "rollout"'),
        ("q_learning", {"feed": 3}, "feed"),
        ("value_iteration", {"starts": "exploring"}, 'starts: found "exploring"; allowed with feed = "rollout"'),
        ("batch_td", {"starts": "exploring"}, 'starts: found "exploring"; allowed with feed = "rollout"'),
        ("batch_td", {"episode_length": 3}, 'episode_length: found 3; allowed with feed = "rollout" or "counting"'),
        ("certainty_equivalence", {"starts": "exploring"}, 'starts: found "exploring"; allowed with feed = "rollout"'),
    ],
    ids=str,
)
def test_keys_of_feeds_that_are_refused(recipe: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        read_recipe(recipe, settings)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_setting_goes_into_the_table_of_the_feed() -> None:
    recipe = read_recipe("mc_basic", {"episode_length": 30})
    assert (recipe.feed.kind, recipe.feed.starts, recipe.feed.episode_length) == ("rollout", "every_pair", 30)
    assert read_recipe("mc_exploring_starts", {"episode_length": None}).episode_length is None
