"""Models counted from experience: maximum likelihood, or a Dirichlet prior and its posterior.

The counts of a row (s, a) are those of its outcomes, an outcome being a next state and whether the episode ended
there. Maximum likelihood takes their shares as probabilities. With a Dirichlet(prior, ..., prior) belief over all next
states the posterior is Dirichlet(prior + counts): its mean, or a draw from it (Strens, A Bayesian framework for
reinforcement learning, ICML 2000; Osband, Russo & Van Roy, (More) efficient reinforcement learning via posterior
sampling, NeurIPS 2013).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.batch import Batch, empty_batch
from rlgrid.errors import InputError
from rlgrid.models.tables import Tables, merge_outcomes

#: Outcomes of a belief over all next states; more would take too long to plan with.
MOST_BELIEVED = 50_000_000


class Counts(NamedTuple):
    """What was seen: n distinct outcomes of S A rows, in order of row, next state and end."""

    row: Ints  # [n] state * n_actions + action
    next_state: Ints  # [n]
    terminated: Bools  # [n]
    weight: Floats  # [n] summed
    reward: Floats  # [n] weighted mean reward
    square: Floats  # [n] weighted mean of its square


def count(batch: Batch, n_states: int, n_actions: int) -> Counts:
    """Count the outcomes in a batch."""
    row = batch.state * n_actions + batch.action
    key = (row * n_states + batch.next_state) * 2 + batch.terminated
    distinct, place = np.unique(key, return_inverse=True)
    total = np.bincount(place, batch.weight, len(distinct))
    paid = np.bincount(place, batch.weight * batch.reward, len(distinct))
    squared = np.bincount(place, batch.weight * batch.reward**2, len(distinct))
    pair, ends = np.divmod(distinct, 2)
    row, next_state = np.divmod(pair, n_states)
    return Counts(row, next_state, ends != 0, np.asarray(total, np.float64), paid / total, squared / total)


def condensed(batch: Batch, n_states: int, n_actions: int) -> Batch:
    """The same experience in few transitions: one for each outcome, its count being the weight.

    Where an outcome's reward varies there are two, of half the weight, with its mean and variance.
    """
    counts = count(batch, n_states, n_actions)
    spread = np.sqrt(np.maximum(counts.square - counts.reward**2, 0.0))
    spread[spread <= 1e-7 * np.abs(counts.reward)] = 0.0  # rounding
    varies = spread > 0
    place = np.concatenate([np.arange(len(counts.row)), np.flatnonzero(varies)])
    found = empty_batch(len(place))
    found.state[:], found.action[:] = np.divmod(counts.row[place], n_actions)
    found.next_state[:], found.next_action[:] = counts.next_state[place], 0
    found.reward[:] = counts.reward[place] + spread[place]
    found.reward[len(counts.row) :] -= 2.0 * spread[varies]
    found.weight[:] = np.where(varies, 0.5, 1.0)[place] * counts.weight[place]
    found.terminated[:], found.truncated[:], found.behavior_probability[:] = counts.terminated[place], False, 1.0
    return found


def likeliest(counts: Counts, n_rows: int) -> tuple[Ints, Ints, Floats, Floats, Bools]:
    """Row, next state, probability, reward and end of each outcome under maximum likelihood."""
    total = np.bincount(counts.row, counts.weight, n_rows)
    return counts.row, counts.next_state, counts.weight / total[counts.row], counts.reward, counts.terminated


def believed(
    counts: Counts, allowed: Bools, prior: float, prior_reward: float, draw: np.random.Generator | None
) -> tuple[Ints, Ints, Floats, Floats, Bools]:
    """The same under the posterior of a Dirichlet(prior) belief over all next states of the rows ``allowed`` [S, A].

    Next states in which an episode has ended are ends wherever they come next. Rewards are believed by row: ``prior``
    pseudo-samples of ``prior_reward`` enter the mean; a draw is normal around it, with the variance of the mean of the
    row's n rewards and one more that is half the range of all rewards away. ``draw`` draws one model from the belief;
    without it, it is the mean.
    """
    n_states, n_actions = allowed.shape
    rows = np.flatnonzero(allowed)
    if len(rows) * n_states > MOST_BELIEVED:
        raise InputError(
            f"prior: a belief over {len(rows) * n_states:,} outcomes; allowed: {MOST_BELIEVED:,} at most, or prior = 0"
        )
    ends = np.zeros(n_states, np.bool_)
    ends[counts.next_state[counts.terminated]] = True
    n_rows = n_states * n_actions
    seen = np.zeros((n_rows, n_states))
    np.add.at(seen, (counts.row, counts.next_state), counts.weight)
    belief = prior + seen[rows]
    share = belief if draw is None else draw.standard_gamma(belief)
    share = np.maximum(share, np.finfo(np.float64).tiny)
    total = np.bincount(counts.row, counts.weight, n_rows)[rows] + prior
    paid = np.bincount(counts.row, counts.weight * counts.reward, n_rows)[rows] + prior * prior_reward
    reward = paid / total
    if draw is not None:
        n = np.bincount(counts.row, counts.weight, n_rows)[rows]
        squares = np.bincount(counts.row, counts.weight * counts.square, n_rows)[rows]
        seen_variance = np.maximum(
            squares / np.maximum(n, 1) - (paid - prior * prior_reward) ** 2 / np.maximum(n, 1) ** 2, 0
        )
        half_range = 0.5 * np.ptp(np.append(counts.reward, prior_reward))
        variance = (n * seen_variance + half_range**2) / (n + 1) ** 2
        reward = reward + np.sqrt(variance) * draw.standard_normal(len(rows))
    return (
        np.repeat(rows, n_states),
        np.tile(np.arange(n_states), len(rows)),
        (share / share.sum(axis=1, keepdims=True)).ravel(),
        np.repeat(reward, n_states),
        np.tile(ends, len(rows)),
    )


def counted_tables(
    batch: Batch,
    n_states: int,
    n_actions: int,
    prior: float,
    prior_reward: float,
    seed: int | np.random.Generator | None,
    available: ArrayLike | None,
    start: ArrayLike | None,
    name: str,
) -> Tables:
    """The tables of :meth:`rlgrid.TabularModel.from_batch`, which explains the arguments."""
    if not batch.size:
        raise InputError("batch: it is empty; allowed: at least one transition")
    if not (batch.weight > 0).all():
        raise InputError(f"batch: found a weight of {batch.weight.min():g}; allowed: above 0")
    if not 0 <= prior < np.inf or (seed is not None and not prior):
        raise InputError(f"prior: found {prior:g}; allowed: at least 0, and above 0 with a seed")
    allowed = np.ones((n_states, n_actions), np.bool_) if available is None else np.asarray(available, np.bool_)
    if allowed.shape != (n_states, n_actions):
        raise InputError(f"available: found shape {allowed.shape}; allowed: [{n_states}, {n_actions}]")
    counts = count(batch, n_states, n_actions)
    acted = np.bincount(batch.state, minlength=n_states) > 0
    if prior:
        terminal = np.zeros(n_states, np.bool_)
        terminal[counts.next_state[counts.terminated]] = True
        draw = None if seed is None else np.random.default_rng(seed)
        outcomes = believed(counts, allowed & ~terminal[:, None], prior, prior_reward, draw)
    else:
        terminal, outcomes = ~acted, likeliest(counts, n_states * n_actions)
    begin = acted.astype(np.float64) if start is None else np.asarray(start, np.float64)
    return merge_outcomes(*outcomes, n_states, n_actions, start=begin, name=name, terminal=terminal)
