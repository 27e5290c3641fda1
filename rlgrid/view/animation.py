"""Animated GIFs from frames."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import InputError
from rlgrid.view.picture import write_whole

LAST_FRAME_MS = 1500
SAMPLED_FRAMES = 12  # from which the palette is taken


def save_gif(path: str | os.PathLike[str], frames: Iterable[NDArray[np.uint8]], *, fps: float = 8) -> None:
    """Write frames, each uint8 [height, width, 3], as a GIF that loops and rests on its last frame.

    All frames share one palette, so that nothing flickers and only what changed is stored. GIF counts in hundredths of
    a second, and viewers slow down what is faster than 50 frames a second.

    Raises:
        InputError: when there is no frame, fps is not positive, or the file cannot be written.
    """
    from PIL import Image  # only who writes a GIF pays for the import

    images = [Image.fromarray(frame) for frame in frames]
    if not images:
        raise InputError(f"{os.fspath(path)}: there are no frames; allowed: at least one")
    if not 0 < fps < float("inf"):
        raise InputError(f"fps: found {fps}; allowed: a number above 0")
    palette = Image.new("P", (1, 1))
    palette.putpalette(_shared_palette([np.asarray(image) for image in images[:: -(-len(images) // SAMPLED_FRAMES)]]))
    first, *rest = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    duration = max(round(100 / fps), 2) * 10
    durations = [duration] * len(rest) + [max(LAST_FRAME_MS, duration)]
    data = io.BytesIO()
    first.save(data, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False)
    write_whole(path, data.getvalue())


def _shared_palette(frames: Sequence[NDArray[np.uint8]]) -> list[int]:
    """The 256 most frequent colours: flat areas keep theirs exactly, only rare shades of edges are rounded."""
    place_values = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    packed = [(frame.astype(np.uint32) @ place_values).ravel() for frame in frames]
    colours, counts = np.unique(np.concatenate(packed), return_counts=True)
    frequent = colours[np.argsort(-counts, kind="stable")[:256]]
    return [int(channel) for colour in frequent for channel in (colour >> 16, colour >> 8 & 255, colour & 255)]
