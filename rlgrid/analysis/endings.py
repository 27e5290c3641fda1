"""From where a policy does not end its episodes, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rlgrid.models.model import Source, as_model
from rlgrid.planning.chain import chain_of


def endless_in_words(source: Source, policy: ArrayLike) -> str:
    """From how many states a policy never ends, and the first of them; empty where it ends from everywhere.

    States that no policy reaches from a start do not count, nor does a model in which no episode ever ends.

    Raises:
        InputError: for a policy that does not fit.

    >>> import rlgrid
    >>> endless_in_words(rlgrid.load_world("cliff"), [[1.0, 0.0, 0.0, 0.0]] * 48)  # up for ever
    'never ends from 37 cells; first: row 1, column 1'
    """
    model = as_model(source)
    chain = chain_of(model, policy)
    if not model.can_terminate(model.available.ravel()):
        return ""
    counted = model.reachable & ~model.terminal
    lost = chain.components.reaching(chain.endless) & counted
    if not lost.any():
        return ""
    number = int(lost.sum())
    thing = "state" if model.shape is None else "cell"
    surely = not (chain.components.reaching(chain.ending > 0) & lost).any()
    return (
        f"{'never ends' if surely else 'may never end'} from {number:,} {thing}{'s' if number > 1 else ''}; "
        f"first: {model.place_of(int(np.argmax(lost)))}"
    )
