"""Files for the tests of ``purepipe sex``, and the original program beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.detect.fields import Field, header, make_field

PROGRAM = shutil.which("source-extractor") or shutil.which("sex")
CONV = "CONV NORM\n1 2 1\n2 4 2\n1 2 1\n"
COLUMNS = ("NUMBER", "EXT_NUMBER", "X_IMAGE", "FLUX_AUTO", "FLUX_APER(2)", "MAG_AUTO", "FLAGS",
           "IMAFLAGS_ISO", "ALPHA_J2000", "VIGNET(3,2)")  # fmt: skip


def image_header(field: Field, **values) -> fits.Header:
    head = fits.Header.fromstring(header(field.image.shape))
    head["OBJECT"] = "field"
    head["GAIN"], head["SATURATE"] = 2.0, 5000.0
    head.update(values)
    return head


def write_field(folder: Path, field: Field, *, name: str = "", **values) -> None:
    """The files image.fits, weight.fits and flag.fits."""
    head = image_header(field, **values)
    fits.writeto(folder / f"{name}image.fits", field.image, head, overwrite=True)
    fits.writeto(folder / f"{name}weight.fits", field.weight, head, overwrite=True)
    fits.writeto(folder / f"{name}flag.fits", field.flags, head, overwrite=True)


def write_extensions(folder: Path, fields: list[Field]) -> None:
    """The files mef.fits, mefweight.fits and mefflag.fits with one extension per field."""
    for name, kind in (("mef", "image"), ("mefweight", "weight"), ("mefflag", "flags")):
        hdus = [fits.PrimaryHDU()]
        for k, field in enumerate(fields):
            head = image_header(field, GAIN=2.0 + k, OBJECT=f"ccd {k}")
            hdus.append(fits.ImageHDU(getattr(field, kind), head, name=f"CCD{k}"))
        fits.HDUList(hdus).writeto(folder / f"{name}.fits", overwrite=True)


def write_settings(folder: Path, columns=COLUMNS, **keys) -> None:
    """The files default.sex, default.param and default.conv."""
    keys = {
        "CATALOG_NAME": "out.cat", "PHOT_APERTURES": "5,9", "PIXEL_SCALE": 0, "WEIGHT_IMAGE":
        "weight.fits", "MAG_ZEROPOINT": 30.0, **keys,
    }  # fmt: skip
    text = "".join(f"{key} {value}\n" for key, value in keys.items())
    (folder / "default.sex").write_text(text)
    (folder / "default.param").write_text("\n".join(columns) + "\n")
    (folder / "default.conv").write_text(CONV)


def small_field(seed: int = 4, **options) -> Field:
    return make_field((90, 110), 14, seed=seed, **options)


def round_field(field: Field) -> Field:
    """The field in whole numbers, which fit into any type."""
    image = np.clip(np.round(field.image), 0, 32000).astype(np.float32)
    return Field(image, field.weight, field.flags)


def run_original(folder: Path, *arguments: object) -> None:
    command = [str(PROGRAM), *map(str, arguments), "-VERBOSE_TYPE", "QUIET"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
