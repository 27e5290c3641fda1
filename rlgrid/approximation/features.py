"""Features of a grid's cells, of which values are a linear function.

Of the features phi(s) of a state only those that are not 0 are kept: their numbers and their values. They are computed
from the cell's row and column (Zhao, Sec. 8.2; Sutton & Barto 2e, Sec. 9.5); a grid of one row or one column has one
coordinate. Terminal states and walls have no features, so that their value is 0.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlgrid.arrays import Floats, Ints
from rlgrid.errors import InputError, numbers
from rlgrid.toml import Keys, convert

#: Most numbers in all features together; more would fill the memory.
_MOST_NUMBERS = 100_000_000

#: Largest order, and most tilings and tiles: far more than any map has use for.
_MOST_FEATURES = 1000


class _Features(Keys, frozen=True):
    """Settings of features: whole numbers."""

    def __post_init__(self) -> None:
        for key in self.__struct_fields__:
            value = getattr(self, key)
            if not 1 <= value <= _MOST_FEATURES:
                raise ValueError(f".{key}: found {value}; allowed: 1 to {_MOST_FEATURES}")


class OneHotFeatures(_Features, frozen=True, tag_field="kind", tag="one_hot"):
    """``{ kind = "one_hot" }``: a feature for each state."""


class PolynomialFeatures(_Features, frozen=True, tag_field="kind", tag="polynomial"):
    """``{ kind = "polynomial", order = 2 }``: products of the coordinates."""

    order: int = 2


class FourierFeatures(_Features, frozen=True, tag_field="kind", tag="fourier"):
    """``{ kind = "fourier", order = 3 }``: cosines of the coordinates."""

    order: int = 3


class TileFeatures(_Features, frozen=True, tag_field="kind", tag="tile_coding"):
    """``{ kind = "tile_coding", tilings = 4, tiles = 4 }``: shifted grids of tiles."""

    tilings: int = 4
    tiles: int = 4


class GivenFeatures(_Features, frozen=True, tag_field="kind", tag="given"):
    """``{ kind = "given" }``: an array handed over in Python stands in no recipe."""


FeatureKeys: TypeAlias = OneHotFeatures | PolynomialFeatures | FourierFeatures | TileFeatures | GivenFeatures


class Features(NamedTuple):
    """phi: K features of S states, of which at most M are not 0 in any one state.

    >>> Features.of([[1.0, 0.5], [1.0, -0.5]]).matrix.tolist()
    [[1.0, 0.5], [1.0, -0.5]]
    """

    active: Ints  # [S, M] numbers of features
    value: Floats  # [S, M]; 0 where a state has fewer than M
    size: int  # K

    @classmethod
    def of(cls, phi: ArrayLike) -> Features:
        """From an array [S, K].

        Raises:
            InputError: where it is no such array, or its numbers are not finite.
        """
        value = numbers("features", phi, "finite numbers [S, K]").copy()
        if value.ndim != 2 or not value.size or not np.isfinite(value).all():
            raise InputError(f"features: found shape {value.shape}; allowed: finite numbers [S, K]")
        n_states, size = value.shape
        return cls(np.tile(np.arange(size), (n_states, 1)), value, size)

    @property
    def matrix(self) -> Floats:
        """phi as an array [S, K]."""
        phi = np.zeros((len(self.active), self.size))
        np.add.at(phi, (np.arange(len(self.active))[:, None], self.active), self.value)
        return phi


#: The ways to say which features are meant.
Chosen: TypeAlias = Features | FeatureKeys | dict[str, Any] | ArrayLike


def one_hot(n_states: int) -> Features:
    """A feature of its own for each state: a table.

    >>> one_hot(2).matrix.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return Features(np.arange(n_states)[:, None], np.ones((n_states, 1)), n_states)


def polynomial(shape: tuple[int, int], order: int) -> Features:
    """1, x, y, x², xy, y², ...: all products of the coordinates up to a degree (Zhao, Sec. 8.2).

    x and y run from -1, the left and upper edge, to 1. Of two coordinates there are (order + 1)(order + 2) / 2.

    >>> [polynomial((5, 5), order).size for order in (1, 2, 3)]
    [3, 6, 10]
    >>> polynomial((1, 3), 2).matrix.tolist()
    [[1.0, -1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    coordinates = [2.0 * place - 1.0 for place in _coordinates(shape)]
    powers = [p for p in product(range(order + 1), repeat=len(coordinates)) if sum(p) <= order]
    powers.sort(key=lambda p: (sum(p), tuple(-power for power in p)))
    _refuse_too_many(shape[0] * shape[1], len(powers), "order", order)
    columns = [np.prod([x**p for x, p in zip(coordinates, power, strict=True)], axis=0) for power in powers]
    return Features.of(np.column_stack(columns))


def fourier(shape: tuple[int, int], order: int) -> Features:
    """cos(pi (c1 x + c2 y)) for all c1, c2 from 0 to the order: the Fourier cosine basis (S&B 2e, eq. 9.18; Zhao, 8.2).

    x and y run from 0, the left and upper edge, to 1. Of two coordinates there are (order + 1)².

    >>> [fourier((5, 5), order).size for order in (1, 2, 3)]
    [4, 9, 16]
    >>> fourier((1, 3), 1).matrix.round(9).tolist()
    [[1.0, 1.0], [1.0, 0.0], [1.0, -1.0]]
    """
    coordinates = _coordinates(shape)
    frequencies = list(product(range(order + 1), repeat=len(coordinates)))
    _refuse_too_many(shape[0] * shape[1], len(frequencies), "order", order)
    phase = np.stack(coordinates, axis=1) @ np.array(frequencies, dtype=np.float64).T
    return Features.of(np.cos(np.pi * phase))


def tile_coding(shape: tuple[int, int], tilings: int, tiles: int) -> Features:
    """Several grids of tiles, each shifted; the tiles that hold a cell's middle are 1 (S&B 2e, Sec. 9.5.4).

    A tile is 1/``tiles`` of the map wide and high. Tiling i is shifted by i (1, 3) / ``tilings`` of a tile, the
    asymmetric offsets of the book (a whole tile leads back), so it takes ``tiles`` + 1 of them to cover the map. A step
    size of α / ``tilings`` moves a value by α.

    >>> phi = tile_coding((4, 4), tilings=2, tiles=2)
    >>> phi.size, phi.active.shape, int(phi.matrix.sum(axis=1).max())
    (18, (16, 2), 2)
    """
    rows, columns = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    places = [(columns + 0.5) / shape[1] * tiles, (rows + 0.5) / shape[0] * tiles]
    places = [place for place, length in zip(places, (shape[1], shape[0]), strict=True) if length > 1] or places[:1]
    _refuse_too_many(len(rows), tilings, "tilings", tilings)
    across = tiles + 1
    active = np.zeros((len(rows), tilings), np.int64)
    for i in range(tilings):
        for place, step in zip(places, (1, 3), strict=False):
            active[:, i] = active[:, i] * across + np.floor(place + i * step % tilings / tilings).astype(np.int64)
        active[:, i] += i * across ** len(places)
    return Features(active, np.ones(active.shape), tilings * across ** len(places))


def _coordinates(shape: tuple[int, int]) -> list[Floats]:
    """x (from column to column) and y (from row to row) of each cell, from 0 to 1; none along an axis of one cell."""
    rows, columns = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    axes = [(columns, shape[1]), (rows, shape[0])]
    return [place / (length - 1) for place, length in axes if length > 1] or [np.zeros(1)]


def _refuse_too_many(n_states: int, active: int, key: str, found: int) -> None:
    if n_states * active > _MOST_NUMBERS:
        raise InputError(
            f"features: {key} = {found} makes {active:,} features in each of {n_states:,} states; "
            f"allowed: {_MOST_NUMBERS:,} numbers in all"
        )


def features_for(source: Any, chosen: Chosen) -> Features:
    """The features of a world's states.

    Args:
        source: a world, a model, or an environment that has one.
        chosen: keys of a recipe, such as ``{"kind": "fourier", "order": 3}`` (``docs/agents.md`` lists them),
            ``Features``, or phi as an array [S, K].

    Raises:
        InputError: for keys that are not allowed, or features of other states.

    >>> import rlgrid
    >>> features_for(rlgrid.load_world("zhao_5x5"), {"kind": "polynomial", "order": 2}).matrix.shape
    (25, 6)
    """
    from rlgrid.models.model import as_model

    model = as_model(source)
    return fitting(chosen, model.n_states, model.shape, model.terminal)


def fitting(
    chosen: Chosen, n_states: int, shape: tuple[int, int] | None, terminal: NDArray[np.bool_] | None
) -> Features:
    """The features chosen, for S states; the shape of their map, and the terminal states [S], where these are known."""
    if isinstance(chosen, dict):
        chosen = convert(chosen, FeatureKeys, where="features")  # type: ignore[arg-type]  # a union is no class
    if isinstance(chosen, FeatureKeys):
        made = _of_kind(chosen, n_states, shape)
    else:
        made = chosen if isinstance(chosen, Features) else Features.of(chosen)
    active, value = made.active, made.value
    if active.shape != value.shape or active.ndim != 2 or active.dtype != np.int64 or not np.isfinite(value).all():
        raise InputError(f"features: found shapes {active.shape} and {value.shape}; allowed: whole and finite numbers")
    if len(active) != n_states:
        raise InputError(f"features: found those of {len(made.active)} states; allowed: {n_states}")
    if not ((made.active >= 0) & (made.active < made.size)).all():  # compiled code would write out of its arrays
        raise InputError(f"features: found a number outside of 0 to {made.size - 1}; allowed: those of K features")
    if terminal is None:
        return made
    return made._replace(value=np.where(terminal[:, None], 0.0, made.value))


def _of_kind(keys: FeatureKeys, n_states: int, shape: tuple[int, int] | None) -> Features:
    if isinstance(keys, OneHotFeatures):
        return one_hot(n_states)
    if isinstance(keys, GivenFeatures):
        raise InputError('features: "given" ones are not in the recipe; allowed: load_agent(..., features=) in Python')
    if shape is None:
        raise InputError('features: these states have no row and column; allowed: { kind = "one_hot" }')
    if isinstance(keys, PolynomialFeatures):
        return polynomial(shape, keys.order)
    if isinstance(keys, FourierFeatures):
        return fourier(shape, keys.order)
    return tile_coding(shape, keys.tilings, keys.tiles)
