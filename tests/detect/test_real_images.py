"""Images of the sky that packages ship: ``purepipe sex`` beside the original, every column."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from purepipe.commands import sex

from .columns import network_text
from .sextractor import BASE, EXPOSURE, PROGRAM, TILE
from .test_random import COLUMNS, VECTORS, compare, random_header

pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed"),
]

SITE = Path(np.__file__).parents[1]
# By path within site-packages: block of data, and whether its header is one that both programs
# understand alike (docs/detection.md); the others get another one.
IMAGES = {
    "astropy/io/fits/hdu/compressed/tests/data/m13.fits": (0, True),
    "astropy/io/fits/tests/data/comp.fits": (1, True),
    "astropy/wcs/tests/data/dss.14.29.56-62.41.05.fits.gz": (0, False),
    "astropy/modeling/tests/data/1904-66_AZP.fits": (0, False),
    "astropy/nddata/tests/data/sip-wcs.fits": (0, False),
    "astropy/wcs/tests/data/dist_lookup.fits.gz": (1, False),
    "astropy/io/fits/tests/data/o4sp040b0_raw.fits": (1, False),
    "photutils/isophote/tests/data/minimum_radius_test.fits": (0, False),
    "galsim/share/acs_I_unrot_sci_20_cf.fits": (0, False),
    "astroquery/magpis/tests/data/image.fits": (0, False),
    "astroquery/ukidss/tests/data/image.fits": (1, True),
    "astroquery/ipac/irsa/irsa_dust/tests/data/test.fits": (0, True),
    "astroquery/ipac/ned/tests/data/query_images.fits": (0, False),
    "astroquery/cadc/tests/data/query_images.fits": (0, False),
}
SETTINGS = {"exposure": EXPOSURE, "tile": TILE}
CHECKS = (
    "BACKGROUND", "BACKGROUND_RMS", "MINIBACKGROUND", "MINIBACK_RMS", "-BACKGROUND", "FILTERED",
    "OBJECTS", "-OBJECTS", "SEGMENTATION", "APERTURES",
)  # fmt: skip
SKY_CARDS = ("CTYPE", "CRPIX", "CRVAL", "CDELT", "CROTA", "CD", "PC", "PV", "EQUINOX", "RADESYS")


def write_image(path: Path, hdu: int, keep_header: bool) -> None:
    """The pixels as a plain file with a weight map, without weight where they are not finite."""
    with fits.open(path) as hdus:
        pixels, old = np.asarray(hdus[hdu].data), hdus[hdu].header
    header = random_header(np.random.default_rng(5), pixels.shape)
    if keep_header:
        header = fits.Header([card for card in old.cards if card.keyword.startswith(SKY_CARDS)])
    fits.writeto("image.fits", np.nan_to_num(pixels), header)
    fits.writeto("weight.fits", np.isfinite(pixels).astype(np.float32))
    fits.writeto("flag.fits", np.zeros(pixels.shape, np.int16))


def write_settings(settings: dict[str, object], weighted: bool) -> None:
    Path("filter.conv").write_text("CONV NORM\n1 2 1\n2 4 2\n1 2 1\n")
    Path("default.nnw").write_text(network_text())
    Path("out.param").write_text("\n".join(c + VECTORS.get(c, "") for c in COLUMNS))
    keys = {
        **BASE, **settings, "PHOT_APERTURES": "5,12", "CATALOG_TYPE": "FITS_LDAC",
        "WEIGHT_TYPE": "MAP_WEIGHT" if weighted else "NONE", "WEIGHT_IMAGE": "weight.fits",
        "FLAG_IMAGE": "flag.fits", "PARAMETERS_NAME": "out.param", "FILTER_NAME": "filter.conv",
        "STARNNW_NAME": "default.nnw", "CHECKIMAGE_TYPE": ",".join(CHECKS),
    }  # fmt: skip
    Path("run.sex").write_text("".join(f"{key} {value}\n" for key, value in keys.items()))


def arguments(who: str) -> list[str]:
    checks = ",".join(f"{who}{k}.fits" for k in range(len(CHECKS)))
    return ["image.fits", "-c", "run.sex", "-CATALOG_NAME", f"{who}.cat",
            "-CHECKIMAGE_NAME", checks]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", IMAGES)
def test_images_of_the_sky(tmp_path, monkeypatch, name, settings):
    hdu, keep_header = IMAGES[name]
    if not (SITE / name).exists():
        pytest.skip(f"this installation lacks {name}")
    monkeypatch.chdir(tmp_path)
    write_image(SITE / name, hdu, keep_header)
    write_settings(SETTINGS[settings], bool((fits.getdata("weight.fits") == 0).any()))
    subprocess.run([str(PROGRAM), *arguments("theirs")], check=True, capture_output=True)
    assert sex.main(arguments("ours")) == 0
    for k, kind in enumerate(CHECKS):
        ours, theirs = fits.getdata(f"ours{k}.fits"), fits.getdata(f"theirs{k}.fits")
        assert np.array_equal(ours, theirs, equal_nan=True), kind
    with fits.open("ours.cat") as ours, fits.open("theirs.cat") as theirs:
        compare(ours[2].data, theirs[2].data)
