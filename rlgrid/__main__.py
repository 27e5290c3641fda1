"""``python -m rlgrid`` is the command line."""

from __future__ import annotations

from rlgrid.cli.main import main

if __name__ == "__main__":
    main()
