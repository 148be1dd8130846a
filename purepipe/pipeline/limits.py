"""What surrounds a unit in its worker: a time limit, one thread in libraries, its own log."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import multiprocessing
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from purepipe.errors import PurepipeError
from purepipe.pipeline.keys import code_version
from purepipe.pipeline.store import Outcome

GRACE = 10.0  # seconds after which a worker that does not heed the limit is ended
WATCHER = "purepipe time limit"  # name of the threads that watch the time of others

T = TypeVar("T")


class UnitTimeoutError(PurepipeError):
    """A unit took longer than run.timeout."""

    status = "timed out"


class _Alarm(BaseException):
    """Not an `Exception`, so that no step takes it for a fault of its own."""


def within(seconds: float | None, job: Callable[[], T]) -> T:
    """What ``job()`` gives, unless it takes longer than `seconds`.

    One alarm strikes between two steps of Python. Compiled code that never returns is ended with
    its process a moment later, if that is a worker process of ours; in a thread it goes on, as
    does a job whose library swallows the alarm in a callback.

    Raises
    ------
    UnitTimeoutError
        The job took longer.
    """
    if seconds is None:
        return job()
    main = threading.current_thread() is threading.main_thread()
    # No context managers: an alarm may strike at the entry of their own methods, which then
    # neither clean up nor translate it.
    arm, disarm = (_process_alarm if main else _thread_alarm)(seconds)
    try:
        try:
            arm()
            return job()
        finally:
            try:
                disarm()
            except _Alarm:  # the only one that there is, so this time nothing strikes
                disarm()
    except _Alarm:
        raise timeout_error(seconds) from None


def _process_alarm(seconds: float) -> tuple[Callable[[], None], Callable[[], None]]:
    """Arm and disarm an alarm by a signal, which reaches the main thread only."""
    worker = multiprocessing.parent_process() is not None
    previous = signal.getsignal(signal.SIGALRM)

    def arm() -> None:
        signal.signal(signal.SIGALRM, _strike)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        if worker:
            faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=2)

    def disarm() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if worker:
            faulthandler.cancel_dump_traceback_later()

    return arm, disarm


def _thread_alarm(seconds: float) -> tuple[Callable[[], None], Callable[[], None]]:
    """Arm and disarm an exception sent to this thread: an executor's, a Dask worker's among them.

    The watcher strikes once at most and has ended when `disarm` returns, which may be repeated.
    """
    own = ctypes.c_ulong(threading.get_ident())
    # Written in C, so that no alarm can strike with its lock held.
    over: SimpleQueue[None] = SimpleQueue()

    def watch() -> None:
        try:
            over.get(timeout=seconds)
        except Empty:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(own, ctypes.py_object(_Alarm))

    watcher = threading.Thread(target=watch, daemon=True, name=WATCHER)

    def disarm() -> None:
        over.put(None)
        if watcher.ident is not None:  # None if there was no room for another thread
            watcher.join()
        # One that was sent and has not arrived must not strike the thread's next unit.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(own, None)

    return watcher.start, disarm


def timeout_error(seconds: float) -> UnitTimeoutError:
    """The error of a unit that took longer than `seconds`."""
    return UnitTimeoutError(
        "the unit took longer than its time limit", key="run.timeout", allowed=f"{seconds:g} s",
        remedy="Look at its log for the step; raise the limit, or lower block_size.",
    )  # fmt: skip


def _strike(*_: object) -> None:
    raise _Alarm


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the numerical libraries use one thread: sums do not depend on the number of cores."""
    with _controller().limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Collector(logging.Handler):
    """Keeps the messages of one thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self._thread = threading.get_ident()
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message of the unit's own thread."""
        if record.thread == self._thread:
            self.lines.append(self.format(record))


@contextmanager
def collected_log() -> Iterator[list[str]]:
    """The messages that are logged in the block, those of warnings among them."""
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in ("purepipe", "py.warnings")]
    level = loggers[0].level
    if loggers[0].getEffectiveLevel() > logging.INFO:
        loggers[0].setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield collector.lines
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
        loggers[0].setLevel(level)


def write_log(root: Path, outcome: Outcome, messages: list[str], trace: str) -> None:
    """Write the log of a unit to ``logs/``; a disk that is full costs the log only."""
    lines = [
        f"{outcome.name}: {outcome.status} after {outcome.seconds:.2f} s,"
        f" {outcome.peak_mb:.0f} MB at most",
        f"{time.strftime('%Y-%m-%d %H:%M:%S')} purepipe {code_version()} on {platform.node()}",
    ]
    lines += [
        f"  {step.step:<10}{step.n_in:>12,} -> {step.n_out:,} {step.what},"
        f" {step.seconds:.3f} s {step.facts or ''}".rstrip()
        for step in outcome.steps
    ]
    lines += [text for text in (outcome.message, *messages, trace) if text]
    folder = root / "logs"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{outcome.name.replace(' ', '-')}.log"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
