"""The command line: what it prints, how it exits, and that nobody ever sees a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rlgrid
import rlgrid.cli.demo
import rlgrid.cli.main
import rlgrid.runs.playback

Result = tuple[int, str, str]
GOOD = 'actions = ["left", "right"]\ndiscount = 0.9\nmap = "S..G"\n[cells]\nG = { terminal = true, enter = 1 }\n'


def frames(file: Path) -> int:
    """Number of frames of a picture that can be read."""
    with Image.open(file) as picture:
        picture.load()
        return int(getattr(picture, "n_frames", 1))


def refused(result: Result, *parts: str) -> None:
    """Exit code 2, nothing printed, one sentence with these parts."""
    code, out, err = result
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("rlgrid: ")
    for part in parts:
        assert part in err


def test_lists_show_every_column_at_80_columns(run: Callable[..., Result]) -> None:
    for command, column in (("worlds", "discount"), ("agents", "credit")):
        code, out, _ = run(command)
        lines = out.splitlines()
        assert code == 0 and column in lines[0] and max(map(len, lines)) <= 80
        assert len(lines) == 1 + len(rlgrid.library.names("envs" if command == "worlds" else "agents"))
        assert len(json.loads(run(command, "--json")[1])) == len(lines) - 1


def test_one_world_and_one_agent_are_shown_as_files_that_can_be_read(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "w.toml").write_text(run("worlds", "cliff")[1])
    assert rlgrid.load_world("w.toml") == rlgrid.load_world("cliff")
    (tmp_path / "a.toml").write_text(run("agents", "sarsa")[1])
    assert run("train", "a.toml", "w.toml", "--steps", "1000", "--json")[0] == 0


def test_solve_prints_maps_and_a_certificate(run: Callable[..., Result], tmp_path: Path) -> None:
    code, out, _ = run("solve", "zhao_5x5", "--png", "z.png")
    assert code == 0 and "certified to within" in out and " 5.83  5.58  6.20  6.48  5.83" in out and "→" in out
    assert frames(tmp_path / "z.png") == 1
    found = json.loads(run("solve", "frozen_lake_4x4", "--json", "--method", "policy_iteration")[1])
    assert found["v"][0] == pytest.approx(14 / 17, abs=1e-9) and found["method"] == "policy_iteration"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (GOOD.replace('"S..G"', "'''\nS..\nG.\n'''"), ["map: row 2 has 2 cells"]),
        (GOOD.replace("S..G", "S.xG"), ["row 1, column 3", "unknown symbol 'x'"]),
        (GOOD + "S = {}\n", ["cells", '"S" has two meanings']),
        (GOOD + "G = {}\n", ["cells", '"G" has two meanings']),
        (GOOD.replace("S..G", "##GG"), ["no cell can be a start"]),
        (GOOD + "[slip]\nturn = { 0 = 0.5, 90 = 0.4 }\n", ["slip", "add up to 0.9"]),
        (GOOD.replace("0.9", "-1"), ["discount: found -1"]),
        (GOOD.replace("enter = 1", "enter = nan"), ["cells.G.enter", "finite"]),
        (GOOD + "[reward]\nstp = 1\n", ["reward", '"stp"', 'did you mean "step"']),
        ("", ["the file is empty"]),
    ],
)
def test_a_bad_world_is_one_sentence(run: Callable[..., Result], tmp_path: Path, text: str, parts: list[str]) -> None:
    (tmp_path / "bad.toml").write_text(text)
    refused(run("solve", "bad.toml"), "bad.toml", *parts)


def test_bad_files_and_values_are_one_sentence(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"name = '\xff'")
    refused(run("solve", "latin.toml"), "latin.toml: not UTF-8")
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(100_000_000)
    refused(run("solve", "huge.toml"), "huge.toml: 100,000,000 bytes are too many")
    refused(run("solve", "missing.toml"), "missing.toml: there is no such file")
    refused(run("solve", "zhao5x5"), 'did you mean "zhao_5x5"')
    refused(run("solve", "zhao_5x5", "--discount", "1"), "infinite", "row 4, column 3")
    refused(run("solve", "cliff", "--discount", "-1"), "discount: found -1")
    refused(run("solve", "cliff", "--method", "valueiteration"), 'did you mean "value_iteration"')
    refused(run("train", "q_learning", "cliff", "--set", "epsilon=3"), "epsilon: found 3")
    refused(run("train", "q_learning", "cliff", "--set", "epsilon"), "KEY=VALUE")
    refused(run("train", "mc_epsilon_greedy", "zhao_5x5"), "episodes never end")
    refused(run("train", "q_learning", "cliff", "--steps", "x"), "--steps")
    refused(run("slove", "cliff"), "slove")
    (tmp_path / "folder.png").mkdir()
    refused(run("solve", "cliff", "--png", "folder.png"), "cannot be written")
    refused(run("evaluate", "nowhere"), "nowhere: not a run directory")


@pytest.mark.slow
def test_a_run_is_trained_judged_watched_replayed_and_gone_on_with(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rlgrid.runs.playback, "LONGEST", 5)
    train = ("train", "q_learning", "frozen_lake_4x4", "--set", "step_size={kind='harmonic', a=1, b=0}")
    code, out, _ = run(*train, "--steps", "20000", "--out", "runs/a", "--seed", "3")
    assert code == 0 and "exact error" in out and "20,000" in out
    before = sorted((path.name, path.read_bytes()) for path in (tmp_path / "runs/a").iterdir())
    refused(run(*train, "--out", "runs/a"), "runs/a: it exists already")
    assert sorted((path.name, path.read_bytes()) for path in (tmp_path / "runs/a").iterdir()) == before
    score = json.loads(run("evaluate", "runs/a", "--episodes", "200", "--json")[1])
    assert 0 < score["success_rate"] <= 1 and score["episodes"] == 200
    assert run("watch", "runs/a", "--episodes", "1", "--gif", "w.gif")[0] == 0
    assert run("replay", "runs/a", "--episode", "1", "--gif", "r.gif")[0] == 0
    assert frames(tmp_path / "w.gif") > 1 and frames(tmp_path / "r.gif") > 1
    refused(run("replay", "runs/a", "--episode", "3"), "episode 3 was not kept", "1, 2, 4, 8")
    resume = ("train", "q_learning", "frozen_lake_4x4", "--resume", "--out", "runs/a")
    assert json.loads(run(*resume, "--steps", "50000", "--json")[1])["steps"] == 50_000
    run(*train, "--steps", "50000", "--out", "runs/b", "--seed", "3")
    tables = [np.load(tmp_path / f"runs/{name}/checkpoint.npz")["learner.table"] for name in "ab"]
    assert np.array_equal(*tables)
    refused(run("train", "sarsa", "frozen_lake_4x4", "--resume", "--out", "runs/a"), "run of the agent q_learning")
    refused(run("train", "q_learning", "cliff", "--resume", "--out", "runs/a"), "run of the world frozen_lake_4x4")
    refused(run(*resume, "--episodes", "9"), "counts steps; found episodes")
    refused(run(*resume, "--set", "epsilon=0.5"), "no --set")
    refused(run(*resume, "--seed", "3"), "no --seed")
    refused(run(*resume, "--steps", "0"), "steps: found 0")
    for budget in ((), ("--steps", "50000"), ("--steps", "900")):
        code, out, err = run(*resume, *budget, "--json")
        assert (code, json.loads(out)["steps"]) == (0, 50_000)
        assert err == "rlgrid: runs/a: it has had 50,000 steps already; nothing to do\n"
    assert json.loads((tmp_path / "runs/a/run.json").read_text())["amount"] == 50_000


def test_interruptions_and_failures_inside_have_their_own_codes(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, code, words in (
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("odd"), 1, "RuntimeError: odd"),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(rlgrid.worlds.world, "load_world", fail)
        found, out, err = run("solve", "cliff")
        assert (found, out) == (code, "") and words in err and "Traceback" not in err


@pytest.mark.slow
def test_a_closed_pipe_is_no_failure() -> None:
    command = f"{sys.executable} -m rlgrid worlds cliff | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name") and done.stderr == ""
