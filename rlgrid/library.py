"""Finds the TOML files that come with rlgrid: worlds in ``envs/``, recipes in ``agents/``."""

from __future__ import annotations

import os
from pathlib import Path

from rlgrid.errors import InputError, one_of, shown

_PACKAGE = Path(__file__).resolve().parent


def folder(kind: str) -> Path:
    """The folder of a kind (``envs`` or ``agents``): inside the wheel, or beside the package in a checkout."""
    installed = _PACKAGE / "_library" / kind
    if installed.is_dir():
        return installed
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        return _PACKAGE.parent / kind
    raise InputError(f"rlgrid is installed without its {kind} folder; install it again")


def names(kind: str) -> list[str]:
    """The names of all files of a kind, sorted."""
    return sorted(entry.name[:-5] for entry in os.scandir(folder(kind)) if entry.name.endswith(".toml"))


def find(kind: str, name: str | os.PathLike[str]) -> Path:
    """The file behind a catalog name, or behind a path that ends in ``.toml``.

    Raises:
        InputError: where there is neither; the sentence suggests the nearest name.
    """
    what = "world" if kind == "envs" else "agent"
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"{what}: found {shown(name)}; allowed: a name or a path to a .toml file")
    text = os.fspath(name)
    if text.endswith(".toml") or os.sep in text:
        return Path(text)
    if text in (known := names(kind)):
        return folder(kind) / f"{text}.toml"
    raise InputError(f"{what}: {one_of(text, known)}, or a path to a .toml file")
