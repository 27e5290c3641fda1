"""rlgrid: reinforcement learning in gridworlds, exact planning and learning in one data flow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlgrid.errors import InputError as InputError
    from rlgrid.model import TabularModel as TabularModel
    from rlgrid.world import World as World
    from rlgrid.world import load_world as load_world

_PUBLIC = {
    "InputError": "errors",
    "TabularModel": "model",
    "World": "world",
    "load_world": "world",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"rlgrid.{_PUBLIC[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("rlgrid")
    raise AttributeError(f"module 'rlgrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
