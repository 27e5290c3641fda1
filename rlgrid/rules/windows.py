"""Windows: how far an update looks ahead: one transition, n of them, or the whole episode."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rlgrid.arrays import Floats, Ints
from rlgrid.batch import NO_LIMIT, Transition
from rlgrid.choices import choice, function, rule, unsigned
from rlgrid.rules.corrections import correct, corrected
from rlgrid.rules.credits import is_full, land, note_next
from rlgrid.rules.ingredients import Ingredients
from rlgrid.rules.learner import Learner
from rlgrid.rules.targets import Return, bootstrap


class OneStep(NamedTuple):
    """Each transition makes its own target."""


class Window(NamedTuple):
    """The latest n transitions of an episode, or all of it: n = ``NO_LIMIT`` (Sutton & Barto 2e, Ch. 7).

    Once n transitions are there, the oldest aims at their rewards and the value of the state after them. At the end
    of the episode all that are left aim at what remained, the latest first; a time limit ends a return, but the value
    of the state after it still counts for targets that bootstrap.

    ``visits`` says which of an episode's transitions count: its first one only (0, as in MC basic), the first visit
    of each entry (1), or every visit (2).
    """

    n: int
    visits: int
    state: Ints  # [capacity]
    action: Ints  # [capacity]
    reward: Floats  # [capacity]
    probability: Floats  # [capacity] b(a|s); [0] where no correction asks for it
    span: Ints  # [2] where the transitions that wait begin and end
    seen: Ints  # [S, C] visits within the episode; [0, 0] unless first visits count


#: Room for transitions that wait for the end of an episode, to begin with; it grows.
_ROOM = 256


def new_window(made: Ingredients) -> OneStep | Window:
    """A window as long as the target and ``n`` of a recipe ask for."""
    recipe, whole = made.recipe, isinstance(made.target, Return)
    if recipe.n == 1 and not whole:
        return OneStep()
    room = _ROOM if whole else 2 * recipe.n
    return Window(
        n=NO_LIMIT if whole else recipe.n,
        visits=("start", "first", "every").index(recipe.visits),
        state=np.zeros(room, np.int64),
        action=np.zeros(room, np.int64),
        reward=np.zeros(room),
        probability=np.zeros(room if recipe.is_a("correction", "ratios") else 0),
        span=np.zeros(2, np.int64),
        seen=np.zeros(made.table.shape if recipe.visits == "first" else (0, 0), np.int64),
    )


@rule
def observe(window: Any, learner: Learner, step: Transition) -> None:
    """Take a transition into the window, and update what has become due."""


@choice(observe, OneStep)
def _observe_one_step(window: OneStep, learner: Learner, step: Transition) -> None:
    value = bootstrap(learner.target, learner.table, step)
    target = step.reward + learner.discount * (1.0 - step.terminated) * value
    column = step.action if learner.table.shape[1] > 1 else 0
    note_next(learner.credit, learner, step)
    land(learner.credit, learner, step.state, column, target, step.weight)


@choice(observe, Window)
def _observe_window(window: Window, learner: Learner, step: Transition) -> None:
    if window.span[1] == len(window.state):
        _move_to_front(window)
    end = window.span[1]
    window.state[unsigned(end)], window.action[unsigned(end)] = step.state, step.action
    window.reward[unsigned(end)] = step.reward
    if len(window.probability) > 0:
        window.probability[unsigned(end)] = step.behavior_probability
    window.span[1] = end + 1
    if window.visits == 1:
        column = step.action if learner.table.shape[1] > 1 else 0
        window.seen[unsigned(step.state), unsigned(column)] += 1
    ended = step.terminated or step.truncated
    if ended or end + 1 - window.span[0] == window.n:
        value = bootstrap(learner.target, learner.table, step)
        _walk_back(window, learner, (1.0 - step.terminated) * value, ended)


@function
def _move_to_front(window: Window) -> None:
    """Make room at the end by dropping what has landed; room for 2 n transitions is enough."""
    begin, end = window.span[0], window.span[1]
    for j in range(begin, end):
        window.state[unsigned(j - begin)], window.action[unsigned(j - begin)] = (
            window.state[unsigned(j)],
            window.action[unsigned(j)],
        )
        window.reward[unsigned(j - begin)] = window.reward[unsigned(j)]
        if len(window.probability) > 0:
            window.probability[unsigned(j - begin)] = window.probability[unsigned(j)]
    window.span[0], window.span[1] = 0, end - begin


@function
def _walk_back(window: Window, learner: Learner, value: float, ended: bool) -> None:
    """G <- r + discount G from the value at the end back; the oldest transition lands, at an end all of them."""
    table, oldest = learner.table, window.span[0]
    total, weight = value, 1.0
    for j in range(window.span[1] - 1, oldest - 1, -1):
        state, action = window.state[unsigned(j)], window.action[unsigned(j)]
        column = action if table.shape[1] > 1 else 0
        behavior = window.probability[unsigned(j)] if len(window.probability) > 0 else 1.0
        total = window.reward[unsigned(j)] + learner.discount * total
        if table.shape[1] == 1:  # the value of a state is that of its action too, so that its ratio counts
            total, weight = correct(learner.correction, table, state, action, behavior, total, weight)
        counts = j == oldest or (ended and window.visits == 2)
        if window.visits == 1:
            window.seen[unsigned(state), unsigned(column)] -= 1
            counts = window.seen[unsigned(state), unsigned(column)] == 0
        target, share = corrected(learner.correction, total, weight)
        if counts and share > 0.0:
            land(learner.credit, learner, state, column, target, share)
        if table.shape[1] > 1:
            total, weight = correct(learner.correction, table, state, action, behavior, total, weight)
    window.span[0] = oldest + 1
    if ended:
        window.span[0], window.span[1] = 0, 0


@choice(is_full, Window)
def _is_full(window: Window) -> bool:
    return bool(window.span[1] - window.span[0] == len(window.state))
