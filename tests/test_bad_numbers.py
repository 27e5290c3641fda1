"""Numbers that are none, or mean nothing: each function that takes one answers with one sentence that names it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import rlgrid
from rlgrid import InputError, load_world

LAKE, AIMA, ZHAO = load_world("frozen_lake_4x4"), load_world("aima_4x3"), load_world("zhao_2x2")
UNIFORM = np.full((16, 4), 0.25)
BATCH = rlgrid.Sweep(rlgrid.TabularModel.from_world(LAKE)).batch

#: What is no finite number, whatever is asked for.
NONE_AT_ALL: dict[str, Any] = {
    "nan": float("nan"), "inf": float("inf"), "-inf": -float("inf"), "NumPy nan": np.float64("nan"), "true": True,
    "false": False, "NumPy true": np.bool_(True), "text": "0.9", "bytes": b"1", "complex": 1j, "list": [0.9],
    "tuple": (0.9,), "table": {"a": 1}, "array": np.array([0.5, 0.5]), "object": object(), "huge": 10**400,
    "huge negative": -(10**400), "a tuple with a huge one": (10**5000,), "Decimal nan": Decimal("nan"),
    "signalling nan": Decimal("snan"), "function": abs,
}  # fmt: skip

#: Discounts and probabilities may not be these either.
NO_SHARE: dict[str, Any] = {"negative": -1e-9, "above 1": 1 + 1e-9, "large": 10**12, "Decimal": Decimal("1.5")}

NO_COUNT: dict[str, Any] = {"0": 0, "negative": -1, "half": 0.5, "one as a float": 1.0, "too large": 10**16}

SHARES: dict[str, Callable[[Any], object]] = {
    "discount: solve": lambda x: rlgrid.solve(LAKE, discount=x),
    "discount: solve average": lambda x: rlgrid.solve(ZHAO, "average_reward", discount=x),
    "discount: evaluate_exact": lambda x: rlgrid.evaluate_exact(LAKE, UNIFORM, discount=x),
    "discount: evaluate_policy": lambda x: rlgrid.evaluate_policy(LAKE, UNIFORM, discount=x),
    "discount: occupancy": lambda x: rlgrid.occupancy(LAKE, UNIFORM, discount=x),
    "discount: return_variance": lambda x: rlgrid.return_variance(LAKE, UNIFORM, discount=x),
    "discount: return_distribution": lambda x: rlgrid.return_distribution(LAKE, UNIFORM, discount=x),
    "discount: phases": lambda x: rlgrid.phases(AIMA, "reward.step", (-1, 0), discount=x),
    "discount: lstd": lambda x: rlgrid.lstd(BATCH, discount=x),
    "discount: certainty_equivalence": lambda x: rlgrid.certainty_equivalence(BATCH, discount=x),
    "discount: td_fixed_point": lambda x: rlgrid.td_fixed_point(LAKE, UNIFORM, np.eye(16), discount=x),
    "epsilon: solve": lambda x: rlgrid.solve(LAKE, epsilon=x),
    "epsilon: solve exactly": lambda x: rlgrid.solve(LAKE, epsilon=x, exact=True),
    "missing: return_distribution": lambda x: rlgrid.return_distribution(LAKE, UNIFORM, missing=x),
}

SIZES: dict[str, Callable[[Any], object]] = {
    "tol: solve": lambda x: rlgrid.solve(LAKE, tol=x),
    "tol: solve average": lambda x: rlgrid.solve(ZHAO, "average_reward", tol=x),
    "tol: evaluate_policy": lambda x: rlgrid.evaluate_policy(LAKE, UNIFORM, "sweeps", tol=x),
    "noise_variance: exact_variance": lambda x: rlgrid.exact_variance(0.1, 1.0, x, 10),
    "ridge: lstd": lambda x: rlgrid.lstd(BATCH, discount=0.9, ridge=x),
    "tol: learn_until_settled": lambda x: rlgrid.learn_until_settled(agent(), BATCH, tol=x),
}

COUNTS: dict[str, Callable[[Any], object]] = {
    "horizon: solve": lambda x: rlgrid.solve(LAKE, "backward_induction", horizon=x),
    "max_sweeps: solve": lambda x: rlgrid.solve(LAKE, "value_iteration", max_sweeps=x),
    "evaluation_sweeps: solve": lambda x: rlgrid.solve(LAKE, "truncated_policy_iteration", evaluation_sweeps=x),
    "max_sweeps: evaluate_policy": lambda x: rlgrid.evaluate_policy(LAKE, UNIFORM, "sweeps", max_sweeps=x),
    "horizon: return_distribution": lambda x: rlgrid.return_distribution(LAKE, UNIFORM, horizon=x),
    "most_atoms: return_distribution": lambda x: rlgrid.return_distribution(LAKE, UNIFORM, most_atoms=x),
    "samples: phases": lambda x: rlgrid.phases(AIMA, "discount", (0.1, 0.9), samples=x),
    "steps: exact_variance": lambda x: rlgrid.exact_variance(0.1, 1.0, 1.0, x),
    "num_envs: GridWorldVec": lambda x: rlgrid.GridWorldVec(LAKE, x),
    "n_states: lstd": lambda x: rlgrid.lstd(BATCH, discount=0.9, n_states=x),
    "n_states: certainty_equivalence": lambda x: rlgrid.certainty_equivalence(BATCH, discount=0.9, n_states=x),
    "episodes: evaluate": lambda x: rlgrid.evaluate(UNIFORM, rlgrid.GridWorld(LAKE), episodes=x),
    "steps: train": lambda x: rlgrid.train(agent(), rlgrid.GridWorld(LAKE), steps=x),
    "most: learn_until_settled": lambda x: rlgrid.learn_until_settled(agent(), BATCH, most=x),
}

FINITE: dict[str, Callable[[Any], object]] = {
    "reward.step: phases, low": lambda x: rlgrid.phases(AIMA, "reward.step", (x, 2)),
    "slope: exact_variance": lambda x: rlgrid.exact_variance(0.1, x, 1.0, 10),
    "reward.step: phases, high": lambda x: rlgrid.phases(AIMA, "reward.step", (-2, x)),
}

#: A text may be a number there.
NUMBERS: dict[str, Callable[[Any], object]] = {
    "aima_4x3: reward.step": lambda x: rlgrid.with_number(AIMA, "reward.step", x),
    "aima_4x3: slip.turn.0": lambda x: rlgrid.with_number(AIMA, "slip.turn.0", x),
    "aima_4x3: discount": lambda x: rlgrid.with_number(AIMA, "discount", x),
}


def agent() -> rlgrid.Agent:
    return rlgrid.load_agent("q_learning", rlgrid.GridWorld(LAKE), seed=0)


def refused(key: str, call: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(InputError) as caught:
        call(value)
    sentence = str(caught.value)
    assert sentence.startswith(key.split(":")[0]) and "allowed: " in sentence and "\n" not in sentence
    assert len(sentence) < 200


@pytest.mark.parametrize("key", [*SHARES, *SIZES, *COUNTS, *FINITE])
def test_what_is_no_number(key: str) -> None:
    call = (SHARES | SIZES | COUNTS | FINITE)[key]
    for value in NONE_AT_ALL.values():
        refused(key, call, value)


@pytest.mark.parametrize("key", NUMBERS)
def test_what_is_no_number_of_a_world(key: str) -> None:
    for name, value in NONE_AT_ALL.items():
        if name != "text":
            refused(key, NUMBERS[key], value)


@pytest.mark.parametrize("key", SHARES)
def test_shares_outside_of_0_to_1(key: str) -> None:
    for value in NO_SHARE.values():
        refused(key, SHARES[key], value)


@pytest.mark.parametrize("key", SIZES)
def test_negative_sizes(key: str) -> None:
    refused(key, SIZES[key], -1e-9)


@pytest.mark.parametrize("key", COUNTS)
def test_counts_that_are_none(key: str) -> None:
    for value in NO_COUNT.values():
        refused(key, COUNTS[key], value)


@pytest.mark.parametrize(
    "half", [np.float32(0.5), np.float64(0.5), np.float16(0.5), np.array(0.5), Fraction(1, 2), Decimal("0.5")]
)
def test_numbers_of_every_library_are_one_number(half: Any) -> None:
    for function in (rlgrid.evaluate_exact, rlgrid.occupancy, rlgrid.return_variance):
        assert function(LAKE, UNIFORM, discount=half).tolist() == function(LAKE, UNIFORM, discount=0.5).tolist()
    plan = rlgrid.solve(LAKE, discount=half, epsilon=half, tol=half)
    expected = rlgrid.solve(LAKE, discount=0.5, epsilon=0.5, tol=0.5)
    assert plan.v.tolist() == expected.v.tolist() and plan.bound == expected.bound
    assert type(plan.discount) is float and type(plan.epsilon) is float
    exact = rlgrid.solve(LAKE, discount=half, epsilon=half, exact=True)
    assert exact.exact_v == rlgrid.solve(LAKE, discount=0.5, epsilon=0.5, exact=True).exact_v


@pytest.mark.parametrize("count", [np.int8(3), np.uint64(3), np.array(3)])
def test_counts_of_every_library_are_one_count(count: Any) -> None:
    plan = rlgrid.solve(LAKE, "backward_induction", horizon=count)
    assert plan.v.tolist() == rlgrid.solve(LAKE, "backward_induction", horizon=3).v.tolist()


@pytest.mark.parametrize("value", [3, None, [], {}, np.array(["direct"]), 10**400, ("auto",)], ids=str)
def test_names_that_are_none(value: Any) -> None:
    for key, call in {
        "method: solve": lambda x: rlgrid.solve(LAKE, x),
        "method: evaluate": lambda x: rlgrid.evaluate_policy(LAKE, UNIFORM, x),
        "on_limit: solve": lambda x: rlgrid.solve(LAKE, on_limit=x),
        "path: with_number": lambda x: rlgrid.with_number(AIMA, x, 1),
        "path: phases": lambda x: rlgrid.phases(AIMA, x, (-1, 0)),
        "path: phase_diagram": lambda x: rlgrid.phase_diagram(AIMA, (x, [-1, 0]), ("reward.step", [-1, 0])),
    }.items():
        with pytest.raises(InputError) as caught:
            call(value)
        assert str(caught.value).startswith(key.split(":")[0]) and len(str(caught.value)) < 400


def test_what_is_no_function() -> None:
    for value in (1.5, "print", []):
        refused("on_sweep", lambda x: rlgrid.solve(LAKE, on_sweep=x), value)


@pytest.mark.parametrize(
    "values", [[0.5, np.nan], [np.inf, 1], ["a", "b"], [0.5, 1j], [[0.5], 1], [10**400, 1], 0.5, {}]
)
def test_values_of_a_diagram(values: Any) -> None:
    refused("reward.step", lambda x: rlgrid.phase_diagram(AIMA, ("reward.step", x), ("discount", [0.5, 0.9])), values)


@pytest.mark.parametrize(
    "policy", [np.full((16, 4), np.nan), np.full((16, 4), 0.25 + 0.1j), [[10**400] * 4] * 16, [[np.inf, 0, 0, 0]] * 16]
)
def test_policies_of_other_numbers(policy: Any) -> None:
    for function in (rlgrid.evaluate_exact, rlgrid.evaluate_policy, rlgrid.occupancy, rlgrid.expected_steps):
        refused("policy", lambda x, function=function: function(LAKE, x), policy)


# -- what would not end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [10**9, 10**12, 10**15])
def test_horizons_that_would_not_end(steps: int) -> None:
    for key in ("horizon", "evaluation_sweeps"):
        with pytest.raises(InputError, match=rf"frozen_lake_4x4: {key}: found {steps:,}, which would take hours; allo"):
            rlgrid.solve(
                LAKE, "backward_induction" if key == "horizon" else "truncated_policy_iteration", **{key: steps}
            )


def test_a_time_limit_that_would_not_end() -> None:
    """As of a world's file: what would take hours is left out, or refused."""
    from rlgrid.analysis.time_limit import start_values

    text = LAKE.to_toml().replace("max_episode_steps = 100", f"max_episode_steps = {2**31 - 1}")
    world = rlgrid.World.from_toml(text)
    model = rlgrid.TabularModel.from_world(world)
    assert model.max_episode_steps == 2**31 - 1
    assert set(start_values(rlgrid.solve(model), model)) == {"value"}
    with pytest.raises(InputError, match="max_episode_steps: found 2,147,483,647, which would take hours"):
        rlgrid.on_policy_distribution(world, UNIFORM)
    with pytest.raises(InputError, match="horizon: found 2,147,483,647, which would take hours"):
        rlgrid.solve(world, "backward_induction")


def test_returns_that_are_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from rlgrid.analysis import return_distribution as module

    monkeypatch.setattr(module, "MOST_STEPS", 50)
    with pytest.raises(InputError, match=r"missing: 0.\d is left after 50 steps; allowed: a horizon of at most 50"):
        rlgrid.return_distribution(LAKE, rlgrid.solve(LAKE).policy, horizon=10**12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--discount nan --tol nan", "tol: found nan; allowed: above 0, and finite"),
        ("--discount nan", "discount: found nan; allowed: 0 to 1"),
        ("--discount inf", "discount: found inf; allowed: 0 to 1"),
        ("--discount 1e400", "discount: found inf; allowed: 0 to 1"),
        ("--discount -0.1", "discount: found -0.1; allowed: 0 to 1"),
        ("--tol nan", "tol: found nan; allowed: above 0, and finite"),
        ("--tol inf", "tol: found inf; allowed: above 0, and finite"),
        ("--tol -1", "tol: found -1; allowed: above 0, and finite"),
        ("--epsilon nan", "epsilon: found nan; allowed: 0 to 1"),
        ("--epsilon inf", "epsilon: found inf; allowed: 0 to 1"),
        ("--method backward_induction --horizon 0", "horizon: found 0; allowed: a whole number of at least 1"),
        (
            "--method backward_induction --horizon 1000000000000",
            "frozen_lake_4x4: horizon: found 1,000,000,000,000, which would take hours; allowed: up to",
        ),
        ("--method average_reward --discount nan", "discount: found nan; allowed: 0 to 1"),
    ],
)
def test_the_command_line(run: Callable[..., tuple[int, str, str]], arguments: str, sentence: str) -> None:
    code, out, err = run("solve", "frozen_lake_4x4", *arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith(f"rlgrid: {sentence}")
