"""Comparing what different methods learn from one and the same recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlgrid.approximation.least_squares import certainty_equivalence, lstd
from rlgrid.arrays import Floats
from rlgrid.batch import Batch, check_batch
from rlgrid.errors import InputError, number, whole
from rlgrid.feeds.replay import Replay

if TYPE_CHECKING:
    from rlgrid.learning.agent import Agent


def learn_until_settled(agent: Agent, batch: Batch, *, tol: float = 1e-12, most: int = 100_000) -> int:
    """Replay a batch to an agent until no entry moves further than ``tol`` in a pass; how many passes it took.

    Raises:
        InputError: where it has not settled after ``most`` passes.
    """
    number("tol", tol, lambda x: x >= 0, "at least 0, and finite")
    most = whole("most", most)
    replay = Replay(batch)
    for passes in range(1, most + 1):
        before = agent.learner.table.copy()
        replay.advance(agent, 1, 1, record=False)
        with np.errstate(invalid="ignore"):  # -inf where an action is not available
            if not np.any(np.abs(agent.learner.table - before) > tol):
                return passes
    raise InputError(
        f"{agent.recipe.name}: it has not settled after {most:,} passes; allowed: a step size of 1 for credit "
        "together, one that shrinks elsewhere, or a larger tol"
    )


class Comparison(NamedTuple):
    """Estimates of several methods side by side; ``print`` shows the states that were acted in."""

    methods: tuple[str, ...]  # [M]
    values: Floats  # [S, M]
    visits: NDArray[np.int64]  # [S]

    def __str__(self) -> str:
        widths = [max(10, len(name)) for name in self.methods]
        head = f"{'state':>6}{'visits':>9}" + "".join(f"  {n:>{w}}" for n, w in zip(self.methods, widths, strict=True))
        lines = [head, "─" * len(head)]
        for state in np.flatnonzero(self.visits).tolist():
            shown = "".join(f"  {v:>{w}.5g}" for v, w in zip(self.values[state], widths, strict=True))
            lines.append(f"{state:>6}{self.visits[state]:>9,}{shown}")
        return "\n".join(lines)


def compare(
    batch: Batch, *, discount: float, n_states: int | None = None, agents: Mapping[str, Agent] | None = None
) -> Comparison:
    """Compare what several learners make of the same recorded batch.

    They are batch TD(0), batch Monte Carlo, LSTD and certainty equivalence, and every agent given, which sees the batch
    once.

    Args:
        batch: transitions under one policy.
        discount: gamma.
        n_states: S, by default as many as occur.
        agents: more learners by name, made for S states.

    Raises:
        InputError: for an empty batch.
    """
    from rlgrid.learning.agent import Agent
    from rlgrid.learning.recipe import read_recipe

    size, n_actions = check_batch(batch, n_states, None)
    solved = lstd(batch, discount=discount, n_states=size)
    columns: dict[str, Floats] = {}
    for title, recipe in (("batch TD(0)", "batch_td"), ("batch MC", "batch_mc")):
        learner = Agent(
            read_recipe(recipe, {}),
            size,
            n_actions,
            discount=discount,
            policy=np.full((size, n_actions), 1 / n_actions),
        )
        learn_until_settled(learner, batch)
        columns[title] = learner.v
    columns["LSTD"] = solved.v
    columns["certainty equivalence"] = certainty_equivalence(batch, discount=discount, n_states=size)
    for title, agent in (agents or {}).items():
        Replay(batch).advance(agent, 1, 1, record=False)
        columns[title] = agent.v
    visits = np.bincount(batch.state, minlength=size)
    return Comparison(tuple(columns), np.column_stack(list(columns.values())), visits)
