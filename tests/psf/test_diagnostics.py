"""Moffat profiles, asymmetry and noise area of PSF models."""

import numpy as np
import pytest

from purepipe.config.psf import PSFConfig
from purepipe.errors import ConfigError, DataError
from purepipe.psf import diagnostics_nb
from purepipe.psf.checkimages import ALL_CHECK_IMAGES, psfex_check_image
from purepipe.psf.checks import check_image
from purepipe.psf.diagnostics import (
    diagnose_psf,
    difference_index,
    fit_profiles,
    profile_images,
    snapshot_images,
)
from purepipe.psf.fit import fit_psf
from purepipe.psf.model import PSFModel

CONFIG = PSFConfig(size=(17, 17), degrees=(1,), basis_number=10, snapshots=3)


def parameters(fwhm, ellipticity, angle, beta=3.0, x=15.0, y=15.0, amplitude=0.1):
    """Parameters of a profile of mean FWHM `fwhm`; the angle of the long axis in degrees."""
    axes = np.array([fwhm * (1 + ellipticity), fwhm * (1 - ellipticity)])
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[c, -s], [s, c]])
    q = turn @ np.diag(axes**-2.0) @ turn.T
    return np.array([amplitude, x, y, q[0, 0], q[0, 1], q[1, 1], beta])


def model_of(image, *, fwhm=5.0, sampling=1.0):
    return PSFModel(
        mask=image, coeffs=None, contexts=(), offsets=(), scales=(), groups=(), degrees=(),
        loaded=1, accepted=1, chi2=1.0, fwhm=fwhm, sampling=sampling,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stars(reference):
    return reference.star_catalogue(30, 71, size=21)


@pytest.fixture(scope="module")
def model(stars):
    return fit_psf(stars, CONFIG)


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("beta", [1.7, 3.0, 6.0])
def test_the_fit_finds_the_profile(number, beta):
    truth = np.stack([parameters(5.3, 0.12, 35, beta, 15.4, 14.7), parameters(3.8, 0.0, 0, beta)])
    images = profile_images(truth, (31, 31), number=number, width=1.0)
    found = fit_profiles(images.astype(np.float32), fwhm=5.0, number=number, width=1.0)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5)


def test_shapes_have_their_sizes_and_signs():
    for angle, e1, e2 in ((0, 0.1, 0.0), (45, 0.0, 0.1), (90, -0.1, 0.0), (120, -0.05, -0.0866)):
        (image,) = profile_images(parameters(5.0, 0.1, angle)[None], (31, 31))
        found = diagnose_psf(model_of(image, sampling=0.5, fwhm=2.5))
        assert found.moffat.fwhm[0] == pytest.approx(2.5, abs=1e-5)
        assert found.moffat.ellipticity[0] == pytest.approx(0.1, abs=1e-5)
        assert found.moffat.e1[0] == pytest.approx(e1, abs=1e-4)
        assert found.moffat.e2[0] == pytest.approx(e2, abs=1e-4)
        assert found.moffat.beta[0] == pytest.approx(3.0, abs=1e-3)
        assert found.moffat.residuals[0] < 1e-5
        # A profile that the pixels have widened was narrower before.
        assert 2.3 < found.pixel_free.fwhm[0] < 2.5
        assert found.asymmetry[0] < 1e-6
        round_ = found.moffat.fwhm_round[0]
        assert round_ == pytest.approx(2.5 * np.sqrt(1 - 0.1**2), abs=1e-5)


def test_noise_area_of_a_gaussian():
    y, x = np.mgrid[-20:21, -20:21]
    found = diagnose_psf(model_of(np.exp(-(x**2 + y**2) / (2 * 3.0**2))))
    assert found.noise_area[0] == pytest.approx(4 * np.pi * 3.0**2, rel=1e-6)
    assert found.moffat.beta[0] == diagnostics_nb.MAX_BETA  # a Gaussian has no finite beta


def test_a_blank_model_has_no_widths():
    found = diagnose_psf(model_of(np.zeros((9, 9)), sampling=0.0, fwhm=0.0))
    assert np.isnan(found.moffat.fwhm).all()
    assert np.isnan(found.pixel_free.residuals).all()
    assert np.isnan(found.asymmetry).all()
    assert np.isnan(profile_images(found.moffat.parameters, (9, 9))).all()


def test_noise_has_finite_widths_or_none():
    images = np.random.default_rng(3).normal(size=(20, 15, 15)).astype(np.float32)
    found = fit_profiles(images, fwhm=4.0)
    failed = np.isnan(found).any(axis=1)
    np.testing.assert_array_equal(failed, np.isnan(found).all(axis=1))
    beta = found[~failed, 6]
    assert ((beta >= diagnostics_nb.MIN_BETA) & (beta <= diagnostics_nb.MAX_BETA)).all()


@pytest.mark.parametrize("number", [1, 5])
def test_derivatives_are_those_of_the_profile(number):
    p = parameters(4.4, 0.15, 20, 2.6, 7.2, 6.9)
    pixel = diagnostics_nb.moffat_pixel.py_func
    own, unused = np.empty(7), np.empty(7)
    value = pixel(9.0, 5.0, p, number, 0.8, own)
    for k in range(7):
        step = 1e-6 * max(abs(p[k]), 0.01)
        up, down = p.copy(), p.copy()
        up[k] += step
        down[k] -= step
        slope = pixel(9.0, 5.0, up, number, 0.8, unused) - pixel(
            9.0, 5.0, down, number, 0.8, unused
        )
        assert own[k] == pytest.approx(slope / (2 * step), rel=1e-5, abs=1e-9 * value)


def test_the_damped_solution_is_that_of_linear_algebra():
    factor = np.random.default_rng(1).normal(size=(9, 7))
    normal, right, step = factor.T @ factor, factor.sum(axis=0), np.empty(7)
    solve = diagnostics_nb.solve_damped.py_func
    assert solve(7, normal, 0.3, right, step)
    damped = normal + 0.3 * np.diag(np.diag(normal))
    np.testing.assert_allclose(step, np.linalg.solve(damped, right), rtol=1e-9)
    assert solve(6, normal, 0.3, right, step)
    np.testing.assert_allclose(step[:6], np.linalg.solve(damped[:6, :6], right[:6]), rtol=1e-9)
    assert step[6] == 0
    assert not solve(7, -normal, 0.3, right, step)


@pytest.mark.parametrize(("number", "central"), [(9, 44), (4, 6), (3, 5), (1, 0)])
def test_the_central_snapshot_is_that_of_psfex(number, central, model):
    config = PSFConfig(size=(17, 17), snapshots=number)
    if number > 4:
        points, _ = snapshot_images(model, number)
        np.testing.assert_allclose(points[central], (4 / 9, 0), atol=1e-12)
    else:
        assert diagnose_psf(model, config).central == central


def test_snapshots_are_those_of_the_check_image(model, stars):
    found = diagnose_psf(model, CONFIG)
    np.testing.assert_array_equal(
        found.images, check_image("SNAPSHOTS", model, stars, CONFIG, cube=True)
    )
    assert np.abs(found.contexts).max() == pytest.approx(1 / 3)
    half = difference_index(found.images, np.zeros_like(found.images))
    np.testing.assert_allclose(half, 2.0)


# Check-images of profiles, grids and the basis


def test_profiles_and_their_residuals_make_the_snapshots(model, stars):
    found = diagnose_psf(model, CONFIG)
    images = [
        psfex_check_image(kind, model, stars, CONFIG, diagnostics=found)
        for kind in ("SNAPSHOTS", "MOFFAT", "-MOFFAT")
    ]
    np.testing.assert_allclose(images[0], images[1] + images[2], atol=1e-7)
    cube = psfex_check_image("MOFFAT", model, stars, CONFIG, diagnostics=found, cube=True)
    assert cube.shape == (51, 51)
    with pytest.raises(DataError, match="Pass diagnostics=diagnose_psf"):
        psfex_check_image("MOFFAT", model, stars, CONFIG)


def test_grids_hold_the_brightest_star_of_each_cell(model, stars):
    shape = (4612, 2048)
    cube = psfex_check_image("SAMPLES_GRID", model, stars, CONFIG, cube=True, ccd_shape=shape)
    assert cube.shape == (3, 3, 21, 21)
    good = np.asarray(model.samples["FLAGS_PSF"]) == 0
    column = (stars["XWIN_IMAGE"] / 2048 * 3).astype(int)
    row = (stars["YWIN_IMAGE"] / 4612 * 3).astype(int)
    for j in range(3):
        for i in range(3):
            inside = np.flatnonzero(good & (column == i) & (row == j))
            if len(inside) == 0:
                assert (cube[j, i] == 0).all()
                continue
            best = inside[np.argmax(stars["FLUX_AUTO"][inside])]
            expected = np.where(stars["VIGNET"][best] > -1e29, stars["VIGNET"][best], 0)
            np.testing.assert_array_equal(cube[j, i], expected)
    with pytest.raises(DataError, match="needs the size of the CCD"):
        psfex_check_image("RESIDUALS_GRID", model, stars, CONFIG)


def test_the_basis_holds_single_pixels(model, stars):
    cube = psfex_check_image("BASIS", model, stars, CONFIG, cube=True)
    assert cube.shape[1:] == (17, 17)
    assert len(cube) <= 100
    assert (cube.sum(axis=(1, 2)) == 1).all()
    assert cube.sum(axis=0).max() == 1


def test_cubes_have_an_axis_for_each_context(model, stars):
    for kind, size in (("SNAPSHOTS", 17), ("SNAPSHOTS_IMRES", 21)):
        cube = psfex_check_image(kind, model, stars, CONFIG, cube=True)
        assert cube.shape == (3, 3, size, size)
        image = psfex_check_image(kind, model, stars, CONFIG)
        np.testing.assert_array_equal(image[size : 2 * size, :size], cube[1, 0])


def test_unknown_check_image_and_all_kinds(model, stars):
    assert len(set(ALL_CHECK_IMAGES)) == 13
    with pytest.raises(ConfigError, match="unknown check-image"):
        psfex_check_image("CHIS", model, stars, CONFIG)
