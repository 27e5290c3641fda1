"""Planning: ``solve`` finds optimal values and policies, with a proven bound on the error.

At discount 1 the methods work on the collapsed model that :mod:`rlgrid.planning.undiscounted` makes; models whose
optimal values are not finite are refused there.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.arrays import Bools, Floats, Ints
from rlgrid.errors import InputError, chosen, shown, whole
from rlgrid.kernels.sweeps import OUTWARD, Rows, choose_by_values, near_the_best, row_values, slack
from rlgrid.models.checks import check_policy, check_share, resolve_discount
from rlgrid.models.model import Source, TabularModel, as_model
from rlgrid.models.tables import TIE
from rlgrid.planning.avoidance import avoiding
from rlgrid.planning.certificate import enclosure
from rlgrid.planning.decision import MOST_CELLS, MOST_STATES, Decision, decide, settle, spread
from rlgrid.planning.fractions import check_size, not_optimal, optimal_fractions
from rlgrid.planning.graph import closed_rows, mean_rewards, rows_at
from rlgrid.planning.methods import METHODS, Criterion
from rlgrid.planning.plan import ActionTables, Plan
from rlgrid.planning.policy_iteration import policy_iterations
from rlgrid.planning.problem import MAX_SWEEPS, MethodResult, OnSweep, Problem, check_limits, check_work, uncertified
from rlgrid.planning.undiscounted import NoEndError, cells_in_words, collapse, ending_choice, expand, towards_an_end

#: States up to which fractions decide what float64 leaves in doubt; more can take half a minute.
MOST_IN_FRACTIONS = 300


def solve(
    source: Source,
    method: str = "auto",
    *,
    discount: float | None = None,
    tol: float = 1e-8,
    epsilon: float = 0.0,
    horizon: int | None = None,
    evaluation_sweeps: int = 5,
    max_sweeps: int = MAX_SWEEPS,
    on_limit: str = "raise",
    on_sweep: OnSweep | None = None,
    first_policy: ArrayLike | None = None,
    exact: bool = False,
) -> Plan:
    """Solve a model exactly.

    Args:
        source: a world, a model, or an environment with a toy-text ``P``.
        method: ``auto`` takes the fastest one for the problem's size and structure. ``value_iteration`` (synchronous,
            from v = 0; Zhao, Alg. 4.1), ``gauss_seidel`` (in place, states in order), ``prioritized_sweeping`` (always
            the state that would change most), ``block_gauss_seidel`` (for large grids, outwards from where reward
            comes in), ``policy_iteration`` (Howard, with a sparse direct solve, from the uniform policy or, at
            discount 1, from one that ends; Alg. 4.2), ``truncated_policy_iteration`` (Alg. 4.3),
            ``modified_policy_iteration`` (for what is no grid; Puterman, Sec. 6.5),
            ``linear_programming`` (a policy from HiGHS, its values from a direct solve), ``backward_induction`` (the
            optimum within a number of steps), or ``average_reward``. The latter is the best mean reward a step in the
            long run, without a discount, by relative value iteration; episodes that end start again at once, and
            states to which no start leads count for nothing.
        discount: by default the model's own, else 0.99.
        tol: the largest ``bound`` to accept below discount 1, or where every action may end the episode. Otherwise
            iteration goes on until only rounding moves the values, and ``bound`` is whatever can be proven.
        epsilon: above 0, find the best policy that takes each available action with probability epsilon / |A| or more.
        horizon: number of steps for backward induction; by default the model's ``max_episode_steps``.
        evaluation_sweeps: sweeps between two improvements of truncated policy iteration.
        max_sweeps: sweeps or improvements after which the attempt is given up.
        on_limit: what happens then: "raise" an error, or "return" the values so far, with their bound.
        on_sweep: called with k = 1, 2, ... and a copy of v [S] after each sweep (value iteration, Gauss-Seidel,
            backward induction, average reward; prioritized sweeping: as many backups), each policy evaluation (policy
            iteration, truncated policy iteration, linear programming) or some passes (block Gauss-Seidel). At
            discount 1, cells between which one can move for free count as one.
        first_policy: the policy that policy iteration and truncated policy iteration begin with, in any of the forms
            that :func:`rlgrid.evaluate_policy` knows; at discount 1 one that ends from everywhere.
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
    chosen("method", method, METHODS)
    criterion = METHODS[method].criterion
    _check_options(method, exact=exact, first_policy=first_policy is not None, horizon=horizon)
    epsilon = check_share("epsilon", epsilon)
    tol = check_limits(tol, on_limit, on_sweep, evaluation_sweeps=evaluation_sweeps, max_sweeps=max_sweeps)
    model = as_model(source)
    check_work(model, "evaluation_sweeps", evaluation_sweeps)
    if criterion == Criterion.AVERAGE_REWARD:
        if discount is not None and resolve_discount(discount) != 1:
            raise InputError(f'discount: found {shown(discount)} with method "{method}"; allowed: none')
        discount = 1.0
    if criterion == Criterion.FINITE_HORIZON:
        horizon = _checked_horizon(model, horizon)
    gamma = resolve_discount(discount, model.discount)
    problem = Problem(
        model, None, gamma, None, epsilon, tol, max_sweeps, on_sweep, evaluation_sweeps, horizon, on_limit
    )
    if gamma == 1 and criterion == Criterion.DISCOUNTED:
        at_once = None if exact else METHODS[method].at_once
        if at_once is not None and (result := at_once(problem)) is not None:
            return _plan(problem, method, result)
        try:
            problem = _collapsed(problem)
        except NoEndError:
            part = avoiding(model)
            if epsilon > 0 or part.lost[model.start > 0].any():
                raise
            report = on_sweep and (lambda k, v: on_sweep(k, np.where(part.lost, -np.inf, v)))
            plan = solve(
                part.model, method, discount=discount, tol=tol, evaluation_sweeps=evaluation_sweeps,
                max_sweeps=max_sweeps, on_limit=on_limit, on_sweep=report, first_policy=first_policy, exact=exact,
            )  # fmt: skip
            return _with_lost_states(model, plan, part.lost)
    if first_policy is not None:
        problem = replace(problem, first=_first_policy(problem, check_policy(model, first_policy)))
    if exact:
        return _fraction_plan(problem)
    result = METHODS[method].solve(problem)
    return _average_plan(problem, method, result) if result.gain is not None else _plan(problem, method, result)


def _check_options(method: str, *, exact: bool, first_policy: bool, horizon: int | None) -> None:
    """Refuse options that a method does not have."""
    criterion = METHODS[method].criterion
    if exact and criterion != Criterion.DISCOUNTED:
        raise InputError(f'exact: found it with method "{method}"; allowed: with the methods for a discounted optimum')
    if first_policy and not METHODS[method].improves:
        improving = " or ".join(f'"{name}"' for name, one in METHODS.items() if one.improves)
        raise InputError(f'first_policy: found one with method "{method}"; allowed: with {improving}')
    if horizon is not None and criterion != Criterion.FINITE_HORIZON:
        with_one = " or ".join(
            f'"{name}"' for name, one in METHODS.items() if one.criterion == Criterion.FINITE_HORIZON
        )
        raise InputError(f'horizon: found {shown(horizon)} with method "{method}"; allowed: with {with_one}')


def _collapsed(problem: Problem) -> Problem:
    """The problem; at discount 1 with components that can be kept to for free as one state."""
    if problem.discount < 1 or problem.collapsed is not None:
        return problem
    collapsed = collapse(problem.model, problem.rows, problem.epsilon)
    return replace(problem, given=collapsed.rows, collapsed=collapsed)


def _with_lost_states(model: TabularModel, plan: Plan, lost: Bools) -> Plan:
    """The plan of a model without its lost states, [S], for the model itself: they are worth minus infinity."""

    def tables() -> ActionTables:
        q, policy, optimal = plan.q.copy(), plan.policy.copy(), plan.optimal_actions.copy()
        doubtful = plan._tables.undetermined.copy()  # without a closer look, which takes longer
        q[lost], optimal[lost], doubtful[lost] = -np.inf, model.available[lost], False
        policy[lost] = np.eye(model.n_actions)[model.available[lost].argmax(axis=1)]
        return ActionTables(q, policy, optimal, doubtful)

    def doubts(_: ActionTables) -> Bools:
        return plan.undetermined & ~lost

    exact = plan.exact_v
    if exact is not None:
        exact = tuple(None if gone else x for x, gone in zip(exact, lost.tolist(), strict=True))
    return replace(plan, v=np.where(lost, -np.inf, plan.v), tables=tables, doubts=doubts, exact_v=exact)


def _first_policy(problem: Problem, policy: Floats) -> Floats:
    """A policy [S, A] as the probability of each row [R] of the problem.

    Where a component of the model is one state of the problem, that state leaves by one of the policy's ways out.

    Raises:
        InputError: at discount 1, where the policy never ends from some state.
    """
    collapsed = problem.collapsed
    if collapsed is None:
        return policy.ravel()
    n_rows, rows = policy.size, problem.rows
    weight = np.append(policy.ravel(), np.zeros(1))[np.minimum(collapsed.origin, n_rows)]
    total = np.add.reduceat(weight, rows.begin[:-1])
    weight /= np.repeat(np.where(total > 0, total, 1.0), np.diff(rows.begin))
    weight[collapsed.ending[total == 0]] = 1.0
    reached, _ = towards_an_end(rows, weight > 0)
    if not reached.all():
        lost = np.flatnonzero(~reached[collapsed.number])
        raise InputError(
            f"first_policy: it never ends from {cells_in_words(problem.model, lost)}; "
            "allowed at discount 1: a policy that ends from everywhere"
        )
    return weight


def _checked_horizon(model: TabularModel, horizon: int | None) -> int:
    horizon = model.max_episode_steps if horizon is None else horizon
    if horizon is None:
        raise InputError(f"{model.name}: it has no max_episode_steps; allowed: horizon, the number of steps to go")
    horizon = whole("horizon", horizon)
    check_work(model, "horizon", horizon)
    return horizon


def _plan(problem: Problem, method: str, result: MethodResult) -> Plan:
    """From a method's result to a plan for the states and actions of the model."""
    quiet = replace(problem, on_sweep=None, on_limit="raise", max_sweeps=MAX_SWEEPS, first=None)
    decision = None
    if result.before is None and result.finished and not result.bound <= problem.tol:
        decision = _decided(quiet, result.v)
        result = _certified(quiet, result, decision)
    return Plan(
        v=problem.values(result.v),
        bound=result.bound,
        iterations=result.iterations,
        discount=problem.discount,
        method=result.method or method,
        epsilon=problem.epsilon,
        horizon=problem.horizon,
        tables=partial(_action_tables, quiet, result, decision),
        doubts=partial(_doubts, quiet, result.finished) if result.before is None else None,
        shape=problem.model.shape,
        actions=problem.model.actions,
    )


def _certified(problem: Problem, result: MethodResult, decision: Decision | None) -> MethodResult:
    """The result with a bound that the method could not give, or the values of the policy that they suggest.

    Raises:
        InputError: below discount 1, where the bound would be larger than the tolerance.
    """
    least = result.bound
    if decision is not None and decision.complete:
        bound = float(decision.error.max(initial=0.0))
        distance = OUTWARD * float(np.abs(problem.values(result.v) - decision.v).max(initial=0.0))
        if distance + bound <= problem.tol:
            return result._replace(bound=distance + bound)
        if bound <= problem.tol or problem.discount == 1:
            return result._replace(v=problem.of_model(decision.v), bound=bound)
        least = min(least, bound)
    if problem.discount < 1:
        raise uncertified(problem, least)
    if result.bound < np.inf:
        return result
    return result._replace(
        bound=enclosure(problem.rows, problem.accuracy, problem.epsilon, result.v, result.iterations)
    )


def _decided(problem: Problem, v: Floats) -> Decision | None:
    """The policy that values [Q] suggest, improved as far as float64 can tell; ``None`` for large models."""
    if problem.model.n_states > (MOST_STATES if problem.model.shape is None else MOST_CELLS):
        return None
    rows = problem.rows if problem.collapsed is None else rows_at(problem.model, problem.discount)
    scaled, settled = settle(problem.rows, problem.epsilon, v)
    choice = _greedy_rows(replace(problem, given=scaled), rows, settled, _of_rows(scaled, settled), np.inf)
    free = None
    if problem.discount == 1:
        inside = (
            closed_rows(rows) & (mean_rewards(rows) == 0) if problem.collapsed is None else problem.collapsed.inside
        )
        free = np.logical_or.reduceat(inside, rows.begin[:-1])
    return decide(problem.model, rows, problem.discount, problem.epsilon, choice, free)


def _action_tables(problem: Problem, result: MethodResult, decision: Decision | None) -> ActionTables:
    """q, policy, optimal actions and states in doubt, for the values that a method found.

    The decision about the policy is made here, where none has been made yet.
    """
    model, epsilon = problem.model, problem.epsilon
    base = result.v if result.before is None else result.before
    if result.of_rows is not None:
        q, rounding = of_rows, _ = result.of_rows()
    else:
        of_rows = _of_rows(problem.rows, base)
        q = of_rows if problem.collapsed is None else _of_rows(_rows(problem), problem.values(base))
        rounding = slack(problem.accuracy, float(np.abs(base).max(initial=0.0)))
    near = 2.0 * OUTWARD * (result.bound + rounding if result.bound < np.inf else problem.tol)
    q = q.reshape(model.n_states, model.n_actions)
    optimal, doubtful = np.empty(q.shape, np.bool_), np.empty(len(q), np.bool_)
    best = np.empty(len(q), np.int64)
    near_the_best(q, near, optimal, doubtful, best)
    doubtful &= ~model.terminal
    if not result.bound < np.inf:
        doubtful = ~model.terminal
    clear = not doubtful.any()
    if decision is None and result.before is None and result.finished and not clear:
        decision = _decided(problem, base)
    if result.of_rows is not None and (decision is None or clear):
        choice = _first_of_best(problem, base, q, near, np.flatnonzero(doubtful), best)
    elif decision is None or clear:
        choice = _greedy_rows(problem, _rows(problem), base, of_rows, near, result.surely_ends)
    else:
        choice, q = decision.choice, decision.q.reshape(q.shape)
        close = decision.close.reshape(q.shape)
        optimal = close if decision.complete else optimal | close
        proven = decision.complete or result.bound < np.inf
        doubtful = spread(_rows(problem), epsilon, optimal if proven else model.available, decision.doubtful)
    return ActionTables(q, _policy(model, choice, epsilon), optimal, doubtful)


def _first_of_best(problem: Problem, v: Floats, q: Floats, most: float, doubtful: Ints, choice: Ints) -> Ints:
    """The row of the model [S] that :func:`_greedy_rows` finds, from the best rows, where few states are in doubt."""
    t, n_actions = problem.model.tables, problem.model.n_actions
    best = choice[doubtful]
    length = t.first[best + 1] - t.first[best]
    ends = np.cumsum(length)
    outcome = np.repeat(t.first[best] - ends + length, length) + np.arange(ends[-1] if len(ends) else 0)
    code = t.code[outcome]
    ahead = np.where(t.terminated[code], 0.0, problem.discount * np.abs(v[t.next_state[outcome]]))
    share = t.probability[code] * (np.abs(t.reward[code]) + ahead)
    size = np.bincount(np.repeat(np.arange(len(best)), length), share, len(best))
    near = q[doubtful] >= q.ravel()[best][:, None] - np.minimum(TIE * size, most)[:, None]
    choice[doubtful] = doubtful * n_actions + near.argmax(axis=1)
    return choice


def _rows(problem: Problem) -> Rows:
    """The rows of the problem's model."""
    return problem.rows if problem.collapsed is None else rows_at(problem.model, problem.discount)


def _of_rows(rows: Rows, v: Floats) -> Floats:
    """The values of rows at v, [R]."""
    q = np.empty(len(rows.first) - 1)
    row_values(rows, v, q)
    return q


def _greedy_rows(problem: Problem, rows: Rows, v: Floats, q: Floats, most: float, surely_ends: bool = False) -> Ints:
    """The row of the model [S] that is greedy at values [Q], with those of the problem's rows, [R].

    Of rows that are equally good within ``most`` it is the first.
    """
    choice = np.full(problem.n_states, -1)
    choose_by_values(problem.rows, q, v, choice, TIE, most)
    if problem.discount == 1 and problem.horizon is None and problem.epsilon == 0 and not surely_ends:
        choice = ending_choice(problem.rows, choice, v)
    return choice if problem.collapsed is None else expand(problem.collapsed, rows, choice)


def _doubts(problem: Problem, finished: bool, tables: ActionTables) -> Bools:
    """States [S] in which the policy is not optimal, in fractions; those in doubt where that is too much work."""
    rows = rows_at(problem.model, problem.discount)
    if finished and problem.model.n_states <= MOST_IN_FRACTIONS:
        try:
            return not_optimal(_collapsed(problem), rows, tables.policy)
        except InputError:
            pass
    return spread(rows, problem.epsilon, tables.optimal_actions, tables.undetermined)


def _policy(model: TabularModel, choice: Ints, epsilon: float) -> Floats:
    """The (epsilon-soft) policy [S, A] that chooses one row for each state."""
    policy = np.zeros((model.n_states, model.n_actions))
    if epsilon > 0:
        policy[:] = epsilon * model.available / model.available.sum(axis=1, keepdims=True)
    policy.ravel()[choice] += 1.0 - epsilon
    return policy


def _fraction_plan(problem: Problem) -> Plan:
    """The optimum in fractions, from a policy that is optimal as far as float64 can tell."""
    model = problem.model
    check_size(model)
    choice = policy_iterations(problem).choice
    gamma = Fraction(repr(problem.discount))
    found = optimal_fractions(problem, rows_at(model, problem.discount), choice, gamma)
    return Plan(
        v=found.v,
        bound=found.bound,
        iterations=found.iterations,
        discount=problem.discount,
        method="policy_iteration",
        epsilon=problem.epsilon,
        horizon=None,
        tables=partial(
            ActionTables,
            found.q,
            _policy(model, found.choice, problem.epsilon),
            found.optimal_actions,
            np.zeros(model.n_states, np.bool_),
        ),
        shape=model.shape,
        actions=model.actions,
        exact_v=found.exact_v,
    )


def _average_plan(problem: Problem, method: str, result: MethodResult) -> Plan:
    """The plan of a best mean reward a step: q = r - gain + P v, of the relative values v."""
    model, choice = problem.model, result.choice
    assert result.gain is not None and choice is not None
    q = np.empty((model.n_states, model.n_actions))
    row_values(problem.rows, result.v, q.ravel())
    q -= result.gain
    greedy = q.argmax(axis=1) + np.arange(0, q.size, model.n_actions)
    policy = _policy(model, np.where(choice < 0, greedy, choice), problem.epsilon)
    optimal = q >= q.max(axis=1, keepdims=True) - 2.0 * problem.tol
    return Plan(
        v=result.v,
        bound=result.bound,
        iterations=result.iterations,
        discount=problem.discount,
        method=method,
        epsilon=problem.epsilon,
        horizon=None,
        tables=partial(ActionTables, q, policy, optimal, optimal.sum(axis=1) > 1),
        shape=model.shape,
        actions=model.actions,
        gain=result.gain,
    )
