"""What a run did, as lines of at most 80 characters."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable

from purepipe.pipeline.steps import STEPS
from purepipe.pipeline.store import Outcome, StepRecord

_REMARKS = 10  # shown


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


def summary_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Units by their fate, the counts of every step, and one line for each failure."""
    outcomes = list(outcomes)
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
    failures = [outcome for outcome in outcomes if not outcome.done]
    if failures:
        lines += ["", f"not done: {len(failures)}"]
        for o in failures:
            lines += _wrapped(f"{o.name}: {o.status}: {o.message}")
    remarks = [outcome for outcome in outcomes if outcome.done and outcome.message]
    if remarks:
        lines += ["", f"remarks: {len(remarks)}"]
        for o in remarks[:_REMARKS]:
            lines += _wrapped(f"{o.name}: {o.message}")
        if len(remarks) > _REMARKS:
            lines.append(f"  ... and {len(remarks) - _REMARKS} more")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), 80, initial_indent="  ", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
