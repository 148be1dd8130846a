"""Catalogues keep types, units, definitions and metadata; flags are explained in the file."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from purepipe.errors import DataError, InputFileError, MissingPackageError
from purepipe.flags import EpochFlag
from purepipe.io import tables
from purepipe.io.images import write_image
from purepipe.io.tables import read_table, write_table

SUFFIXES = [".fits", ".parquet"]


@pytest.fixture
def catalogue():
    table = Table()
    for code in ("i2", "i4", "i8", "u1", "u2", "u4", "f4", "f8"):
        table[code.upper()] = np.array([0, 1, 100], code)
    table["OK"] = np.array([True, False, True])
    table["TILE"] = np.array(["000-000", "1", ""])
    table["ELL"] = np.array([[0.1, 0.2], [np.nan, -1], [3, 4]])
    table["CUBE"] = np.arange(24, dtype="f4").reshape(3, 2, 4)
    table["FLAGS"] = np.array([0, 2, 1 << 30], "i4")
    table["F8"].unit = "deg"
    table["F8"].description = "Right ascension of the windowed centroid, in the ICRS, J2000" * 2
    table.meta.update(
        SEED=7, VERSION="1.0", STEP=0.01, survey="a name", history=["x", 1, {"y": None}],
        limit=float("nan"), LONGTEXT="words " * 40, EMPTY="", YES=True, NOTE="it's",
    )  # fmt: skip
    return table


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, catalogue, suffix):
    path = tmp_path / f"cat{suffix}"
    write_table(path, catalogue)
    back = read_table(path)
    assert back.colnames == catalogue.colnames
    for name in catalogue.colnames:
        assert back[name].dtype.kind == catalogue[name].dtype.kind, name
        assert back[name].dtype == catalogue[name].dtype, name
        numeric = back[name].dtype.kind == "f"
        assert np.array_equal(back[name], catalogue[name], equal_nan=numeric), name
    assert back["F8"].unit == "deg"
    assert back["F8"].description == catalogue["F8"].description
    assert np.isnan(back.meta.pop("limit"))
    expected = dict(catalogue.meta)
    del expected["limit"]
    assert dict(back.meta) == expected
    write_table(tmp_path / f"again{suffix}", back)
    catalogue.meta["limit"] = back.meta["limit"] = float("nan")
    write_table(tmp_path / f"again{suffix}", back)
    assert (tmp_path / f"again{suffix}").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_rows(tmp_path, catalogue, suffix):
    write_table(tmp_path / f"c{suffix}", catalogue[:0])
    back = read_table(tmp_path / f"c{suffix}")
    assert back["CUBE"].shape == (0, 2, 4)
    assert back.colnames == catalogue.colnames


def test_fits_header_explains(tmp_path, catalogue):
    write_table(tmp_path / "c.fits", catalogue, flags={"I4": EpochFlag})
    with fits.open(tmp_path / "c.fits") as hdus:
        assert hdus[1].name == "RESULTS"
        text = "\n".join(hdus[1].header["COMMENT"])
        assert hdus[1].header["TCOMM8"].startswith("Right ascension")
    assert "Bits of FLAGS:\n  1 CROWDED" in text
    assert "  2 BLENDED: The object was deblended" in text
    assert "Bits of I4:" in text
    assert "  2 NO_PSF: No usable PSF model" in text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unit_text_survives(tmp_path, suffix):
    table = Table({"MU": np.zeros(2), "A": np.zeros(2), "C": np.zeros(2)})
    table["MU"].unit = "mag / arcsec2"
    table["A"].unit = "pixel"
    table["C"].unit = "count"
    write_table(tmp_path / f"c{suffix}", table)
    back = read_table(tmp_path / f"c{suffix}")
    assert [back[name].unit for name in back.colnames] == [table[n].unit for n in table.colnames]


def test_masked_values(tmp_path):
    table = Table({"A": MaskedColumn([1.0, 2.0], mask=[True, False])})
    write_table(tmp_path / "c.fits", table)
    assert np.array_equal(read_table(tmp_path / "c.fits")["A"], [np.nan, 2], equal_nan=True)
    table = Table({"A": MaskedColumn([1, 2], mask=[True, False])})
    with pytest.raises(DataError, match=r"A: masked integers.*Fill the column"):
        write_table(tmp_path / "c.fits", table)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_undefined_integers_stay_undefined(tmp_path, suffix):
    path = tmp_path / "null.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([
        fits.Column("A", "J", array=np.array([1, 999999, 3], np.int32), null=999999),
        fits.Column("U", "I", array=np.array([1, 40000, 3], np.uint16), bzero=2**15, null=7232),
        fits.Column("V", "2J", array=np.array([[1, -1], [2, 3], [4, 5]], np.int32), null=-1),
        fits.Column("F", "I", array=np.array([1, 2, 3], np.int16), null=-9),
        fits.Column("S", "I", array=np.array([1, 2, 3], np.int16), null=2),
    ])]).writeto(path)  # fmt: skip
    fits.setval(path, "TSCAL5", value=0.5, ext=1)
    table = read_table(path)
    np.testing.assert_array_equal(table["S"], [0.5, np.nan, 1.5])
    copy = tmp_path / f"copy{suffix}"
    write_table(copy, table)
    for found in (table, read_table(copy)) if suffix == ".fits" else (table,):
        assert found["A"].tolist() == [1, None, 3]
        assert found["U"].tolist() == [1, None, 3]
        assert found["V"].tolist() == [[1, None], [2, 3], [4, 5]]
        assert found["F"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(np.ma.filled(read_table(copy)["A"].astype(float), np.nan),
                                  [1, np.nan, 3])  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_stored(tmp_path, suffix):
    path = tmp_path / f"c{suffix}"
    table = Table({"A": np.array([None, 1], object)})
    with pytest.raises(DataError, match="A: the column has a type that"):
        write_table(path, table)
    table = Table({"A": [1]}, meta={"thing": object()})
    with pytest.raises(DataError, match=r"metadata of the table cannot be stored.*numbers and"):
        write_table(path, table)
    assert not path.exists()


def test_text_beyond_ascii(tmp_path):
    table = Table({"A": ["é"]})
    with pytest.raises(DataError, match="A: FITS text must be ASCII"):
        write_table(tmp_path / "c.fits", table)
    write_table(tmp_path / "c.parquet", table)
    assert read_table(tmp_path / "c.parquet")["A"][0] == "é"


def test_no_table_in_an_image(tmp_path):
    write_image(tmp_path / "a.fits", np.zeros((2, 2)))
    with pytest.raises(InputFileError, match=r"no table here.*Give a catalogue"):
        read_table(tmp_path / "a.fits")


def test_choice_of_the_table(tmp_path):
    one, two = Table({"A": [1]}), Table({"B": [2]})
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus += [fits.BinTableHDU(one, name="ONE"), fits.BinTableHDU(two, name="TWO")]
    hdus.writeto(tmp_path / "c.fits")
    assert read_table(tmp_path / "c.fits").colnames == ["A"]
    assert read_table(tmp_path / "c.fits", "two").colnames == ["B"]
    with pytest.raises(InputFileError, match=r"HDU 0.*no table here.*HDUs with tables: 1 'ONE'"):
        read_table(tmp_path / "c.fits", 0)


def test_columns_of_variable_length(tmp_path):
    column = fits.Column("V", format="PE()", array=np.array([[1.0], [1.0, 2.0]], object))
    fits.BinTableHDU.from_columns([column]).writeto(tmp_path / "c.fits")
    with pytest.raises(InputFileError, match=r"V: columns of variable length.*fixed length"):
        read_table(tmp_path / "c.fits")


def test_damaged_parquet(tmp_path, catalogue):
    path = tmp_path / "c.parquet"
    write_table(path, catalogue)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputFileError, match=r"Parquet file cannot be read.*damaged"):
        read_table(path)


def test_parquet_without_pyarrow(tmp_path, catalogue, monkeypatch):
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pyarrow.*purepipe\[parquet\]"):
        write_table(tmp_path / "c.parquet", catalogue)
    assert not (tmp_path / "c.parquet").exists()
