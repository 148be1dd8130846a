"""Progress for people: bars on a terminal, plain lines in a log, silence when asked."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self, TextIO

from purepipe.pipeline.store import Outcome


class Progress(Protocol):
    """What a run tells while it works."""

    def total(self, units: int) -> None:
        """Set the number of units known so far; it grows when tiles reveal their objects."""

    def stage(self, text: str) -> None:
        """Tell what happens before the next unit."""

    def skipped(self, units: int) -> None:
        """Tell that `units` units stand from an earlier run."""

    def ended(self, outcome: Outcome) -> None:
        """Tell that a unit has ended."""


class Silent:
    """Says nothing."""

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""

    def total(self, units: int) -> None:
        """Ignore the number of units."""

    def stage(self, text: str) -> None:
        """Ignore stages."""

    def skipped(self, units: int) -> None:
        """Ignore skipped units."""

    def ended(self, outcome: Outcome) -> None:
        """Ignore the end of a unit."""


class Lines(Silent):
    """One line for each failure, and one for every tenth of the work; for logs.

    When verbose, one line for each unit.
    """

    def __init__(self, stream: TextIO | None = None, *, verbose: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._verbose = verbose
        self._total = self._ended = self._failed = self._skipped = self._told = 0
        self._start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """Tell what stood from an earlier run."""
        if self._skipped:
            self._say(f"{self._skipped} of {self._total} units stood, from an earlier run or shard")

    def total(self, units: int) -> None:
        """Remember the number of units."""
        self._total = units

    def stage(self, text: str) -> None:
        """Tell the stage."""
        self._say(text)

    def skipped(self, units: int) -> None:
        """Count units that stand from an earlier run."""
        self._ended += units
        self._skipped += units

    def ended(self, outcome: Outcome) -> None:
        """Tell failures at once, and every tenth of the work."""
        self._ended += 1
        if not outcome.done:
            self._failed += 1
            self._say(failure_line(outcome))
        elif self._verbose:
            self._say(f"{outcome.name}: done in {outcome.seconds:.1f} s")
        tenth = 10 * self._ended // max(self._total, 1)
        if tenth > self._told or self._ended == self._total:
            self._told = tenth
            seconds = time.monotonic() - self._start
            failed = f", {self._failed} not done" if self._failed else ""
            self._say(f"{self._ended}/{self._total} units{failed}, {seconds:.0f} s")

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class Bars(Silent):
    """A bar with the time left, and one line for each failure; for terminals."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is."""
        self._progress.stop()

    def show(self, description: str, done: int, total: int) -> None:
        """Set everything at once."""
        self._progress.update(self._task, description=description, completed=done, total=total)

    def total(self, units: int) -> None:
        """Set the length of the bar."""
        self._progress.update(self._task, total=units, description="working")

    def stage(self, text: str) -> None:
        """Show the stage beside the bar."""
        self._progress.update(self._task, description=text)

    def skipped(self, units: int) -> None:
        """Advance over units that stand from an earlier run."""
        self._progress.advance(self._task, units)

    def ended(self, outcome: Outcome) -> None:
        """Advance by one; a failure gets its line above the bar."""
        self._progress.advance(self._task)
        self._progress.update(self._task, description=outcome.name)
        if not outcome.done:
            self._progress.console.print(
                failure_line(outcome), style="red", markup=False, highlight=False
            )


@contextmanager
def counting(description: str, *, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A function ``(name, done, total)`` that shows how far a stage has come."""
    if quiet:
        yield lambda name, done, total: None
        return
    if not sys.stderr.isatty():
        told = [0]

        def lines(name: str, done: int, total: int) -> None:
            if 4 * done // total > told[0]:
                told[0] = 4 * done // total
                sys.stderr.write(f"{description}: {done}/{total}\n")
                sys.stderr.flush()

        yield lines
        return
    bars = Bars()
    with bars:
        yield lambda name, done, total: bars.show(description, done, total)


def failure_line(outcome: Outcome) -> str:
    """One line about a unit that did not give its products."""
    message = " ".join(outcome.message.split())
    return f"{outcome.name}: {outcome.status}: {message}"


def make_progress(*, quiet: bool = False, verbose: bool = False) -> Silent:
    """Bars when standard error is a terminal, else lines; nothing when quiet.

    When verbose, lines that tell every unit, and why it is done again.
    """
    if quiet:
        return Silent()
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        return Lines(verbose=True)
    return Bars() if sys.stderr.isatty() else Lines()
