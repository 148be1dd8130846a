"""Running a survey from its configuration to the merged catalogue."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purepipe.config import SurveyConfig, to_mapping
from purepipe.errors import ConfigError, ExitCode
from purepipe.pipeline.capsule import provenance, write_capsule
from purepipe.pipeline.cost import fit_costs
from purepipe.pipeline.executors import capacity, make_executor
from purepipe.pipeline.guards import guard_lines
from purepipe.pipeline.keys import (
    code_version,
    content_hash,
    file_identity,
    fingerprint,
    settings_of,
)
from purepipe.pipeline.locks import Shard
from purepipe.pipeline.plan import Plan, make_plan, require_units
from purepipe.pipeline.pool import ProcessPool
from purepipe.pipeline.progress import Progress, Silent
from purepipe.pipeline.results import (
    DETECTIONS,
    MERGED,
    merge_catalogues,
    merge_detections,
)
from purepipe.pipeline.schedule import Schedule
from purepipe.pipeline.store import (
    Outcome,
    Store,
    fact,
    keep_headers,
    kept_headers,
    open_store,
    outcomes,
    set_facts,
)
from purepipe.pipeline.tidy import (
    agree,
    announce,
    ended_by_others,
    forget_inputs,
    forget_others,
)
from purepipe.pipeline.units import TileTask, WorkContext, cell_units


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
        Units that stood from an earlier run, or were done by another shard.
    objects
        Rows of the merged catalogue, or of those of all tiles where they are too many to merge.
    guards
        One line for each kind of unit or step that failed too often.
    """

    root: Path
    outcomes: tuple[Outcome, ...]
    skipped: int
    objects: int
    guards: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The units that did not give their products."""
        return tuple(outcome for outcome in self.outcomes if not outcome.done)

    @property
    def exit_code(self) -> ExitCode:
        """0 all fine, 1 some units or a guard failed, 3 no object in the final catalogue."""
        if self.objects == 0:
            return ExitCode.NOTHING_USABLE
        return ExitCode.SOME_FAILED if self.failures or self.guards else ExitCode.OK


def run(
    config: SurveyConfig,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    threads: bool = False,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run the whole chain over a survey and return what became of every unit.

    Parameters
    ----------
    config
        The survey; relative paths start at the current folder.
    executor
        Any `concurrent.futures.Executor`; default: local processes, which are replaced when one
        of them dies.
    workers
        Number of local processes; default: all cores.
    threads
        Use threads of this process instead of processes.
    shard
        This process is one of several on the same store; each takes what no other has taken, and
        returns when all units have ended.
    progress
        Told about every unit; default: silence.

    Raises
    ------
    ConfigError
        The star catalogue does not exist; shards that work now have another configuration.
    NothingToDo
        No exposure and no tile matches the patterns.
    StoreError
        The folder of the run cannot be written, is full, or another run works in it.
    """
    store = open_store(config.out, lock=True, shard=shard)
    pool = executor
    schedule: Schedule | None = None
    try:
        _join_campaign(store, config)
        pool = executor or make_executor(workers, threads=threads)
        costs = fit_costs(outcomes(store))
        plan = make_plan(
            config, executor=pool, known=lambda name: kept_headers(store, name), costs=costs
        )
        keep_headers(store, plan.fresh)
        require_units(plan, config)
        schedule = Schedule(
            store, WorkContext(config.out, config, provenance(config)), progress or Silent(),
            pool, own_pool=executor is None, workers=workers, problems=len(plan.problems),
            costs=costs, preference=_preference(shard),
        )  # fmt: skip
        return _work(schedule, plan, shard)
    except KeyboardInterrupt:
        if schedule is not None:
            _interrupt(schedule)
        raise
    finally:
        if executor is None and pool is not None:
            (schedule.pool if schedule else pool).shutdown(cancel_futures=True)
        store.close()


def _interrupt(schedule: Schedule) -> None:
    """Let the units at work come to their end, or end them at a second interruption.

    Only our own processes can be ended. Units in threads and in workers of others are waited for,
    however often one interrupts: they write into the store, which no other run may take so long.
    """
    text = f"interrupted; up to {len(schedule.working)} units end"
    if isinstance(schedule.pool, ProcessPool):
        text += ". Again to stop at once"
    while True:
        try:
            if schedule.working:
                schedule.progress.stage(text)
            schedule.drain()
            return
        except KeyboardInterrupt:
            if isinstance(schedule.pool, ProcessPool):
                schedule.pool.kill()
                schedule.record_ended()
                return
            text = "interrupted; the units at work cannot be stopped, and are waited for"


def _work(schedule: Schedule, plan: Plan, shard: Shard | None) -> RunSummary:
    """Do the units of a plan, then join their catalogues."""
    store, config = schedule.store, schedule.context.config
    counts = Counter(unit.kind for unit in plan.units)
    for unit in plan.units:
        if isinstance(unit.task, TileTask) and config.tile.metadetect.enabled:
            counts["cells"] += len(cell_units(unit.task, config.tile.metadetect))
    workers = max(capacity(schedule.pool) // 2, 1)
    set_facts(store, {"planned": counts, f"workers {store.owner}": workers})
    schedule.progress.total(len(plan.units) + len(plan.problems))
    for problem in plan.problems:
        schedule.report(problem)
    planned = [unit.name for unit in plan.units] + [problem.name for problem in plan.problems]
    announce(store, planned)
    schedule.run(plan.units)
    inputs = _inputs(plan, config)
    if shard is None or agree(store, planned):
        names = {*schedule.units, *planned}
        others = set() if shard is None else ended_by_others(store, names)
        forget_others(store, names | others)
        if not others:
            forget_inputs(store, inputs)
    ended = sorted([*plan.problems, *schedule.ended.values()], key=lambda o: o.name)
    objects = _merge(schedule, ended)
    guards = guard_lines(ended, config.run)
    capsule = fingerprint(write_capsule(store, config, ended, inputs), whole=True)
    facts = {"guards": list(guards), "objects": objects, "finished": store.campaign}
    set_facts(store, {**facts, "capsule": capsule})
    return RunSummary(config.out, tuple(ended), schedule.skipped, objects, guards)


def _merge(schedule: Schedule, ended: list[Outcome]) -> int:
    """Join the catalogues of all tiles, unless that was done; the number of rows is returned."""
    store, provenance = schedule.store, schedule.context.provenance
    key = content_hash([(o.name, o.key, o.status) for o in ended if o.kind == "catalogue"])
    merged, detections = store.root / MERGED, store.root / DETECTIONS
    earlier = fact(store, "merged")
    if merged.is_file() and earlier is not None:
        objects = int(earlier[2])
        if earlier[:-1] == [key, file_identity(merged), objects, file_identity(detections)]:
            return objects
    rows = sum(
        step.n_out
        for outcome in ended if outcome.kind == "catalogue" and outcome.done
        for step in outcome.steps if step.step == "catalogue"
    )  # fmt: skip
    most = schedule.context.config.run.max_merged_objects
    merge_detections(store.root, ended, meta=provenance, most=most)
    if rows > most:
        merged.unlink(missing_ok=True)  # of an earlier run
        objects = rows
    else:
        objects = merge_catalogues(store.root, ended, meta=provenance)
    identities = [file_identity(path) for path in (merged, detections)]
    content = {
        name: fingerprint(store.root / name, whole=True)
        for name in (MERGED, DETECTIONS) if (store.root / name).is_file()
    }  # fmt: skip
    set_facts(store, {"merged": [key, identities[0], objects, identities[1], content]})
    return objects


def _preference(shard: Shard | None) -> int:
    """Where in the order of names a shard begins; 0 for the longest units first."""
    return 0 if shard is None else 1 + 1024 * (shard.index - 1) // shard.count


def _join_campaign(store: Store, config: SurveyConfig) -> None:
    """Note the configuration and the code, or compare with those of the shards at work."""
    own = {"config": to_mapping(config), "code": code_version()}
    if store.hold is not None and not store.hold.alone:
        theirs = {name: fact(store, name) for name in own}
        if theirs["config"] is not None:
            _require_equal(own, theirs)
            return
    set_facts(store, own)


def _require_equal(own: dict[str, Any], theirs: dict[str, Any]) -> None:
    from purepipe.pipeline.compare import differing_keys

    keys = differing_keys(theirs["config"], own["config"])
    if keys or own["code"] != theirs["code"]:
        what = ", ".join(key for key, _, _ in keys) or "version of purepipe"
        raise ConfigError(
            "the shards that work now have another configuration", key=what,
            remedy="Start all shards with the same file and version, or wait for them to end.",
        )  # fmt: skip


def _inputs(plan: Plan, config: SurveyConfig) -> list[Path]:
    """Every file that the units of a plan read."""
    settings = settings_of(config)
    found = {path for path in (*settings.masks_ccd, *settings.masks_tile) if path is not None}
    for unit in plan.units:
        for name in ("image", "weight", "flag", "stars"):
            path = getattr(unit.task, name, None)
            if path is not None:
                found.add(path)
    return sorted(found)
