"""Tables of metadetections and their mean shear."""

import numpy as np
import pytest

from purepipe.config import MetadetectConfig
from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.flags import MetadetectFlag
from purepipe.shapes import calibrate, metadetect_shear
from purepipe.shapes.cell_epochs import gather_cell, tile_cells
from purepipe.shapes.detections import (
    calibrate_detections,
    cells_table,
    detections_table,
    measure_cell,
)
from purepipe.wcs import WCS

from .exposures import JAC, SCALE, SIDE, make_epoch

CONFIG = MetadetectConfig(side=SIDE)


def tile_wcs():
    from astropy.io.fits import Header

    header = Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 40.0, 10.0
    header["CRPIX1"], header["CRPIX2"] = 150.0, 200.0
    header["CD1_1"], header["CD2_2"] = -SCALE / 3600, SCALE / 3600
    return WCS.from_header(header, (400, 300))


@pytest.fixture(scope="module")
def found():
    """Detections of four cells with a few galaxies, a masked spot, and one cell without epochs."""
    wcs, cells = tile_wcs(), []
    areas = [area for row in tile_cells((400, 300), SIDE, 20) for area in row][:4]
    rng = np.random.default_rng(3)
    for area in areas[:3]:
        sources = [
            (*(area.centre + rng.uniform(-42, 42, 2)), rng.uniform(2.2, 3.5), rng.uniform(200, 900))
            for _ in range(12)
        ]
        epochs = [
            make_epoch(area, sources, angle=angle, noise=1.0, seed=int(rng.integers(1000)))
            for angle in (0.1, -0.4)
        ]
        for epoch in epochs:  # the same place on the sky
            x, y = (round(v.mean()) for v in (epoch.x, epoch.y))
            epoch.bad[y - 3 : y + 4, x - 3 : x + 4] = True
        cell = gather_cell(area, epochs, JAC)
        cells.append(measure_cell(cell, area, wcs, CONFIG, seed=1, key=area.number))
    empty = gather_cell(areas[3], [], JAC)
    cells.append(measure_cell(empty, areas[3], wcs, CONFIG, seed=1, key=3))
    table = detections_table(cells, tile="000-000", step=CONFIG.step)
    return table, cells_table(cells, tile="000-000"), areas


def test_every_detection_lies_in_its_cell_and_on_the_sky(found):
    table, _, areas = found
    assert set(np.asarray(table["MDET_TYPE"])) == {"NOSHEAR", "1P", "1M", "2P", "2M"}
    for row in table:
        x0, x1, y0, y1 = areas[row["CELL_ID"]].unique
        assert x0 <= row["MDET_X"] - 1 < x1
        assert y0 <= row["MDET_Y"] - 1 < y1
    ra, dec = tile_wcs().pixel_to_sky(
        np.asarray(table["MDET_X"]) - 1, np.asarray(table["MDET_Y"]) - 1
    )
    np.testing.assert_array_equal(table["RA"], ra)
    np.testing.assert_array_equal(table["DEC"], dec)


def test_flagged_detections_have_no_weight(found):
    table, _, areas = found
    flags, weight = np.asarray(table["MDET_FLAGS"]), np.asarray(table["MDET_WEIGHT"])
    assert (weight[flags != 0] == 0).all()
    centre = np.array([areas[k].centre for k in table["CELL_ID"]])
    distance = np.hypot(table["MDET_X"] - 1 - centre[:, 0], table["MDET_Y"] - 1 - centre[:, 1])
    masked = (flags & int(MetadetectFlag.MASKED)) != 0
    assert masked[distance < CONFIG.guard].all()
    assert not masked[distance > CONFIG.guard + 8].any()


def test_every_cell_has_its_row(found):
    table, cells, areas = found
    assert list(cells["CELL_ID"]) == [area.number for area in areas]
    assert list(cells["MDET_N_EPOCH"]) == [2, 2, 2, 0]
    assert list(cells["MDET_FLAGS"]) == [0, 0, 0, int(MetadetectFlag.NO_EPOCH)]
    unsheared = np.asarray(table["MDET_TYPE"]) == "NOSHEAR"
    counts = np.bincount(np.asarray(table["CELL_ID"])[unsheared], minlength=4)
    np.testing.assert_array_equal(cells["MDET_DETECTIONS"], counts)
    assert np.isnan(cells["MDET_FLUX_NOISE"][3])
    assert (np.asarray(cells["MDET_MASKED"])[:3] > 0).all()


def test_the_shear_is_that_of_the_sums_of_the_cells(found):
    table, _, _ = found
    sums = np.zeros((3, 5, 3))
    order = ["NOSHEAR", "1P", "1M", "2P", "2M"]
    for row in table:
        w = row["MDET_WEIGHT"]
        place = row["CELL_ID"], order.index(row["MDET_TYPE"])
        sums[place] += w, w * row["MDET_E"][0], w * row["MDET_E"][1]
    expected = metadetect_shear(sums)
    estimate = calibrate(table)
    np.testing.assert_allclose(estimate.g, expected.g)
    np.testing.assert_allclose(estimate.cov, expected.cov)
    np.testing.assert_allclose(estimate.response, expected.response)
    assert estimate.total == np.count_nonzero(np.asarray(table["MDET_TYPE"]) == "NOSHEAR")
    assert estimate.number <= estimate.measured <= estimate.total


def test_a_cut_acts_on_each_type_by_its_own_quantities(found):
    table, _, _ = found
    cut = calibrate(
        table, cut="s2n > 12 and size_ratio > 1.2", weights=lambda view: 1.0 + 0 * view.s2n
    )
    keep = (np.asarray(table["MDET_SNR"]) > 12) & (np.asarray(table["MDET_SIZE_RATIO"]) > 1.2)
    rows = table[keep & (np.asarray(table["MDET_FLAGS"]) == 0)]
    rows["MDET_WEIGHT"] = 1.0
    np.testing.assert_allclose(cut.g, calibrate(rows).g)
    bootstrap = calibrate(table, resampling="bootstrap", samples=50)
    assert bootstrap.replicas.shape == (50, 2)
    assert len(calibrate(table, groups=2).replicas) == 2
    assert len(calibrate(table, groups=np.arange(len(table)) % 4).replicas) == 4


def test_what_cannot_be_calibrated_is_refused(found):
    table, _, _ = found
    with pytest.raises(ConfigError, match="measured for all five types"):
        calibrate(table, cut="MAG_AUTO < 24")
    with pytest.raises(NothingToDo, match="a type has no detection that passes"):
        calibrate(table, cut="s2n > 1e9")
    with pytest.raises(NothingToDo, match="a type has no detection"):
        calibrate(table[np.asarray(table["MDET_TYPE"]) != "2M"])
    with pytest.raises(DataError, match="holds no metadetections"):
        calibrate_detections(table["CELL_ID", "MDET_TYPE"])
    wrong = table.copy()
    wrong["MDET_TYPE"][0] = "3P"
    with pytest.raises(DataError, match="unknown type of sheared image"):
        calibrate(wrong)
    nameless = table.copy()
    nameless.remove_column("CELL_ID")
    with pytest.raises(DataError, match="do not name their cells"):
        calibrate(nameless)
    with pytest.raises(ConfigError, match="jackknife"):
        calibrate(table, resampling="jacknife")


def test_a_rim_that_leaves_no_cell_is_refused():
    with pytest.raises(ConfigError, match="the rim leaves too little"):
        MetadetectConfig(side=96, margin=40)
