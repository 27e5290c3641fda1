"""Exact planning: ``solve`` finds optimal values with a proven error bound, ``evaluate_exact`` the values of a policy.

All methods work on the model's rows of outcomes; at discount 1 on those of the collapsed model that
:mod:`rlgrid.undiscounted` makes, after it has refused what has no finite value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.average_reward import AVERAGE, average_plan
from rlgrid.certificate import accuracy_of, certified, enclosure
from rlgrid.errors import InputError, one_of
from rlgrid.graph import Floats, Ints, rows_at, uniform_weights
from rlgrid.kernels.planning import (
    NO_WEIGHT,
    OUTWARD,
    Accuracy,
    Rows,
    choose_rows,
    iterate,
    row_values,
    settled,
    slack,
    sweep,
)
from rlgrid.learner import TIE
from rlgrid.linear_program import basic_policy
from rlgrid.model import TabularModel, as_model, check_policy, resolve_discount
from rlgrid.plan import Plan, soft_policy
from rlgrid.rational import MOST_STATES, exact_plan
from rlgrid.undiscounted import Collapsed, collapse, expand, resting_classes
from rlgrid.world import World

if TYPE_CHECKING:
    import gymnasium

Source: TypeAlias = "World | TabularModel | gymnasium.Env[Any, Any]"
OnSweep: TypeAlias = Callable[[int, Floats], object]

#: Sweeps (or improvements) after which an iteration is given up unless told otherwise.
MAX_SWEEPS = 10_000_000

#: Outcomes looked at between two chances to interrupt.
CHUNK = 2**24


@dataclass(frozen=True, eq=False)
class _Problem:
    """What a method has to solve. Q states and R rows, those of the collapsed model at discount 1."""

    model: TabularModel
    rows: Rows
    accuracy: Accuracy
    collapsed: Collapsed | None
    epsilon: float
    tol: float
    max_sweeps: int
    on_sweep: OnSweep | None
    evaluation_sweeps: int = 1
    horizon: int | None = None

    @property
    def n_states(self) -> int:
        return len(self.rows.begin) - 1

    def report(self, k: int, v: Floats) -> None:
        """Tell ``on_sweep`` about the values after sweep k."""
        if self.on_sweep:
            self.on_sweep(k, self.values(v))

    def values(self, v: Floats) -> Floats:
        """A copy of values [Q], for the states of the model [S]."""
        return v.copy() if self.collapsed is None else v[self.collapsed.number]

    def soft(self, choice: Ints) -> Floats:
        """Probability of each row under the (epsilon-soft) policy that chooses one row for each state."""
        weight = self.epsilon * uniform_weights(self.rows) if self.epsilon else np.zeros(len(self.rows.first) - 1)
        weight[choice] += 1.0 - self.epsilon
        return weight


class _Solution(NamedTuple):
    v: Floats  # [Q]
    bound: float  # infinite at discount 1: not known yet
    iterations: int
    before: Floats | None = None  # [Q] with a horizon: values with one step less to go


def solve(
    source: Source,
    method: str = "value_iteration",
    *,
    discount: float | None = None,
    tol: float = 1e-8,
    epsilon: float = 0.0,
    horizon: int | None = None,
    evaluation_sweeps: int = 5,
    max_sweeps: int = MAX_SWEEPS,
    on_sweep: OnSweep | None = None,
    exact: bool = False,
) -> Plan:
    """Solve a model exactly.

    Args:
        source: a world, a model, or an environment with a toy-text ``P``.
        method: ``value_iteration`` (synchronous, from v = 0; Zhao, Alg. 4.1), ``policy_iteration`` (Howard, with a
            sparse direct solve, from the uniform policy or, at discount 1, from one that ends; Alg. 4.2),
            ``truncated_policy_iteration`` (Alg. 4.3), ``linear_programming`` (a policy from HiGHS, its values from a
            direct solve), ``backward_induction`` (the optimum within a number of steps), or ``average_reward``.
            The latter is the best mean reward a step in the long run, without a discount, by relative value
            iteration; episodes that end start again at once, and states to which no start leads count for nothing.
        discount: by default the model's own, else 0.99.
        tol: the largest ``bound`` to accept below discount 1, or where every action may end the episode. Otherwise
            iteration goes on until only rounding moves the values, and ``bound`` is whatever can be proven.
        epsilon: above 0, find the best policy that takes each available action with probability epsilon / |A| or more.
        horizon: number of steps for backward induction; by default the model's ``max_episode_steps``.
        evaluation_sweeps: sweeps between two improvements of truncated policy iteration.
        max_sweeps: sweeps or improvements after which the attempt is given up.
        on_sweep: called with k = 1, 2, ... and a copy of v [S] after each sweep (value iteration, backward
            induction, average reward) or each policy evaluation (policy iteration, truncated policy iteration, linear
            programming). At discount 1, cells between which one can move for free count as one.
        exact: solve in rational arithmetic, by policy iteration whatever the method: up to 1,000 states. A world's
            numbers are taken as they are written, 0.1 or "1/3"; those of other models have the values of their
            floats, each row divided by its sum. ``discount`` and ``epsilon`` mean what they print as: 0.9 is 9/10.

    Raises:
        InputError: for arguments outside their range, a tolerance that float64 cannot certify, an optimum that is
            infinite or undefined at discount 1, a best mean reward that is not the same from everywhere, or a model
            too large to be solved exactly.

    >>> import rlgrid
    >>> plan = solve(rlgrid.load_world("frozen_lake_4x4"), discount=1, exact=True)
    >>> plan.exact_v[0], float(plan.v[0])
    (Fraction(14, 17), 0.8235294117647058)
    """
    if method not in METHODS and method != AVERAGE:
        raise InputError(f"method: {one_of(method, [*METHODS, AVERAGE])}")
    if exact and method in ("backward_induction", AVERAGE):
        raise InputError(f'exact: found it with method "{method}"; allowed: with the methods for a discounted optimum')
    if not 0 <= epsilon <= 1:
        raise InputError(f"epsilon: found {epsilon:g}; allowed: 0 to 1")
    _check_limits(tol, evaluation_sweeps=evaluation_sweeps, max_sweeps=max_sweeps)
    if horizon is not None and method != "backward_induction":
        raise InputError(f'horizon: found {horizon} with method "{method}"; allowed: with "backward_induction"')
    model = as_model(source)
    if method == AVERAGE:
        if discount is not None and discount != 1:
            raise InputError(f'discount: found {discount:g} with method "{AVERAGE}"; allowed: none')
        return average_plan(model, tol, epsilon, max_sweeps, on_sweep)
    if method == "backward_induction":
        horizon = _checked_horizon(model, horizon)
    gamma = resolve_discount(discount, model.discount)
    rows = rows_at(model, gamma)
    collapsed = collapse(model, rows, epsilon) if gamma == 1 and horizon is None else None
    solved = rows if collapsed is None else collapsed.rows
    accuracy = accuracy_of(model, solved, gamma, mixed=epsilon > 0)
    problem = _Problem(
        model, solved, accuracy, collapsed, epsilon, tol, max_sweeps, on_sweep, evaluation_sweeps, horizon
    )
    if exact:
        return _exact_plan(problem, rows, gamma)
    return _plan(problem, rows, gamma, method, METHODS[method](problem))


def evaluate_exact(source: Source, policy: ArrayLike, *, discount: float | None = None) -> Floats:
    """Values v_pi [S] of a policy [S, A] by a sparse direct solve of v = r + discount P v.

    Raises:
        InputError: where the policy is none, or has an infinite or undefined value at discount 1.

    >>> import rlgrid
    >>> world = rlgrid.load_world("sutton_gridworld")
    >>> evaluate_exact(world, [[0.25] * 4] * world.n_states)[:3].round(1)
    array([3.3, 8.8, 4.4])
    """
    _, _, rows, weight, resting = _given_policy(source, policy, discount)
    return _solve_linear(rows, weight, resting)


def evaluate_by_sweeps(
    source: Source,
    policy: ArrayLike,
    *,
    discount: float | None = None,
    tol: float = 1e-8,
    max_sweeps: int = MAX_SWEEPS,
    on_sweep: OnSweep | None = None,
) -> Floats:
    """Values v_pi [S] of a policy [S, A] by synchronous sweeps from v = 0, certified to ``tol`` below discount 1.

    Args and errors are those of :func:`solve` and :func:`evaluate_exact`. At discount 1 the sweeps go on until only
    rounding moves the values.
    """
    _check_limits(tol, max_sweeps=max_sweeps)
    model, gamma, rows, weight, _ = _given_policy(source, policy, discount)
    accuracy = accuracy_of(model, rows, gamma, mixed=True)
    most = np.add.reduceat(weight, rows.begin[:-1]).max()
    accuracy = accuracy._replace(contraction=accuracy.contraction * max(1.0, most))
    problem = _Problem(model, rows, accuracy, None, 0.0, tol, max_sweeps, on_sweep)
    return _sweep_until_settled(problem, weight).v


# -- methods ---------------------------------------------------------------------------------------------------------


def _value_iteration(problem: _Problem) -> _Solution:
    return _sweep_until_settled(problem, NO_WEIGHT)


def _policy_iteration(problem: _Problem) -> _Solution:
    _, v, k, change, size = _improved(problem, None if problem.collapsed is None else problem.collapsed.ending)
    return _Solution(v, certified(problem.model, problem.accuracy, change, size, problem.tol), k)


def _linear_programming(problem: _Problem) -> _Solution:
    """The program finds a policy, a direct solve its values; were it not the best one, it would be improved."""
    choice, pivots = basic_policy(problem.rows, problem.epsilon, problem.model.name)
    _, v, _, change, size = _improved(problem, choice)
    return _Solution(v, certified(problem.model, problem.accuracy, change, size, problem.tol), pivots)


def _improved(problem: _Problem, choice: Ints | None) -> tuple[Ints, Floats, int, float, float]:
    """Policy iteration from the rows chosen, else from the uniform policy.

    Stops when the greedy policy no longer changes, or promises no more than rounding. Returns the last choice, its
    values, the number of policies, max |T v - v| and max |v|.
    """
    weight = uniform_weights(problem.rows) if choice is None else problem.soft(choice)
    choice = np.full(problem.n_states, -1) if choice is None else choice
    for k in range(1, problem.max_sweeps + 1):
        v = _solve_linear(problem.rows, weight)
        problem.report(k, v)
        greedy = choice.copy()
        change, size = choose_rows(problem.rows, problem.epsilon, v, greedy)
        if np.array_equal(greedy, choice) or change <= TIE * max(1.0, size):
            return (choice if (choice >= 0).all() else greedy), v, k, change, size
        choice, weight = greedy, problem.soft(greedy)
    raise _gave_up(problem.max_sweeps)


def _truncated_policy_iteration(problem: _Problem) -> _Solution:
    """From the uniform policy and v = 0; at discount 1 from the values of a policy that ends, below their T v.

    From there convergence is monotone; from elsewhere it is not certain at discount 1. One sweep of T ends it.
    """
    rows, epsilon, accuracy = problem.rows, problem.epsilon, problem.accuracy
    if problem.collapsed is None:
        weight, v = uniform_weights(rows), np.zeros(problem.n_states)
    else:
        weight = problem.soft(problem.collapsed.ending)
        v = _solve_linear(rows, weight)
    choice, work = np.full(problem.n_states, -1), np.empty_like(v)
    for k in range(1, problem.max_sweeps + 1):
        iterate(rows, weight, 0.0, v, work, accuracy, -1.0, problem.evaluation_sweeps)
        problem.report(k, v)
        change, size = choose_rows(rows, epsilon, v, choice)
        if settled(accuracy, change, size, problem.tol):
            iterate(rows, NO_WEIGHT, epsilon, v, work, accuracy, -1.0, 1)
            bound = certified(problem.model, accuracy, accuracy.contraction * change, size, problem.tol)
            return _Solution(v, bound, k)
        weight = problem.soft(choice)
    raise _gave_up(problem.max_sweeps)


def _backward_induction(problem: _Problem) -> _Solution:
    """v_k = T v_(k-1) from v_0 = 0; each backup adds its rounding error to what it passes on."""
    assert problem.horizon is not None
    v, before, error = np.zeros(problem.n_states), np.zeros(problem.n_states), 0.0
    for k in range(1, problem.horizon + 1):
        v, before = before, v
        _, size = sweep(problem.rows, NO_WEIGHT, problem.epsilon, before, v)
        error = OUTWARD * (problem.accuracy.contraction * error + slack(problem.accuracy, size))
        problem.report(k, v)
    return _Solution(v, error, problem.horizon, before)


METHODS: dict[str, Callable[[_Problem], _Solution]] = {
    "value_iteration": _value_iteration,
    "policy_iteration": _policy_iteration,
    "truncated_policy_iteration": _truncated_policy_iteration,
    "linear_programming": _linear_programming,
    "backward_induction": _backward_induction,
}


# -- what methods share ----------------------------------------------------------------------------------------------


def _check_limits(tol: float, **counts: int) -> None:
    if not tol > 0:
        raise InputError(f"tol: found {tol:g}; allowed: above 0")
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}: found {count}; allowed: 1 or more")


def _checked_horizon(model: TabularModel, horizon: int | None) -> int:
    horizon = model.max_episode_steps if horizon is None else horizon
    if horizon is None:
        raise InputError(f"{model.name}: it has no max_episode_steps; allowed: horizon, the number of steps to go")
    if horizon < 1:
        raise InputError(f"horizon: found {horizon}; allowed: 1 or more")
    return horizon


def _gave_up(max_sweeps: int) -> InputError:
    return InputError(
        f"max_sweeps: not settled after {max_sweeps}; allowed: more, a larger tol, a smaller discount or another method"
    )


def _sweep_until_settled(problem: _Problem, weight: Floats) -> _Solution:
    """Sweep from v = 0 until nothing more is gained: with weights for a policy, without for the optimum."""
    rows, accuracy, tol = problem.rows, problem.accuracy, problem.tol
    v, work, done = np.zeros(problem.n_states), np.empty(problem.n_states), 0
    chunk = 1 if problem.on_sweep else max(1, CHUNK // len(rows.next_state))
    while done < problem.max_sweeps:
        limit = min(chunk, problem.max_sweeps - done)
        n, change, size = iterate(rows, weight, problem.epsilon, v, work, accuracy, tol, limit)
        done += n
        problem.report(done, v)
        if settled(accuracy, change, size, tol):
            return _Solution(v, certified(problem.model, accuracy, accuracy.contraction * change, size, tol), done)
    raise _gave_up(problem.max_sweeps)


def _given_policy(
    source: Source, policy: ArrayLike, discount: float | None
) -> tuple[TabularModel, float, Rows, Floats, NDArray[np.bool_] | None]:
    """Model, discount, rows, the policy's weights, and the states in which it rests for ever unpaid (discount 1)."""
    model = as_model(source)
    weight = check_policy(model, policy).ravel()
    gamma = resolve_discount(discount, model.discount)
    rows = rows_at(model, gamma)
    if gamma < 1:
        return model, gamma, rows, weight, None
    label = resting_classes(model, rows, weight > 0, whose="the value of the policy", weight=weight)
    return model, gamma, rows, weight, label >= 0


def _solve_linear(rows: Rows, weight: Floats, resting: NDArray[np.bool_] | None = None) -> Floats:
    """v = r + P v for the rows' weights; 0 in the states that rest."""
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    n_states = len(rows.begin) - 1
    length = np.diff(rows.first)
    share = np.repeat(weight, length)
    state = np.repeat(np.arange(n_states), np.diff(rows.first[rows.begin]))
    if resting is not None:
        share[resting[state]] = 0.0
    reward = np.bincount(state, share * rows.paid[rows.code], n_states)
    going = share * rows.going[rows.code]
    kept = going > 0
    diagonal = np.arange(n_states)
    entries = np.concatenate([np.ones(n_states), -going[kept]])
    places = np.concatenate([diagonal, state[kept]]), np.concatenate([diagonal, rows.next_state[kept]])
    matrix = csc_array((entries, places), shape=(n_states, n_states))
    return np.asarray(splu(matrix).solve(reward), dtype=np.float64)


def _plan(problem: _Problem, rows: Rows, discount: float, method: str, solution: _Solution) -> Plan:
    """From a method's solution to a plan for the states and actions of the model."""
    model, accuracy, epsilon = problem.model, problem.accuracy, problem.epsilon
    bound = solution.bound
    if problem.collapsed is not None and bound == np.inf:
        bound = enclosure(problem.rows, accuracy, epsilon, solution.v, solution.iterations)
    v = problem.values(solution.v)
    base = v if solution.before is None else solution.before
    q = np.empty((model.n_states, model.n_actions))
    row_values(rows, base, q.ravel())
    choice = np.full(problem.n_states, -1)
    _, size = choose_rows(problem.rows, epsilon, solution.v if solution.before is None else base, choice)
    if problem.collapsed is not None:
        choice = expand(problem.collapsed, rows, choice)
    policy = soft_policy(model, choice, epsilon)
    error = bound + slack(accuracy, size) if bound < np.inf else problem.tol
    optimal = q >= q.max(axis=1, keepdims=True) - 2.0 * OUTWARD * error
    return Plan(v, q, policy, optimal, bound, solution.iterations, discount, method, epsilon, problem.horizon)


def _exact_plan(problem: _Problem, rows: Rows, discount: float) -> Plan:
    """From a policy that is optimal as far as float64 can see, to exact values."""
    model, collapsed = problem.model, problem.collapsed
    if model.n_states > MOST_STATES:
        raise InputError(f"{model.name}: exact: found {model.n_states:,} states; allowed: up to {MOST_STATES:,}")
    choice = _improved(problem, None if collapsed is None else collapsed.ending)[0]
    return exact_plan(model, problem.rows, rows, collapsed, choice, discount, problem.epsilon, problem.max_sweeps)
