"""Time detection beside SExtractor, show how its cost grows, and what compilation costs.

    python benchmarks/bench_detect.py                   # all parts, a few minutes
    python benchmarks/bench_detect.py --part processes --large

``processes``: ``purepipe sex`` and the original program in turn, on the same files of a CCD and of
a tile (4000 x 4000 pixels, with --large 10000 x 10000): CPU and wall seconds and peak memory of
processes that start, read, detect and write, first with one thread, then with all cores; and
whether the catalogues are the same. ``step``: the parts of the step on arrays in memory, CPU
seconds. ``growth``: CPU seconds against sources and against pixels. ``compile``: CPU seconds of
compiling all kernels of the package into an empty cache. Except there, machine code is compiled
and bytecode written before the time is taken.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.table import Table
from rows import Row, add_json_option, program_version, take_turns, write_rows

sys.path.insert(0, str(Path(__file__).parents[1]))

from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.detect.exact_engine import catalogue_objects, find_footprints
from purepipe.detect.footprints import threshold_image
from purepipe.detect.planes import prepare_image
from tests.detect.cases import exposure_of, original_columns
from tests.detect.compare import assert_same
from tests.detect.fields import Field, make_field
from tests.detect.sextractor import EXPOSURE, PROGRAM, TILE, run_sextractor

PARTS = ("processes", "step", "growth", "compile")
ARCMIN2 = (60 / 0.187) ** 2  # pixels


class Case(NamedTuple):
    """A field and the settings of its kind."""

    name: str
    shape: tuple[int, int]
    density: float  # sources per square arcmin
    tile: bool

    @property
    def sources(self) -> int:
        """Number of sources that are drawn."""
        return int(self.shape[0] * self.shape[1] / ARCMIN2 * self.density)

    @property
    def config(self) -> DetectConfig:
        """Settings of this kind of image."""
        return DetectConfig.tile() if self.tile else DetectConfig.exposure()

    def field(self) -> Field:
        """The simulated images."""
        return make_field(
            self.shape, self.sources, seed=77, clusters=self.sources // 40,
            sky=0.0 if self.tile else 600.0,
        )  # fmt: skip


CCD = Case("CCD", (4644, 2112), 35, tile=False)
SMALL_TILE = Case("tile", (4000, 4000), 20, tile=True)
LARGE_TILE = Case("tile", (10_000, 10_000), 20, tile=True)


class Process(NamedTuple):
    """What a process took."""

    cpu: float
    wall: float
    memory: float  # GB


def timed(command: Sequence[str], folder: Path) -> Process:
    """Run a process to its end."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # As after an installation: bytecode is there.
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Process(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1e6)


def write_files(folder: Path, case: Case) -> None:
    """The images and settings of a case, and the original's first catalogue."""
    keys = {**(TILE if case.tile else EXPOSURE), "CHECKIMAGE_TYPE": "NONE"}
    run_sextractor(folder, case.field(), keys, original_columns(), checks=())


def alone(function: Any, *arguments: Any) -> None:
    """Call a function in a process of its own: memory of this one would count as its children's."""
    process = get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} failed")


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):8.2f}  ({min(values):.2f} to {max(values):.2f})"


def beside(case: Case, repeats: int) -> Iterator[Row]:
    """Both programs in turn: one thread, then all cores."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(write_files, folder, case)
        theirs = [str(PROGRAM), "image.fits", "-c", "run.sex"]
        runs: dict[int, list[tuple[Process, Process]]] = {}
        for threads in sorted({1, cores}):
            ours = [
                sys.executable, "-P", "-m", "purepipe", "sex", "image.fits", "-c", "run.sex",
                "-CATALOG_NAME", f"ours{threads}.fits", "-NTHREADS", str(threads),
            ]  # fmt: skip
            timed(ours, folder)  # compiles
            runs[threads] = [(timed(theirs, folder), timed(ours, folder)) for _ in range(repeats)]
        # Afterwards: the memory that this takes would count as that of later processes.
        for threads, pairs in runs.items():
            agreement, count = differences(folder, f"ours{threads}.fits")
            title = f"{case.name} {case.shape[0]} x {case.shape[1]}, {count} objects"
            print(f"{title}, {threads} threads: {agreement}")
            compared(pairs)
            clock = "CPU" if threads == 1 else "wall"
            figures = {"memory (GB)": max(b.memory for _, b in pairs)}
            mine, his = ([getattr(pair[k], clock.lower()) for pair in pairs] for k in (1, 0))
            rival = f"SExtractor {program_version('source-extractor')}"
            yield Row(f"purepipe sex, {title}", rival, agreement, figures, mine, his,
                      threads=threads, clock=clock)  # fmt: skip


def compared(pairs: Sequence[tuple[Process, Process]]) -> None:
    """Print what both programs took, and the ratios."""
    for k, what in enumerate(("CPU (s)", "wall (s)", "memory (GB)")):
        print(f"  {what:12} source-extractor {spread([a[k] for a, _ in pairs])}")
        print(f"  {what:12} purepipe sex     {spread([b[k] for _, b in pairs])}")
        print(f"  {what:12} ratio            {spread([b[k] / a[k] for a, b in pairs])}")


def differences(folder: Path, file: str) -> tuple[str, int]:
    """Whether two catalogues are the same, or which columns differ in how many rows."""
    ours, original = (Table.read(folder / name, hdu=1) for name in (file, "out.fits"))
    if len(ours) != len(original):
        return f"{len(ours)} objects instead of {len(original)}", len(original)
    found = []
    for name in ours.colnames:
        values = np.asarray(ours[name])
        plain = Table(
            {"NUMBER": ours["NUMBER"], name: values.astype(values.dtype.newbyteorder("="))}
        )
        try:
            assert_same(plain, original, [name], exact=True)
        except AssertionError:
            rows = np.asarray(ours[name] != original[name]).reshape(len(ours), -1).any(axis=1)
            found.append(f"{name} in {rows.sum()} rows")
    return "differing: " + ", ".join(found) if found else "identical catalogues", len(original)


def stages(case: Case, repeats: int) -> Iterator[Row]:
    """The CPU time of each part of the step, on arrays."""
    exposure, config = exposure_of(case.field()), case.config
    prepared = prepare_image(exposure, config)
    found = threshold_image(prepared, config)
    prints = find_footprints(prepared, found, config)
    jobs = {
        "background, weights, subtraction": lambda: prepare_image(exposure, config),
        "filter and threshold": lambda: threshold_image(prepared, config),
        "components and deblending": lambda: find_footprints(prepared, found, config),
        "cleaning, order, labels": lambda: catalogue_objects(prints, found, config),
        "the whole step": lambda: extract(exposure, config),
    }
    print(f"{case.name} {case.shape[0]} x {case.shape[1]}, from memory, CPU seconds:")
    for name, spent in take_turns(jobs, repeats).items():
        print(f"  {name:33}{spread([one.cpu for one in spent])}")
    cpu = [one.cpu for one in spent]
    yield Row(f"detection on arrays, {case.name} {case.shape[0]} x {case.shape[1]}", "itself",
              seconds=cpu)  # fmt: skip


def growth(large: bool) -> Iterator[Row]:
    """CPU time against the number of sources, and against that of pixels."""
    side = 10_000 if large else 5000
    extract(exposure_of(make_field((300, 200), 30, seed=1)))  # compiles
    rows = []
    print("CPU seconds of the step, on arrays")
    for title, cases in (
        ("sources", [(side, n) for n in (1000, 10_000, 100_000)]),
        ("pixels", [(n, n * n // 5000) for n in (1250, 2500, 5000, *((10_000,) * large))]),
    ):
        print(f"  against the number of {title}:")
        for size, sources in cases:
            exposure = exposure_of(make_field((size, size), sources, seed=1))
            cpu, objects = 1e9, 0
            for _ in range(2 if sources < 50_000 else 1):
                start = time.process_time()
                objects = extract(exposure).meta["SEXNFIN"]
                cpu = min(cpu, time.process_time() - start)
            pixels = size * size
            rows.append((pixels, objects, cpu))
            print(f"    {size:6} x {size:<6}{sources:8} sources {objects:8} objects {cpu:8.2f} s")
    matrix = np.array([(pixels, objects) for pixels, objects, _ in rows], float)
    seconds = np.array([cpu for *_, cpu in rows])
    # Relative residuals, or the largest images alone would count.
    slope = np.linalg.lstsq(matrix / seconds[:, None], np.ones(len(rows)))[0]
    worst = float(np.abs(matrix @ slope / seconds - 1).max())
    text = f"{slope[0] * 1e9:.0f} ns a pixel + {slope[1] * 1e6:.0f} us an object, to {worst:.0%}"
    print(f"  linear: {text}")
    yield Row("detection, cost", "itself", f"linear: {text}", {"residual": worst})


def compiling() -> Iterator[Row]:
    """CPU time of compiling everything, room by room, into an empty cache."""
    code = (
        "import time\nfrom purepipe.pipeline.warm import ROOMS\n"
        "for room in ROOMS:\n"
        "    start = time.process_time(); room()\n"
        "    print(room.__name__.removeprefix('warm_'), time.process_time() - start)"
    )
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "NUMBA_CACHE_DIR": name}
        first, second = (
            subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True,
                env=environment,
            ).stdout.splitlines()
            for _ in range(2)
        )  # fmt: skip
    total = 0.0
    for cold, warm in zip(map(str.split, first), map(str.split, second), strict=True):
        total += float(cold[1]) - float(warm[1])
        print(f"{cold[0]:10} {float(cold[1]):7.1f} CPU s; with machine code {float(warm[1]):.1f} s")
    print(f"compiling the package: {total:.1f} CPU s")
    yield Row("compiling all kernels", "itself", figures={"seconds": total}, seconds=[total])


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="one part; may be repeated")
    parser.add_argument(
        "--case", choices=("ccd", "tile"), action="append", help="one kind of image"
    )
    parser.add_argument("--large", action="store_true", help="tiles of 10000 x 10000 pixels")
    parser.add_argument("--repeats", type=int, default=3, help="runs, in turn")
    add_json_option(parser)
    options = parser.parse_args()
    parts = options.part or PARTS
    every = {"ccd": CCD, "tile": LARGE_TILE if options.large else SMALL_TILE}
    cases = [every[name] for name in options.case or every]
    rows: list[Row] = []
    if "processes" in parts and PROGRAM is None:
        print("source-extractor is not installed: no comparison")
    for case in cases:
        if "processes" in parts and PROGRAM is not None:
            rows += beside(case, options.repeats)
        if "step" in parts:
            rows += stages(case, options.repeats)
    if "growth" in parts:
        rows += growth(options.large)
    if "compile" in parts:
        rows += compiling()
    write_rows(options.json, rows)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
