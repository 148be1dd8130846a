"""What a worker does with one unit, and how the units of a step are given to workers."""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from purepipe.errors import PurepipeError
from purepipe.io.atomic import write_text
from purepipe.pipeline.executors import make_executor
from purepipe.pipeline.pool import ProcessPool
from purepipe.pipeline.store import Outcome
from purepipe.shapepipe.job import Job, Record
from purepipe.shapepipe.modules import MODULES, work_of

TIMED_OUT = "timed out"
# How long after its limit a unit may live that does not listen: inside compiled code.
_GRACE = 2.0
_DIED = "the worker process died; the machine may be short of memory"


class _TimeLimit(BaseException):
    """The limit of a unit has passed."""


def execute(job: Job) -> Outcome:
    """Do one unit and say how it ended; never raises for what is wrong with its data."""
    start = time.perf_counter()
    record = Record(job.out)
    status, message, trace = "done", "", ""
    with _logged(record):
        try:
            with _limited(job.limit):
                work_of(MODULES[job.module])(job, job.config, record)
            message = " ".join(record.notes)
        except PurepipeError as error:
            if error.file is None and job.files:
                error.file = job.files[0].name
            status, message = error.status, str(error)
        except _TimeLimit:
            status, message = TIMED_OUT, over_limit(job)
        except Exception as error:
            # The one place where any fault of one unit is kept from ending the run.
            trace = traceback.format_exc()
            status = "failed"
            message = f"{type(error).__name__}: {error} (see {job.log.name})"
    if status != "done":
        for path in record.products:
            path.unlink(missing_ok=True)
        record.products.clear()
    seconds = time.perf_counter() - start
    outcome = Outcome(
        name=job.name, kind=job.step, status=status, message=message,
        products={str(path): path.stat().st_size for path in record.products if path.is_file()},
        seconds=seconds,
    )  # fmt: skip
    with suppress(OSError, PurepipeError):
        write_text(job.log, _log_text(job, outcome, record.notes, trace))
    return outcome


def over_limit(job: Job) -> str:
    """What is said of a unit that took too long."""
    return f"longer than the limit of {job.limit:g} s (TIMEOUT)"


@contextmanager
def _limited(limit: float | None) -> Iterator[None]:
    """Raise in the block when the limit has passed; the alarm never outlives the block."""
    if limit is None or multiprocessing.parent_process() is None:
        yield  # in the main process the parent's limit would end everything
        return

    def ring(*_: object) -> None:
        raise _TimeLimit

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@contextmanager
def _logged(record: Record) -> Iterator[None]:
    """Warnings of the library become remarks of the unit."""

    class Notes(logging.Handler):
        def emit(self, entry: logging.LogRecord) -> None:
            record.note(entry.getMessage())

    handler = Notes(logging.WARNING)
    logger = logging.getLogger("purepipe")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _log_text(job: Job, outcome: Outcome, notes: Sequence[str], trace: str) -> str:
    limit = "none" if job.limit is None else f"{job.limit:g} s"
    files = [*job.files, *(path for _, paths in job.table for path in paths)]
    lines = [
        f"job: {job.name}", f"module: {job.module}", f"process: {os.getpid()}",
        f"node: {platform.node()}", f"system: {platform.platform()}", f"time limit: {limit}",
        "input files:", *(f"  {path}" for path in files),
        "output files:", *(f"  {path}" for path in outcome.products),
        *(f"note: {note}" for note in notes),
        f"ended: {outcome.status} after {outcome.seconds:.2f} s",
    ]  # fmt: skip
    if outcome.status != "done":
        lines.append(f"reason: {outcome.message}")
    stamp = time.strftime("%d/%m/%Y %H:%M:%S")
    return "".join(f"{stamp} {line}\n" for line in lines) + trace


@dataclass
class Workers:
    """Processes that are replaced when one of them dies or hangs.

    A process of their own is used for a single worker too when units have a time limit.
    """

    count: int
    limit: float | None = None
    pool: Executor | None = None

    def submit(self, job: Job) -> Future[Outcome]:
        """Start a unit; processes are started with the first one."""
        return self.executor().submit(execute, job)

    def executor(self) -> Executor:
        """The processes, started when there are none."""
        if self.pool is None:
            # A single unit at a time may need a process of its own, which can be ended.
            alone = self.count == 1 and self.limit is not None
            self.pool = make_executor(2 if alone else self.count)
        return self.pool

    def kill(self) -> None:
        """End all processes at once; what they did is lost."""
        if isinstance(self.pool, ProcessPool):
            self.pool.kill()
        self.close(wait=False)

    def close(self, *, wait: bool = True) -> None:
        """Give the processes back."""
        if self.pool is not None:
            self.pool.shutdown(wait=wait, cancel_futures=True)
        self.pool = None


def run_jobs(jobs: Sequence[Job], workers: Workers, ended: Callable[[Job, Outcome], None]) -> None:
    """Do all units, as many at a time as there are workers, and tell of each when it ends.

    A unit whose process dies is tried once more, alone; one that exceeds its limit is ended.
    """
    waiting = list(reversed(jobs))
    suspects: list[Job] = []
    lost: dict[str, int] = {}
    working: dict[Future[Outcome], tuple[Job, float]] = {}

    def lose(unfinished: list[Job], *, reason: str) -> None:
        for job in unfinished:
            lost[job.name] = lost.get(job.name, 0) + 1
            if lost[job.name] == 1:
                suspects.append(job)
            else:
                ended(job, Outcome(job.name, job.step, "failed", reason))

    while waiting or suspects or working:
        while len(working) < (1 if suspects else workers.count) and (
            waiting if not suspects else not working
        ):
            job = suspects.pop() if suspects else waiting.pop()
            try:
                working[workers.submit(job)] = (job, time.monotonic())
            except BrokenExecutor:
                workers.close(wait=False)
                lose([job], reason=_DIED)
        done, _ = wait(working, timeout=_patience(working), return_when=FIRST_COMPLETED)
        died: list[Job] = []
        for future in done:
            job, _ = working.pop(future)
            error = future.exception()
            if error is None:
                ended(job, future.result())
            else:
                died.append(job)
        if died:
            workers.close(wait=False)
            unfinished = died + [job for job, _ in working.values()]
            working.clear()
            lose(unfinished, reason=_DIED)
            continue
        late = [future for future, (job, start) in working.items() if _is_late(job, start)]
        if late:
            workers.kill()
            for future in late:
                job, start = working.pop(future)
                seconds = time.monotonic() - start
                ended(job, Outcome(job.name, job.step, TIMED_OUT, over_limit(job), seconds=seconds))
            waiting += [job for job, _ in working.values()]
            working.clear()


def _is_late(job: Job, start: float) -> bool:
    return job.limit is not None and time.monotonic() - start > job.limit + _GRACE


def _patience(working: dict[Future[Outcome], tuple[Job, float]]) -> float | None:
    """How long to wait before looking for units beyond their limit."""
    ends = [start + job.limit for job, start in working.values() if job.limit is not None]
    return max(min(ends) + _GRACE - time.monotonic() + 0.05, 0.0) if ends else None


def relative_products(outcome: Outcome, root: Path) -> Outcome:
    """The outcome with its products named as seen from the run's folder."""
    return replace(
        outcome,
        products={os.path.relpath(path, root): size for path, size in outcome.products.items()},
    )  # fmt: skip
