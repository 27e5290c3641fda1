"""What happens under a policy: visits, steps to the end, where episodes end, and the variance of the return.

All from the Markov chain that the policy makes of the model, by sparse direct solves. What never ends is found on the
chain's graph first, so that an infinite number is reported as one. With P [S, S] the probabilities of going on, r the
mean rewards and d the start distribution:

- visits d P^0 + γ d P + γ² d P² + ... = d (I - γ P)^-1 (Puterman, Markov Decision Processes, Sec. 6.9);
- steps (I - P)^-1 1, and probabilities of an end (I - P)^-1 (probability of that end in one step)
  (Kemeny & Snell, Finite Markov Chains, Theorems 3.5.4 and 3.5.5);
- variance: σ²(s) = E[(R + γ v(S') - v(s))² + γ² σ²(S')], with v(S') = σ²(S') = 0 at an end
  (Sobel, The variance of discounted Markov decision processes, Journal of Applied Probability 19 (1982), Theorem 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Bools, Floats
from rlgrid.errors import InputError
from rlgrid.models.checks import check_policy, resolve_discount
from rlgrid.models.model import Source, TabularModel, as_model
from rlgrid.models.tables import Tables
from rlgrid.planning.block_gauss_seidel import collected
from rlgrid.planning.certificate import UNIT
from rlgrid.planning.chain import Chain, Values, chain_of, ending_probability, undiscounted_values, values_of_weights
from rlgrid.planning.elimination import Elimination
from rlgrid.planning.evaluation import evaluate_exact
from rlgrid.planning.graph import rows_at
from rlgrid.planning.swept_system import SweptSystem, system_of

#: States up to which a discounted system is solved directly.
MOST_DIRECT = 50_000

#: A variance of one step at rest within this, relative to the largest reward squared, is rounding.
ZERO_VARIANCE = 1e-24


def occupancy(source: Source, policy: ArrayLike, *, discount: float | None = None) -> Floats:
    """Expected visits of each state in an episode from the start distribution, the visit at time t counted γ^t, [S].

    A visit is a time at which an action is taken, so the cell in which an episode ends does not count: the sum is the
    expected (discounted) length, and ``occupancy @ mean reward`` the expected return. At discount 1 a state to which
    the policy comes back for ever has infinitely many. The product with the policy counts each state and action.

    Raises:
        InputError: for a policy that does not fit.

    >>> import rlgrid
    >>> world = rlgrid.load_world("random_walk_5")
    >>> visits = occupancy(world, [[0.5, 0.5]] * world.n_states, discount=1)
    >>> visits.round(9).tolist(), float(visits.sum().round(9))
    ([0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0], 9.0)
    """
    chain = chain_of(as_model(source), policy)
    gamma = resolve_discount(discount, chain.model.discount)
    if gamma < 1:
        begins = np.where(chain.model.terminal, 0.0, chain.model.start)
        return _solve(chain, begins, gamma, 1.0 - gamma, transposed=True)
    return _undiscounted_visits(chain)


def expected_steps(source: Source, policy: ArrayLike) -> Floats:
    """Expected steps to the end of the episode from each state, [S]; infinite where it may never end.

    >>> import rlgrid
    >>> world = rlgrid.load_world("random_walk_5")
    >>> expected_steps(world, [[0.5, 0.5]] * world.n_states).round(9).tolist()
    [0.0, 5.0, 8.0, 9.0, 8.0, 5.0, 0.0]
    """
    model = as_model(source)
    if model.n_states > MOST_DIRECT:
        costs = collected(model, check_policy(model, policy), np.where(model.terminal, 0.0, -1.0))
        if costs is not None:
            return 0.0 - costs
    chain = chain_of(model, policy)
    lost = chain.components.reaching(chain.endless)
    steps = chain.elimination(~lost).solve(np.where(chain.model.terminal, 0.0, 1.0))
    steps[lost] = np.inf
    return steps


def end_probability(source: Source, policy: ArrayLike, cells: ArrayLike | None = None) -> Floats:
    """Probability that an episode from each state ends in one of ``cells`` (by default: that it ends at all), [S].

    ``cells`` are states, or bool [S]. An episode that starts in a terminal state has ended there.

    >>> import rlgrid
    >>> world = rlgrid.load_world("frozen_lake_4x4")
    >>> plan = rlgrid.solve(world, "policy_iteration")
    >>> round(17 * float(end_probability(world, plan.policy, world.where("G"))[0]), 9)
    14.0
    """
    model = as_model(source)
    wanted = np.ones(model.n_states, np.bool_) if cells is None else _as_mask(cells, model.n_states)
    checked = check_policy(model, policy)
    at_once, elsewhere = (ending_probability(model, checked.ravel(), kind) for kind in (wanted, ~wanted))
    at_once[model.terminal], elsewhere[model.terminal] = wanted[model.terminal], ~wanted[model.terminal]
    if model.n_states > MOST_DIRECT:
        found = collected(model, checked, np.where(model.terminal, 0.0, at_once))
        if found is not None:
            inside = np.clip(found, 0.0, 1.0) if elsewhere[~model.terminal].any() else np.ones(model.n_states)
            return np.where(model.terminal, wanted, inside)
    chain = chain_of(model, checked)
    surely = ~chain.components.reaching(chain.endless | (elsewhere > 0))
    probability = surely.astype(np.float64)  # rounding must not hide a certain end
    doubtful = chain.components.reaching(at_once > 0) & ~surely
    if doubtful.any():
        found = chain.elimination(doubtful).solve(np.where(doubtful, at_once + chain.P @ probability, 0.0))
        probability[doubtful] = np.minimum(found[doubtful], 1.0)
    return probability


def end_distribution(source: Source, policy: ArrayLike) -> Floats:
    """Probability that an episode from the start distribution ends in each cell, [S].

    The sum is below 1 where episodes may never end. An exit ends where it is taken.

    >>> import rlgrid
    >>> world = rlgrid.load_world("aima_4x3")
    >>> ends = end_distribution(world, rlgrid.solve(world).policy)
    >>> {symbol: round(float(ends[world.where(symbol)[0]]), 4) for symbol in "PN"}
    {'P': 0.9863, 'N': 0.0137}
    """
    chain = chain_of(as_model(source), policy)
    model, t = chain.model, chain.model.tables
    visits = _undiscounted_visits(chain)
    visits[chain.endless] = 0.0
    row = model.row_of_outcome
    share = (visits[:, None] * chain.weight).ravel()[row] * np.where(t.terminated, t.probability, 0.0)[t.code]
    ends: Floats = np.bincount(t.next_state, share, model.n_states).astype(np.float64)
    return np.minimum(ends + np.where(model.terminal, model.start, 0.0), 1.0)


def return_variance(source: Source, policy: ArrayLike, *, discount: float | None = None) -> Floats:
    """Variance of the return from each state under a policy, [S]; the noise of rewards counts.

    At discount 1 it is infinite where rewards with a mean of 0 are drawn for ever, and nan where the policy has an
    infinite or undefined value.

    Raises:
        InputError: for a policy that does not fit.

    >>> import rlgrid
    >>> world = rlgrid.load_world("frozen_lake_4x4")
    >>> p, variance = 14 / 17, return_variance(world, rlgrid.solve(world, "policy_iteration").policy)[0]
    >>> bool(abs(variance - p * (1 - p)) < 1e-12)
    True
    """
    chain = chain_of(as_model(source), policy)
    model = chain.model
    gamma = resolve_discount(discount, model.discount)
    if gamma < 1:
        v = _discounted_values(chain, gamma)
        return _solve(
            chain, _mean_of_outcomes(chain, _surprises(model, v, gamma)), gamma**2, (1.0 - gamma) * (1.0 + gamma)
        )
    values = undiscounted_values(chain)
    finite = np.isfinite(values.v)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values, and squares above 1e308
        of_step = _mean_of_outcomes(chain, _surprises(model, values.v, 1.0))
        largest = float(np.abs(model.tables.reward).max(initial=0.0))
        infinite = chain.components.reaching(chain.endless & finite & (of_step > ZERO_VARIANCE * largest**2))
        kept = finite & ~infinite & ~chain.endless
        variance = _undiscounted_variance(chain, values, of_step, kept)
    variance[infinite], variance[~finite] = np.inf, np.nan
    return variance


def _discounted_values(chain: Chain, gamma: float) -> Floats:
    """v_pi [S], each relative to itself where the equations are not too many: large ones next door must not blur it."""
    if chain.model.n_states > MOST_DIRECT:
        return evaluate_exact(chain.model, chain.policy, discount=gamma)
    return values_of_weights(chain.model, rows_at(chain.model, gamma), gamma, chain.weight.ravel()).v


def _surprises(model: TabularModel, v: Floats, gamma: float) -> Floats:
    """(R + γ v(S') - v(s))² of each outcome, the noise of its reward included, [N]."""
    t = model.tables
    ahead = np.where(t.terminated[t.code], 0.0, gamma * v[t.next_state])
    apart = t.reward[t.code] + ahead - v[model.row_of_outcome // model.n_actions]
    squares: Floats = apart**2 + reward_variance(t)[t.code]
    return squares


def _mean_of_outcomes(chain: Chain, of_outcome: Floats) -> Floats:
    """The mean of a number of each outcome [N] over what can follow each state, [S]; 0 in terminal states."""
    model, t, row = chain.model, chain.model.tables, chain.model.row_of_outcome
    share = chain.weight.ravel()[row] * t.probability[t.code]
    weighted = np.where(share == 0.0, 0.0, share * of_outcome)
    mean: Floats = np.bincount(row // model.n_actions, weighted, model.n_states).astype(np.float64)
    mean[model.terminal] = 0.0
    return mean


def _undiscounted_variance(chain: Chain, values: Values, of_step: Floats, kept: Bools) -> Floats:
    """The variance at discount 1 of the states kept, whose values are finite, [S].

    The rounding of v enters each step's variance squared, which adds up where a state is visited 10^16 times and more
    before the end. There E[G²] - v² is more accurate, with E[G²] = Σ p (R² + 2 R v(S') + E[G'²]) and positive and
    negative terms summed apart. Each state takes the formula whose error is smaller.
    """
    t = chain.model.tables
    elimination = chain.elimination(kept)
    reward, scale = t.reward[t.code], values.scale
    v, ahead = np.where(kept, values.v, 0.0), np.where(t.terminated[t.code], 0.0, scale[t.next_state])
    rounding = 4.0 * UNIT * (np.abs(reward) + ahead + scale[chain.model.row_of_outcome // chain.model.n_actions])
    crossed = 2.0 * reward * np.where(t.terminated[t.code], 0.0, v[t.next_state])
    squares = reward**2 + reward_variance(t)[t.code]
    positive, negative = (
        elimination.solve(np.where(kept, _mean_of_outcomes(chain, side), 0.0))
        for side in (squares + np.maximum(crossed, 0.0), np.maximum(-crossed, 0.0))
    )
    unit = max(1.0, float(scale.max(initial=0.0)))  # the sums of the other formula may be too large for a float
    variance, spread = (
        unit * elimination.solve(np.where(kept, right / unit, 0.0))
        for right in (of_step, _mean_of_outcomes(chain, rounding**2))
    )
    error = spread + 2.0 * np.sqrt(variance) * np.sqrt(spread)
    better = error <= 4.0 * UNIT * (positive + negative + scale**2)
    return np.where(better, variance, np.maximum(positive - negative - v**2, 0.0))


def reward_variance(tables: Tables) -> Floats:
    """Variance of the reward of each distinct outcome, [C]."""
    t = tables
    share = np.diff(t.noise_cumulative, axis=1, prepend=0.0)
    mean = (share * t.noise_values).sum(axis=1)
    variance = (share * (t.noise_values - mean[:, None]) ** 2).sum(axis=1) + t.noise_std**2
    return np.where(t.noise >= 0, variance[t.noise], 0.0) if len(variance) else np.zeros(len(t.noise))


def _undiscounted_visits(chain: Chain) -> Floats:
    """Expected visits of each state at discount 1, [S]."""
    visits = chain.elimination(~chain.endless).solve_transposed(np.where(chain.model.terminal, 0.0, chain.model.start))
    visits[chain.endless] = np.where(chain.model.reached(chain.policy.ravel() > 0)[chain.endless], np.inf, 0.0)
    return visits


def _as_mask(cells: ArrayLike, n_states: int) -> Bools:
    """States, or a mask, as a mask [S]."""
    array = np.atleast_1d(np.asarray(cells))
    if array.dtype == np.bool_ and array.shape == (n_states,):
        return array
    if array.ndim != 1 or array.dtype.kind not in "iu" or not ((array >= 0) & (array < n_states)).all():
        raise InputError(f"cells: found {cells!r:.60}; allowed: states from 0 to {n_states - 1}, or bool [S]")
    mask = np.zeros(n_states, np.bool_)
    mask[array] = True
    return mask


def _solve(chain: Chain, right: Floats, factor: float, rest: float, *, transposed: bool = False) -> Floats:
    """The solution x [S] of x = right + factor P x, or of the same with P transposed; ``right`` [S] is not negative.

    A discount is a chance to end with each step: ``rest`` is 1 - factor, without the rounding of a factor near 1.
    """
    from scipy.sparse import csr_array

    P, ending = csr_array(factor * chain.P), factor * chain.ending + rest
    everywhere = np.ones(len(ending), np.bool_)
    system: Elimination | SweptSystem
    if len(ending) > MOST_DIRECT:
        system = SweptSystem(P, ending, everywhere)
    else:
        system = system_of(P, ending, everywhere, chain.model.shape, chain.components)
    return system.solve_transposed(right) if transposed else system.solve(right)
