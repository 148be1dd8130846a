"""Catalogues written in parts have the bytes of those written at once."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table, vstack

from purepipe.errors import DataError
from purepipe.io import read_table, write_table
from purepipe.io.table_parts import open_table, table_outline


def table(n, start=0, width=3):
    new = Table(meta={"SEED": 1, "words": ["a", "b"]})
    new["NUMBER"] = np.arange(start, start + n, dtype=np.int32)
    new["FLAGS"] = np.zeros(n, np.int16)
    new["MAG"] = np.linspace(20, 25, n).astype(np.float32)
    new["MAG"].unit = "mag"
    new["MAG"].description = "A definition that is too long for the comment of a card." * 2
    new["ELL"] = np.arange(2.0 * n).reshape(n, 2)
    new["GOOD"] = np.arange(n) % 2 == 0
    new["COUNT"] = np.arange(n, dtype=np.uint16) + 65000
    new["SIGNED"] = np.arange(n, dtype=np.int8) - 5
    new["NAME"] = np.array([f"{i:0{width}d}" for i in range(n)], dtype=f"U{width}")
    return new


def retyped(template, name, dtype):
    template.replace_column(name, np.zeros(0, dtype))
    return template


def write(path, template, parts):
    with open_table(path, template) as add:
        for part in parts:
            add(part)


@pytest.mark.parametrize("suffix", [".fits", ".parquet"])
def test_parts_make_the_whole(tmp_path, suffix):
    parts = [table(7), table(0), table(500, 7, width=6), table(1, 507)]
    template = retyped(table(0), "NAME", "U6")
    write(tmp_path / f"parts{suffix}", template, parts)
    whole = vstack(parts, metadata_conflicts="silent")
    whole.meta = dict(template.meta)
    write_table(tmp_path / f"whole{suffix}", whole)
    if suffix == ".fits":
        written = [(tmp_path / f"{name}.fits").read_bytes() for name in ("parts", "whole")]
        assert written[0] == written[1]
    again = read_table(tmp_path / f"parts{suffix}")
    assert again.meta == whole.meta
    for name in whole.colnames:
        assert np.array_equal(again[name], whole[name]), name
        assert again[name].unit == whole[name].unit


def test_integers_without_value_stay_so(tmp_path):
    template, part = table(0), table(3)
    template["COUNT"].meta["TNULL"] = template["NUMBER"].meta["TNULL"] = -9
    part["NUMBER"] = MaskedColumn([1, 2, 3], mask=[False, True, False], dtype="i4")
    part["NUMBER"].meta["TNULL"] = -9
    write(tmp_path / "all.fits", template, [part])
    assert read_table(tmp_path / "all.fits")["NUMBER"].mask.tolist() == [False, True, False]


def test_parts_that_do_not_fit(tmp_path):
    (tmp_path / "all.fits").write_text("of an earlier run")
    template = table(0)
    for part, message in (
        (table(2)["NUMBER", "MAG"], "a part has other columns"),
        (table(5, width=4), "NAME: the column has another type in this part of the table"),
        (retyped(table(0), "NUMBER", "f8"), r"NUMBER: .*another type.*float64.*allowed: int32"),
        (retyped(table(0), "COUNT", "i4"), r"COUNT: .*another type"),
        (retyped(table(0), "FLAGS", "b1"), r"FLAGS: .*another type"),
    ):
        with pytest.raises(DataError, match=message):
            write(tmp_path / "all.fits", template, [table(3), part])
        assert [path.name for path in tmp_path.iterdir()] == ["all.fits"]
        assert (tmp_path / "all.fits").read_text() == "of an earlier run"


@pytest.mark.parametrize("suffix", [".fits", ".parquet"])
def test_outlines(tmp_path, suffix):
    whole = table(11)
    write_table(tmp_path / f"all{suffix}", whole)
    outline = table_outline(tmp_path / f"all{suffix}")
    assert (outline.rows, outline.meta) == (11, whole.meta)
    read = read_table(tmp_path / f"all{suffix}")
    assert list(outline.types) == read.colnames
    for name, dtype in outline.types.items():
        assert np.asarray(read[name]).dtype == dtype, name
