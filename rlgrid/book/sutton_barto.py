"""Figures of Sutton & Barto, Reinforcement Learning: An Introduction, second edition."""

from __future__ import annotations

import numpy as np

from rlgrid.arrays import Floats
from rlgrid.book.figure import Reproduction, compared_panel, of_panels
from rlgrid.planning.evaluation import evaluate_exact, evaluate_policy
from rlgrid.planning.solve import solve
from rlgrid.worlds.world import load_world

SUTTON_FIG_3_2 = (
    "3.3 8.8 4.4 5.3 1.5|1.5 3 2.3 1.9 0.5|0.1 0.7 0.7 0.4 -0.4|-1 -0.4 -0.4 -0.6 -1.2|-1.9 -1.3 -1.2 -1.4 -2"
)
SUTTON_FIG_3_5 = (
    "22 24.4 22 19.4 17.5|19.8 22 19.8 17.8 16|17.8 19.8 17.8 16 14.4|16 17.8 16 14.4 13|14.4 16 14.4 13 11.7"
)
#: Values of the random policy after so many sweeps; 0: when they have converged.
SUTTON_FIG_4_1 = {
    1: "0 -1 -1 -1|-1 -1 -1 -1|-1 -1 -1 -1|-1 -1 -1 0",
    2: "0 -1.7 -2 -2|-1.7 -2 -2 -2|-2 -2 -2 -1.7|-2 -2 -1.7 0",
    3: "0 -2.4 -2.9 -3|-2.4 -2.9 -3 -2.9|-2.9 -3 -2.9 -2.4|-3 -2.9 -2.4 0",
    10: "0 -6.1 -8.4 -9|-6.1 -7.7 -8.4 -8.4|-8.4 -8.4 -7.7 -6.1|-9 -8.4 -6.1 0",
    0: "0 -14 -20 -22|-14 -18 -20 -20|-20 -20 -18 -14|-22 -20 -14 0",
}


def sutton_3_2() -> Reproduction:
    """Values of the random policy in the 5 x 5 gridworld."""
    world = load_world("sutton_gridworld")
    v = evaluate_exact(world, np.full((world.n_states, 4), 0.25))
    return of_panels("Sutton & Barto, Fig. 3.2", [compared_panel(world, "random policy", v, SUTTON_FIG_3_2)])


def sutton_3_5() -> Reproduction:
    """Optimal values and policy of the 5 x 5 gridworld."""
    world = load_world("sutton_gridworld")
    plan = solve(world, tol=1e-10)
    panel = compared_panel(world, "optimal", plan.v, SUTTON_FIG_3_5, plan.optimal_actions)
    return of_panels("Sutton & Barto, Fig. 3.5", [panel])


def sutton_4_1() -> Reproduction:
    """Iterative evaluation of the random policy in the 4 x 4 gridworld."""
    world = load_world("sutton_4x4")
    iterates: dict[int, Floats] = {}
    policy = np.full((world.n_states, 4), 0.25)
    evaluate_policy(
        world, policy, "sweeps", on_sweep=lambda k, v: iterates.setdefault(k, v) if k in SUTTON_FIG_4_1 else None
    )
    iterates[0] = evaluate_exact(world, policy)
    panels = [
        compared_panel(world, f"k = {k}" if k else "k = ∞", iterates[k], printed)
        for k, printed in SUTTON_FIG_4_1.items()
    ]
    return of_panels("Sutton & Barto, Fig. 4.1", panels)
