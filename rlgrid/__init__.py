"""rlgrid: reinforcement learning in gridworlds, exact planning and learning in one data flow.

Importing it registers the Gymnasium ids ``rlgrid/GridWorld-v0`` and one for each world of the catalog, such as
``rlgrid/Zhao5x5-v0``. Everything else loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium

from rlgrid import library

if TYPE_CHECKING:
    from rlgrid.agent import Agent as Agent
    from rlgrid.agent import load_agent as load_agent
    from rlgrid.batch import Batch as Batch
    from rlgrid.changing import ChangingGridWorld as ChangingGridWorld
    from rlgrid.custom_rules import model_with_rules as model_with_rules
    from rlgrid.env import GridWorld as GridWorld
    from rlgrid.episode_log import EpisodeLog as EpisodeLog
    from rlgrid.episode_log import SavedRun as SavedRun
    from rlgrid.errors import InputError as InputError
    from rlgrid.evaluation import Score as Score
    from rlgrid.evaluation import evaluate as evaluate
    from rlgrid.feeds import Rollout as Rollout
    from rlgrid.feeds import Sweep as Sweep
    from rlgrid.generators import generate_world as generate_world
    from rlgrid.linter import Finding as Finding
    from rlgrid.linter import lint_world as lint_world
    from rlgrid.model import TabularModel as TabularModel
    from rlgrid.observers import ExactError as ExactError
    from rlgrid.observers import Observer as Observer
    from rlgrid.observers import ProgressBar as ProgressBar
    from rlgrid.plan import Plan as Plan
    from rlgrid.planner import evaluate_exact as evaluate_exact
    from rlgrid.planner import solve as solve
    from rlgrid.step_sizes import Constant as Constant
    from rlgrid.step_sizes import Harmonic as Harmonic
    from rlgrid.step_sizes import Polynomial as Polynomial
    from rlgrid.stochastic_approximation import find_root as find_root
    from rlgrid.stochastic_approximation import mean_estimation as mean_estimation
    from rlgrid.training import Run as Run
    from rlgrid.training import train as train
    from rlgrid.vector_env import GridWorldVec as GridWorldVec
    from rlgrid.world import World as World
    from rlgrid.world import load_world as load_world

_PUBLIC = {
    "agent": ("Agent", "load_agent"),
    "batch": ("Batch",),
    "changing": ("ChangingGridWorld",),
    "custom_rules": ("model_with_rules",),
    "env": ("GridWorld",),
    "episode_log": ("EpisodeLog", "SavedRun"),
    "errors": ("InputError",),
    "evaluation": ("Score", "evaluate"),
    "feeds": ("Rollout", "Sweep"),
    "generators": ("generate_world",),
    "linter": ("Finding", "lint_world"),
    "model": ("TabularModel",),
    "observers": ("ExactError", "Observer", "ProgressBar"),
    "plan": ("Plan",),
    "planner": ("evaluate_exact", "solve"),
    "step_sizes": ("Constant", "Harmonic", "Polynomial"),
    "stochastic_approximation": ("find_root", "mean_estimation"),
    "training": ("Run", "train"),
    "vector_env": ("GridWorldVec",),
    "world": ("World", "load_world"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 (a list of texts)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"rlgrid.{_MODULE_OF[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("rlgrid")
    raise AttributeError(f"module 'rlgrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _register() -> None:
    one, many = "rlgrid.env:GridWorld", "rlgrid.vector_env:GridWorldVec"
    gymnasium.register("rlgrid/GridWorld-v0", entry_point=one, vector_entry_point=many)
    gymnasium.register("rlgrid/ChangingGridWorld-v0", entry_point="rlgrid.changing:ChangingGridWorld")
    for name in library.names("envs"):
        camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
        gymnasium.register(f"rlgrid/{camel}-v0", entry_point=one, vector_entry_point=many, kwargs={"world": name})


_register()
