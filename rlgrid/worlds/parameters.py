"""A world with one of its numbers changed; numbers are named as in the world's file."""

from __future__ import annotations

from fractions import Fraction

from rlgrid.errors import InputError, number, shown
from rlgrid.toml import parse_toml
from rlgrid.worlds.numbers import to_fraction
from rlgrid.worlds.world import World

#: Tables whose entries are probabilities that add up to 1: where one is set, the others are scaled.
_DISTRIBUTIONS = (["slip", "turn"], ["wind", "varies"])


def with_number(world: World, path: str, value: float | Fraction) -> World:
    """The world with one of its numbers changed, named as in its file.

    ``path`` is the number's key with dots, such as ``reward.step``, ``discount``, ``cells.G.enter``,
    ``cells.A.leave.reward``, ``reward.action.up`` or ``slip.random``. A number that the file leaves out can be set too.
    Where a probability in ``slip.turn`` or ``wind.varies`` is set, the others are scaled, so that all add up to 1.

    Raises:
        InputError: where a world has no such number, or the value is not allowed.

    >>> import rlgrid
    >>> world = with_number(rlgrid.load_world("aima_4x3"), "slip.turn.0", 0.9)
    >>> {degrees: str(share) for degrees, share in world.slip.turn.items()}
    {'0': '9/10', '90': '1/20', '-90': '1/20'}
    """
    data = parse_toml(world.to_toml(), where=world.name)
    table, keys = data, checked_path(path).split(".")
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError(f"{world.name}: {path}: there is no such number; allowed: a key of the world's file")
    if not isinstance(value, Fraction | str):
        value = number(f"{world.name}: {path}", value, lambda _: True, "a finite number")
    try:
        share = to_fraction(value)
    except ValueError as error:
        raise InputError(f"{world.name}: {path}: {error}") from None
    if keys[:-1] in _DISTRIBUTIONS:
        others = {key: to_fraction(found) for key, found in table.items() if key != keys[-1]}
        rest = sum(others.values(), Fraction(0))
        if not rest:
            raise InputError(f"{world.name}: {path}: there is nothing else to share with; allowed: two entries or more")
        table.update({key: found * (1 - share) / rest for key, found in others.items()})
    table[keys[-1]] = float(share) if path == "discount" else share
    return World.from_table(data, where=world.name)


def checked_path(path: object) -> str:
    """The name of a number, which has to be a text."""
    if not isinstance(path, str):
        raise InputError(f"path: found {shown(path)}; allowed: the key of a number, such as reward.step")
    return path
