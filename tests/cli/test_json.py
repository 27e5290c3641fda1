"""All JSON that the program writes is JSON to the letter: no NaN, no Infinity, and null comes with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlgrid.cli.output import print_json

CORRIDOR = """discount = 1
actions = ["left", "right"]
map = '''
S....G
'''
[reward]
step = -1
[cells]
G = { terminal = true }
"""


def strict(text: str) -> Any:
    def refuse(token: str) -> None:
        raise ValueError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_json_does_not_know_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), float("inf"), -float("inf"), 1e308]})
    assert strict(capsys.readouterr().out) == {"a": [None, None, None, 1e308]}


TRAIN = ("train", "q_learning", "corridor.toml", "--steps", "20", "--set", "initial_value=-50", "--set", "epsilon=0")


def test_a_policy_that_never_ends_is_told_of(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "corridor.toml").write_text(CORRIDOR)
    code, out, _ = run(*TRAIN)
    assert code == 0 and "greedy value  minus infinity: it may never end from row 1, column 1\n" in out
    assert out.splitlines()[-1] == "the greedy policy never ends from 4 cells; first: row 1, column 1"
    facts = strict(run(*TRAIN, "--json", "--out", "a")[1])
    assert facts["greedy_value"] is None and facts["regret"] is None
    assert facts["unknown"]["greedy_value"] == "minus infinity: it may never end from row 1, column 1"
    assert facts["unknown"]["regret"] == "infinite: it may never end from row 1, column 1"
    assert facts["greedy_policy"] == "never ends from 4 cells; first: row 1, column 1"
    assert strict((tmp_path / "a" / "run.json").read_text())["discount"] == 1


@pytest.mark.slow
def test_what_other_commands_write_is_json_too(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "corridor.toml").write_text(CORRIDOR)
    assert run(*TRAIN, "--out", "a")[0] == 0
    score = strict(run("evaluate", "a", "--episodes", "1", "--json")[1])
    assert score["half_width"] is None and score["unknown"] == {"half_width": "one episode shows no spread"}
    assert score["policy"] == "never ends from 4 cells; first: row 1, column 1"
    out = run("evaluate", "a", "--episodes", "1")[1]
    assert "(1 episode)" in out and "the policy never ends from 4 cells" in out and "nan" not in out
    for method in ("auto", "policy_iteration", "backward_induction"):
        horizon = ("--horizon", "9") if method == "backward_induction" else ()
        assert strict(run("solve", "corridor.toml", "--method", method, *horizon, "--json")[1])["value"] == -5
    assert run("solve", "corridor.toml", "--toy-text", "P.json")[0] == 0
    assert len(strict((tmp_path / "P.json").read_text())) == 6
    for command in ("worlds", "agents"):
        assert strict(run(command, "--json")[1])
