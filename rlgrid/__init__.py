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
    from rlgrid.asymptotics import asymptotic_variance as asymptotic_variance
    from rlgrid.asymptotics import exact_variance as exact_variance
    from rlgrid.batch import Batch as Batch
    from rlgrid.batch_solvers import certainty_equivalence as certainty_equivalence
    from rlgrid.batch_solvers import compare as compare
    from rlgrid.batch_solvers import learn_until_settled as learn_until_settled
    from rlgrid.batch_solvers import lstd as lstd
    from rlgrid.chain import end_distribution as end_distribution
    from rlgrid.chain import end_probability as end_probability
    from rlgrid.chain import expected_steps as expected_steps
    from rlgrid.chain import occupancy as occupancy
    from rlgrid.chain import return_variance as return_variance
    from rlgrid.changing import ChangingGridWorld as ChangingGridWorld
    from rlgrid.custom_rules import model_with_rules as model_with_rules
    from rlgrid.diagram import PhaseDiagram as PhaseDiagram
    from rlgrid.diagram import phase_diagram as phase_diagram
    from rlgrid.env import GridWorld as GridWorld
    from rlgrid.episode_log import EpisodeLog as EpisodeLog
    from rlgrid.episode_log import SavedRun as SavedRun
    from rlgrid.errors import InputError as InputError
    from rlgrid.evaluation import Score as Score
    from rlgrid.evaluation import evaluate as evaluate
    from rlgrid.features import Features as Features
    from rlgrid.features import features_for as features_for
    from rlgrid.feeds import Replay as Replay
    from rlgrid.feeds import Rollout as Rollout
    from rlgrid.feeds import Sweep as Sweep
    from rlgrid.fixed_point import on_policy_distribution as on_policy_distribution
    from rlgrid.fixed_point import td_fixed_point as td_fixed_point
    from rlgrid.generators import generate_world as generate_world
    from rlgrid.linter import Finding as Finding
    from rlgrid.linter import lint_world as lint_world
    from rlgrid.model import TabularModel as TabularModel
    from rlgrid.observers import ExactError as ExactError
    from rlgrid.observers import Observer as Observer
    from rlgrid.observers import ProgressBar as ProgressBar
    from rlgrid.parametric import Phase as Phase
    from rlgrid.parametric import phases as phases
    from rlgrid.parametric import with_number as with_number
    from rlgrid.plan import Plan as Plan
    from rlgrid.planner import evaluate_exact as evaluate_exact
    from rlgrid.planner import solve as solve
    from rlgrid.recursion import ExpandingTruncation as ExpandingTruncation
    from rlgrid.recursion import Projection as Projection
    from rlgrid.returns import ReturnDistribution as ReturnDistribution
    from rlgrid.returns import return_distribution as return_distribution
    from rlgrid.step_sizes import Constant as Constant
    from rlgrid.step_sizes import Harmonic as Harmonic
    from rlgrid.step_sizes import Polynomial as Polynomial
    from rlgrid.stochastic_approximation import find_root as find_root
    from rlgrid.stochastic_approximation import mean_estimation as mean_estimation
    from rlgrid.stochastic_gradient import kiefer_wolfowitz as kiefer_wolfowitz
    from rlgrid.stochastic_gradient import sgd as sgd
    from rlgrid.training import Run as Run
    from rlgrid.training import train as train
    from rlgrid.vector_env import GridWorldVec as GridWorldVec
    from rlgrid.world import World as World
    from rlgrid.world import load_world as load_world

_PUBLIC = {
    "agent": ("Agent", "load_agent"),
    "asymptotics": ("asymptotic_variance", "exact_variance"),
    "batch": ("Batch",),
    "batch_solvers": ("certainty_equivalence", "compare", "learn_until_settled", "lstd"),
    "chain": ("end_distribution", "end_probability", "expected_steps", "occupancy", "return_variance"),
    "changing": ("ChangingGridWorld",),
    "custom_rules": ("model_with_rules",),
    "diagram": ("PhaseDiagram", "phase_diagram"),
    "env": ("GridWorld",),
    "episode_log": ("EpisodeLog", "SavedRun"),
    "errors": ("InputError",),
    "evaluation": ("Score", "evaluate"),
    "features": ("Features", "features_for"),
    "feeds": ("Replay", "Rollout", "Sweep"),
    "fixed_point": ("on_policy_distribution", "td_fixed_point"),
    "generators": ("generate_world",),
    "linter": ("Finding", "lint_world"),
    "model": ("TabularModel",),
    "observers": ("ExactError", "Observer", "ProgressBar"),
    "parametric": ("Phase", "phases", "with_number"),
    "plan": ("Plan",),
    "planner": ("evaluate_exact", "solve"),
    "recursion": ("ExpandingTruncation", "Projection"),
    "returns": ("ReturnDistribution", "return_distribution"),
    "step_sizes": ("Constant", "Harmonic", "Polynomial"),
    "stochastic_approximation": ("find_root", "mean_estimation"),
    "stochastic_gradient": ("kiefer_wolfowitz", "sgd"),
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
