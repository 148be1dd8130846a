"""Random points: uniform in the unmasked area, fixed by seed and tile."""

import numpy as np
import pytest
from astropy.io.fits import Header

from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.survey import merge_tiles, random_points
from purepipe.wcs import WCS

SHAPE = (60, 80)
SCALE = 0.5 / 3600


@pytest.fixture
def sky():
    return WCS.from_header(Header({
        "NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0], "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN", "CRVAL1": 0.001, "CRVAL2": 40.0, "CRPIX1": 40.5, "CRPIX2": 30.5,
        "CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE,
    }))  # fmt: skip


@pytest.mark.parametrize("good_part", [0.9, 0.01])
def test_uniform_on_the_unmasked_pixels(sky, good_part):
    mask = np.where(np.random.default_rng(1).random(SHAPE) < good_part, 0, 4).astype(np.int16)
    table = random_points(mask, sky, tile="000-000", number=20000)
    assert len(table) == 20000
    x, y = np.asarray(table["x"]) - 1, np.asarray(table["y"]) - 1
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    assert np.all(mask[row, column] == 0)
    counts = np.bincount(row * SHAPE[1] + column, minlength=mask.size)[(mask == 0).ravel()]
    mean = 20000 / np.count_nonzero(mask == 0)
    assert ((counts - mean) ** 2 / mean).mean() == pytest.approx(1, abs=0.45)
    # Inside the pixels too, up to their edges.
    for shift in (x - column, y - row):
        assert abs(shift.mean()) < 0.01
        assert shift.std() == pytest.approx(1 / np.sqrt(12), rel=0.02)
        assert shift.min() < -0.499
    back = sky.sky_to_pixel(table["RA"], table["DEC"])
    np.testing.assert_allclose(back, [x, y], atol=1e-6)


def test_density_counts_the_unmasked_area(sky):
    mask = np.zeros(SHAPE, np.int32)
    mask[:, :40] = 2
    area = SHAPE[0] * 40 * (0.5 / 60) ** 2
    table = random_points(mask, sky, tile="000-000", density=3000.0)
    assert len(table) == pytest.approx(3000 * area, abs=1)
    assert table.meta["UNMASKED"] == pytest.approx(area, rel=1e-6)
    assert table.meta["AREA"] == pytest.approx(2 * area, rel=1e-6)
    every = random_points(mask, sky, tile="000-000", number=1000, bits=1)
    assert np.asarray(every["x"]).min() < 5
    assert set(np.asarray(table["TILE_ID"])) == {"000-000"}


def test_seed_and_tile_fix_the_points(sky):
    mask = np.zeros(SHAPE, np.int32)

    def ra(tile, seed):
        table = random_points(mask, sky, tile=tile, number=5, seed=seed)
        return np.asarray(table["RA"]).tolist()

    assert ra("000-000", 1) == ra("000-000", 1)
    assert ra("000-000", 1) != ra("000-000", 2)
    assert ra("000-000", 1) != ra("000-001", 1)


def test_randoms_of_tiles_are_merged_like_their_objects(sky):
    mask = np.zeros(SHAPE, np.int32)
    tables = [random_points(mask, sky, tile=tile, number=50) for tile in ("000-000", "000-001")]
    assert np.asarray(merge_tiles(tables)["PRIMARY"]).tolist() == [1] * 50 + [0] * 50


def test_wrong_arguments(sky):
    mask = np.zeros(SHAPE, np.int32)
    for wrong in ({}, {"number": 3, "density": 2.0}):
        with pytest.raises(ConfigError, match="either a number or a density"):
            random_points(mask, sky, tile="a", **wrong)
    with pytest.raises(ConfigError, match=r"density: must be positive.*-1"):
        random_points(mask, sky, tile="a", density=-1.0)
    with pytest.raises(ConfigError, match=r"number: must be positive"):
        random_points(mask, sky, tile="a", number=0)
    with pytest.raises(NothingToDo, match="tile a: every pixel of the tile is masked"):
        random_points(mask + 1, sky, tile="a", number=1)
    with pytest.raises(DataError, match=r"tile a: a mask is an image of integers.*float"):
        random_points(mask * 1.0, sky, tile="a", number=1)
    with pytest.raises(DataError, match="tile a: the mask is not of the size of the tile"):
        random_points(mask[1:], sky, tile="a", number=1)
