"""Names of columns in the versions of ShapePipe."""

import numpy as np
import pytest

from purepipe.catalogue import all_columns, build_table, column
from purepipe.catalogue.aliases import V2_NAMES
from purepipe.catalogue.columns_shapes import COLUMNS as SHAPES
from purepipe.errors import ConfigError, DataError
from purepipe.flags import NOT_ATTEMPTED_BIT
from purepipe.survey import named, with_sentinels


@pytest.fixture
def final():
    names = ["NUMBER", "FLUX_AUTO", "XWIN_WORLD", "YWIN_WORLD", "FLAGS", "N_EPOCH", "TILE_ID",
             "FLAGS_UNIT", "EPOCHS", "SPREAD_MODEL", "SPREADERR_MODEL", "SPREAD_CLASS"]  # fmt: skip
    values = dict.fromkeys(names + [item.name for item in SHAPES])
    values["TILE_ID"] = "051-231"
    table = build_table(values, rows=2)
    for name in table.colnames:
        if np.asarray(table[name]).dtype.kind == "f":
            table[name][0] = 0.25
        elif np.asarray(table[name]).dtype.kind == "i":
            table[name][0] = 0
    table["NGMIX_ELL_1P"][0] = (0.1, 0.2)
    return table


def test_names_of_version_1(final):
    table = named(final, "v1")
    # As in a catalogue of the original: specification of the final catalogue.
    assert table.colnames[:13] == [
        "NUMBER", "FLUX_AUTO", "XWIN_WORLD", "YWIN_WORLD", "FLAGS", "N_EPOCH", "TILE_ID",
        "SPREAD_MODEL", "SPREADERR_MODEL", "SPREAD_CLASS", "NGMIX_N_EPOCH", "NGMIX_MOM_FAIL",
        "NGMIX_T_1M",
    ]  # fmt: skip
    ours = table.colnames.index("NGMIX_MCAL_FLAGS")
    assert table.colnames[ours - 1] == "NGMIX_T_ERR_NOSHEAR"
    assert table.colnames.index("NGMIX_FLUX_ERR_1M") > table.colnames.index("NGMIX_T_PSFo_NOSHEAR")
    assert {"FLAGS_UNIT", "EPOCHS", "R11", "TILE_NAME"} <= set(table.colnames[ours + 1 :])
    assert np.asarray(table["TILE_ID"]).tolist() == [51.231, 51.231]
    assert set(np.asarray(table["TILE_NAME"])) == {"051-231"}
    doubles = ["FLUX_AUTO", "NGMIX_N_EPOCH", "NGMIX_FLAGS_1M", "NGMIX_MCAL_FLAGS", "NGMIX_T_1M"]
    assert {np.asarray(table[name]).dtype for name in doubles} == {np.dtype("f8")}
    assert np.asarray(table["FLAGS"]).dtype == np.int16
    assert table["NGMIX_T_1M"].unit == "arcsec"
    assert set(final.colnames) < set(table.colnames)


def test_names_of_version_2_hold_one_value_each(final):
    table = named(final, "v2")
    assert all(np.asarray(table[name]).ndim == 1 for name in table.colnames)
    assert table["NGMIX_G1_1P"][0] == 0.1
    assert table["NGMIX_G2_1P"][0] == 0.2
    assert "Component 2." in table["NGMIX_G2_1P"].description
    assert table["RA"].unit == "deg"
    assert table["NGMIX_T_PSF_RECONV_NOSHEAR"].unit == "arcsec"


def test_one_table_of_aliases():
    assert set(V2_NAMES) <= set(all_columns())
    assert column("NGMIX_ELL_1P").alias == "NGMIX_G1_1P NGMIX_G2_1P"
    assert column("MAG_AUTO").alias == ""
    names = [name for new in V2_NAMES.values() for name in new]
    assert len(set(names)) == len(names)
    for old, new in V2_NAMES.items():
        assert len(new) == column(old).length


def test_own_names(final):
    table = named(final, {"FLUX_AUTO": "flux"})
    assert "flux" in table.colnames
    assert "FLUX_AUTO" not in table.colnames
    assert named(final, "purepipe").colnames == final.colnames
    with pytest.raises(DataError, match=r"FLUX_AUT: .*no such column.*'FLUX_AUTO'"):
        named(final, {"FLUX_AUT": "flux"})
    with pytest.raises(DataError, match="NUMBER: two columns get one name"):
        named(final, {"FLUX_AUTO": "NUMBER"})
    with pytest.raises(ConfigError, match=r"names: unknown names of columns.*v3.*purepipe, v1, v2"):
        named(final, "v3")


def test_sentinels_of_the_original(final):
    assert final["NGMIX_MCAL_FLAGS"][1] == NOT_ATTEMPTED_BIT
    table = with_sentinels(final)
    expected = {
        "NGMIX_T_1M": 0, "NGMIX_T_ERR_1M": 1e30, "NGMIX_FLUX_ERR_2P": -1, "NGMIX_MAG_ERR_2P": -1,
        "NGMIX_FLAGS_NOSHEAR": 0, "NGMIX_MCAL_FLAGS": 0, "NGMIX_N_EPOCH": 0, "NGMIX_MOM_FAIL": 0,
        "SPREAD_MODEL": -1, "SPREADERR_MODEL": 1, "SPREAD_CLASS": 1,
    }  # fmt: skip
    assert {name: table[name][1] for name in expected} == expected
    assert np.asarray(table["NGMIX_ELL_PSFo_1M"])[1].tolist() == [-10, -10]
    for name in table.colnames:
        np.testing.assert_array_equal(table[name][0], final[name][0])
    assert np.isnan(final["NGMIX_T_1M"][1])  # the given table is as it was
