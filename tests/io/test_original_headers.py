"""Pickled headers of the original, read without executing anything in them."""

import pickle
import sqlite3

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.wcs import WCS

from purepipe.errors import ConfigError, InputFileError
from purepipe.io import read_ccd_headers, write_ccd_headers
from purepipe.io.original_headers import read_original_headers
from purepipe.survey import CCD


def header(number):
    return Header({
        "NAXIS": 2, "NAXIS1": 200, "NAXIS2": 300, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
        "CRVAL1": 150.0 + number, "CRVAL2": 2.0, "CRPIX1": 100.0, "CRPIX2": 150.0,
        "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5, "EXTNAME": "header",
    })  # fmt: skip


def content(count=3):
    """What split_exp saves of one exposure."""
    array = np.empty(count, dtype="O")
    for number in range(count):
        head = header(number)
        array[number] = {"WCS": WCS(head), "header": head.tostring()}
    return array


@pytest.fixture(params=[2, 4, 5])
def store(request, tmp_path):
    """A store as sqlitedict writes it, with pickles of several versions."""
    path = tmp_path / "log_exp_headers.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE unnamed (key TEXT PRIMARY KEY, value BLOB)")
        for key in ("2100003", "2100002"):
            value = sqlite3.Binary(pickle.dumps(content(), protocol=request.param))
            connection.execute("INSERT INTO unnamed VALUES (?, ?)", (key, value))
    connection.close()
    return path


def check(units, exposures):
    assert [unit.exposure for unit in units] == [e for e in exposures for _ in range(3)]
    assert [(unit.ccd, unit.hdu) for unit in units[:3]] == [(0, 1), (1, 2), (2, 3)]
    for unit in units:
        ccd = CCD.from_header(unit.exposure, unit.ccd, unit.header)
        assert ccd.wcs.pixel_to_sky(99.0, 149.0)[0] == pytest.approx(150.0 + unit.ccd)
        assert ccd.shape == (300, 200)


def test_store(store, tmp_path):
    units = read_original_headers(store, allow_pickled=True)
    check(units, ["2100003", "2100002"])
    write_ccd_headers(tmp_path / "headers.fits", units)
    check(read_ccd_headers(tmp_path / "headers.fits"), ["2100003", "2100002"])


def test_array(tmp_path):
    path = tmp_path / "headers-2100001.npy"
    np.save(path, content(), allow_pickle=True)
    check(read_original_headers(path, allow_pickled=True), ["2100001"])


def test_headers_by_lines(tmp_path):
    array = np.empty(1, dtype="O")
    array[0] = {"header": header(0).tostring(sep="\n", padding=False), "WCS": None}
    path = tmp_path / "headers-2100001.npy"
    np.save(path, array, allow_pickle=True)
    (unit,) = read_original_headers(path, allow_pickled=True)
    assert CCD.from_header("2100001", 0, unit.header).shape == (300, 200)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_is_executed(tmp_path):
    array = np.empty(1, dtype="O")
    mark = tmp_path / "executed"
    array[0] = {"WCS": Bomb(str(mark)), "header": header(0).tostring()}
    path = tmp_path / "headers-2100001.npy"
    np.save(path, array, allow_pickle=True)
    assert len(read_original_headers(path, allow_pickled=True)) == 1
    assert not mark.exists()


def test_only_when_asked_for(store):
    with pytest.raises(ConfigError, match=r"log_exp_headers\.sqlite.*pickles.*allow_pickled=True"):
        read_original_headers(store)


def test_other_files(tmp_path, store):
    def message(path):
        with pytest.raises(InputFileError) as caught:
            read_original_headers(path, allow_pickled=True)
        return str(caught.value)

    other = tmp_path / "headers-2100001.npy"
    other.write_bytes(b"SIMPLE  =" + b" " * 100)
    assert "not a header file of the original" in message(other)
    assert "does not exist" in message(tmp_path / "none.npy")
    np.save(other, np.array([{"WCS": 1}], dtype="O"), allow_pickle=True)
    assert "2100001: no header found" in message(other)
    other.write_bytes(other.read_bytes()[:-12])
    assert "the pickle is damaged" in message(other)
    np.save(tmp_path / "headers.npy", content(1), allow_pickle=True)
    assert "holds no number" in message(tmp_path / "headers.npy")
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(store.read_bytes()[:1500])
    assert "the store cannot be read" in message(damaged)
