"""The same bytes from threads, shards, a Dask cluster and MPI ranks, all with real processes."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from purepipe.config.survey import RunConfig
from purepipe.errors import ConfigError, ExitCode, MissingPackageError
from purepipe.pipeline import (
    Shard,
    dask_executor,
    limits,
    mpi_executor,
    parse_shard,
    run,
    run_status,
    work,
)
from purepipe.pipeline.executors import SerialExecutor, capacity, make_executor
from purepipe.pipeline.limits import WATCHER, UnitTimeoutError, within
from purepipe.pipeline.units import ShapesTask

CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                      host="127.0.0.1") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def catalogue(root):
    return (root / "catalogue" / "final_cat.fits").read_bytes()


def launch(survey, out, *options, prefix=()):
    module = ["-m", "purepipe", "run", str(survey), "--out", str(out), "--no-report", "-q"]
    return subprocess.Popen(
        [*(prefix or [sys.executable, "-P"]), *module, *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_threads_give_the_same_bytes(finished, tmp_path):
    config, _ = finished
    other = replace(config, out=tmp_path / "threads", block_size=50)
    assert run(other, workers=2, threads=True).exit_code is ExitCode.OK
    assert catalogue(other.out) == catalogue(config.out)


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [50, 500])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_block_sizes(finished, tmp_path, workers, block_size):
    config, _ = finished
    other = replace(config, out=tmp_path / "run", block_size=block_size)
    run(other, workers=workers)
    assert catalogue(other.out) == catalogue(config.out)


def test_any_executor_will_do(finished, tmp_path):
    config, _ = finished
    shutil.copytree(config.out, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/shapes")
    other = replace(config, out=tmp_path / "run")
    with ThreadPoolExecutor(2) as pool:
        run(other, executor=pool)
        pool.submit(int).result()  # still open: it is the caller's
    assert catalogue(other.out) == catalogue(config.out)


def test_shards_share_a_store(survey, finished, tmp_path):
    config, _ = finished
    shards = [launch(survey, tmp_path / "run", "--shard", f"{i}/2", "-j", "1") for i in (1, 2)]
    texts = [shard.communicate()[0] for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0], texts
    assert catalogue(tmp_path / "run") == catalogue(config.out)
    assert run_status(tmp_path / "run").finished


@pytest.mark.slow
def test_the_others_take_over_from_a_shard_that_dies(survey, finished, tmp_path):
    config, _ = finished
    out = tmp_path / "run"
    first = launch(survey, out, "--shard", "1/2", "-j", "1")
    while not (out / "ledger.sqlite").exists() or not run_status(out).working:
        time.sleep(0.02)
    second = launch(survey, out, "--shard", "2/2", "-j", "1")
    while len(run_status(out).processes) < 2 or not run_status(out).working:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    text, _ = second.communicate()
    assert second.returncode == 0, text
    assert catalogue(out) == catalogue(config.out)


def test_a_run_without_shard_ends_what_shards_left(finished, tmp_path):
    config, _ = finished
    other = replace(config, out=tmp_path / "run")
    shutil.copytree(config.out, other.out)
    (other.out / "catalogue/final_cat.fits").unlink()
    assert run(other, workers=1, shard=Shard(2, 3)).exit_code is ExitCode.OK
    (other.out / "catalogue/final_cat.fits").unlink()
    assert run(other, workers=1).skipped == 11
    assert catalogue(other.out) == catalogue(config.out)


def test_shards_of_another_configuration_are_refused(finished, tmp_path):
    from purepipe.pipeline.store import open_store

    config, _ = finished
    other = replace(config, out=tmp_path / "run")
    shutil.copytree(config.out, other.out)
    held = open_store(other.out, lock=True, shard=Shard(1, 2))
    try:
        with pytest.raises(ConfigError, match=r"seed: the shards that work now have another"):
            run(replace(other, seed=99), workers=1, shard=Shard(2, 2))
    finally:
        held.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "a shard is two numbers"),
        ("a/2", "a shard is two numbers"),
        ("0/2", "counted from 1"),
        ("3/2", "1/2 to 2/2"),
    ],
)
def test_a_wrong_shard_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_shard(text)


def test_a_shard_is_read():
    assert parse_shard("3/16") == Shard(3, 16)


@contextmanager
def dask_cluster(folder):
    """The address of a scheduler with two workers, processes of their own."""
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    cluster = subprocess.Popen(
        [sys.executable, "-P", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield cluster.stdout.readline().strip()
    finally:
        cluster.communicate("")


@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_a_dask_cluster_gives_the_same_bytes(survey, finished, tmp_path):
    config, _ = finished
    with dask_cluster(tmp_path) as address:
        process = launch(survey, tmp_path / "run", "--dask", address)
        text, _ = process.communicate()
    assert process.returncode == 0, text
    assert catalogue(tmp_path / "run") == catalogue(config.out)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_a_time_limit_holds_on_a_dask_cluster(survey, finished, tmp_path):
    config, _ = finished
    limited = survey.with_name("limited.toml")
    limited.write_text(survey.read_text() + "\n[run]\ntimeout = 0.1\n")
    with dask_cluster(tmp_path) as address:
        first = launch(limited, tmp_path / "run", "--dask", address)
        told, _ = first.communicate()
        second = launch(survey, tmp_path / "run", "--dask", address)
        text, _ = second.communicate()
    # What a worker does first takes longer, as it loads libraries.
    assert first.returncode in (1, 3), told
    assert "the unit took longer than its time limit (allowed: 0.1 s)" in " ".join(told.split())
    assert second.returncode == 0, text
    assert catalogue(tmp_path / "run") == catalogue(config.out)


@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_a_missing_scheduler_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"scheduler file does not exist.*--scheduler-file"):
        dask_executor(str(tmp_path / "none.json"))


def test_missing_packages_are_named(monkeypatch):
    from purepipe.pipeline import executors

    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"--dask: Dask is not installed.*\[dask\]"):
        dask_executor("tcp://host:1")
    with pytest.raises(MissingPackageError, match=r"--mpi: mpi4py is not installed.*\[mpi\]"):
        mpi_executor()


MPIEXEC = shutil.which("mpiexec") or shutil.which("mpiexec", path=Path(sys.executable).parent)


@pytest.mark.skipif(find_spec("mpi4py") is None or not MPIEXEC, reason="MPI is not installed")
def test_mpi_ranks_give_the_same_bytes(survey, finished, tmp_path):
    config, _ = finished
    prefix = [MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    process = launch(survey, tmp_path / "run", "--mpi", prefix=prefix)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert catalogue(tmp_path / "run") == catalogue(config.out)


def sleep_on(*_):
    while True:
        time.sleep(0.01)


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == WATCHER]


def test_a_time_limit_holds_in_threads(finished, tmp_path, monkeypatch):
    config, _ = finished
    shutil.copytree(config.out, tmp_path / "run")
    next((tmp_path / "run/shapes").rglob("00000.fits")).unlink()

    def only_shapes(seconds, job):  # a loaded machine may need longer for the other units
        return within(seconds if isinstance(job.args[0], ShapesTask) else None, job)

    monkeypatch.setattr(work, "measure_block", sleep_on)
    monkeypatch.setattr(work, "within", only_shapes)
    limited = replace(config, out=tmp_path / "run", run=RunConfig(timeout=0.5))
    summary = run(limited, workers=2, threads=True)
    (late,) = summary.failures
    assert (late.kind, late.status) == ("shapes", "timed out")
    assert "the unit took longer than its time limit (allowed: 0.5 s)" in late.message
    monkeypatch.undo()
    run(replace(limited, run=config.run), workers=1)
    assert catalogue(tmp_path / "run") == catalogue(config.out)


def test_a_thread_survives_many_alarms():
    def unit(number):
        try:
            return within(0.01, sleep_on) if number % 2 else within(600.0, lambda: "done")
        except UnitTimeoutError:
            return "timed out"

    with ThreadPoolExecutor(1) as pool:
        ends = [pool.submit(unit, number) for number in range(40)]
        assert [end.result(timeout=120) for end in ends] == ["done", "timed out"] * 20
    assert not watchers()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["_thread_alarm", "_process_alarm"])
def test_an_alarm_that_strikes_the_cleaning_up_does_no_harm(monkeypatch, kind, moment):
    make, strikes = getattr(limits, kind), [limits._Alarm]

    def struck(seconds):
        arm, disarm = make(seconds)

        def struck_disarm():
            if moment == "after":
                disarm()
            if strikes:
                raise strikes.pop()
            disarm()

        return arm, struck_disarm

    monkeypatch.setattr(limits, kind, struck)
    before = signal.getsignal(signal.SIGALRM)

    def unit():
        return within(600.0, lambda: "done")

    if kind == "_thread_alarm":
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(unit).result(timeout=120) == "done"
    else:
        assert unit() == "done"
    assert not strikes
    assert not watchers()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_alarm_that_was_sent_and_has_not_arrived_is_taken_back():
    def unit():
        arm, disarm = limits._thread_alarm(0.0)
        try:
            arm()
            disarm()
        except limits._Alarm:
            disarm()
        time.sleep(0.01)  # steps of Python, at which one would strike
        return watchers()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(unit).result(timeout=120) == []


def test_how_many_units_are_handed_out():
    assert capacity(SerialExecutor()) == 1
    with make_executor(3, threads=True) as pool:
        assert capacity(pool) == 6
    assert capacity(object()) > 100
