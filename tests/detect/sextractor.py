"""Run the original program on a simulated field."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.table import Table

from .fields import Field, header

PROGRAM = shutil.which("source-extractor") or shutil.which("sex")
CHECKS = ("BACKGROUND", "-BACKGROUND", "FILTERED", "SEGMENTATION", "MINIBACKGROUND", "MINIBACK_RMS")

BASE = {
    "CATALOG_TYPE": "FITS_1.0",
    "DETECT_MINAREA": 10,
    "ANALYSIS_THRESH": 1.5,
    "FILTER": "Y",
    "DEBLEND_NTHRESH": 32,
    "CLEAN": "Y",
    "CLEAN_PARAM": 1.0,
    "MASK_TYPE": "CORRECT",
    "WEIGHT_TYPE": "MAP_WEIGHT",
    "RESCALE_WEIGHTS": "Y",
    "WEIGHT_GAIN": "Y",
    "FLAG_TYPE": "OR",
    "PHOT_APERTURES": 5,
    "PHOT_AUTOPARAMS": "2.5,3.5",
    "PHOT_AUTOAPERS": "0.0,0.0",
    "PHOT_FLUXFRAC": 0.5,
    "SATUR_KEY": "SATURATE",
    "GAIN_KEY": "GAIN",
    "MAG_ZEROPOINT": 30.0,
    "PIXEL_SCALE": 0,
    "BACK_SIZE": 64,
    "BACK_FILTERSIZE": 3,
    "BACKPHOTO_TYPE": "GLOBAL",
    "WRITE_XML": "N",
    "VERBOSE_TYPE": "QUIET",
}
EXPOSURE = {"DETECT_THRESH": 2.0, "DEBLEND_MINCONT": 0.001, "BACK_TYPE": "AUTO"}
TILE = {
    "DETECT_THRESH": 1.5, "DEBLEND_MINCONT": 0.0005, "BACK_TYPE": "MANUAL", "BACK_VALUE": 0.0,
}  # fmt: skip


def run_sextractor(
    folder: Path,
    field: Field,
    keys: dict[str, Any],
    columns: list[str],
    *,
    gain: float = 2.0,
    saturation: float = 5000.0,
    wcs: bool = True,
    checks: tuple[str, ...] = CHECKS,
    detection: Field | None = None,
) -> tuple[Table, dict[str, Any]]:
    """Catalogue and check images of the original program."""
    folder.mkdir(parents=True, exist_ok=True)
    head = fits.Header.fromstring(header(field.image.shape)) if wcs else fits.Header()
    head["GAIN"], head["SATURATE"] = gain, saturation
    fits.writeto(folder / "image.fits", field.image, head, overwrite=True)
    fits.writeto(folder / "weight.fits", field.weight, head, overwrite=True)
    fits.writeto(folder / "flag.fits", field.flags, head, overwrite=True)
    images, weights = "image.fits", "weight.fits"
    if detection is not None:
        fits.writeto(folder / "detect.fits", detection.image, head, overwrite=True)
        fits.writeto(folder / "detect_weight.fits", detection.weight, head, overwrite=True)
        images, weights = f"detect.fits,{images}", f"detect_weight.fits,{weights}"
    (folder / "columns.param").write_text("\n".join(columns) + "\n")
    (folder / "filter.conv").write_text("CONV NORM\n1 2 1\n2 4 2\n1 2 1\n")
    names = [f"{name.replace('-', 'minus')}.fits" for name in checks]
    keys = {
        **BASE, **keys, "CATALOG_NAME": "out.fits", "PARAMETERS_NAME": "columns.param",
        "FILTER_NAME": "filter.conv", "WEIGHT_IMAGE": weights, "FLAG_IMAGE": "flag.fits",
        "CHECKIMAGE_TYPE": ",".join(checks) or "NONE", "CHECKIMAGE_NAME": ",".join(names),
    }  # fmt: skip
    (folder / "run.sex").write_text("".join(f"{key} {value}\n" for key, value in keys.items()))
    command = [PROGRAM, images, "-c", "run.sex"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    table = Table.read(folder / "out.fits", hdu=1)
    images = {name: fits.getdata(folder / file) for name, file in zip(checks, names, strict=True)}
    return table, images
