"""Scheduling of trivial units, without any image."""

from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace

import pytest

from purepipe.config import SurveyConfig
from purepipe.pipeline import schedule as schedules
from purepipe.pipeline.executors import SerialExecutor
from purepipe.pipeline.progress import Silent
from purepipe.pipeline.schedule import Schedule
from purepipe.pipeline.store import Outcome, open_store, outcomes
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
