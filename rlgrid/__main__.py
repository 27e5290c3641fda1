"""``python -m rlgrid`` is the command line."""

from __future__ import annotations

import sys
from pathlib import Path

from rlgrid.cli.main import main

if __name__ == "__main__":
    sys.argv[0] = str(Path(sys.argv[0]).with_name("rlgrid"))
    main()
