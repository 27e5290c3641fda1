"""Evaluation of a given policy: its values, with a proven bound, in the same form as a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Floats
from rlgrid.errors import InputError, chosen
from rlgrid.kernels.sweeps import OUTWARD, Rows, error_bound, row_values, slack, sweep
from rlgrid.models.checks import check_policy, resolve_discount
from rlgrid.models.model import Source, as_model
from rlgrid.planning.average_reward import average_reward
from rlgrid.planning.block_gauss_seidel import MOST_PASSES, block_gauss_seidel, proved_at_discount_1
from rlgrid.planning.chain import chain_of, discounted_values, undiscounted_values, values_of_weights
from rlgrid.planning.fractions import policy_fractions
from rlgrid.planning.graph import edges
from rlgrid.planning.methods import DIRECT_STATES
from rlgrid.planning.modified_policy_iteration import settled
from rlgrid.planning.plan import ActionTables, Plan
from rlgrid.planning.problem import MAX_SWEEPS, MethodResult, OnSweep, Problem, check_limits, uncertified
from rlgrid.planning.stencils import grid_of, outcomes_repeat
from rlgrid.planning.sweeping import gauss_seidel, value_iteration

#: Values of a direct solve whose proven error is at most this, relative to the largest, need no closer look.
ACCURATE = 1e-10


def evaluate_policy(
    source: Source,
    policy: ArrayLike,
    method: str = "auto",
    *,
    discount: float | None = None,
    tol: float = 1e-8,
    max_sweeps: int = MAX_SWEEPS,
    on_limit: str = "raise",
    on_sweep: OnSweep | None = None,
    exact: bool = False,
) -> Plan:
    """Values of a policy, in the form in which :func:`rlgrid.solve` gives those of the best one.

    In the plan, ``v`` and ``q`` are the policy's values, ``bound`` is one on max |v - v_pi|, ``policy`` is the policy
    itself, and ``optimal_actions`` are the greedy ones: those that the bound cannot rule out as the best at ``q``.

    At discount 1 a state from which the policy may go on for ever has the value -inf or inf, or nan (undefined) where
    what it collects there has both signs. The others keep theirs, and ``bound`` is over these.

    Args:
        source: a world, a model, or an environment with a toy-text ``P``.
        policy: probabilities [S, A]; actions [S], by number or name; a map of letters or arrows, as ``rlgrid solve``
            prints it; or "uniform", which is every available action alike.
        method: ``auto`` takes the fastest one for the problem's size. ``direct`` (a sparse linear system),
            ``block_gauss_seidel`` (for large grids, outwards from where reward comes in), ``sweeps`` (synchronous, from
            v = 0: iterative policy evaluation, Sutton & Barto 2e, Sec. 4.1; Zhao, Alg. 4.3), ``sweeps_in_place``
            (states in order, with the newest values), or ``average_reward``: the mean reward a step is then
            ``plan.gain``, as with :func:`rlgrid.solve`.
        discount: by default the model's own, else 0.99.
        tol: the largest ``bound`` to accept below discount 1. At discount 1 sweeps go on until only rounding moves the
            values, and ``bound`` is what can be proven.
        max_sweeps: sweeps after which the attempt is given up.
        on_limit: what happens then: "raise" an error, or "return" the values so far, with their bound.
        on_sweep: called with k = 1, 2, ... and a copy of v [S] after each sweep.
        exact: evaluate in rational arithmetic, whatever the method: up to 1,000 states. The policy's probabilities mean
            what they print as, each row divided by its sum; otherwise as in :func:`rlgrid.solve`.

    Raises:
        InputError: for arguments outside their range, a policy that does not fit, or a tolerance that float64 cannot
            certify.

    >>> import rlgrid
    >>> plan = evaluate_policy(rlgrid.load_world("sutton_gridworld"), "uniform")
    >>> plan.v[:3].round(1), plan.bound <= 1e-8
    (array([3.3, 8.8, 4.4]), True)
    """
    chosen("method", method, EVALUATIONS)
    tol = check_limits(tol, on_limit, on_sweep, max_sweeps=max_sweeps)
    model = as_model(source)
    checked = check_policy(model, policy)
    gamma = 1.0 if method == "average_reward" else resolve_discount(discount, model.discount)
    weight = checked.ravel()
    problem = Problem(model, None, gamma, None, 0.0, tol, max_sweeps, on_sweep, on_limit=on_limit, weight=weight)
    if exact and method == "average_reward":
        raise InputError(f'exact: found it with method "{method}"; allowed: with the other methods')
    exact_v = None
    if exact:
        exact_v, v, bound = policy_fractions(problem)
        result = MethodResult(v, bound, 1)
    else:
        result = EVALUATIONS[method](problem)
    return Plan(
        v=result.v,
        bound=result.bound,
        iterations=result.iterations,
        discount=gamma,
        method="direct" if exact else result.method or method,
        epsilon=0.0,
        horizon=None,
        tables=partial(_action_tables, problem, result, checked),
        shape=model.shape,
        actions=model.actions,
        exact_v=exact_v,
        gain=result.gain,
    )


def evaluate_exact(source: Source, policy: ArrayLike, *, discount: float | None = None) -> Floats:
    """Values v_pi [S] of a policy, by a sparse direct solve of v = r + discount P v.

    They are those of :func:`evaluate_policy`, which also proves a bound.

    Raises:
        InputError: for a policy that does not fit.

    >>> import rlgrid
    >>> world = rlgrid.load_world("sutton_gridworld")
    >>> evaluate_exact(world, [[0.25] * 4] * world.n_states)[:3].round(1)
    array([3.3, 8.8, 4.4])
    """
    model = as_model(source)
    gamma = resolve_discount(discount, model.discount)
    if gamma == 1:
        return undiscounted_values(chain_of(model, policy)).v
    weight = check_policy(model, policy).ravel()
    return _discounted(Problem(model, None, gamma, None, 0.0, 1.0, 1, None, weight=weight), ACCURATE)[0]


def _direct(problem: Problem) -> MethodResult:
    """A linear system, below discount 1 by LU; without subtractions where that is not certain enough."""
    if problem.discount == 1:
        found = undiscounted_values(chain_of(problem.model, problem.policy))
        return MethodResult(found.v, found.bound, 1)
    v, bound = _discounted(problem, 0.0, problem.tol)
    if not bound <= problem.tol:
        raise uncertified(problem, bound)
    return MethodResult(v, bound, 1)


def _discounted(problem: Problem, relative: float, tol: float = 0.0) -> tuple[Floats, float]:
    """Values of a policy below discount 1, and a bound on their error.

    Those of LU serve where their bound is at most ``tol``, or ``relative`` times the largest of them.
    """
    model, rows, gamma, weight = problem.model, problem.rows, problem.discount, problem.weight
    v = discounted_values(model, rows, gamma, weight)
    change, size = sweep(rows, weight, 0.0, v, np.empty_like(v))
    bound = error_bound(problem.accuracy, change, size)
    if not bound <= max(tol, relative * size):
        try:
            found = values_of_weights(model, rows, gamma, weight)
        except InputError:  # too many equations
            return v, bound
        if found.bound < bound:
            return found.v, found.bound
    return v, bound


def _auto(problem: Problem) -> MethodResult:
    """A direct solve of small problems, block Gauss-Seidel on large grids, sweeps with corrections on what is no grid.

    A direct solve where these fail.
    """
    if problem.n_states > DIRECT_STATES:
        if outcomes_repeat(problem):
            found = _blocks(replace(problem, max_sweeps=min(MOST_PASSES, problem.max_sweeps)))
            if found is not None:
                return found._replace(method="block_gauss_seidel")
        if problem.discount < 1 and (found := settled(problem)) is not None:
            return found._replace(method="modified_policy_iteration")
    return _direct(problem)._replace(method="direct")


def _blocks_or_direct(problem: Problem) -> MethodResult:
    return _blocks(problem) or _direct(problem)


def _blocks(problem: Problem) -> MethodResult | None:
    """Block Gauss-Seidel; ``None`` where a state leads to too many others, or nothing is proven without the graph."""
    grid = grid_of(problem)
    if grid is None:
        return None
    sweep_blocks = proved_at_discount_1 if problem.discount == 1 else block_gauss_seidel
    return sweep_blocks(problem, grid, problem.max_sweeps)


def _swept(method: Callable[[Problem], MethodResult], problem: Problem) -> MethodResult:
    """Sweeps; at discount 1 over the states with a finite value, whose bound is the distance to a direct solve."""
    if problem.discount < 1:
        return method(problem)
    try:
        exact = undiscounted_values(chain_of(problem.model, problem.policy))
    except InputError:  # the system is too large for a direct solve
        return method(problem)
    finite = np.isfinite(exact.v)
    if finite.all():
        result = method(problem)
        distance = float(np.abs(result.v - exact.v).max(initial=0.0))
        return result._replace(bound=distance + exact.bound)
    if problem.on_limit == "return":
        return method(problem)
    report = problem.on_sweep
    result = method(
        replace(
            problem,
            weight=(problem.policy * finite[:, None]).ravel(),
            on_sweep=report and (lambda k, v: report(k, np.where(finite, v, exact.v))),
        )
    )
    distance = float(np.abs(result.v - exact.v)[finite].max(initial=0.0))
    return result._replace(v=np.where(finite, result.v, exact.v), bound=distance + exact.bound)


EVALUATIONS: dict[str, Callable[[Problem], MethodResult]] = {
    "auto": _auto,
    "direct": _direct,
    "block_gauss_seidel": _blocks_or_direct,
    "sweeps": partial(_swept, value_iteration),
    "sweeps_in_place": partial(_swept, gauss_seidel),
    "average_reward": average_reward,
}


def _action_tables(problem: Problem, result: MethodResult, policy: Floats) -> ActionTables:
    """q, the policy itself and the greedy actions, for the values of a policy."""
    q = action_values(problem.rows, result.v).reshape(policy.shape)
    if result.gain is not None:
        q -= result.gain
    size = float(np.abs(result.v[np.isfinite(result.v)]).max(initial=0.0))
    error = result.bound + slack(problem.accuracy, size) if result.bound < np.inf else problem.tol
    best = q.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinities of one sign
        greedy = (q == best) | (q >= best - 2.0 * OUTWARD * error)
    return ActionTables(q, policy, greedy, np.zeros(len(policy), np.bool_))


def action_values(rows: Rows, v: Floats) -> Floats:
    """q of each row [R], where values [S] may be infinite or undefined; -inf where the action is not available."""
    q, finite = np.empty(len(rows.first) - 1), np.isfinite(v)
    row_values(rows, np.where(finite, v, 0.0), q)
    if finite.all():
        return q
    usable = np.diff(rows.first) > 0
    row, _, next_state = edges(rows, usable)
    ahead = v[next_state]
    up, down, lost = (
        np.bincount(row[kind], minlength=len(q)) > 0 for kind in (ahead == np.inf, ahead == -np.inf, np.isnan(ahead))
    )
    q[up], q[down], q[lost | (up & down)] = np.inf, -np.inf, np.nan
    return q
