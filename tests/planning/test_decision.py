"""The policy is decided: optimal in fractions wherever it says so, and undetermined only where float64 cannot tell."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from random_models import fractions_of, random_model, rational_optimum
from random_worlds import examples, worlds

from rlgrid import InputError, Plan, TabularModel, World, library, load_world, solve
from rlgrid.planning.chain import chain_of, undiscounted_values, values_of_weights
from rlgrid.planning.evaluation import evaluate_policy
from rlgrid.planning.graph import rows_at
from rlgrid.planning.methods import METHODS, Criterion

DISCOUNTS = (0.05, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 0.9999, 1.0)
METHOD_NAMES = [name for name, method in METHODS.items() if method.criterion == Criterion.DISCOUNTED]

#: Relative to what is collected in absolute value, a gap that float64 has to see.
GAP = Fraction(1, 10**12)


@cache
def optimum(name: str, discount: float) -> Plan | None:
    """The optimum in fractions; ``None`` where it is not finite, or its values have too many digits."""
    try:
        return solve(load_world(name), discount=discount, exact=True)
    except InputError:
        return None


def scales(model: TabularModel, policy: NDArray[np.float64], discount: Fraction) -> list[float]:
    """v+ + v- under a policy, to a few digits: what it collects in absolute value."""
    if discount == 1:
        return undiscounted_values(chain_of(model, policy)).scale.tolist()
    return values_of_weights(model, rows_at(model, float(discount)), float(discount), policy.ravel()).scale.tolist()


def check(model: TabularModel, plan: Plan, best: Plan) -> None:
    """In all states but the undetermined ones the policy's exact value is the optimum's; these have tiny gaps."""
    assert best.exact_v is not None
    exact = best.exact_v
    own = solve_policy(model, plan.policy, Fraction(repr(plan.discount)))
    for s in range(model.n_states):
        assert plan.undetermined[s] or own[s] == exact[s], f"state {s}"
    if plan.undetermined.any():
        gap = smallest_gap(model, exact, best.optimal_actions, Fraction(repr(plan.discount)), best.policy)
        assert gap <= GAP


def solve_policy(model: TabularModel, policy: NDArray[np.float64], discount: Fraction) -> list[Fraction | None]:
    """The values of a deterministic policy by elimination in fractions."""
    found = evaluate_policy(model, policy, discount=float(discount), exact=True).exact_v
    assert found is not None
    return list(found)


def smallest_gap(
    model: TabularModel,
    exact: tuple[Fraction | None, ...],
    optimal: NDArray[np.bool_],
    discount: Fraction,
    policy: NDArray[np.float64],
) -> Fraction:
    """The least advantage of the best action over one that is not optimal, relative to the state's scale."""
    scale = scales(model, policy, discount)
    least = Fraction(1)
    for s, actions in enumerate(exact_rows(model)):
        for a, row in enumerate(actions):
            if row and not optimal[s, a] and exact[s] is not None:
                q = sum((p * (r + (0 if end else discount * (exact[t] or 0))) for p, t, r, end in row), Fraction(0))
                least = min(least, (exact[s] - q) / Fraction(scale[s] or 1.0))  # type: ignore[operator]
    return least


def exact_rows(model: TabularModel) -> list[list[list[tuple[Fraction, int, Fraction, bool]]]]:
    """The rows of a world's model in its own fractions."""
    t = model.tables
    assert model.outcomes is not None
    known = [(o.probability, o.reward.mean, o.terminated) for o in model.outcomes]
    rows = []
    for row in range(model.n_states * model.n_actions):
        outcomes = [(known[t.code[i]], int(t.next_state[i])) for i in range(t.first[row], t.first[row + 1])]
        rows.append([(p, s, r, end) for (p, r, end), s in outcomes])
    return [rows[s * model.n_actions : (s + 1) * model.n_actions] for s in range(model.n_states)]


@pytest.mark.parametrize("name", ["zhao_5x5", "frozen_lake_4x4", "cliff", "windy", "aima_4x3", "four_rooms", "bridge"])
def test_catalog_worlds_by_auto(name: str) -> None:
    model = TabularModel.from_world(load_world(name))
    for discount in (0.05, 0.5, 0.9, 1.0):
        best = optimum(name, discount)
        if best is not None:
            check(model, solve(model, discount=discount), best)


@pytest.mark.slow
@pytest.mark.parametrize("discount", [0.1, 0.99, 1.0])
@pytest.mark.parametrize("name", ["book_grid", "cliff_slippery", "maze_50x50", "spiral", "zhao_5x5_bump"])
def test_some_worlds_by_every_method(name: str, discount: float) -> None:
    check_every_method(name, discount)


@pytest.mark.grid
@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("name", library.names("envs"))
def test_catalog_worlds_by_every_method(name: str, discount: float) -> None:
    check_every_method(name, discount)


def check_every_method(name: str, discount: float) -> None:
    """The policies of all methods; values of 10^5 are not to be had to 1e-8."""
    world, tol = load_world(name), 1e-8 if discount <= 0.99 or discount == 1 else 1e-6
    model = TabularModel.from_world(world)
    best = optimum(name, discount)
    if best is None:
        if world.n_states > 1000:  # too large for fractions: every method has to find the same policy's values
            plans = [solve(model, method, discount=discount, tol=tol) for method in METHOD_NAMES]
            assert all(not plan.undetermined.any() for plan in plans)
        return
    for method in METHOD_NAMES:
        check(model, solve(model, method, discount=discount, tol=tol), best)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_random_models(epsilon: float) -> None:
    for seed in range(60):
        model = random_model(seed, n=5).model
        discount = (0.01, 0.5, 0.9)[seed % 3]
        plan = solve(model, discount=discount, epsilon=epsilon)
        rows = fractions_of(model)
        exact = rational_optimum(model, discount, epsilon)
        undetermined = plan._tables.undetermined
        for s, actions in enumerate(rows):
            q = [
                sum(p * (r + (0 if end else Fraction(discount) * exact[t])) for p, t, r, end in row) for row in actions
            ]
            available = np.flatnonzero(plan.q[s] > -np.inf)
            chosen = list(available).index(plan.policy[s].argmax())
            assert undetermined[s] or q[chosen] == max(q)
            best = {int(a) for a, x in zip(available, q, strict=True) if x == max(q)}
            assert best <= set(np.flatnonzero(plan.optimal_actions[s]))
        if not undetermined.any():
            assert (plan.optimal_actions.sum(axis=1) >= 1).all()


def test_rewards_of_any_size_and_places_far_from_reward() -> None:
    corridor = 'actions = ["left", "right"]\nmap = "S{cells}G"\n[cells]\nG = {{ enter = {reward}, terminal = true }}'
    for reward in ("1e-8", "1e-30", "1", "1e30"):
        for discount in (0.05, 0.5, 0.999):
            text = corridor.format(cells="." * 200, reward=reward)
            world = World.from_toml(text)
            plan = solve(world, discount=discount, tol=max(1e-8, float(reward) * 1e-8))
            assert not plan.undetermined.any()
            assert (plan.policy[:-1, 1] == 1).all()
            assert (plan.optimal_actions[:-1] == [False, True]).all()


def test_ties_are_no_doubts() -> None:
    """Ways of equal length around an open room, and equal chances of an end that comes sooner or later."""
    room = World.from_toml(
        'actions = ["up", "right", "down", "left"]\nmap = """\n.....\n.....\n..G..\n.....\n.....\n"""\n'
        "[cells]\nG = { enter = 1, terminal = true }\n[slip]\nturn = { 0 = 0.8, 90 = 0.1, -90 = 0.1 }"
    )
    plan = solve(room, discount=0.9)
    assert not plan._tables.undetermined.any()
    assert plan.optimal_actions[0].tolist() == [False, True, True, False]
    undiscounted = solve(room, discount=1)
    assert not undiscounted._tables.undetermined.any()
    assert np.abs(undiscounted.v.reshape(5, 5) - 1)[np.arange(25).reshape(5, 5) != 12].max() <= undiscounted.bound
    assert undiscounted.bound <= 1e-8


def test_a_policy_in_doubt_is_counted() -> None:
    """Two ways that differ by 1e-18 of their worth: float64 cannot tell, fractions can."""
    P = np.zeros((4, 2, 4))
    P[0, 0, 1], P[0, 1, 2], P[1:, :, 3] = 1, 1, 1
    R = [[0, 1e-18], [1, 1], [1, 1], [0, 0]]
    model = TabularModel.from_arrays(P, R, terminal=[False, False, False, True], discount=0.9)
    plan = solve(model)
    assert plan._tables.undetermined.tolist() == [True, False, False, False]
    assert plan.optimal_actions[0].all()
    assert bool(plan.undetermined[0]) == (plan.policy[0, 0] == 1)  # action 1 is the best
    assert not plan.undetermined[1:].any()


def test_undiscounted_bounds_come_from_the_policy() -> None:
    """Where every action ties, a worst case of expected steps is no bound; the policy's own values are."""
    for name in ("four_rooms", "maze_50x50", "dyna_maze", "deep_sea"):
        plan = solve(load_world(name), discount=1)
        assert plan.bound < 1e-9
        assert not plan.undetermined.any()


def test_near_discount_1() -> None:
    """Up to the last float below 1, the bound is at most tol, or there is an error."""
    lake = load_world("frozen_lake_4x4")
    for discount in (1 - 1e-6, 1 - 1e-9, 1 - 1e-12, 1 - 2.0**-52, 1 - 2.0**-53):
        for method in ("auto", "policy_iteration", "linear_programming"):  # the others would take too many sweeps
            try:
                plan = solve(lake, method, discount=discount)
            except InputError as error:
                assert 1 - discount < 1e-15
                assert str(error).endswith("allowed: a discount further from 1, or 1, or exact=True")
                continue
            assert plan.bound <= 1e-8
            exact = solve(lake, discount=discount, exact=True)  # of the decimal that the discount prints as
            apart = abs(float(Fraction(repr(discount)) - Fraction(discount)))
            assert np.abs(plan.v - exact.v).max() <= plan.bound + 100 * apart
    stay = World.from_toml('actions = ["stay"]\nmap = "."\n[reward]\nstep = 1')
    for discount in (1 - 1e-12, 1 - 2.0**-53):
        with pytest.raises(InputError, match="tol 1e-08 cannot be certified in float64; allowed: a"):
            solve(stay, discount=discount)


@examples(20)
@given(worlds())
def test_drawn_worlds(world: World) -> None:
    for discount in (0.05, 0.9):
        best = solve(world, discount=discount, exact=True)
        check(TabularModel.from_world(world), solve(world, discount=discount), best)


def test_doubts_further_on_reach_states_that_the_policy_leads_away_from() -> None:
    """To go on is worth 2^30 and less than to end, unless the action that float64 cannot see to be better is taken."""
    horizon, more = 2.0**30, 2.0**-26
    model = TabularModel.from_transitions(
        state=[0, 0, 1, 1],
        action=[0, 1, 0, 1],
        next_state=[2, 1, 1, 1],
        probability=np.ones(4),
        reward=[horizon - 1 + more * horizon / 2, 0, 1, 1 + more],
        terminated=[True, False, False, False],
    )
    plan = solve(model, "policy_iteration", discount=1 - 1 / horizon, tol=1e5)
    assert plan.policy.argmax(axis=1).tolist()[:2] == [0, 0]  # the best are 1 and 1
    assert plan._tables.undetermined.tolist() == [True, True, False]
    assert plan.undetermined.tolist() == [True, True, False]


def test_fractions_decide_at_the_discount_that_the_float_is() -> None:
    horizon = 2.0**30
    discount = 1 - 1 / horizon  # it prints as 0.9999999990686774, whose horizon is shorter by 3e-8 of it
    ends = horizon * (1 - 2.0**-53)
    model = TabularModel.from_transitions([0, 0], [0, 1], [0, 1], [1, 1], [1, ends], [False, True])
    plan = solve(model, "policy_iteration", discount=discount, tol=1e5)
    assert plan._tables.undetermined[0]
    assert bool(plan.undetermined[0]) == (plan.policy[0, 0] == 0)  # to go on for ever is worth more


def test_a_tie_is_not_proven_between_states_with_more_and_fewer_actions() -> None:
    """An action that is worth nothing counts where it is taken by chance."""
    model = TabularModel.from_transitions(
        state=[0, 0, 1, 1, 2],
        action=[0, 1, 0, 1, 0],
        next_state=[1, 2, 3, 3, 3],
        probability=np.ones(5),
        reward=[0, 0, 1, 0, 1],
        terminated=[False, False, True, True, True],
    )
    plan = solve(model, discount=0.5, epsilon=2.0**-51)  # state 1 is worth 1 - 2^-52, state 2 is worth 1
    assert plan.policy[0, 1] > 0.5 or plan.undetermined[0]


@pytest.mark.parametrize("size", [1_001, 5_001])
def test_large_models_count_the_states_that_may_come_to_one_in_doubt(size: int) -> None:
    """A row of states, at whose end two actions are equally good: where this is not decided, no state is."""
    states = np.arange(size)
    on = np.minimum(states + 1, size - 1)
    model = TabularModel.from_transitions(
        state=np.append(states, size - 1),
        action=np.append(np.zeros(size, np.int64), 1),
        next_state=np.append(on, size - 1),
        probability=np.ones(size + 1),
        reward=np.append(np.where(states == size - 1, 1.0, 0.0), 1.0 + 2.0**-52),
        terminated=np.append(states == size - 1, True),
        n_states=size,
        terminal=np.zeros(size, np.bool_),
    )
    plan = solve(model, "gauss_seidel", discount=0.9)
    assert plan.undetermined.all()
