"""How far a run has come, while it works and afterwards; and what a run will cost, before it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from purepipe.config import SurveyConfig
from purepipe.pipeline.cost import CostModel, fit_costs
from purepipe.pipeline.executors import cpu_count
from purepipe.pipeline.locks import at_work
from purepipe.pipeline.plan import Plan, make_plan, require_units
from purepipe.pipeline.store import (
    LEDGER,
    Outcome,
    attempts,
    ended_now,
    fact,
    kept_headers,
    open_store,
    outcomes,
)
from purepipe.pipeline.summary import guard_text
from purepipe.pipeline.units import TileTask, cell_units, pixels

KINDS = ("ccd", "tile", "shapes", "cells", "catalogue")
LEDGER_KB = 5.5  # of the ledger, per unit; measured by benchmarks/bench_run.py
_SHOWN = 5  # units at work, and failures of one message


@dataclass(frozen=True)
class RunStatus:
    """The state of a run.

    Attributes
    ----------
    processes
        One line for each process at work.
    finished
        True when the last run came to its end.
    planned, ended
        Units by kind; planned ones are estimated where a tile's objects are not known yet.
    working
        Units that work now, or did when the run died.
    seconds_left
        Estimate with the present workers; NaN when nothing works.
    outcomes
        How each unit ended, by name; without what stood before the last run and it did not find
        valid yet.
    guards
        What failed too often, at the end of the run.
    """

    processes: tuple[str, ...]
    finished: bool
    planned: dict[str, int]
    ended: dict[str, int]
    working: tuple[str, ...]
    seconds_left: float
    outcomes: tuple[Outcome, ...]
    guards: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    units, cpu_hours, megabytes, files
        By kind of unit.
    peak_mb
        Memory of one worker.
    stored_mb
        The ledger, headers among it.
    """

    units: dict[str, int]
    cpu_hours: dict[str, float]
    megabytes: dict[str, float]
    files: dict[str, int]
    peak_mb: float
    stored_mb: float
    measured: bool


def run_status(root: Path) -> RunStatus:
    """The state of the run in a folder; it may work, have ended, or have died.

    Raises
    ------
    StoreError
        The folder holds no run, or its ledger is damaged.
    """
    processes = tuple(at_work(root))
    store = open_store(root, create=False)
    try:
        now = ended_now(store)
        every = outcomes(store)
        planned = dict(fact(store, "planned", {}))
        block = int(fact(store, "config", {}).get("block_size", SurveyConfig.block_size))
        workers = sum(
            int(fact(store, f"workers {line.split(':')[0]}", 1)) for line in processes
        )  # fmt: skip
        working = tuple(name for name, _, _ in attempts(store))
        finished = fact(store, "finished") == fact(store, "campaign") is not None
        guards = tuple(fact(store, "guards", ())) if finished else ()
    finally:
        store.close()
    ended = [outcome for outcome in every if outcome.name in now]
    counts = Counter(outcome.kind for outcome in ended if outcome.key)
    if not finished:
        planned |= _expected_blocks(ended, planned, block)
    else:
        planned = dict(counts)
    left = _seconds_left(every, planned, counts)
    return RunStatus(
        processes, finished and not processes, planned, dict(counts), working,
        left / workers if workers else math.nan, tuple(ended), guards,
    )  # fmt: skip


def _expected_blocks(
    ended: Iterable[Outcome], planned: dict[str, int], block: int
) -> dict[str, int]:
    """Units of shapes and catalogues, by the tiles whose objects are known."""
    tiles = [outcome for outcome in ended if outcome.kind == "tile"]
    counts = [
        math.ceil(next((s.n_out for s in tile.steps if s.step == "detect"), 0) / block)
        for tile in tiles
    ]
    unknown = max(planned.get("tile", 0) - len(tiles), 0)
    mean = sum(counts) / len(counts) if counts else 1
    return {
        "shapes": sum(counts) + math.ceil(unknown * mean),
        "catalogue": sum(tile.complete for tile in tiles) + unknown,
    }


def _seconds_left(ended: Iterable[Outcome], planned: dict[str, int], counts: Counter[str]) -> float:
    """CPU seconds of the units that have not ended."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in ended:
        if outcome.done:
            groups.setdefault(outcome.kind, []).append(outcome)
    costs = fit_costs([])
    left = 0.0
    for kind, number in planned.items():
        group = groups.get(kind, [])
        mean = costs.seconds(kind, 10.0 if kind in ("ccd", "tile", "cells") else 500.0)
        if group:
            mean = sum(outcome.seconds for outcome in group) / len(group)
        left += max(number - counts[kind], 0) * mean
    return left


def status_lines(status: RunStatus) -> list[str]:
    """The state of a run as lines of text, above its summary."""
    lines = [f"at work: {line}" for line in status.processes]
    if not status.processes:
        text = "ended" if status.finished else "not at work, and not ended: run it again to resume"
        lines = [f"state: {text}"]
    total, ended = sum(status.planned.values()), sum(status.ended.values())
    if total:
        lines.append(f"units: {ended:,} of {total:,} have ended ({ended / total:.0%})")
    if math.isfinite(status.seconds_left) and not status.finished:
        lines.append(f"time left: about {duration(status.seconds_left)}")
    if status.working and not status.finished:
        verb = "in work" if status.processes else "in work when it died"
        shown = ", ".join(status.working[:_SHOWN])
        more = len(status.working) - _SHOWN
        lines.append(f"{verb}: {shown}" + (f" and {more} more" if more > 0 else ""))
    classes = Counter(outcome.status for outcome in status.outcomes if not outcome.done)
    lines += [f"{number:,} {name}" for name, number in sorted(classes.items())]
    return [*lines, *guard_text(status.guards), ""]


def duration(seconds: float) -> str:
    """A time for people: 50 s, 12 min, 3.4 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def estimate_run(
    config: SurveyConfig, *, executor: Executor | None = None
) -> tuple[Estimate, Plan]:
    """What a run of a survey will take, and its plan; the folder of the run is not made.

    Costs come from the units of the folder's earlier run, else from shipped ones.

    Raises
    ------
    ConfigError, NothingToDo
        As for `run`.
    """
    costs = fit_costs([])
    if (config.out / LEDGER).exists():
        store = open_store(config.out, create=False)
        try:
            costs = fit_costs(outcomes(store))
            plan = make_plan(
                config, executor=executor, known=lambda name: kept_headers(store, name), costs=costs
            )
        finally:
            store.close()
    else:
        plan = make_plan(config, executor=executor, costs=costs)
    require_units(plan, config)
    return estimate(plan, costs, config), plan


def estimate(plan: Plan, costs: CostModel, config: SurveyConfig) -> Estimate:
    """What the units of a plan will take, by measured or shipped costs of units."""
    size = dict.fromkeys(KINDS, 0.0)
    units = dict.fromkeys(KINDS, 0)
    for unit in plan.units:
        units[unit.kind] += 1
        size[unit.kind] += unit.cost / costs.kinds[unit.kind].seconds
        if isinstance(unit.task, TileTask):
            objects = round(costs.density * pixels(unit.task.shape))
            units["shapes"] += math.ceil(objects / config.block_size)
            units["catalogue"] += 1
            for row in cell_units(unit.task, config.tile.metadetect, costs):
                units["cells"] += 1
                size["cells"] += row.cost / costs.kinds["cells"].seconds
            size["shapes"] += objects
            size["catalogue"] += objects
    kinds = costs.kinds
    headers = sum(len(text) for _, text in plan.fresh.values()) / 1e6
    return Estimate(
        units=units,
        cpu_hours={kind: size[kind] * kinds[kind].seconds / 3600 for kind in KINDS},
        megabytes={kind: size[kind] * kinds[kind].megabytes for kind in KINDS},
        files={kind: units[kind] * (kinds[kind].files + 1) for kind in KINDS},
        peak_mb=max(kinds[kind].peak_mb for kind in KINDS if units[kind]),
        stored_mb=headers + LEDGER_KB * sum(units.values()) / 1e3,
        measured=any(kinds[kind].units for kind in KINDS),
    )


def estimate_lines(estimate: Estimate, plan: Plan, *, workers: int | None = None) -> list[str]:
    """The estimate as lines of text."""
    workers = workers or cpu_count()
    lines = [f"  {'unit':<11}{'number':>10}{'CPU hours':>12}{'GB':>10}{'files':>12}"]
    lines += [
        f"  {kind:<11}{estimate.units[kind]:>10,}{estimate.cpu_hours[kind]:>12.2f}"
        f"{estimate.megabytes[kind] / 1e3:>10.2f}{estimate.files[kind]:>12,}"
        for kind in KINDS
    ]
    hours = sum(estimate.cpu_hours.values())
    source = "units of this run" if estimate.measured else "the shipped costs of units"
    lines += [
        "",
        f"time: about {duration(hours * 3600 / workers)} on {workers} cores, by {source}",
        f"memory: {estimate.peak_mb / 1e3 * workers:.1f} GB for {workers} workers,"
        f" {estimate.peak_mb / 1e3:.1f} GB each",
        f"disk: {sum(estimate.megabytes.values()) / 1e3 + estimate.stored_mb / 1e3:.1f} GB in"
        f" {sum(estimate.files.values()):,} files, logs among them",
    ]
    if plan.problems:
        lines += ["", f"cannot be used: {len(plan.problems)}"]
        lines += [f"  {p.name}: {p.status}: {p.message}" for p in plan.problems[:20]]
    return lines
