"""Numbers in file names."""

import math

import pytest

from purepipe.errors import ConfigError, InputFileError
from purepipe.survey import (
    number_of,
    number_string,
    numbering_pattern,
    split_unit_name,
    tile_at,
    tile_centre,
    tile_id,
    unit_name,
)
from purepipe.survey.numbering import CCD_SCHEME, TILE_SCHEME


@pytest.mark.parametrize(
    ("scheme", "name", "found"),
    [
        ("-0000000-0", "image-2079614-12.fits", "-2079614-12"),
        ("-0000000-0", "mask/star_selection-2079614-9.fits", "-2079614-9"),
        ("-000-000", "CFIS_image-231-285.fits", "-231-285"),
        ("-000-000", "CFIS_image-231-2345.fits", None),
        ("000-000", "231-285.fits", "231-285"),
        ("_0", "galaxy_12.fits", "_12"),
        ("", "galaxy.fits", ""),
        (r"RE:[a-z]{3}\d", "x-abc7.fits", "abc7"),
        ("-0000000", "image-20796145.fits", None),
    ],
)
def test_schemes(scheme, name, found):
    assert number_string(name, scheme) == found


def test_numbers_of_files():
    assert number_of("exposures/image-2079614.fits") == "2079614"
    assert number_of("exposures/image-2079614p.fits.fz") == "2079614"
    assert number_of("CFIS_image-000-000.fits", TILE_SCHEME) == "000-000"
    assert number_of("image-2079614-9.fits", CCD_SCHEME) == "2079614-9"
    with pytest.raises(InputFileError, match=r"a\.fits: the file name holds no number.*Rename"):
        number_of("a.fits")


def test_wrong_expression():
    with pytest.raises(ConfigError, match="not a regular expression"):
        numbering_pattern("RE:(")


def test_unit_names():
    assert unit_name("2079614", 9) == "2079614-9"
    assert split_unit_name("2079614-9") == ("2079614", 9)
    assert split_unit_name("a-b-12") == ("a-b", 12)
    for wrong in ("2079614", "-9", "2079614-", "2079614-x"):
        with pytest.raises(ConfigError, match="not the name of a CCD"):
            split_unit_name(wrong)


def test_tile_id():
    assert tile_id("051-231") == 51.231
    with pytest.raises(ConfigError, match="not the number of a tile"):
        tile_id("51")


def test_the_grid_of_tiles():
    ra, dec = tile_centre("231-285")
    assert (round(ra, 4), dec) == (189.7295, 52.5)
    assert tile_centre("CFIS.000.180.r") == (0.0, 0.0)
    for j in range(1, 360, 7):
        width = math.cos(math.radians(j / 2 - 90))
        for i in range(0, math.ceil(720 * width), 13):
            number = f"{i:03d}-{j:03d}"
            assert tile_at(*tile_centre(number)) == number
    assert tile_at(189.9, 52.6) == "231-285"
    assert tile_at(359.99, 0.1) == tile_at(-0.01, 0.1) == "000-180"
    assert tile_at(0.0, 90.0) == "000-360"
    assert tile_centre("000-360") == (0.0, 90.0)


def test_places_off_the_grid():
    for wrong in ("000-361", "720-180", "439-285"):
        with pytest.raises(ConfigError, match=r"there is no such tile .*below 360"):
            tile_centre(wrong)
    with pytest.raises(ConfigError, match="not the number of a tile"):
        tile_centre("51")
    for place in ((math.nan, 0.0), (10.0, 90.5)):
        with pytest.raises(ConfigError, match="not a position on the sky"):
            tile_at(*place)
