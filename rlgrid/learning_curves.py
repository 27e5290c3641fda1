"""Exact learning curves: what a table is worth, measured against the solved model, without sampling noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.acting import acting_policy
from rlgrid.errors import InputError

if TYPE_CHECKING:
    from rlgrid.agent import Agent
    from rlgrid.model import TabularModel

Floats = NDArray[np.float64]

#: A larger model is not solved before training unless an observer asks for it: it could take longer than training.
MOST_STATES = 40_000

#: Models of so many states, below discount 1, are kept as dense arrays.
MOST_DENSE = 128

#: What a point costs, in steps of training that take as long: 0.7 ms on a small model, else 2 ms and 0.7 µs a state, at
#: 50 million steps a second; at discount 1 twice as much. Two policies are evaluated, by code that no cache holds then.
_STEPS_PER_SMALL, _STEPS_PER_POINT, _STEPS_PER_STATE, _UNDISCOUNTED = 35_000, 100_000, 45, 2

#: The share of training time that the points of a curve may cost by default. Solving the model and the errors between
#: the points cost as much.
_SHARE = 0.01

#: One point of a learning curve; ``ExactError`` explains the columns.
CURVE = np.dtype(
    [("done", np.int64), ("episodes", np.int64)]
    + [
        (name, np.float64)
        for name in (*("v_error", "q_error", "rmse", "greedy_value", "behavior_value", "regret", "cumulative_regret"),)
    ]
)


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
    """What is learned, solved exactly: optimal values, or those of the policy that is predicted."""

    model: TabularModel
    v: Floats  # [S]
    q: Floats  # [S, A], -inf where an action is not available
    compared: NDArray[np.bool_]  # [S] states that count in an error


def solve_for(agent: Agent, model: TabularModel) -> Truth:
    """Solve what an agent learns.

    Raises:
        InputError: where the exact values are not finite.
    """
    from rlgrid.planner import evaluate_exact, solve  # loads Numba

    if agent.recipe.predicts:
        v = evaluate_exact(model, agent.policy, discount=agent.discount)
        q = _action_values(model, v, agent.discount)
    else:
        plan = solve(model, discount=agent.discount)
        v, q = plan.v, plan.q
    everywhere = agent.recipe.feed == "sweep" or agent.recipe.starts != "world"
    return Truth(model, v, q, ~model.terminal & (everywhere | model.reachable))


def _action_values(model: TabularModel, v: Floats, discount: float) -> Floats:
    t = model.tables
    target = t.reward[t.code] + discount * ~t.terminated[t.code] * v[t.next_state]
    q = np.bincount(model.row_of_outcome, t.probability[t.code] * target, model.n_states * model.n_actions)
    return np.where(model.available, q.reshape(model.n_states, model.n_actions), -np.inf)


def greatest_error(agent: Agent, truth: Truth) -> float:
    """max |v - exact v| over the states that count."""
    return float(np.abs(agent.v - truth.v)[truth.compared].max(initial=0.0))


def table_errors(agent: Agent, truth: Truth) -> tuple[float, float]:
    """max |q - exact q| (nan for a table of state values), and the root of the mean squared error of the table."""
    if agent.recipe.table == "v":
        apart = (agent.v - truth.v)[truth.compared]
        greatest = float("nan")
    else:
        counts = truth.compared[:, None] & truth.model.available
        apart = agent.learner.table[counts] - truth.q[counts]
        greatest = float(np.abs(apart).max(initial=0.0))
    return greatest, float(np.sqrt(np.mean(apart**2))) if apart.size else 0.0


class Judge:
    """Exact values of policies from the start distribution.

    Small models below discount 1 are kept as dense arrays, which takes a quarter of the time of ``evaluate_exact``.
    Elsewhere a policy that has not changed is not solved again.
    """

    def __init__(self, truth: Truth, discount: float) -> None:
        self.truth = truth
        self.discount = discount
        self._going = _dense(truth.model, discount) if _is_small(truth.model.n_states, discount) else None
        self._reward = truth.model.expected_reward
        self._last: dict[str, tuple[Floats, float]] = {}

    def optimum(self) -> float:
        """v*(start)."""
        return float(self.truth.model.start @ self.truth.v)

    def value(self, kind: str, policy: Floats) -> float:
        """v_pi(start); nan where it is infinite or undefined (a policy that never ends, at discount 1)."""
        if self._going is not None:
            return self._value_by(self._going, policy)
        if kind not in self._last or not np.array_equal(self._last[kind][0], policy):
            self._last[kind] = (policy, self._value_of_rows(policy))
        return self._last[kind][1]

    def _value_by(self, going: Floats, policy: Floats) -> float:
        if not np.isfinite(policy).all():  # greedy in values that are no numbers
            return float("nan")
        moves = np.matmul(policy[:, None, :], going)[:, 0]
        v = np.linalg.solve(np.eye(len(moves)) - moves, (policy * self._reward).sum(axis=1))
        return float(self.truth.model.start @ v)

    def _value_of_rows(self, policy: Floats) -> float:
        from rlgrid.planner import evaluate_exact

        try:
            return float(self.truth.model.start @ evaluate_exact(self.truth.model, policy, discount=self.discount))
        except InputError:
            return float("nan")

    def values(self, agent: Agent) -> tuple[float, float, float]:
        """Greedy value, behavior value, and regret: v*(start) less the behavior value."""
        acting = self.value("behavior", acting_policy(agent.behavior, agent.learner.table))
        if agent.recipe.predicts:
            return float("nan"), acting, float("nan")
        return self.value("greedy", agent.policy), acting, self.optimum() - acting


def _is_small(n_states: int, discount: float) -> bool:
    return discount < 1 and n_states <= MOST_DENSE


def _dense(model: TabularModel, discount: float) -> Floats:
    """Discounted probabilities to go on, [S, A, S]."""
    t, n = model.tables, model.n_states
    going = discount * t.probability[t.code] * ~t.terminated[t.code]
    place = model.row_of_outcome * n + t.next_state
    cells = np.bincount(place, going, n * model.n_actions * n)
    return np.asarray(cells, dtype=np.float64).reshape(n, model.n_actions, n)
