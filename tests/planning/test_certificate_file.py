"""Plans that prove themselves: every world of the catalog, the checker's theorem, and files from others."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import SCRIPT, is_true, load_checker, solved
from random_models import random_model

from rlgrid import InputError, Plan, TabularModel, evaluate_policy, load_world, solve, write_certificate
from rlgrid.library import names
from rlgrid.planning import certificate_file

CHECKER = load_checker()


def certificate_of(source: Any, plan: Plan, file: Path) -> dict[str, Any]:
    """The certificate of a plan, which is valid."""
    found = write_certificate(source, plan, file)
    content = file.read_bytes()
    sentence = CHECKER.check(CHECKER.read(content))
    assert sentence.startswith(f"valid: {found.proven} of {found.n_states} values are proven")
    certificate: dict[str, Any] = json.loads(content)
    assert Fraction(certificate["bound"]) == found.bound
    return certificate


def refused(certificate: object) -> str:
    """The sentence with which the checker refuses a certificate."""
    with pytest.raises(ValueError) as caught:
        CHECKER.check(CHECKER.read(json.dumps(certificate).encode()))
    return str(caught.value)


def small(discount: str = "1", **changes: Any) -> dict[str, Any]:
    """A certificate of one state in which one may stay for nothing or end with -1; v* = 0 at any discount."""
    rows = {"stay": ["0", [[0, "1", False]]], "end": ["-1", [[0, "1", True]]]}
    facts: dict[str, Any] = {"format": "rlgrid certificate", "version": 1, "name": "stays", "discount": discount}
    facts |= {"bound": "0", "states": [rows], "policy": ["stay"], "values": ["0"], "lower": ["0"], "upper": ["0"]}
    return facts | changes


# -- what is proven ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", names("envs"))
def test_every_world_of_the_catalog(name: str, tmp_path: Path) -> None:
    """At its own discount, at 0.9, and at 1 where the optimum is finite: all values, as well as the plan's bound."""
    world = load_world(name)
    for discount in (None, 0.9, 1):
        try:
            plan = solve(world, discount=discount)
        except InputError as error:
            assert discount == 1 and "infinite" in str(error)
            continue
        certificate = certificate_of(world, plan, tmp_path / "certificate.json")
        assert None not in certificate["values"]
        assert [float(Fraction(x)) for x in certificate["values"]] == plan.v.tolist()
        assert Fraction(certificate["bound"]) <= min(Fraction(101, 100) * Fraction(min(plan.bound, 1.0)), 1e-8)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("discount", [0.0, 0.5, 0.9, 0.9999999, 1.0])
def test_random_models_by_an_elimination_in_fractions(discount: float, epsilon: float, tmp_path: Path) -> None:
    tried = 0
    for seed in range(12):
        model = random_model(seed, n=4, n_actions=2).model
        try:
            plan = solve(model, discount=discount, epsilon=epsilon, tol=1e-6)
        except InputError:  # infinite at discount 1
            continue
        certificate = certificate_of(model, plan, tmp_path / "certificate.json")
        assert is_true(certificate, solved(certificate))
        assert Fraction(certificate["bound"]) <= 1e-6 and None not in certificate["values"]
        tried += 1
    assert tried > 3


def test_an_epsilon_soft_optimum_is_the_optimum_of_mixed_rows(tmp_path: Path) -> None:
    """Written down by hand for the corridor of two cells: left stays, right ends with 1."""
    model = TabularModel.from_arrays(
        [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]], [[0.0, 1.0], [0.0, 0.0]], terminal=[False, True]
    )
    certificate = certificate_of(model, solve(model, discount=0.5, epsilon=0.2), tmp_path / "c.json")
    left, right = certificate["states"][0].values()
    assert left[0] == "1/10" and sorted(left[1]) == [[0, "9/10", False], [1, "1/10", True]]
    assert right[0] == "9/10" and sorted(right[1]) == [[0, "1/10", False], [1, "9/10", True]]
    assert certificate["policy"][0] == "1"
    assert abs(Fraction(certificate["values"][0]) - Fraction(18, 19)) <= Fraction(
        certificate["bound"]
    )  # .9 / (1 - .05)


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999])
def test_what_is_exact_has_the_bound_0_below_1(discount: float, tmp_path: Path) -> None:
    for name in ("frozen_lake_4x4", "cliff", "zhao_5x5"):
        world = load_world(name)
        plan = solve(world, discount=discount, exact=True)
        certificate = certificate_of(world, plan, tmp_path / "c.json")
        assert certificate["bound"] == "0" and certificate["lower"] == certificate["upper"] == certificate["values"]
        assert tuple(map(Fraction, certificate["values"])) == plan.exact_v


def test_what_is_exact_at_1_is_as_narrow_as_can_be(tmp_path: Path) -> None:
    lake = load_world("frozen_lake_4x4")
    certificate = certificate_of(lake, solve(lake, discount=1, exact=True), tmp_path / "c.json")
    assert certificate["values"][:7] == ["14/17"] * 5 + ["0", "9/17"]
    assert certificate["upper"] == certificate["values"]  # nothing is negative, so that nothing has to be strict
    assert 0 < Fraction(certificate["bound"]) < Fraction(1, 10**29)


def test_sizes_of_all_orders(tmp_path: Path) -> None:
    for scale in (1e-300, 1e-9, 1e9, 1e140):
        for discount in (0.5, 1):
            P, R = [[[0.5, 0.5]], [[0.0, 1.0]]], [[-scale], [0.0]]
            model = TabularModel.from_arrays(P, R, terminal=[False, True])
            certificate = certificate_of(
                model, solve(model, "policy_iteration", discount=discount, tol=1e130), tmp_path / "c.json"
            )
            assert Fraction(certificate["bound"]) <= Fraction(scale) / 10**12


@pytest.mark.parametrize("chance", [1e-3, 1e-9, 1e-18])
def test_ends_that_hardly_ever_come(chance: float, tmp_path: Path) -> None:
    """Steps to an end, some 1 / chance: proven to a few roundings of themselves."""
    P = np.zeros((3, 1, 3))
    P[0, 0] = [0.5, 0.5, 0]
    P[1, 0] = [1 - chance, 0, chance]
    P[2, 0, 2] = 1
    model = TabularModel.from_arrays(P, [[-1.0], [-1.0], [0.0]], terminal=[False, False, True])
    plan = evaluate_policy(model, "uniform", discount=1)
    certificate = certificate_of(model, plan, tmp_path / "c.json")
    assert Fraction(certificate["bound"]) <= Fraction(1, 10**12) * Fraction(abs(plan.v[0]))


def test_the_last_float_before_1(tmp_path: Path) -> None:
    """It is 1 - 2^-53, and prints as 1 - 1e-16, which is what it means in fractions; values are about 1e16."""
    zhao, discount = load_world("zhao_2x2"), float(np.nextafter(1, 0))
    certificate = certificate_of(zhao, solve(zhao, discount=discount, exact=True), tmp_path / "c.json")
    assert certificate["discount"] == "9999999999999999/10000000000000000" and certificate["bound"] == "0"
    cliff = load_world("cliff")
    certificate = certificate_of(cliff, solve(cliff, discount=discount), tmp_path / "c.json")
    assert Fraction(certificate["discount"]) == 1 - Fraction(1, 2**53)
    assert Fraction(certificate["bound"]) <= 1e-12
    certificate = certificate_of(cliff, solve(cliff, discount=0.9999), tmp_path / "c.json")
    assert certificate["discount"] == "9999/10000"


@pytest.mark.parametrize("discount", [0.9, 1])
def test_values_that_are_not_there_yet(discount: float, tmp_path: Path) -> None:
    """After three sweeps they are far off, and the certificate says how far."""
    lake = load_world("frozen_lake_4x4")
    plan = solve(lake, "value_iteration", discount=discount, max_sweeps=3, on_limit="return")
    exact = solve(lake, discount=discount, exact=True).exact_v
    certificate = certificate_of(lake, plan, tmp_path / "c.json")
    assert exact is not None and None not in certificate["values"]
    furthest = max(abs(Fraction(v) - x) for v, x in zip(certificate["values"], exact, strict=True) if x is not None)
    assert 0.1 < furthest <= Fraction(certificate["bound"])


@pytest.mark.parametrize("exact", [False, True])
def test_the_values_of_a_policy(exact: bool, tmp_path: Path) -> None:
    """They are the best values of the model that has one action in each state."""
    world = load_world("sutton_4x4")
    plan = evaluate_policy(world, "uniform", discount=1, exact=exact)
    certificate = certificate_of(world, plan, tmp_path / "c.json")
    assert {name for actions in certificate["states"] for name in actions} == {"policy"}
    expected = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]  # Sutton & Barto, Fig. 4.1
    for v, w in zip(certificate["values"], expected, strict=True):
        assert abs(Fraction(v) - w) <= Fraction(certificate["bound"])
    assert Fraction(certificate["bound"]) <= 1e-13


def test_where_there_is_no_value_nothing_is_claimed(tmp_path: Path) -> None:
    """Two rooms; in the second a policy goes to and fro for ever, at a cost."""
    P = np.zeros((4, 1, 4))
    P[[0, 1, 2, 3], 0, [1, 1, 3, 2]] = 1
    model = TabularModel.from_arrays(P, [[2.0], [0.0], [-1.0], [-1.0]], terminal=[False, True, False, False])
    plan = evaluate_policy(model, "uniform", discount=1)
    assert plan.v.tolist() == [2, 0, -np.inf, -np.inf]
    certificate = certificate_of(model, plan, tmp_path / "c.json")
    for key in ("values", "lower", "upper"):
        assert [x is None for x in certificate[key]] == [False, False, True, True]
    assert certificate["policy"] == ["policy", "policy", None, None]


def test_floats_that_do_not_cancel(tmp_path: Path) -> None:
    """To wander between two states pays 0.1 + 0.2 or -0.3: in float64 about nothing, in fractions more, for ever."""
    P, R = np.zeros((4, 1, 4)), np.zeros((4, 1, 4))
    P[:2, 0, :2] = 0.5
    R[:2, 0, :2] = [0.1 + 0.2, -0.3]
    P[[2, 3], 0, 3] = 1
    R[2, 0, 3] = 1
    model = TabularModel.from_arrays(P, R, terminal=[False, False, False, True])
    plan = solve(model, discount=1)
    assert plan.v.tolist() == [0, 0, 1, 0]
    certificate = certificate_of(model, plan, tmp_path / "c.json")
    assert [x is None for x in certificate["values"]] == [True, True, False, False]
    assert certificate["upper"][:2] == [None, None]


# -- the checker -------------------------------------------------------------------------------------------------------


def test_the_checker_is_short_and_needs_the_standard_library_only() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert modules and modules <= sys.stdlib_module_names


def test_the_command_and_the_script(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """The script runs without anything installed."""
    code, out, _ = run("solve", "frozen_lake_4x4", "--certificate", "lake.json")
    assert code == 0 and "certificate: lake.json, proves 16 of 16 values to within" in out
    code, out, _ = run("solve", "frozen_lake_4x4", "--certificate", "lake.json", "--exact", "--json")
    assert json.loads(out)["certificate"]["proven"] == 16
    checked = check_file(tmp_path / "lake.json")
    assert checked.returncode == 0 and checked.stdout.startswith("valid: 16 of 16 values are proven to within ")
    text = (tmp_path / "lake.json").read_text(encoding="utf-8")
    (tmp_path / "lake.json").write_text(text.replace('"14/17"', '"15/17"'), encoding="utf-8")
    checked = check_file(tmp_path / "lake.json")
    assert (checked.returncode, checked.stdout) == (
        1,
        "not valid: state 0: its value is further from lower or upper than the bound\n",
    )


def check_file(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1
    return done


def test_the_naive_check_is_wrong_at_discount_1() -> None:
    """To stay for nothing or end with -1; a cycle of +1 and -1 that cannot be left."""
    assert CHECKER.check(small()) == "valid: 1 of 1 values are proven to within 0, at discount 1"
    assert "nothing is proven" in refused(small(upper=["-1"], lower=["-1"], values=["-1"]))
    assert "nothing is proven" in refused(small(upper=["7"], lower=["7"], values=["7"]))
    cycle: dict[str, Any] = {"states": [{"go": ["1", [[1, "1", False]]]}, {"go": ["-1", [[0, "1", False]]]}]}
    cycle |= {"policy": ["go", "go"]}
    assert "nothing is proven" in refused(small(**cycle, lower=["-7", "-8"], upper=["-7", "-8"], values=["-7", "-8"]))
    assert "nothing is proven" in refused(small(**cycle, lower=["8", "7"], upper=["8", "7"], values=["8", "7"]))
    zigzag = small(**cycle, lower=["0", "-1"], upper=["1", "0"], values=["0", "0"], bound="1")
    assert CHECKER.check(zigzag).startswith("valid")  # what is collected goes on between 0 and 1, or -1 and 0


def test_below_discount_1_nothing_has_to_be_strict() -> None:
    rows = {"go": ["-1", [[0, "1", False]]]}
    even = small("1/2", states=[rows], policy=["go"], values=["-2"], lower=["-2"], upper=["-2"])
    assert CHECKER.check(even).startswith("valid")
    assert "nothing is proven" in refused(even | {"upper": ["-3"], "lower": ["-3"], "values": ["-3"]})


def test_null_claims_nothing_and_nothing_rests_on_it() -> None:
    """State 0 may go to state 1, of which nothing is known, or end with 1."""
    rows = [
        {"end": ["1", [[0, "1", True]]], "go": ["0", [[1, "1/2", False], [0, "1/2", True]]]},
        {"go": ["100", [[1, "1", True]]]},
    ]
    facts = small(
        states=rows, policy=["end", None], lower=["1/2", None], upper=["1", None], values=["1", None], bound="1"
    )
    assert "leads to an unknown value" in refused(facts)  # v* is 50
    low = facts | {"upper": [None, None], "values": [None, None]}
    assert refused(low) == "it claims nothing"
    low |= {"upper": [None, "100"], "lower": ["1/2", "100"], "values": [None, "100"], "policy": ["end", "go"]}
    assert "nothing is proven" in refused(low)  # 100 is positive and has to be below
    low |= {"lower": ["1/2", "99"]}
    assert CHECKER.check(low).startswith("valid: 1 of 2 values")
    assert "leads to an unknown value" in refused(
        low | {"lower": ["1/2", None], "policy": ["go", None], "values": [None, None]}
    )
    assert "is further" in refused(low | {"values": ["1/2", "100"]})  # a value with a lower bound only


FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "Expecting value"),
    "half": ('{"format": "rlgrid certificate", "version": 1', "Expecting"),
    "no text": (b"\xc3\x28", "codec can't decode"),
    "list": ("[]", "allowed: one object with the keys"),
    "null": ("null", "allowed: one object with the keys"),
    "a key twice": ('{"version": 1, "version": 1}', "has a key twice"),
    "NaN": ('{"bound": NaN}', "found the number NaN"),
    "Infinity": ('{"bound": -Infinity}', "found the number -Infinity"),
    "float": ('{"bound": 0.5}', "found the number 0.5"),
    "negative": ('{"bound": -1}', "found the number -1"),
    "a million digits": ('{"bound": ' + "9" * 10**6 + "}", "found the number 99999999999999999999;"),
    "deep": ('{"bound": ' + "[" * 10**6, "recursion"),
    "surrogate": (json.dumps(small(bound="\ud800")), "bound: found '\\ud800'"),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    content, sentence = FILES[name]
    (tmp_path / "c.json").write_bytes(content.encode() if isinstance(content, str) else content)
    checked = check_file(tmp_path / "c.json")
    assert checked.returncode == 1 and checked.stdout.startswith("not valid: ") and sentence in checked.stdout
    assert len(checked.stdout) < 250


def test_files_that_are_none(tmp_path: Path) -> None:
    for arguments, sentence in (
        ([], "usage"),
        ([tmp_path], "Is a directory"),
        ([tmp_path / "none.json"], "No such file"),
        (["a\nb.json"], "No such file"),
    ):
        checked = check_file(*arguments)
        assert checked.returncode == 1 and sentence in checked.stdout


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "c.json", "wb") as file:
        file.truncate(2**40)  # a hole
    assert check_file(tmp_path / "c.json").stdout == "not valid: it has more than 134217728 bytes\n"


def row(reward: Any = "0", outcomes: Any = None) -> dict[str, Any]:
    return {"stay": [reward, [[0, "1", False]] if outcomes is None else outcomes]}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"format": "other"}, "allowed: "),
    "version": ({"version": 2}, "allowed: "),
    "version true": ({"version": True}, "allowed: "),
    "discount above 1": ({"discount": "11/10"}, "a discount from 0 to 1"),
    "discount below 0": ({"discount": "-1/10"}, "a discount from 0 to 1"),
    "discount nan": ({"discount": "nan"}, "discount: found 'nan'"),
    "discount number": ({"discount": 1}, "discount: found 1"),
    "discount null": ({"discount": None}, "discount: found None"),
    "bound below 0": ({"bound": "-1"}, "a bound of at least 0"),
    "bound 1/0": ({"bound": "1/0"}, "bound: found '1/0'"),
    "bound infinite": ({"bound": "inf"}, "bound: found 'inf'"),
    "bound with an exponent": ({"bound": "1e999999999"}, "bound: found '1e999999999'"),
    "bound of other digits": ({"bound": "١"}, "bound: found"),
    "bound in lines": ({"bound": "1\n"}, "bound: found '1\\n'"),
    "bound of a million digits": ({"bound": "1" * 10**6}, "bound: found '1111"),
    "values too few": ({"values": []}, "not five lists of one length"),
    "upper too many": ({"upper": ["0", "0"]}, "not five lists of one length"),
    "lower no list": ({"lower": "0"}, "not five lists of one length"),
    "no states": ({"states": [], "policy": [], "values": [], "lower": [], "upper": []}, "it claims nothing"),
    "value true": ({"values": [True]}, "a value: found True"),
    "no actions": ({"states": [{}]}, "state 0: no actions"),
    "actions in a list": ({"states": [[]]}, "state 0: no actions"),
    "no outcomes": ({"states": [row(outcomes=[])]}, "no distribution"),
    "reward true": ({"states": [row(True)]}, "found True"),
    "reward null": ({"states": [row(None)]}, "found None"),
    "probability number": ({"states": [row(outcomes=[[0, 1, False]])]}, "found 1"),
    "probabilities above 1": ({"states": [row(outcomes=[[0, "1/2", False], [0, "2/3", False]])]}, "no distribution"),
    "probabilities below 1": ({"states": [row(outcomes=[[0, "1/2", False]])]}, "no distribution"),
    "probability negative": ({"states": [row(outcomes=[[0, "-1", False], [0, "2", True]])]}, "no distribution"),
    "probability 0": ({"states": [row(outcomes=[[0, "0", False], [0, "1", False]])]}, "no distribution"),
    "state 1 of 1": ({"states": [row(outcomes=[[1, "1", False]])]}, "no distribution"),
    "state true": ({"states": [row(outcomes=[[False, "1", False]])]}, "no distribution"),
    "state as text": ({"states": [row(outcomes=[["0", "1", False]])]}, "no distribution"),
    "state null": ({"states": [row(outcomes=[[None, "1", False]])]}, "no distribution"),
    "ends 0": ({"states": [row(outcomes=[[0, "1", 0]])]}, "no distribution"),
    "ends null": ({"states": [row(outcomes=[[0, "1", None]])]}, "no distribution"),
    "outcome of two": ({"states": [row(outcomes=[[0, "1"]])]}, "values to unpack"),
    "outcome of none": ({"states": [row(outcomes=[0])]}, "unpack"),
    "outcomes as text": ({"states": [row(outcomes="abc")]}, "values to unpack"),
    "policy unknown": ({"policy": ["fly"]}, "the policy takes none of its actions"),
    "policy null": ({"policy": [None]}, "the policy takes none of its actions"),
    "policy a list": ({"policy": [["stay"]]}, "the policy takes none of its actions"),
    "lower above upper": ({"lower": ["-1"], "upper": ["-2"], "values": [None]}, "nothing is proven"),
    "nothing": ({"lower": [None], "upper": [None], "values": [None], "policy": [None]}, "it claims nothing"),
    "value without bounds": ({"lower": [None], "upper": [None]}, "is further"),
    "value outside": ({"values": ["1/1000000"]}, "is further"),
    "extra key": ({"extra": 1}, "one object with the keys"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_facts(name: str) -> None:
    changes, sentence = WRONG[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        CHECKER.check(CHECKER.read(json.dumps(small() | changes).encode()))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("key", sorted(small()))
def test_missing_keys(key: str) -> None:
    facts = small()
    del facts[key]
    assert "allowed: one object with the keys" in refused(facts)


def test_numbers_that_would_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 probabilities that have little in common: the sum would have a million digits."""
    monkeypatch.setattr(CHECKER, "MOST_WORK", CHECKER.MOST_WORK // 2**15)
    many = 10**4000
    outcomes = [[0, f"1/{many + 2 * i + 1}", False] for i in range(400)]
    assert "too long to be checked" in refused(small(states=[row(outcomes=outcomes)]))


# -- refusals of the writer --------------------------------------------------------------------------------------------


def test_plans_without_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.json"
    lake, zhao = load_world("frozen_lake_4x4"), load_world("zhao_2x2")
    with pytest.raises(InputError, match="certificate: found a plan with a horizon; allowed: for a discounted optimum"):
        write_certificate(lake, solve(lake, "backward_induction"), file)
    with pytest.raises(InputError, match="certificate: found a plan for the mean reward a step; allowed"):
        write_certificate(zhao, solve(zhao, "average_reward"), file)
    with pytest.raises(InputError, match=r"found a plan for 4 states and 5 actions; allowed: one for frozen_lake_4x4"):
        write_certificate(lake, solve(zhao), file)
    with pytest.raises(InputError, match="nothing could be proven about its values"):
        write_certificate(zhao, evaluate_policy(zhao, "uniform", discount=1), file)
    with pytest.raises(InputError, match="cannot be written"):
        write_certificate(lake, solve(lake), tmp_path / "no folder" / "c.json")
    for most, size in ((1000, "about [67],..."), (6900, "6,9..")):
        monkeypatch.setattr(certificate_file, "MOST_BYTES", most)
        monkeypatch.setattr(certificate_file, "BYTES_OF_STATE", 200 if most == 1000 else 0)
        with pytest.raises(
            InputError, match=rf"frozen_lake_4x4: certificate: the file would have {size} bytes; allowed"
        ):
            write_certificate(lake, solve(lake), file)
    assert not list(tmp_path.iterdir())


def test_the_command_refuses_before_it_writes(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    arguments = ["--method", "backward_induction", "--certificate", "c.json", "--csv", "c.csv"]
    code, out, err = run("solve", "frozen_lake_4x4", *arguments)
    assert (code, out) == (2, "") and err.startswith("rlgrid: certificate: found a plan with a horizon")
    assert not list(tmp_path.iterdir())
