"""The sections about the run as a whole: fate of the units, shear, steps, configuration."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from purepipe.config.survey import ShearConfig
from purepipe.errors import ConfigError, PurepipeError
from purepipe.io.config_file import format_toml
from purepipe.pipeline.results import Run, open_run
from purepipe.pipeline.shear import ShearComparison, ShearRow
from purepipe.pipeline.steps import STEPS
from purepipe.pipeline.store import Outcome, StepRecord
from purepipe.pipeline.summary import step_totals
from purepipe.report import object_plots
from purepipe.report.blocks import (
    Block,
    Cell,
    Gallery,
    Section,
    Text,
    Verbatim,
    cell,
    counted,
    duration,
    grid,
    picture,
    sentence,
)
from purepipe.report.records import Record
from purepipe.shapes import ShearEstimate

_KINDS = ("exposure", "ccd", "tile", "shapes", "cells", "catalogue")
_KIND_NAMES = {
    "exposure": "exposures", "ccd": "CCDs", "tile": "tiles", "shapes": "blocks of objects",
    "cells": "rows of cells", "catalogue": "tile catalogues",
}  # fmt: skip
_STATUSES = (
    "done", "nothing to do", "data bad", "configuration wrong", "timed out", "not written",
    "failed",
)  # fmt: skip
MAX_FAILURES = 300


def fate_section(record: Record) -> Section:
    """What became of the units; failures first, each with its message."""
    outcomes = record.outcomes
    if not outcomes:
        text = Text("The ledger holds no unit: the run has not started, or found nothing.", "warn")
        return Section("units", "Units", (text,))
    bad = [outcome for outcome in outcomes if not outcome.done]
    blocks: list[Block] = []
    if bad:
        blocks.append(_failures(bad, len(outcomes)))
    else:
        blocks.append(Text(f"All {counted(len(outcomes), 'unit')} done.", "good"))
    blocks.append(_fates(outcomes))
    return Section("units", "Units", tuple(blocks))


def _failures(bad: list[Outcome], total: int) -> Block:
    severity = {status: rank for rank, status in enumerate(reversed(_STATUSES))}
    ranked = sorted(bad, key=lambda o: (severity.get(o.status, -1), o.kind, o.name))
    rows = [
        [Cell(o.name), Cell(o.status, tone="bad"), Cell(" ".join(o.message.split()))]
        for o in ranked[:MAX_FAILURES]
    ]
    more = len(ranked) - len(rows)
    caption = f"{len(bad):,} of {counted(total, 'unit')} not done"
    caption += f"; {more:,} more than listed here." if more else "."
    return grid(caption, ("unit", "status", "message"), rows, text_columns=3)


def _fates(outcomes: tuple[Outcome, ...]) -> Block:
    counts = Counter((outcome.kind, outcome.status) for outcome in outcomes)
    shown = [status for status in _STATUSES if any(counts[kind, status] for kind in _KINDS)]
    rows = []
    for kind in _KINDS:
        numbers = [counts[kind, status] for status in shown]
        if sum(numbers):
            tones = [
                "bad" if n and status != "done" else ""
                for n, status in zip(numbers, shown, strict=True)
            ]
            cells = [cell(n, "{:,}", tone) for n, tone in zip(numbers, tones, strict=True)]
            rows.append([Cell(_KIND_NAMES[kind]), *cells])
    return grid("Units by their fate.", ("kind", *shown), rows)


def steps_section(record: Record) -> Section:
    """Counts into and out of each step, and its time."""
    sentences = {(step.unit, step.name): step.sentence for step in STEPS}
    totals = step_totals(record.outcomes)
    if not totals:
        return Section("steps", "Steps", (Text("No step ran."),))
    rows = []
    for kind, total, units in totals:
        what, *counts = step_cells(total)
        rows.append(
            [
                Cell(kind), Cell(total.step), what, cell(units, "{:,}"), *counts,
                Cell(duration(total.seconds / units)), Cell(sentences.get((kind, total.step), "")),
            ]
        )  # fmt: skip
    head = ("unit", "step", "counted", "units", "in", "out", "out/in (%)", "time", "per unit",
            "what it does")  # fmt: skip
    table = grid(
        "Sums over all units, in the order of the chain.", head, rows, text_columns=3,
        last_text_columns=1,
    )  # fmt: skip
    work = sum(outcome.seconds for outcome in record.outcomes)
    peak = max(outcome.peak_mb for outcome in record.outcomes)
    text = f"Work of all units together: {duration(work)}"
    text += f"; largest memory of a worker: {peak:,.0f} MB." if peak else "."
    return Section("steps", "Steps", (table, Text(text)))


def step_cells(step: StepRecord) -> list[Cell]:
    """What a step counted, how many went in and came out, the share in per cent, and the time."""
    kept = step.n_out / step.n_in if step.n_in else float("nan")
    return [
        Cell(step.what), cell(step.n_in, "{:,}"), cell(step.n_out, "{:,}"),
        cell(100 * kept, "{:.1f}"), Cell(duration(step.seconds)),
    ]  # fmt: skip


def shear_section(record: Record, comparison: ShearComparison | None) -> Section:
    """The recovered shear beside the truth, or the mean shear where there is no truth."""
    blocks = _compared(comparison) if comparison is not None else _mean_shear(record)
    return Section("shear", "Shear", tuple(blocks))


def _compared(comparison: ShearComparison) -> list[Block]:
    if not comparison.rows:
        return [Text("The comparison with the true shear holds no tile.")]
    head = ("tile", "objects", "true g1", "recovered g1", "difference (σ)",
            "true g2", "recovered g2", "difference (σ)")  # fmt: skip
    table = grid(
        "Mean shear of every tile; errors are 1 σ.", head,
        [_shear_row(row) for row in comparison.rows], sortable=len(comparison.rows) > 1,
    )  # fmt: skip
    biases = grid(
        "Bias over all tiles, recovered = (1 + m) true + c.",
        ("component", "m", "c"),
        [
            [Cell(f"g{i + 1}"), _with_error(comparison.m[i], comparison.m_error[i]),
             _with_error(comparison.c[i], comparison.c_error[i])]
            for i in range(2)
        ],
    )  # fmt: skip
    drawn = picture(
        "Recovered and true shear", "One point for each tile and component, with 1 σ errors.",
        lambda: object_plots.shear_comparison(comparison),
    )  # fmt: skip
    cut = Text(f"Cuts: {comparison.selection}.")
    return [table, biases, cut, Gallery((drawn,))]


def _shear_row(row: ShearRow) -> list[Cell]:
    cells = [Cell(row.tile, row.tile), cell(row.objects, "{:,}")]
    for component in range(2):
        true, found, error = (
            float(pair[component]) for pair in (row.true, row.recovered, row.error)
        )
        pull = (found - true) / error if error > 0 else float("nan")
        tone = "" if not abs(pull) > 3 else "bad"
        cells += [cell(true, "{:+.4f}"), _with_error(found, error), cell(pull, "{:+.1f}", tone)]
    return cells


def _with_error(value: float, error: float) -> Cell:
    """A value and its error, both to the second digit of the error."""
    if not np.isfinite(value):
        return Cell("not determined")
    if not (np.isfinite(error) and error > 0):
        return cell(float(value), "{:+.4f}")
    digits = int(np.clip(1 - np.floor(np.log10(error)), 1, 7))
    text = f"{value:+.{digits}f} ± {error:.{digits}f}".replace("-", "−")
    return Cell(text, float(value))


def _mean_shear(record: Record) -> list[Block]:
    """The calibrated mean shear of the whole catalogue, with its selection."""
    try:
        run = open_run(record.root)
        found = run.shear()
    except PurepipeError as error:
        return [Text(f"No mean shear: {sentence(error)}")]
    except (KeyError, ValueError) as error:
        return [Text(f"No mean shear: {type(error).__name__}: {error}")]
    caption = "Mean shear of all tiles, calibrated by metacalibration; errors are 1 σ."
    return [*shear_blocks(found, run.config.shear, caption), *_metadetect_shear(run)]


def shear_blocks(found: ShearEstimate, config: ShearConfig, caption: str) -> list[Block]:
    """A calibrated mean shear, its responses, and the objects and cuts that it rests on."""
    table = grid(
        caption,
        ("component", "shear", "response", "of which from the selection"),
        [
            [Cell(f"g{i + 1}"), _with_error(float(found.g[i]), float(found.errors[i])),
             cell(float(found.response[i, i]), "{:.4f}"),
             cell(float(found.selection_response[i, i]), "{:+.4f}")]
            for i in range(2)
        ],
    )  # fmt: skip
    text = (
        f"{found.number:,} of {counted(found.total, 'object')} enter, {found.measured:,} have an"
        f" unflagged shape. Cuts: {_cuts(config)}."
    )
    return [table, Text(text)]


def _metadetect_shear(run: Run) -> list[Block]:
    """The mean shear by metadetection, where the run has it."""
    if not run.config.tile.metadetect.enabled:
        return []
    try:
        found = run.metadetect_shear()
    except PurepipeError as error:
        return [Text(f"No mean shear by metadetection: {sentence(error)}")]
    table = grid(
        "Mean shear of all tiles, by metadetection; errors are 1 σ, from leaving out cells.",
        ("component", "shear", "response"),
        [
            [Cell(f"g{i + 1}"), _with_error(float(found.g[i]), float(found.errors[i])),
             cell(float(found.response[i, i]), "{:.4f}")]
            for i in range(2)
        ],
    )  # fmt: skip
    text = f"{found.number:,} of {found.total:,} detections on unsheared images have a weight."
    return [table, Text(text)]


def _cuts(config: ShearConfig) -> str:
    cuts = [f"S/N > {config.min_s2n:g}", f"T/T(PSF) > {config.min_size_ratio:g}"]
    if config.max_s2n is not None:
        cuts.append(f"S/N < {config.max_s2n:g}")
    if config.unmasked:
        cuts.append("no masked pixel")
    return ", ".join(cuts)


def configuration_section(record: Record) -> Section:
    """The configuration as used."""
    if not record.config:
        return Section("configuration", "Configuration", (Text("The ledger holds none."),))
    plain = _without_none(record.config)
    try:
        text = format_toml(plain)
    except ConfigError:
        text = json.dumps(record.config, indent=2, sort_keys=True)
    title = "The configuration as used (TOML; options that are not set are left out)"
    return Section("configuration", "Configuration", (Verbatim(title, text),))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value
