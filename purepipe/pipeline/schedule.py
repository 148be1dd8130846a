"""Units in parallel, each as soon as those it waits for have ended."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace

from purepipe.pipeline.executors import SerialExecutor, cpu_count, make_executor
from purepipe.pipeline.plan import unit_key
from purepipe.pipeline.progress import Progress
from purepipe.pipeline.store import Outcome, Store, record, still_valid
from purepipe.pipeline.units import TileTask, Unit, WorkContext, block_units
from purepipe.pipeline.warm import warm_up
from purepipe.pipeline.work import clear, execute

log = logging.getLogger(__name__)


@dataclass
class Schedule:
    """The bookkeeping of one run: what waits, what works, what has ended.

    The one object of the pipeline that changes while it lives; nothing outside `run` sees it.
    """

    store: Store
    context: WorkContext
    progress: Progress
    pool: Executor
    own_pool: bool
    workers: int | None
    waiting: dict[str, set[str]] = field(default_factory=dict)
    dependents: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    units: dict[str, Unit] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Outcome] = field(default_factory=dict)
    working: dict[Future[Outcome], Unit] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    suspects: list[Unit] = field(default_factory=list)
    ready: list[Unit] = field(default_factory=list)
    problems: int = 0
    skipped: int = 0
    warm: bool = False

    def run(self, units: Iterable[Unit]) -> None:
        """Work until every unit, and every unit that follows from them, has ended."""
        self.add(units)
        while self.ready or self.suspects or self.working:
            self.start_ready()
            finished, _ = wait(self.working, return_when=FIRST_COMPLETED)
            for future in finished:
                self.finish(future)

    def drain(self) -> None:
        """Let the units that work come to their end, and start no other; for an interruption."""
        self.ready.clear()
        self.suspects.clear()
        self.pool.shutdown(wait=True, cancel_futures=True)
        for future in list(self.working):
            unit = self.working.pop(future)
            if future.done() and not future.cancelled() and future.exception() is None:
                record(self.store, replace(future.result(), key=self.keys[unit.name]))

    def add(self, units: Iterable[Unit]) -> None:
        """Take in new units; those whose needs have ended become ready."""
        new = list(units)
        for unit in new:
            self.units[unit.name] = unit
        self.progress.total(len(self.units) + self.problems)
        for unit in new:
            missing = {name for name in unit.needs if name not in self.ended}
            if missing:
                self.waiting[unit.name] = missing
                for name in missing:
                    self.dependents[name].append(unit.name)
            else:
                self.make_ready(unit)

    def make_ready(self, unit: Unit) -> None:
        """Queue a unit, or let its earlier outcome stand."""
        ends = [(self.keys.get(name, ""), self.ended[name]) for name in unit.needs]
        needed = [f"{key} {end.status} {sorted(end.products)}" for key, end in ends]
        key = unit_key(unit, self.context.config, needed)
        self.keys[unit.name] = key
        valid, reason = still_valid(self.store, unit.name, key)
        if valid is not None:
            self.skipped += 1
            self.progress.skipped(1)
            self.settle(unit, valid)
            return
        log.info("%s: %s", unit.name, reason)
        self.ready.append(unit)

    @property
    def room(self) -> int:
        """How many units may be handed out: enough to keep the workers busy, few to lose."""
        if not self.own_pool:
            return max(len(self.ready), 1)
        if isinstance(self.pool, SerialExecutor):
            return 1 - len(self.working)
        return 2 * (self.workers or cpu_count()) - len(self.working)

    def start_ready(self) -> None:
        """Hand out ready units, the longest first; suspects of a worker's death go alone."""
        if self.suspects:
            if not self.working:
                self.start(self.suspects.pop(0))
            return
        self.ready.sort(key=lambda unit: (-unit.cost, unit.name))
        count = max(self.room, 0)
        batch, self.ready = self.ready[:count], self.ready[count:]
        if batch and not self.warm and self.own_pool:
            self.warm = True
            if not isinstance(self.pool, SerialExecutor):
                # Side by side now, instead of the same kernels in every worker.
                self.progress.stage("preparing kernels")
                warm_up(self.pool)
        for unit in batch:
            self.start(unit)

    def start(self, unit: Unit) -> None:
        """Give one unit to the executor."""
        try:
            self.working[self.pool.submit(execute, unit, self.context)] = unit
        except BrokenExecutor:
            self.lose([unit])

    def finish(self, future: Future[Outcome]) -> None:
        """Take in what a worker has done."""
        unit = self.working.pop(future, None)
        if unit is None:  # given up together with its pool
            return
        try:
            outcome = future.result()
        except BrokenExecutor:
            lost = [unit, *self.working.values()]
            self.working.clear()
            self.lose(lost)
            return
        except Exception as error:
            # An executor may fail in ways of its own; that costs the unit, not the run.
            outcome = Outcome(unit.name, unit.kind, "failed", f"{type(error).__name__}: {error}")
        self.end(unit, outcome)

    def lose(self, units: list[Unit]) -> None:
        """A worker died (memory, a signal): find the culprit by running the lost units alone."""
        if self.own_pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = make_executor(self.workers)
        for unit in units:
            self.lost[unit.name] += 1
            if self.own_pool and self.lost[unit.name] == 1:
                self.suspects.append(unit)
                continue
            clear(unit.task, self.context.root)
            outcome = Outcome(
                unit.name, unit.kind, "failed",
                "the worker process died; the machine may be short of memory. Run the same command"
                " again with fewer workers to resume.",
            )  # fmt: skip
            self.end(unit, outcome)

    def end(self, unit: Unit, outcome: Outcome) -> None:
        """Record the outcome of a unit, then wake its dependents."""
        outcome = replace(outcome, key=self.keys[unit.name])
        self.report(outcome)
        self.settle(unit, outcome)

    def report(self, outcome: Outcome) -> None:
        """Write an outcome to the ledger and tell the user."""
        record(self.store, outcome)
        self.progress.ended(outcome)

    def settle(self, unit: Unit, outcome: Outcome) -> None:
        """Note the end of a unit and wake those that waited for it."""
        self.ended[unit.name] = outcome
        if isinstance(unit.task, TileTask) and outcome.complete:
            objects = next(step.n_out for step in outcome.steps if step.step == "detect")
            self.add(block_units(unit.task, objects, self.context.config.block_size))
        for name in self.dependents.pop(unit.name, ()):
            missing = self.waiting[name]
            missing.discard(unit.name)
            if not missing:
                del self.waiting[name]
                self.make_ready(self.units[name])
