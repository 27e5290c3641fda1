"""Certificates in files: a model in fractions, a plan's values, and bounds that prove them.

``scripts/check_certificate.py`` checks such a file without rlgrid; docs/planning.md gives the format and the theorem.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from rlgrid.errors import InputError
from rlgrid.files import write_whole
from rlgrid.models.model import Source, TabularModel, as_model
from rlgrid.planning.exact_model import ExactStates, epsilon_soft, exact_states, integers
from rlgrid.planning.methods import METHODS, Criterion
from rlgrid.planning.plan import PathName, Plan
from rlgrid.planning.proof import prove

#: The file that the checker accepts has this many bytes at most, and numbers of this many digits.
MOST_BYTES, MOST_DIGITS = 2**27, 4_300

#: Outcomes above which no file is tried: about as many as fit.
MOST_OUTCOMES = 4_000_000


class Certificate(NamedTuple):
    """What a certificate proves."""

    bound: Fraction  # on |value - v*|
    proven: int  # number of states whose values are proven
    n_states: int


def write_certificate(source: Source, plan: Plan, path: PathName) -> Certificate:
    """Write a plan of a discounted optimum, at any discount, as a file that proves itself.

    Args:
        source: what was solved.
        plan: from :func:`rlgrid.solve`.
        path: the file, which is written at once or not at all.

    Raises:
        InputError: for a plan of another kind or another model, where nothing could be proven, and where the file
            would be too large.

    >>> import rlgrid, tempfile
    >>> lake = rlgrid.load_world("frozen_lake_4x4")
    >>> found = write_certificate(lake, rlgrid.solve(lake, discount=0.99), tempfile.mkdtemp() + "/lake.json")
    >>> found.proven, found.bound < 1e-12
    (16, True)
    """
    model = as_model(source)
    _check(model, plan)
    discount = Fraction(repr(plan.discount))
    states = epsilon_soft(exact_states(model), Fraction(repr(plan.epsilon)))
    v = _values(plan)
    policy = _rows_taken(model, plan)
    enough = plan.bound if plan.bound < np.inf else 0.0
    rows = integers(states, discount)
    lower, upper = prove(rows, policy, v, enough, model.shape, discount == 1)
    both = [x is not None and y is not None for x, y in zip(lower.bounds, upper.bounds, strict=True)]
    if not any(both):
        raise InputError(f"{model.name}: no bounds of its values could be proven; allowed: a discount below 1")
    values = [x if proven else None for x, proven in zip(v, both, strict=True)]
    distances = [abs(x - y) for x, w in zip(values, zip(lower.bounds, upper.bounds)) if x is not None for y in w if y is not None]
    bound = _upwards(max(distances))
    write_whole(path, content)
    return Certificate(bound, sum(both), model.n_states)
