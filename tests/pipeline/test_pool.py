"""Worker processes that die, are killed, or return what cannot be sent."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, CancelledError, wait

import pytest

from purepipe.errors import ConfigError
from purepipe.pipeline.executors import capacity, make_executor


@pytest.fixture
def pool():
    with make_executor(2) as pool:
        yield pool


def refuse():
    raise ConfigError("out of range", key="answer", got=43)


def stop_reading():
    raise EOFError


def test_calls_are_done_in_processes(pool):
    assert list(pool.map(pow, range(20), [2] * 20)) == [n**2 for n in range(20)]
    assert pool.submit(os.getpid).result() != os.getpid()
    assert capacity(pool) == 4


def test_an_idle_worker_is_used_again(pool):
    assert len({pool.submit(os.getpid).result() for _ in range(10)}) == 1


def test_errors_come_back_with_their_place(pool):
    with pytest.raises(ConfigError, match="answer") as caught:
        pool.submit(refuse).result()
    assert caught.value.got == "43"
    assert "in refuse" in caught.value.__notes__[0]
    with pytest.raises(EOFError):
        pool.submit(stop_reading).result()


def test_what_cannot_be_sent_costs_one_call(pool):
    with pytest.raises(Exception, match="pickle"):
        pool.submit(lambda: 1).result()
    with pytest.raises(TypeError, match="the result cannot leave its process"):
        pool.submit(threading.Lock).result()
    assert pool.submit(abs, -1).result() == 1


def test_large_calls_and_results(pool):
    large = bytes(10**7)
    assert pool.submit(bytes.__add__, large, large).result() == 2 * large


def test_a_death_ends_all_calls(pool):
    futures = [pool.submit(time.sleep, 60), pool.submit(os._exit, 1)]
    futures += [pool.submit(abs, -1) for _ in range(10)]
    for future in futures:
        with pytest.raises(BrokenExecutor, match="a worker process died"):
            future.result(timeout=20)
    with pytest.raises(BrokenExecutor):
        pool.submit(abs, -1)


def test_an_idle_worker_that_is_killed(pool):
    os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
    with pytest.raises(BrokenExecutor):
        pool.submit(abs, -1).result(timeout=20)


def test_shutdown_lets_calls_end_or_cancels_them():
    pool = make_executor(2)
    futures = [pool.submit(time.sleep, 0.1) for _ in range(6)]
    pool.shutdown()
    assert all(future.result(timeout=0) is None for future in futures)
    pool = make_executor(2)
    futures = [pool.submit(time.sleep, 0.3) for _ in range(9)]
    pool.shutdown(cancel_futures=True)
    wait(futures, timeout=0)
    assert futures[-1].cancelled()
    with pytest.raises(CancelledError):
        futures[-1].result()
    with pytest.raises(RuntimeError, match="the pool was shut down"):
        pool.submit(abs, -1)


KILLS = """
import os, signal, time
from concurrent.futures import BrokenExecutor
from purepipe.pipeline.executors import make_executor

if __name__ == "__main__":
    for turn in range(30):
        pool = make_executor(2)
        if turn % 3 == 0:  # killed by itself, while others are started
            futures = [pool.submit(os._exit, 1)]
        elif turn % 3 == 1:  # killed from outside, while others are started
            os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
            futures = []
        else:  # killed by us
            futures = [pool.submit(time.sleep, 600) for _ in range(5)]
            pool.kill()
        try:
            futures += [pool.submit(time.sleep, 600) for _ in range(3)]
        except BrokenExecutor:
            pass
        assert all(isinstance(future.exception(60), BrokenExecutor) for future in futures)
        if turn % 2:
            pool.shutdown(wait=False)
    make_executor(2).submit(time.sleep, 600)  # nobody waits for it
    print("done", flush=True)
"""


FOREIGN = """
from purepipe.pipeline.executors import make_executor

if __name__ == "__main__":
    with make_executor(2) as pool:
        print(pool.submit(divmod, 7, 4).result())
"""


def test_nothing_is_imported_from_the_current_folder(tmp_path):
    script, here = tmp_path / "script" / "run.py", tmp_path / "here"
    for folder in (script.parent, here / "purepipe"):
        folder.mkdir(parents=True)
    script.write_text(FOREIGN)
    (here / "numpy.py").write_text("open('executed', 'w').close()")
    (here / "purepipe/__init__.py").write_text("open('executed', 'w').close()")
    end = subprocess.run(
        [sys.executable, script], cwd=here, capture_output=True, text=True, timeout=100, check=False
    )
    assert (end.returncode, end.stdout, end.stderr) == (0, "(1, 3)\n", "")
    assert not (here / "executed").exists()


def test_workers_with_another_package_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("purepipe.pipeline.executors._PACKAGE", tmp_path)
    with pytest.raises(ConfigError, match=r"the workers load another purepipe .*PYTHONPATH"):
        make_executor(2)


def test_an_interpreter_whose_workers_were_killed_thirty_times_ends(tmp_path):
    script = tmp_path / "kills.py"
    script.write_text(KILLS)
    end = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=100, check=False
    )
    assert (end.returncode, end.stdout, end.stderr) == (0, "done\n", "")
