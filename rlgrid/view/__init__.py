"""Pictures of worlds: a pygame renderer that reads a World and plain arrays, nothing else."""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # before pygame is first imported

from rlgrid.view.animation import save_gif
from rlgrid.view.picture import Layers, Picture
from rlgrid.view.window import Window

__all__ = ["Layers", "Picture", "Window", "save_gif"]
