"""How the cost of every step grows with its number of objects or pixels: a picture, and numbers.

    python benchmarks/growth.py                     # docs/growth.svg and benchmarks/growth.json
    python benchmarks/growth.py --largest 0.1       # a tenth of the sizes, elsewhere: --out PREFIX
    python benchmarks/growth.py --plot              # the picture of what was measured before

Each step runs alone in this process, on one thread, compiled before; the least CPU time of some
runs counts. The line through the largest size is that of a cost proportional to the number; the
exponent is fitted to the three largest sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "reference" / "psf")]

# What a step makes of a size: the number of objects or pixels, and a function to time.
Case = tuple[int, Callable[[], Any]]


@dataclass(frozen=True)
class Step:
    """One panel of the picture."""

    title: str
    unit: str  # of the number
    sizes: tuple[int, ...]
    make: Callable[[int], Case]


def detection(side: int) -> Case:
    """Objects of a field with one source for 2000 pixels."""
    from purepipe.config import DetectConfig
    from purepipe.detect import extract
    from tests.detect.cases import exposure_of
    from tests.detect.fields import make_field

    exposure = exposure_of(make_field((side, side), side * side // 2000, seed=1))
    config = DetectConfig.exposure()
    return len(extract(exposure, config).table), lambda: extract(exposure, config)


def masks(side: int) -> Case:
    """Pixels of an image with one bright star for 30,000 of them."""
    from astropy.table import Table

    from purepipe.exposure import Exposure, WeightKind
    from purepipe.mask import build_mask
    from tests.mask.fields import wcs

    sky, rng = wcs((side, side), sip=1e-8, angle=0.3), np.random.default_rng(1)
    number = max(side * side // 30_000, 1)
    ra, dec = sky.pixel_to_sky(*rng.uniform(0, side, (2, number)))
    stars = Table({"ra": ra, "dec": dec, "mag": 18 - rng.exponential(1.5, number)})
    image = rng.normal(100, 5, (side, side)).astype(np.float32)
    exposure = Exposure(image, np.ones_like(image), WeightKind.INVERSE_VARIANCE, wcs=sky)
    return side * side, lambda: build_mask(exposure, stars)


def psf(stars: int) -> Case:
    """Rows of a catalogue of stars; a model of degree 2."""
    from make_reference import star_catalogue

    from purepipe.psf import fit_psf

    table = star_catalogue(stars, 1)
    return len(table), lambda: fit_psf(table)


def epochs(number: int) -> Case:
    """Objects on ten exposures of 40 CCDs."""
    from bench_survey import camera

    from purepipe.survey import find_epochs

    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(-0.25, 0.25, (2, number)) + np.array([[150.0], [2.0]])
    ccds = [ccd for exposure in range(10) for ccd in camera(exposure, "SIP")]
    return number, lambda: find_epochs(ra, dec, ccds)


def spread(number: int) -> Case:
    """Stamps of 51 x 51 pixels."""
    from purepipe.psf.spread import spread_model

    rng = np.random.default_rng(1)
    grid = np.arange(51) - 25
    one = np.exp(-(grid[:, None] ** 2 + grid**2) / 8.0)
    stamps = (500 * one + rng.normal(0, 5, (number, 51, 51))).astype(np.float32)
    weights, sigma = np.full_like(stamps, 0.04), np.full(number, 1.7)
    return number, lambda: spread_model(stamps, weights, sigma)


def shapes(number: int) -> Case:
    """Galaxies with three epochs of 51 x 51 pixels, five types."""
    from bench_shapes import noisy_stamps

    from purepipe.shapes import draw_library, metacal_fit

    stamps = noisy_stamps(draw_library(50), number, 30.0)
    return number, lambda: metacal_fit(*stamps, seed=1)


STEPS = {
    "detection": Step("Detection", "objects", (250, 500, 1000, 2000, 4000), detection),
    "masks": Step("Masks", "pixels", (250, 500, 1000, 2000, 4000, 8000), masks),
    "psf": Step("PSF fit", "stars", (25, 50, 100, 200, 400, 800), psf),
    "epochs": Step("Epochs", "objects", (1000, 4000, 16_000, 64_000, 256_000), epochs),
    "spread": Step("Spread model", "objects", (50, 200, 800, 3200, 12_800), spread),
    "shapes": Step("Shapes", "galaxies", (50, 200, 800, 3200), shapes),
}
# Sides of images: a tenth of the pixels is a third of the side.
SIDES = ("detection", "masks")


def measure(name: str, largest: float, repeats: int) -> Iterator[tuple[int, float]]:
    """(number, CPU seconds) of a step, for growing sizes."""
    step, factor = STEPS[name], np.sqrt(largest) if name in SIDES else largest
    sizes = [size for size in step.sizes if size <= factor * step.sizes[-1]] or step.sizes[:1]
    for size in step.sizes[:2]:
        step.make(size)[1]()  # compiles
    for size in sizes:
        number, run = step.make(size)
        spent = []
        for _ in range(repeats):
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
        print(f"{name:10} {number:>10,} {step.unit:9} {min(spent):9.4f} s", flush=True)
        yield number, min(spent)


def exponent(points: list[tuple[int, float]]) -> float:
    """Power of the number with which the cost grows, from the three largest sizes."""
    numbers, seconds = np.log(np.array(points[-3:])).T
    return float(np.polyfit(numbers, seconds, 1)[0])


def draw(path: Path, measured: dict[str, list[tuple[int, float]]]) -> None:
    """The picture: a panel per step."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    mpl.rcParams["svg.hashsalt"] = "purepipe"  # the same bytes from the same numbers
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, (name, points) in zip(panels, measured.items(), strict=False):
        numbers, seconds = np.array(points, dtype=float).T
        axes.loglog(numbers, seconds[-1] * numbers / numbers[-1], "--", color="0.6",
                    label="proportional")  # fmt: skip
        axes.loglog(numbers, seconds, "o-", color="C0", markersize=4, label="measured")
        power = f": power {exponent(points):.2f}" if len(points) > 2 else ""
        axes.set_title(STEPS[name].title + power, fontsize=11)
        axes.set_xlabel(STEPS[name].unit)
        axes.grid(alpha=0.3)
        for axis in (axes.xaxis, axes.yaxis):  # labels at powers of ten alone
            axis.set_minor_formatter(NullFormatter())
    for axes in panels[len(measured) :]:
        axes.remove()
    for axes in panels[::3]:
        axes.set_ylabel("CPU seconds")
    panels[0].legend(frameon=False, fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure, write the numbers, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=STEPS, help="steps measured anew")
    parser.add_argument("--largest", type=float, default=1.0, help="fraction of the largest sizes")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the least counts")
    parser.add_argument("--plot", action="store_true", help="measure nothing, draw again")
    parser.add_argument("--out", type=Path, metavar="PREFIX", help="of .svg and .json")
    options = parser.parse_args()
    data = options.out.with_suffix(".json") if options.out else HERE / "growth.json"
    picture = options.out.with_suffix(".svg") if options.out else HERE.parent / "docs/growth.svg"
    measured = json.loads(data.read_text()) if data.exists() else {}
    for name in () if options.plot else options.only or STEPS:
        measured[name] = list(measure(name, options.largest, options.repeats))
        measured = {name: measured[name] for name in STEPS if name in measured}
        data.write_text(json.dumps(measured) + "\n")
    draw(picture, measured)


if __name__ == "__main__":
    main()
