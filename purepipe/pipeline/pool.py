"""Worker processes that can be killed at any moment, and whose pool still ends.

``ProcessPoolExecutor`` of the standard library (seen in Python 3.11) does not always: it starts a
worker inside `submit` while another thread may be giving up the pool because a worker died. The
new worker is missed by those who end the others, and the interpreter waits for it for ever at
exit. Its workers also share the lock of one queue, which a killed worker may hold. Here workers
share nothing: each has a pipe, and a thread of the main process that hands it one call at a time.
"""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, SpawnContext

    _Pipe = Connection[Any, Any]

P = ParamSpec("P")
R = TypeVar("R")

_LEAVE = 5.0  # seconds that an idle worker has to end by itself
_BROKEN = "a worker process died, and the pool with it"


@dataclass(frozen=True)
class _Call:
    future: Future[Any]
    task: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    thread: Thread


class ProcessPool(Executor):
    """Runs calls in up to `workers` processes, which are started when there is work for them.

    When a worker dies all are ended, and every call that has not ended raises `BrokenExecutor`:
    then no call is still at work, and all may be tried again in a new pool. The pool never keeps
    the interpreter from ending.

    Parameters
    ----------
    workers
        The largest number of processes.
    context
        How processes are started; not by a plain fork, as there are threads.
    prepare
        Called first in each process.
    """

    def __init__(
        self, workers: int, *, context: ForkServerContext | SpawnContext,
        prepare: Callable[[], None],
    ) -> None:  # fmt: skip
        self.workers = workers
        self._context, self._prepare = context, prepare
        self._team: list[_Worker] = []
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._unfinished = 0
        self._broken = self._closed = False
        # Held wherever workers are started or ended, so that none can be missed.
        self._lock = Lock()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have `fn` called by a worker.

        Raises
        ------
        BrokenExecutor
            A worker has died, or `kill` was called.
        RuntimeError
            The pool was shut down.
        """
        future: Future[R] = Future()
        with self._lock:
            if self._broken:
                raise BrokenExecutor(_BROKEN)
            if self._closed:
                raise RuntimeError("the pool was shut down")
            if len(self._team) < min(self.workers, self._unfinished + 1):
                self._start()
            self._unfinished += 1
            self._calls.put(_Call(future, (fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end when the calls are done; after it no call can be submitted."""
        with self._lock:
            self._closed = True
            dropped = self._take_back() if cancel_futures else []
            self._dismiss()
        for call in dropped:
            call.future.cancel()
        if wait:
            for worker in self._team:
                worker.thread.join()

    def kill(self) -> None:
        """End all workers at once; every call that has not ended raises `BrokenExecutor`."""
        with self._lock:
            self._broken = True
            for worker in self._team:
                worker.process.kill()
            dropped = self._take_back()
            self._dismiss()
        for worker in self._team:
            worker.process.join(_LEAVE)
        for call in dropped:
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(BrokenExecutor(_BROKEN))

    def _start(self) -> None:
        """Start one more worker; the lock is held."""
        ours, theirs = self._context.Pipe()
        # Daemons are ended, not waited for, when the interpreter ends.
        process = self._context.Process(target=_work, args=(theirs, self._prepare), daemon=True)
        process.start()
        theirs.close()
        thread = Thread(target=self._serve, args=(process, ours), daemon=True)
        self._team.append(_Worker(process, thread))
        thread.start()

    def _take_back(self) -> list[_Call]:
        """All calls that no worker has begun; the lock is held."""
        calls = []
        with suppress(queue.Empty):
            while True:
                calls.append(self._calls.get_nowait())
        return [call for call in calls if call is not None]

    def _dismiss(self) -> None:
        """Let every worker end after the calls that wait; the lock is held."""
        for _ in self._team:
            self._calls.put(None)

    def _serve(self, process: BaseProcess, pipe: _Pipe) -> None:
        """Hand calls to one worker until there are no more, or it dies; in its thread."""
        while (call := self._calls.get()) is not None:
            answer = None
            if call.future.set_running_or_notify_cancel():
                try:
                    answer = _ask(process, pipe, call)
                except (EOFError, OSError):
                    self.kill()
                    call.future.set_exception(BrokenExecutor(_BROKEN))
                    break
            with self._lock:
                self._unfinished -= 1
            if answer is not None:
                _settle(call.future, *answer)
        pipe.close()
        process.join(_LEAVE)
        process.kill()
        process.join()


def _ask(process: BaseProcess, pipe: _Pipe, call: _Call) -> tuple[bool, Any]:
    """Whether a call failed, and its value or exception.

    Raises
    ------
    EOFError, OSError
        The worker is dead.
    """
    try:
        pipe.send(call.task)
        if pipe not in wait([pipe, process.sentinel]):
            raise EOFError
        failed, value = pipe.recv()
    except (EOFError, OSError):
        raise
    except Exception as error:
        # What cannot be sent or received may fail in any way; that costs the call only.
        return True, error
    return failed, value


def _settle(future: Future[Any], failed: bool, value: Any) -> None:
    if failed:
        future.set_exception(value)
    else:
        future.set_result(value)


def _work(pipe: _Pipe, prepare: Callable[[], None]) -> None:
    """Do calls until the pipe is closed; the life of a worker."""
    prepare()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        except Exception as error:
            answer: tuple[bool, Any] = (True, error)  # the call cannot be read
        else:
            answer = _called(*task)
        try:
            pipe.send(answer)
        except OSError:
            return  # nobody listens
        except Exception as error:  # a result may refuse to be pickled in any way
            pipe.send((True, TypeError(f"the result cannot leave its process: {error}")))


def _called(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, Any]:
    try:
        return False, fn(*args, **kwargs)
    except BaseException as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return True, error
