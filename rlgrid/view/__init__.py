"""Pictures of worlds: a pygame renderer that reads a World and plain arrays, and knows nothing of agents or environments."""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # before pygame is first imported

from rlgrid.view.animation import save_gif  # noqa: E402
from rlgrid.view.picture import Layers, Picture  # noqa: E402
from rlgrid.view.window import Window  # noqa: E402

__all__ = ["Layers", "Picture", "Window", "save_gif"]
