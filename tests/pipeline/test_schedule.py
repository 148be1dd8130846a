"""Scheduling of trivial units, without any image."""

import signal
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor, wait
from dataclasses import replace

import pytest

from purepipe.config import SurveyConfig
from purepipe.pipeline import schedule as schedules
from purepipe.pipeline.executors import SerialExecutor, make_executor
from purepipe.pipeline.progress import Silent
from purepipe.pipeline.run import _interrupt
from purepipe.pipeline.schedule import Schedule
from purepipe.pipeline.store import Outcome, attempts, open_store, outcomes
from purepipe.pipeline.units import Unit, WorkContext


def work(unit, context):
    return Outcome(unit.name, unit.kind, "failed" if "bad" in unit.name else "done")


class LosesWorkers(SerialExecutor):
    """Breaks at the units whose names are given, once each."""

    def __init__(self, *names):
        self.names = list(names)

    def submit(self, fn, /, unit, context):
        if unit.name not in self.names:
            return super().submit(fn, unit, context)
        self.names.remove(unit.name)
        future = Future()
        future.set_exception(BrokenExecutor("a worker died"))
        return future


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(schedules, "execute", work)
    monkeypatch.setattr(schedules, "warm_up", lambda pool: None)
    monkeypatch.setattr(schedules, "clear", lambda task, root: None)
    store = open_store(tmp_path)
    context = WorkContext(tmp_path, SurveyConfig(out=tmp_path))

    def build(pool=None, **changes):
        values = {"own_pool": False, "workers": 1} | changes
        return Schedule(store, context, Silent(), pool or SerialExecutor(), **values)

    yield build
    store.close()


def unit(name, *needs, cost=1.0):
    return Unit(name, "ccd", None, needs=needs, cost=cost)


def test_needs_end_first_and_failures_do_not_stop_their_dependents(make):
    schedule = make()
    schedule.run([unit("c", "a", "bad b"), unit("a"), unit("bad b"), unit("d", "c")])
    order = list(schedule.ended)
    assert set(order[:2]) == {"a", "bad b"}
    assert order[2:] == ["c", "d"]
    assert {o.name: o.status for o in schedule.ended.values() if not o.done} == {"bad b": "failed"}
    assert {o.name for o in outcomes(schedule.store)} == {"a", "bad b", "c", "d"}


def test_the_longest_starts_first(make, monkeypatch):
    started = []
    monkeypatch.setattr(
        schedules, "execute", lambda unit, context: started.append(unit.name) or work(unit, context)
    )
    make().run([unit("short", cost=1), unit("long", cost=9), unit("medium", cost=3)])
    assert started == ["long", "medium", "short"]


def test_what_a_dead_worker_had_is_repeated(make, monkeypatch):
    monkeypatch.setattr(schedules, "make_executor", lambda workers: SerialExecutor())
    schedule = make(LosesWorkers("a"), own_pool=True)
    schedule.run([unit("a"), unit("b", "a")])
    assert all(outcome.done for outcome in schedule.ended.values())


def test_a_unit_that_kills_its_workers_is_given_up(make, monkeypatch):
    pool = LosesWorkers("a", "a", "a")
    monkeypatch.setattr(schedules, "make_executor", lambda workers: pool)
    schedule = make(pool, own_pool=True)
    schedule.run([unit("a"), unit("b", "a"), *(unit(f"c{i}") for i in range(20))])
    assert sum(not outcome.done for outcome in schedule.ended.values()) == 1
    assert schedule.ended["a"].status == "failed"
    assert "the worker process died" in schedule.ended["a"].message
    assert schedule.ended["b"].done


def test_a_foreign_executor_that_breaks_ends_its_units(make):
    schedule = make(LosesWorkers("a"))
    schedule.run([unit("a"), unit("b")])
    assert schedule.ended["a"].status == "failed"


def test_many_units(make):
    schedule = make()
    units = [unit(f"u{i}", *([f"u{i // 2}"] if i else [])) for i in range(300)]
    schedule.run([replace(item, needs=() if item.name == "u0" else item.needs) for item in units])
    assert len(schedule.ended) == 300


class Presses(Silent):
    """Interrupts the main thread a moment after each stage that is told, so many times."""

    def __init__(self, times, then=lambda: None):
        self.times, self.then, self.told = times, then, []

    def stage(self, text):
        self.told.append(text)
        last = len(self.told) > self.times
        threading.Timer(0.2, self.then if last else press).start()


def press():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.fixture
def listening():
    """Ctrl-C raises, also where the tests run without a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_units_in_threads_are_waited_for_however_often_one_interrupts(make, monkeypatch):
    gate, begun = threading.Event(), threading.Event()

    def work_on(unit, context):
        if unit.name == "slow":
            begun.set()
            gate.wait(60)
        return work(unit, context)

    monkeypatch.setattr(schedules, "execute", work_on)
    schedule = make(ThreadPoolExecutor(2))
    schedule.progress = Presses(2, then=gate.set)
    schedule.add([unit("quick", cost=9), unit("slow"), unit("last", "slow")])
    schedule.hand_out()
    assert begun.wait(60)
    wait(list(schedule.working)[:1], 60)
    _interrupt(schedule)
    assert gate.is_set()  # not before
    assert {o.name for o in outcomes(schedule.store)} == {"quick", "slow"}
    assert schedule.progress.told[0] == "interrupted; up to 2 units end"
    assert len(schedule.progress.told) == 3
    assert "cannot be stopped, and are waited for" in schedule.progress.told[2]


@pytest.mark.usefixtures("listening")
def test_a_second_interruption_ends_processes_and_keeps_what_has_ended(make, monkeypatch):
    with make_executor(2) as pool:
        submit = pool.submit

        def calls(fn, unit, context):
            if unit.name == "slow":
                return submit(time.sleep, 600)
            return submit(Outcome, unit.name, unit.kind, "done")

        monkeypatch.setattr(pool, "submit", calls)
        schedule = make(pool)
        schedule.progress = Presses(1)
        schedule.add([unit("slow", cost=9), unit("quick")])
        schedule.hand_out()
        slow, quick = schedule.working
        wait([quick], 60)
        while not slow.running():
            time.sleep(0.01)
        _interrupt(schedule)
    assert schedule.progress.told == ["interrupted; up to 2 units end. Again to stop at once"]
    assert {o.name for o in outcomes(schedule.store)} == {"quick"}
    assert attempts(schedule.store) == []


class LikeDask(ThreadPoolExecutor):
    """An executor that cannot cancel the calls that wait alone."""

    def shutdown(self, wait=True):
        assert wait
        super().shutdown()


def test_an_executor_that_cannot_cancel_is_interrupted(make):
    schedule = make(LikeDask(1))
    schedule.add([unit("a"), unit("b", "a")])
    schedule.hand_out()
    _interrupt(schedule)
    assert {o.name for o in outcomes(schedule.store)} == {"a"}


def test_an_interruption_while_the_ledger_is_written_loses_no_unit(make, monkeypatch):
    schedule = make()
    schedule.add([unit("a"), unit("b", "a")])
    schedule.hand_out()
    schedule.collect()
    exchange, presses = schedules.exchange, [KeyboardInterrupt, KeyboardInterrupt]

    def interrupted(*args, **kwargs):
        if presses:
            raise presses.pop()
        return exchange(*args, **kwargs)

    monkeypatch.setattr(schedules, "exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        schedule.hand_out()
    _interrupt(schedule)
    assert [o.name for o in outcomes(schedule.store)] == ["a"]


def test_a_handler_that_python_does_not_know_is_left_alone(monkeypatch):
    changed = []
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *change: changed.append(change))
    make_executor(2).shutdown()
    assert changed == []
