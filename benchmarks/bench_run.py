"""What the runner costs beside the steps: per unit, per plan, on disk.

Four measurements, each in this process unless said otherwise:

trivial     10,000 units that do nothing: milliseconds per unit, serial and with worker processes
plan        100,000 units from known headers: seconds and memory; and headers read for the first
            time, milliseconds per CCD
survey      the demo's survey (or --survey FILE), serial: CPU time of the runner in per cent of that
            of the steps; measured costs of every kind of unit, for docs/scale.md
resume      the same survey again, with everything done: milliseconds per unit

Times are CPU seconds, which other users of the machine disturb little.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from purepipe.config import MaskConfig, SimulateConfig, SurveyConfig
from purepipe.config.survey import InputConfig
from purepipe.pipeline import load_survey, make_executor, make_plan, run, warm_up, work
from purepipe.pipeline import schedule as schedules
from purepipe.pipeline.cost import fit_costs, unit_size
from purepipe.pipeline.headers import ExposureFiles, read_headers
from purepipe.pipeline.progress import Silent
from purepipe.pipeline.schedule import Schedule
from purepipe.pipeline.store import LEDGER, Outcome, open_store, outcomes
from purepipe.pipeline.units import (
    CatalogueTask,
    CCDTask,
    CellsTask,
    ShapesTask,
    TileTask,
    Unit,
    WorkContext,
)
from purepipe.simulate import simulate_survey

CCDS = 40
KINDS = {
    CCDTask: "ccd", TileTask: "tile", ShapesTask: "shapes", CellsTask: "cells",
    CatalogueTask: "catalogue",
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=10_000, help="trivial units")
    parser.add_argument("--planned", type=int, default=100_000, help="units of the plan")
    parser.add_argument("--survey", type=Path, help="configuration of a survey; default: the demo")
    parser.add_argument(
        "--only", choices=("trivial", "plan", "survey"), help="one of the measurements"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only in (None, "trivial"):
            bench_trivial(folder / "trivial", options.units)
        if options.only in (None, "plan"):
            bench_plan(folder / "plan", options.planned)
        if options.only in (None, "survey"):
            bench_survey(folder / "survey", options.survey)


def nothing(unit: Unit, context: WorkContext) -> Outcome:
    """What a worker does with a trivial unit."""
    return Outcome(unit.name, unit.kind, "done")


def bench_trivial(folder: Path, number: int) -> None:
    """Units that do nothing: what is left is the runner."""
    schedules.execute = nothing
    for workers in (1, 2):
        root = folder / str(workers)
        store = open_store(root, lock=True)
        config = SurveyConfig(out=root)
        pool = make_executor(workers)
        schedule = Schedule(
            store, WorkContext(root, config), Silent(), pool, own_pool=False, workers=workers
        )
        units = [Unit(f"ccd {i:07d}-0", "ccd", None, cost=float(i % 7)) for i in range(number)]  # type: ignore[arg-type]
        with measured() as spent:
            schedule.run(units)
        pool.shutdown()
        store.close()
        size = (root / LEDGER).stat().st_size
        name = "serial" if workers == 1 else f"{workers} processes"
        say(
            f"trivial   {number:,} units, {name}: {1e3 * spent['cpu'] / number:.2f} ms CPU,"
            f" {1e3 * spent['wall'] / number:.2f} ms wall per unit; ledger {size / number:.0f} B"
            " per unit"
        )
    schedules.execute = work.execute


def bench_plan(folder: Path, number: int) -> None:
    """A survey of links to one exposure and one tile, planned from known headers."""
    tiles = max(number // 250, 1)
    exposures = (number - tiles) // CCDS
    config = linked_survey(folder, exposures, tiles)
    files = [
        ExposureFiles(
            str(2_000_000 + i),
            *(folder / f"{kind}-{2_000_000 + i}.fits" for kind in ("image", "weight", "flag")),
        )
        for i in range(exposures)
    ]
    some = files[: min(20, exposures)]
    with measured() as spent:
        _, fresh = read_headers(some, config.inputs)
    say(
        f"headers   read for the first time: {1e3 * spent['cpu'] / (len(some) * CCDS):.2f} ms CPU"
        " per CCD and core"
    )
    text = next(iter(fresh.values()))[1]
    known = {item.number: (item.identity(config.inputs), text) for item in files}
    del fresh
    before = peak_mb()
    with measured() as spent:
        plan = make_plan(config, known=known.get)
    say(
        f"plan      {len(plan.units):,} units: {spent['cpu']:.1f} s CPU, {spent['wall']:.1f} s"
        f" wall, {peak_mb():.0f} MB at most ({before:.0f} MB before), {len(plan.problems)} problems"
    )
    store = open_store(folder / "run", lock=True)
    schedule = Schedule(
        store, WorkContext(config.out, config), Silent(), make_executor(1), own_pool=False
    )
    with measured() as spent:
        schedule.add(plan.units)
    say(
        f"schedule  {len(plan.units):,} units made ready: {spent['cpu']:.1f} s CPU,"
        f" {peak_mb():.0f} MB at most"
    )
    store.close()


def linked_survey(folder: Path, exposures: int, tiles: int) -> SurveyConfig:
    """A survey whose files are links to a few real ones; only its headers are of use."""
    folder.mkdir(parents=True)
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0,
        "CRPIX1": 10.0, "CRPIX2": 10.0, "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5,
        "GAIN": 1.6, "SATURATE": 6e4,
    }  # fmt: skip
    padding = [(f"KEY{i:05d}", i, "a card of the camera") for i in range(150)]
    header = fits.Header([*cards.items(), *padding])
    for kind in ("image", "weight", "flag"):
        planes = [fits.ImageHDU(np.ones((8, 8), np.int16), header, f"CCD{i}") for i in range(CCDS)]
        fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(folder / f"{kind}.fits")
        for i in range(exposures):
            os.link(folder / f"{kind}.fits", folder / f"{kind}-{2_000_000 + i}.fits")
    for i in range(tiles):
        tile = fits.Header(cards.items())
        for k in range(5):
            tile.add_history(f"{2_000_000 + (7 * i + k) % exposures}p.fits")
        for kind in ("tile", "tile_weight"):
            path = folder / f"{kind}-{i // 1000:03d}-{i % 1000:03d}.fits"
            fits.PrimaryHDU(np.ones((8, 8), np.float32), tile).writeto(path)
    names = {kind: str(folder / f"{kind}-{{number}}.fits") for kind in ("image", "weight", "flag")}
    inputs = InputConfig(
        **names, tile_image=str(folder / "tile-{number}.fits"), stars="",
        tile_weight=str(folder / "tile_weight-{number}.fits"),
    )  # fmt: skip
    config = SurveyConfig(out=folder / "run", inputs=inputs)
    return replace(
        config,
        ccd=replace(config.ccd, mask=unmasked(config.ccd.mask)),
        tile=replace(config.tile, mask=unmasked(config.tile.mask)),
    )


def unmasked(mask: MaskConfig) -> MaskConfig:
    """The rules without those that need a star catalogue."""
    return replace(
        mask, halo=replace(mask.halo, make=False), spike=replace(mask.spike, make=False)
    )  # fmt: skip


def bench_survey(folder: Path, path: Path | None) -> None:
    """A real survey in this process: the steps beside everything else."""
    if path is None:
        simulate_survey(folder, SimulateConfig(seed=1))
        config = SurveyConfig(seed=1, out=folder / "run")
        names = ("image", "weight", "flag", "tile_image", "tile_weight", "stars")
        absolute = {name: str(folder / getattr(config.inputs, name)) for name in names}
        config = replace(config, inputs=replace(config.inputs, **absolute))
    else:
        config = replace(load_survey(path), out=folder / "run")
    warm_up()
    spent_in_units = [0.0]
    by_kind = {KINDS[task]: [0.0] for task in work._WORK}
    for task, function in list(work._WORK.items()):
        work._WORK[task] = timed(function, by_kind[KINDS[task]])
    schedules.execute = timed(work.execute, spent_in_units)
    with measured() as spent:
        summary = run(config, workers=1)
    schedules.execute = work.execute
    steps, units = sum(spent[0] for spent in by_kind.values()), spent_in_units[0]
    say(
        f"survey    around the steps of units {units - steps:.2f} s CPU; plan, ledger, merging"
        f" {spent['cpu'] - units:.2f} s CPU"
    )
    say(
        f"survey    {len(summary.outcomes)} units, {summary.objects} objects: steps {steps:.1f} s"
        f" CPU, runner {spent['cpu'] - steps:.2f} s CPU:"
        f" {100 * (spent['cpu'] - steps) / steps:.2f} % overhead"
    )
    with measured() as spent:
        again = run(config, workers=1)
    say(
        f"resume    {again.skipped} units skipped in {spent['cpu']:.2f} s CPU,"
        f" {1e3 * spent['cpu'] / len(again.outcomes):.1f} ms per unit"
    )
    report_costs(config, {kind: spent[0] for kind, spent in by_kind.items()})


def report_costs(config: SurveyConfig, cpu: dict[str, float]) -> None:
    """The measured costs of units, as docs/scale.md quotes them; seconds of CPU."""
    store = open_store(config.out, create=False)
    done = outcomes(store)
    store.close()
    costs = fit_costs(done)
    for kind, cost in costs.kinds.items():
        if cost.units == 0:  # metadetection is off by default
            continue
        seconds = cpu[kind] / sum(unit_size(outcome) for outcome in done if outcome.kind == kind)
        size = "megapixel" if kind in ("ccd", "tile") else "object"
        say(
            f"cost      {kind:<10} {seconds:.5f} s, {cost.megabytes:.4f} MB per {size};"
            f" {cost.files} files a unit; {cost.peak_mb:.0f} MB of memory ({cost.units} units)"
        )
    say(f"cost      {costs.density:.0f} objects per megapixel of a tile")
    size = (config.out / LEDGER).stat().st_size
    say(f"ledger    {size / 1e3 / len(done):.2f} kB per unit")


def timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    """A function whose CPU seconds are added up."""

    def call(*args: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args)
        finally:
            into[0] += time.process_time() - start

    return call


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """CPU and wall seconds of the block, in the dictionary when it ends."""
    spent: dict[str, float] = {}
    cpu, wall = time.process_time(), time.perf_counter()
    yield spent
    spent["cpu"] = time.process_time() - cpu
    spent["wall"] = time.perf_counter() - wall


def peak_mb() -> float:
    """Largest memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
