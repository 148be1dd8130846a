"""What every command shares: text on the terminal, and the exit status of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from purepipe.errors import ConfigError, ExitCode, MissingPackageError, PurepipeError, StoreError

T = TypeVar("T")


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output to write to; one that takes nothing is an error of ours.

    Raises
    ------
    StoreError
        Nothing can be written, say because the disk is full.
    BrokenPipeError
        The reader has gone, which `guarded` takes for the end of the work.
    """
    try:
        yield sys.stdout
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise StoreError("cannot be written", file="standard output", got=error) from error


def _discard_output() -> None:
    """What is left in the buffer would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Write one line, or more, to standard output."""
    with standard_output() as stream:
        stream.write(text + "\n")


def guarded(name: str, work: Callable[[T], int], argument: T) -> int:
    """The exit status of ``work(argument)``; an error becomes a message and a status.

    2 for a wrong configuration or a missing package, 1 for data that cannot be used and for
    output that cannot be written. Nothing is said on standard streams that are closed.
    """
    with ExitStack() as stack:
        for stream in ("stdout", "stderr"):
            if getattr(sys, stream) is None:
                setattr(sys, stream, stack.enter_context(Path(os.devnull).open("w")))
                stack.callback(setattr, sys, stream, None)
        return _guarded(name, work, argument)


def _guarded(name: str, work: Callable[[T], int], argument: T) -> int:
    try:
        status = work(argument)
        with standard_output() as stream:
            stream.flush()
        return status
    except BrokenPipeError:  # the reader, say `head`, has what it wants
        _discard_output()
        return int(ExitCode.OK)
    except SystemExit as stop:  # the parser of options has said why
        return int(stop.code or 0)
    except PurepipeError as error:
        sys.stderr.write(f"purepipe {name}: {error}\n")
        wrong = isinstance(error, ConfigError | MissingPackageError)
        return int(ExitCode.CONFIGURATION if wrong else ExitCode.SOME_FAILED)
