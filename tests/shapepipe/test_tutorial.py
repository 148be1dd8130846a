"""The tutorial's configurations, in their order, on a simulated survey."""

import os
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from purepipe.commands import stars
from purepipe.config import PSFInterpolationConfig, ShapeConfig, SimulateConfig
from purepipe.config.simulate import StarFieldConfig
from purepipe.errors import ConfigError, ExitCode
from purepipe.flags import NOT_ATTEMPTED_BIT
from purepipe.io import read_ldac, read_table
from purepipe.io.config_file import write_toml
from purepipe.io.images import read_image, write_image
from purepipe.io.ldac import read_epochs
from purepipe.io.psf_file import read_psf
from purepipe.io.shape_tables import read_shapes
from purepipe.io.stamp_store import StampStore
from purepipe.psf import attach_psfs, sky_positions
from purepipe.shapepipe.check import check
from purepipe.shapepipe.config import MakeCatConfig, PSFInterpConfig, SextractorConfig
from purepipe.shapepipe.convert import convert
from purepipe.shapepipe.detection import sextractor
from purepipe.shapepipe.final import final_catalogue
from purepipe.shapepipe.headers import read_wcs_log
from purepipe.shapepipe.job import Job, Record
from purepipe.shapepipe.models import interpolate
from purepipe.shapepipe.run import run_pipeline
from purepipe.shapepipe.tiles import read_stamps
from purepipe.shapes import measure_shapes, shapes_hdus
from purepipe.simulate import simulate_survey
from purepipe.survey import CCDPlanes, find_epochs, gather_stamps

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "shapepipe"
# What describes MegaCam, and has to be said of another camera.
CAMERA = (("N_HDU = 40", "N_HDU = 2"), ("STAR_THRESH = 20", "STAR_THRESH = 6"),
          ("CHI2_THRESH = 2\n", "CHI2_THRESH = 5\n"))  # fmt: skip
STORES = (
    "vignetmaker_runner2/output/image_vignet", "vignetmaker_runner2/output/exp_background_vignet",
    "psfexinterp_runner/output/galaxy_psf", "vignetmaker_runner2/output/weight_vignet",
    "vignetmaker_runner2/output/flag_vignet",
)  # fmt: skip
FILES = ("config_split.ini", "config_exp.ini", "config_tile.ini")


def prepare(folder):
    """A survey, the example set, and star catalogues."""
    simulate_survey(folder, SimulateConfig.small(stars=StarFieldConfig(density=14.0)))
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    for name in FILES:
        text = (folder / name).read_text()
        for old, new in CAMERA:
            text = text.replace(old, new)
        # In this process, where kernels are compiled once for all tests.
        (folder / name).write_text(re.sub("(?m)^TIMEOUT.*$", "", text))
    for name in ("output", "star_cat"):
        (folder / name).mkdir()
    catalogue = ["--catalogue", "stars.fits", "--out", "star_cat", "--allow-empty"]
    assert stars.main(["exposures", "--exposures", *catalogue]) == 0
    assert stars.main(["tiles", *catalogue]) == 0


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The survey after all three files were run, and the summaries."""
    folder, before = tmp_path_factory.mktemp("tutorial"), Path.cwd()
    os.chdir(folder)  # paths in pipeline files start at the current folder
    try:
        prepare(folder)
        findings = check([Path(name) for name in FILES])
        summaries = [run_pipeline(name, workers=1) for name in FILES]
    finally:
        os.chdir(before)
    return folder / "output", findings, summaries


def test_the_set_is_free_of_mistakes(tree):
    _, findings, _ = tree
    assert [str(item) for item in findings if item.level == "error"] == []
    files = {Path(item.file).name for item in findings}
    assert {"default.sex", "config.mask", "default.psfex", "default.param",
            "star_selection.setools"} <= files  # fmt: skip


def test_every_unit_of_every_module_is_done(tree):
    _, _, summaries = tree
    assert [outcome.message for summary in summaries for outcome in summary.failures] == []
    assert [summary.exit_code for summary in summaries] == [ExitCode.OK] * 3
    units = {step.step: len(step.outcomes) for summary in summaries for step in summary.steps}
    assert units == {
        "split_exp_runner": 2, "merge_headers_runner": 1, "mask_runner": 1,
        "sextractor_runner": 1, "setools_runner": 4, "psfex_runner": 4, "psfexinterp_runner": 1,
        "vignetmaker_runner": 1, "spread_model_runner": 1, "vignetmaker_runner2": 1,
        "ngmix_runner": 1, "make_catalog_runner": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "log_exp_headers.sqlite", "log_run_sp.txt",
        "run_split/split_exp_runner/output/headers-2100001.npy",
        "run_split/split_exp_runner/output/image-2100001-0.fits",
        "run_exp/mask_runner/output/pipeline_flag-2100002-1.fits",
        "run_exp/sextractor_runner/output/exp_sexcat-2100001-0.fits",
        "run_exp/sextractor_runner/output/exp_background-2100001-0.fits",
        "run_exp/setools_runner/output/mask/star_selection-2100001-0.fits",
        "run_exp/setools_runner/output/stat/star_stat-2100001-0.txt",
        "run_exp/setools_runner/output/plot/size_mag-2100001-0.png",
        "run_exp/psfex_runner/output/star_selection-2100001-0.psf",
        "run_exp/psfex_runner/output/psfex_cat-2100001-0.cat",
        "run_exp/psfexinterp_runner/output/validation_psf-2100001-0.fits",
        "run_tile/mask_runner/output/pipeline_flag-000-000.fits",
        "run_tile/sextractor_runner/output/tile_sexcat-000-000.fits",
        "run_tile/psfexinterp_runner/output/galaxy_psf-000-000.sqlite",
        "run_tile/vignetmaker_runner/output/weight_vignet-000-000.fits",
        "run_tile/spread_model_runner/output/sexcat_sm-000-000.fits",
        "run_tile/vignetmaker_runner2/output/image_vignet-000-000.sqlite",
        "run_tile/vignetmaker_runner2/output/exp_background_vignet-000-000.sqlite",
        "run_tile/ngmix_runner/output/ngmix-000-000.fits",
        "run_tile/make_catalog_runner/output/final_cat-000-000.fits",
        "run_exp/mask_runner/logs/process-2100002-1.log",
    ],
)  # fmt: skip
def test_the_original_names_of_files(tree, name):
    assert (tree[0] / name).stat().st_size > 0


def test_nothing_is_pickled(tree):
    for path in tree[0].rglob("*.npy"):
        np.load(path, allow_pickle=False)
    for path in tree[0].rglob("*.sqlite"):
        with StampStore(path) as store:
            assert len(store) > 0


def test_layout_of_split_images_and_masks(tree):
    flags, header = read_image(tree[0] / "run_split/split_exp_runner/output/flag-2100001-0.fits", 0)
    assert flags.dtype == np.int16
    assert header["NAXIS1"] == 512
    mask, _ = read_image(tree[0] / "run_exp/mask_runner/output/pipeline_flag-2100001-0.fits", 0)
    assert mask.dtype == np.int16
    assert (mask[:50] & 4).all()


def test_the_tile_catalogue_has_epochs(tree):
    path = tree[0] / "run_tile/sextractor_runner/output/tile_sexcat-000-000.fits"
    table, epochs = read_ldac(path), read_epochs(path)
    assert [list(item.colnames) for item in epochs] == [["NUMBER", "EXP_NAME", "CCD_N"]] * 2
    seen = sum((np.asarray(item["CCD_N"]) >= 0).astype(int) for item in epochs)
    np.testing.assert_array_equal(seen, table["N_EPOCH"])
    assert seen.max() == 2


def test_validation_columns(tree):
    path = tree[0] / "run_exp/psfexinterp_runner/output/validation_psf-2100001-0.fits"
    table = read_ldac(path)
    assert table.colnames[:16] == [
        "E1_PSF_HSM", "E2_PSF_HSM", "SIGMA_PSF_HSM", "FLAG_PSF_HSM", "E1_STAR_HSM", "E2_STAR_HSM",
        "SIGMA_STAR_HSM", "FLAG_STAR_HSM", "NUMBER", "X", "Y", "RA", "DEC", "MAG", "SNR",
        "ACCEPTED",
    ]  # fmt: skip
    assert np.sum(table["ACCEPTED"] == 1) >= 6
    assert np.abs(np.median(table["SIGMA_PSF_HSM"] / table["SIGMA_STAR_HSM"]) - 1) < 0.02


def test_the_final_catalogue(tree):
    path = tree[0] / "run_tile/make_catalog_runner/output/final_cat-000-000.fits"
    final = read_table(path, "RESULTS")
    objects = read_ldac(tree[0] / "run_tile/sextractor_runner/output/tile_sexcat-000-000.fits")
    assert len(final) == len(objects) > 100
    assert "VIGNET" not in final.colnames
    names = final.colnames
    order = ["NUMBER", "FLUX_AUTO", "N_EPOCH", "TILE_ID", "SPREAD_MODEL", "SPREADERR_MODEL",
             "SPREAD_CLASS", "NGMIX_N_EPOCH", "NGMIX_MOM_FAIL", "NGMIX_T_1M", "NGMIX_Tpsf_1M",
             "NGMIX_ELL_NOSHEAR", "NGMIX_T_ERR_1M", "NGMIX_MCAL_FLAGS"]  # fmt: skip
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert final["FLUX_AUTO"].dtype == np.float64
    assert final["NGMIX_ELL_NOSHEAR"].shape == (len(final), 2)
    measured = np.asarray(final["NGMIX_N_EPOCH"]) > 0
    assert measured.mean() > 0.7
    lost = ~measured
    assert (np.asarray(final["NGMIX_MCAL_FLAGS"])[lost] == NOT_ATTEMPTED_BIT).all()
    assert (np.asarray(final["NGMIX_ELL_NOSHEAR"])[lost] == -10).all()
    assert set(np.unique(final["SPREAD_CLASS"])) <= {-1, 0, 1, 2}
    no_model = (final["SPREAD_MODEL"] == -1) & (final["SPREADERR_MODEL"] == 1)
    assert (final["SPREAD_CLASS"][no_model] == -1).all()


def test_the_final_catalogue_with_the_psf_of_every_epoch(tree, tmp_path):
    """SAVE_PSF_DATA: the original's columns, after all others."""
    output = tree[0] / "run_tile"
    files = (
        output / "sextractor_runner/output/tile_sexcat-000-000.fits",
        next((output / "spread_model_runner/output").glob("*-000-000.fits")),
        output / "psfexinterp_runner/output/galaxy_psf-000-000.sqlite",
        next((output / "ngmix_runner/output").glob("*-000-000.fits")),
    )
    config = MakeCatConfig(save_psf=True)
    job = Job("s", "make_cat", "-000-000", files, (), config, tmp_path, tmp_path / "log")
    final_catalogue(job, config, Record(tmp_path))
    final = read_table(tmp_path / "final_cat-000-000.fits")
    most = int(np.max(final["N_EPOCH"])) + 1
    names = [f"PSF_{what}_{j}" for j in range(1, most + 1) for what in ("ELL", "FWHM", "FLAG")]
    start = final.colnames.index("NGMIX_MCAL_FLAGS") + 1
    assert final.colnames[start : start + len(names)] == names
    assert (np.asarray(final[f"PSF_FLAG_{most}"]) == 1).all()
    assert (np.asarray(final[f"PSF_ELL_{most}"]) == -10).all()
    seen = np.asarray(final["PSF_FLAG_1"]) == 0
    assert 0.7 < seen.mean() <= 1
    assert (np.abs(final["PSF_ELL_1"][seen]) < 0.2).all()
    assert ((final["PSF_FWHM_1"][seen] > 2) & (final["PSF_FWHM_1"][seen] < 8)).all()
    assert (np.asarray(final["PSF_FWHM_1"])[~seen] == 0).all()


def test_shapes_are_those_of_the_steps_without_files(tree):
    """Stamps and PSFs that went through files give what the steps give in memory."""
    root = tree[0]
    objects = read_ldac(root / "run_tile/sextractor_runner/output/tile_sexcat-000-000.fits")
    log = read_wcs_log(root / "log_exp_headers.sqlite")
    ccds = [
        replace(ccd, datasec=(33, ccd.shape[1], 1, ccd.shape[0]))
        for group in log.values() for ccd in group
    ]  # fmt: skip
    epochs = find_epochs(*sky_positions(objects), ccds)
    split, exp = root / "run_split/split_exp_runner/output", root / "run_exp"

    def planes(index):
        name = ccds[index].name
        image, weight, mask = (
            read_image(split / f"{kind}-{name}.fits")[0] for kind in ("image", "weight", "flag")
        )
        sky = read_image(exp / f"sextractor_runner/output/exp_background-{name}.fits")[0]
        return CCDPlanes(image, sky, weight, mask.astype(np.int32))

    def model(index):
        return read_psf(exp / f"psfex_runner/output/star_selection-{ccds[index].name}.psf")

    stamps = gather_stamps(epochs, ccds, planes, size=51)
    limits = PSFInterpolationConfig(min_stars=6, max_chi2=5.0)
    stamps = attach_psfs(stamps, epochs, model, limits)
    stores = [root / f"run_tile/{name}-000-000.sqlite" for name in STORES]
    known = {ccd.name: ccd for group in log.values() for ccd in group}
    filed = read_stamps(objects, stores, known, Record(root))
    for field in fields(stamps):
        ours, theirs = getattr(filed, field.name), getattr(stamps, field.name)
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7, err_msg=field.name)
        else:
            np.testing.assert_array_equal(ours, theirs, field.name)
    direct = shapes_hdus(measure_shapes(objects, stamps, ShapeConfig(), seed=0))
    shapes = read_shapes(root / "run_tile/ngmix_runner/output/ngmix-000-000.fits")
    for kind in ("NOSHEAR", "1P", "2M"):
        np.testing.assert_array_equal(shapes[kind]["id"], direct[kind]["id"])
        good = np.asarray(direct[kind]["flags"]) == 0
        # The fit of a needle has several ends, between which a billionth of a pixel decides.
        round_ = np.hypot(*(np.asarray(direct[kind][name]) for name in ("g1", "g2")))[good] < 0.9
        assert round_.mean() > 0.9
        np.testing.assert_array_equal(np.asarray(shapes[kind]["flags"]) == 0, good)
        for name in ("g1", "g2", "T", "flux"):
            # Positions differ by 1e-9 pixel, to which the fits of a few bright, masked stars react.
            ours, theirs = np.asarray(shapes[kind][name]), np.asarray(direct[kind][name])
            off = (np.abs(ours - theirs) / np.asarray(direct[kind][f"{name}_err"]))[good]
            assert np.quantile(off, 0.9) < 1e-4, name
            assert off[round_].max() < 0.1, name


def test_objects_of_a_detection_image(tree, tmp_path, monkeypatch):
    """DETECTION_IMAGE: found on one image, measured on another with three times the signal."""
    monkeypatch.chdir(tree[0].parent)
    exposure = tree[0] / "run_split/split_exp_runner/output"
    image, weight = (exposure / f"{kind}-2100001-0.fits" for kind in ("image", "weight"))
    pixels, header = read_image(image)
    write_image(tmp_path / "bright.fits", 3 * pixels, header)
    example = Path("example")
    config = SextractorConfig(
        sex_file=example / "test_all_exp/default.sex", flag_image=False,
        param_file=example / "test_sex/default.param",
    )  # fmt: skip
    dual = replace(config, detection_image=True, detection_weight=True, prefix="dual")
    tables = []
    for files, setting in (
        ((image, weight), config),
        ((tmp_path / "bright.fits", weight, image, weight), dual),
    ):
        job = Job("s", "sextractor", "-0", files, (), setting, tmp_path, tmp_path / "log")
        sextractor(job, setting, Record(tmp_path))
        tables.append(read_ldac(tmp_path / ("dual_sexcat-0.fits" if tables else "sexcat-0.fits")))
    alone, both = tables
    assert len(alone) == len(both) > 20
    np.testing.assert_array_equal(both["X_IMAGE"], alone["X_IMAGE"])
    ratio = np.asarray(both["FLUX_AUTO"]) / np.asarray(alone["FLUX_AUTO"])
    # Bad pixels are filled on the detection image, as SExtractor does, not on the measured one.
    bad, _ = read_image(weight)
    x, y = (np.rint(np.asarray(alone[name]) - 1).astype(int) for name in ("X_IMAGE", "Y_IMAGE"))
    corners = zip(np.maximum(x - 30, 0), np.maximum(y - 30, 0), strict=True)
    clean = np.array([bool((bad[b : b + 61, a : a + 61] > 0).all()) for a, b in corners])
    assert clean.sum() > 20
    np.testing.assert_allclose(ratio[clean], 3, rtol=1e-4)
    assert (np.abs(ratio / 3 - 1) < 1e-4).mean() > 0.9
    job = Job("s", "sextractor", "-0", (image, weight), (), dual, tmp_path, tmp_path / "log")
    with pytest.raises(ConfigError, match=r"FILE_PATTERN: the number of patterns .* detection_we"):
        sextractor(job, dual, Record(tmp_path))


@pytest.mark.parametrize(("min_stars", "flag"), [(6, 0), (1000, 1)])
def test_psf_at_the_objects_of_a_ccd(tree, tmp_path, min_stars, flag):
    """The mode CLASSIC; a rejected model leaves a catalogue whose rows are flagged."""
    files = (
        tree[0] / "run_exp/psfex_runner/output/star_selection-2100001-0.psf",
        tree[0] / "run_exp/sextractor_runner/output/exp_sexcat-2100001-0.fits",
    )
    config = PSFInterpConfig(mode="classic", min_stars=min_stars, max_chi2=5.0)
    record = Record(tmp_path)
    job = Job("s", "psfex_interp", "-2100001-0", files, (), config, tmp_path, tmp_path / "log")
    interpolate(job, config, record)
    table = read_ldac(tmp_path / "galaxy_psf-2100001-0.fits")
    assert len(table) == len(read_ldac(files[1]))
    assert table["VIGNET"].shape[1:] == (51, 51)
    assert table["FLAG_PSF_HSM"].dtype == np.int64
    assert np.median(table["FLAG_PSF_HSM"]) == flag
    assert (len(record.notes) == 1) == bool(flag)
    if flag:
        assert "STAR_THRESH is 1000" in record.notes[0]
        assert np.isnan(table["SIGMA_PSF_HSM"]).all()


@pytest.mark.slow
def test_the_converted_survey_finds_the_same_objects(tree, tmp_path):
    """The native runner with the configuration that the three files amount to."""
    from purepipe.pipeline import load_survey, open_run
    from purepipe.pipeline import run as run_survey

    folder, before = tree[0].parent, Path.cwd()
    os.chdir(folder)
    try:
        content, _ = convert([Path(name) for name in FILES], folder)
    finally:
        os.chdir(before)
    content["out"] = str(tmp_path / "native")
    # CCD_SIZE describes MegaCam; the modules clip it to the image.
    content["tile"]["epochs"]["ccd_size"] = [33, 512, 1, 640]
    # A survey selects its stars by itself; few of them are on these small CCDs. The tutorial takes
    # those alone that nothing crowds.
    content.setdefault("ccd", {})["stars"] = {"min_stars": 8, "neighbour_light": 0.0}
    write_toml(folder / "converted.toml", content)
    run_survey(load_survey(folder / "converted.toml"), workers=1)
    native = open_run(tmp_path / "native").catalogue()
    final = read_table(tree[0] / "run_tile/make_catalog_runner/output/final_cat-000-000.fits")
    assert len(native) == len(final)
    for name in ("X_IMAGE", "Y_IMAGE", "MAG_AUTO", "FLUX_RADIUS", "XWIN_WORLD", "FLAGS", "N_EPOCH",
                 "IMAFLAGS_ISO"):  # fmt: skip
        np.testing.assert_allclose(
            np.asarray(final[name]), np.asarray(native[name]), rtol=1e-6, atol=1e-6, err_msg=name
        )
    both = (np.asarray(final["NGMIX_FLAGS_NOSHEAR"]) == 0) & (
        np.asarray(native["NGMIX_FLAGS_NOSHEAR"]) == 0
    )
    assert both.sum() > 100
    # The PSF models rest on about ten stars each, not the same ones, and the tutorial takes the raw
    # flags for the masks of stamps: the shapes agree within their errors, not better.
    off = (
        np.asarray(final["NGMIX_ELL_NOSHEAR"])[both] - np.asarray(native["NGMIX_ELL_NOSHEAR"])[both]
    )
    error = np.asarray(native["NGMIX_ELL_ERR_NOSHEAR"])[both]
    print("shapes: median |difference| / error", np.median(np.abs(off) / error, axis=0),
          "mean difference", off.mean(axis=0))  # fmt: skip
    assert (np.median(np.abs(off) / error, axis=0) < 0.5).all()
    spread = np.asarray(final["SPREAD_MODEL"])[both] - np.asarray(native["SPREAD_MODEL"])[both]
    print("spread model: median |difference|", np.median(np.abs(spread)))
    assert np.median(np.abs(spread)) < 2e-3
