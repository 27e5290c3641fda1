"""The command line from outside and at its edges: processes, pipes, settings, damaged runs, windows, text maps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rlgrid
import rlgrid.cli.main
import rlgrid.runs.evaluation
import rlgrid.runs.playback
import rlgrid.runs.train
from rlgrid import World
from rlgrid.view.text_maps import policy_map, value_map

Result = tuple[int, str, str]
SCRIPT = Path(sys.executable).with_name("rlgrid")
TRAIN = ("train", "q_learning", "frozen_lake_4x4")
RUN_FILES = ["agent.toml", "checkpoint.npz", "episodes.sqlite", "run.json", "world.toml"]
LINE = 'actions = ["left", "right"]\ndiscount = 1\nmap = "S..G"\n[cells]\nG = { terminal = true, enter = 1 }\n'

#: There pays 1 and back costs 1: at discount 1 the sum swings for ever.
SWINGS = """
actions = ["left", "right"]
discount = 1
map = "ab"
[cells]
a = { leave = { to = "b", reward = 1 } }
b = { leave = { to = "a", reward = -1 } }
"""


@pytest.fixture
def saved(run: Callable[..., Result]) -> str:
    """A run directory."""
    assert run(*TRAIN, "--steps", "3000", "--out", "saved", "--json")[0] == 0
    return "saved"


def refused(result: Result, *parts: str) -> None:
    """Exit code 2, nothing printed, one sentence with these parts."""
    code, out, err = result
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("rlgrid: "), result
    for part in parts:
        assert part in err


def process(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)


# As a program of its own


@pytest.mark.slow
@pytest.mark.parametrize("program", [(str(SCRIPT),), (sys.executable, "-m", "rlgrid")], ids=["script", "module"])
def test_the_program_answers_with_its_exit_code_and_without_a_traceback(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(LINE.replace("S..G", "S.xG"))
    shown = process(*program, "worlds", "zhao_2x2", folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "") and World.from_toml(shown.stdout).shape == (2, 2)
    bad = process(*program, "solve", "bad.toml", folder=tmp_path)
    refused((bad.returncode, bad.stdout, bad.stderr), "bad.toml: map: row 1, column 3: unknown symbol 'x'")
    wrong = process(*program, "solve", "zhao_2x2", "--tol", "small", folder=tmp_path)
    refused((wrong.returncode, wrong.stdout, wrong.stderr), "--tol")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["worlds --json", "check cliff", "--help"])
def test_a_reader_who_has_gone_is_no_failure(command: str, unbuffered: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "rlgrid", *command.split()]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(program, cwd=tmp_path, env=environment, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


# Commands, arguments and options


def test_help_fits_80_columns_and_names_every_command(run: Callable[..., Result]) -> None:
    code, out, err = run("--help")
    assert code == 0 and err == "" and max(map(len, out.splitlines())) <= 80
    for command in ("worlds", "check", "agents", "solve", "train", "evaluate", "watch", "replay", "demo"):
        assert f" {command} " in out
        code, page, _ = run(command, "--help")
        assert code == 0 and max(map(len, page.splitlines())) <= 80
    code, out, err = run()
    assert code == 2 and "Usage" in out and err == "rlgrid: see rlgrid --help\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("slove cliff", "slove"),
        ("solve", "WORLD"),
        ("solve cliff windy", "windy"),
        ("solve cliff --methd x", "--method"),
        ("solve cliff --discount", "--discount"),
        ("solve cliff --tol nan", "tol: found nan; allowed: above 0"),
        ("solve cliff --epsilon 2", "epsilon: found 2; allowed: 0 to 1"),
        ("solve zhao_5x5 --method backward_induction", "horizon"),
        ("solve cliff --png nowhere/cliff.png", "nowhere/cliff.png: cannot be written"),
        ("solve cliff --png cliff.bmp", "cliff.bmp: the picture is a PNG; allowed: a name that ends in .png"),
        ("check clif", 'did you mean "cliff"'),
        ("worlds clif", 'did you mean "cliff"'),
        ("worlds cliff --generate maze", "allowed: one of them"),
        ("worlds --generate labyrinth", "labyrinth"),
        ("worlds --generate maze --size 3", 'size: found "3"'),
        ("worlds --generate maze --set walls=1", '"walls"'),
        ("worlds --generate maze --set seed=1", '"seed"'),
        ("agents srsa", 'did you mean "sarsa"'),
        ("train srsa cliff", 'did you mean "sarsa"'),
        ("train sarsa cliff --seed -1", "--seed"),
        ("train sarsa cliff --steps 0", "steps: found 0"),
        ("train sarsa cliff --steps 9 --episodes 9", "found steps and episodes"),
        ("train sarsa cliff --sweeps 9", "found sweeps; allowed: one of steps, episodes"),
        ("train value_iteration cliff --steps 9", "found steps; allowed: one of sweeps"),
        ("train sarsa cliff --resume", "--out"),
        ("train sarsa cliff --resume --out nowhere", "nowhere: not a run directory"),
        ("evaluate nowhere --episodes 0", "--episodes"),
        ("watch nowhere", "nowhere: not a run directory"),
        ("replay nowhere", "nowhere: not a run directory"),
    ],
)
def test_what_is_not_allowed_is_one_sentence(run: Callable[..., Result], arguments: str, part: str) -> None:
    refused(run(*arguments.split()), part)


def test_the_mean_reward_comes_with_no_value_from_the_start(run: Callable[..., Result]) -> None:
    facts = json.loads(run("solve", "frozen_lake_4x4", "--method", "average_reward", "--json")[1])
    assert facts["gain"] > 0 and not {"value", "value_within_limit"} & facts.keys()
    text = run("solve", "cliff", "--method", "average_reward")[1]
    assert text.startswith("cliff, mean reward a step -1: average_reward, 1 iteration, certified")
    assert "from the start" not in text


def test_one_world_as_json_has_its_facts(run: Callable[..., Result]) -> None:
    facts = json.loads(run("worlds", "zhao_2x2", "--json")[1])
    assert facts["map"] == [".F", ".T"] and (facts["rows"], facts["columns"]) == (2, 2) and facts["discount"] == 0.9
    assert json.loads(run("agents", "sarsa", "--json")[1])["target"] == "next_action"


def test_a_generated_world_is_the_same_for_the_same_seed_and_can_be_solved(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    maze = ("worlds", "--generate", "maze", "--size", "7x9", "--set", "slip=0.1", "--seed")
    (tmp_path / "maze.toml").write_text(text := run(*maze, "4")[1])
    assert text == run(*maze, "4")[1] != run(*maze, "5")[1]
    assert World.from_toml(text).shape == (7, 9)
    assert run("solve", "maze.toml")[0] == 0


def test_check_reports_findings_in_text_and_json(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "island.toml").write_text(LINE.replace("S..G", "S.G#."))
    code, out, _ = run("check", "island.toml")
    assert code == 0 and out.startswith("island.toml: row 1, column 5: ")
    assert json.loads(run("check", "island.toml", "--json")[1])["findings"]
    assert run("check", "zhao_2x2")[1] == "zhao_2x2: nothing to report\n"
    assert json.loads(run("check", "zhao_2x2", "--json")[1]) == {"world": "zhao_2x2", "findings": []}


# Solving


@pytest.mark.parametrize("method", ["value_iteration", "policy_iteration", "truncated_policy_iteration"])
def test_every_method_gives_the_same_values_as_json(run: Callable[..., Result], method: str) -> None:
    found = json.loads(run("solve", "zhao_5x5", "--method", method, "--json")[1])
    assert found["method"] == method and found["bound"] <= 1e-8 and len(found["policy"]) == 25
    assert found["v"] == pytest.approx(rlgrid.solve(rlgrid.load_world("zhao_5x5"), tol=1e-12).v.tolist(), abs=1e-8)


def test_an_optimum_that_does_not_exist_is_refused(run: Callable[..., Result], tmp_path: Path) -> None:
    refused(run("solve", "zhao_5x5", "--discount", "1", "--json"), "zhao_5x5: at discount 1", "infinite")
    (tmp_path / "swings.toml").write_text(SWINGS)
    refused(run("solve", "swings.toml"), "swings: at discount 1", "undefined")


@pytest.mark.slow
def test_maps_fit_80_columns_or_say_that_they_do_not(run: Callable[..., Result]) -> None:
    for name in rlgrid.library.names("envs"):
        code, out, err = run("solve", name)
        assert (code, err) == (0, "")
        assert max(len(line) for line in out.splitlines()[1:]) <= 80, name
    assert run("solve", "cliff")[1].splitlines()[2].startswith("-14.0 -13.0")
    assert "(the map is 50 x 50; too wide to print in 80 columns)" in run("solve", "maze_50x50")[1]


def test_text_maps_show_walls_terminal_cells_and_actions_that_are_equally_good() -> None:
    world = World.from_toml(
        "actions = ['up', 'right', 'stay']\nmap = '''\nS.#\n..G\n'''\n[cells]\nG = { terminal = true }\n"
    )
    values = np.array([1, -0.001, 0, 12.5, 0.25, 0])
    assert value_map(world, values) == " 1.00  0.00     #\n12.50  0.25  0.00"
    assert value_map(world, values, width=14) == " 1.0  0.0    #\n12.5  0.2  0.0"
    assert value_map(world, values, width=13) == "(the map is 2 x 3; too wide to print in 13 columns)"
    policy = np.array([[1, 0, 0], [0.5, 0.5, 0], [1, 0, 0], [0.1, 0.1, 0.8], [0, 1, 0], [1, 0, 0]])
    assert policy_map(world, policy) == " ↑ ↑→  #\n •  →  G"
    assert policy_map(world, policy, width=7) == policy_map(world, policy, width=4).replace("4 columns", "7 columns")


# Training


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("epsilon=0.25", "epsilon", 0.25),
        (" epsilon = 1 ", "epsilon", 1),
        ('starts="everywhere"', "starts", "everywhere"),
        ("starts=everywhere", "starts", "everywhere"),
        ("step_size={kind='polynomial', power=0.7}", "step_size", {"kind": "polynomial", "power": 0.7}),
    ],
)
def test_settings_are_toml_values_or_bare_words(pair: str, key: str, value: object) -> None:
    found = rlgrid.cli.options.read_settings([pair])[key]
    assert (pytest.approx(found | {"power": float(found["power"])}) if isinstance(found, dict) else found) == value


@pytest.mark.parametrize(
    ("pair", "part"),
    [
        ("epsilon", "KEY=VALUE"),
        ("=1", "KEY=VALUE"),
        ("two words=1", "KEY=VALUE"),
        ("epsilon=", "not valid TOML"),
        ("epsilon=[", "not valid TOML"),
        ("epsilon=many", "epsilon: found"),
        ("epsilon=nan", "epsilon"),
        ("epsilonn=0.1", 'did you mean "epsilon"'),
        ("seed=3", '"seed"'),
        ("env=3", '"env"'),
        ("recipe=3", '"recipe"'),
        ("epsilon=0.1\nseed=3", '"seed"'),
        ("step_size={kind='polynomial', b=1, power=1e6}", "power = 1e+06; allowed: b up to"),
        ("n=1000000000000", "n: found 1000000000000; allowed: a whole number of at most"),
        ("n=9223372036854775808", "n: found 9223372036854775808; allowed"),
        ("model_memory=1000000000000", "model_memory: found"),
        ("improve_every=18446744073709551616", "improve_every: found"),
    ],
)
def test_settings_that_are_wrong_are_one_sentence(run: Callable[..., Result], pair: str, part: str) -> None:
    refused(run(*TRAIN, "--steps", "10", "--set", pair), part)


def test_sizes_that_no_memory_holds_are_one_sentence(run: Callable[..., Result]) -> None:
    batch = ("train", "mc_basic", "frozen_lake_4x4", "--set", "episode_length=1000000000000", "--out", "a")
    refused(run(*batch, "--json"), "out of memory: ", "; allowed: smaller")
    far = ("train", "mc_epsilon_greedy", "frozen_lake_4x4", "--set", "episode_length=10000000000000")
    assert run(*far, "--episodes", "9", "--json")[0] == 0


def test_a_policy_of_values_that_diverged_is_not_judged(run: Callable[..., Result], tmp_path: Path) -> None:
    assert run(*TRAIN, "--steps", "50", "--out", "a", "--json")[0] == 0
    arrays = dict(np.load(tmp_path / "a/checkpoint.npz"))
    arrays["learner.table"][3] = np.nan
    np.savez(tmp_path / "a/checkpoint.npz", **arrays)
    for command in (("evaluate", "a", "--episodes", "5"), ("watch", "a", "--gif", "w.gif")):
        refused(run(*command), "q_learning: the values diverged: at 50 steps the one of state 3", "is nan")


@pytest.mark.slow
def test_the_last_of_several_settings_counts_and_is_logged(run: Callable[..., Result], tmp_path: Path) -> None:
    pairs = ("--set", "epsilon=0.5", "--set", "step_size=0.3", "--set", "epsilon=0.2")
    facts = json.loads(run(*TRAIN, "--steps", "500", *pairs, "--out", "a", "--json")[1])
    assert (facts["agent"], facts["steps"], facts["run"]) == ("q_learning", 500, "a")
    text = (tmp_path / "a" / "agent.toml").read_text()
    assert "epsilon = 0.2" in text and "step_size = 0.3" in text
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == RUN_FILES


def test_planners_and_budgets_of_episodes_are_trained_too(run: Callable[..., Result]) -> None:
    code, out, _ = run("train", "value_iteration", "zhao_5x5", "--sweeps", "300")
    assert code == 0 and "exact error" in out and max(map(len, out.splitlines())) <= 80
    facts = json.loads(run("train", "mc_epsilon_greedy", "frozen_lake_4x4", "--episodes", "50", "--json")[1])
    assert facts["episodes"] == 50


def test_a_file_in_the_place_of_a_run_is_left_alone(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    refused(run(*TRAIN, "--steps", "10", "--out", "mine", "--json"), "mine: it exists already")
    refused(run(*TRAIN, "--steps", "10", "--out", "mine/run", "--json"), "mine/run: cannot be made")
    assert (tmp_path / "mine").read_text() == "mine"


def test_ctrl_c_in_training_exits_with_130_and_the_run_can_go_on(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        take = rlgrid.runs.run.Run.take

        def interrupted(self: rlgrid.runs.run.Run, *arguments: object) -> None:
            take(self, *arguments)  # type: ignore[arg-type]
            if self.steps >= 1000:
                raise KeyboardInterrupt

        patched.setattr(rlgrid.runs.run.Run, "take", interrupted)
        code, out, err = run(*TRAIN, "--steps", "1000", "--out", "a", "--json")
        assert (code, out, err) == (130, "", "rlgrid: interrupted\n")
    assert json.loads(run(*TRAIN, "--resume", "--out", "a", "--steps", "4000", "--json")[1])["steps"] == 4000


# Runs, looked at again


@pytest.mark.parametrize("name", RUN_FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "garbled"])
def test_a_damaged_run_is_one_sentence(
    run: Callable[..., Result], saved: str, tmp_path: Path, name: str, damage: str
) -> None:
    file = tmp_path / saved / name
    file.unlink() if damage == "missing" else file.write_bytes(b"" if damage == "empty" else b"\x00\xff" * 50)
    if name != "episodes.sqlite":  # what a policy does is not in the log
        refused(run("evaluate", saved, "--episodes", "5"), saved)
    if name in ("episodes.sqlite", "world.toml", "run.json"):
        refused(run("replay", saved, "--gif", "r.gif"), saved)
        assert not (tmp_path / "r.gif").exists()


def test_evaluate_prints_a_mean_with_its_half_width(run: Callable[..., Result], saved: str) -> None:
    code, out, err = run("evaluate", saved, "--episodes", "50", "--seed", "2")
    assert (code, err) == (0, "") and "±" in out and "of 50 episodes" in out and "success rate" in out
    score = json.loads(run("evaluate", saved, "--episodes", "50", "--seed", "2", "--json")[1])
    assert f"{score['mean_return']:.6g} ±" in out


@pytest.mark.slow
def test_replay_shows_the_latest_episode_that_was_kept(run: Callable[..., Result], saved: str, tmp_path: Path) -> None:
    kept = rlgrid.SavedRun(saved)
    assert run("replay", saved, "--gif", "latest.gif") == (0, "gif: latest.gif\n", "")
    with Image.open(tmp_path / "latest.gif") as picture:
        picture.load()
        assert 1 < getattr(picture, "n_frames", 1) <= len(kept.trajectory(kept.recorded[-1]).state)
    refused(run("replay", saved, "--episode", "3"), "episode 3 was not kept; kept were: 1, 2, 4, 8")
    refused(run("replay", saved, "--gif", "nowhere/r.gif"), "nowhere/r.gif: cannot be written")


def test_windows_close_by_themselves(run: Callable[..., Result], saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rlgrid.runs.playback, "LONGEST", 3)
    monkeypatch.setattr(rlgrid.runs.playback, "FPS", 1000)
    assert run("watch", saved, "--episodes", "2") == (0, "", "")
    assert run("replay", saved, "--episode", "1") == (0, "", "")
    assert run(*TRAIN, "--steps", "5", "--watch", "--json")[0] == 0


def test_failures_inside_a_command_exit_with_1(
    run: Callable[..., Result], saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(rlgrid.runs.evaluation, "evaluate", fail)
    assert run("evaluate", saved) == (1, "", "rlgrid: internal failure: RuntimeError: odd\n")
