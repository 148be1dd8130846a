"""Time the search for epochs, the stamps and their store; beside astropy's general inversion.

Run: python benchmarks/bench_survey.py [--objects N] [--exposures N] [--distortion SIP|TPV|TAN]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io.fits import Header

from purepipe.io import StampStore, write_stamp_store
from purepipe.survey import CCD, CCDPlanes, find_epochs, gather_stamps

SCALE = 0.187 / 3600
SHAPE = (4612, 2048)


def camera(exposure: int, distortion: str) -> list[CCD]:
    """40 CCDs of one exposure, a one-degree field with some per cent of distortion."""
    ccds = []
    for number in range(40):
        column, row = number % 10 - 4.5, number // 10 - 1.5
        cards: dict[str, Any] = {
            "NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0],
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
            "CRVAL1": 150.0, "CRVAL2": 2.0 + 0.01 * exposure,
            "CRPIX1": SHAPE[1] / 2 - 2100 * column, "CRPIX2": SHAPE[0] / 2 - 4700 * row,
            "CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE,
        }  # fmt: skip
        if distortion == "SIP":
            cards.update(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=3, B_ORDER=3)
            cards.update(A_2_0=2e-7, A_1_1=-1e-7, B_0_2=1e-7, B_1_1=2e-7, A_3_0=1e-12, B_0_3=1e-12)
        elif distortion == "TPV":
            cards.update(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_1=1.0, PV2_1=1.0)
            cards.update(PV1_4=3e-3, PV1_6=-1e-3, PV1_7=2e-2, PV2_4=-2e-3, PV2_7=-1e-2)
        ccds.append(CCD.from_header(str(2100001 + exposure), number, Header(cards)))
    return ccds


def one_by_one(ra: Any, dec: Any, ccds: list[CCD]) -> int:
    """Pairs found by inverting all objects on every CCD, as the original does."""
    pairs = 0
    for ccd in ccds:
        x, y = ccd.wcs.sky_to_pixel(ra, dec)
        with np.errstate(invalid="ignore"):
            inside = (x >= -0.5) & (x < SHAPE[1] - 0.5) & (y >= -0.5) & (y < SHAPE[0] - 0.5)
        pairs += int(np.count_nonzero(inside))
    return pairs


def timed(label: str, function: Callable[[], Any]) -> Any:
    """Call, and print the processor time."""
    start = time.process_time()
    result = function()
    print(f"{label:55s} {time.process_time() - start:8.3f} s")
    return result


def main() -> None:
    """Run all timings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=25000)
    parser.add_argument("--exposures", type=int, default=10)
    parser.add_argument("--distortion", choices=("SIP", "TPV", "TAN"), default="SIP")
    parser.add_argument("--plain", action="store_true", help="also invert all objects on all CCDs")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    ra = 150.0 + rng.uniform(-0.25, 0.25, options.objects)
    dec = 2.0 + rng.uniform(-0.25, 0.25, options.objects)

    def headers() -> list[CCD]:
        return [ccd for e in range(options.exposures) for ccd in camera(e, options.distortion)]

    ccds = timed(f"{options.exposures} exposures: headers to CCDs", headers)
    epochs = timed(f"{options.objects} objects: find epochs", lambda: find_epochs(ra, dec, ccds))
    print(f"  {len(epochs.row)} pairs of object and exposure")
    if options.plain:
        pairs = timed("the same, all objects on all CCDs", lambda: one_by_one(ra, dec, ccds))
        print(f"  {pairs} pairs of object and CCD")

    image = rng.normal(size=SHAPE).astype(np.float32)
    planes = CCDPlanes(image, image, np.ones_like(image), np.zeros(SHAPE, np.int32))
    block = epochs.of_objects(0, 500)
    stamps = timed(
        f"{len(block.row)} stamps of 51 x 51: gather",
        lambda: gather_stamps(block, ccds, lambda index: planes, size=51),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stamps.sqlite"
        names = [f"{e}-{c}" for e, c in zip(stamps.exposure, stamps.ccd, strict=True)]
        objects: dict[str, dict[str, Any]] = {str(row): {} for row in range(500)}
        for row, name, pixels in zip(stamps.row, names, stamps.images, strict=True):
            objects[str(row)][name] = {"VIGNET": pixels}
        timed(f"{len(stamps)} stamps: write store", lambda: write_stamp_store(path, objects))
        with StampStore(path) as store:
            timed(f"{len(stamps)} stamps: read store by key", lambda: [store[k] for k in objects])


if __name__ == "__main__":
    main()
