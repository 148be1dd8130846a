"""The mask step beside WeightWatcher: identical polygons, and the time of a whole CCD.

Every random polygon is drawn alone by both programs on the same map and compared pixel by pixel;
then the halos and spikes of a MegaCam CCD are masked by both, files included for the original
since it knows nothing else. Both run on one core, one after the other, the best of `--repeat`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mask.fields import wcs
from mask.polygons import KINDS, random_polygon
from mask.weightwatcher import region_text, run_weightwatcher

from purepipe.config import MaskConfig, from_mapping
from purepipe.exposure import Exposure, WeightKind
from purepipe.mask import build_mask
from purepipe.mask.raster import rasterise
from purepipe.mask.rules import builtin_model, star_polygons


def compare_polygons(folder, count):
    """Number of pixels in which the maps of `count` random polygons differ."""
    shape, group = (190, 200), 24
    rng = np.random.default_rng(11)
    drawn = different = pixels = 0
    while drawn < count:
        # 24 bits of one 32-bit map hold 24 polygons apart from each other.
        polygons = [random_polygon(KINDS[k % len(KINDS)], rng, shape) for k in range(group)]
        values = [1 << (k + 1) for k in range(group)]
        flags, _, _ = run_weightwatcher(
            folder, [np.ones(shape, np.float32)], regions=[region_text([p]) for p in polygons],
            POLY_OUTFLAGS=",".join(map(str, values)), OUTWEIGHT_NAME="",
        )  # fmt: skip
        mine = rasterise(polygons, shape, origin=1, value=values)
        different += int(sum(((mine ^ flags) & value != 0).sum() for value in values))
        drawn += group
        pixels += group * flags.size
    return drawn, pixels, different


def best(function, repeat):
    """Shortest of several runs, seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def time_ccd(folder, stars, repeat):
    """Seconds of the original and of purepipe, pixels that differ, and the masked fraction."""
    shape = (4644, 2112)
    field = wcs(shape, sip=1e-8, angle=0.3)
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, shape[1], stars), rng.uniform(0, shape[0], stars)
    mag = 18 - rng.exponential(1.5, stars)
    ra, dec = field.pixel_to_sky(x, y)
    table = Table({"ra": ra, "dec": dec, "mag": mag})
    image = rng.normal(100, 5, shape).astype(np.float32)
    weight = np.ones(shape, np.float32)
    exposure = Exposure(image, weight, WeightKind.INVERSE_VARIANCE, wcs=field)
    config = from_mapping(MaskConfig, {"compat": "shapepipe", "weight": {"maximum": 1000.0}})
    mask = build_mask(exposure, table, config)
    seconds = best(lambda: build_mask(exposure, table, config), repeat)
    exact = best(lambda: build_mask(exposure, table), repeat)

    x, y = field.sky_to_pixel(ra, dec)
    texts = []
    for name, scale, limit in (("halo", 0.05, 13.0), ("spike", 0.3, 18.0)):
        use = mag < limit
        polygons = star_polygons(
            x[use], y[use], mag[use], builtin_model(name), scale=scale, mag_pivot=13.8, invert=True
        )
        texts.append(region_text([polygon + 0.5 for polygon in polygons]))
    keys = {
        "POLY_OUTFLAGS": "2,128", "WEIGHT_MIN": 0, "WEIGHT_MAX": 1000, "OUTWEIGHT_NAME": "",
        "VERBOSE_TYPE": "QUIET",
    }  # fmt: skip
    flags, _, _ = run_weightwatcher(folder, [weight], regions=texts, **keys)
    command = [shutil.which("weightwatcher") or "ww", "-WEIGHT_NAMES", "WEIGHT_NAMES0.fits"]
    command += ["-FLAG_NAMES", "", "-POLY_NAMES", "poly0.reg,poly1.reg", "-WRITE_XML", "N"]
    command += [part for key, value in keys.items() for part in (f"-{key}", str(value))]
    original = best(
        lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True), repeat
    )
    flags = flags.astype(np.int32)
    edge = np.ones(shape, bool)
    edge[50:-50, 50:-50] = False
    different = np.count_nonzero(mask != flags + 4 * edge)

    def with_files():
        read = fits.getdata(folder / "WEIGHT_NAMES0.fits").astype(np.float32)
        drawn = build_mask(exposure.replace(weight=read), table, config)
        fits.writeto(folder / "mask.fits", drawn.astype(np.int16), overwrite=True)

    times = (original, best(with_files, repeat), seconds, exact)
    return times, different, np.count_nonzero(mask) / mask.size


def main():
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polygons", type=int, default=2000, help="random polygons to compare")
    parser.add_argument("--stars", type=int, default=300, help="stars on the CCD")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the best counts")
    options = parser.parse_args()
    if shutil.which("weightwatcher") is None and shutil.which("ww") is None:
        sys.exit("weightwatcher is not installed; there is nothing to compare with")
    with tempfile.TemporaryDirectory() as name:
        drawn, pixels, different = compare_polygons(Path(name), options.polygons)
        print(f"{drawn} random polygons of {len(KINDS)} kinds, {pixels:.3g} pixels: "
              f"{different} differ")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        times, different, fraction = time_ccd(Path(name), options.stars, options.repeat)
    print(f"CCD of 2112 x 4644 with {options.stars} stars, {fraction:.1%} masked: "
          f"{different} pixels differ")  # fmt: skip
    labels = (
        "WeightWatcher, halos and spikes, with its files",
        "purepipe, the same and all other rules, with files",
        "purepipe, the same in memory",
        "purepipe, the repaired rules in memory",
    )
    for label, seconds in zip(labels, times, strict=True):
        print(f"{label:52s}{seconds:7.3f} s  {times[0] / seconds:5.2f} x")


if __name__ == "__main__":
    main()
