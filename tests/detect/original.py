"""Run the original program on any set of images; `sextractor.run_sextractor` fills one set."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from .cases import GAIN, SATURATION
from .fields import header
from .sextractor import BASE, PROGRAM

PYRAMID = ((1, 2, 1), (2, 4, 2), (1, 2, 1))


def run_original(
    folder: Path,
    images: Mapping[str, NDArray[Any]],
    keys: Mapping[str, Any],
    columns: Sequence[str],
    *,
    command: str = "image.fits",
    checks: Sequence[str] = (),
    mask: Sequence[Sequence[float]] = PYRAMID,
    wcs: bool = True,
) -> tuple[Table, dict[str, Any]]:
    """Catalogue and check-images; `images` are written as name.fits."""
    for name, image in images.items():
        head = fits.Header.fromstring(header(image.shape)) if wcs else fits.Header()
        head["GAIN"], head["SATURATE"] = GAIN, SATURATION
        fits.writeto(folder / f"{name}.fits", image, head)
    (folder / "columns.param").write_text("\n".join(columns) + "\n")
    rows = "\n".join(" ".join(map(str, row)) for row in mask)
    (folder / "filter.conv").write_text(f"CONV NORM\n{rows}\n")
    names = [f"check{k}.fits" for k in range(len(checks))]
    keys = {
        **BASE, "WEIGHT_IMAGE": "weight.fits", "FLAG_IMAGE": "flag.fits", **keys,
        "CATALOG_NAME": "out.fits", "PARAMETERS_NAME": "columns.param",
        "FILTER_NAME": "filter.conv", "CHECKIMAGE_TYPE": ",".join(checks) or "NONE",
        "CHECKIMAGE_NAME": ",".join(names) or "none.fits",
    }  # fmt: skip
    (folder / "run.sex").write_text("".join(f"{key} {value}\n" for key, value in keys.items()))
    subprocess.run(
        [str(PROGRAM), command, "-c", "run.sex"], cwd=folder, check=True, capture_output=True
    )
    found = {check: fits.getdata(folder / name) for check, name in zip(checks, names, strict=True)}
    return Table.read(folder / "out.fits", hdu=1), found
