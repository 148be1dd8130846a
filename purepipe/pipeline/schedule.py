"""Units in parallel, each as soon as those it waits for have ended; the longest first."""

from __future__ import annotations

import heapq
import logging
import queue
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from purepipe.errors import StoreError
from purepipe.pipeline.cost import DEFAULT_COSTS, CostModel
from purepipe.pipeline.executors import SerialExecutor, cancel_waiting, capacity, make_executor
from purepipe.pipeline.keys import Settings, file_identity, settings_of, unit_key, unit_parts
from purepipe.pipeline.limits import timeout_error
from purepipe.pipeline.progress import Progress
from purepipe.pipeline.store import (
    Outcome,
    Store,
    abandon,
    attempts,
    confirm,
    ended_since,
    exchange,
    outcome_of,
    release_dead,
    still_valid,
)
from purepipe.pipeline.units import TileTask, Unit, WorkContext, object_units
from purepipe.pipeline.warm import warm_up
from purepipe.pipeline.work import clear, execute

log = logging.getLogger(__name__)

_BATCH = 0.5  # seconds of work handed out at once, when units are short
_LARGEST_BATCH = 64
_POLL = 1.0  # seconds between looks at what other shards have done


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
    workers: int | None = None
    problems: int = 0
    costs: CostModel = DEFAULT_COSTS
    preference: int = 0  # of a shard: where in the list of units it begins
    waiting: dict[str, set[str]] = field(default_factory=dict)
    dependents: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    units: dict[str, Unit] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: dict[str, Outcome] = field(default_factory=dict)
    working: dict[Future[Outcome], Unit] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    suspects: list[Unit] = field(default_factory=list)
    ready: list[tuple[int, float, str]] = field(default_factory=list)  # a heap
    foreign: set[str] = field(default_factory=set)  # units that other shards work on
    fresh: list[Outcome] = field(default_factory=list)  # not in the ledger yet
    stood: list[str] = field(default_factory=list)  # not confirmed in the ledger yet
    events: queue.SimpleQueue[Future[Outcome]] = field(default_factory=queue.SimpleQueue)
    skipped: int = 0
    serial: int = 0
    warm: bool = False
    pace: float | None = None  # mean seconds of the latest units
    identities: dict[Path, list[Any] | None] = field(default_factory=dict)
    alone_since: float = 0.0  # when a suspect was started
    looked: float = 0.0  # when other shards were looked at
    full: Outcome | None = None  # the unit that found no room for its products
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = settings_of(self.context.config)

    def run(self, units: Iterable[Unit]) -> None:
        """Work until every unit, and every unit that follows from them, has ended.

        Raises
        ------
        StoreError
            There is no room for products or the ledger; what has ended before is kept.
        """
        self.add(units)
        while self.ready or self.suspects or self.working or self.foreign or self.fresh:
            self.hand_out()
            self.collect()
            if self.full is not None:
                self.drain()
                raise StoreError(f"the run stops: {self.full.name}: {self.full.message}")
        self.confirm()

    def drain(self) -> None:
        """Let the units that work come to their end, and start no other; for an interruption.

        It may be interrupted itself, and called again.
        """
        self.ready.clear()
        self.suspects.clear()
        cancel_waiting(self.pool)
        # Not by `shutdown` first: once interrupted, it may not wait when it is called again.
        wait([future for future in self.working if not future.done()])
        self.pool.shutdown()
        self.record_ended()

    def record_ended(self) -> None:
        """Enter in the ledger what has ended; the other units are no longer at work."""
        for future, unit in list(self.working.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                outcome = future.result()
                if outcome.status != "not written":
                    self.fresh.append(replace(outcome, key=self.keys[unit.name]))
            del self.working[future]
        exchange(self.store, self.fresh, {}, parts=self.parts)
        self.fresh = []
        abandon(self.store)

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
        parts = unit_parts(unit, self.settings, needed, identify=self.identify)
        key = unit_key(parts)
        self.keys[unit.name], self.parts[unit.name] = key, parts
        valid, reason = still_valid(self.store, unit.name, key, parts)
        if valid is not None:
            self.stand(unit, valid)
            return
        log.info("%s: %s", unit.name, reason)
        self.queue_up(unit)

    def identify(self, path: Path) -> list[Any] | None:
        """The identity of an input as first seen; a later change is found by the next run."""
        if path not in self.identities:
            self.identities[path] = file_identity(path)
        return self.identities[path]

    def queue_up(self, unit: Unit) -> None:
        """Let a unit wait for a worker."""
        # Shards begin at different units, so that they seldom want the same one at once.
        turn = (crc32(unit.name.encode()) + self.preference) % 1024 if self.preference else 0
        heapq.heappush(self.ready, (turn, -unit.cost, unit.name))

    def stand(self, unit: Unit, outcome: Outcome) -> None:
        """Take over an outcome from the ledger."""
        self.skipped += 1
        self.stood.append(unit.name)
        self.parts.pop(unit.name, None)
        self.progress.skipped(1)
        self.settle(unit, outcome)

    def confirm(self) -> None:
        """Let the ledger know which earlier outcomes stand, for `status`."""
        stood, self.stood = self.stood, []
        confirm(self.store, stood)

    def hand_out(self) -> None:
        """Record what has ended, claim ready units and give them to workers.

        Suspects of a worker's death go alone.
        """
        self.confirm()
        batch: list[Unit] = []
        if not self.suspects:
            room = max(self.in_flight() - len(self.working), 0)
            while self.ready and len(batch) < room:
                batch.append(self.units[heapq.heappop(self.ready)[2]])
        ended = self.fresh
        wanted = {unit.name: self.keys[unit.name] for unit in batch}
        if ended or wanted:
            claims = exchange(self.store, ended, wanted, parts=self.parts)
            self.fresh = []  # not before: an interruption must not lose them
            for outcome in ended:
                self.parts.pop(outcome.name, None)
            self.foreign |= claims.taken
            batch = [unit for unit in batch if unit.name in claims.mine]
            for name, outcome in claims.ended.items():
                self.stand(self.units[name], outcome)
        self.warm_once(bool(batch))
        for unit in batch:
            self.start(unit)
        if self.suspects and not self.working:
            self.alone_since = time.monotonic()
            self.start(self.suspects.pop(0))

    def in_flight(self) -> int:
        """How many units may be with the workers: more when units are short.

        The ledger is written once for all that are handed out together, so that its time on disk
        does not count; a kill costs half a second of work at most.
        """
        least = capacity(self.pool)
        if self.pace is None:
            return least
        return max(least, min(_LARGEST_BATCH * least, int(least * _BATCH / max(self.pace, 1e-4))))

    def warm_once(self, needed: bool) -> None:
        """Compile the kernels side by side, instead of the same ones in every worker."""
        if needed and not self.warm and self.own_pool:
            self.warm = True
            if not isinstance(self.pool, SerialExecutor | ThreadPoolExecutor):
                self.progress.stage("preparing kernels; the first time they are compiled")
                # Broken by a death while headers were read: the units compile, in a new pool.
                with suppress(BrokenExecutor):
                    warm_up(self.pool, cells=self.context.config.tile.metadetect.enabled)

    def start(self, unit: Unit) -> None:
        """Give one unit to the executor."""
        try:
            future = self.pool.submit(execute, unit, self.context)
        except BrokenExecutor:
            self.lose([unit])
            return
        self.working[future] = unit
        future.add_done_callback(self.events.put)

    def collect(self) -> None:
        """Wait until a unit has ended, here or in another shard, and take in all that have."""
        if self.working or (self.foreign and not self.ready):
            with suppress(queue.Empty):
                self.finish(self.events.get(timeout=_POLL if self.foreign else None))
        while not self.events.empty():
            self.finish(self.events.get())
        if self.foreign and time.monotonic() - self.looked > _POLL / 2:
            self.looked = time.monotonic()
            self.look_around()

    def look_around(self) -> None:
        """Take over what other shards have ended, and what dead ones have left."""
        names, self.serial = ended_since(self.store, self.serial)
        for name in self.foreign & names.keys():
            self.foreign.discard(name)
            outcome = outcome_of(self.store, name)
            if outcome is not None and outcome.key == self.keys[name]:
                self.stand(self.units[name], outcome)
            else:
                self.queue_up(self.units[name])
        for name in self.foreign & set(release_dead(self.store)):
            self.foreign.discard(name)
            self.queue_up(self.units[name])
        still = {name for name, _, _ in attempts(self.store)}
        for name in self.foreign - still:  # given free by somebody else
            self.foreign.discard(name)
            self.queue_up(self.units[name])

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
        if outcome.status == "not written":
            self.full = outcome
            return
        pace = outcome.seconds if self.pace is None else self.pace
        self.pace = 0.9 * pace + 0.1 * outcome.seconds
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
            self.end(unit, self.obituary(unit))

    def obituary(self, unit: Unit) -> Outcome:
        """The outcome of a unit whose worker died, also when it worked alone."""
        limit = self.context.config.run.timeout
        if limit is not None and self.own_pool and time.monotonic() - self.alone_since > limit:
            error = timeout_error(limit)
            return Outcome(unit.name, unit.kind, error.status, str(error))
        return Outcome(
            unit.name, unit.kind, "failed",
            "the worker process died; the machine may be short of memory. Run the same command"
            " again with fewer workers to resume.",
        )  # fmt: skip

    def end(self, unit: Unit, outcome: Outcome) -> None:
        """Note the outcome of a unit for the ledger, then wake its dependents."""
        outcome = replace(outcome, key=self.keys[unit.name])
        self.report(outcome)
        self.settle(unit, outcome)

    def report(self, outcome: Outcome) -> None:
        """Note an outcome for the ledger and tell the user."""
        self.fresh.append(outcome)
        self.progress.ended(outcome)

    def settle(self, unit: Unit, outcome: Outcome) -> None:
        """Note the end of a unit and wake those that waited for it."""
        self.ended[unit.name] = outcome
        if isinstance(unit.task, TileTask) and outcome.complete:
            objects = next(step.n_out for step in outcome.steps if step.step == "detect")
            self.add(object_units(unit.task, objects, self.context.config, self.costs))
        for name in self.dependents.pop(unit.name, ()):
            missing = self.waiting[name]
            missing.discard(unit.name)
            if not missing:
                del self.waiting[name]
                self.make_ready(self.units[name])
