"""The exact distribution of the return under a policy: dynamic programming over pairs of a state and a sum of rewards.

An atom is such a pair with its probability. In each step every atom goes on to all that can follow, and atoms with
equal state and sum become one. That needs rewards with finitely many values, and it is fast where sums coincide: with
few distinct rewards, or few steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.errors import InputError, number, whole
from rlgrid.models.checks import check_policy, resolve_discount
from rlgrid.models.model import Source, TabularModel, as_model
from rlgrid.planning.graph import recurrent_classes, rows_at

#: Sums closer than this, relative to the largest sum of so many steps, are one.
SAME = 1e-12

#: Steps after which episodes are no longer followed; some ten seconds.
MOST_STEPS = 100_000


class ReturnDistribution(NamedTuple):
    """What an episode pays, and with which probability."""

    values: Floats  # [K] in increasing order
    probabilities: Floats  # [K]
    missing: float  # probability of episodes that go on for longer than was followed; they are in no value
    error: float  # how far a value can be from the return of an episode that was cut short (discount below 1)
    steps: int  # how long episodes were followed

    @property
    def mean(self) -> float:
        """Mean of the returns that were found."""
        return float((self.values * self.probabilities).sum() / self.probabilities.sum())

    @property
    def variance(self) -> float:
        """Variance of the returns that were found."""
        return float((self.probabilities * (self.values - self.mean) ** 2).sum() / self.probabilities.sum())


class _Atoms(NamedTuple):
    """Unfinished episodes: where they are, what they have collected, and how likely that is, [N] each."""

    state: Ints
    total: Floats
    probability: Floats


class _Moves(NamedTuple):
    """What can follow under the policy, [M] each."""

    first: Ints  # [S + 1] where the moves from each state begin
    next_state: Ints
    reward: Floats
    probability: Floats
    terminated: NDArray[np.bool_]


def return_distribution(
    source: Source,
    policy: ArrayLike,
    *,
    start: int | None = None,
    discount: float | None = None,
    horizon: int | None = None,
    missing: float = 1e-9,
    most_atoms: int = 1_000_000,
) -> ReturnDistribution:
    """The distribution of the return of an episode under a policy.

    Args:
        source: a world, a model, or an environment with ``P``.
        policy: probabilities [S, A].
        start: the state to start in; by default the start distribution.
        discount: by default the model's own, else 0.99.
        horizon: cuts episodes off after so many steps, and counts what they have collected; by default the model's
            ``max_episode_steps``, else nothing is cut off.
        missing: without a horizon, episodes are followed until no more than this probability is left, or until
            discounting leaves less than this (times the largest reward) to collect.
        most_atoms: no more (state, sum) pairs at a time than this.

    Raises:
        InputError: for rewards with normal noise, where there are too many atoms, or where episodes need not end and
            nothing cuts them off.

    >>> import rlgrid
    >>> world = rlgrid.load_world("frozen_lake_4x4")
    >>> found = return_distribution(world, rlgrid.solve(world, "policy_iteration").policy)
    >>> found.values.tolist(), found.probabilities.round(4).tolist()  # the best without a limit, within 100 steps
    ([0.0, 1.0], [0.2598, 0.7402])
    """
    model = as_model(source)
    gamma = resolve_discount(discount, model.discount)
    horizon = model.max_episode_steps if horizon is None else whole("horizon", horizon)
    missing = number("missing", missing, lambda x: 0 < x < 1, "above 0 and below 1")
    most_atoms = whole("most_atoms", most_atoms)
    checked = check_policy(model, policy)
    moves = _moves(model, checked)
    resting = _resting(model, checked, moves, endless_allowed=horizon is not None or gamma < 1)
    most = float(np.abs(moves.reward).max(initial=0.0))
    atoms, ended = _arrived(_starts(model, start), model.terminal | resting)
    done = [ended]
    step, weight, scale, left, rest = 0, 1.0, most, 1.0, np.inf
    while horizon is None or step < horizon:
        left = float(atoms.probability.sum())
        rest = np.inf if gamma == 1 else weight * most / (1 - gamma)
        if not len(atoms.state) or (horizon is None and (left <= missing or rest <= missing * most)):
            break
        if step == MOST_STEPS:
            other = "a larger missing, or a horizon" if horizon is None else f"a horizon of at most {step:,}"
            raise InputError(f"missing: {left:.1g} is left after {step:,} steps; allowed: {other}")
        atoms, ended = _advance(atoms, moves, weight, SAME * scale, most_atoms, model.name)
        done.append(ended)
        atoms, ended = _arrived(atoms, resting)
        done.append(ended)
        step, weight = step + 1, weight * gamma
        scale += weight * most
    cut = horizon is not None or (rest <= missing * most and left > missing)
    done += [(atoms.total, atoms.probability)] if cut else []
    total, probability = (np.concatenate(column) for column in zip(*done, strict=True))
    values, probabilities = _merged(total, probability, SAME * scale)
    error = rest if cut and horizon is None else 0.0
    return ReturnDistribution(values, probabilities, 0.0 if cut else left, error, step)


def _moves(model: TabularModel, policy: Floats) -> _Moves:
    """All outcomes under a policy [S, A]; each value of a random reward is one of its own."""
    t = model.tables
    if (t.noise_std > 0).any():
        raise InputError(f"{model.name}: a reward has normal noise; allowed: rewards with finitely many values")
    row = model.row_of_outcome
    share = policy.ravel()[row] * t.probability[t.code]
    kept = (share > 0) & ~model.terminal[row // model.n_actions]
    width = t.noise_values.shape[1] if len(t.noise_values) else 1
    value, chance = np.zeros((len(t.reward), width)), np.zeros((len(t.reward), width))
    value[:, 0], chance[:, 0] = t.reward, 1.0
    noisy = t.noise >= 0
    value[noisy] = t.noise_values[t.noise[noisy]]
    chance[noisy] = np.diff(t.noise_cumulative, axis=1, prepend=0.0)[t.noise[noisy]]
    code = t.code[kept]
    probability = (share[kept, None] * chance[code]).ravel()
    possible = probability > 0
    state = np.repeat(row[kept] // model.n_actions, width)[possible]
    return _Moves(
        first=np.searchsorted(state, np.arange(model.n_states + 1)),
        next_state=np.repeat(t.next_state[kept], width)[possible].astype(np.int64),
        reward=value[code].ravel()[possible],
        probability=probability[possible],
        terminated=np.repeat(t.terminated[code], width)[possible],
    )


def _resting(model: TabularModel, policy: Floats, moves: _Moves, *, endless_allowed: bool) -> NDArray[np.bool_]:
    """States from which nothing more is ever paid, though the episode does not end."""
    rows, used = rows_at(model, 1.0), policy.ravel() > 0
    label = recurrent_classes(rows, used)
    pays = np.zeros(model.n_states, np.bool_)
    pays[np.repeat(np.arange(model.n_states), np.diff(moves.first))[moves.reward != 0]] = True
    paying = np.isin(label, label[pays & (label >= 0)])
    if not endless_allowed and (paying & model.reached(used)).any():
        raise InputError(
            f"{model.name}: rewards may be paid for ever, so that the return has no distribution; "
            "allowed: horizon, or a discount below 1"
        )
    return (label >= 0) & ~paying


def _starts(model: TabularModel, start: int | None) -> _Atoms:
    """An episode that has just begun, in each state where it may."""
    if start is not None:
        start = whole("start", start, 0, most=model.n_states - 1)
    state = np.array([start]) if start is not None else np.flatnonzero(model.start)
    share = np.ones(1) if start is not None else model.start[state]
    return _Atoms(state, np.zeros(len(state)), share)


def _arrived(atoms: _Atoms, where: NDArray[np.bool_]) -> tuple[_Atoms, tuple[Floats, Floats]]:
    """Split atoms: those outside of the states ``where`` [S]; totals and probabilities [N] of those that are there."""
    there = where[atoms.state]
    kept = _Atoms(atoms.state[~there], atoms.total[~there], atoms.probability[~there])
    return kept, (atoms.total[there], atoms.probability[there])


def _advance(
    atoms: _Atoms, moves: _Moves, weight: float, same: float, most_atoms: int, name: str
) -> tuple[_Atoms, tuple[Floats, Floats]]:
    """One step of all atoms: those that go on; totals and probabilities [K] of those that have ended."""
    length = np.diff(moves.first)[atoms.state]
    if length.sum() > 16 * most_atoms:
        raise _too_many(name, most_atoms)
    ends = np.cumsum(length)
    move = np.repeat(moves.first[atoms.state] - ends + length, length) + np.arange(ends[-1])
    state, terminated = moves.next_state[move], moves.terminated[move]
    total = np.repeat(atoms.total, length) + weight * moves.reward[move]
    probability = np.repeat(atoms.probability, length) * moves.probability[move]
    finished = _merged(total[terminated], probability[terminated], same)
    state, total, probability = state[~terminated], total[~terminated], probability[~terminated]
    order = np.lexsort((total, state))
    state, total, probability = state[order], total[order], probability[order]
    new = np.ones(len(state), np.bool_)
    new[1:] = (np.diff(state) != 0) | (np.diff(total) > same)
    if new.sum() > most_atoms:
        raise _too_many(name, most_atoms)
    summed = np.add.reduceat(probability, np.flatnonzero(new)) if len(state) else probability
    return _Atoms(state[new], total[new], summed), finished


def _merged(total: Floats, probability: Floats, same: float) -> tuple[Floats, Floats]:
    """Distinct totals in increasing order, and their probabilities."""
    order = np.argsort(total, kind="stable")
    total, probability = total[order], probability[order]
    new = np.ones(len(total), np.bool_)
    new[1:] = np.diff(total) > same
    summed = np.add.reduceat(probability, np.flatnonzero(new)) if len(total) else probability
    return total[new], summed


def _too_many(name: str, most_atoms: int) -> InputError:
    return InputError(
        f"{name}: more than {most_atoms:,} pairs of a state and a sum of rewards; "
        "allowed: a smaller horizon, fewer distinct rewards, or a larger most_atoms"
    )
