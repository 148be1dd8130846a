"""The whole chain on a small simulated survey."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from purepipe.config.mask import SkyMaskConfig
from purepipe.errors import ConfigError, ExitCode, NothingToDo
from purepipe.flags import NOT_ATTEMPTED_BIT, EpochFlag
from purepipe.io import read_ldac, read_table
from purepipe.pipeline import load_survey, open_run, run, summary_lines
from purepipe.pipeline.progress import Lines


def catalogue_bytes(root):
    return (root / "catalogue" / "final_cat.fits").read_bytes()


def test_everything_is_done(finished):
    _, summary = finished
    assert [outcome.message for outcome in summary.failures] == []
    assert summary.exit_code is ExitCode.OK
    assert {outcome.kind for outcome in summary.outcomes} == {"ccd", "tile", "shapes", "catalogue"}


def test_every_detection_has_one_row(finished):
    config, summary = finished
    objects = read_ldac(config.out / "tile/000-000/objects.fits")
    final = open_run(config.out).catalogue()
    assert summary.objects == len(final) == len(objects) > 30
    np.testing.assert_array_equal(final["NUMBER"], objects["NUMBER"])
    assert set(final["TILE_ID"]) == {"000-000"}


def test_what_is_not_measured_is_flagged(finished):
    config, _ = finished
    final = open_run(config.out).catalogue()
    flags = np.asarray(final["NGMIX_MCAL_FLAGS"])
    measured = np.isfinite(np.asarray(final["NGMIX_ELL_NOSHEAR"])).all(axis=1)
    assert measured[flags == 0].all()
    assert (flags == 0).sum() > 20
    assert np.all(flags[np.asarray(final["N_EPOCH"]) == 0] != 0)
    assert np.all(np.asarray(final["FLAGS_UNIT"]) == 0)


def test_counts_of_the_summary_add_up(finished):
    _, summary = finished
    totals = {}
    for outcome in summary.outcomes:
        for step in outcome.steps:
            n_in, n_out = totals.get((outcome.kind, step.step), (0, 0))
            totals[outcome.kind, step.step] = n_in + step.n_in, n_out + step.n_out
    objects = summary.objects
    assert totals["tile", "detect"][1] == totals["tile", "epochs"][0] == objects
    assert totals["shapes", "spread"][0] == totals["shapes", "shapes"][0] == objects
    assert totals["catalogue", "catalogue"] == (objects, objects)
    assert totals["shapes", "stamps"][1] == totals["shapes", "psf"][0]


def test_the_summary_fits_a_terminal(finished):
    _, summary = finished
    lines = summary_lines(summary.outcomes)
    assert max(map(len, lines)) <= 80
    assert any("shapes" in line and f"{summary.objects:,}" in line for line in lines)


@pytest.mark.parametrize(("workers", "block_size"), [(2, 40), (1, 7)])
def test_workers_and_blocks_do_not_change_a_byte(finished, tmp_path, workers, block_size):
    config, _ = finished
    other = replace(config, out=tmp_path / "other", block_size=block_size)
    run(other, workers=workers)
    assert catalogue_bytes(other.out) == catalogue_bytes(config.out)


def test_a_second_run_skips_what_stands(finished, tmp_path):
    config, _ = finished
    again = replace(config, out=tmp_path / "again")
    shutil.copytree(config.out, again.out)
    before = catalogue_bytes(again.out)
    summary = run(again, workers=1)
    assert summary.skipped == len(summary.outcomes)
    assert catalogue_bytes(again.out) == before
    # A product that is gone is made again, and with it what depends on it.
    (again.out / "tile/000-000/objects.fits").unlink()
    summary = run(again, workers=1)
    assert 0 < summary.skipped < len(summary.outcomes)
    assert catalogue_bytes(again.out) == before


def test_another_configuration_redoes_its_steps(finished, tmp_path):
    config, _ = finished
    again = replace(config, out=tmp_path / "again")
    shutil.copytree(config.out, again.out)
    tile = replace(again.tile, shapes=replace(again.tile.shapes, noise="double"))
    summary = run(replace(again, tile=tile), workers=1)
    # Masks, detections and PSFs do not depend on it; shapes and catalogues do.
    stand = sum(outcome.kind in ("ccd", "tile") for outcome in summary.outcomes)
    assert summary.skipped == stand
    assert catalogue_bytes(again.out) != catalogue_bytes(config.out)


def test_a_failed_block_leaves_flagged_rows(finished, tmp_path, monkeypatch):
    from purepipe.pipeline import work

    config, _ = finished
    calls = []

    def fail_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("cosmic accident")
        return real(*args, **kwargs)

    real = work.measure_shapes
    monkeypatch.setattr(work, "measure_shapes", fail_once)
    other = replace(config, out=tmp_path / "other")
    summary = run(other, workers=1)
    assert summary.exit_code is ExitCode.SOME_FAILED
    (failure,) = summary.failures
    assert failure.kind == "shapes"
    assert "cosmic accident" in failure.message
    log = other.out / "logs" / f"{failure.name.replace(' ', '-')}.log"
    assert "Traceback" in log.read_text()
    final = open_run(other.out).catalogue()
    lost = np.asarray(final["FLAGS_UNIT"]) == 1
    assert len(final) == summary.objects
    assert 0 < lost.sum() <= config.block_size
    assert np.isnan(np.asarray(final["NGMIX_ELL_NOSHEAR"])[lost]).all()
    assert np.all(np.asarray(final["NGMIX_MCAL_FLAGS"])[lost] & NOT_ATTEMPTED_BIT)


def test_the_positions_are_those_of_the_truth(finished, survey):
    config, _ = finished
    truth = read_table(survey.parent / "truth.fits")
    final = open_run(config.out).catalogue()
    good = np.asarray(final["SNR_WIN"]) > 50
    ra, dec = np.asarray(final["XWIN_WORLD"])[good], np.asarray(final["YWIN_WORLD"])[good]
    cos = np.cos(np.radians(dec))
    d2 = (
        ((ra[:, None] - np.asarray(truth["ra"])) * cos[:, None]) ** 2
        + (dec[:, None] - np.asarray(truth["dec"])) ** 2
    ).min(axis=1)
    assert np.median(np.sqrt(d2) * 3600) < 0.02


def test_no_input_is_an_error(tmp_path, survey):
    config = load_survey(survey)
    inputs = replace(
        config.inputs,
        image=str(tmp_path / "none-{number}.fits"),
        tile_image=str(tmp_path / "tile-{number}.fits"),
    )
    with pytest.raises(NothingToDo, match=r"no exposure and no tile.*\[inputs\]"):
        run(replace(config, inputs=inputs, out=tmp_path / "run"), workers=1)


def test_star_masks_need_a_catalogue(tmp_path, survey):
    config = load_survey(survey)
    inputs = replace(config.inputs, stars="")
    with pytest.raises(ConfigError, match=r"ccd.mask: halos and spikes.*inputs.stars"):
        run(replace(config, inputs=inputs, out=tmp_path / "run"), workers=1)
    mask = replace(config.tile.mask, sky=SkyMaskConfig(map=tmp_path / "none.fits"))
    pytest.importorskip("healsparse", reason="the optional package is not installed")
    with pytest.raises(ConfigError, match=r"tile.mask.sky.map: the map of the sky does not exist"):
        run(replace(config, tile=replace(config.tile, mask=mask), out=tmp_path / "run"), workers=1)
    inputs = replace(config.inputs, stars=str(tmp_path / "none.fits"))
    with pytest.raises(ConfigError, match=r"inputs.stars: the star catalogue does not exist"):
        run(replace(config, inputs=inputs, out=tmp_path / "run"), workers=1)


def test_lines_tell_progress(survey, tmp_path, capsys):
    config = replace(load_survey(survey), out=tmp_path / "run")
    run(config, workers=1, progress=Lines())
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"{lines[-1].split('/')[0]}/{lines[-1].split('/')[0]} units")
    assert max(map(len, lines)) <= 80


def test_compressed_exposures_give_the_same_catalogue(finished, survey, tmp_path):
    from astropy.io import fits

    folder = tmp_path / "exposures"
    folder.mkdir()
    for path in (survey.parent / "exposures").iterdir():
        with fits.open(path) as hdus:
            packed = [
                fits.CompImageHDU(hdu.data, hdu.header, compression_type="GZIP_2", quantize_level=0)
                for hdu in hdus[1:]
            ]
            fits.HDUList([hdus[0].copy(), *packed]).writeto(folder / f"{path.name}.fz")
    config, _ = finished
    names = {
        kind: str(folder / f"{kind}-{{number}}.fits.fz") for kind in ("image", "weight", "flag")
    }
    other = replace(config, inputs=replace(config.inputs, **names), out=tmp_path / "run")
    assert run(other, workers=1).exit_code is ExitCode.OK
    plain, packed = (open_run(c.out).catalogue() for c in (config, other))
    for name in plain.colnames:
        np.testing.assert_array_equal(np.asarray(packed[name]), np.asarray(plain[name]), name)


def test_a_model_below_the_limits_is_told_and_not_used(finished, tmp_path):
    config, _ = finished
    tile = replace(config.tile, psf=replace(config.tile.psf, min_stars=1000))
    strict = replace(config, tile=tile, out=tmp_path / "run")
    summary = run(strict, workers=1)
    assert summary.exit_code is ExitCode.SOME_FAILED
    failed = [outcome for outcome in summary.failures if outcome.kind == "ccd"]
    assert len(failed) == 4
    assert "tile.psf.min_stars: the PSF model rests on too few stars" in failed[0].message
    final = open_run(strict.out).catalogue()
    assert np.all(np.asarray(final["NGMIX_MCAL_FLAGS"]) != 0)
    assert np.any(np.asarray(final["FLAGS_EPOCH"]) & EpochFlag.NO_PSF)


def test_magnitudes_have_one_zero_point(finished, tmp_path):
    config, _ = finished
    other = replace(config, inputs=replace(config.inputs, zero_point=25.0), out=tmp_path / "run")
    run(other, workers=1)
    bright = {}
    for name, used in (("30", config), ("25", other)):
        final = open_run(used.out).catalogue()
        good = (np.asarray(final["NGMIX_MCAL_FLAGS"]) == 0) & (np.asarray(final["SNR_WIN"]) > 30)
        assert good.sum() > 5
        gap = np.asarray(final["NGMIX_MAG_NOSHEAR"])[good] - np.asarray(final["MAG_AUTO"])[good]
        assert abs(np.nanmedian(gap)) < 0.3
        bright[name] = np.median(np.asarray(final["MAG_AUTO"])[good])
    assert bright["30"] - bright["25"] == pytest.approx(5, abs=0.2)


def test_the_scale_may_stand_in_the_primary_header(finished, survey, tmp_path):
    from astropy.io import fits

    folder = tmp_path / "exposures"
    shutil.copytree(survey.parent / "exposures", folder)
    for path in folder.glob("image-*.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["FSCALE"] = hdus[1].header["FSCALE"]
            for hdu in hdus[1:]:
                del hdu.header["FSCALE"]
    config, _ = finished
    names = {kind: str(folder / f"{kind}-{{number}}.fits") for kind in ("image", "weight", "flag")}
    other = replace(config, inputs=replace(config.inputs, **names), out=tmp_path / "run")
    run(other, workers=1)
    assert catalogue_bytes(other.out) == catalogue_bytes(config.out)


def test_no_stale_catalogue_survives(finished, tmp_path):
    config, _ = finished
    again = replace(config, out=tmp_path / "again")
    shutil.copytree(config.out, again.out)
    inputs = replace(config.inputs, tile_image=str(tmp_path / "none-{number}.fits"))
    summary = run(replace(again, inputs=inputs), workers=1)
    assert summary.exit_code is ExitCode.NOTHING_USABLE
    assert not list((again.out / "catalogue").glob("*.fits"))


def test_an_interruption_keeps_what_is_done(finished, tmp_path, monkeypatch):
    from purepipe.pipeline import work

    config, _ = finished
    other = replace(config, out=tmp_path / "other")
    monkeypatch.setattr(work, "measure_shapes", raising(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(other, workers=1)
    kept = {outcome.name for outcome in open_run(other.out).outcomes if outcome.done}
    assert "tile 000-000" in kept
    monkeypatch.undo()
    summary = run(other, workers=1)
    assert summary.skipped >= len(kept) - 1
    assert catalogue_bytes(other.out) == catalogue_bytes(config.out)


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail
