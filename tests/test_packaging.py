"""What a user gets: the wheel, built by way of the source distribution, works from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str, cwd: Path, **environment: str) -> str:
    """Run a Python command and return what it printed; where it fails, show why."""
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("rlgrid-*.whl")
    return found


def test_sdist_carries_everything_that_a_build_and_a_test_run_need(dist: Path) -> None:
    (found,) = dist.glob("rlgrid-*.tar.gz")
    with tarfile.open(found) as archive:
        files = {name.split("/", 1)[1] for name in archive.getnames()}
    for folder in ("rlgrid", "envs", "agents", "tests", "scripts", "docs"):
        here = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*.[pt][yo]*")
            if path.suffix in (".py", ".toml")
        }
        assert here <= files
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= files


def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"rlgrid"}
    assert "rlgrid/py.typed" in files
    assert not [name for name in files if name.endswith((".pyc", ".nbi", ".nbc"))]


@pytest.mark.parametrize("kind", ["envs", "agents"])
def test_wheel_holds_every_world_and_recipe(wheel: Path, kind: str) -> None:
    inside = {
        Path(name).name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"rlgrid/_library/{kind}/")
    }
    assert inside == {path.name for path in (ROOT / kind).glob("*.toml")}
    assert inside


def test_installed_wheel_finds_its_worlds(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel), cwd=empty)
    code = "import rlgrid.library as lib; print(lib.__file__); print(*lib.names('envs'))"
    where, names = run("-c", code, cwd=empty, PYTHONPATH=str(site)).splitlines()
    assert Path(where).is_relative_to(site)
    assert names.split() == sorted(path.stem for path in (ROOT / "envs").glob("*.toml"))
