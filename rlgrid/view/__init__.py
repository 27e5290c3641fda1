"""Pictures of worlds: a pygame renderer that reads a world and plain arrays, nothing else.

Imports worlds.
"""

from __future__ import annotations

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # before pygame is first imported, by one of the files here
