"""Who may work on a store, and how long others wait for it."""

import fcntl
import threading
import time

import pytest

from purepipe.errors import StoreError
from purepipe.pipeline import locks
from purepipe.pipeline.locks import LOCK, Shard, at_work, hold_store, lives


@pytest.fixture
def later():
    """Calls a function after some seconds, in a thread that ends with the test."""
    timers = []

    def start(seconds, function):
        timers.append(threading.Timer(seconds, function))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


@pytest.mark.parametrize("shard", [None, Shard(1, 2)])
def test_who_looks_is_not_taken_for_one_who_works(tmp_path, later, shard):
    looks = (tmp_path / LOCK).open("a+")
    fcntl.flock(looks, fcntl.LOCK_SH)
    assert not lives(tmp_path, "run")
    later(0.2, looks.close)
    hold = hold_store(tmp_path, shard)
    assert hold.alone
    assert len(at_work(tmp_path)) == 1
    hold.close()
    assert at_work(tmp_path) == []


def test_shards_wait_for_the_first_that_prepares_the_ledger(tmp_path, later, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    first = hold_store(tmp_path, Shard(1, 2))
    later(1.0, first.share)
    second = hold_store(tmp_path, Shard(2, 2))
    assert (first.alone, second.alone) == (True, False)
    first.close()
    second.close()


def test_a_shard_takes_the_place_of_one_that_died_preparing(tmp_path, later, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    later(0.5, hold_store(tmp_path, Shard(1, 2)).close)
    second = hold_store(tmp_path, Shard(2, 2))
    assert second.alone
    second.close()


def test_waiting_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    monkeypatch.setattr(locks, "_PREPARING", 0.3)
    first = hold_store(tmp_path, Shard(1, 2))
    with pytest.raises(StoreError, match=r"shard 1 still prepares the ledger .*process \d+ on"):
        hold_store(tmp_path, Shard(2, 2))
    first.close()
    whole = hold_store(tmp_path)
    start = time.monotonic()
    with pytest.raises(StoreError, match="a run without --shard works in this folder"):
        hold_store(tmp_path, Shard(2, 2))
    assert time.monotonic() - start < 5
    whole.close()


def test_a_store_that_is_lost_while_it_is_shared_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.1)
    hold = hold_store(tmp_path, Shard(1, 2))
    monkeypatch.setattr(locks, "_flock", lambda file, *, shared=False: False)
    with pytest.raises(StoreError, match="another run took this folder"):
        hold.share()
    hold.close()
