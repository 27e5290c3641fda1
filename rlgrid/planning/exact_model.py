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


class Odds(NamedTuple):
    """What can happen in a row, without where it leads: rows of cells that are alike share it. n outcomes."""

    reward: Fraction  # mean
    probabilities: list[Fraction]  # [n] their sum is 1
    ends: list[bool]  # [n] whether the episode ends


class ExactRow(NamedTuple):
    """What an action leads to."""

    odds: Odds
    next_states: list[int]  # [n]


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
    known: dict[tuple[int, ...], Odds] = {}
    states: ExactStates = []
    for s in range(model.n_states):
        rows = {}
        for a, name in enumerate(names):
            begin, end = first[s * model.n_actions + a], first[s * model.n_actions + a + 1]
            if begin == end:
                continue
            if (key := tuple(code[begin:end])) not in known:
                known[key] = _odds([distinct[i] for i in key])
            rows[name] = ExactRow(known[key], next_state[begin:end])
        states.append(rows)
    return states


def _odds(outcomes: list[tuple[Fraction, Fraction, bool]]) -> Odds:
    total = sum((p for p, *_ in outcomes), Fraction(0))
    reward = sum((p * r for p, r, _ in outcomes), Fraction(0)) / total
    return Odds(reward, [p / total for p, *_ in outcomes], [ends for *_, ends in outcomes])


def mixed_row(shares: list[tuple[Fraction, ExactRow]]) -> ExactRow:
    """The row that takes each of several rows with its probability."""
    reward = sum((share * row.odds.reward for share, row in shares), Fraction(0))
    together: dict[tuple[int, bool], Fraction] = {}
    for share, row in shares:
        for t, p, ends in zip(row.next_states, row.odds.probabilities, row.odds.ends, strict=True):
            together[t, ends] = together.get((t, ends), Fraction(0)) + share * p
    odds = Odds(reward, list(together.values()), [ends for _, ends in together])
    return ExactRow(odds, [t for t, _ in together])


def epsilon_soft(states: ExactStates, epsilon: Fraction) -> ExactStates:
    """The model whose best policy is the best epsilon-soft one: each row is (1 - epsilon) row + epsilon mean row."""
    if not epsilon:
        return states
    soft: ExactStates = []
    for rows in states:
        share = epsilon / len(rows)
        mean = [(share, row) for row in rows.values()]
        soft.append(
            {name: mixed_row([(1 - epsilon, row), *mean] if epsilon < 1 else mean) for name, row in rows.items()}
        )
    return soft


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
    known: dict[int, tuple[int, int, list[int]]] = {}

    def in_integers(row: ExactRow) -> IntegerRow:
        if id(row.odds) not in known:
            known[id(row.odds)] = _over_one_denominator(row.odds, discount)
        scale, reward, weights = known[id(row.odds)]
        return IntegerRow(scale, reward, [(t, w) for t, w in zip(row.next_states, weights, strict=True) if w])

    return [[in_integers(row) for row in rows.values()] for rows in states]


def _over_one_denominator(odds: Odds, discount: Fraction) -> tuple[int, int, list[int]]:
    """The scale of a row, its reward, and the weights of its outcomes; 0 where the episode ends."""
    ahead = [Fraction(0) if ends else discount * p for p, ends in zip(odds.probabilities, odds.ends, strict=True)]
    scale = lcm(odds.reward.denominator, *(p.denominator for p in ahead))
    reward = odds.reward.numerator * (scale // odds.reward.denominator)
    return scale, reward, [p.numerator * (scale // p.denominator) for p in ahead]


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
