"""rlgrid: reinforcement learning in gridworlds, exact planning and learning in one data flow.

Importing it registers the Gymnasium ids ``rlgrid/GridWorld-v0`` and one for each world of the catalog, such as
``rlgrid/Zhao5x5-v0``. Everything else loads when it is first used: ``__init__.pyi`` says where each public name lives.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium

from rlgrid import library


@cache
def _homes() -> dict[str, str]:
    """The module of each public name, as the stub beside this file imports it."""
    words = [line.split() for line in Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8").splitlines()]
    return {line[3]: line[1] for line in words if line[:1] == ["from"]}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_homes())
    if name in _homes():
        return getattr(import_module(_homes()[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("rlgrid")
    raise AttributeError(f"module 'rlgrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_homes(), "__version__"]


def _register() -> None:
    one, many = "rlgrid:GridWorld", "rlgrid:GridWorldVec"  # pickles and datasets keep these texts
    gymnasium.register("rlgrid/GridWorld-v0", entry_point=one, vector_entry_point=many)
    gymnasium.register("rlgrid/ChangingGridWorld-v0", entry_point="rlgrid:ChangingGridWorld")
    for name in library.names("envs"):
        camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
        gymnasium.register(f"rlgrid/{camel}-v0", entry_point=one, vector_entry_point=many, kwargs={"world": name})


_register()
