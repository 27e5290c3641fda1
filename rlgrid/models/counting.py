"""Models counted from experience: maximum likelihood, or the posterior of a Dirichlet prior.

The counts of a row (s, a) are those of its outcomes; an outcome is a next state and whether the episode ended there.
Maximum likelihood takes the shares of the counts as probabilities. With a Dirichlet(prior, ..., prior) prior over all
next states the posterior is Dirichlet(prior + counts); the model is its mean or a draw from it (Strens, A Bayesian
framework for reinforcement learning, ICML 2000; Osband, Russo & Van Roy, (More) efficient reinforcement learning via
posterior sampling, NeurIPS 2013).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.batch import Batch, empty_batch
from rlgrid.errors import InputError
from rlgrid.models.outcomes import Outcomes, merge_outcomes
from rlgrid.models.tables import Tables

#: Most outcomes of a posterior over all next states; more would take too long to plan with.
MOST_POSTERIOR_OUTCOMES = 50_000_000


class Counts(NamedTuple):
    """What was seen: n distinct outcomes of S A rows, ordered by row, next state and end."""

    row: Ints  # [n] state * n_actions + action
    next_state: Ints  # [n]
    terminated: Bools  # [n]
    weight: Floats  # [n] summed
    reward: Floats  # [n] weighted mean reward
    square: Floats  # [n] weighted mean of its square


def count_outcomes(batch: Batch, n_states: int, n_actions: int) -> Counts:
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


def summarized(batch: Batch, n_states: int, n_actions: int) -> Batch:
    """The same experience in few transitions: one for each distinct outcome, with its count as the weight.

    An outcome whose reward varies becomes two, of half the weight each, that have its mean and variance.
    """
    counts = count_outcomes(batch, n_states, n_actions)
    std = np.sqrt(np.maximum(counts.square - counts.reward**2, 0.0))
    std[std <= 1e-7 * np.abs(counts.reward)] = 0.0  # rounding
    varies = std > 0
    place = np.concatenate([np.arange(len(counts.row)), np.flatnonzero(varies)])
    found = empty_batch(len(place))
    found.state[:], found.action[:] = np.divmod(counts.row[place], n_actions)
    found.next_state[:], found.next_action[:] = counts.next_state[place], 0
    found.reward[:] = counts.reward[place] + std[place]
    found.reward[len(counts.row) :] -= 2.0 * std[varies]
    found.weight[:] = np.where(varies, 0.5, 1.0)[place] * counts.weight[place]
    found.terminated[:], found.truncated[:], found.behavior_probability[:] = counts.terminated[place], False, 1.0
    return found


def maximum_likelihood(counts: Counts, n_rows: int) -> Outcomes:
    """The outcomes of the model of maximum likelihood, [n]."""
    total = np.bincount(counts.row, counts.weight, n_rows)
    return Outcomes(counts.row, counts.next_state, counts.weight / total[counts.row], counts.reward, counts.terminated)


def posterior(
    counts: Counts, allowed: Bools, prior: float, prior_reward: float, generator: np.random.Generator | None
) -> Outcomes:
    """The same under the posterior of a Dirichlet(prior) over all next states of the rows ``allowed`` [S, A].

    A generator draws one model from the posterior; without it, the model is its mean. Next states in which an episode
    has ended are ends wherever they come next.
    """
    n_states, n_actions = allowed.shape
    rows = np.flatnonzero(allowed)
    if len(rows) * n_states > MOST_POSTERIOR_OUTCOMES:
        raise InputError(
            f"prior: a posterior over {len(rows) * n_states:,} outcomes; "
            f"allowed: {MOST_POSTERIOR_OUTCOMES:,} at most, or prior = 0"
        )
    ends = np.zeros(n_states, np.bool_)
    ends[counts.next_state[counts.terminated]] = True
    seen = np.zeros((n_states * n_actions, n_states))
    np.add.at(seen, (counts.row, counts.next_state), counts.weight)
    parameters = prior + seen[rows]
    share = parameters if generator is None else generator.standard_gamma(parameters)
    share = np.maximum(share, np.finfo(np.float64).tiny)
    reward = _posterior_rewards(counts, allowed, prior, prior_reward, generator)
    return Outcomes(
        np.repeat(rows, n_states),
        np.tile(np.arange(n_states), len(rows)),
        (share / share.sum(axis=1, keepdims=True)).ravel(),
        np.repeat(reward, n_states),
        np.tile(ends, len(rows)),
    )


def _posterior_rewards(
    counts: Counts, allowed: Bools, prior: float, prior_reward: float, generator: np.random.Generator | None
) -> Floats:
    """The mean reward of each of the n rows that are allowed, or a draw of it, [n].

    ``prior`` pseudo-samples of ``prior_reward`` enter the mean. A draw is normal around it, with the variance of a mean
    of the row's rewards and of one more, which lies half the range of all rewards away.
    """
    rows, n_rows = np.flatnonzero(allowed), allowed.size
    n = np.bincount(counts.row, counts.weight, n_rows)[rows]
    total = np.bincount(counts.row, counts.weight * counts.reward, n_rows)[rows] + prior * prior_reward
    reward = total / (n + prior)
    if generator is None:
        return reward
    squares = np.bincount(counts.row, counts.weight * counts.square, n_rows)[rows]
    of_row = np.maximum(squares / np.maximum(n, 1) - (total - prior * prior_reward) ** 2 / np.maximum(n, 1) ** 2, 0)
    half_range = 0.5 * np.ptp(np.append(counts.reward, prior_reward))
    variance = (n * of_row + half_range**2) / (n + 1) ** 2
    drawn: Floats = reward + np.sqrt(variance) * generator.standard_normal(len(rows))
    return drawn


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
    counts = count_outcomes(batch, n_states, n_actions)
    acted = np.bincount(batch.state, minlength=n_states) > 0
    if prior:
        terminal = np.zeros(n_states, np.bool_)
        terminal[counts.next_state[counts.terminated]] = True
        generator = None if seed is None else np.random.default_rng(seed)
        outcomes = posterior(counts, allowed & ~terminal[:, None], prior, prior_reward, generator)
    else:
        terminal, outcomes = ~acted, maximum_likelihood(counts, n_states * n_actions)
    begin = acted.astype(np.float64) if start is None else np.asarray(start, np.float64)
    return merge_outcomes(outcomes, n_states, n_actions, start=begin, name=name, terminal=terminal)
