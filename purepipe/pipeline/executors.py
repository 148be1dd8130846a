"""Executors: this process, worker processes, threads, a Dask cluster, MPI."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from importlib.resources import files
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from purepipe.errors import ConfigError, MissingPackageError
from purepipe.pipeline.pool import ProcessPool

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

P = ParamSpec("P")
R = TypeVar("R")

_UNKNOWN = 512  # units in flight where the number of workers is not known

_PACKAGE = Path(__file__).parent.parent
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # Nothing is imported from the current folder, whatever the files of a survey are called.
    "PYTHONSAFEPATH": "1",
}


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


def make_executor(workers: int | None = None, *, threads: bool = False) -> Executor:
    """An executor with `workers` processes (default: all cores); one worker means serial.

    Workers start from a clean server process that has the libraries loaded, never as a copy of a
    process with running threads. Libraries inside them use one thread each. They end when this
    process dies, whatever kills it.

    Parameters
    ----------
    threads
        Threads of this process instead: no start-up and shared memory, but only compiled code
        runs side by side.

    Raises
    ------
    ConfigError
        The number of workers is below one, or workers load purepipe from another folder.
    """
    workers = cpu_count() if workers is None else workers
    if workers < 1:
        raise ConfigError("out of range", key="workers", got=workers, allowed="1 or more")
    if threads:
        return ThreadPoolExecutor(workers, thread_name_prefix="purepipe")
    if workers == 1:
        return SerialExecutor()
    context: ForkServerContext | SpawnContext
    # The server process keeps the environment of the moment in which it is started.
    saved = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        if "forkserver" in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["purepipe.pipeline.work"])
            _start_server()
        else:
            context = multiprocessing.get_context("spawn")
        pool = ProcessPool(workers, context=context, prepare=prepare_worker)
        _require_package(pool)
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return pool


def _start_server() -> None:
    """Start the process that starts workers, so that Ctrl-C never reaches it."""
    from multiprocessing import forkserver

    main = threading.current_thread() is threading.main_thread()
    # A handler that was not set from Python is None, and could not be set again.
    handler = signal.getsignal(signal.SIGINT) if main else None
    if handler is not None:
        # Inherited by the new process, which would listen while it loads the libraries.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


def _require_package(pool: ProcessPool) -> None:
    """Results carry the version of this code, so that no other may make them."""
    folder = pool.submit(files, "purepipe").result()
    if Path(str(folder)).resolve() != _PACKAGE.resolve():
        pool.kill()
        raise ConfigError(
            "the workers load another purepipe", got=folder, allowed=_PACKAGE,
            remedy="Start the installed `purepipe` by its name, or outside of folders with another"
            " one; take other folders out of PYTHONPATH.",
        )  # fmt: skip


def prepare_worker() -> None:
    """Leave Ctrl-C to the main process, use one thread in libraries, end with the main process.

    A worker that outlived its run could overwrite the products of the next one.
    """
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep.append(threadpool_limits(limits=1))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def dask_executor(address: str) -> Executor:
    """The workers of a Dask cluster, by the address of its scheduler or its scheduler file.

    Whoever reaches the scheduler can run any code as its user: Dask's messages are pickled Python.
    Keep its ports inside a trusted network, or use TLS (``tls://``) with certificates.

    Raises
    ------
    MissingPackageError
        Dask is not installed.
    ConfigError
        No scheduler answers.
    """
    if find_spec("distributed") is None:
        raise MissingPackageError(
            "Dask is not installed", key="--dask", remedy="Install purepipe[dask]."
        )
    import distributed

    connect: Any = distributed.Client
    is_file = "://" not in address and Path(address).suffix == ".json"
    if is_file and not Path(address).is_file():
        raise ConfigError(
            "the scheduler file does not exist", file=address, key="--dask",
            remedy="Start the scheduler with --scheduler-file, or give its address.",
        )  # fmt: skip
    where = {"scheduler_file": address} if is_file else {"address": address}
    try:
        client = connect(**where, timeout=20, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # OSError includes time-outs
        raise ConfigError(
            f"no Dask scheduler answers: {error}", key="--dask", got=address,
            allowed="tcp://HOST:PORT, tls://HOST:PORT, or a scheduler file (.json)",
        ) from error  # fmt: skip
    executor: Executor = client.get_executor(pure=False, retries=0)
    return executor


def mpi_executor() -> Executor:
    """The ranks of an MPI job that was started with ``mpiexec -n N python -m mpi4py.futures``.

    Raises
    ------
    MissingPackageError
        mpi4py is not installed, or has no MPI library.
    ConfigError
        The job has one rank only, so there are no workers.
    """
    if find_spec("mpi4py") is None:
        raise MissingPackageError(
            "mpi4py is not installed", key="--mpi", remedy="Install purepipe[mpi]."
        )
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPIPoolExecutor
    except (ImportError, RuntimeError) as error:
        raise MissingPackageError(
            f"mpi4py finds no MPI library: {error}", key="--mpi", remedy="Load the MPI module."
        ) from error
    if MPI.COMM_WORLD.Get_size() < 2:
        raise ConfigError(
            "an MPI job of one rank has no workers", key="--mpi", allowed="2 ranks or more",
            remedy="Start: mpiexec -n N python -m mpi4py.futures -m purepipe run FILE --mpi.",
        )  # fmt: skip
    executor: Executor = MPIPoolExecutor()
    return executor


def cancel_waiting(executor: Executor) -> None:
    """Take no more calls, and cancel those that have not begun.

    Dask's executor cannot tell which have begun: there all come to their end.
    """
    if "cancel_futures" in signature(executor.shutdown).parameters:
        executor.shutdown(wait=False, cancel_futures=True)


def capacity(executor: Executor) -> int:
    """How many units to hand out at a time: enough to keep the workers busy, few to lose."""
    if isinstance(executor, SerialExecutor):
        return 1
    if isinstance(executor, ProcessPool):
        return 2 * executor.workers
    workers = getattr(executor, "_max_workers", None)
    return 2 * workers if isinstance(workers, int) else _UNKNOWN


_keep: list[Any] = []
