"""Aggregate guards: what may fail now and then, but not often."""

from __future__ import annotations

from collections.abc import Iterable

from purepipe.config.survey import RunConfig
from purepipe.pipeline.store import Outcome
from purepipe.pipeline.summary import step_totals

# Steps whose counts mean: what came in, and what was a success.
_GUARDED = {
    ("ccd", "psf"),
    ("shapes", "psf"),
    ("shapes", "spread"),
    ("shapes", "shapes"),
    ("cells", "metadetect"),
}


def guard_lines(outcomes: Iterable[Outcome], config: RunConfig) -> tuple[str, ...]:
    """One line for each kind of unit, and each step, that lost more than its allowed share."""
    outcomes = list(outcomes)
    lines = []
    for kind in ("ccd", "tile", "shapes", "cells", "catalogue"):
        group = [outcome for outcome in outcomes if outcome.kind == kind]
        failed = sum(not outcome.complete for outcome in group)
        if group and failed / len(group) > config.max_failed_units:
            lines.append(
                f"{failed} of {len(group)} {kind} units failed"
                f" ({failed / len(group):.0%}; run.max_failed_units allows"
                f" {config.max_failed_units:.0%})"
            )
    for kind, total, _ in step_totals(outcomes):
        lost = total.n_in - total.n_out
        if (kind, total.step) not in _GUARDED or total.n_in == 0:
            continue
        if lost / total.n_in > config.max_failed_objects:
            lines.append(
                f"step {kind} {total.step}: {lost:,} of {total.n_in:,} {total.what} lost"
                f" ({lost / total.n_in:.0%}; run.max_failed_objects allows"
                f" {config.max_failed_objects:.0%})"
            )
    return tuple(lines)
