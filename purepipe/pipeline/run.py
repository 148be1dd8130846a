"""Running a plan: units in parallel, each as soon as those it waits for have ended."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path

from purepipe.config import SurveyConfig, to_mapping
from purepipe.errors import ExitCode, NothingToDo
from purepipe.pipeline.executors import make_executor
from purepipe.pipeline.plan import Plan, make_plan, unit_key
from purepipe.pipeline.progress import Progress, Silent
from purepipe.pipeline.results import merge_catalogues
from purepipe.pipeline.store import (
    Outcome,
    Store,
    code_version,
    forget_others,
    open_store,
    record,
    set_fact,
    still_valid,
)
from purepipe.pipeline.units import TileTask, Unit, WorkContext, block_units
from purepipe.pipeline.work import execute

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes
    ----------
    root
        Folder of the run.
    outcomes
        One per unit, in the order of the names.
    skipped
        Units that stood from an earlier run.
    objects
        Rows of the merged catalogue.
    """

    root: Path
    outcomes: tuple[Outcome, ...]
    skipped: int
    objects: int

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The units that did not give their products."""
        return tuple(outcome for outcome in self.outcomes if not outcome.done)

    @property
    def exit_code(self) -> ExitCode:
        """0 all fine, 1 some units failed, 3 no object in the final catalogue."""
        if self.objects == 0:
            return ExitCode.NOTHING_USABLE
        return ExitCode.SOME_FAILED if self.failures else ExitCode.OK


def run(
    config: SurveyConfig,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run the whole chain over a survey and return what became of every unit.

    Parameters
    ----------
    config
        The survey; relative paths start at the current folder.
    executor
        Any `concurrent.futures.Executor`; default: local processes.
    workers
        Number of local processes; default: all cores.
    progress
        Told about every unit; default: silence.

    Raises
    ------
    NothingToDo
        No exposure and no tile matches the patterns.
    StoreError
        The folder of the run cannot be written.
    """
    store = open_store(config.out)
    schedule = _Schedule(
        store, WorkContext(config.out, config), progress or Silent(),
        executor or make_executor(workers), own_pool=executor is None, workers=workers,
    )  # fmt: skip
    try:
        plan = make_plan(config)
        if not plan.units and not plan.problems:
            raise NothingToDo(
                "no exposure and no tile found", key="inputs",
                got=f"{config.inputs.image}, {config.inputs.tile_image}",
                remedy="Check the folders and patterns in [inputs].",
            )  # fmt: skip
        set_fact(store, "config", to_mapping(config))
        set_fact(store, "code", code_version())
        for problem in plan.problems:
            schedule.report(problem)
        schedule.run(plan)
        forget_others(store, [*schedule.units, *(problem.name for problem in plan.problems)])
        outcomes = sorted([*plan.problems, *schedule.ended.values()], key=lambda o: o.name)
        objects = merge_catalogues(config.out, outcomes)
        return RunSummary(config.out, tuple(outcomes), schedule.skipped, objects)
    finally:
        if schedule.own_pool:
            schedule.pool.shutdown(cancel_futures=True)
        store.close()


@dataclass
class _Schedule:
    """The bookkeeping of one run: what waits, what works, what has ended."""

    store: Store
    context: WorkContext
    progress: Progress
    pool: Executor
    own_pool: bool
    workers: int | None
    waiting: dict[str, set[str]] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Outcome] = field(default_factory=dict)
    working: dict[Future[Outcome], Unit] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ready: list[Unit] = field(default_factory=list)
    skipped: int = 0

    def run(self, plan: Plan) -> None:
        self.add(plan.units)
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
        for unit in batch:
            self.working[self.pool.submit(execute, unit, self.context)] = unit

    def finish(self, future: Future[Outcome]) -> None:
        unit = self.working.pop(future, None)
        if unit is None:
            return
        try:
            outcome = future.result()
        except BrokenProcessPool:
            self.replace_pool(unit)
            return
        outcome = replace(outcome, key=self.keys[unit.name])
        self.report(outcome)
        self.settle(unit, outcome)

    def replace_pool(self, unit: Unit) -> None:
        """A worker died (memory, a signal): start new workers and repeat what was lost, once."""
        lost = [unit, *self.working.values()]
        self.working.clear()
        if self.own_pool:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = make_executor(self.workers)
        for item in lost:
            self.lost[item.name] += 1
            # Innocent units were in flight too, so the first loss condemns nobody.
            if self.own_pool and self.lost[item.name] <= 2:
                self.ready.append(item)
                continue
            outcome = Outcome(
                item.name, item.kind, "failed",
                "its worker process died, repeatedly; the machine may be short of memory."
                " Try fewer workers.",
                key=self.keys[item.name],
            )  # fmt: skip
            self.report(outcome)
            self.settle(item, outcome)

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
        for name, missing in list(self.waiting.items()):
            missing.discard(unit.name)
            if not missing:
                del self.waiting[name]
                self.make_ready(self.units[name])
