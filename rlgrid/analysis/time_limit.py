"""The value of a plan from the start, without a time limit and within the world's."""

from __future__ import annotations

from rlgrid.models.model import TabularModel
from rlgrid.planning.plan import Plan
from rlgrid.planning.problem import affordable_sweeps
from rlgrid.planning.solve import solve

#: Outcomes to look at for the optimum within the limit: some ten seconds.
MOST_OUTCOMES = 2**31


def start_values(plan: Plan, model: TabularModel) -> dict[str, float]:
    """The plan's mean value over the start distribution, and the best within the model's time limit.

    ``value``; and ``value_within_limit``, the optimum of policies that count their steps, where the model has a limit
    that the plan does not know of and it takes no more than some ten seconds to find.

    >>> import rlgrid
    >>> model = rlgrid.TabularModel.from_world(rlgrid.load_world("frozen_lake_4x4"))
    >>> {key: round(value, 4) for key, value in start_values(solve(model), model).items()}
    {'value': 0.8235, 'value_within_limit': 0.7442}
    """
    begins = model.start > 0  # elsewhere values may be infinite
    value = {"value": float(model.start[begins] @ plan.v[begins])}
    limit = model.max_episode_steps
    if limit is None or plan.horizon is not None or limit > affordable_sweeps(model, MOST_OUTCOMES):
        return value
    within = solve(model, "backward_induction", discount=plan.discount, epsilon=plan.epsilon)
    return value | {"value_within_limit": float(model.start @ within.v)}
