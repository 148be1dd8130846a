"""From an exposure to its CCDs."""

import numpy as np
import pytest
from astropy.io.fits import Header

from purepipe.errors import DataError
from purepipe.survey import flag_type, split_exposure


def _text(**cards):
    return Header(cards).tostring(endcard=False, padding=False)


def test_units():
    headers = [_text(GAIN=1.0), _text(GAIN=2.0)]
    units = split_exposure("2079614", [(1, "ccd00"), (4, "ccd03")], headers)
    assert [unit.name for unit in units] == ["2079614-0", "2079614-1"]
    assert [(unit.hdu, unit.extname) for unit in units] == [(1, "ccd00"), (4, "ccd03")]
    assert [unit.header for unit in units] == headers


def test_inheritance():
    primary = _text(SIMPLE=True, NAXIS=0, FILTER="r", GAIN=9.0, SATURATE=6e4)
    headers = [_text(GAIN=1.0, INHERIT=True, NAXIS=2), _text(GAIN=1.0)]
    units = split_exposure("1", [(1, ""), (2, "")], headers, primary=primary)
    first = Header.fromstring(units[0].header)
    assert first["GAIN"] == 1.0
    assert first["FILTER"] == "r"
    assert first["NAXIS"] == 2
    assert "SIMPLE" not in first
    assert units[1].header == headers[1]


def test_missing_header():
    with pytest.raises(DataError, match=r"each CCD needs its header \(got 0; allowed: 1\)"):
        split_exposure("1", [(1, "")], [])


def test_flags_never_wrap():
    assert flag_type(np.array([0, 32767])) is np.int16
    assert flag_type(np.array([0, 32768])) is np.int32
    assert flag_type(np.zeros(0, int)) is np.int16
    with pytest.raises(DataError, match=r"more than 32 bits \(got 0 to 4294967296\)"):
        flag_type(np.array([0, 2**32]))
