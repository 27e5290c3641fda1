"""A phase diagram, and its picture: coloured regions, and the policies of the largest beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import InputError
from rlgrid.planning.plan import Plan
from rlgrid.view.palette import FLOOR, GRID, INK, MUTED, WALL
from rlgrid.worlds.world import MOVES, World

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Colours of the phases, the largest first; well apart in lightness or hue, all light enough for dark arrows.
COLOURS = ("#8FBCE6", "#F4B183", "#A9D6B8", "#E3A6B8", "#F3DC8C", "#BBAEDD", "#8FD0D0", "#D3C0A8", "#C6D98B", "#E58F7B")

#: Regions whose policy is drawn beside the diagram.
SHOWN = len(COLOURS)


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """Which set of policies is optimal at each point of a grid of two numbers, N values of the one and M of the other.

    Attributes:
        world: the world.
        paths: the two numbers, as in :func:`rlgrid.with_number`.
        values: their values, [N] and [M].
        labels: int [N, M], the phase of each point, numbered from 0 by size; -1 where the optimum is infinite or
            undefined.
        plans: one for each phase, solved at one of its points in the middle.
    """

    world: World
    paths: tuple[str, str]
    values: tuple[NDArray[np.float64], NDArray[np.float64]]
    labels: NDArray[np.int64]
    plans: list[Plan]

    def save_picture(self, path: str | os.PathLike[str]) -> None:
        """Draw the diagram, with the policies of its largest phases beside it, as a PNG, PDF or SVG file.

        Raises:
            InputError: where matplotlib is missing, or the file cannot be written.
        """
        _draw(self, Path(path))


def deepest_point(region: NDArray[np.bool_]) -> tuple[tuple[int, int], float]:
    """The point of a region that is farthest from its border, and how far that is."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    i, j = np.unravel_index(int(np.argmax(depth)), region.shape)
    return (int(i), int(j)), float(depth[i, j])


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _colours(n: int) -> list[str]:
    """Colours of n phases: those that have no policy beside the diagram share a grey."""
    return [COLOURS[k] if k < SHOWN else _hex(GRID) for k in range(n)]


def _draw(diagram: PhaseDiagram, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("matplotlib is not installed; allowed: pip install rlgrid[plot]") from None
    n_shown = min(len(diagram.plans), SHOWN)
    columns = 1 if n_shown <= 3 else 2
    rows = -(-n_shown // columns)
    n_rows, n_cols = diagram.world.shape
    width = 1.6 * columns * min(2.0, max(0.7, n_cols / n_rows))
    figure = Figure(figsize=(7.2 + width, 6.2), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, 2, width_ratios=[7.2, width])
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    _draw_regions(diagram, left.subplots())
    panels = np.atleast_1d(right.subplots(rows, columns)).ravel()
    for k, axes in enumerate(panels):
        axes.set_axis_off()
        if k < n_shown:
            _draw_policy(diagram, k, axes)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _draw_regions(diagram: PhaseDiagram, axes: Axes) -> None:
    from matplotlib.colors import ListedColormap

    (x, y), labels = diagram.values, diagram.labels
    colours = ListedColormap(["white", *_colours(len(diagram.plans))])
    axes.pcolormesh(_edges(x), _edges(y), labels.T + 1, cmap=colours, vmin=0, vmax=colours.N - 1, rasterized=True)
    _draw_borders(diagram, axes)
    for k in range(min(len(diagram.plans), SHOWN)):
        (i, j), depth = deepest_point(labels == k)
        if depth >= 0.025 * max(labels.shape):
            axes.text(x[i], y[j], str(k + 1), ha="center", va="center", color=_hex(INK), fontsize=12, weight="bold")
    (i, j), depth = deepest_point(labels < 0)
    if depth >= 0.05 * max(labels.shape):
        axes.text(x[i], y[j], "no finite\noptimum", ha="center", va="center", color=_hex(MUTED), fontsize=9)
    axes.set_xlabel(diagram.paths[0], color=_hex(INK), fontsize=11)
    axes.set_ylabel(diagram.paths[1], color=_hex(INK), fontsize=11)
    axes.set_title(f"{diagram.world.name}: where which policy is optimal", color=_hex(INK), fontsize=12, loc="left")
    axes.tick_params(colors=_hex(MUTED), labelsize=9)
    for side in axes.spines.values():
        side.set_color(_hex(GRID))


def _draw_borders(diagram: PhaseDiagram, axes: Axes) -> None:
    """A thin line wherever two phases meet."""
    x, y = (_edges(values) for values in diagram.values)
    i, j = np.nonzero(np.diff(diagram.labels, axis=0))
    axes.vlines(x[i + 1], y[j], y[j + 1], colors="white", linewidth=0.7)
    i, j = np.nonzero(np.diff(diagram.labels, axis=1))
    axes.hlines(y[j + 1], x[i], x[i + 1], colors="white", linewidth=0.7)


def _draw_policy(diagram: PhaseDiagram, k: int, axes: Axes) -> None:
    """The map with the optimal actions of a phase as arrows."""
    from matplotlib.patches import Rectangle

    world, best = diagram.world, diagram.plans[k].optimal_actions
    n_rows, n_cols = world.shape
    wall, rests = world.mask("wall"), world.mask("wall") | world.mask("terminal") | world.mask("exit")
    tails, arrows, dots = [], [], []
    for s, symbol in enumerate("".join(world.rows)):
        row, col = divmod(s, n_cols)
        face = _hex(WALL) if wall[s] else _hex(FLOOR) if rests[s] else COLOURS[k]
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, facecolor=face, edgecolor="white", linewidth=0.8))
        if rests[s] and not wall[s]:
            axes.text(col, row, symbol, ha="center", va="center_baseline", color=_hex(INK), fontsize=9)
        moves = [MOVES[world.actions[a]] for a in np.flatnonzero(best[s])] if not rests[s] else []
        for d_row, d_col in moves:
            if (d_row, d_col) == (0, 0):
                dots.append((col, row))
                continue
            size = 0.62 / np.hypot(d_row, d_col) if len(moves) == 1 else 0.4 / np.hypot(d_row, d_col)
            back = size / 2 if len(moves) == 1 else 0.0
            tails.append((col - back * d_col, row - back * d_row))
            arrows.append((size * d_col, size * d_row))
    if arrows:
        style: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "units": "xy", "width": 0.07}
        style |= {"headwidth": 3.6, "headlength": 3.6, "headaxislength": 3.2}
        axes.quiver(*np.transpose(tails), *np.transpose(arrows), color=_hex(INK), **style)
    if dots:
        axes.plot(*np.transpose(dots), "o", color=_hex(INK), markersize=3)
    axes.set_xlim(-0.55, n_cols - 0.45)
    axes.set_ylim(n_rows - 0.45, -0.55)
    axes.set_aspect("equal")
    share = 100 * float((diagram.labels == k).mean())
    axes.set_title(f"{k + 1}  ({share:.1f} %)", loc="left", fontsize=9.5, color=_hex(INK), pad=3)
