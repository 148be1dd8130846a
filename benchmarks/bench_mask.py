"""The mask step beside WeightWatcher: identical maps, seconds, memory, and the cost of stars.

Every random polygon is drawn by both programs and compared pixel by pixel. Then the halos and
spikes of a MegaCam CCD are masked by both, from files into new files: WeightWatcher's call, and
what makes the same map here (and more: border, Messier objects, a header with world coordinates).
The runs take turns; of each the best wall-clock time counts, and the best processor time, which
suffers less from other work on the machine.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mask.fields import header, wcs
from mask.polygons import KINDS, random_polygon
from mask.weightwatcher import region_text, run_weightwatcher
from rows import Row, add_json_option, cpu_of, program_version, take_turns, write_rows

from purepipe.commands import ww
from purepipe.config import MaskConfig, from_mapping
from purepipe.exposure import Exposure, WeightKind
from purepipe.io.masks import mask_files
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


def compare_tile(folder, count, size=10_000):
    """Pixels of a large tile on which the maps of `count` polygons of all kinds differ."""
    rng = np.random.default_rng(12)
    polygons, values = [], []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        # Polygons of many vertices must have few digits, and so lie at one corner.
        near = (800, 800) if kind == "many" else (size, size)
        polygons.append(random_polygon(kind, rng, near))
        values.append(1 << (1 + number % 30))
    groups = {bit: [p for p, v in zip(polygons, values, strict=True) if v == bit] for bit in values}
    flags, _, _ = run_weightwatcher(
        folder, [np.ones((size, size), np.uint8)],
        regions=[region_text(group) for group in groups.values()],
        POLY_OUTFLAGS=",".join(map(str, groups)), OUTWEIGHT_NAME="",
    )  # fmt: skip
    mine = rasterise(polygons, (size, size), origin=1, value=values)
    return np.count_nonzero(mine), np.count_nonzero(mine != flags)


def without(outputs, job):
    """A job that finds none of its outputs there."""

    def run():
        for path in outputs:
            path.unlink(missing_ok=True)
        job()

    return run


def best(spent):
    """Shortest wall-clock and processor time of some runs."""
    return min(seconds.wall for seconds in spent), min(seconds.cpu for seconds in spent)


def make_ccd(folder, count, seed=5):
    """Image and weight files, an exposure of them, and a table of stars."""
    shape = (4644, 2112)
    field = wcs(shape, sip=1e-8, angle=0.3)
    rng = np.random.default_rng(seed)
    ra, dec = field.pixel_to_sky(rng.uniform(0, shape[1], count), rng.uniform(0, shape[0], count))
    stars = Table({"ra": ra, "dec": dec, "mag": 18 - rng.exponential(1.5, count)})
    image = rng.normal(100, 5, shape).astype(np.float32)
    weight = np.ones(shape, np.float32)
    cards = header(shape, sip=1e-8, angle=0.3)
    fits.writeto(folder / "image.fits", image, cards, overwrite=True)
    fits.writeto(folder / "weight.fits", weight, cards, overwrite=True)
    return Exposure(image, weight, WeightKind.INVERSE_VARIANCE, wcs=field), stars


def write_regions(folder, exposure, stars):
    """The region files that ShapePipe writes for WeightWatcher."""
    x, y = exposure.wcs.sky_to_pixel(stars["ra"], stars["dec"])
    for name, scale, limit in (("halo", 0.05, 13.0), ("spike", 0.3, 18.0)):
        use = np.asarray(stars["mag"] < limit)
        polygons = star_polygons(
            x[use], y[use], stars["mag"][use], builtin_model(name),
            scale=scale, mag_pivot=13.8, invert=True,
        )  # fmt: skip
        (folder / f"{name}.reg").write_text(region_text([item + 0.5 for item in polygons]))


def combination(**keys):
    """Words of WeightWatcher's command line."""
    options = {
        "WEIGHT_NAMES": "weight.fits", "FLAG_NAMES": "", "WEIGHT_MIN": 0, "WEIGHT_MAX": 1000,
        "OUTWEIGHT_NAME": "", "OUTFLAG_NAME": "theirs.fits", "VERBOSE_TYPE": "QUIET",
        "WRITE_XML": "N", "POLY_NAMES": "halo.reg,spike.reg", "POLY_OUTFLAGS": "2,128",
    } | keys  # fmt: skip
    return [word for key, value in options.items() for word in (f"-{key}", str(value))]


def weightwatcher(folder, *program, **keys):
    """A function that runs the program, or another one, with WeightWatcher's keywords."""
    command = [*(program or [shutil.which("weightwatcher") or "ww"]), *combination(**keys)]
    return lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)


def combine_here(folder):
    """A function that does what ``purepipe ww`` does, without a new process."""

    def job():
        with contextlib.chdir(folder):
            ww.main(combination(OUTFLAG_NAME="ww.fits"))

    return job


def time_ccd(folder, count, repeat):
    """Seconds of every run by label, pixels that differ, and the masked fraction."""
    exposure, stars = make_ccd(folder, count)
    write_regions(folder, exposure, stars)
    fits.writeto(folder / "tiny.fits", np.ones((20, 20), np.float32))
    same = from_mapping(MaskConfig, {"compat": "shapepipe", "weight": {"maximum": 1000.0}})
    ours, theirs, combined = (folder / f"{name}.fits" for name in ("ours", "theirs", "ww"))
    files = (folder / "image.fits", folder / "weight.fits")

    def from_files(config, durable=False):
        return lambda: mask_files(ours, *files, stars=stars, config=config, durable=durable)

    jobs = {
        "WeightWatcher": weightwatcher(folder),
        "WeightWatcher without polygons": weightwatcher(folder, POLY_NAMES="", POLY_OUTFLAGS=""),
        "WeightWatcher, 20 x 20 pixels": weightwatcher(
            folder, WEIGHT_NAMES="tiny.fits", POLY_NAMES="", POLY_OUTFLAGS=""
        ),
        "purepipe ww": weightwatcher(
            folder, sys.executable, "-P", "-m", "purepipe", "ww", OUTFLAG_NAME="ww.fits"
        ),
        "  the same, without starting Python": combine_here(folder),
        "purepipe, files, the same map": from_files(same),
        "  the same, waiting for the disk": from_files(same, durable=True),
        "purepipe, files, repaired rules, reads the image too": from_files(MaskConfig()),
        "purepipe, memory, the same map": lambda: build_mask(exposure, stars, same),
        "purepipe, memory, repaired rules": lambda: build_mask(exposure, stars),
    }
    turns = {name: without((ours, theirs, combined), job) for name, job in jobs.items()}
    times = take_turns(turns, repeat)
    for name in ("WeightWatcher", "purepipe ww", "purepipe, files, the same map"):
        jobs[name]()
    if not np.array_equal(fits.getdata(combined), fits.getdata(theirs)):
        sys.exit("purepipe ww wrote another map than WeightWatcher")
    edge = np.full(exposure.shape, 4, np.int16)
    edge[50:-50, 50:-50] = 0
    different = np.count_nonzero(fits.getdata(ours) != fits.getdata(theirs) + edge)
    return times, different, np.count_nonzero(fits.getdata(ours)) / edge.size


def memory(job):
    """Largest memory in use while a job runs, beyond what was before, MB."""
    job()
    tracemalloc.start()
    job()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def cost_of_stars(folder, repeat):
    """Memory, and processor time for more and more stars."""
    exposure, stars = make_ccd(folder, 300)
    files = (folder / "image.fits", folder / "weight.fits")
    used = memory(lambda: mask_files(folder / "m.fits", *files, stars=stars, durable=False))
    print(f"memory beyond the image: from files {used:.0f} MB, the image not counted as it is not"
          f" held; in memory {memory(lambda: build_mask(exposure, stars)):.0f} MB, of which"
          f" {exposure.image.nbytes / 1e6:.0f} MB are the mask itself")  # fmt: skip
    print("   stars    wall    processor (build_mask)")
    rng = np.random.default_rng(1)
    for count in (0, 300, 1000, 3000, 10000):
        more = stars[rng.integers(0, len(stars), count)]
        xy = rng.uniform(0, 1, (2, count)) * np.array([[2112], [4644]])
        more["ra"], more["dec"] = exposure.wcs.pixel_to_sky(*xy)
        spent = take_turns({"": lambda m=more: build_mask(exposure, m)}, repeat)[""]
        wall, processor = best(spent)
        print(f"{count:8d}{wall:8.3f}{processor:8.3f} s")


def rival_name():
    """The program and its version."""
    return f"WeightWatcher {program_version('weightwatcher')}"


def said(different):
    """The agreement of two maps."""
    return f"{different} pixels differ" if different else "no pixel differs"


def main():
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polygons", type=int, default=2000, help="random polygons to compare")
    parser.add_argument("--tile", type=int, default=10_000,
                        help="pixels a side of a large tile; 0 for none")  # fmt: skip
    parser.add_argument("--stars", type=int, default=300, help="stars on the CCD")
    parser.add_argument("--repeat", type=int, default=7, help="runs, of which the best counts")
    add_json_option(parser)
    options = parser.parse_args()
    if shutil.which("weightwatcher") is None and shutil.which("ww") is None:
        sys.exit("weightwatcher is not installed; there is nothing to compare with")
    with tempfile.TemporaryDirectory() as name:
        drawn, pixels, missed = compare_polygons(Path(name), options.polygons)
        print(f"{drawn} random polygons of {len(KINDS)} kinds, {pixels:.3g} pixels: "
              f"{missed} differ")  # fmt: skip
    rows = []
    if options.tile:
        size = f"{options.tile} x {options.tile}"
        with tempfile.TemporaryDirectory() as name:
            marked, wrong = compare_tile(Path(name), options.polygons, options.tile)
        print(f"{options.polygons} polygons on one map of {size}, {marked} pixels marked: {wrong}"
              " differ")  # fmt: skip
        rows.append(Row(f"masks, {options.polygons} random polygons on {size}", rival_name(),
                        said(wrong), {"different_pixels": int(wrong)}))  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        times, different, fraction = time_ccd(Path(name), options.stars, options.repeat)
        print(f"CCD of 2112 x 4644 with {options.stars} stars, {fraction:.1%} masked: "
              f"{different} pixels differ")  # fmt: skip
        print(f"{'':54s}    wall           processor      (load {os.getloadavg()[0]:.1f})")
        rival = best(times["WeightWatcher"])
        for label, spent in times.items():
            wall, processor = best(spent)
            print(f"{label:54s}{wall:7.3f} s{rival[0] / wall:6.2f} x"
                  f"{processor:7.3f} s{rival[1] / processor:6.2f} x")  # fmt: skip
        cost_of_stars(Path(name), options.repeat)
    rows.append(Row(f"masks, {drawn} random polygons", rival_name(), said(missed),
                    {"different_pixels": int(missed)}))  # fmt: skip
    rows += [
        Row(f"mask of a 2112 x 4644 CCD, {options.stars} stars, {label}",
            rival_name(), said(different), {"different_pixels": int(different)},
            cpu_of(times[f"purepipe, {label}, the same map"]), cpu_of(times["WeightWatcher"]))
        for label in ("files", "memory")
    ]  # fmt: skip
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
