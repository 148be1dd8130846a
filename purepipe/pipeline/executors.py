"""Executors: serial in this process, or local worker processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, ParamSpec, TypeVar

from purepipe.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class SerialExecutor(Executor):
    """Runs each call at once in this process; for debugging and for one worker."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run `fn` now; the future is finished when this returns."""
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        return future


def cpu_count() -> int:
    """Number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_executor(workers: int | None = None) -> Executor:
    """An executor with `workers` processes (default: all cores); one worker means serial.

    Workers start from a clean server process that has the libraries loaded, never as a copy of a
    process with running threads. Libraries inside them use one thread each.

    Raises
    ------
    ConfigError
        The number of workers is below one.
    """
    workers = cpu_count() if workers is None else workers
    if workers < 1:
        raise ConfigError("out of range", key="workers", got=workers, allowed="1 or more")
    if workers == 1:
        return SerialExecutor()
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if isinstance(context, multiprocessing.context.ForkServerContext):
        context.set_forkserver_preload(["purepipe.pipeline.work"])
    # The server process is started by the first worker and keeps the environment of that moment.
    saved = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=limit_threads)
        pool.submit(os.getpid).result()
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return pool


def limit_threads() -> None:
    """Let the numerical libraries of a worker use one thread; leave Ctrl-C to the main process."""
    import signal

    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep.append(threadpool_limits(limits=1))


_keep: list[Any] = []
