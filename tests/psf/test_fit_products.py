"""Homogenisation kernel, check-images and bases from files, against psfex 3.21.1."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError, ConfigError, DataError
from purepipe.io.psf_file import write_psf
from purepipe.psf import check_image, fit_psf, homogenisation_kernel, star_stamps
from purepipe.psf.basis import Grid, gauss_laguerre
from purepipe.psf.checks import CHECK_IMAGES, mosaic
from purepipe.psf.homogenise import moffat

needs_psfex = [
    pytest.mark.binaries,
    pytest.mark.skipif(shutil.which("psfex") is None, reason="psfex is not installed"),
]
SMALL = PSFConfig(size=(25,), degrees=(1,), snapshots=3)
KEYS = {"PSF_SIZE": "25,25", "PSFVAR_DEGREES": "1", "PSFVAR_NSNAP": "3"}


@pytest.fixture(scope="module")
def stars(catalogue):
    return catalogue(30, 7)


@pytest.fixture(scope="module")
def model(stars):
    return fit_psf(stars, SMALL)


def run_psfex(folder, reference, stars, changes):
    """Run psfex; its products stay in `folder`."""
    reference.write_ldac([stars], folder / "stars.cat")
    (folder / "empty.psfex").write_text("# built-in defaults\n")
    settings = reference.SHAPEPIPE | {
        "CHECKIMAGE_TYPE": "NONE", "CHECKPLOT_TYPE": "NONE", "WRITE_XML": "N",
        "VERBOSE_TYPE": "QUIET",
    } | KEYS | changes  # fmt: skip
    command = ["psfex", "stars.cat", "-c", "empty.psfex"]
    for key, value in settings.items():
        command += [f"-{key}", value]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("mark", [pytest.param("", marks=needs_psfex)])
def test_homogenisation_equals_psfex(mark, tmp_path, reference, config_of, stars):
    changes = {
        "HOMOBASIS_TYPE": "GAUSS-LAGUERRE", "HOMOBASIS_NUMBER": "5", "HOMOBASIS_SCALE": "0.9",
        "HOMOPSF_PARAMS": "6.0,3.0", "PSF_SAMPLING": "0.8",
    }  # fmt: skip
    run_psfex(tmp_path, reference, stars, changes)
    config = config_of(KEYS | changes)
    kernel = homogenisation_kernel(fit_psf(stars, config), config)
    with fits.open(tmp_path / "stars.homo.fits") as file:
        expected, header = np.array(file[0].data), file[0].header.copy()
    np.testing.assert_allclose(kernel.mask, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert header["PSF_FWHM"] == kernel.fwhm
    assert header["POLZERO1"] == pytest.approx(kernel.offsets[0])


@pytest.mark.parametrize("mark", [pytest.param("", marks=needs_psfex)])
def test_check_images_equal_psfex(mark, tmp_path, reference, stars, model):
    names = [f"{kind.strip('-')}.fits" for kind in CHECK_IMAGES]
    changes = {"CHECKIMAGE_TYPE": ",".join(CHECK_IMAGES), "CHECKIMAGE_NAME": ",".join(names)}
    run_psfex(tmp_path, reference, stars, changes)
    for kind, name in zip(CHECK_IMAGES, names, strict=True):
        expected = fits.getdata(tmp_path / name.replace(".fits", "_stars.fits"))
        image = check_image(kind, model, stars, SMALL)
        assert image.shape == expected.shape, kind
        limit = (5e-5 if kind == "-SYMMETRICAL" else 2e-6) * np.abs(expected).max()
        np.testing.assert_allclose(image, expected, rtol=0, atol=limit, err_msg=kind)


@pytest.mark.parametrize("shape", [pytest.param((31, 24), marks=needs_psfex)])
def test_basis_of_a_file_equals_psfex(shape, tmp_path, reference, config_of, stars):
    images = gauss_laguerre(Grid(shape, (51, 51), 1.0), 5, 0.8)
    fits.PrimaryHDU(images).writeto(tmp_path / "basis.fits")
    changes = {"BASIS_TYPE": "FILE", "BASIS_NAME": "basis.fits"}
    run_psfex(tmp_path, reference, stars, changes)
    own = fit_psf(stars, config_of(KEYS | changes), basis_images=images)
    expected = fits.getdata(tmp_path / "stars.psf")["PSF_MASK"][0]
    np.testing.assert_allclose(own.mask, expected, rtol=0, atol=1e-6 * expected[0].max())


def test_kernel_brings_the_psf_to_the_target(stars):
    from scipy.signal import fftconvolve

    config = replace(
        SMALL, size=(41, 41), homogenisation_number=8, homogenisation_target=(6.0, 3.0)
    )
    model = fit_psf(stars, config)
    kernel = homogenisation_kernel(model, config)
    assert kernel.mask[0].sum() == pytest.approx(1, abs=1e-5)
    target = moffat(Grid((41, 41), (41, 41), 1.0), 6.0, 3.0)
    for x, y in ((600.0, 900.0), (1500.0, 3500.0)):
        psf, filter_ = model.draw(x, y)[0], kernel.draw(x, y)[0]
        result = fftconvolve(psf, filter_, mode="same")
        before = np.abs(psf / psf.max() - target).max()
        after = np.abs(result / result.max() - target).max()
        assert after < 0.2 * before


def test_kernel_of_an_empty_model_is_refused(model):
    empty = replace(model, mask=np.zeros_like(model.mask), sampling=0.0)
    with pytest.raises(AlgorithmError, match="empty PSF model cannot be homogenised"):
        homogenisation_kernel(empty, SMALL)


def test_moffat_has_its_width():
    profile = moffat(Grid((61, 61), (61, 61), 0.5), 6.0, 2.5)
    assert profile[30, 30] == 1
    assert profile[30, 36] == pytest.approx(0.5)  # 3 pixels are 6 model pixels


def test_residuals_are_star_minus_model(stars, model):
    found = star_stamps(model, stars, SMALL)
    assert len(found.rows) == model.accepted
    i = int(np.argmax(stars["SNR_WIN"][found.rows]))
    row = found.rows[i]
    sample = model.samples[row]
    shift = (sample["DELTAX_IMAGE"], sample["DELTAY_IMAGE"])
    x, y = stars["XWIN_IMAGE"][row] - 1, stars["YWIN_IMAGE"][row] - 1
    psf = model.draw(x, y, offset=shift, shape=(51, 51))[0].astype(float)
    good = found.weights[i] > 0
    weights = found.weights[i].astype(float)
    flux = (weights * psf * found.samples[i]).sum() / (weights * psf**2).sum()
    expected = found.samples[i] - flux * psf
    peak = found.samples[i].max()
    np.testing.assert_allclose(found.residuals[i][good], expected[good], rtol=0, atol=2e-5 * peak)
    assert (found.chi[i][~good] == 0).all()
    counted = found.chi[i] > 0
    assert found.chi[i].sum() / (counted.sum() - 1) == pytest.approx(sample["CHI2_PSF"], rel=1e-3)


def test_stamps_of_other_stars_are_refused(stars, model):
    with pytest.raises(DataError, match="does not come from these stars"):
        star_stamps(model, stars[:-1], SMALL)
    with pytest.raises(DataError, match="Pass the table that the model was fitted to"):
        star_stamps(replace(model, samples=None), stars, SMALL)


def test_unknown_check_image(stars, model):
    with pytest.raises(ConfigError, match="Did you mean 'SAMPLES'"):
        check_image("SAMPLE", model, stars, SMALL)


@pytest.mark.parametrize("kind", CHECK_IMAGES)
def test_cube_holds_the_tiles_of_the_mosaic(kind, stars, model):
    cube = check_image(kind, model, stars, SMALL, cube=True)
    image = check_image(kind, model, stars, SMALL)
    height, width = cube.shape[1:]
    assert image.shape[0] % height == image.shape[1] % width == 0
    np.testing.assert_array_equal(image[:height, :width], cube[0])


def test_mosaic_fills_rows_from_the_lower_left():
    image = mosaic(np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3)), 2)
    assert image.shape == (6, 6)
    np.testing.assert_array_equal(image[::2, ::3], [[0, 1], [2, 3], [4, 0]])


@pytest.mark.binaries
@pytest.mark.skipif(
    not (shutil.which("psfex") and shutil.which("source-extractor")),
    reason="psfex or source-extractor is not installed",
)
def test_sextractor_reads_the_model(reference, tmp_path):
    """Its PSF photometry is the same with our model as with that of psfex."""
    stars = reference.star_catalogue(60, 1)
    write_psf(tmp_path / "own.psf", fit_psf(stars))
    ((other,),) = reference.run_psfex(stars, {})
    write_psf(tmp_path / "theirs.psf", replace(fit_psf(stars), mask=other["mask"]))
    rng = np.random.default_rng(3)
    image = rng.normal(0, 5, (300, 300))
    y, x = np.mgrid[:300, :300]
    for x0, y0 in rng.uniform(40, 260, (6, 2)):
        image += 3e4 * reference.moffat(x - x0, y - y0, 3.7, -0.05, -0.04)
    fits.PrimaryHDU(image.astype("f4")).writeto(tmp_path / "image.fits")
    (tmp_path / "empty.sex").write_text("# built-in values\n")
    (tmp_path / "columns.param").write_text("FLUX_AUTO\nFLUX_PSF\nSPREAD_MODEL\n")
    rows = []
    for name in ("own", "theirs"):
        command = (
            f"source-extractor image.fits -c empty.sex -PARAMETERS_NAME columns.param -FILTER N"
            f" -PSF_NAME {name}.psf -CATALOG_NAME {name}.cat -CATALOG_TYPE ASCII -DETECT_THRESH 20"
        )
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
        rows.append(np.loadtxt(tmp_path / f"{name}.cat"))
    own, theirs = rows
    assert len(own) == len(theirs) == 6
    np.testing.assert_allclose(own[:, 1], theirs[:, 1], rtol=1e-5)
    assert np.abs(own[:, 1] / 3e4 - 1).max() < 0.1
    np.testing.assert_allclose(own[:, 2], theirs[:, 2], atol=1e-4)
