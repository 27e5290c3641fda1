"""Pictures and GIFs as files: whole or not at all, and with the very pixels."""

from __future__ import annotations

import os

os.environ["SDL_VIDEODRIVER"] = "dummy"

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rlgrid.errors import InputError
from rlgrid.view.animation import save_gif
from rlgrid.view.picture import Layers, Picture
from rlgrid.worlds.world import World

WORLD = World.from_toml("actions = ['left', 'right']\nmap = '''\n...\n...\n..S\n'''")


def test_a_saved_png_holds_the_very_pixels(tmp_path: Path) -> None:
    picture = Picture(WORLD)
    layers = Layers(agent=0, values=np.arange(9.0), caption="saved")
    file = tmp_path / "every.png"
    file.write_text("an older file")
    picture.save(file, layers)
    assert np.array_equal(np.asarray(Image.open(file)), picture.rgb(layers))
    assert [path.name for path in tmp_path.iterdir()] == ["every.png"]


def test_a_failed_save_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture(WORLD)
    file = tmp_path / "old.png"
    file.write_text("an older file")

    def full(handle: int) -> None:
        os.truncate(handle, 100)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"old\.png: cannot be written: No space left on device"):
        picture.save(file)
    assert file.read_text() == "an older file"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(InputError, match="cannot be written"):
        picture.save(tmp_path / "missing" / "a.png")


def test_a_gif_loops_rests_on_its_last_frame_and_keeps_the_colours(tmp_path: Path) -> None:
    picture = Picture(WORLD)
    frames = [picture.rgb(Layers(agent=state, values=np.arange(9.0))) for state in range(4)]
    file = tmp_path / "walk.gif"
    save_gif(file, iter(frames), fps=5)
    with Image.open(file) as gif:
        assert gif.info["loop"] == 0
        assert gif.n_frames == 4
        durations = []
        for index, frame in enumerate(frames):
            gif.seek(index)
            durations.append(gif.info["duration"])
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - frame).mean() < 0.1
            assert np.array_equal(shown[-40, -40], frame[-40, -40])
    assert durations == [200, 200, 200, 1500]
    assert file.stat().st_size < 100_000
    with pytest.raises(InputError, match="there are no frames"):
        save_gif(file, [])
    with pytest.raises(InputError, match="fps: found 0"):
        save_gif(file, frames, fps=0)
