"""Animated GIFs from frames."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rlgrid.errors import InputError
from rlgrid.files import write_whole

LAST_FRAME_MS = 1500
COLOURS = 255  # GIF has 256; the last one stands for "as in the frame before"
SAMPLED_FRAMES = 12  # from which the palette is taken


def save_gif(path: str | os.PathLike[str], frames: Iterable[NDArray[np.uint8]], *, fps: float = 8) -> None:
    """Write frames, each uint8 [height, width, 3], as a GIF that loops and rests on its last frame.

    All frames share one palette, so that nothing flickers and only what changed is stored. GIF counts time in
    hundredths of a second, and viewers slow down more than 50 frames a second.

    Raises:
        InputError: when there is no frame, fps is not positive, or the file cannot be written.
    """
    from PIL import Image  # loads when it is used

    packed = [_packed(frame) for frame in frames]
    if not packed:
        raise InputError(f"{os.fspath(path)}: there are no frames; allowed: at least one")
    if not 0 < fps < float("inf"):
        raise InputError(f"fps: found {fps}; allowed: a number above 0")
    colours = _shared_palette(packed[:: -(-len(packed) // SAMPLED_FRAMES)])
    images = [Image.fromarray(indices) for indices in _indices(packed, colours)]
    for image in images:
        image.putpalette(_channels(colours).astype(np.uint8).tobytes())
    duration = max(round(100 / fps), 2) * 10
    durations = [duration] * (len(images) - 1) + [max(LAST_FRAME_MS, duration)]
    data = io.BytesIO()
    images[0].save(data, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    write_whole(path, data.getvalue())


def _packed(frame: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Each pixel as one number, red * 65536 + green * 256 + blue, int32 [height, width]."""
    red, green, blue = (frame[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _channels(colours: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)


def _shared_palette(frames: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The most frequent colours: flat areas keep theirs exactly, only rare shades of edges are rounded."""
    colours, counts = np.unique(np.stack(frames), return_counts=True)
    return colours[np.argsort(-counts, kind="stable")[:COLOURS]]


def _indices(frames: Iterable[NDArray[np.int32]], colours: NDArray[np.int32]) -> Iterator[NDArray[np.uint8]]:
    """Each frame as indices of the nearest palette colours, uint8 [height, width]."""
    unknown = -1
    nearest = np.full(1 << 24, unknown, dtype=np.int16)  # a table over all colours: one look-up a pixel
    nearest[colours] = np.arange(len(colours), dtype=np.int16)
    for frame in frames:
        new = np.unique(frame[nearest[frame] == unknown])
        for part in np.array_split(new, -(-len(new) // 1024) or 1):
            distance = ((_channels(part)[:, None] - _channels(colours)) ** 2).sum(axis=-1)
            nearest[part] = distance.argmin(axis=1)
        yield nearest[frame].astype(np.uint8)
