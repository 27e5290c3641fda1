"""The demo: what it claims is computed, what it names exists, and what it made before stays."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rlgrid
import rlgrid.cli.demo
import rlgrid.cli.main

pytestmark = pytest.mark.slow

STEPS = 100_000


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder in which the demo has run twice, shortened, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    printed = []
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setenv("COLUMNS", "80")
        patched.setattr(rlgrid.cli.demo, "STEPS", STEPS)
        patched.setattr(sys, "argv", ["rlgrid", "demo"])
        for number in (1, 2):
            with (folder / f"{number}.txt").open("w", encoding="utf-8") as file, patched.context() as redirected:
                redirected.setattr(sys, "stdout", file)
                with pytest.raises(SystemExit) as caught:
                    rlgrid.cli.main.main()
            assert not caught.value.code
            printed.append((folder / f"{number}.txt").read_text(encoding="utf-8"))
    return folder, printed


def test_the_plans_are_those_of_the_books(demos: tuple[Path, list[str]]) -> None:
    for text in demos[1]:
        for row in rlgrid.cli.demo.ZHAO_FIG_3_4_A.split("|"):
            assert re.search(r"\s+".join(map(re.escape, row.split())), text)
        assert "equal to the figure in all 25 cells" in text and "NOT" not in text
        assert "from the start 0.8235294118; 14/17 is 0.8235294118" in text


def test_each_agent_is_shown_with_its_error_and_the_exact_value_of_its_policy(
    demos: tuple[Path, list[str]],
) -> None:
    folder, (text, _) = demos
    optimum = rlgrid.solve(rlgrid.load_world("frozen_lake_8x8"), discount=rlgrid.cli.demo.DISCOUNT).v[0]
    for name in rlgrid.cli.demo.AGENTS:
        saved = rlgrid.SavedRun(folder / "runs/demo-1" / name)
        agent = saved.agent(rlgrid.GridWorld(saved.world))
        value = rlgrid.evaluate_exact(saved.world, agent.policy, discount=rlgrid.cli.demo.DISCOUNT)[0]
        row = next(line.split() for line in text.splitlines() if re.match(rf"{name} +[\d,]+ +[\d,]+ ", line))
        assert row[1] == f"{len(saved.returns):,}"
        assert row[3:] == [f"{saved.errors[-1, 1]:.4f}", f"{value:.6f}", f"{optimum:.6f}"]
        assert int(saved.lengths.sum()) <= STEPS and value <= optimum


def test_everything_that_is_named_exists(demos: tuple[Path, list[str]]) -> None:
    folder, (text, _) = demos
    named = re.findall(r"runs/demo-1/\w+\.(?:png|gif)", text)
    assert [Path(name).name for name in named] == ["learned.png", "optimal.png", "episode.gif"]
    for name in named:
        with Image.open(folder / name) as picture:
            picture.load()
            assert np.ptp(np.asarray(picture.convert("L"))) > 100, "it is not blank"
            assert (getattr(picture, "n_frames", 1) > 1) == name.endswith(".gif")
    for run in re.findall(r"rlgrid (?:replay|watch) (\S+)", text):
        assert rlgrid.SavedRun(folder / run).recorded


def test_a_second_run_takes_another_folder_and_learns_the_same(demos: tuple[Path, list[str]]) -> None:
    folder, (first, second) = demos
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["demo-1", "demo-2"]
    assert "runs/demo-2/" in second and "demo-2" not in first and "demo-1" not in second
    for name in rlgrid.cli.demo.AGENTS:
        tables = [np.load(folder / f"runs/demo-{i}" / name / "checkpoint.npz")["learner.table"] for i in (1, 2)]
        assert np.array_equal(*tables)


def test_the_text_fits_80_columns(demos: tuple[Path, list[str]]) -> None:
    for text in demos[1]:
        assert max(map(len, text.splitlines())) <= 80 and "\x1b" not in text
        legend = text[text.index("\nexact error  ") : text.index("4  Pictures")].split("\n")
        assert [line[:11].rstrip() for line in legend if line] == ["exact error", "greedy"], "no line is wrapped"
