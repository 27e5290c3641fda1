"""Settings for every test: no window, no sound, a limit of time. And the command line as a fixture."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from own_time import OwnTime

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Registered like this it looks at the examples in docstrings too, which stand outside of this folder.

    Plain Python, and compiled code that checks every index, take longer by nature.
    """
    if all(os.environ.get(name, "0") in ("", "0") for name in ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")):
        config.pluginmanager.register(OwnTime(), "own-time")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in an empty folder, 80 columns wide: exit code, what it printed, what it complained.

    That something is compiled first is not told, so that what is printed does not depend on the cache.
    """
    from rlgrid.cli.main import main
    from rlgrid.runs.progress import CompileNotice

    monkeypatch.setattr(CompileNotice, "compiling", lambda self, run: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlgrid", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call
