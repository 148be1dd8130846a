"""Random fields under random settings: ``purepipe sex`` beside the original, every column."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from purepipe.commands import sex

from .columns import network_text
from .sextractor import PROGRAM

pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed"),
]

INTEGERS = (
    "NUMBER", "XPEAK_IMAGE", "YPEAK_IMAGE", "XMIN_IMAGE", "XMAX_IMAGE", "YMIN_IMAGE", "YMAX_IMAGE",
    "ISOAREA_IMAGE", "ISOAREAF_IMAGE", "ISO0", "ISO3", "ISO7", "FLAGS", "FLAGS_WEIGHT", "FLAGS_WIN",
    "NITER_WIN", "IMAFLAGS_ISO", "NIMAFLAGS_ISO", "NLOWWEIGHT_ISO",
)  # fmt: skip
SIZES = (
    "X_IMAGE", "Y_IMAGE", "X2_IMAGE", "Y2_IMAGE", "ERRX2_IMAGE", "ERRY2_IMAGE", "A_IMAGE",
    "B_IMAGE", "ELONGATION", "CXX_IMAGE", "KRON_RADIUS", "PETRO_RADIUS", "FWHM_IMAGE", "BACKGROUND",
    "THRESHOLD", "FLUX_MAX", "MU_MAX", "XWIN_IMAGE", "YWIN_IMAGE", "AWIN_IMAGE", "ERRAWIN_IMAGE",
    "ALPHA_J2000", "DELTA_J2000", "ALPHAWIN_J2000", "X_WORLD", "A_WORLD", "ERRA_WORLD",
    "FLUX_GROWTHSTEP",
)  # fmt: skip
FLUXES = ("ISO", "ISOCOR", "AUTO", "PETRO", "APER", "WIN")
VECTORS = {"FLUX_APER": "(2)", "FLUXERR_APER": "(2)", "VIGNET": "(11,13)", "FLUX_GROWTH": "(5)"}
OTHERS = ("CLASS_STAR", "THETA_IMAGE", "THETA_J2000", "FLUX_RADIUS", "VIGNET", "FLUX_GROWTH")
COLUMNS = (
    *INTEGERS, *SIZES, *(f"{what}_{kind}" for what in ("FLUX", "FLUXERR") for kind in FLUXES),
    *OTHERS,
)  # fmt: skip


def random_field(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """An image of stars and galaxies on a sloping background, and its noise."""
    shape = tuple(rng.integers(60, 260, 2))
    count = int(rng.integers(3, max(4, shape[0] * shape[1] // 600)))
    seeing = rng.uniform(0.8, 2.5)
    layers = []
    for scale, widths in ((600, (0, 0)), (500, rng.uniform(0.3, 2, 2))):
        points = np.zeros(shape)
        places = tuple(rng.integers(0, n, count) for n in shape)
        np.add.at(points, places, (rng.pareto(1.2, count) + 0.05) * scale * rng.choice([0.3, 1, 5]))
        layers.append(
            ndimage.gaussian_filter(points, np.hypot(seeing, np.multiply(widths, seeing)))
        )
    y, x = np.indices(shape)
    sky = rng.choice([0.0, 100.0, 5000.0]) + rng.normal(0, 0.05) * x + rng.normal(0, 0.05) * y
    noise = float(rng.choice([1.0, 3.0, 30.0]))
    return (sum(layers) + sky + rng.normal(0, noise, shape)).astype(np.float32), noise


def random_header(rng: np.random.Generator, shape: tuple[int, ...]) -> fits.Header:
    """A turned, perhaps mirrored tangent projection anywhere but at the poles."""
    angle, pixel, parity = rng.uniform(0, 7), rng.uniform(0.1, 0.5) / 3600, rng.choice([-1, 1])
    cos, sin = pixel * np.cos(angle), pixel * np.sin(angle)
    return fits.Header(
        {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": rng.uniform(0, 360),
            "CRVAL2": rng.uniform(-80, 80), "CRPIX1": shape[1] / 2, "CRPIX2": shape[0] / 2,
            "CD1_1": parity * cos, "CD1_2": -sin, "CD2_1": parity * sin, "CD2_2": cos,
            "EQUINOX": 2000.0, "RADESYS": "ICRS", "GAIN": float(rng.choice([0, 1.6, 200])),
            "SATURATE": float(rng.choice([500, 20000, 1e9])),
        }
    )  # fmt: skip


def random_settings(rng: np.random.Generator, noise: float) -> dict[str, str]:
    def one(*choices: object) -> str:
        return str(choices[rng.integers(len(choices))])

    absolute = rng.random() < 0.25
    unit = noise if absolute else 1
    interpolation = one("ALL", "NONE")  # VAR_ONLY: "WEIGHT_IMAGE missing", says the original
    return {
        "THRESH_TYPE": "ABSOLUTE" if absolute else "RELATIVE",
        "DETECT_THRESH": str(unit * rng.choice([1, 1.5, 3, 8])),
        "ANALYSIS_THRESH": str(unit * rng.choice([1, 1.5, 3])),
        "DETECT_MINAREA": one(1, 3, 5, 10), "FILTER": one("Y", "Y", "N"),
        "DEBLEND_NTHRESH": one(1, 2, 16, 32, 64), "DEBLEND_MINCONT": one(0, 1e-4, 0.005, 0.1, 1),
        "CLEAN": one("Y", "Y", "N"), "CLEAN_PARAM": one(0.3, 1, 2),
        "MASK_TYPE": one("NONE", "BLANK", "CORRECT", "CORRECT"),
        "WEIGHT_TYPE": one("NONE", "BACKGROUND", "MAP_RMS", "MAP_VAR", "MAP_WEIGHT"),
        "WEIGHT_GAIN": one("Y", "N"), "RESCALE_WEIGHTS": one("Y", "N"),
        "INTERP_TYPE": f"{interpolation},{interpolation}",
        "FLAG_TYPE": one("OR", "AND", "MIN", "MAX"),
        "PHOT_APERTURES": f"{one(3, 7, 21)},{one(5, 12)}",
        "PHOT_AUTOPARAMS": one("2.5,3.5", "2.0,2.5", "1.5,0"),
        "PHOT_PETROPARAMS": one("2.0,3.5", "2.0,2.0"), "PHOT_FLUXFRAC": one(0.2, 0.5, 0.8, 0.95),
        "PHOT_AUTOAPERS": one("0.0,0.0", "0.0,10.0", "20.0,4.0"), "SEEING_FWHM": one(0.4, 0.8, 1.3),
        "PIXEL_SCALE": one(0, 0.187, 1), "BACK_SIZE": one(16, 32, 64, 128, "40,64"),
        "BACK_FILTERSIZE": one(1, 3, 5), "BACK_FILTTHRESH": one(0, 5),
        "BACKPHOTO_TYPE": one("GLOBAL", "LOCAL"), "BACKPHOTO_THICK": one(24, 12),
        "BACK_TYPE": one("AUTO", "AUTO", "MANUAL"), "BACK_VALUE": one(0, 100),
        "MEMORY_BUFSIZE": one(1024, 200, 100), "MEMORY_OBJSTACK": one(3000, 100, 20),
    }  # fmt: skip


def write_case(folder: Path, seed: int) -> list[str]:
    """Write the files of a case into a folder; returns the arguments of both programs."""
    rng = np.random.default_rng(seed)
    image, noise = random_field(rng)
    settings = random_settings(rng, noise)
    weight = rng.uniform(0.5, 2) * (1 + 0.5 * np.sin(np.arange(image.shape[1]) / 40))
    weight = np.broadcast_to(weight, image.shape).copy()
    for _ in range(rng.integers(0, 5)):
        y, x = (int(rng.integers(n)) for n in image.shape)
        weight[y : y + int(rng.integers(1, 30)), x : x + int(rng.integers(1, 60))] = 0
    safe = np.maximum(weight, 1e-20)
    maps = {"MAP_RMS": noise / np.sqrt(safe), "MAP_VAR": noise**2 / safe}
    weight = maps.get(settings["WEIGHT_TYPE"], weight)
    flags = np.sum([bit * (rng.random(image.shape) < 0.01) for bit in (1, 2, 64)], axis=0)
    fits.writeto(folder / "image.fits", image, random_header(rng, image.shape))
    fits.writeto(folder / "weight.fits", weight.astype(np.float32))
    fits.writeto(folder / "flag.fits", flags.astype(np.int16))
    size = 2 * int(rng.integers(0, 4)) + 1
    kernel = np.round(ndimage.gaussian_filter(np.pad([[1.0]], size // 2), size / 3), 6)
    rows = "\n".join(" ".join(map(str, row)) for row in kernel)
    (folder / "filter.conv").write_text(f"CONV NORM\n{rows}\n")
    (folder / "default.nnw").write_text(network_text())
    (folder / "out.param").write_text("\n".join(c + VECTORS.get(c, "") for c in COLUMNS))
    files = {
        "CATALOG_TYPE": "FITS_LDAC", "PARAMETERS_NAME": "out.param", "FILTER_NAME": "filter.conv",
        "STARNNW_NAME": "default.nnw", "WEIGHT_IMAGE": "weight.fits", "FLAG_IMAGE": "flag.fits",
        "SATUR_KEY": "SATURATE", "GAIN_KEY": "GAIN", "VERBOSE_TYPE": "QUIET",
    }  # fmt: skip
    text = "".join(f"{key} {value}\n" for key, value in {**settings, **files}.items())
    (folder / "run.sex").write_text(text)
    return ["image.fits", "-c", "run.sex"]


def compare(ours: fits.FITS_rec, theirs: fits.FITS_rec) -> None:
    """Integers are equal, the rest to rounding: of the column, or of what it is the difference."""
    assert len(ours) == len(theirs)
    values = {name: np.asarray(theirs[name], float) for name in COLUMNS}
    for name in COLUMNS:
        got, wanted = np.asarray(ours[name], float), values[name]
        if name in INTEGERS:
            np.testing.assert_array_equal(got, wanted, err_msg=name)
        elif name in ("CLASS_STAR", "VIGNET"):
            scale = 1 if name == "CLASS_STAR" else np.where(wanted < -1e29, 1e30, 1e5)
            assert (np.abs(got - wanted) <= 1e-5 * scale).all(), name
        elif name.startswith("THETA"):
            # Of a nearly round object the angle is the quotient of two small differences.
            apart = np.abs((got - wanted + 90) % 180 - 90)
            round_by = np.maximum(values["ELONGATION"] - 1, 1e-9)
            assert (apart <= 1e-4 + 3e-5 / round_by).all(), name
        else:
            kind = name.removeprefix("FLUX_")
            noise = values.get(f"FLUXERR_{kind}", 0)
            close = np.abs(got - wanted) <= 2e-6 * np.abs(wanted) + 2e-5 * noise
            assert (close | (got == wanted)).all(), name


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.chdir(folder)
    arguments = write_case(folder, seed)
    subprocess.run(
        [str(PROGRAM), *arguments, "-CATALOG_NAME", "theirs.cat"], check=True, capture_output=True
    )
    assert sex.main([*arguments, "-CATALOG_NAME", "ours.cat"]) == 0
    with fits.open("ours.cat") as ours, fits.open("theirs.cat") as theirs:
        compare(ours[2].data, theirs[2].data)


@pytest.mark.parametrize("seed", range(8))
def test_random_settings(tmp_path, monkeypatch, seed):
    check(tmp_path, monkeypatch, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 108))
def test_many_random_settings(tmp_path, monkeypatch, seed):
    check(tmp_path, monkeypatch, seed)
