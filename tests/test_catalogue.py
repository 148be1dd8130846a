import numpy as np
import pytest
from astropy.table import Table

import purepipe
from purepipe.catalogue import (
    Column,
    all_columns,
    assemble_catalogue,
    build_table,
    column,
    register,
)
from purepipe.errors import ConfigError, DataError
from purepipe.flags import NOT_ATTEMPTED_BIT

MEASURED = ["SPREAD_MODEL", "SPREAD_CLASS", "NGMIX_ELL_NOSHEAR", "NGMIX_MCAL_FLAGS", "EPOCHS"]


def test_every_column_has_a_type_and_a_definition():
    for name, item in all_columns().items():
        assert item.name == name
        assert item.definition.endswith("."), name
        blank = item.blank(3)
        assert blank.dtype == np.dtype(item.dtype) or blank.dtype.kind == "U"
        assert len(blank) == 3


def test_units_are_those_of_fits():
    from astropy.units import Unit

    for item in all_columns().values():
        if item.unit:
            Unit(item.unit)  # raises for a unit that no other program would read


def test_a_name_has_one_definition():
    with pytest.raises(ValueError, match="column N_EPOCH is defined twice"):
        register([Column("N_EPOCH", "i4", "", "Something else.")])
    with pytest.raises(ConfigError, match=r"N_EPOC: unknown column. Did you mean 'N_EPOCH'\?"):
        column("N_EPOC")


def test_no_measurement_never_looks_like_a_good_one():
    assert np.isnan(column("SPREAD_MODEL").missing)
    assert column("SPREAD_CLASS").missing == -1
    assert column("NGMIX_MCAL_FLAGS").missing == NOT_ATTEMPTED_BIT
    assert column("NGMIX_ELL_NOSHEAR").blank(4).shape == (4, 2)


def test_tables_carry_types_units_and_definitions():
    table = build_table(
        {"SPREAD_MODEL": np.float32([1, 2]), "N_EPOCH": 3, "EPOCHS": None}, meta={"A": 1}
    )
    assert table["SPREAD_MODEL"].dtype == np.float64
    assert list(table["N_EPOCH"]) == [3, 3]
    assert list(table["EPOCHS"]) == ["", ""]
    assert table["N_EPOCH"].description == column("N_EPOCH").definition
    assert table.meta == {"A": 1}


def measured(numbers):
    n = len(numbers)
    return build_table(
        {
            "NUMBER": np.array(numbers), "SPREAD_MODEL": np.array(numbers) / 10.0,
            "SPREAD_CLASS": 1, "NGMIX_ELL_NOSHEAR": np.ones((n, 2)), "NGMIX_MCAL_FLAGS": 0,
            "EPOCHS": np.array(["2100001-0"] * n),
        },
        rows=n,
    )  # fmt: skip


def detections(n=5):
    return Table({"NUMBER": np.arange(1, n + 1), "VIGNET": np.zeros((n, 3, 3))})


def test_every_detection_has_one_row_whatever_was_measured():
    final = assemble_catalogue(
        detections(), [measured([4, 2]), measured([5])], tile="000-000", columns=MEASURED
    )
    assert list(final["NUMBER"]) == [1, 2, 3, 4, 5]
    assert "VIGNET" not in final.colnames
    np.testing.assert_array_equal(final["FLAGS_UNIT"], [1, 0, 1, 0, 0])
    np.testing.assert_array_equal(final["SPREAD_MODEL"], [np.nan, 0.2, np.nan, 0.4, 0.5])
    np.testing.assert_array_equal(final["SPREAD_CLASS"], [-1, 1, -1, 1, 1])
    assert np.isnan(final["NGMIX_ELL_NOSHEAR"][0]).all()
    assert final["NGMIX_MCAL_FLAGS"][0] == NOT_ATTEMPTED_BIT
    assert set(final["TILE_ID"]) == {"000-000"}


@pytest.mark.parametrize("n", [0, 3])
def test_a_tile_without_any_measurement_has_all_columns(n):
    final = assemble_catalogue(detections(n), [], tile="1", columns=MEASURED)
    assert len(final) == n
    assert final["NGMIX_ELL_NOSHEAR"].shape == (n, 2)
    assert np.all(np.asarray(final["FLAGS_UNIT"]) == 1)


def test_mix_ups_are_refused():
    with pytest.raises(DataError, match=r"a measurement has no detection .*NUMBER 9"):
        assemble_catalogue(detections(), [measured([9])], tile="1", columns=MEASURED)
    with pytest.raises(DataError, match="an object was measured twice"):
        assemble_catalogue(detections(), [measured([1]), measured([1])], tile="1", columns=MEASURED)
    twice = Table({"NUMBER": [1, 1]})
    with pytest.raises(DataError, match="NUMBER is not unique"):
        assemble_catalogue(twice, [], tile="1", columns=MEASURED)


def test_results_in_the_place_of_their_tables_are_told():
    found = purepipe.extract(purepipe.Exposure(np.zeros((8, 8))))
    with pytest.raises(DataError, match=r"must be a table \(got Detection\)\. Give its `\.table`"):
        purepipe.find_stars(found)
    with pytest.raises(DataError, match=r"stars must be a table \(got str\)\. An astropy Table"):
        purepipe.fit_psf("stars")
    with pytest.raises(DataError, match="objects must be a table"):
        purepipe.measure_shapes(found, None, seed=1)
    with pytest.raises(DataError, match=r"must be an Exposure \(got ndarray\).*Exposure\(image\)"):
        purepipe.extract(np.zeros((8, 8)))
