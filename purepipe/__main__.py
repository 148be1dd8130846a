"""``purepipe`` and ``python -m purepipe``: the command line."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress

from purepipe.commands import run_program

# Objects between two searches for garbage. Of the hundred thousand that a start makes, nearly all
# stay; searching them after every 700, which is the default, takes a twentieth of a second.
_GARBAGE = 20_000


def main() -> None:
    """Entry point: run a program, or leave it to the command line with options."""
    gc.set_threshold(_GARBAGE)
    status = run_program(sys.argv[1:])
    if status is not None:
        _end(status)
    # Here, because the parser of options is not needed for programs and slow to import.
    from purepipe.cli import main as run_command

    run_command()


def _end(status: int) -> None:
    """End the process, at once if nothing else of it is at work.

    Freeing the machine code of kernels, piece by piece, takes a fifth of a second of CPU time,
    which is as long as a small image takes. Threads need the usual end, and what was registered
    for the end is done here; only the process of the command itself ends in this way.
    """
    if threading.active_count() > 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # full, closed, or none
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
