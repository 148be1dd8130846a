"""Runs of ``purepipe sex`` that are compared with the original's, file by file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from purepipe.catalogue.columns_detect import SHAPEPIPE_COLUMNS
from tests.detect.fields import make_field
from tests.detect.sextractor import EXPOSURE, TILE

from .sex_files import CONV, image_header, write_extensions, write_field

SHAPEPIPE = tuple(f"{n}(51,51)" if n == "VIGNET" else n for n in SHAPEPIPE_COLUMNS)
# What photometric scripts ask for, in text.
USUAL = (
    "NUMBER", "EXT_NUMBER", "X_IMAGE", "Y_IMAGE", "ALPHA_J2000", "DELTA_J2000", "MAG_AUTO",
    "MAGERR_AUTO", "FLUX_AUTO", "MAG_APER(3)", "MAGERR_APER(3)", "FLUX_RADIUS(2)", "FLUX_ISO",
    "MAG_ISO", "ISOAREA_IMAGE", "A_IMAGE", "B_IMAGE", "THETA_IMAGE", "CXX_IMAGE", "X2_IMAGE",
    "ERRX2_IMAGE", "FWHM_IMAGE", "KRON_RADIUS", "BACKGROUND", "FLUX_MAX", "MU_MAX", "FLAGS",
    "XPEAK_IMAGE", "YMIN_IMAGE", "ID_PARENT", "ISO3", "ELLIPTICITY", "VIGNET(3,2)",
)  # fmt: skip
CHECKS = (
    "BACKGROUND", "BACKGROUND_RMS", "MINIBACKGROUND", "MINIBACK_RMS", "-BACKGROUND", "FILTERED",
    "OBJECTS", "-OBJECTS", "SEGMENTATION", "APERTURES", "IDENTICAL",
)  # fmt: skip
EXPOSURE_KEYS = {
    "CATALOG_TYPE": "FITS_LDAC", "DETECT_MINAREA": 10, "WEIGHT_TYPE": "MAP_WEIGHT",
    "MAG_ZEROPOINT": 30.0, "SEEING_FWHM": 0.6, **EXPOSURE,
}  # fmt: skip
TEXT_KEYS = {"PHOT_APERTURES": "5,8,12", "PHOT_FLUXFRAC": "0.3,0.5", "MAG_ZEROPOINT": 28.5}


@dataclass(frozen=True)
class Case:
    """One run: files, keywords, columns and what to compare."""

    make: Callable[[Path], None]
    keys: dict[str, object] = field(default_factory=dict)
    columns: tuple[str, ...] = USUAL
    image: str = "image.fits"
    checks: tuple[str, ...] = ()


def _field(*args, **options) -> Callable[[Path], None]:
    return lambda folder: write_field(folder, make_field(*args, **options))


def _noise_only(folder: Path) -> None:
    write_field(folder, make_field((90, 110), 0, seed=3))


def _not_finite(folder: Path) -> None:
    made = make_field((120, 150), 25, seed=12)
    made.image[40:44, 60:66] = np.nan
    made.image[90, 20] = np.inf
    made.weight[40:44, 60:66] = 0
    made.weight[90, 20] = 0
    write_field(folder, made)


def _saturated(folder: Path) -> None:
    made = make_field((160, 140), 30, seed=15, clusters=2)
    bright = replace(made, image=np.minimum(made.image * 3, 4000).astype(np.float32))
    write_field(folder, bright, SATURATE=3990.0)


def _turned(folder: Path) -> None:
    step = 0.4 / 3600
    angle = np.radians(37)
    write_field(
        folder, make_field((130, 170), 30, seed=16), CD1_1=step * np.cos(angle),
        CD1_2=step * np.sin(angle), CD2_1=-step * np.sin(angle), CD2_2=step * np.cos(angle),
        CRVAL2=-62.0,
    )  # fmt: skip


def _without_coordinates(folder: Path) -> None:
    made = make_field((101, 77), 15, seed=17, holes=False)
    head = fits.Header({"GAIN": 1.3, "OBJECT": "no WCS"})
    fits.writeto(folder / "image.fits", made.image, head)


def _whole_numbers(folder: Path) -> None:
    made = make_field((120, 130), 25, seed=18, holes=False)
    pixels = np.clip(np.round(made.image * 2), 0, 65535).astype(np.uint16)
    fits.writeto(folder / "image.fits", pixels, image_header(made))


def _two(folder: Path) -> None:
    write_field(folder, make_field((150, 140), 35, seed=19, holes=False), name="red")
    write_field(folder, make_field((150, 140), 35, seed=20), name="blue")


def _three(folder: Path) -> None:
    shape = (110, 130)
    write_extensions(folder, [make_field(shape, 25, seed=k, clusters=2) for k in (21, 22, 23)])


def _crowded(folder: Path) -> None:
    write_field(folder, make_field((260, 220), 260, seed=24, clusters=12))


MEF_MAPS = {"WEIGHT_IMAGE": "mefweight.fits", "FLAG_IMAGE": "mefflag.fits"}
CASES: dict[str, Case] = {
    "exposure of the tutorial": Case(
        _field((300, 260), 70, seed=10, clusters=3), EXPOSURE_KEYS, SHAPEPIPE, checks=CHECKS
    ),
    "tile of the tutorial": Case(
        _field((280, 300), 90, seed=11, sky=0.0), {**EXPOSURE_KEYS, **TILE}, SHAPEPIPE,
        checks=CHECKS,
    ),
    "text": Case(
        _field((200, 180), 45, seed=13, holes=False), TEXT_KEYS,
        checks=CHECKS,
    ),
    "crowded": Case(_crowded, {**TEXT_KEYS, "DEBLEND_MINCONT": 0.0001, "DETECT_MINAREA": 3}),
    "weights with holes": Case(
        _field((190, 230), 50, seed=14), {**TEXT_KEYS, "WEIGHT_TYPE": "MAP_WEIGHT"}, checks=CHECKS
    ),
    "variance": Case(
        _field((150, 160), 30, seed=25, holes=False),
        {**TEXT_KEYS, "WEIGHT_TYPE": "MAP_VAR", "RESCALE_WEIGHTS": "N", "WEIGHT_THRESH": 1},
    ),
    "not finite": Case(_not_finite, {**TEXT_KEYS, "WEIGHT_TYPE": "MAP_WEIGHT"}),
    "saturated": Case(_saturated, {**TEXT_KEYS, "SATUR_KEY": "SATURATE"}),
    "turned": Case(_turned, {**TEXT_KEYS, "PIXEL_SCALE": 0}),
    "without coordinates": Case(
        _without_coordinates, {**TEXT_KEYS, "BACK_SIZE": "32,20", "BACK_FILTERSIZE": 5,
         "PIXEL_SCALE": 0.3},
        tuple(c for c in USUAL if "2000" not in c), checks=CHECKS,
    ),
    "16 bits unsigned": Case(_whole_numbers, TEXT_KEYS, checks=CHECKS),
    "two images": Case(
        _two,
        {**TEXT_KEYS, "WEIGHT_TYPE": "NONE,MAP_WEIGHT", "WEIGHT_IMAGE": "blueweight.fits"},
        image="redimage.fits,blueimage.fits",
    ),
    "two images, one map": Case(
        _two,
        {**TEXT_KEYS, "WEIGHT_TYPE": "MAP_WEIGHT,NONE", "WEIGHT_IMAGE": "blueweight.fits"},
        image="redimage.fits,blueimage.fits",
    ),
    "extensions": Case(_three, {**TEXT_KEYS, **MEF_MAPS, "WEIGHT_TYPE": "MAP_WEIGHT"},
        (*USUAL, "IMAFLAGS_ISO"), image="mef.fits", checks=CHECKS),
    "extension": Case(
        _three, {**EXPOSURE_KEYS, "WEIGHT_IMAGE": "mefweight.fits[2]", "FLAG_IMAGE":
        "mefflag.fits[2]"}, SHAPEPIPE, image="mef.fits[2]", checks=CHECKS,
    ),
    "nothing found": Case(_noise_only, {**EXPOSURE_KEYS, "DETECT_THRESH": 50}, SHAPEPIPE),
    "absolute": Case(
        _field((140, 150), 30, seed=26),
        {**TEXT_KEYS, "THRESH_TYPE": "ABSOLUTE", "DETECT_THRESH": 40, "ANALYSIS_THRESH": 30,
         "FILTER": "N", "BACK_TYPE": "MANUAL", "BACK_VALUE": 590, "CLEAN": "N"},
    ),
}  # fmt: skip
# Kept with the results of the original, for machines without it.
STORED = ("text", "weights with holes", "extensions", "two images")


def write_case(folder: Path, case: Case) -> None:
    """The input files of a case, with run.sex and run.param."""
    case.make(folder)
    keys = {
        "CATALOG_TYPE": "ASCII", "PARAMETERS_NAME": "run.param", "FILTER_NAME": "run.conv",
        "WEIGHT_IMAGE": "weight.fits", "FLAG_IMAGE": "flag.fits", "PIXEL_SCALE": 0,
        "VERBOSE_TYPE": "QUIET", **case.keys,
    }  # fmt: skip
    (folder / "run.sex").write_text("".join(f"{key} {value}\n" for key, value in keys.items()))
    (folder / "run.param").write_text("\n".join(case.columns) + "\n")
    (folder / "run.conv").write_text(CONV)


def arguments(case: Case, who: str) -> list[str]:
    """The command line of a case; results get names that start with `who`."""
    words = [case.image, "-c", "run.sex", "-CATALOG_NAME", f"{who}.cat"]
    if case.checks:
        names = ",".join(f"{who}{k}.fits" for k in range(len(case.checks)))
        words += ["-CHECKIMAGE_TYPE", ",".join(case.checks), "-CHECKIMAGE_NAME", names]
    return words
