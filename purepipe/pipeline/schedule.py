"""Units in parallel, each as soon as those it waits for have ended."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace

from purepipe.pipeline.executors import SerialExecutor, make_executor
from purepipe.pipeline.plan import unit_key
from purepipe.pipeline.progress import Progress
from purepipe.pipeline.store import Outcome, Store, record, still_valid
from purepipe.pipeline.units import TileTask, Unit, WorkContext, block_units
from purepipe.pipeline.warm import warm_up
from purepipe.pipeline.work import execute

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
    ready: list[Unit] = field(default_factory=list)
    skipped: int = 0
    warm: bool = False

    def run(self, units: Iterable[Unit]) -> None:
        """Work until every unit, and every unit that follows from them, has ended."""
        self.add(units)
        while self.ready or self.working:
            self.start_ready()
            finished, _ = wait(self.working, return_when=FIRST_COMPLETED)
            for future in finished:
                self.finish(future)

    def add(self, units: Iterable[Unit]) -> None:
        """Take in new units; those whose needs have ended become ready."""
        new = list(units)
        for unit in new:
            self.units[unit.name] = unit
        self.progress.total(len(self.units))
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
        needed = [self.keys.get(name, "") + self.ended[name].status for name in unit.needs]
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

    def start_ready(self) -> None:
        """Hand all ready units to the executor, the longest first."""
        self.ready.sort(key=lambda unit: (-unit.cost, unit.name))
        batch, self.ready = self.ready, []
        if batch and not self.warm and self.own_pool:
            self.warm = True
            if not isinstance(self.pool, SerialExecutor):
                # Side by side now, instead of the same kernels in every worker.
                self.progress.stage("preparing kernels")
                warm_up(self.pool)
        for unit in batch:
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
        outcome = replace(outcome, key=self.keys[unit.name])
        self.report(outcome)
        self.settle(unit, outcome)

    def lose(self, units: Iterable[Unit]) -> None:
        """A worker died (memory, a signal): new workers repeat what was lost, once."""
        if self.own_pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = make_executor(self.workers)
        for unit in units:
            self.lost[unit.name] += 1
            # Innocent units were in flight too, so the first loss condemns nobody.
            if self.own_pool and self.lost[unit.name] <= 2:
                self.ready.append(unit)
                continue
            outcome = Outcome(
                unit.name, unit.kind, "failed",
                "the worker process died; the machine may be short of memory. Run the same command"
                " again with fewer workers to resume.",
                key=self.keys[unit.name],
            )  # fmt: skip
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
