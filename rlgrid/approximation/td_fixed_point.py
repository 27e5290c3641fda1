"""The fixed point of TD with a linear function, exactly: the weights at which its mean update vanishes.

With D the diagonal matrix of how often a policy acts in each state, P its probabilities of going on and r its mean
rewards, these solve A w = b with

    A = Phi^T D (I - gamma P) Phi,      b = Phi^T D r

(Zhao, Sec. 8.2.5; Sutton & Barto 2e, eqs 9.11 and 9.12; Tsitsiklis & Van Roy, IEEE Trans. Automatic Control 42, 1997).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.analysis.markov_chain import occupancy
from rlgrid.approximation.features import Chosen, features_for
from rlgrid.approximation.least_squares import LeastSquares
from rlgrid.arrays import Floats
from rlgrid.errors import InputError, numbers
from rlgrid.models.checks import check_policy, resolve_discount
from rlgrid.models.model import Source, TabularModel, as_model
from rlgrid.planning.chain import Chain, chain_of
from rlgrid.planning.problem import check_work


def on_policy_distribution(source: Source, policy: ArrayLike) -> Floats:
    """The share of its steps that a policy takes in each state in the long run, [S].

    Episodes follow each other, each from the start distribution and cut off by the world's time limit (S&B 2e, Sec.
    9.2). Where they never end it is the stationary distribution of the class of states in which the policy stays.

    Raises:
        InputError: for a policy that does not fit, or one that may stay for ever in several separate classes.

    >>> import rlgrid
    >>> on_policy_distribution(rlgrid.load_world("random_walk_5"), [[0.5, 0.5]] * 7).round(4).tolist()
    [0.0, 0.1111, 0.2222, 0.3333, 0.2222, 0.1111, 0.0]
    """
    model = as_model(source)
    checked = check_policy(model, policy)
    if model.max_episode_steps:
        visits = _visits_within(model, checked, model.max_episode_steps)
    else:
        visits = occupancy(model, checked, discount=1.0)
        if not np.isfinite(visits).all():
            visits = _stationary(chain_of(model, checked), np.isinf(visits))
    total = visits.sum()
    if total == 0:
        raise InputError(f"{model.name}: every start is terminal, so that no step is taken; allowed: other starts")
    shares: Floats = visits / total
    return shares


def _visits_within(model: TabularModel, policy: Floats, steps: int) -> Floats:
    """Expected visits of each state in the first steps of an episode, [S]."""
    check_work(model, "max_episode_steps", steps)
    onward = model.chain(policy)[0].T.tocsr()
    now = np.where(model.terminal, 0.0, model.start)
    visits = now.copy()
    for _ in range(steps - 1):
        now = onward @ now
        visits += now
    return visits


def _stationary(chain: Chain, stays: NDArray[np.bool_]) -> Floats:
    """d = d P on the one class that is never left, [S], up to a factor: the visits between two visits of one state.

    Without subtractions each share is accurate by itself (Grassmann, Taksar & Heyman 1985).
    """
    number = len(np.unique(chain.components.label[stays]))
    if number > 1:
        raise InputError(
            f"{chain.model.name}: the policy may stay for ever in {number} separate classes of states, and each run in "
            "another one; allowed: the distribution given"
        )
    first = int(np.argmax(stays))
    others = stays.copy()
    others[first] = False
    visits = chain.elimination(others).solve_transposed(np.where(others, chain.P[[first]].toarray()[0], 0.0))
    visits[first] = 1.0
    return visits


def td_fixed_point(
    source: Source,
    policy: ArrayLike,
    features: Chosen,
    *,
    discount: float | None = None,
    distribution: ArrayLike | None = None,
) -> LeastSquares:
    """The weights to which linear TD converges under a policy, and the values that they give.

    Where features are linearly dependent, many weights give the same values; these are the shortest of them, to which
    learning from w = 0 converges.

    Args:
        source: a world, a model, or an environment that has one.
        policy: pi, [S, A].
        features: ``Features``, keys such as ``{"kind": "fourier", "order": 3}``, or phi as an array [S, K].
        discount: gamma; by default the world's own.
        distribution: the share of updates that each state gets, [S]; by default those under the policy.

    Raises:
        InputError: for a policy, features or a distribution that do not fit, or where there is no fixed point.

    >>> import rlgrid
    >>> world = rlgrid.load_world("random_walk_5")
    >>> straight = td_fixed_point(world, [[0.5, 0.5]] * 7, {"kind": "polynomial", "order": 1}, discount=1)
    >>> [round(6 * float(v), 9) for v in straight.v[1:-1]]  # the true values are a straight line
    [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    model = as_model(source)
    checked = check_policy(model, policy)
    phi = features_for(model, features).matrix
    share = on_policy_distribution(model, checked) if distribution is None else _checked_share(model, distribution)
    chain, reward = model.chain(checked)
    gamma = resolve_discount(discount, model.discount)
    A = phi.T @ (share[:, None] * (phi - gamma * (chain @ phi)))
    b = phi.T @ (share * reward)
    weights = np.asarray(np.linalg.lstsq(A, b, rcond=None)[0], dtype=np.float64)
    if np.abs(A @ weights - b).max() > 1e-8 * max(1e-300, float(np.abs(b).max())):
        raise InputError("td_fixed_point: A w = b has no solution; allowed: a discount below 1, or other features")
    return LeastSquares(weights, phi @ weights, A, b)


def _checked_share(model: TabularModel, distribution: ArrayLike) -> Floats:
    share = numbers("distribution", distribution, f"[{model.n_states}] numbers at least 0, some above")
    if share.shape != (model.n_states,) or not (share >= 0).all() or not 0 < share[~model.terminal].sum() < np.inf:
        raise InputError(
            f"distribution: found shape {share.shape}; allowed: [{model.n_states}] numbers at least 0, some above"
        )
    shares: Floats = np.where(model.terminal, 0.0, share)
    return shares / float(shares.sum())
