"""Broken files: each is named with a remedy, and the rest of the survey still runs."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from purepipe.errors import ExitCode
from purepipe.flags import EpochFlag, ShapeFlag
from purepipe.io.ldac import read_epochs
from purepipe.pipeline import load_survey, open_run, run, summary_lines

from .conftest import simulate

N_EXPOSURES = 6


def exposure(folder: Path, kind: str, number: int) -> Path:
    return folder / "exposures" / f"{kind}-{2100000 + number}.fits"


def break_files(folder: Path) -> None:
    """One fault after the other; exposure 6 and one CCD of exposure 5 stay whole."""
    exposure(folder, "weight", 1).unlink()
    image = exposure(folder, "image", 2)
    image.write_bytes(image.read_bytes()[:-40000])
    with fits.open(exposure(folder, "flag", 3)) as hdus:
        fewer = fits.HDUList([hdu.copy() for hdu in hdus[:-1]])
    fewer.writeto(exposure(folder, "flag", 3), overwrite=True)
    with fits.open(exposure(folder, "image", 4), mode="update") as hdus:
        hdus[1].data[:] = np.nan
    with fits.open(exposure(folder, "weight", 4), mode="update") as hdus:
        hdus[2].data[:] = 0
    with fits.open(exposure(folder, "image", 5), mode="update") as hdus:
        hdus[1].data[:] = np.random.default_rng(1).normal(600, 20, hdus[1].data.shape)
    with fits.open(folder / "tiles" / "CFIS_image-000-000.fits", mode="update") as hdus:
        hdus[0].header.add_history("input image 2100006p.fits 2 extension(s)")
    for kind in ("image", "weight"):
        with fits.open(folder / "tiles" / f"CFIS_{kind}-000-000.fits") as hdus:
            lone = fits.PrimaryHDU(hdus[0].data, hdus[0].header.copy())
        lone.header.remove("HISTORY", ignore_missing=True, remove_all=True)
        lone.writeto(folder / "tiles" / f"CFIS_{kind}-001-000.fits")


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    path = simulate(folder, exposures=N_EXPOSURES)
    break_files(folder)
    config = load_survey(path)
    return config, run(config, workers=1)


@pytest.mark.parametrize(
    ("unit", "status", "message"),
    [
        ("exposure 2100001", "data bad", r"weight-2100001\.fits.*(does not exist|no such file)"),
        ("exposure 2100002", "data bad", r"image-2100002\.fits.*HDU 2.*(truncated|ends)"),
        ("exposure 2100003", "data bad", r"flag-2100003\.fits.*(HDU|extensions)"),
        ("ccd 2100004-0", "data bad", r"image-2100004\.fits.*no finite pixel.*replace the file"),
        ("ccd 2100004-1", "data bad", r"2100004.*no pixel has a usable weight.*Check"),
        ("ccd 2100005-0", "failed", r"image-2100005\.fits\[HDU 1\]: no star for the PSF"),
        ("tile 001-000", "nothing to do", r"image-001-000\.fits: no HISTORY.*history_pattern"),
    ],
)  # fmt: skip
def test_the_fault_is_named(broken, unit, status, message):
    _, summary = broken
    found = {outcome.name: outcome for outcome in summary.failures}
    assert unit in found, sorted(found)
    assert found[unit].status == status
    assert re.search(message, found[unit].message, re.IGNORECASE | re.DOTALL), found[unit].message
    assert found[unit].message.endswith((".", ")"))


def test_the_rest_of_the_survey_runs(broken):
    config, summary = broken
    assert summary.exit_code is ExitCode.SOME_FAILED
    done = {outcome.name for outcome in summary.outcomes if outcome.done}
    assert {"ccd 2100005-1", "ccd 2100006-0", "ccd 2100006-1", "tile 000-000"} <= done
    final = open_run(config.out).catalogue()
    whole = final[np.asarray(final["TILE_ID"]) == "000-000"]
    assert np.count_nonzero(np.asarray(whole["NGMIX_MCAL_FLAGS"]) == 0) > 10


def test_objects_tell_why_epochs_are_missing(broken):
    config, _ = broken
    final = open_run(config.out).catalogue()
    whole = final[np.asarray(final["TILE_ID"]) == "000-000"]
    assert np.any(np.asarray(whole["FLAGS_EPOCH"]) & EpochFlag.FAILED_CCD)


def test_a_tile_without_exposures_keeps_its_objects(broken):
    config, summary = broken
    final = open_run(config.out).catalogue()
    alone = final[np.asarray(final["TILE_ID"]) == "001-000"]
    assert len(alone) > 30
    assert len(final) == summary.objects
    assert np.all(np.asarray(alone["N_EPOCH"]) == 0)
    assert np.all(np.asarray(alone["NGMIX_MCAL_FLAGS"]) & ShapeFlag.NO_EPOCH)
    assert np.isnan(np.asarray(alone["NGMIX_ELL_NOSHEAR"])).all()


def test_a_stale_psf_is_not_used(broken):
    config, _ = broken
    assert not (config.out / "ccd/2100005-0/psf.psf").exists()
    assert (config.out / "ccd/2100005-0/mask.fits").exists()


def test_a_second_run_tells_the_same(broken):
    config, first = broken
    again = run(config, workers=1)
    assert [(o.name, o.status, o.message) for o in again.outcomes] == [
        (o.name, o.status, o.message) for o in first.outcomes
    ]
    assert again.skipped > 0


def test_a_missing_exposure_is_told_and_flagged(broken):
    config, summary = broken
    tile = next(outcome for outcome in summary.outcomes if outcome.name == "tile 000-000")
    assert tile.done
    assert "2100001, 2100002, 2100003" in tile.message
    final = open_run(config.out).catalogue()
    whole = final[np.asarray(final["TILE_ID"]) == "000-000"]
    assert np.all(np.asarray(whole["FLAGS_EPOCH"]) & EpochFlag.MISSING_FILE)
    assert any("remarks" in line for line in summary_lines(summary.outcomes))
    # A path is not cut: one that is too long has a line of its own.
    lines = summary_lines(summary.outcomes)
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in lines)


def test_an_exposure_that_is_named_twice_counts_once(broken):
    config, summary = broken
    tile = next(outcome for outcome in summary.outcomes if outcome.name == "tile 000-000")
    assert re.search(
        r"image-000-000\.fits: its HISTORY names exposures more than once, which count once:"
        r" 2100006\.",
        tile.message,
    )
    tables = read_epochs(config.out / "tile/000-000/objects.fits")
    assert [str(table["EXP_NAME"][0]) for table in tables].count("2100006") == 1
    final = open_run(config.out).catalogue()
    whole = final[np.asarray(final["TILE_ID"]) == "000-000"]
    seen = [names.split() for names in np.asarray(whole["EPOCHS"])]
    assert all(len(set(names)) == len(names) for names in seen)
    np.testing.assert_array_equal(whole["N_EPOCH"], [len(names) for names in seen])


def test_overlapping_ccds_are_told(broken, tmp_path):
    """Two CCDs of one exposure at one place: every object counts once, and the tile says so."""
    config, _ = broken
    image = Path(config.inputs.image.format(number="2100006"))
    whole = image.read_bytes()
    with fits.open(image, mode="update") as hdus:
        first, second = hdus[1].header, hdus[2].header
        for key in ("CRPIX1", "CRPIX2"):
            second[key] = first[key] + 0.25
    try:
        run(replace(config, out=tmp_path / "run"), workers=1)
    finally:
        image.write_bytes(whole)
    found = open_run(tmp_path / "run")
    tile = next(outcome for outcome in found.outcomes if outcome.name == "tile 000-000")
    assert re.search(r"\d+ objects lie on several CCDs of one exposure; .* farther", tile.message)
    final = found.catalogue()
    for names in np.asarray(final["EPOCHS"]):
        exposures = [name.split("-")[0] for name in names.split()]
        assert len(set(exposures)) == len(exposures)


def test_a_repaired_file_is_taken_up(broken, tmp_path):
    config, _ = broken
    weight = Path(config.inputs.weight.format(number="2100001"))
    whole = Path(config.inputs.weight.format(number="2100006"))
    weight.write_bytes(whole.read_bytes())
    try:
        summary = run(replace(config), workers=1)
    finally:
        weight.unlink()
    names = {outcome.name for outcome in summary.outcomes if outcome.done}
    assert "ccd 2100001-0" in names
    assert "exposure 2100001" not in {outcome.name for outcome in summary.outcomes}
