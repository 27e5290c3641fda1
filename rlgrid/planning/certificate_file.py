"""Certificates in files: a model in fractions, the values of a plan, and bounds that prove them.

``scripts/check_certificate.py`` checks such a file without rlgrid; docs/planning.md gives its format and the theorem.
"""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from rlgrid.errors import InputError
from rlgrid.files import write_whole
from rlgrid.models.model import Source, TabularModel, as_model
from rlgrid.planning.evaluation import EVALUATIONS
from rlgrid.planning.exact_model import ExactRow, ExactStates, epsilon_soft, exact_states, integers, under_policy
from rlgrid.planning.fractions import number_of
from rlgrid.planning.plan import PathName, Plan
from rlgrid.planning.proof import prove

#: The checker refuses a file of more bytes, and numbers of more digits.
MOST_BYTES, MOST_DIGITS = 2**27, 4_300

#: Numbers with fewer bits than this have no more digits than that.
MOST_BITS = 14_280

#: A measure of the checker's work, outcomes times squares of bits, above which values are rounded to floats.
MOST_WORK = 2**42

#: About how many bytes a state and an outcome take, so that a file that would not fit is refused at once.
BYTES_OF_STATE, BYTES_OF_OUTCOME = 200, 25


class Certificate(NamedTuple):
    """What the file proves."""

    bound: Fraction  # no value is further than this from the exact one
    proven: int  # states whose values are proven
    n_states: int


def write_certificate(source: Source, plan: Plan, path: PathName) -> Certificate:
    """Write a plan as a file that proves itself: the model in fractions, the values, and their bounds.

    Args:
        source: what was solved.
        plan: from :func:`rlgrid.solve` or :func:`rlgrid.evaluate_policy`; with a horizon or for the mean reward a step
            there is no certificate.
        path: where to write it, at once or not at all.

    Raises:
        InputError: for a plan of another kind or another model, where nothing could be proven, and where the file
            would be too large or cannot be written.

    >>> import rlgrid, tempfile
    >>> lake = rlgrid.load_world("frozen_lake_4x4")
    >>> found = write_certificate(lake, rlgrid.solve(lake, discount=1), tempfile.mkdtemp() + "/lake.json")
    >>> found.proven, found.bound < 1e-12
    (16, True)
    """
    model = as_model(source)
    _check(model, plan)
    discount = number_of(plan.discount) if plan.exact_v is None else Fraction(repr(plan.discount))
    states, policy = _problem(model, plan)
    v, enough = _values(model, plan), 2.0 * plan.bound if plan.bound < np.inf else 0.0
    lower, upper = prove(integers(states, discount), policy, v, enough, model.shape, strict=discount == 1)
    distances = [
        None if value is None or low is None or high is None else max(abs(value - low), abs(high - value))
        for value, low, high in zip(v, lower, upper, strict=True)
    ]
    proven = [distance for distance in distances if distance is not None]
    if not proven:
        raise InputError(f"{model.name}: nothing could be proven about its values; allowed: a discount below 1")
    bound, digits = _short(max(proven))
    facts = {
        "format": "rlgrid certificate",
        "version": 1,
        "name": model.name,
        "discount": _text(discount),
        "bound": digits,
        "values": [None if near is None else _text(value) for value, near in zip(v, distances, strict=True)],
        "lower": [_text(low) for low in lower],
        "upper": [_text(high) for high in upper],
        "policy": [None if lower[s] is None else [*rows][policy[s]] for s, rows in enumerate(states)],
    }
    content = _content(facts, states)
    if len(content) > MOST_BYTES:
        raise _too_large(model, f"{len(content):,}")
    write_whole(path, content)
    return Certificate(bound, len(proven), model.n_states)


def _check(model: TabularModel, plan: Plan) -> None:
    """Refuse plans for which there is no certificate."""
    if plan.gain is not None or plan.horizon is not None:
        what = "for the mean reward a step" if plan.horizon is None else "with a horizon"
        raise InputError(
            f"certificate: found a plan {what}; allowed: for a discounted optimum, at any discount up to 1"
        )
    if plan.policy.shape != (model.n_states, model.n_actions):
        raise InputError(
            f"certificate: found a plan for {plan.policy.shape[0]:,} states and {plan.policy.shape[1]:,} actions; "
            f"allowed: one for {model.name}, which has {model.n_states:,} and {model.n_actions:,}"
        )
    about = BYTES_OF_STATE * model.n_states + BYTES_OF_OUTCOME * len(model.tables.next_state)
    if about > MOST_BYTES:
        raise _too_large(model, f"about {about:,}")


def _too_large(model: TabularModel, size: str) -> InputError:
    return InputError(f"{model.name}: certificate: the file would have {size} bytes; allowed: up to {MOST_BYTES:,}")


def _problem(model: TabularModel, plan: Plan) -> tuple[ExactStates, list[int]]:
    """The model whose best values are those of the plan, and which of its rows each state takes."""
    states = exact_states(model)
    if plan.method in EVALUATIONS:
        return under_policy(states, plan.policy, model), [0] * len(states)
    action = np.where(model.available, plan.policy, -1.0).argmax(axis=1)
    row = np.cumsum(model.available, axis=1)[np.arange(len(states)), action] - 1
    return epsilon_soft(states, Fraction(repr(plan.epsilon))), row.tolist()


def _values(model: TabularModel, plan: Plan) -> list[Fraction | None]:
    """The values as fractions, those of ``exact`` if they are short enough; ``None`` where they are not finite."""
    if plan.exact_v is not None:
        numbers = [x for x in plan.exact_v if x is not None]
        bits = max((max(x.numerator.bit_length(), x.denominator.bit_length()) for x in numbers), default=0)
        if bits < MOST_BITS and bits**2 * len(model.tables.next_state) < MOST_WORK:
            return list(plan.exact_v)
    return [Fraction(x) if abs(x) < np.inf else None for x in plan.v.tolist()]


def _short(distance: Fraction) -> tuple[Fraction, str]:
    """A decimal fraction of two digits that is not less, and how it is written."""
    digits = 0
    while distance and distance * 10**digits < 10 and digits < MOST_DIGITS - 1:
        digits += max(1, (distance.denominator // max(1, distance.numerator) // 10**digits).bit_length() * 3 // 10 - 1)
    numerator = ceil(distance * 10**digits)
    return Fraction(numerator, 10**digits), f"{numerator}/{10**digits}" if digits else str(numerator)


def _text(x: Fraction | None) -> str | None:
    """A fraction as text.

    Raises:
        InputError: where it has more digits than the checker reads.
    """
    if x is not None and max(x.numerator.bit_length(), x.denominator.bit_length()) >= MOST_BITS:
        raise InputError(f"certificate: found a number of more than {MOST_DIGITS:,} digits; allowed: shorter ones")
    return None if x is None else str(x)


def _content(facts: dict[str, object], states: ExactStates) -> bytes:
    """The file: a line for each fact, and one for each state."""
    known: dict[int, tuple[str | None, list[str | None]]] = {}

    def row_as_json(row: ExactRow) -> list[object]:
        if id(row.odds) not in known:
            known[id(row.odds)] = _text(row.odds.reward), [_text(p) for p in row.odds.probabilities]
        reward, probabilities = known[id(row.odds)]
        return [reward, [list(outcome) for outcome in zip(row.next_states, probabilities, row.odds.ends, strict=True)]]

    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()]
    rows = [json.dumps({name: row_as_json(row) for name, row in of_state.items()}) for of_state in states]
    return ("{\n" + ",\n".join([*lines, '"states": [\n' + ",\n".join(rows) + "\n]"]) + "\n}\n").encode()
