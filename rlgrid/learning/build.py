"""Assembly: a learner and its behavior, put together from the choices of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.approximation.features import Features
from rlgrid.arrays import Floats
from rlgrid.environments.spaces import Spaces
from rlgrid.errors import InputError
from rlgrid.learning.recipe import Recipe, to_step_size
from rlgrid.learning.recipe_keys import (
    EpsilonKeys,
    HarmonicEpsilon,
    LinearEpsilon,
    PolynomialEpsilon,
    SoftmaxBehavior,
    UpperConfidenceBehavior,
)
from rlgrid.randomness import Stream
from rlgrid.rules.behaviors import (
    Behavior,
    EpsilonGreedy,
    ScheduledEpsilonGreedy,
    Softmax,
    Stored,
    UpperConfidence,
    action_tuple,
)
from rlgrid.rules.corrections import (
    Correction,
    NoCorrection,
    OrdinarySampling,
    PerDecisionSampling,
    TreeBackup,
    WeightedSampling,
)
from rlgrid.rules.credits import Entry, EntryOfTwo, Nowhere, Together
from rlgrid.rules.dyna import Dyna, NoPlanning
from rlgrid.rules.gradient import Gradient
from rlgrid.rules.learner import Learner
from rlgrid.rules.schedules import Decaying, Falling, NoTally, Schedule, Tally, new_tally
from rlgrid.rules.targets import Double, Expected, Greedy, NextAction, Return, Target
from rlgrid.rules.traces import Accumulating, Dutch, Replacing, Trace, longest_trace
from rlgrid.rules.update import Improvement, NoImprovement
from rlgrid.rules.windows import WHOLE_EPISODE, OneStep, Window

_NEVER = 2**62

#: Room for what waits for the end of an episode, to begin with; it grows.
_ROOM = 256

_VISITS = {"start": 0, "first": 1, "every": 2}
_CORRECTIONS: dict[str, Callable[[Behavior], Correction]] = {
    "ordinary": OrdinarySampling,
    "weighted": WeightedSampling,
    "per_decision": PerDecisionSampling,
    "tree_backup": TreeBackup,
}
_TRACES: dict[str, Accumulating | Replacing | Dutch] = {
    "accumulating_trace": Accumulating(),
    "replacing_trace": Replacing(),
    "dutch_trace": Dutch(),
}


class Policies(NamedTuple):
    """What acts, and what is learned about where that is another."""

    behavior: Behavior
    target: Behavior


def policies(
    recipe: Recipe, policy: Floats | None, behavior: Floats | None, n_states: int, n_actions: int
) -> tuple[Policies, NoTally | Tally]:
    """From the recipe's stored policy and its stored behavior, [S, A] each, where it has them; and what is counted."""
    target, tally = new_behavior(recipe, policy, n_states, n_actions)
    if behavior is not None:
        return Policies(Stored(behavior), target), tally
    if isinstance(recipe.behavior, int | float):
        return Policies(EpsilonGreedy(float(recipe.behavior), action_tuple(n_actions)), target), tally
    return Policies(target, target), tally


def check_coverage(policy: Floats, behavior: Floats, spaces: Spaces) -> None:
    """Refuse a behavior whose ratios pi/b say nothing, as it never does what pi does (Sutton & Barto 2e, Sec. 5.5)."""
    missed = (policy > 0) & (behavior == 0)
    if spaces.model is not None:
        missed[spaces.model.terminal] = False
    if missed.any():
        state, action = np.argwhere(missed)[0].tolist()
        raise InputError(
            f"behavior: in state {state} it never takes {spaces.actions[action]}, as the policy may; allowed with a "
            "correction by ratios: a probability above 0 wherever the policy has one"
        )


def assemble(
    recipe: Recipe,
    chosen: Policies,
    n_states: int,
    n_actions: int,
    discount: float,
    available: NDArray[np.bool_] | None,
    stream: Stream,
    features: Features | None = None,
) -> Learner:
    """A learner that has learned nothing yet; ``stream`` is what is random in it."""
    shape = (n_states, n_actions if recipe.table == "q" else 1)
    table = np.full(shape, recipe.initial_value)
    if available is not None and recipe.table == "q":
        table[~available] = -np.inf
    target = _target(recipe, chosen, table, stream)
    return Learner(
        table=table,
        visits=np.zeros(shape),
        clock=np.zeros(1, np.int64),
        discount=discount,
        target=target,
        window=_window(recipe, shape),
        step_size=to_step_size(recipe.step_size),
        credit=_credit(recipe, shape, discount, target, features),
        improvement=_improvement(recipe, chosen.target),
        correction=_correction(recipe, chosen, n_actions),
        planning=_planning(recipe, shape, stream),
        tally=NoTally(),
    )


def _target(recipe: Recipe, chosen: Policies, table: Floats, stream: Stream) -> Target:
    actions = action_tuple(table.shape[1])
    if recipe.target == "greedy":
        return Greedy(actions)
    if recipe.target == "double":
        return Double(table.copy(), table.copy(), np.zeros(1, np.int64), stream, actions)
    if recipe.target == "next_action":
        return NextAction()
    if recipe.target == "return":
        return Return()
    return Expected(chosen.behavior if recipe.target == "behavior" else chosen.target)


def _correction(recipe: Recipe, chosen: Policies, n_actions: int) -> Correction:
    if recipe.correction == "none":
        return NoCorrection()
    policy = chosen.behavior if recipe.target == "behavior" else chosen.target
    if recipe.target == "greedy":
        policy = EpsilonGreedy(0.0, action_tuple(n_actions))
    return _CORRECTIONS[recipe.correction](policy)


def _window(recipe: Recipe, shape: tuple[int, int]) -> OneStep | Window:
    whole = recipe.target == "return"
    if recipe.n == 1 and not whole:
        return OneStep()
    room = _ROOM if whole else 2 * recipe.n
    sampling = recipe.correction in ("ordinary", "weighted", "per_decision")
    return Window(
        n=WHOLE_EPISODE if whole else recipe.n,
        visits=_VISITS[recipe.visits],
        state=np.zeros(room, np.int64),
        action=np.zeros(room, np.int64),
        reward=np.zeros(room),
        probability=np.zeros(room if sampling else 0),
        span=np.zeros(2, np.int64),
        seen=np.zeros(shape if recipe.visits == "first" else (0, 0), np.int64),
    )


def _credit(
    recipe: Recipe, shape: tuple[int, int], discount: float, target: Target, features: Features | None
) -> Entry | EntryOfTwo | Nowhere | Together | Trace | Gradient:
    if isinstance(target, Double):
        return EntryOfTwo(target.first, target.second, target.turn, np.zeros(shape))
    if recipe.feed == "counting":
        return Nowhere()
    if recipe.credit == "together":
        return Together(np.zeros(shape), np.zeros(shape))
    if features is not None:
        return Gradient(np.zeros((features.size, shape[1])), features.active, features.value)
    if not recipe.traces:
        return Entry()
    longest = longest_trace(discount * recipe.trace_decay, recipe.trace_cut)
    room = min(2 * longest, _ROOM)
    return Trace(
        kind=_TRACES[recipe.credit],
        decay=recipe.trace_decay,
        longest=longest,
        state=np.zeros(room, np.int64),
        column=np.zeros(room, np.int64),
        size=np.zeros(room),
        span=np.zeros(2, np.int64),
        now=np.zeros(2),
        ahead=np.zeros(2),
    )


def _improvement(recipe: Recipe, target: Behavior) -> NoImprovement | Improvement:
    if not recipe.improves or not isinstance(target, Stored):
        return NoImprovement()
    every, within = recipe.improve_every or _NEVER, recipe.improve_within
    tolerance = -1.0 if within is None else within
    return Improvement(target.probability, every, tolerance, np.zeros(2, np.int64), np.zeros(1))


def _planning(recipe: Recipe, shape: tuple[int, int], stream: Stream) -> NoPlanning | Dyna:
    if not recipe.planning_steps:
        return NoPlanning()
    rows, memory = shape[0] * shape[1], recipe.model_memory
    return Dyna(
        steps=recipe.planning_steps,
        bonus=recipe.exploration_bonus,
        next_state=np.zeros((rows, memory), np.int64),
        reward=np.zeros((rows, memory)),
        terminated=np.zeros((rows, memory), np.bool_),
        tried=np.zeros(rows, np.int64),
        last=np.zeros(rows, np.int64),
        known=np.zeros(shape[0], np.int64),
        clock=np.zeros(2, np.int64),
        stream=stream,
    )


_PER = {"episode": 0, "step": 1, "visit": 2}


def new_behavior(
    recipe: Recipe, policy: Floats | None, n_states: int, n_actions: int
) -> tuple[Behavior, NoTally | Tally]:
    """How a recipe acts, and what it counts for that."""
    actions = action_tuple(n_actions)
    if policy is not None:
        return Stored(policy), NoTally()
    if isinstance(recipe.behavior, SoftmaxBehavior):
        return Softmax(recipe.behavior.temperature, actions), NoTally()
    if isinstance(recipe.behavior, UpperConfidenceBehavior):
        tally = new_tally((n_states, n_actions))
        return UpperConfidence(recipe.behavior.c, tally, actions), tally
    if recipe.epsilon is None or isinstance(recipe.epsilon, int | float):
        return EpsilonGreedy(float(recipe.epsilon or 0.0), actions), NoTally()
    by_visit = not isinstance(recipe.epsilon, LinearEpsilon) and recipe.epsilon.per == "visit"
    tally = new_tally((n_states, 1) if by_visit else (0, 0))
    return ScheduledEpsilonGreedy(_schedule(recipe.epsilon, tally), actions), tally


def _schedule(keys: EpsilonKeys, tally: Tally) -> Schedule:
    if isinstance(keys, LinearEpsilon):
        return Falling(keys.first, keys.last, keys.steps, tally)
    assert isinstance(keys, HarmonicEpsilon | PolynomialEpsilon)
    power = keys.power if isinstance(keys, PolynomialEpsilon) else 1.0
    return Decaying(keys.a, keys.b, power, keys.least, _PER[keys.per], tally)
