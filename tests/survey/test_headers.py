"""Headers of exposures and tiles."""

import pickle

import pytest
from astropy.io.fits import Header

from purepipe.config import EpochConfig
from purepipe.errors import ConfigError, DataError
from purepipe.survey import CCD, exposures_of_tile, parse_section, repeated_exposures

CARDS = {
    "NAXIS": 2, "NAXIS1": 2112, "NAXIS2": 4644, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 1000.0, "CRPIX2": 2000.0, "CD1_1": -5e-5,
    "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5, "FSCALE": 1.25, "DATASEC": "[33:2080,1:4612]",
}  # fmt: skip


def test_ccd_of_a_header():
    ccd = CCD.from_header("2100001", 3, Header(CARDS))
    assert ccd.name == "2100001-3"
    assert ccd.shape == (4644, 2112)
    assert ccd.flux_scale == 1.25
    assert ccd.datasec == ccd.area == (33, 2080, 1, 4612)
    text = Header(CARDS).tostring()
    assert CCD.from_header("2100001", 3, text, (4644, 2112)) == ccd
    assert pickle.loads(pickle.dumps(ccd)) == ccd


def test_ccd_without_extras():
    cards = {key: value for key, value in CARDS.items() if key not in ("FSCALE", "DATASEC")}
    ccd = CCD.from_header("2100001", 3, Header(cards))
    assert ccd.flux_scale == 1.0
    assert ccd.datasec is None
    assert ccd.area == (1, 2112, 1, 4644)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("FSCALE", 0.0, "2100001-3 FSCALE: the flux scale must be a positive number"),
        ("FSCALE", "one", "2100001-3 FSCALE: the flux scale must be a positive number"),
        ("DATASEC", "33:2080", r"DATASEC: not an image section .*\[x0:x1,y0:y1\].*remove"),
        ("DATASEC", "[33:2180,1:4612]", r"does not lie in the image .*\[1:2112,1:4644\]"),
        ("DATASEC", "[80:33,1:4612]", "does not lie in the image"),
        ("CTYPE1", "PIXEL", "2100001-3: "),
    ],
)
def test_wrong_headers(key, value, message):
    with pytest.raises(DataError, match=message):
        CCD.from_header("2100001", 3, Header({**CARDS, key: value}))


def test_sections():
    assert parse_section(" [1:2, 3:4] ") == (1, 2, 3, 4)


def test_exposures_of_a_tile():
    header = Header(CARDS)
    header["HISTORY"] = "  input image 2243881p.fits 6 extension(s)"
    header["HISTORY"] = "made by somebody on 20200101"
    header["HISTORY"] = "input image image-2100001.fits"
    header["HISTORY"] = "input image 2243881p.fits 6 extension(s)"
    header["COMMENT"] = "not image-2100009.fits"
    assert exposures_of_tile(header.tostring()) == ["2243881", "2100001"]
    assert exposures_of_tile(header.tostring(sep="\n")) == ["2243881", "2100001"]
    assert repeated_exposures(header.tostring()) == ["2243881"]
    assert repeated_exposures(Header(CARDS).tostring()) == []


def test_name_that_is_cut_by_the_end_of_a_card():
    header = Header()
    header["HISTORY"] = "x" * 66 + "2243881p.fits"
    assert len(header["HISTORY"]) == 2
    assert exposures_of_tile(header.tostring()) == ["2243881"]


def test_other_patterns():
    header = Header()
    header["HISTORY"] = "frame calexp-00012345-07 of the night"
    header["HISTORY"] = "image-12345678.fits"
    assert exposures_of_tile(header.tostring()) == []
    config = EpochConfig(history_pattern=r"calexp-(\d+)-")
    assert exposures_of_tile(header.tostring(), config) == ["00012345"]
    with pytest.raises(ConfigError, match=r"not a regular expression.*got \("):
        exposures_of_tile("", EpochConfig(history_pattern="("))
    with pytest.raises(ConfigError, match=r"needs a group.*Put the number in brackets"):
        exposures_of_tile("", EpochConfig(history_pattern="a"))
