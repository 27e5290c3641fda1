"""Certificates that were tampered with: none that claims something false is accepted."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from certificates import Truth, Undefined, is_true, load_checker, solved, well_formed
from random_models import random_model

from rlgrid import InputError, World, solve, write_certificate

CHECKER = load_checker()

#: Small worlds at discount 1: something costs, something pays, and some may stay for free.
MAPS = {
    "corridor": 'map = "..G"\n[reward]\nstep = -1\n[cells]\nG = { terminal = true }',
    "stays": 'map = "..E"\n[cells]\nE = { terminal = true, enter = -1 }',
    "pays": 'map = "..G"\n[cells]\nG = { terminal = true, enter = 1 }',
    "slips": 'map = "H.G"\n[slip]\nrandom = 0.25\n[reward]\nstep = -0.25\n[cells]\n'
    "H = { terminal = true, enter = -2 }\nG = { terminal = true, enter = 3 }",
    "toll": 'map = "T.G"\n[cells]\nT = { enter = -0.5 }\nG = { terminal = true, enter = "1/3" }',
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Certificates of small worlds and models at several discounts, some of them exact."""
    file = tmp_path_factory.mktemp("certificates") / "one.json"
    sources: list[Any] = [
        World.from_toml(f'name = "{name}"\nactions = ["left", "right"]\n{text}\n') for name, text in MAPS.items()
    ]
    sources += [random_model(seed, n=3, n_actions=2, denominator=4).model for seed in range(6)]
    found = []
    for source in sources:
        for discount, exact in ((1, False), (1, True), (0.9, False), (0.5, True)):
            try:
                plan = solve(source, discount=discount, exact=exact)
            except InputError:  # infinite at discount 1
                continue
            write_certificate(source, plan, file)
            found.append(json.loads(file.read_text(encoding="utf-8")))
    return found


# -- mutations ---------------------------------------------------------------------------------------------------------


def a_number(rng: random.Random) -> str:
    return rng.choice(["0", "1", "-1", "2", "-2", "1/2", "-1/2", "1/3", "10", "-7", "1/1000000", "-1/1000000000000"])


def some_entry(rng: random.Random, c: dict[str, Any], change: Callable[[str], str]) -> None:
    """Change one number: a value or a bound of one, or else."""
    numbers = [(c[key], s) for key in ("values", "lower", "upper") for s in range(len(c["states"]))]
    rows = [action for actions in c["states"] for action in actions.values()]
    numbers += [(action, 0) for action in rows] + [(outcome, 1) for _, outcomes in rows for outcome in outcomes]
    holder, key = rng.choice([*numbers, (c, "bound"), (c, "discount")])
    if holder[key] is not None:
        holder[key] = change(holder[key])


def a_digit(rng: random.Random, c: dict[str, Any]) -> None:
    def change(text: str) -> str:
        places = [i for i, letter in enumerate(text) if letter.isdigit()]
        i = rng.choice(places)
        changed = text[:i] + rng.choice("0123456789") + text[i + 1 :]
        return text if set(changed.partition("/")[2]) == {"0"} else changed  # mutations go on to compute with it

    some_entry(rng, c, change)


def a_sign(rng: random.Random, c: dict[str, Any]) -> None:
    some_entry(rng, c, lambda text: text[1:] if text.startswith("-") else "-" + text)


def a_row(rng: random.Random, c: dict[str, Any]) -> None:
    actions = rng.choice(c["states"])
    name = rng.choice(list(actions))
    outcomes = actions[name][1]
    outcome = rng.choice(outcomes)
    match rng.randrange(7):
        case 0:
            actions[name][0] = a_number(rng)
        case 1:
            outcome[0] = rng.randrange(len(c["states"]))
        case 2:
            outcome[2] = not outcome[2]
        case 3:
            actions["more"] = [a_number(rng), copy.deepcopy(outcomes)]
        case 4:
            actions[name] = copy.deepcopy(rng.choice(list(rng.choice(c["states"]).values())))
        case 5 if len(actions) > 1:
            del actions[name]
        case _:  # half of an outcome goes elsewhere
            half = str(CHECKER.Fraction(outcome[1]) / 2)
            outcome[1] = half
            outcomes.append([rng.randrange(len(c["states"])), half, rng.random() < 0.5])


def a_bound(rng: random.Random, c: dict[str, Any]) -> None:
    """The bound, or all bounds and values moved or stretched together, as a naive check might not see."""
    match rng.randrange(4):
        case 0:
            c["bound"] = rng.choice(["0", "1/1" + "0" * rng.randrange(1, 40), a_number(rng)])
        case 1:
            key = rng.choice(["values", "lower", "upper"])
            c[key] = list(c[rng.choice(["values", "lower", "upper"])])
        case 2:
            step = CHECKER.Fraction(a_number(rng))
            moved(c, rng, lambda x: x + step)
        case _:
            factor = CHECKER.Fraction(rng.choice(["1/2", "2", "-1", "999/1000", "1000001/1000000"]))
            moved(c, rng, lambda x: x * factor)


def moved(c: dict[str, Any], rng: random.Random, change: Callable[[Any], Any]) -> None:
    keys = rng.choice([("values", "lower", "upper"), ("lower",), ("upper",), ("values", "lower")])
    kept = set(rng.sample(range(len(c["states"])), rng.randrange(2)))
    for key in keys:
        c[key] = [x if x is None or s in kept else str(change(CHECKER.Fraction(x))) for s, x in enumerate(c[key])]


MUTATIONS = (a_digit, a_sign, a_row, a_bound)


# -- the test ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1000)
def truth_of(model: str) -> Truth | None:
    try:
        return solved(json.loads(model))
    except Undefined:
        return None


def counted(sources: list[dict[str, Any]], seed: int, n_false: int) -> Counter[str]:
    """How many mutations were false, true or malformed, and how many of each were accepted, until so many are false."""
    rng, count = random.Random(seed), Counter[str]()
    while count["false"] < n_false:
        certificate = copy.deepcopy(rng.choice(sources))
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            rng.choice(MUTATIONS)(rng, certificate)
        kind = kind_of(certificate)
        count[kind] += 1
        try:
            CHECKER.check(CHECKER.read(json.dumps(certificate).encode()))
            count[f"{kind}, accepted"] += 1
            assert kind in ("true", "undefined"), json.dumps(certificate)
        except ValueError:
            pass
    return count


def kind_of(certificate: dict[str, Any]) -> str:
    if not well_formed(certificate):
        return "malformed"
    truth = truth_of(json.dumps({key: certificate[key] for key in ("discount", "states", "policy")}))
    if truth is None:
        return "undefined"
    return "true" if is_true(certificate, truth) else "false"


def test_what_was_not_changed_is_true_and_accepted(certificates: list[dict[str, Any]]) -> None:
    assert len(certificates) > 30
    for certificate in certificates:
        assert kind_of(certificate) == "true"
        assert CHECKER.check(CHECKER.read(json.dumps(certificate).encode())).startswith("valid")


def test_some_false_claims_are_refused(certificates: list[dict[str, Any]]) -> None:
    count = counted(certificates, seed=0, n_false=150)
    assert count["false, accepted"] == count["malformed, accepted"] == 0
    assert count["true, accepted"] > 20  # it does not simply refuse everything


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_thousand_false_claims_are_refused(certificates: list[dict[str, Any]], seed: int) -> None:
    count = counted(certificates, seed, n_false=1000)
    assert count["false, accepted"] == count["malformed, accepted"] == 0
    assert count["true, accepted"] > 70
    assert count["undefined"] < 100
