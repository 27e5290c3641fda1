"""World files that were tampered with: each loads, or gives one sentence, at once."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rlgrid import GridWorld, InputError, World, library
from rlgrid.toml import read_text

EVERY_KEY = Path(__file__).with_name("every_key.toml").read_text(encoding="utf-8")
SEEDS = [EVERY_KEY, *(read_text(library.find("envs", name)) for name in library.names("envs") if "50" not in name)]
LONGEST_SECONDS = 2.0

TOKENS = """0 -1 1 2 1.5 1e999 -1e999 1e400 1e-400 nan inf 99999999999999999999999
0x7f 0.1e1 "1/0" "1/3" "-1/3" "1/" "9/8/7"
true [] {} [1] [[]] "" '' "up" "S" "#" "." "\\n" "ab" "\\u0000" {values=[1],probabilities=[1]} {mean=0,std=-1}
{mean=0,std=1}
{values=[],probabilities=[]} {to="S"} {enter=1} {wall=true,terminal=true} {0=1} {90=1.5} {-1="1/2",1="1/2"} 1979-05-27
{x={x={x=1}}} [cells] [wind] [slip] [reward] map actions = ''' \"\"\" # é 🙂 \x00 \x7f \u2028 \ud7ff \ufeff"""
NASTY = TOKENS.replace("\n", " ").split(" ")


def _mutated(text: str, source: random.Random) -> str:
    for _ in range(source.choice([1, 1, 1, 2, 8])):
        text = source.choice(MUTATIONS)(text, source)
    return text


def _a_span(text: str, source: random.Random, longest: int) -> tuple[int, int]:
    begin = source.randrange(len(text) + 1)
    return begin, min(len(text), begin + source.randrange(longest))


def _cut(text: str, source: random.Random) -> str:
    begin, end = _a_span(text, source, 40)
    return text[:begin] + text[end:]


def _repeat(text: str, source: random.Random) -> str:
    begin, end = _a_span(text, source, 60)
    return text[:end] + text[begin:end] * source.choice([1, 1, 2, 50, 1000]) + text[end:]


def _insert(text: str, source: random.Random) -> str:
    begin = source.randrange(len(text) + 1)
    return text[:begin] + source.choice(NASTY) + text[begin:]


def _replace_a_value(text: str, source: random.Random) -> str:
    values = list(re.finditer(r"(?<==)[^\n,}=]+|-?[0-9.]+|\"[^\"\n]*\"", text))
    if not values:
        return text
    value = source.choice(values)
    return text[: value.start()] + " " + source.choice(NASTY) + text[value.end() :]


def _replace_a_character(text: str, source: random.Random) -> str:
    begin = source.randrange(len(text) + 1)
    character = source.choice([*"S#.\n ='\"é", chr(source.randrange(1, 0xD7FF))])
    return text[:begin] + character + text[begin + 1 :]


def _another_number(text: str, source: random.Random) -> str:
    """One that might be allowed."""
    numbers = list(re.finditer(r"[0-9]+", text))
    if not numbers:
        return text
    number = source.choice(numbers)
    return text[: number.start()] + str(source.randrange(4)) + text[number.end() :]


def _swap_characters(text: str, source: random.Random) -> str:
    """Mostly cells of the map."""
    i, j = sorted((source.randrange(len(text) + 1), source.randrange(len(text) + 1)))
    return text[:i] + text[j : j + 1] + text[i + 1 : j] + text[i : i + 1] + text[j + 1 :]


def _swap_lines(text: str, source: random.Random) -> str:
    lines = text.split("\n")
    i, j = source.randrange(len(lines)), source.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return "\n".join(lines)


def _splice(text: str, source: random.Random) -> str:
    other = source.choice(SEEDS)
    return text[: source.randrange(len(text) + 1)] + other[source.randrange(len(other)) :]


def _truncate(text: str, source: random.Random) -> str:
    return text[: source.randrange(len(text) + 1)]


MUTATIONS: list[Callable[[str, random.Random], str]] = [
    _cut, _repeat, _insert, _replace_a_value, _replace_a_value, _replace_a_value, _replace_a_character, _swap_lines,
    _splice, _truncate, _another_number, _another_number, _swap_characters, _swap_characters,
]  # fmt: skip


def outcome_of(text: str) -> tuple[str, float]:
    """``loads``, or the sentence; and how many seconds it took. A world that loads can be stepped in, too."""
    begin = time.perf_counter()
    try:
        world = World.from_toml(text, where="fuzz.toml")
        env = GridWorld(world)
        env.reset(seed=0)
        for action in range(world.n_actions):
            env.step(action)
        assert np.isfinite(env.model.expected_reward).all()
        sentence = "loads"
    except InputError as error:
        sentence = str(error)
    return sentence, time.perf_counter() - begin


def mutants(count: int, seed: int) -> list[str]:
    source = random.Random(seed)
    return [_mutated(source.choice(SEEDS), source) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_tampered_worlds_load_or_give_one_sentence(seed: int) -> None:
    loaded = 0
    for text in mutants(500, seed):
        sentence, seconds = outcome_of(text)
        loaded += sentence == "loads"
        assert seconds < LONGEST_SECONDS, text
        if sentence != "loads":
            assert "\n" not in sentence and sentence.startswith(("fuzz.toml: ", "world", "every")), (sentence, text)
            assert 20 < len(sentence) < 700 and sentence.isprintable(), (sentence, text)
    assert 50 < loaded < 450, "both happen"
