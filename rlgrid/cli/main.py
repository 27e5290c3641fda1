"""The command line. Exit codes: 0 done, 2 bad input, 1 internal failure, 130 interrupted."""

from __future__ import annotations

import os
import sys

import typer

# Each file adds its commands; --help lists them in this order.
# isort: off
from rlgrid.cli import worlds, solve, agents, train, runs, book  # noqa: F401

# isort: on
from rlgrid.cli.options import app
from rlgrid.errors import InputError


@app.command()
def demo() -> None:
    """Do the main job in one minute: solve worlds, train agents, log and draw what they learned."""
    from rlgrid.cli.demo import run_demo

    run_demo()


def main() -> None:
    """Run the command line and exit; whoever gave bad input sees one sentence, never a traceback."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # how Typer itself answers Ctrl-C
            _fail("interrupted", code)
    except InputError as error:
        code = _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", 130)
    except (BrokenPipeError, SystemExit):  # nobody reads on, as in "| head"; Typer makes an exit with 1 of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Python's own last flush goes
        code = 0
    except MemoryError as error:
        code = _fail(f"out of memory: {error or 'there is no more'}; allowed: smaller sizes", 2)
    except Exception as error:
        if hasattr(error, "format_message"):  # a wrong command, option or argument
            code = _fail(error.format_message() or "see rlgrid --help", 2)
        else:
            code = _fail(f"internal failure: {type(error).__name__}: {error}", 1)
    sys.exit(code)


def _fail(sentence: str, code: int) -> int:
    print(f"rlgrid: {sentence}", file=sys.stderr)
    return code
