"""The best mean reward a step: against all policies, Howard's taxicab, and what can be counted by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rlgrid import InputError, TabularModel, World, load_world, solve
from rlgrid.planning import average_reward

Floats = NDArray[np.float64]


def average(source: World | TabularModel, **options: float) -> tuple[float, float]:
    plan = solve(source, "average_reward", **options)
    assert plan.gain is not None
    assert plan.method == "average_reward"
    return plan.gain, plan.bound


def gains(P: Floats, R: Floats, policy: Floats) -> Floats:
    """Mean reward a step from each state of the chain under a policy [S, A], by its limit matrix.

    Half a step at a time has the same one and no period; squaring 40 times makes 2^40 steps.
    """
    chain = np.einsum("sa,sat->st", policy, P)
    limit = 0.5 * (np.eye(len(chain)) + chain)
    for _ in range(40):
        limit = limit @ limit
        limit /= limit.sum(axis=1, keepdims=True)
    return limit @ (policy * R).sum(axis=1)


def best_gains(P: Floats, R: Floats, epsilon: float = 0.0) -> Floats:
    """The largest of all (epsilon-soft) deterministic policies from each state."""
    n, n_actions = R.shape
    policies = itertools.product(range(n_actions), repeat=n)
    mixed = ((1 - epsilon) * np.eye(n_actions)[list(policy)] + epsilon / n_actions for policy in policies)
    return np.max([gains(P, R, policy) for policy in mixed], axis=0)


def reached(P: Floats, start: Floats) -> NDArray[np.bool_]:
    found = start > 0
    for _ in range(len(P)):
        found = found | (P[found].sum(axis=(0, 1)) > 0)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_all_policies(epsilon: float) -> None:
    """Random models, with absorbing states and half of them with ends; refused where the gain depends on the state."""
    kinds = {"same": 0, "different": 0}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        n, n_actions = int(rng.integers(1, 6)), 2
        counts = rng.multinomial(1, np.ones(n) / n, (n, n_actions)) + rng.multinomial(1, np.ones(n) / n, (n, n_actions))
        absorbs = rng.random(n) < 0.25
        counts[absorbs] = 2 * np.eye(n, dtype=int)[absorbs][:, None, :]
        ends = (rng.random((n, n_actions)) < 0.3) * (seed % 2)
        total = counts.sum(axis=2) + ends
        R = rng.integers(-3, 4, (n, n_actions)).astype(float)
        start = rng.multinomial(2, np.ones(n) / n) / 2
        full = np.zeros((n + 1, n_actions, n + 1))
        full[:n, :, :n], full[:n, :, n], full[n, :, n] = counts / total[:, :, None], ends / total, 1
        model = TabularModel.from_arrays(
            full, np.vstack([R, 0 * R[:1]]), terminal=np.arange(n + 1) == n, start=np.append(start, 0), name="random"
        )
        again = full[:n, :, :n] + full[:n, :, n:] * start
        there = reached(again, start)
        best = best_gains(again, R, epsilon)[there]
        if np.ptp(best) < 1e-9:
            kinds["same"] += 1
            plan = solve(model, "average_reward", tol=1e-6, epsilon=epsilon)
            assert plan.gain is not None
            assert np.abs(best - plan.gain).max() <= plan.bound + 1e-9
            assert plan.bound <= 1e-6
            assert gains(again, R, plan.policy[:n])[there].min() >= plan.gain - plan.bound - 1e-9
            v = plan.v[:n][there]
            assert np.allclose(plan.q[:n][there].max(axis=1), v, rtol=0, atol=2e-6) or epsilon > 0
            assert plan.v[:n] @ start == pytest.approx(0, abs=1e-9)
            assert (plan.v[np.append(~there, True)] == 0).all()
        else:
            kinds["different"] += 1
            with pytest.raises(InputError, match="random: the best mean reward a step is not the same from everywhere"):
                solve(model, "average_reward", tol=1e-6, epsilon=epsilon)
    assert min(kinds.values()) >= 10


def test_howards_taxicab() -> None:
    """Howard, Dynamic Programming and Markov Processes (1960), Chapter 4: 13.34 a step, v = -1.18, 12.66 and 0."""
    P = np.array(
        [
            [[1 / 2, 1 / 4, 1 / 4], [1 / 16, 3 / 4, 3 / 16], [1 / 4, 1 / 8, 5 / 8]],
            [[1 / 2, 0, 1 / 2], [1 / 16, 7 / 8, 1 / 16], [0, 1, 0]],
            [[1 / 4, 1 / 4, 1 / 2], [1 / 8, 3 / 4, 1 / 8], [3 / 4, 1 / 16, 3 / 16]],
        ]
    )
    R = np.array(
        [[[10, 4, 8], [8, 2, 4], [4, 6, 4]], [[14, 0, 18], [8, 16, 8], [0, 0, 0]], [[10, 2, 8], [6, 4, 2], [4, 0, 8]]]
    )
    plan = solve(
        TabularModel.from_arrays(P, R, available=[[True] * 3, [True, True, False], [True] * 3]), "average_reward"
    )
    assert plan.policy.argmax(axis=1).tolist() == [1, 1, 1]
    assert plan.gain == pytest.approx(13.34, abs=0.006)
    assert plan.v - plan.v[2] == pytest.approx([-1.18, 12.66, 0], abs=0.006)


def drawn(drawing: str, *, actions: str = "left right", rules: str = "", cells: str = "") -> World:
    names = ", ".join(f'"{name}"' for name in actions.split())
    rows = "\n".join(row.strip() for row in drawing.split())
    return World.from_toml(f'name = "drawn"\nactions = [{names}]\nmap = """\n{rows}\n"""\n{rules}\n[cells]\n{cells}')


GOAL = "G = { terminal = true, enter = 1 }\n"


def test_episodes_start_again_without_a_step_between() -> None:
    """Five steps to the goal: 1/5 a step, of any period."""
    gain, bound = average(drawn("S....G", cells=GOAL))
    assert abs(gain - 1 / 5) <= bound <= 1e-8
    assert abs(average(drawn("S....G", cells=GOAL, rules="[reward]\nstep = -1"))[0] - (1 - 4) / 5) <= 1e-8
    gain, bound = average(load_world("dyna_maze"))
    assert abs(gain - 1 / 14) <= bound
    relative = solve(drawn("S....G", cells=GOAL), "average_reward").v
    assert relative == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0], abs=1e-7)


def test_a_long_maze() -> None:
    """One over the steps of the shortest way, which a discount tells: v = discount^(steps - 1)."""
    world = load_world("maze_50x50")
    steps = 1 + round(float(np.log(solve(world, discount=0.99).v[world.starts[0]]) / np.log(0.99)))
    plan = solve(world, "average_reward")
    assert plan.gain is not None and steps > 200
    assert abs(plan.gain - 1 / steps) <= plan.bound <= 1e-8
    assert plan.iterations < 10_000


def test_two_long_corridors_that_earn_the_same() -> None:
    """No policy's values are unique here, so sweeps alone have to do."""
    plan = solve(
        drawn(f"{60 * '.'}x#{70 * '.'}x", actions="left right stay", cells="x = { enter = 1 }"), "average_reward"
    )
    assert plan.gain is not None and plan.iterations > 64
    assert abs(plan.gain - 1) <= plan.bound <= 1e-8


def test_a_target_that_is_no_end() -> None:
    for name in ("zhao_5x5", "zhao_2x2"):
        gain, bound = average(load_world(name))
        assert abs(gain - 1) <= bound <= 1e-8


def test_going_back_and_forth_has_a_period() -> None:
    """Without staying, the reward on entering x comes every other step."""
    gain, bound = average(drawn("S.x", cells="x = { enter = 1 }", rules="[reward]\nbump = -9"))
    assert abs(gain - 0.5) <= bound


def test_an_earlier_end_can_be_worth_more() -> None:
    """1 after one step to the left, 3 after four to the right: the former pays more in the long run."""
    world = drawn("lS...r", cells="l = { terminal = true, enter = 1 }\nr = { terminal = true, enter = 3 }")
    once, again = solve(world, discount=1), solve(world, "average_reward")
    assert (once.policy[1].argmax(), again.policy[1].argmax()) == (1, 0)
    assert again.gain == pytest.approx(1, abs=1e-8)


def test_walls_and_pockets_do_not_count() -> None:
    """A pocket that no start leads to pays 9 a step; so it does behind a wall of its own."""
    world = drawn("S..G#xx", cells=GOAL + "x = { enter = 9 }")
    plan = solve(world, "average_reward")
    assert plan.gain == pytest.approx(1 / 3, abs=1e-8)
    assert plan.v[4:].tolist() == [0, 0, 0]
    assert np.allclose(plan.policy.sum(axis=1), 1)


def test_two_rooms_that_earn_differently() -> None:
    sentence = (
        r"drawn: the best mean reward a step is not the same from everywhere: 0 from row 1, column 1.*, "
        r"but 1 from row 1, column 4.*; allowed: the same from everywhere, or a discount below 1"
    )
    with pytest.raises(InputError, match=sentence):
        solve(drawn("..#xx", cells="x = { enter = 1 }"), "average_reward")
    assert average(drawn("..#..")) == pytest.approx((0, 0), abs=1e-8)


def test_a_choice_for_ever() -> None:
    """From the middle one falls for good to the left, where staying pays 1, or to the right, where it pays 2."""
    P = np.zeros((3, 2, 3))
    P[0, :, 0] = P[2, :, 2] = P[1, 0, 0] = P[1, 1, 2] = 1
    R = [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]]
    with pytest.raises(InputError, match=r"1 from state 0, but 2 from state 2"):
        solve(TabularModel.from_arrays(P, R, start=[0, 1, 0]), "average_reward")
    P[0, 0] = [0, 1, 0]  # a way back, so that the right is where everyone can go
    assert average(TabularModel.from_arrays(P, R, start=[0, 1, 0]))[0] == pytest.approx(2, abs=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_discount_near_1_comes_near(scale: float) -> None:
    """(1 - discount) v goes to the gain, here of a model without ends."""
    rng = np.random.default_rng(5)
    P, R = rng.dirichlet(np.ones(6), (6, 3)), scale * rng.normal(size=(6, 3))
    model = TabularModel.from_arrays(P, R)
    plan = solve(model, "average_reward", tol=1e-9 * scale)
    discounted = solve(model, "policy_iteration", discount=1 - 1e-7, tol=scale)
    assert np.abs(1e-7 * discounted.v - plan.gain).max() <= 1e-5 * scale
    # Twice discounted values are an expansion: v = gain / (1 - discount) + bias + O(1 - discount).
    assert np.ptp(discounted.v - plan.v) <= 1e-5 * scale


def test_what_is_observed() -> None:
    seen: list[tuple[int, Floats]] = []
    plan = solve(load_world("zhao_2x2"), "average_reward", on_sweep=lambda k, v: seen.append((k, v)))
    assert [k for k, _ in seen] == list(range(1, plan.iterations + 1))
    assert (seen[-1][1] == plan.v).all() and (seen[0][1] == 0).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"discount": 0.9}, 'discount: found 0.9 with method "average_reward"; allowed: none'),
        ({"max_sweeps": 5}, "max_sweeps: not settled after 5: the mean reward a step is between"),
        ({"tol": 1e-18}, "zhao_5x5: tol 1e-18 cannot be certified in float64; allowed: at least about"),
        ({"horizon": 5}, 'horizon: found 5 with method "average_reward"'),
        ({"tol": 0}, "tol: found 0; allowed: above 0"),
    ],
)
def test_bad_arguments_get_one_sentence(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        solve(load_world("zhao_5x5"), "average_reward", **options)
    assert str(error.value).startswith(sentence)


def test_large_models_are_given_up_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is proven so far; where that is asked for, it is returned."""
    world = load_world("zhao_5x5")
    gain = average(world)[0]
    monkeypatch.setattr(average_reward, "MOST_OUTCOMES", 1_000)
    with pytest.raises(InputError, match=r"not settled after \d+: .* allowed: a larger tol, or fewer states$"):
        solve(world, "average_reward")
    plan = solve(world, "average_reward", on_limit="return")
    assert plan.gain is not None and 1e-8 < plan.bound < 1 and abs(plan.gain - gain) <= plan.bound


def test_the_command_line(run: Callable[..., tuple[int, str, str]]) -> None:
    assert json.loads(run("solve", "dyna_maze", "--method", "average_reward", "--json")[1])["gain"] == pytest.approx(
        1 / 14
    )
    first = run("solve", "zhao_1x2", "--method", "average_reward")[1].splitlines()[0]
    assert first.startswith("zhao_1x2, mean reward a step 1: average_reward, ") and "certified to within" in first
