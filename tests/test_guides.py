"""The examples of the guides run and print what they say."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from rlgrid.planning.methods import METHODS


@pytest.mark.slow
@pytest.mark.parametrize(("guide", "least"), [("environments.md", 25), ("planning.md", 37)])
def test_the_examples_of_the_guide_run(guide: str, least: int) -> None:
    text = (Path(__file__).parents[1] / "docs" / guide).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, guide, None, None)
    runner = doctest.DocTestRunner()
    runner.run(examples)
    assert runner.summarize(verbose=False).failed == 0 and len(examples.examples) > least


def test_the_guide_lists_the_methods_that_there_are() -> None:
    text = (Path(__file__).parents[1] / "docs" / "planning.md").read_text(encoding="utf-8")
    table = text.split("| method | how | source |\n")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {*METHODS} - {"auto"}


@pytest.mark.slow
def test_the_code_in_the_guide_of_agents_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, with the recipes written to files by their names."""
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "agents.md").read_text(encoding="utf-8")
    names = {"my_policy": "uniform", "features": np.eye(21)}
    blocks = re.findall(r"```(python|toml)\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 8
    for kind, block in blocks:
        if kind == "toml":
            (tmp_path / f"{tomllib.loads(block)['name']}.toml").write_text(block, encoding="utf-8")
        else:
            exec(block, names)
