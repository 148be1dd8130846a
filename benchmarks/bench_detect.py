"""Time detection beside the original program, on the same simulated exposure.

Both read nothing but what they need: the original's time includes its start and its file
reading, purepipe's starts from arrays in memory (compiled before). Neither writes check images.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from purepipe.config import DetectConfig
from purepipe.detect import extract
from purepipe.detect.background import estimate_background
from purepipe.detect.exact_engine import catalogue_objects, find_footprints
from purepipe.detect.footprints import threshold_image
from purepipe.detect.planes import prepare_image
from tests.detect.cases import exposure_of, original_columns
from tests.detect.compare import assert_same
from tests.detect.fields import make_field
from tests.detect.sextractor import EXPOSURE, PROGRAM, TILE, run_sextractor


def best(function, repeats):
    """Shortest wall time of a few runs, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def stages(exposure, config, repeats):
    """Print the time of each part of the step."""
    seconds, _ = best(lambda: estimate_background(exposure.image), repeats)
    print(f"  background alone, no weights       {seconds:8.3f} s")
    seconds, prepared = best(lambda: prepare_image(exposure, config), repeats)
    print(f"  background, weights, subtraction   {seconds:8.3f} s")
    seconds, found = best(lambda: threshold_image(prepared, config), repeats)
    print(f"  filter and threshold               {seconds:8.3f} s")
    seconds, prints = best(lambda: find_footprints(prepared, found, config), repeats)
    print(f"  components and deblending          {seconds:8.3f} s")
    seconds, _ = best(lambda: catalogue_objects(prints, found, config), repeats)
    print(f"  cleaning, order, labels            {seconds:8.3f} s")


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(2600, 2048), metavar=("NY", "NX"))
    parser.add_argument("--sources", type=int, default=2600)
    parser.add_argument("--preset", choices=("exposure", "tile"), default="exposure")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    tile = options.preset == "tile"
    field = make_field(
        tuple(options.shape), options.sources, seed=options.seed, clusters=options.sources // 40,
        sky=0.0 if tile else 600.0,
    )  # fmt: skip
    exposure = exposure_of(field)
    config = DetectConfig.tile() if tile else DetectConfig.exposure()
    start = time.perf_counter()
    extract(exposure, config)
    print(f"first call, compiling or loading     {time.perf_counter() - start:8.3f} s")
    stages(exposure, config, options.repeats)
    times = {}
    for threads in options.threads:
        times[threads], detection = best(
            lambda n=threads: extract(exposure, config, threads=n), options.repeats
        )
        print(
            f"purepipe, {threads} thread(s): {len(detection.table)} objects {times[threads]:8.3f} s"
        )
    if PROGRAM is None:
        print("source-extractor is not installed: no comparison")
        return
    folder = Path(tempfile.mkdtemp())
    keys = TILE if tile else EXPOSURE
    columns = original_columns()[: len(detection.table.colnames)]
    table, _ = run_sextractor(folder, field, keys, columns, checks=())
    command = [PROGRAM, "image.fits", "-c", "run.sex"]
    seconds, _ = best(
        lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True),
        options.repeats,
    )
    print(f"source-extractor: {len(table)} objects {seconds:8.3f} s")
    for threads, ours in times.items():
        print(f"ratio purepipe ({threads} thread(s)) / source-extractor: {ours / seconds:.2f}")
    try:
        assert_same(detection.table, table, detection.table.colnames, exact=True)
        print("catalogues identical")
    except AssertionError as error:
        print("catalogues differ:", str(error).strip().splitlines()[-12:])
    shutil.rmtree(folder)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
