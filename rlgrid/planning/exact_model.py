"""A model in fractions: every row of its outcomes as it is written, or as its floats are; and the same in integers."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np

from rlgrid.arrays import Floats
from rlgrid.kernels.sweeps import Rows
from rlgrid.models.model import TabularModel
from rlgrid.planning.fractions import distinct_outcomes


class ExactRow(NamedTuple):
    """What an action leads to; the probabilities add up to 1."""

    reward: Fraction  # mean
    outcomes: list[tuple[int, Fraction, bool]]  # next state, probability, whether the episode ends


class IntegerRow(NamedTuple):
    """q = (reward + sum of weight * v[next state]) / scale."""

    scale: int
    reward: int
    ahead: list[tuple[int, int]]  # next state, weight: discount times probability of going on


#: The rows of each state [S], by the name of the action.
ExactStates = list[dict[str, ExactRow]]


def exact_states(model: TabularModel) -> ExactStates:
    """The available rows of each state, each divided by its sum: the sum of floats is not quite 1."""
    t, distinct = model.tables, distinct_outcomes(model)
    first, next_state, code = t.first.tolist(), t.next_state.tolist(), t.code.tolist()
    names = model.actions if len(set(model.actions)) == model.n_actions else tuple(map(str, range(model.n_actions)))
    known: dict[tuple[int, ...], tuple[Fraction, list[Fraction], list[bool]]] = {}  # most cells are like others
    states: ExactStates = []
    for s in range(model.n_states):
        rows = {}
        for a, name in enumerate(names):
            begin, end = first[s * model.n_actions + a], first[s * model.n_actions + a + 1]
            if begin == end:
                continue
            if (key := tuple(code[begin:end])) not in known:
                parts = [distinct[i] for i in key]
                total = sum((p for p, *_ in parts), Fraction(0))
                reward = sum((p * r for p, r, _ in parts), Fraction(0)) / total
                known[key] = reward, [p / total for p, *_ in parts], [ends for *_, ends in parts]
            reward, probabilities, ends = known[key]
            rows[name] = ExactRow(reward, merged(list(zip(next_state[begin:end], probabilities, ends, strict=True))))
        states.append(rows)
    return states


def merged(outcomes: list[tuple[int, Fraction, bool]]) -> list[tuple[int, Fraction, bool]]:
    """Outcomes with those of the same next state and end added up."""
    if len({t for t, *_ in outcomes}) == len(outcomes):
        return outcomes
    together: dict[tuple[int, bool], Fraction] = {}
    for t, p, ends in outcomes:
        together[t, ends] = together.get((t, ends), Fraction(0)) + p
    return [(t, p, ends) for (t, ends), p in together.items()]


def mixed_row(shares: list[tuple[Fraction, ExactRow]]) -> ExactRow:
    """The row that takes each of several rows with its probability."""
    reward = sum((share * row.reward for share, row in shares), Fraction(0))
    return ExactRow(reward, merged([(t, share * p, ends) for share, row in shares for t, p, ends in row.outcomes]))


def epsilon_soft(states: ExactStates, epsilon: Fraction) -> ExactStates:
    """The model whose best policy is the best epsilon-soft one: each row is (1 - epsilon) row + epsilon mean row."""
    soft: ExactStates = []
    for rows in states:
        mean = mixed_row([(Fraction(1, len(rows)), row) for row in rows.values()])
        soft.append({name: mixed_row([(1 - epsilon, row), (epsilon, mean)]) for name, row in rows.items()})
    return soft if epsilon else states


def under_policy(states: ExactStates, policy: Floats, model: TabularModel) -> ExactStates:
    """The model with one row in each state: what a policy [S, A] does there.

    Its probabilities mean what they print as, each row divided by its sum.
    """
    chain: ExactStates = []
    for rows, available, probabilities in zip(states, model.available.tolist(), policy.tolist(), strict=True):
        taken = [Fraction(repr(p)) for p, there in zip(probabilities, available, strict=True) if there]
        shares = [(p / sum(taken), row) for p, row in zip(taken, rows.values(), strict=True) if p]
        chain.append({"policy": mixed_row(shares)})
    return chain


def integers(states: ExactStates, discount: Fraction) -> list[list[IntegerRow]]:
    """The rows of each state in integers, in the order of its actions."""
    return [[_in_integers(row, discount) for row in rows.values()] for rows in states]


def _in_integers(row: ExactRow, discount: Fraction) -> IntegerRow:
    ahead = [(t, discount * p) for t, p, ends in row.outcomes if not ends] if discount else []
    scale = lcm(row.reward.denominator, *(p.denominator for _, p in ahead))
    weights = [(t, p.numerator * (scale // p.denominator)) for t, p in ahead]
    return IntegerRow(scale, row.reward.numerator * (scale // row.reward.denominator), weights)


def graph_rows(rows: list[list[IntegerRow]]) -> Rows:
    """Where the rows lead, for the functions of :mod:`rlgrid.planning.graph`; probabilities and rewards are left out.

    Code 0 stands for the chance that the episode ends with the step, 1 for one of going on.
    """
    flat = [row for of_state in rows for row in of_state]
    length = [len(row.ahead) + (sum(w for _, w in row.ahead) < row.scale) for row in flat]
    first = np.concatenate([[0], np.cumsum(length)])
    next_state, code = np.zeros(first[-1], np.int32), np.zeros(first[-1], np.uint16)
    for begin, row in zip(first.tolist(), flat, strict=False):
        n = len(row.ahead)
        next_state[begin : begin + n], code[begin : begin + n] = [t for t, _ in row.ahead], 1
    begin = np.concatenate([[0], np.cumsum([len(of_state) for of_state in rows])])
    return Rows(begin, first, next_state, code, np.zeros(2), np.array([0.0, 1.0]))
