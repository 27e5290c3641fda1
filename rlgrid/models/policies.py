"""The forms in which a policy may be given: probabilities, actions, a map of letters, or a word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.arrays import Floats
from rlgrid.errors import InputError, one_of, shown
from rlgrid.models.model import TabularModel
from rlgrid.view.text_maps import ARROWS


def policy_table(model: TabularModel, policy: ArrayLike) -> ArrayLike:
    """The probabilities [S, A] that a policy means: still to be checked, where they were given as such.

    Args:
        model: what the policy is for.
        policy: probabilities [S, A]; actions [S] by number or by name, or by number in the rows of the map; "uniform";
            or a map as a text or a list of its rows. A cell of a map is the arrow of an action, or the first letter of
            its name where no other action begins with it; several together are taken alike. Cells may stand apart or
            not. In walls and terminal cells anything may stand.

    Raises:
        InputError: for actions or maps that do not fit the model.

    >>> import rlgrid
    >>> model = TabularModel.from_world(rlgrid.World.from_toml('actions = ["left", "right"]\\nmap = "..#."'))
    >>> policy_table(model, "→ ← # ←").argmax(axis=1).tolist(), policy_table(model, "RL#L").argmax(axis=1).tolist()
    ([1, 0, 0, 0], [1, 0, 0, 0])
    """
    if isinstance(policy, str):
        if policy == "uniform":
            return _alike(model.available)
        return _from_map(model, policy.strip().split("\n"))
    try:
        given: NDArray[Any] = np.asarray(policy)
    except ValueError:  # lists of unequal lengths
        return policy
    if given.dtype.kind in "iu" and given.shape == model.shape and given.shape != model.available.shape:
        given = given.ravel()
    if given.ndim != 1:
        return policy
    if given.dtype.kind == "U":
        names = given.tolist()
        by_name = len(names) == model.n_states and set(names) <= set(model.actions)
        return (
            _from_actions(model, [model.actions.index(name) for name in names]) if by_name else _from_map(model, names)
        )
    if given.dtype.kind in "iu":
        return _from_actions(model, given.tolist())
    return policy


def _alike(chosen: NDArray[np.bool_]) -> Floats:
    """The policy that takes all chosen actions [S, A] of a state alike."""
    shares: Floats = chosen / chosen.sum(axis=1, keepdims=True)
    return shares


def _from_actions(model: TabularModel, actions: list[int]) -> Floats:
    """The policy that takes one action in each state."""
    if len(actions) != model.n_states:
        raise InputError(f"policy: found {len(actions)} actions; allowed: {model.n_states}, one for each state")
    chosen = np.zeros((model.n_states, model.n_actions), np.bool_)
    for s, a in enumerate(actions):
        if not 0 <= a < model.n_actions:
            raise InputError(f"policy: found action {shown(a)} in state {s}; allowed: 0 to {model.n_actions - 1}")
        chosen[s, a] = True
    return _alike(chosen)


def _from_map(model: TabularModel, lines: list[str]) -> Floats:
    """The policy that a map shows."""
    if model.shape is None:
        raise InputError('policy: found a text; allowed: [S, A], [S] or "uniform", as this model has no map')
    (n_rows, n_cols), letters = model.shape, _letters(model.actions)
    if len(lines) != n_rows:
        raise InputError(f'policy: found a map of {len(lines)} rows; allowed: {n_rows}, or "uniform"')
    chosen = np.zeros((model.n_states, model.n_actions), np.bool_)
    for row, line in enumerate(lines):
        cells = line.split()
        if len(cells) != n_cols:
            cells = list("".join(cells))
        if len(cells) != n_cols:
            raise InputError(f"policy: found {len(cells)} cells in row {row + 1}; allowed: {n_cols}")
        for column, cell in enumerate(cells):
            s = row * n_cols + column
            if model.terminal[s]:
                chosen[s, model.available[s].argmax()] = True
            elif set(cell) <= letters.keys():
                chosen[s, [letters[letter] for letter in cell]] = True
            else:
                where = f"row {row + 1}, column {column + 1}"
                raise InputError(f"policy: {where}: {one_of(cell, letters)}")
    return _alike(chosen)


def _letters(actions: tuple[str, ...]) -> dict[str, int]:
    """The action that each arrow or letter means; letters count in both cases where they are clear."""
    letters = {ARROWS[name]: a for a, name in enumerate(actions) if name in ARROWS}
    first = [name[:1].lower() for name in actions]
    for a, letter in enumerate(first):
        if first.count(letter) == 1:
            letters |= {letter: a, letter.upper(): a}
    return letters
