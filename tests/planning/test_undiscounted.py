"""Discount 1: infinite and undefined values are refused by name of their cells, free waiting is solved right."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from methods import EVERY_WAY, solve_by
from numpy.typing import ArrayLike, NDArray
from random_models import solve_rational

from rlgrid.errors import InputError
from rlgrid.models.model import TabularModel
from rlgrid.planning.evaluation import evaluate_exact, evaluate_policy
from rlgrid.planning.solve import solve
from rlgrid.worlds.world import World


def world(drawing: str, rules: str = "", actions: str = "up right down left", cells: str = "") -> World:
    names = ", ".join(f'"{name}"' for name in actions.split())
    rows = "\n".join(row.strip() for row in drawing.split())
    goal = "G = { terminal = true }\n" if "G" in drawing else ""
    return World.from_toml(
        f'name = "drawn"\ndiscount = 1\nactions = [{names}]\nmap = """\n{rows}\n"""\n{rules}\n[cells]\n{goal}{cells}'
    )


def refused(source: World | TabularModel, *words: str, **options: float) -> None:
    for method in EVERY_WAY:
        with pytest.raises(InputError) as error:
            solve_by(method, source, discount=1, **options)
        sentence = str(error.value)
        assert "\n" not in sentence
        assert "; allowed: " in sentence
        for word in words:
            assert word in sentence


def solved(source: World | TabularModel, expected: object, **options: float) -> NDArray[np.float64]:
    """Every method finds these values and a policy that has them; the policy."""
    for method in EVERY_WAY:
        plan = solve_by(method, source, discount=1, tol=1e-10, **options)
        rounding = 1e-14 if method == "exact" else 0.0  # solves the stored floats, the others bound what these cost
        assert np.abs(plan.v - np.ravel(expected)).max() <= plan.bound + rounding
        assert plan.bound <= 1e-9
        assert np.allclose(evaluate_exact(source, plan.policy, discount=1), plan.v, rtol=0, atol=1e-9)
        assert (plan.optimal_actions & (plan.policy > 0)).any(axis=1).all()
    return plan.policy


def test_distances_to_a_goal() -> None:
    drawing = """
    ..#.
    ..#G
    ....
    """
    solved(world(drawing, "[reward]\nstep = -1"), [[-6, -5, 0, -1], [-5, -4, 0, 0], [-4, -3, -2, -1]])


def test_a_pocket_without_a_way_out() -> None:
    drawing = """
    ..#.
    .G##
    """
    refused(world(drawing, "[reward]\nstep = -1"), "drawn", "no policy reaches an end from row 1, column 4:")
    assert solve(world(drawing, "[reward]\nstep = -1"), discount=0.5).v[3] == pytest.approx(-2)


def test_no_end_at_all() -> None:
    refused(world("....", "[reward]\nstep = -1"), "row 1, column 1, row 1, column 2 and 2 more", "minus infinity")


def test_a_free_pocket_is_worth_nothing() -> None:
    solved(world("..#.G"), [0, 0, 0, 0, 0])


def test_waiting_for_free_before_the_goal_pays() -> None:
    """Each cell has actions as good as the one that goes on, but who only takes those waits for ever."""
    drawn = world("...x", actions="stay left right", cells="x = { enter = 1, terminal = true }")
    assert solved(drawn, [1, 1, 1, 0]).argmax(axis=1)[:3].tolist() == [2, 2, 2]
    assert solve(drawn).optimal_actions[:3].tolist() == [[True] * 3] * 3


def test_reward_for_ever() -> None:
    refused(world("..x.", cells="x = { enter = 1 }"), "infinite", "around row 1, column 3")
    refused(world("..x.G", "[reward]\nstep = -1", cells="x = { enter = 3 }"), "infinite", "around row 1, column 3")


def test_a_bonus_that_costs_more_than_it_pays() -> None:
    """Entering x pays 1, but a step pays -2: coming back is no gain, and the way to the goal leads over it."""
    drawn = world("..x.G", "[reward]\nstep = -2", actions="left right", cells="x = { enter = 1 }")
    solved(drawn, [-5, -3, -4, -2, 0])


def test_rewards_that_cancel_out() -> None:
    drawn = world("..x.G", "[reward]\nstep = -1", actions="left right", cells="x = { enter = 1 }")
    refused(drawn, "undefined", "around row 1, column 3", "cancel out")


def test_waiting_beside_a_loan() -> None:
    """Staying is free; +1 now forces -2 later. v* = 0, though each finite horizon is worth 1."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 0] = P[0, 1, 1] = P[1, :, 2] = P[2, :, 2] = 1
    R = np.array([[0.0, 1.0], [-2.0, -2.0], [0.0, 0.0]])
    model = TabularModel.from_arrays(P, R, terminal=[False, False, True], discount=1)
    policy = solved(model, [0, -2, 0])
    assert policy[0, 0] == 1
    assert solve(model, "backward_induction", horizon=1).v.tolist() == [1, -2, 0]
    P[1, :, :] = [1, 0, 0]
    model = TabularModel.from_arrays(P[:2, :, :2], R[:2], discount=1)
    assert solved(model, [0, -2])[0, 0] == 1
    assert [solve(model, "backward_induction", horizon=h).v[0] for h in (1, 2, 9, 10)] == [1, 1, 1, 1]


@pytest.mark.parametrize("method", EVERY_WAY)
def test_a_pocket_that_never_ends_spoils_no_other_value(method: str) -> None:
    """Two cells behind a wall; and a pit that the best policy avoids."""
    pocket = world("S..#. ..G#.", "[reward]\nstep = -1")
    plan = solve_by(method, pocket, discount=1)
    assert np.abs(plan.v[[0, 1, 2, 3, 5, 6, 7]] - [-3, -2, -1, 0, -2, -1, 0]).max() <= plan.bound < 1e-9
    assert plan.v[[4, 9]].tolist() == [-np.inf, -np.inf]
    assert (plan.q[4] == -np.inf).all() and (plan.q[0] > -np.inf).all()
    assert not plan.undetermined.any()
    assert (plan.policy.sum(axis=1) == 1).all()
    pit = world("S.G #.#", "[reward]\nstep = -1", actions="left right down")
    plan = solve_by(method, pit, discount=1)
    assert np.abs(plan.v[:3] - [-2, -1, 0]).max() <= plan.bound < 1e-9 and plan.v[4] == -np.inf
    assert plan.q[1].tolist()[2] == -np.inf and plan.policy[:2, 1].tolist() == [1, 1]


def test_a_pocket_in_fractions_and_while_it_is_watched() -> None:
    pocket = world("S..#. ..G#.", '[reward]\nstep = "-1/3"')
    plan = solve(pocket, exact=True)
    assert plan.exact_v is not None and plan.exact_v[0] == -1 and plan.exact_v[4] is None
    seen: list[NDArray[np.float64]] = []
    solve(pocket, "value_iteration", on_sweep=lambda k, v: seen.append(v))
    assert (seen[0][[4, 9]] == -np.inf).all() and np.isfinite(np.delete(seen[0], [4, 9])).all()


def test_an_absorbing_trap() -> None:
    """The goal can be reached, but a slip may end in a cell that costs 1 a step for ever."""
    drawing = """
    S.G
    #x#
    """
    slip = '[slip]\nturn = { 0 = "1/2", 90 = "1/2" }\n[reward]\nstep = -1'
    trapped = world(drawing.replace("x", "."), slip, actions="right")
    refused(trapped, "no policy reaches an end from row 2, column 2")
    end = world(drawing, slip, actions="right", cells="x = { terminal = true }")
    # At S half of the moves are bumps.
    solved(end, [[-3, -1, 0], [0, 0, 0]])


def test_sliding_for_ever_at_no_cost() -> None:
    """Against the upper edge one can slide for ever, so expected steps alone prove nothing."""
    drawing = """
    ...
    .HP
    """
    ice = '[slip]\nturn = { 0 = "1/3", 90 = "1/3", -90 = "1/3" }'
    cells = "H = { terminal = true }\nP = { terminal = true, enter = 1 }"
    solved(world(drawing, ice, cells=cells), [[1, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_epsilon_soft(epsilon: float) -> None:
    costly = "[reward]\nstep = -1"
    refused(world("..#G", costly), "epsilon-soft", "minus infinity", epsilon=epsilon)
    refused(world("..x.", cells="x = { enter = 1 }"), "epsilon-soft", "infinite", epsilon=epsilon)
    corridor = world(".G", costly, actions="left right")
    solved(corridor, [-1 / (1 - epsilon / 2), 0], epsilon=epsilon)
    solved(world("...#.G", actions="left right"), 0, epsilon=epsilon)


def test_probabilities_that_add_up_to_nearly_1() -> None:
    """Ten digits of thirds are a model that goes on for sure, not one that ends once in 10 billion steps."""
    P = np.array([[[0.3333333333, 0.3333333333, 0.3333333333]] * 1, [[0, 0.6666666667, 0.3333333333]], [[0, 0, 1]]])
    model = TabularModel.from_arrays(P, [[-1], [-2], [0]], terminal=[False, False, True], discount=1)
    for method in EVERY_WAY:
        plan = solve_by(method, model)
        assert np.allclose(plan.v, [-4.5, -6, 0], atol=1e-8)
        assert plan.bound < 1e-8
    endless = TabularModel.from_arrays(
        P[:2, :, :2] / P[:2, :, :2].sum(axis=2, keepdims=True) * (1 - 5e-10), [[-1], [-2]]
    )
    refused(endless, "no policy reaches an end")


def test_noise_counts_by_its_mean() -> None:
    noisy = "[reward]\nstep = { values = [-1, 1], probabilities = [0.5, 0.5] }"
    solved(world("..", noisy), [0, 0])


def test_policies() -> None:
    costly = world("..#.G", "[reward]\nstep = -1", actions="left right")
    right = np.tile([0.0, 1.0], (5, 1))
    free = world("..#.G", actions="left right")
    paying = world(".x..G", cells="x = { enter = 1 }", actions="left right stay")
    there_and_back = world("-+", cells='"-" = { enter = -1 }\n"+" = { enter = 1 }', actions="left right")
    stay = np.tile([0, 0, 1], (5, 1))
    for method in ("direct", "sweeps", "sweeps_in_place"):

        def evaluate(source: World, policy: ArrayLike, method: str = method) -> NDArray[np.float64]:
            return evaluate_policy(source, policy, method).v

        assert (evaluate(free, right) == 0).all()
        assert evaluate(paying, np.tile([0, 1, 0], (5, 1))).tolist() == [1, 0, 0, 0, 0]
        assert evaluate(costly, right).tolist() == [-np.inf, -np.inf, 0, -1, 0]
        assert evaluate(paying, stay).tolist() == [0, np.inf, 0, 0, 0]
        assert np.isnan(evaluate(there_and_back, [[0, 1], [1, 0]])).all()


def _exact_values(P: NDArray[np.int64], R: NDArray[np.int64], ends: NDArray[np.bool_], policy: tuple[int, ...]) -> list:
    """Values of a deterministic policy in fractions, by brute force; inf, -inf or None (undefined) where it has none.

    P [S, A, S] counts of equally likely outcomes; ``ends`` [S, A]: one more outcome ends the episode.
    """
    n = len(P)
    chain = [
        [Fraction(int(P[s, policy[s], t]), int(P[s, policy[s]].sum() + ends[s, policy[s]])) for t in range(n)]
        for s in range(n)
    ]
    reach = [[s == t or chain[s][t] > 0 for t in range(n)] for s in range(n)]
    for k, s, t in itertools.product(range(n), repeat=3):
        reach[s][t] = reach[s][t] or (reach[s][k] and reach[k][t])
    reward = [Fraction(int(R[s, policy[s]])) for s in range(n)]
    value: list = [Fraction(0)] * n
    recurrent = [not any(ends[t, policy[t]] or not reach[t][s] for t in range(n) if reach[s][t]) for s in range(n)]
    for s in range(n):
        members = [t for t in range(n) if reach[s][t]]
        if not recurrent[s] or all(reward[t] == 0 for t in members):
            continue
        share = solve_rational(
            [[(chain[u][t] - (u == t)) if t != members[-1] else Fraction(1) for u in members] for t in members],
            [Fraction(int(t == members[-1])) for t in members],
        )
        gain = sum(p * reward[t] for p, t in zip(share, members, strict=True))
        value[s] = None if gain == 0 else np.inf if gain > 0 else -np.inf
    transient = [s for s in range(n) if not recurrent[s]]
    bad = {s: [value[t] for t in range(n) if reach[s][t] and value[t] in (None, np.inf, -np.inf)] for s in transient}
    clean = [s for s in transient if not bad[s]]
    solution = solve_rational(
        [[Fraction(int(s == t)) - chain[s][t] for t in clean] for s in clean], [reward[s] for s in clean]
    )
    for s, v in zip(clean, solution, strict=True):
        value[s] = v
    for s in transient:
        if bad[s]:
            value[s] = bad[s][0] if len(set(bad[s])) == 1 else None
    return value


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_against_all_deterministic_policies(seed: int) -> None:
    """Small random models with many zero rewards: same values, or a refusal of the right kind."""
    rng = np.random.default_rng(seed)
    n, n_actions = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    P = rng.multinomial(1, np.ones(n) / n, (n, n_actions)) + (rng.random((n, n_actions, 1)) < 0.4) * rng.multinomial(
        1, np.ones(n) / n, (n, n_actions)
    )
    ends = rng.random((n, n_actions)) < 0.25
    R = rng.choice([-2, -1, -1, 0, 0, 0, 1], (n, n_actions))
    total = P.sum(axis=2) + ends
    full = np.zeros((n + 1, n_actions, n + 1))
    full[:n, :, :n], full[:n, :, n], full[n, :, n] = P / total[:, :, None], ends / total, 1
    model = TabularModel.from_arrays(full, np.vstack([R, 0 * R[:1]]), terminal=np.arange(n + 1) == n, discount=1)
    values = [_exact_values(P, R, ends, policy) for policy in itertools.product(range(n_actions), repeat=n)]
    everywhere = list(zip(*values, strict=True))
    if any(np.inf in column for column in everywhere) or any(None in column for column in everywhere):
        kinds = {v for column in everywhere for v in column}
        refused(model, "infinite" if None not in kinds else "undefined" if np.inf not in kinds else "at discount 1")
    elif any(set(column) == {-np.inf} for column in everywhere):
        refused(model, "no policy reaches an end")
    else:
        best = [max(v for v in column if v != -np.inf) for column in everywhere]
        solved(model, [*(float(v) for v in best), 0.0])


def test_with_epsilon_1_there_is_nothing_to_choose() -> None:
    """Rewards of 1 and -1 in the only state: their mean is paid, which is 0."""
    model = TabularModel.from_arrays([[[1.0], [1.0]]], [[1.0, -1.0]])
    assert evaluate_exact(model, [[0.5, 0.5]], discount=1).tolist() == [0.0]
    assert solve(model, epsilon=1, discount=1).v.tolist() == [0.0]
