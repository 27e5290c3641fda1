"""Custom rules: Python functions that change what an action leads to, after the world's own rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from rlgrid.errors import InputError
from rlgrid.models.model import TabularModel
from rlgrid.models.outcomes import Outcomes, merge_outcomes
from rlgrid.worlds.world import World

#: One outcome in the toy-text form: probability, next state, reward, terminated.
ToyOutcome: TypeAlias = tuple[float, int, float, bool]

#: ``rule(world, state, action, outcomes)`` returns the outcomes that replace those given.
CustomRule: TypeAlias = Callable[[World, int, int, list[ToyOutcome]], list[ToyOutcome]]


def model_with_rules(world: World, rules: Iterable[CustomRule]) -> TabularModel:
    """Compile a world, then let each rule change the outcomes of every action in every open cell.

    The probabilities that a rule returns have to add up to 1; an empty list makes the action unavailable. Planners,
    environments and compiled loops take the result like any other model.

    Args:
        world: with rewards that are plain numbers.
        rules: applied one after the other.

    Raises:
        InputError: for random rewards, or outcomes that are not what a rule may return.

    A conveyor belt carries an agent that stands on ``>`` after a move on to the right:

    >>> world = World.from_toml('''
    ... actions = ["left", "right"]
    ... map = "S>>.G"
    ... [cells]
    ... ">" = {}
    ... G = { terminal = true, enter = 1 }
    ... ''')
    >>> def conveyor(world, state, action, outcomes):
    ...     belt = set(world.where(">").tolist())
    ...     def carried(cell):
    ...         while cell in belt:
    ...             cell += 1
    ...         return cell
    ...     return [(p, carried(cell), reward, ends) for p, cell, reward, ends in outcomes]
    >>> model_with_rules(world, [conveyor]).P[0][1]
    [(1.0, 3, 0.0, False)]
    """
    model = TabularModel.from_world(world)
    if (model.tables.noise >= 0).any():
        raise InputError(f"{world.name}: it has random rewards; custom rules are allowed where rewards are numbers")
    flat: list[tuple[int, float, int, float, bool]] = []
    for state in np.flatnonzero(~model.terminal).tolist():
        for action, compiled in model.P[state].items():
            outcomes = list(compiled)
            for rule in rules:
                outcomes = _checked(rule(world, state, action, outcomes), world, state, action)
            flat += [(state * model.n_actions + action, *outcome) for outcome in outcomes]
    if not flat:
        raise InputError(f"{world.name}: the custom rules leave no action anywhere; allowed: at least one in a state")
    rows, probability, next_state, reward, terminated = zip(*flat, strict=True)
    tables = merge_outcomes(
        Outcomes(
            np.array(rows, np.int64),
            np.array(next_state, np.int64),
            np.array(probability),
            np.array(reward),
            np.array(terminated, np.bool_) | model.terminal[np.array(next_state)],
        ),
        model.n_states,
        model.n_actions,
        start=model.start,
        name=world.name,
        terminal=model.terminal,
    )
    return model.with_tables(tables)


def _checked(returned: Any, world: World, state: int, action: int) -> list[ToyOutcome]:
    """What a rule returned, as a list of outcomes that can happen."""
    place = f"{world.name}: a custom rule, in state {state}, action {world.actions[action]}"
    if not isinstance(returned, list | tuple):
        raise InputError(
            f"{place}: found {returned!r}; allowed: a list of (probability, next state, reward, terminated)"
        )
    walls = world.mask("wall")
    checked: list[ToyOutcome] = []
    for outcome in returned:
        try:
            p, next_state, reward, terminated = outcome
            checked.append((float(p), operator.index(next_state), float(reward), bool(terminated)))
        except (TypeError, ValueError):
            raise InputError(
                f"{place}: found {outcome!r}; allowed: (probability, next state, reward, terminated)"
            ) from None
        if not 0 <= checked[-1][1] < world.n_states or not 0 < checked[-1][0] <= 1 or walls[checked[-1][1]]:
            raise InputError(
                f"{place}: found {outcome!r}; allowed: probability above 0, next state 0 to {world.n_states - 1}, "
                "not a wall"
            )
    return checked
