"""Metadetection as part of a run: cells, detections, resuming, workers, failures."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from purepipe.commands import merge
from purepipe.config import MetadetectConfig
from purepipe.errors import DataError, StoreError
from purepipe.flags import MetadetectFlag
from purepipe.io import read_table, write_table
from purepipe.pipeline import cells as cells_of_runs
from purepipe.pipeline import estimate_run, open_run, run, run_status, summary_lines
from purepipe.pipeline import work as working
from purepipe.pipeline.results import DETECTIONS, merge_detections
from purepipe.pipeline.store import Outcome
from purepipe.shapes import calibrate
from purepipe.shapes.cell_epochs import CellArea
from purepipe.survey import CCD
from purepipe.wcs import WCS

TILE = "metadetect/metadetect_cat-000-000.fits"


def enabled(config, out):
    tile = replace(config.tile, metadetect=MetadetectConfig(enabled=True, side=200))
    return replace(config, out=out, tile=tile)


@pytest.fixture(scope="module")
def searched(finished, tmp_path_factory):
    """The finished run, run again with metadetection."""
    config, _ = finished
    out = tmp_path_factory.mktemp("metadetect") / "run"
    shutil.copytree(config.out, out)
    config = enabled(config, out)
    return config, run(config, workers=1)


def test_what_was_done_before_stands_and_cells_are_counted(searched):
    config, summary = searched
    kinds = [outcome.kind for outcome in summary.outcomes]
    assert kinds.count("cells") == 4
    # all but the cells and the catalogue, which now has detections
    assert summary.skipped == len(kinds) - 5
    lines = "\n".join(summary_lines(summary.outcomes))
    assert "cells" in lines
    assert "peaks" in lines
    status = run_status(config.out)
    assert status.ended["cells"] == 4
    assert status.planned["cells"] == 4


def test_every_cell_has_a_row_and_every_detection_a_cell(searched):
    config, _ = searched
    found, cells = read_table(config.out / TILE), read_table(config.out / TILE, "CELLS")
    assert list(cells["CELL_ID"]) == list(range(24))
    unsheared = found[np.asarray(found["MDET_TYPE"]) == "NOSHEAR"]
    counts = np.bincount(np.asarray(unsheared["CELL_ID"]), minlength=24)
    np.testing.assert_array_equal(counts, cells["MDET_DETECTIONS"])
    lost = np.asarray(cells["MDET_N_EPOCH"]) == 0
    # Exposures reach them, with too few good pixels.
    assert (np.asarray(cells["MDET_FLAGS"])[lost] == int(MetadetectFlag.NO_EPOCH)).all()
    assert (counts[lost] == 0).all()
    assert (np.asarray(cells["MDET_FLAGS"])[~lost] == 0).all()
    assert (~lost).sum() > 12


def test_galaxies_are_where_the_catalogue_has_them(searched):
    config, _ = searched
    found = read_table(config.out / TILE)
    bright = found[(np.asarray(found["MDET_TYPE"]) == "NOSHEAR") & (found["MDET_WEIGHT"] > 0.5)]
    objects = open_run(config.out).catalogue()
    x, y = (np.asarray(objects[name]) for name in ("XWIN_IMAGE", "YWIN_IMAGE"))
    distance = [np.hypot(x - row["MDET_X"], y - row["MDET_Y"]).min() for row in bright]
    assert len(distance) > 10
    assert np.median(distance) < 0.5


def test_the_merged_detections_give_the_shear(searched):
    config, _ = searched
    finished = open_run(config.out)
    merged = finished.metadetections()
    assert set(np.asarray(merged["PRIMARY"])) <= {0, 1}
    assert merged["MDET_TYPE"].description
    estimate = finished.metadetect_shear()
    expected = calibrate(merged[np.asarray(merged["PRIMARY"]) == 1])
    np.testing.assert_array_equal(estimate.g, expected.g)
    assert 0.2 < estimate.response[0, 0] < 0.8
    assert np.isfinite(estimate.errors).all()
    assert finished.metadetect_shear(tiles=["000-000"]).number == estimate.number
    assert len(read_table(config.out / DETECTIONS, "CELLS")) == 24


def test_a_second_run_finds_all_of_it(searched):
    config, summary = searched
    again = run(config, workers=1)
    assert again.skipped == len(summary.outcomes)


def test_two_workers_give_the_same_bytes(searched):
    config, _ = searched
    other = replace(config, out=config.out.parent / "two")
    shutil.copytree(config.out, other.out)
    for row in (other.out / "metadetect").rglob("*.fits"):
        row.unlink()
    summary = run(other, workers=2)
    assert summary.skipped == len(summary.outcomes) - 5
    for name in (TILE, DETECTIONS, "metadetect/000-000/0002.fits"):
        assert (other.out / name).read_bytes() == (config.out / name).read_bytes()


def test_a_change_of_its_keys_leaves_the_shapes_alone(searched):
    config, _ = searched
    out = config.out.parent / "changed"
    shutil.copytree(config.out, out)
    mdet = replace(config.tile.metadetect, threshold=6.0)
    changed = replace(config, out=out, tile=replace(config.tile, metadetect=mdet))
    summary = run(changed, workers=1)
    assert summary.skipped == len(summary.outcomes) - 5
    assert len(read_table(out / TILE)) < len(read_table(config.out / TILE))
    off = replace(config, out=out, tile=replace(config.tile, metadetect=MetadetectConfig()))
    run(off, workers=1)
    assert not (out / DETECTIONS).exists()
    assert not (out / TILE).exists()
    with pytest.raises(StoreError, match="no merged metadetections"):
        open_run(out).metadetections()


def test_a_row_that_fails_leaves_blank_cells(searched, monkeypatch):
    config, _ = searched
    out = config.out.parent / "failed"
    shutil.copytree(config.out, out)
    shutil.rmtree(out / "metadetect")
    original = working.measure_cells

    def fails(task, context):
        if task.row == 1:
            raise DataError("spoilt")
        return original(task, context)

    monkeypatch.setattr(working, "measure_cells", fails)
    summary = run(replace(config, out=out), workers=1)
    assert [outcome.name for outcome in summary.failures] == ["cells 000-000 0001"]
    cells = read_table(out / TILE, "CELLS")
    assert list(cells["CELL_ID"]) == list(range(24))
    missing = np.asarray(cells["MDET_FLAGS"]) == int(MetadetectFlag.NOT_ATTEMPTED)
    np.testing.assert_array_equal(np.flatnonzero(missing), np.arange(6, 12))
    assert not np.isin(read_table(out / TILE)["CELL_ID"], np.arange(6, 12)).any()


def test_a_ccd_without_a_model_is_left_out(searched):
    config, _ = searched
    out = config.out.parent / "no_model"
    shutil.copytree(config.out, out)
    cells = read_table(out / TILE, "CELLS")
    tight = replace(config.tile.psf, min_stars=10_000)
    summary = run(replace(config, out=out, tile=replace(config.tile, psf=tight)), workers=1)
    assert any("too few stars" in outcome.message for outcome in summary.failures)
    lost = read_table(out / TILE, "CELLS")
    assert np.asarray(cells["MDET_N_EPOCH"]).sum() > 0
    assert np.asarray(lost["MDET_N_EPOCH"]).sum() == 0
    assert any("cells metadetect" in line for line in summary.guards)


def cells_lost(summary):
    """(cells beyond the exposures, cells lost) of a run, by its catalogue units."""
    steps = [s for o in summary.outcomes if o.kind == "catalogue" for s in o.steps]
    facts = next(step.facts for step in steps if step.step == "metadetect")
    return facts["cells beyond the exposures"], facts["cells lost"]


def with_other_exposures(config, survey, folder, spoil):
    """The run again, after `spoil` has changed its exposures."""
    shutil.copytree(survey.parent / "exposures", folder / "inputs")
    spoil(folder / "inputs")
    shutil.copytree(config.out, folder / "run")
    names = ("image", "weight", "flag")
    files = {name: str(folder / f"inputs/{name}-{{number}}.fits") for name in names}
    other = replace(config, out=folder / "run", inputs=replace(config.inputs, **files))
    return run(other, workers=1)


def test_cells_that_no_exposure_reaches_are_not_lost(searched, tmp_path):
    config, _ = searched
    # Where HISTORY names no exposure none is missing: nobody has looked at the tile.
    epochs = replace(config.tile.epochs, history_pattern="none([0-9]+)")
    shutil.copytree(config.out, tmp_path / "run")
    tile = replace(config.tile, epochs=epochs)
    summary = run(replace(config, out=tmp_path / "run", tile=tile), workers=1)
    assert cells_lost(summary) == (24, 0)
    flags = np.asarray(read_table(tmp_path / "run" / TILE, "CELLS")["MDET_FLAGS"])
    assert (flags == int(MetadetectFlag.NO_EPOCH | MetadetectFlag.BEYOND)).all()
    assert any("24 of 24 cells have nothing to find" in o.message for o in summary.outcomes)
    assert not any("cells" in line for line in summary.guards)


@pytest.mark.parametrize(
    ("x0", "datasec", "seen"),
    [
        (-195, None, True),
        (-205, None, False),  # within what its interpolation reads, but not on the CCD
        (-180, "[33:2080,1:4612]", False),  # on the unexposed rim alone
        (-167, "[33:2080,1:4612]", True),
        (2079, "[33:2080,1:4612]", True),
        (2081, "[33:2080,1:4612]", False),
        (2100, None, True),
        (5000, None, False),
    ],
)
def test_a_cell_is_reached_by_exposed_pixels_alone(x0, datasec, seen):
    header = fits.Header({
        "NAXIS1": 2112, "NAXIS2": 4644, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
        "CRPIX1": 1000.0, "CRPIX2": 2000.0, "CRVAL1": 150.0, "CRVAL2": 2.0,
        "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5,
    })  # fmt: skip
    wcs = WCS.from_header(header, (4644, 2112))
    if datasec:
        header["DATASEC"] = datasec
    ccd = CCD.from_header("1", 0, header, (4644, 2112))
    area = CellArea(0, x0, 1000, 200, (0, 0, 0, 0))
    assert cells_of_runs._reached([ccd], area, wcs) is seen


def test_cells_of_missing_exposures_are_lost(searched, survey, tmp_path):
    def remove(folder):
        for path in folder.iterdir():
            path.unlink()

    summary = with_other_exposures(searched[0], survey, tmp_path, remove)
    assert cells_lost(summary) == (0, 24)
    assert any("24 of 24 cells lost" in line for line in summary.guards)


def test_cells_are_not_beyond_an_exposure_that_is_read_in_part(searched, survey, tmp_path):
    def damage(folder):
        fits.setval(folder / "image-2100001.fits", "CTYPE1", value="WRONG", ext=1)

    summary = with_other_exposures(searched[0], survey, tmp_path, damage)
    assert [outcome.name for outcome in summary.failures] == ["ccd 2100001-0"]
    assert cells_lost(summary)[0] == 0


def test_the_plan_counts_rows_of_cells(searched):
    config, _ = searched
    estimate, _ = estimate_run(config)
    assert estimate.units["cells"] == 4
    assert estimate.cpu_hours["cells"] > 0
    off = replace(config, tile=replace(config.tile, metadetect=MetadetectConfig()))
    assert estimate_run(off)[0].units["cells"] == 0


def test_merge_joins_detections(searched, tmp_path, capsys):
    config, _ = searched
    out = tmp_path / "all.fits"
    assert merge.main([str(config.out), "--metadetect", "--primary", "--out", str(out)]) == 0
    table = read_table(out)
    expected = open_run(config.out).metadetections()
    assert len(table) == np.count_nonzero(np.asarray(expected["PRIMARY"]) == 1)
    np.testing.assert_allclose(calibrate(table).g, open_run(config.out).metadetect_shear().g)
    assert merge.main([str(config.out), "--metadetect", "--names", "v1", "--out", str(out)]) == 2
    assert "one set of names" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert merge.main([str(empty), "--metadetect", "--out", str(out)]) == 1
    assert "metadetect_cat" in capsys.readouterr().err


def test_the_report_tells_the_shear_and_the_cells(searched):
    from purepipe.report import write_report

    text = write_report(searched[0].out).read_text()
    assert "by metadetection" in text
    assert "rows of cells" in text


def test_the_limit_of_the_merged_detections_counts_rows(tmp_path):
    table = Table({"A": np.zeros(5)})
    (tmp_path / "metadetect").mkdir()
    write_table(tmp_path / "metadetect/one.fits", table)
    ended = [Outcome("a", "catalogue", "done", products={"metadetect/one.fits": 1})]
    assert merge_detections(tmp_path, ended, most=4) == 0
    assert not (tmp_path / DETECTIONS).exists()
