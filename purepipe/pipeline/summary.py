"""What a run did, as lines of at most 80 characters."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from purepipe.config import SurveyConfig
from purepipe.pipeline.endings import failure_lines, remark_lines, wrapped
from purepipe.pipeline.steps import STEPS
from purepipe.pipeline.store import Outcome, StepRecord

_ALL = "`purepipe status RUN --failures` names each of them."


def step_totals(outcomes: Iterable[Outcome]) -> list[tuple[str, StepRecord, int]]:
    """(unit kind, sums over all units, number of units) of each step, in the order of the chain."""
    sums: dict[tuple[str, str], list[StepRecord]] = defaultdict(list)
    for outcome in outcomes:
        for step in outcome.steps:
            sums[outcome.kind, step.step].append(step)
    rows = []
    for item in STEPS:
        records = sums.get((item.unit, item.name))
        if records:
            total = StepRecord(
                item.name, item.counts,
                sum(r.n_in for r in records), sum(r.n_out for r in records),
                sum(r.seconds for r in records),
            )  # fmt: skip
            rows.append((item.unit, total, len(records)))
    return rows


def summary_lines(outcomes: Iterable[Outcome], *, each: bool = False) -> list[str]:
    """Units by their fate, the counts of every step, and a paragraph for each way to fail.

    Parameters
    ----------
    each
        A paragraph for each unit that failed instead.
    """
    outcomes = list(outcomes)
    if not outcomes:
        return ["no unit has ended"]
    fates = Counter((outcome.kind, outcome.status) for outcome in outcomes)
    lines = ["units"]
    for kind in ("exposure", "ccd", "tile", "shapes", "cells", "catalogue"):
        counts = {status: n for (k, status), n in fates.items() if k == kind}
        if counts:
            text = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
            lines.append(f"  {kind:<10} {text}")
    lines += ["", f"  {'unit':<10}{'step':<11}{'what':<9}{'in':>12}{'out':>12}{'seconds':>10}"]
    for kind, total, _ in step_totals(outcomes):
        lines.append(
            f"  {kind:<10}{total.step:<11}{total.what:<9}{total.n_in:>12,}{total.n_out:>12,}"
            f"{total.seconds:>10.1f}"
        )
    failures = failure_lines(outcomes, each=each, elsewhere=_ALL)
    return [*lines, *failures, *remark_lines(outcomes)]


def guard_text(guards: Iterable[str]) -> list[str]:
    """What failed too often, as lines."""
    return [line for guard in guards for line in wrapped(f"guard: {guard}", "")]


def nothing_text(outcomes: Iterable[Outcome], config: SurveyConfig) -> list[str]:
    """Why the final catalogue has no object, as lines."""
    outcomes = list(outcomes)
    failed = Counter(o.kind for o in outcomes if not o.done)
    found = sum(
        s.n_out for o in outcomes if o.kind == "tile" for s in o.steps if s.step == "detect"
    )
    if not any(outcome.kind == "tile" for outcome in outcomes):
        text = f"no object: no tile matches {config.inputs.tile_image} (inputs.tile_image)."
    elif any(o.kind == "tile" and not o.complete for o in outcomes):
        text = "no object in the final catalogue: see above what became of the tiles."
    elif found == 0:
        text = "no object in the final catalogue: none was detected; look at tile.detect.threshold."
    else:
        kinds = ", ".join(f"{n} {kind}" for kind, n in failed.items())
        text = f"no object in the final catalogue: {found:,} were detected; see above what became"
        text += f" of the units that are not done ({kinds})." if kinds else " of them."
    return wrapped(text, "")
