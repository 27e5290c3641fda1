"""Discount 1: which values are finite, decided on the graph before anything is iterated.

Rewards count by their mean, as in every Bellman equation. A row of the model is *closed* where none of its outcomes
ends the episode. An *end component* is a set of states with closed rows that can be kept to for ever and lead from
each of its states to each other one; the policies that never end stay in end components with probability 1.

1. An end component whose closed rows all pay 0 can be kept to at no cost. Each such component is collapsed to one
   state, with one more row, which stops for a value of 0. Without that, v = T v would have many solutions.
2. Another end component in which some policy collects a positive mean reward a step makes the optimum infinite; one in
   which the best mean is 0 makes it undefined, as sums go up and down for ever. Both are errors.
3. A state from which no policy reaches an end or a stop has the value minus infinity. So does one whose actions may
   all lead to such states; the others avoid them (:mod:`rlgrid.planning.avoidance`). It is an error where episodes may
   start in one.

In what is left some policy ends from everywhere, and every policy that does not has the value minus infinity somewhere:
so v* is the only solution of v = T v in the collapsed model, and both value iteration from anywhere and policy
iteration from a policy that ends converge to it (Bertsekas & Tsitsiklis, An analysis of stochastic shortest path
problems, Mathematics of Operations Research 16 (1991), Propositions 2 and 3).

Where a policy is given, or every action has a positive probability (epsilon above 0), nothing is left to choose in the
graph: there the recurrent classes take the place of the end components.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import numpy as np

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError
from rlgrid.kernels.sweeps import NO_WEIGHT, Rows, sweep
from rlgrid.models.model import TabularModel
from rlgrid.models.tables import TIE
from rlgrid.planning.graph import (
    ZERO_MEAN,
    Labels,
    closed_rows,
    end_components,
    mean_rewards,
    numbered,
    recurrent_classes,
    regroup,
    state_of_row,
    towards,
    uniform_weights,
    values_of_rows,
)

#: A mean reward a step within this, relative to the largest reward, counts as 0.
ZERO_GAIN = 1e-9

#: Outcomes to look at before the sign of a mean reward is given up: some seconds.
MOST_OUTCOMES = 2**31


class NoEndError(InputError):
    """From some states no policy reaches an end."""


class Collapsed(NamedTuple):
    """A model at discount 1 in which each component that can be kept to for free is one state: Q states, not S."""

    rows: Rows
    number: Ints  # [S] state of ``rows`` for each state of the model
    origin: Ints  # [R'] row of the model for each row of ``rows``; its number of rows or more: a stop
    inside: Bools  # [R] rows of the model that keep to a component
    ending: Ints  # [Q] row of ``rows`` for each state: a policy that ends with probability 1


def collapse(model: TabularModel, rows: Rows, epsilon: float) -> Collapsed:
    """Analyse a model, and collapse the components that can be kept to for free.

    Raises:
        InputError: where the optimal (epsilon-soft) value of a cell is infinite or undefined.
    """
    n_states, n_rows = len(rows.begin) - 1, len(rows.first) - 1
    if epsilon > 0:
        used = np.diff(rows.first) > 0
        uniform = uniform_weights(rows) if epsilon == 1 else NO_WEIGHT  # then there is nothing to choose
        label = resting_classes(
            model, rows, used, epsilon=epsilon, whose="the epsilon-soft optimal value", weight=uniform
        )
        inside = used & (label[state_of_row(rows)] >= 0)
    else:
        inside = closed_rows(rows) & (mean_rewards(rows) == 0)
        label = end_components(rows, inside)
    if inside.any():
        number, stopping = numbered(label)
        collapsed, origin = regroup(rows, ~inside & (np.diff(rows.first) > 0), number, stopping)
    else:
        number, collapsed, origin = np.arange(n_states), rows, np.arange(n_rows)
    if epsilon == 0:
        _refuse_endless_reward(model, rows, collapsed, origin)
    reached, ending = towards_an_end(collapsed, np.diff(collapsed.first) > 0)
    if not reached.all():
        lost = np.flatnonzero(~reached[number])
        raise NoEndError(
            f"{model.name}: at discount 1 no policy reaches an end from {cells_in_words(model, lost)}: "
            "the value there is minus infinity; allowed: a discount below 1, or a way to a terminal cell"
        )
    return Collapsed(collapsed, number, origin, inside, ending)


def expand(collapsed: Collapsed, rows: Rows, choice: Ints) -> Ints:
    """The rows of the model [S] that do what ``choice`` [Q] does in the collapsed model.

    Within a component they lead to the state from which the row chosen leaves it, or stay for ever if stopping is best.
    """
    chosen = collapsed.origin[choice][collapsed.number]
    if not collapsed.inside.any():
        return chosen
    n_rows = len(rows.first) - 1
    owner = state_of_row(rows)
    leaves = chosen < n_rows
    exits = np.unique(chosen[leaves])
    target = np.zeros(len(chosen), np.bool_)
    target[owner[exits]] = True
    _, closer = towards(rows, collapsed.inside, target)
    first_inside = np.flatnonzero(collapsed.inside)
    stay = np.full(len(chosen), -1)
    stay[owner[first_inside[::-1]]] = first_inside[::-1]
    wanders = leaves & ~target
    chosen[wanders] = closer[wanders]
    chosen[~leaves] = stay[~leaves]
    return chosen


def resting_classes(
    model: TabularModel, rows: Rows, used: Bools, *, whose: str, epsilon: float = 0.0, weight: Floats = NO_WEIGHT
) -> Labels:
    """Recurrent classes that never end and pay nothing, where the rows ``used`` all have positive probability.

    ``weight`` [R] are the probabilities of a given policy; without them the best epsilon-soft policy is meant.
    Returns the label of each state [S], -1 for states outside of such classes.

    Raises:
        InputError: where a recurrent class never ends and pays or costs something.
    """
    owner = state_of_row(rows)
    label = recurrent_classes(rows, used)
    low, high = _reward_range(rows, used, mean_rewards(rows), weight)
    for number in np.unique(label[((low != 0) | (high != 0)) & (label >= 0)]):
        members = label == number
        sign = _sign_of_gain(rows, members, used, (low, high), epsilon, weight)
        _refuse(model, rows, np.flatnonzero(used & members[owner]), sign, whose)
    return label


def signs_of_classes(rows: Rows, used: Bools, label: Labels, weight: Floats) -> Floats:
    """What a policy collects for ever from each state of a recurrent class, [S]: 1 gains, -1 losses, 0 nothing.

    nan: rewards of both signs whose mean is 0, or whose mean could not be told from 0. ``weight`` [R] are the policy's
    probabilities, ``label`` [S] the classes, -1 outside of them.
    """
    sign = np.zeros(len(label))
    reward, _ = _reward_range(rows, used, mean_rewards(rows), weight)
    gains, losses = (np.zeros(label.max() + 1, np.bool_) for _ in range(2))
    gains[label[(reward > 0) & (label >= 0)]] = True
    losses[label[(reward < 0) & (label >= 0)]] = True
    sign[label >= 0] = gains.astype(np.float64)[label[label >= 0]] - losses[label[label >= 0]]
    words = {"positive": 1.0, "negative": -1.0, "zero": np.nan, "unknown": np.nan}
    for number in np.flatnonzero(gains & losses):
        members = label == number
        sign[members] = words[_sign_of_gain(rows, members, used, (reward, reward), 0.0, weight)]
    return sign


def _reward_range(rows: Rows, used: Bools, mean: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Least and greatest mean reward that a step from each state can pay, [S] each."""
    owner = state_of_row(rows)
    n_states = len(rows.begin) - 1
    if len(weight):
        reward = np.asarray(np.bincount(owner, weight * mean, n_states), dtype=np.float64)
        size = np.bincount(owner, weight * np.abs(mean), n_states)
        reward[np.abs(reward) <= ZERO_MEAN * size] = 0
        return reward, reward
    low, high = np.full(n_states, np.inf), np.full(n_states, -np.inf)
    np.minimum.at(low, owner[used], mean[used])
    np.maximum.at(high, owner[used], mean[used])
    return low, high


def _refuse_endless_reward(model: TabularModel, rows: Rows, collapsed: Rows, origin: Ints) -> None:
    """Raise where an end component of the collapsed model pays, or pays 0 only on average."""
    mean, usable = mean_rewards(collapsed), closed_rows(collapsed)
    if not (mean[usable] > 0).any():
        return
    label = end_components(collapsed, usable)
    reward, owner = _reward_range(collapsed, usable, mean, NO_WEIGHT), state_of_row(collapsed)
    for component in np.unique(label[owner[usable & (mean > 0)]]):
        members = label == component
        sign = _sign_of_gain(collapsed, members, usable, reward, 0.0, NO_WEIGHT)
        if sign != "negative":
            _refuse(model, rows, origin[usable & members[owner]], sign, "the optimal value")


def _refuse(model: TabularModel, rows: Rows, row: Ints, sign: str, whose: str) -> NoReturn:
    """Raise the sentence about rows that can be taken for ever and have a mean reward of this sign."""
    mean = mean_rewards(rows)[row]
    extreme = row[mean == (mean.min() if sign == "negative" else mean.max())]
    entered = np.concatenate([rows.next_state[rows.first[r] : rows.first[r + 1]] for r in extreme[:1000].tolist()])
    where = cells_in_words(model, np.argmax(np.bincount(entered), keepdims=True))
    what = {
        "positive": f"is infinite: reward can be collected for ever around {where}",
        "negative": f"is minus infinity: episodes go on for ever and pay negative rewards around {where}",
        "zero": f"is undefined, up to rounding: around {where} rewards that cancel out can be collected for ever",
        "unknown": f"could not be shown to be finite: around {where} rewards of both signs can be collected for ever",
    }[sign]
    raise InputError(f"{model.name}: at discount 1 {whose} {what}; allowed: a discount below 1, or a terminal cell")


def _sign_of_gain(
    rows: Rows, members: Bools, usable: Bools, reward: tuple[Floats, Floats], epsilon: float, weight: Floats
) -> str:
    """Sign of the best mean reward a step in a set of states that is never left and leads everywhere in itself.

    min (T v - v) and max (T v - v) enclose it for every v, and value iteration with a coin toss between moving and
    staying (so that it has no period) brings them together (Puterman, Markov Decision Processes, Sec. 8.5).
    """
    low, high = reward[0][members].min(), reward[1][members].max()
    if low >= 0:
        return "positive"
    if high <= 0:
        return "negative"
    number = np.where(members, np.cumsum(members) - 1, -1)
    part, origin = regroup(rows, usable & members[state_of_row(rows)], number)
    shares = weight[origin] if len(weight) else weight
    v, out = np.zeros(int(members.sum())), np.zeros(int(members.sum()))
    zero = ZERO_GAIN * max(-low, high)
    for _ in range(MOST_OUTCOMES // (10_000 + len(part.next_state))):
        sweep(part, shares, epsilon, v, out)
        least, most = (out - v).min(), (out - v).max()
        if least > zero:
            return "positive"
        if most < -zero:
            return "negative"
        if least >= -zero and most <= zero:
            return "zero"
        v = 0.5 * (v + out)
        v -= v[0]
    return "unknown"


def cells_in_words(model: TabularModel, states: Ints) -> str:
    """The first cells of a list in words, or the first states where there is no map."""
    named = ", ".join(model.place_of(s) for s in states[:2].tolist())
    return named + (f" and {len(states) - 2} more" if len(states) > 2 else "")


def ending_choice(rows: Rows, choice: Ints, v: Floats) -> Ints:
    """The rows chosen [Q]; where these never end an episode, rows as good as they that lead to an end.

    Where actions differ by rounding only, a choice among them can put the end off for ever.
    """
    usable = np.zeros(len(rows.first) - 1, np.bool_)
    usable[choice] = True
    reached, _ = towards_an_end(rows, usable)
    if reached.all():
        return choice
    q, best = values_of_rows(rows, v)
    _, closer = towards_an_end(rows, (q >= best - TIE * np.abs(best)) | usable)
    return np.where(reached | (closer < 0), choice, closer)


def towards_an_end(rows: Rows, usable: Bools) -> tuple[Bools, Ints]:
    """States from which usable rows [R] lead to an end, bool [Q], and the row of each that leads there, else -1."""
    ends = np.flatnonzero(usable & ~closed_rows(rows))
    target = np.zeros(len(rows.begin) - 1, np.bool_)
    last = np.full(len(target), -1)
    last[state_of_row(rows)[ends[::-1]]] = ends[::-1]
    target[last >= 0] = True
    reached, choice = towards(rows, usable, target)
    return reached, np.where(target, last, choice)
