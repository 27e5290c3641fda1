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

#: What a point costs, in steps of training that take as long (measured: 0.6 ms and 0.7 µs a state, at 50 million steps
#: a second). Two policies are evaluated; at discount 1 this takes three times as long.
_STEPS_PER_POINT, _STEPS_PER_STATE, _UNDISCOUNTED = 40_000, 45, 3

#: The share of training time that the points of a curve may cost by default. Solving the model and the errors between
#: the points cost as much, and all of it more where caches are cold.
_SHARE = 0.015

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
    [1, 3, 50]
    """
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
    """Exact values of policies from the start distribution; a policy that has not changed is not solved again."""

    def __init__(self, truth: Truth, discount: float) -> None:
        self.truth = truth
        self.discount = discount
        self._last: dict[str, tuple[Floats, float]] = {}

    def optimum(self) -> float:
        """v*(start)."""
        return float(self.truth.model.start @ self.truth.v)

    def value(self, kind: str, policy: Floats) -> float:
        """v_pi(start); nan where it is infinite or undefined (a policy that never ends, at discount 1)."""
        from rlgrid.planner import evaluate_exact

        if kind not in self._last or not np.array_equal(self._last[kind][0], policy):
            try:
                v = evaluate_exact(self.truth.model, policy, discount=self.discount)
                value = float(self.truth.model.start @ v)
            except InputError:
                value = float("nan")
            self._last[kind] = (policy, value)
        return self._last[kind][1]

    def values(self, agent: Agent) -> tuple[float, float, float]:
        """Greedy value, behavior value, and regret: v*(start) less the behavior value."""
        acting = self.value("behavior", acting_policy(agent.behavior, agent.learner.table))
        if agent.recipe.predicts:
            return float("nan"), acting, float("nan")
        return self.value("greedy", agent.policy), acting, self.optimum() - acting
