"""Exact learning curves: how far a table is from the solved model, and what its policies are worth, without noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.arrays import Bools, Floats
from rlgrid.batch import NO_LIMIT
from rlgrid.errors import InputError, whole
from rlgrid.feeds.feed import Chunk
from rlgrid.learning.feed_keys import SweepKeys
from rlgrid.runs.curve import CurvePoint, LearningCurve
from rlgrid.runs.observer import Observer

if TYPE_CHECKING:
    from rlgrid.learning.agent import Agent
    from rlgrid.models.model import TabularModel
    from rlgrid.runs.run import Run


#: A larger model is not solved before training unless an observer asks for it: it could take longer than training.
MOST_STATES = 40_000

#: Models of so many states, below discount 1, are kept as dense arrays.
MOST_DENSE = 128

#: The cost of a point of the curve, as the number of training steps that take as long, at 50 million steps a second:
#: 0.7 ms on a small model, else 2 ms and 0.7 µs a state; at discount 1 twice as much. A point evaluates two policies,
#: with cold processor caches.
_STEPS_PER_SMALL, _STEPS_PER_POINT, _STEPS_PER_STATE, _UNDISCOUNTED = 35_000, 100_000, 45, 2

#: The share of training time that the points of a curve may cost by default. Solving the model and the errors between
#: the points cost as much.
_SHARE = 0.01

#: A tolerance that accepts every bound.
_ANY = 1e300

#: An episode counts as so many steps where the cost of a learning curve is weighed against them.
_STEPS_IN_EPISODE = 10


def affordable_points(steps: int, n_states: int, discount: float, most: int) -> int:
    """How many points of a curve cost no more than their share of so many steps; at least the last one.

    >>> [affordable_points(steps, 64, 0.99, 50) for steps in (1000, 10_000_000, 10**9)]
    [1, 2, 50]
    """
    cost = _STEPS_PER_SMALL
    if not _is_small(n_states, discount):
        cost = (_STEPS_PER_POINT + _STEPS_PER_STATE * n_states) * (_UNDISCOUNTED if discount == 1 else 1)
    return int(min(most, max(1.0, _SHARE * steps / cost)))


class Truth(NamedTuple):
    """The exact values that an agent is to learn: the optimal ones, or those of the policy that it predicts."""

    model: TabularModel
    v: Floats  # [S]
    q: Floats  # [S, A], -inf where an action is not available
    compared: Bools  # [S] states that count in an error
    bound: float  # on max |v - exact v|


class PolicyValue(NamedTuple):
    """v_pi(start)."""

    value: float  # nan where it is not finite, or not known
    bound: float = 0.0  # on its error
    reason: str = ""  # why it is nan


def solve_for(agent: Agent, model: TabularModel) -> Truth:
    """Solve the model for the values that an agent is to learn.

    Raises:
        InputError: where the exact values are not finite.
    """
    from rlgrid.planning.avoidance import part_of, rows_that_can_end  # loads Numba
    from rlgrid.planning.evaluation import action_values, evaluate_policy
    from rlgrid.planning.graph import rows_at
    from rlgrid.planning.solve import solve

    everywhere = isinstance(agent.recipe.feed, SweepKeys) or agent.recipe.starts != "world"
    counted = np.ones(model.n_states, np.bool_) if everywhere else model.reachable
    if agent.recipe.predicts:
        plan = evaluate_policy(model, agent.policy, discount=agent.discount, tol=_ANY)
        v = plan.v
    else:
        try:
            plan = solve(model, discount=agent.discount)
            v = plan.v
        except InputError:  # states that do not count may be to blame, or such as the best policy never enters
            usable = rows_that_can_end(model, counted)
            good: Bools = np.logical_or.reduceat(usable, np.arange(0, len(usable), model.n_actions))
            if agent.discount < 1 or usable.all() or not good[model.start > 0].all():
                raise
            plan = solve(part_of(model, usable, ~good), discount=agent.discount)
            v = np.where(good, plan.v, np.where(counted, -np.inf, np.nan))
    q = action_values(rows_at(model, agent.discount), v).reshape(model.n_states, model.n_actions)
    compared = ~model.terminal & counted & np.isfinite(v)
    if not compared.any():
        raise InputError(
            f"{model.name}: the policy never ends, and its values are infinite; allowed: a discount below 1"
        )
    return Truth(model, v, q, compared, plan.bound)


def greatest_error(agent: Agent, truth: Truth) -> float:
    """max |v - exact v| over the states that count."""
    return float(np.abs(agent.v[truth.compared] - truth.v[truth.compared]).max(initial=0.0))


def table_errors(agent: Agent, truth: Truth) -> tuple[float, float]:
    """max |q - exact q| (nan for a table of state values), and the root of the mean squared error of the table."""
    if agent.recipe.table == "v":
        apart = agent.v[truth.compared] - truth.v[truth.compared]
        greatest = float("nan")
    else:
        counts = truth.compared[:, None] & np.isfinite(truth.q)
        apart = agent.learner.table[counts] - truth.q[counts]
        greatest = float(np.abs(apart).max(initial=0.0))
    return greatest, float(np.sqrt(np.mean(apart**2))) if apart.size else 0.0


class PolicyEvaluator:
    """Exact values of policies from the start distribution.

    Small models below discount 1 are kept as dense arrays, which takes a quarter of the time of ``evaluate_exact``.
    Elsewhere a policy that has not changed is not solved again.
    """

    def __init__(self, truth: Truth, discount: float) -> None:
        self.truth = truth
        self.discount = discount
        small = _is_small(truth.model.n_states, discount)
        self._continuation = _discounted_continuation(truth.model, discount) if small else None
        self._reward = truth.model.expected_reward
        self._last: dict[str, tuple[Floats, PolicyValue]] = {}

    def optimum(self) -> float:
        """v*(start)."""
        begins = self.truth.model.start > 0
        return float(self.truth.model.start[begins] @ self.truth.v[begins])

    def value(self, kind: str, policy: Floats) -> PolicyValue:
        """v_pi(start)."""
        if not np.isfinite(policy).all():  # greedy in values that are no numbers
            return PolicyValue(np.nan, reason="the values that were learned are no numbers")
        if self._continuation is not None:
            return self._dense_value(self._continuation, policy)
        if kind not in self._last or not np.array_equal(self._last[kind][0], policy):
            self._last[kind] = (policy, self._value_of_rows(policy))
        return self._last[kind][1]

    def _dense_value(self, continuation: Floats, policy: Floats) -> PolicyValue:
        moves = np.matmul(policy[:, None, :], continuation)[:, 0]
        reward = (policy * self._reward).sum(axis=1)
        try:
            v = np.linalg.solve(np.eye(len(moves)) - moves, reward)
        except np.linalg.LinAlgError:  # rounding has made it singular, as may happen at the last floats before 1
            return self._value_of_rows(policy)
        size = float(np.abs(reward).max() + np.abs(v).max())
        change = float(np.abs(reward + moves @ v - v).max()) + 2.0 * len(v) * float(np.finfo(np.float64).eps) * size
        return PolicyValue(float(self.truth.model.start @ v), change / (1.0 - self.discount))

    def _value_of_rows(self, policy: Floats) -> PolicyValue:
        from rlgrid.planning.evaluation import evaluate_policy

        model = self.truth.model
        try:
            plan = evaluate_policy(model, policy, discount=self.discount, tol=_ANY)
        except InputError as error:
            return PolicyValue(np.nan, reason=str(error))
        begins = np.flatnonzero(model.start > 0)
        value = float(model.start[begins] @ plan.v[begins])
        if np.isfinite(value):
            return PolicyValue(value, plan.bound)
        where = model.place_of(int(begins[np.argmin(np.isfinite(plan.v[begins]))]))
        words = {np.inf: "infinite", -np.inf: "minus infinity"}.get(value, "undefined")
        return PolicyValue(np.nan, reason=f"{words}: it may never end from {where}")

    def values(self, agent: Agent) -> tuple[PolicyValue, PolicyValue, PolicyValue]:
        """Greedy value, behavior value, and regret: v*(start) less the behavior value.

        A regret below 0 by no more than the bounds of both values is 0: no policy is better than the best.
        """
        acting = self.value("behavior", agent.behavior_policy)
        if agent.recipe.predicts:
            of_prediction = PolicyValue(np.nan, reason="the policy is given, and only predicted")
            return of_prediction, acting, of_prediction
        bound = acting.bound + self.truth.bound
        regret = self.optimum() - acting.value
        if -bound <= regret < 0 and bound < np.inf:
            regret = 0.0
        return (
            self.value("greedy", agent.policy),
            acting,
            PolicyValue(regret, bound, acting.reason.replace("minus infinity", "infinite")),
        )


def _is_small(n_states: int, discount: float) -> bool:
    return discount < 1 and n_states <= MOST_DENSE


def _discounted_continuation(model: TabularModel, discount: float) -> Floats:
    """Discounted probabilities to go on, [S, A, S]."""
    t, n = model.tables, model.n_states
    continuation = discount * t.probability[t.code] * ~t.terminated[t.code]
    place = model.row_of_outcome * n + t.next_state
    cells = np.bincount(place, continuation, n * model.n_actions * n)
    return np.asarray(cells, dtype=np.float64).reshape(n, model.n_actions, n)


class ExactError(Observer):
    """The exact errors of what is learned, and the exact values of the policies, at regular points of the run.

    Control is compared with v* and q*, prediction with the values of the policy that is predicted. States that cannot
    be reached from the start distribution are left out, unless episodes start everywhere. Where the world changes, so
    do the exact values. Without a model, or where an exact value is not finite, nothing is reported and
    ``record.reason`` says why.

    ``record.errors`` are pairs of ``done`` and max |v - exact v|. ``curve`` has the columns

    - ``done`` in the unit of the budget, and ``episodes`` finished;
    - ``v_error``, ``q_error``: max |v - exact v|, max |q - exact q|; ``rmse`` over the entries of the table;
    - ``greedy_value``, ``behavior_value``: v_pi(start) of the greedy policy and of the one that acts, by a linear
      solve; nan where it is infinite (``record.unknown`` says why of the last point);
    - ``regret``: v*(start) - ``behavior_value``, that of one episode; ``cumulative_regret``: its sum over the episodes
      so far, by the trapezoidal rule between points; nan where the curve does not begin at 0.

    By default there are 50 errors, and as many points of the curve, up to 50, as keep the cost of it all below 5 % of
    the training time; the point at the end is always there. The cost is estimated from the budget and the size of the
    model, so that results do not depend on the clock. A model of more than 40,000 states is not solved. An
    ``ExactError`` with ``points``, passed to :func:`rlgrid.train`, takes so many points at whatever cost:

    >>> import rlgrid
    >>> env = rlgrid.GridWorld("cliff")
    >>> agent = rlgrid.load_agent("q_learning", env, seed=1, discount=0.99)
    >>> run = rlgrid.train(agent, env, steps=20_000, observers=[ExactError(points=4)])
    >>> run.curve["done"].tolist(), round(float(run.curve["greedy_value"][-1]), 3)
    ([0, 5000, 10000, 15000, 20000], -12.248)

    Args:
        points: how many points after the first one, of errors and curve alike, at whatever cost.

    Raises:
        InputError: for less than one point.
    """

    def __init__(self, points: int | None = None) -> None:
        self.points = None if points is None else whole("points", points)
        self.record = LearningCurve()
        self._truth: Truth | None = None

    @property
    def curve(self) -> NDArray[np.void]:
        """The learning curve, a structured array [n]."""
        return self.record.array

    def begin(self, run: Run) -> None:
        amount = run.budget.amount
        model = run.spaces.model
        if model is None:
            self.record.reason = "the environment has no model"
        elif self.points is None and model.n_states > MOST_STATES:
            self.record.reason = (
                f"the model has {model.n_states:,} states, and by default at most {MOST_STATES:,} are solved before "
                "training; allowed: observers=[ExactError(points=...)]"
            )
        else:
            self._every = max(1, amount // (self.points or 50))
            steps = amount * (_STEPS_IN_EPISODE if run.budget.unit == "episodes" else 1)
            self._curve_points = self.points or affordable_points(steps, model.n_states, run.agent.discount, 50)
            self._solve(run, model)
            self._look(run)

    def _solve(self, run: Run, model: TabularModel) -> None:
        self._model = model
        try:
            self._truth = solve_for(run.agent, model)
        except InputError as error:
            self._truth, self.record.exact, self.record.reason = None, None, str(error)
            return
        self.record.exact = self._truth.v
        self._evaluator = PolicyEvaluator(self._truth, run.agent.discount)

    def see(self, run: Run, chunk: Chunk) -> None:
        if self._truth is None or not (run.done >= self.next_look(run) or run.done >= run.budget.amount):
            return
        if run.feed.model is not None and run.feed.model is not self._model:  # the world has changed
            self._solve(run, run.feed.model)
        self._look(run)

    def _look(self, run: Run) -> None:
        if self._truth is None:
            return
        error = greatest_error(run.agent, self._truth)
        self.record.errors.append((run.done, error))
        k, n = len(self.record.points), self._curve_points
        due = k < n and (self.points or n > 1) and run.done >= k * (run.budget.amount // n)
        if due or run.done >= run.budget.amount:
            self._add_row(run, self._truth, error)

    def _add_row(self, run: Run, truth: Truth, error: float) -> None:
        of_policies = self._evaluator.values(run.agent)
        names = "greedy_value", "behavior_value", "regret"
        self.record.unknown = {n: found.reason for n, found in zip(names, of_policies, strict=True) if found.reason}
        greedy, acting, regret = (found.value for found in of_policies)
        total = 0.0 if run.done == 0 else float("nan")
        if self.record.points:
            _, episodes, *_, regret_before, total = self.record.points[-1]
            total += (run.episodes - episodes) * (regret_before + regret) / 2
        errors = table_errors(run.agent, truth)
        self.record.points.append(CurvePoint(run.done, run.episodes, error, *errors, greedy, acting, regret, total))

    def next_look(self, run: Run) -> int:
        if self._truth is None or not self.record.errors:
            return NO_LIMIT
        return (self.record.errors[-1][0] // self._every + 1) * self._every
