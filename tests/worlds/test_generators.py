"""Random worlds: mazes are trees, trees are uniform where they should be, a way leads to the goal, nothing varies."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

import rlgrid
from rlgrid.errors import InputError
from rlgrid.worlds.generators import KINDS, generate_world, parse_size
from rlgrid.worlds.world import World

SIZES = [(1, 2), (2, 1), (2, 2), (1, 9), (3, 3), (4, 7), (12, 5), (11, 12), (31, 41)]
MAZES = ["maze", "wilson_maze"]


def open_cells(world: World) -> NDArray[np.bool_]:
    return ~world.mask("wall").reshape(world.shape)


def joined(world: World) -> NDArray[np.bool_]:
    """The cells that can be reached from the start."""
    label, _ = ndimage.label(open_cells(world))
    return (label == label.ravel()[world.starts[0]]) & open_cells(world)


def passages(world: World) -> int:
    """Pairs of open cells side by side."""
    free = open_cells(world)
    return int((free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_size_has_a_start_a_goal_and_a_way(kind: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        world = generate_world(kind, size, seed=seed)
        cells = np.flatnonzero(open_cells(world))
        assert world.shape == size
        assert world.where("S").tolist() == [cells[0]] and world.where("G").tolist() == [cells[-1]]
        assert joined(world).ravel()[cells[-1]]
        assert World.from_toml(world.to_toml()) == world


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", MAZES)
def test_mazes_are_perfect(kind: str, size: tuple[int, int]) -> None:
    """A connected graph of n cells with n - 1 passages is a tree: one way between any two cells."""
    for seed in range(5):
        world = generate_world(kind, size, seed=seed)
        assert (joined(world) == open_cells(world)).all()
        assert passages(world) == open_cells(world).sum() - 1


@pytest.mark.parametrize("kind", MAZES)
def test_mazes_fill_their_map(kind: str) -> None:
    world = generate_world(kind, (21, 31), seed=1)
    assert open_cells(world)[::2, ::2].all()
    assert not open_cells(world)[1::2, 1::2].any()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "trees"), [((3, 3), 4), ((3, 5), 15), ((5, 5), 192)])
def test_wilsons_mazes_are_uniform(size: tuple[int, int], trees: int) -> None:
    """2 x 2, 2 x 3 and 3 x 3 rooms have 4, 15 and 192 spanning trees (Kirchhoff); each is as likely as any other."""
    samples = 40 * trees
    counts = Counter(generate_world("wilson_maze", size, seed=seed).map for seed in range(samples))
    assert len(counts) == trees
    assert stats.chisquare(list(counts.values())).pvalue > 1e-6


def test_depth_first_mazes_have_longer_corridors_than_uniform_ones() -> None:
    def dead_ends(kind: str) -> float:
        free = np.pad(open_cells(generate_world(kind, (101, 101), seed=4)), 1).astype(int)
        beside = free[2:, 1:-1] + free[:-2, 1:-1] + free[1:-1, 2:] + free[1:-1, :-2]
        return float(((beside == 1) & (free[1:-1, 1:-1] == 1)).sum() / 51**2)

    assert dead_ends("maze") < 0.13
    assert dead_ends("wilson_maze") == pytest.approx(0.295, abs=0.02)  # 8 (1 - 2/pi) / pi^2 in the limit


@pytest.mark.parametrize("density", [0, 0.25, 0.9, 1])
def test_obstacles_are_as_dense_as_asked_unless_the_path_needs_the_room(density: float) -> None:
    for seed in range(5):
        world = generate_world("obstacles", (20, 30), seed=seed, density=density)
        walls = int((~open_cells(world)).sum())
        assert walls == round(density * 600) or (walls < density * 600 and (joined(world) == open_cells(world)).all())
    assert (walls == round(density * 600)) == (density < 0.9)


@pytest.mark.parametrize("size", [(1, 12), (17, 17), (18, 23), (4, 40)])
@pytest.mark.parametrize("room_size", [1, 2, 5, 100])
def test_rooms_have_one_door_to_each_neighbor(size: tuple[int, int], room_size: int) -> None:
    world = generate_world("rooms", size, seed=2, room_size=room_size)
    free = open_cells(world)
    starts = [list(range(0, length, room_size + 1)) for length in size]
    inside = [
        np.isin(np.arange(length), [b - 1 for b in begin[1:]], invert=True)
        for length, begin in zip(size, starts, strict=True)
    ]
    room = np.ix_(*inside)
    assert free[room].all()
    n_doors = free.sum() - free[room].size
    n_rows, n_cols = len(starts[0]), len(starts[1])
    assert n_doors == n_rows * (n_cols - 1) + n_cols * (n_rows - 1)
    assert (joined(world) == free).all()


# -- the same arguments, the same world -------------------------------------------------------------------------------

FINGERPRINTS = {
    "maze": "bc4660f054ba",
    "wilson_maze": "658853917879",
    "obstacles": "05f38a061ff6",
    "rooms": "2e5c2c92fa58",
}


GENERATED = """
import json, rlgrid
from rlgrid.worlds.generators import KINDS
print(json.dumps([rlgrid.generate_world(kind, (20, 21), seed=7).to_toml() for kind in KINDS]))
"""


@pytest.mark.slow
def test_worlds_are_the_same_in_every_process_compiled_or_not() -> None:
    here = {kind: generate_world(kind, (20, 21), seed=7).to_toml() for kind in KINDS}
    for plain in ("0", "1"):
        printed = subprocess.run(
            [sys.executable, "-c", GENERATED],
            env=os.environ | {"NUMBA_DISABLE_JIT": plain},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert json.loads(printed) == list(here.values())
    assert {kind: hashlib.sha256(text.encode()).hexdigest()[:12] for kind, text in here.items()} == FINGERPRINTS


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_make_different_worlds_and_the_source_says_which(kind: str) -> None:
    worlds = [generate_world(kind, (13, 17), seed=seed) for seed in range(20)]
    assert len({world.map for world in worlds}) == 20
    assert all(
        kind in world.source and "13x17" in world.source and f"seed {s}" in world.source
        for s, world in enumerate(worlds)
    )


def test_options_change_the_rules_but_not_the_map() -> None:
    plain = generate_world("maze", (9, 9), seed=3)
    world = generate_world("maze", (9, 9), seed=3, slip=0.2, step_reward=-0.01)
    assert world.map == plain.map
    assert world.slip is not None and {k: float(p) for k, p in (world.slip.turn or {}).items()} == {
        "0": 0.8,
        "90": 0.1,
        "-90": 0.1,
    }
    assert float(world.reward.step.mean) == -0.01
    assert "slip 0.2, step_reward -0.01" in world.source
    assert World.from_toml(world.to_toml()) == world


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_size(kind: str) -> None:
    assert generate_world(kind, (3000, 3000), seed=1).shape == (3000, 3000)


def test_the_command_line_prints_the_world(run: Callable[..., tuple[int, str, str]]) -> None:
    command = "worlds --generate obstacles --size 40x60 --seed 3 --set density=0.4 --set slip=0.2"
    code, printed, _ = run(*command.split())
    assert code == 0
    assert World.from_toml(printed) == generate_world("obstacles", (40, 60), seed=3, density=0.4, slip=0.2)


COMPILE = """
import resource, sys
from rlgrid.models.model import TabularModel
from rlgrid.toml import read_text
from rlgrid.worlds.world import World
begun = resource.getrusage(resource.RUSAGE_SELF)
world = World.from_toml(read_text(sys.argv[1]))
model = TabularModel.from_world(world)
done = resource.getrusage(resource.RUSAGE_SELF)
seconds = done.ru_utime + done.ru_stime - begun.ru_utime - begun.ru_stime
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss counts the parent, too
print(model.n_states, seconds, int(peak.split()[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_cells_load_and_compile_in_two_seconds_and_400_mib(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_text(generate_world("obstacles", (1000, 1000), density=0.2, slip=0.5).to_toml())
    printed = subprocess.run(
        [sys.executable, "-c", COMPILE, str(path)], capture_output=True, text=True, check=True
    ).stdout
    n_states, seconds, mebibytes = map(float, printed.split())
    assert n_states == 1_000_000
    assert seconds < 2
    assert mebibytes < 400


# -- bad input --------------------------------------------------------------------------------------------------------

SIZE = "allowed: rows and columns from 1 to 3000, and at least two cells"


@pytest.mark.parametrize(
    ("kind", "size", "options", "sentence"),
    [
        ("maz", (5, 5), {}, 'kind: found "maz", did you mean "maze"? Allowed: maze, wilson_maze, obstacles, rooms'),
        ("maze", (1, 1), {}, f"size: found 1 x 1; {SIZE}"),
        ("maze", (0, 9), {}, f"size: found 0 x 9; {SIZE}"),
        ("maze", (9, 3001), {}, f"size: found 9 x 3001; {SIZE}"),
        ("maze", (2.5, 9), {}, f"size: found 2.5 x 9; {SIZE}"),
        ("maze", 9, {}, f"size: found 9; {SIZE}"),
        ("maze", (9, 9), {"seed": -1}, "seed: found -1; allowed: a whole number from 0"),
        ("maze", (9, 9), {"seed": 1.5}, "seed: found 1.5; allowed: a whole number from 0"),
        ("maze", (9, 9), {"density": 0.5}, 'option: found "density"; allowed: slip, step_reward'),
        (
            "rooms",
            (9, 9),
            {"rom_size": 3},
            'option: found "rom_size", did you mean "room_size"? Allowed: slip, step_reward, room_size',
        ),
        ("rooms", (9, 9), {"room_size": 0}, "room_size: found 0; allowed: a whole number from 1 to 3000"),
        ("rooms", (9, 9), {"room_size": 2.5}, "room_size: found 2.5; allowed: a whole number from 1 to 3000"),
        ("obstacles", (9, 9), {"density": 1.5}, "density: found 1.5; allowed: a number from 0 to 1"),
        (
            "obstacles",
            (9, 9),
            {"density": float("nan")},
            'density: found nan; allowed: a finite number or a fraction such as "1/3"',
        ),
    ],
)
def test_bad_arguments_get_one_sentence(
    kind: str, size: tuple[int, int], options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        rlgrid.generate_world(kind, size, **options)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("text", ["", "4", "4x", "x4", "4x5x6", "-4x5", "4 5", "9" * 5000 + "x1"])
def test_bad_sizes_get_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"^size: found .*; allowed: rows x columns, such as 40x60$"):
        parse_size(text)


def test_sizes_are_rows_by_columns() -> None:
    assert parse_size("40x60") == (40, 60)
