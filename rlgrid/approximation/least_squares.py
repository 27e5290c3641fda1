"""The values of the policy that made a recorded batch: by least squares (LSTD), or of the model counted from the batch.

Both are what TD(0) converges to where the batch is replayed again and again, while Monte Carlo converges to the mean
return of each state, which has the least squared error on the batch (Sutton & Barto 2e, Sec. 6.3);
:func:`rlgrid.compare` shows them side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Floats
from rlgrid.batch import Batch, check_batch
from rlgrid.errors import InputError, number, numbers
from rlgrid.models.checks import check_share


class LeastSquares(NamedTuple):
    """The solution w of A w = b, for K features, and the values v = Phi w of S states."""

    weights: Floats  # [K]
    v: Floats  # [S]
    A: Floats  # [K, K]
    b: Floats  # [K]


def lstd(
    batch: Batch,
    features: ArrayLike | None = None,
    *,
    discount: float,
    n_states: int | None = None,
    ridge: float = 0.0,
) -> LeastSquares:
    """Least-squares TD: the fixed point of TD(0) on a batch, solved at once (Bradtke & Barto 1996; S&B 2e, Sec. 9.8).

        A = sum phi(s) (phi(s) - discount (1 - terminated) phi(s'))^T + ridge I,    b = sum phi(s) r

    Args:
        batch: transitions under one policy; their weights count.
        features: phi, [S, K]; by default one for each state that was acted in, so that the others are worth 0.
        discount: gamma.
        n_states: S, by default as many as the batch needs.
        ridge: added to the diagonal of A, so that a batch with little in it has a solution too.

    Raises:
        InputError: for an empty batch, features that do not fit, or an A that is singular.
    """
    from scipy.sparse import csr_array  # SciPy loads when it is used

    given = None if features is None else numbers("features", features, "finite numbers [S, K]")
    if given is not None and given.ndim != 2:
        raise InputError(f"features: found shape {given.shape}; allowed: finite numbers [S, K]")
    size, _ = check_batch(batch, n_states if given is None else len(given), None)
    if not batch.size:
        raise InputError("batch: it is empty; allowed: at least one transition")
    discount = check_share("discount", discount)
    ridge = number("ridge", ridge, lambda x: x >= 0, "at least 0, and finite")
    phi = _own_features(batch, size) if given is None else given
    if not np.isfinite(phi).all():
        raise InputError("features: found a number that is not finite; allowed: finite numbers [S, K]")
    n, goes_on = len(phi), ~batch.terminated
    chain = csr_array((batch.weight[goes_on], (batch.state[goes_on], batch.next_state[goes_on])), shape=(n, n))
    visits = np.bincount(batch.state, batch.weight, n)
    A = phi.T @ (visits[:, None] * phi - discount * (chain @ phi)) + ridge * np.eye(phi.shape[1])
    b = phi.T @ np.bincount(batch.state, batch.weight * batch.reward, n)
    try:
        weights = np.asarray(np.linalg.solve(A, b), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise InputError("lstd: A is singular; allowed: ridge above 0, or fewer features") from None
    return LeastSquares(weights, phi @ weights, A, b)


def _own_features(batch: Batch, n_states: int) -> Floats:
    """[S, K]: one feature for each state that was acted in."""
    acted = np.unique(batch.state)
    phi = np.zeros((n_states, len(acted)))
    phi[acted, np.arange(len(acted))] = 1.0
    return phi


def certainty_equivalence(
    batch: Batch, *, discount: float, n_states: int | None = None, n_actions: int | None = None
) -> Floats:
    """Values [S] of the policy that was followed, in the model of maximum likelihood, both counted from the batch.

    Raises:
        InputError: for an empty batch, or where the value is infinite at discount 1.
    """
    from rlgrid.models.model import TabularModel
    from rlgrid.planning.evaluation import evaluate_exact  # loads Numba

    model = TabularModel.from_batch(batch, n_states, n_actions, discount=discount)
    taken = np.zeros((model.n_states, model.n_actions))
    np.add.at(taken, (batch.state, batch.action), batch.weight)
    acted = taken.sum(axis=1) > 0
    taken[~acted] = model.available[~acted]
    return evaluate_exact(model, taken / taken.sum(axis=1, keepdims=True), discount=discount)
