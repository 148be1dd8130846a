"""What every command shares: text on the terminal, and the exit status of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from purepipe.errors import ConfigError, ExitCode, MissingPackageError, PurepipeError

T = TypeVar("T")


def say(text: str) -> None:
    """Write one line, or more, to standard output."""
    sys.stdout.write(text + "\n")


def guarded(name: str, work: Callable[[T], int], argument: T) -> int:
    """The exit status of ``work(argument)``; an error becomes a message and a status.

    2 for a wrong configuration or a missing package, 1 for data that cannot be used.
    """
    try:
        status = work(argument)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, say `head`, has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except SystemExit as stop:  # the parser of options has said why
        return int(stop.code or 0)
    except PurepipeError as error:
        sys.stderr.write(f"purepipe {name}: {error}\n")
        wrong = isinstance(error, ConfigError | MissingPackageError)
        return int(ExitCode.CONFIGURATION if wrong else ExitCode.SOME_FAILED)
