"""Time detection beside the original program, on the same simulated image.

Times are CPU seconds (user and system) and wall seconds of processes that start, read FITS files
and write a catalogue, the original's and purepipe's in turn; then those of purepipe from arrays in
memory, whole and by parts. Machine code is compiled before. ``--scaling`` times numbers of sources
instead, in images not larger than ``--shape`` (10000 10000 for all), ``--compile`` the first call
with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.detect.exact_engine import catalogue_objects, find_footprints
from purepipe.detect.footprints import threshold_image
from purepipe.detect.planes import prepare_image
from tests.detect.cases import exposure_of, original_columns
from tests.detect.compare import assert_same
from tests.detect.fields import make_field
from tests.detect.sextractor import EXPOSURE, PROGRAM, TILE, run_sextractor

WORKER = """
import sys
sys.path.insert(0, {root!r})
from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.exposure import Exposure
from purepipe.io.images import read_image
from purepipe.wcs import WCS
image, header = read_image("image.fits")
weight, flags = read_image("weight.fits")[0], read_image("flag.fits")[0]
exposure = Exposure(image, weight, "relative", flags, wcs=WCS.from_header(header), gain=2.0,
                    saturation=5000.0, zero_point=30.0)
del image, weight, flags
table = extract(exposure, DetectConfig.{preset}(), threads={threads}).table
table.write("ours.fits", overwrite=True)
"""


def timed(command, folder):
    """CPU and wall seconds of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command[0]} failed")
    return usage.ru_utime + usage.ru_stime, wall


def called(function):
    """CPU and wall seconds of a call, and its result."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = function()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - start, result


def spread(values):
    """Median and range."""
    return f"{statistics.median(values):8.2f}  ({min(values):.2f} to {max(values):.2f})"


def stages(exposure, config, threads):
    """Print the CPU time of each part of the step."""
    cpu, _, prepared = called(lambda: prepare_image(exposure, config, threads=threads))
    print(f"  background, weights, subtraction  {cpu:8.2f}")
    cpu, _, found = called(lambda: threshold_image(prepared, config, threads=threads))
    print(f"  filter and threshold              {cpu:8.2f}")
    cpu, _, prints = called(lambda: find_footprints(prepared, found, config, threads=threads))
    print(f"  components and deblending         {cpu:8.2f}")
    cpu, _, _ = called(lambda: catalogue_objects(prints, found, config))
    print(f"  cleaning, order, labels           {cpu:8.2f}")
    cpu, _, detection = called(lambda: extract(exposure, config, threads=threads))
    print(f"  the whole step                    {cpu:8.2f}")
    return detection


def beside(folder, preset, threads, repeats):
    """Run both programs in turn; print CPU and wall times and ratios."""
    (folder / "worker.py").write_text(
        WORKER.format(root=str(Path(__file__).parents[1]), preset=preset, threads=threads)
    )
    original, ours = [PROGRAM, "image.fits", "-c", "run.sex"], [sys.executable, "worker.py"]
    timed(ours, folder)  # compiles
    runs = [(timed(original, folder), timed(ours, folder)) for _ in range(repeats)]
    for k, what in enumerate(("CPU seconds", "wall seconds")):
        print(f"{what}: source-extractor     {spread([a[k] for a, _ in runs])}")
        print(f"{what}: purepipe, {threads} threads  {spread([b[k] for _, b in runs])}")
        print(f"{what}: ratio                {spread([b[k] / a[k] for a, b in runs])}")


def differences(ours, original):
    """Whether two catalogues are the same, or which columns differ in how many rows."""
    if len(ours) != len(original):
        return f"but purepipe has {len(ours)}"
    found = []
    for name in ours.colnames:
        try:
            assert_same(ours, original, [name], exact=True)
        except AssertionError:
            rows = np.asarray(ours[name] != original[name]).reshape(len(ours), -1).any(axis=1)
            found.append(f"{name} in {rows.sum()} rows")
    return "catalogues differ: " + ", ".join(found) if found else "catalogues identical"


def scaling(preset, largest):
    """Print the CPU time for growing numbers of sources and of pixels, up to `largest` pixels."""
    extract(exposure_of(make_field((300, 200), 30, seed=1)), getattr(DetectConfig, preset)())
    cases = ((400, 160), (1000, 1000), (3200, 1000), (3200, 10_000), (10_000, 100_000))
    for size, sources in cases:
        if size * size > largest:
            continue
        field = make_field((size, size), sources, seed=1, sky=0.0 if preset == "tile" else 600.0)
        exposure, config = exposure_of(field), getattr(DetectConfig, preset)()
        cpu, _, found = called(lambda e=exposure, c=config: extract(e, c))
        print(f"{size} x {size}, {sources} sources: {len(found.table)} objects {cpu:8.2f} CPU s")


def compiling(folder):
    """Print the time of the first call with an empty cache of machine code."""
    code = "from purepipe.pipeline.warm import warm_detection; warm_detection()"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    for what in ("first", "second"):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        print(f"{what} start: {time.perf_counter() - start:.1f} s")


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(2600, 2048), metavar=("NY", "NX"))
    parser.add_argument("--sources", type=int, default=2600)
    parser.add_argument("--preset", choices=("exposure", "tile"), default="exposure")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--scaling", action="store_true", help="time numbers of sources instead")
    parser.add_argument("--compile", action="store_true", help="time the compilation instead")
    options = parser.parse_args()
    if options.scaling:
        scaling(options.preset, options.shape[0] * options.shape[1])
        return
    tile = options.preset == "tile"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.compile:
            compiling(folder)
            return
        field = make_field(
            tuple(options.shape), options.sources, seed=options.seed,
            clusters=options.sources // 40, sky=0.0 if tile else 600.0,
        )  # fmt: skip
        config = DetectConfig.tile() if tile else DetectConfig.exposure()
        exposure = exposure_of(field)
        extract(exposure_of(make_field((300, 200), 30, seed=1)), config)  # compiles
        print("CPU seconds from memory:")
        detection = stages(exposure, config, options.threads)
        if PROGRAM is None:
            print("source-extractor is not installed: no comparison")
            return
        columns = original_columns()[: len(detection.table.colnames)]
        table, _ = run_sextractor(folder, field, TILE if tile else EXPOSURE, columns, checks=())
        print(f"{len(table)} objects, {differences(detection.table, table)}")
        del field, exposure, detection, table
        beside(folder, options.preset, options.threads, options.repeats)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
