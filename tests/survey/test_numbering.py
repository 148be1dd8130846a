"""Numbers in file names."""

import pytest

from purepipe.errors import ConfigError, InputFileError
from purepipe.survey import (
    number_of,
    number_string,
    numbering_pattern,
    split_unit_name,
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
