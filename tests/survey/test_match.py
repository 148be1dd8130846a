"""Matching with external catalogues."""

import numpy as np
import pytest
from astropy.table import Table

from purepipe.errors import ConfigError, DataError
from purepipe.survey import match_external, nearest_neighbours

ARCSEC = 1 / 3600


@pytest.fixture
def objects():
    return Table({"NUMBER": [1, 2, 3, 4, 5],
                  "XWIN_WORLD": [0.0, 359.99999, 10.0, np.nan, 20.0],
                  "YWIN_WORLD": [0.0, 50.0, 89.9999, 1.0, 30.0]})  # fmt: skip


@pytest.fixture
def external():
    return Table({"ra": [359.9999444, 0.00001, 190.0, 20.0, np.nan],
                  "dec": [0.0, 50.0, 89.99999, 30.0 + 0.3 * ARCSEC, 30.0],
                  "z": [0.1, 0.2, 0.3, 0.4, 0.5],
                  "id": np.array([7, 8, 9, 10, 11], np.int64),
                  "name": ["a", "b", "c", "d", "e"]})  # fmt: skip


def test_against_brute_force():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 0.01, 300) - 0.005, rng.uniform(60, 60.005, 300)
    other_ra, other_dec = rng.uniform(0, 0.01, 400) - 0.005, rng.uniform(60, 60.005, 400)
    index, separation = nearest_neighbours(
        ra % 360, dec, other_ra % 360, other_dec, tolerance=0.5
    )  # fmt: skip
    dx = (ra[:, None] - other_ra) * np.cos(np.radians(dec))[:, None]
    gap = np.hypot(dx, dec[:, None] - other_dec) * 3600
    close = gap.min(axis=1) < 0.5
    assert 0.05 < close.mean() < 0.95
    np.testing.assert_array_equal(index >= 0, close)
    np.testing.assert_array_equal(index[close], gap.argmin(axis=1)[close])
    np.testing.assert_allclose(separation[close], gap.min(axis=1)[close], rtol=1e-4)
    assert np.isnan(separation[~close]).all()


def test_only_matches(objects, external):
    external["z"].unit = "Mpc"
    external["z"].description = "Distance."
    table = match_external(objects, external, tolerance=0.5, columns=["z"])
    assert table.colnames == ["NUMBER", "XWIN_WORLD", "YWIN_WORLD", "z", "MATCHED", "distance"]
    assert table["NUMBER"].tolist() == [1, 2, 3, 5]  # 3 across the pole
    np.testing.assert_allclose(table["distance"], [0.2, 0.0463, 0.396, 0.3], atol=1e-3)
    assert (table["z"].unit, table["z"].description) == ("Mpc", "Distance.")
    assert table["MATCHED"].tolist() == [1, 1, 1, 1]


def test_the_tolerance_is_strict(objects, external):
    angle = nearest_neighbours([20.0], [30.0], external["ra"], external["dec"], tolerance=1)[1][0]
    for tolerance, matches in ((angle, 0), (np.nextafter(angle, 1), 1)):
        index, _ = nearest_neighbours(
            [20.0], [30.0], external["ra"], external["dec"], tolerance=tolerance
        )
        assert (index >= 0).sum() == matches


def test_all_objects(objects, external):
    table = match_external(objects, external, tolerance=0.5, prefix="EXT_", keep_all=True)
    assert len(table) == 5
    assert table["EXT_MATCHED"].tolist() == [1, 1, 1, 0, 1]
    assert table["EXT_id"].tolist() == [7, 8, 9, -1, 10]
    assert table["EXT_name"].tolist() == ["a", "b", "c", "", "d"]
    assert np.isnan(table["EXT_z"][3])
    marked = match_external(objects, external, tolerance=0.5, keep_all=True, missing=0)
    assert marked["z"].tolist() == [0.1, 0.2, 0.3, 0, 0.4]


def test_masked_cells_are_missing(objects, external):
    external = Table(external, masked=True)
    external["z"].mask[0] = external["id"].mask[1] = external["name"].mask[2] = True
    external["ra"].mask[3] = True
    table = match_external(objects, external, tolerance=0.5, keep_all=True)
    assert table["MATCHED"].tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal(table["z"], [np.nan, 0.2, 0.3, np.nan, np.nan])
    assert table["id"].tolist() == [7, -1, 9, -1, -1]
    assert table["name"].tolist() == ["a", "b", "", "", ""]


def test_a_second_match_keeps_the_first(objects, external):
    first = match_external(objects, external, tolerance=0.5, columns=["z"], keep_all=True)
    second = match_external(
        first, external[:1], tolerance=0.5, columns=["z"], prefix="B_", keep_all=True
    )
    assert second["MATCHED"].tolist() == [1, 1, 1, 0, 1]
    assert second["B_MATCHED"].tolist() == [1, 0, 0, 0, 0]
    assert second["B_distance"][0] == second["distance"][0]
    with pytest.raises(DataError, match=r"MATCHED: a new column has the name.*prefix"):
        match_external(first, external, columns=["name"])
    external["distance"] = 1.0
    with pytest.raises(DataError, match=r"distance: a new column has the name.*prefix"):
        match_external(objects, external)


def test_nothing_to_match(objects, external):
    assert len(match_external(objects, external[:0])) == 0
    assert len(match_external(objects[:0], external, keep_all=True)) == 0


def test_wrong_arguments(objects, external):
    with pytest.raises(ConfigError, match=r"tolerance: must be a positive number of arcsec.*0"):
        match_external(objects, external, tolerance=0)
    with pytest.raises(DataError, match=r"RA: the external catalogue has no such column.*'ra'"):
        match_external(objects, external, external_positions=("RA", "dec"))
    with pytest.raises(DataError, match=r"zz: the external catalogue has no such column"):
        match_external(objects, external, columns=["zz"])
    with pytest.raises(DataError, match=r"XWIN_WORL: the catalogue has no such.*'XWIN_WORLD'"):
        match_external(objects, external, positions=("XWIN_WORL", "YWIN_WORLD"))
    external["NUMBER"] = 1
    with pytest.raises(DataError, match=r"NUMBER: a new column has the name.*prefix"):
        match_external(objects, external)
