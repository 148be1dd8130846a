"""The spread model with the PSF itself, beside galsim and beside the Gaussian one."""

import galsim
import numpy as np
import pytest

from purepipe.errors import DataError
from purepipe.flags import SpreadFlag
from purepipe.psf import spread_model
from purepipe.psf.spread import FWHM_OVER_SIGMA
from purepipe.psf.spread_local import disc_of, spread_model_local

SIZE = 51


def drawn(profile):
    return profile.drawImage(nx=SIZE, ny=SIZE, scale=1.0, dtype=np.float64).array


def moffat(fwhm=3.5, shear=0.08):
    return galsim.Moffat(beta=3.5, fwhm=fwhm, trunc=4.5 * fwhm).shear(g1=shear)


def test_the_disc_is_galsims():
    psf = galsim.Convolve(moffat(), galsim.Pixel(1.0))
    image = psf.drawImage(nx=SIZE, ny=SIZE, scale=1.0, dtype=np.float64, method="no_pixel").array
    disc = galsim.Convolve(psf, galsim.Exponential(scale_radius=3.5 / 16))
    theirs = disc.drawImage(nx=SIZE, ny=SIZE, scale=1.0, dtype=np.float64, method="no_pixel").array
    ours = disc_of(image[None], np.array([3.5]))[0]
    # What is left is light that wraps around the stamp, and galsim's own accuracy.
    assert np.abs(ours - theirs).max() < 3e-4 * image.max()
    np.testing.assert_allclose(ours.sum(), image.sum(), rtol=1e-12)


def test_with_a_gaussian_psf_it_is_shapepipes():
    rng = np.random.default_rng(1)
    sigma = 1.7
    psf = drawn(galsim.Gaussian(sigma=sigma))
    galaxy = drawn(galsim.Convolve(galsim.Exponential(half_light_radius=1.5),
                                   galsim.Gaussian(sigma=sigma)))  # fmt: skip
    stamps = np.array([1000 * psf, 800 * galaxy, 300 * galaxy + 100 * psf])
    stamps += rng.normal(0, 0.5, stamps.shape)
    weights = np.full(stamps.shape, 4.0)
    ours = spread_model_local(stamps, weights, psf, FWHM_OVER_SIGMA * sigma)
    theirs = spread_model(stamps, weights, sigma)
    assert np.all(ours[2] == 0)
    np.testing.assert_allclose(ours[0], theirs[0], atol=3e-6)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3)
    assert ours[0][1] > 0.005 > abs(ours[0][0])


def test_stars_with_their_own_psf_have_none():
    psfs = np.array([drawn(moffat(fwhm)) for fwhm in (3.0, 4.0)])
    spread, _, flags = spread_model_local(
        500 * psfs, np.ones(psfs.shape), psfs, np.array([3.0, 4.0])
    )
    assert np.all(flags == 0)
    assert np.abs(spread).max() < 1e-12
    # A Gaussian of the same width does not fit its wings.
    gaussian = spread_model(500 * psfs, np.ones(psfs.shape), np.array([1.4, 1.9]))[0]
    assert np.abs(gaussian).max() > 1e-4


def test_the_error_is_the_scatter():
    rng = np.random.default_rng(2)
    psf = drawn(moffat())
    stamps = 400 * psf + rng.normal(0, 2.0, (3000, SIZE, SIZE))
    weights = np.full(stamps.shape, 0.25)
    weights[:, :20, :20] = 0
    stamps[:, :20, :20] = -1e30
    stamps[:, 30, 30] = np.nan
    spread, error, flags = spread_model_local(stamps, weights, psf, 3.5)
    assert np.all(flags == 0)
    assert spread.std() == pytest.approx(error.mean(), rel=0.05)
    assert abs(spread.mean()) < 4 * error.mean() / np.sqrt(3000)


def test_failures_are_flagged():
    psf = drawn(moffat())
    psfs = np.array([psf, np.zeros_like(psf), psf, psf, psf])
    stamps = np.array([psf, psf, -psf, psf, psf])
    weights = np.ones(stamps.shape)
    weights[3] = 0
    fwhm = np.array([3.5, 3.5, 3.5, 3.5, np.nan])
    spread, error, flags = spread_model_local(stamps, weights, psfs, fwhm)
    no_light = SpreadFlag.NO_FLUX | SpreadFlag.NO_ERROR
    assert flags[[0, 1, 2, 4]].tolist() == [
        0, SpreadFlag.NO_PSF, SpreadFlag.NO_FLUX, SpreadFlag.NO_PSF
    ]  # fmt: skip
    assert flags[3] & no_light == no_light
    assert np.isfinite(spread).tolist() == [True, False, False, False, False]
    assert np.isfinite(error).tolist() == [True, False, False, False, False]
    assert [len(part) for part in spread_model_local(stamps[:0], weights[:0], psf, 1.0)] == [0] * 3


@pytest.mark.parametrize(
    ("weights", "psfs", "fwhm", "message"),
    [
        ((2, 5, 4), (5, 5), (), r"weights: stamps and weights must be stacks"),
        ((2, 5, 5), (3, 5, 5), (), r"psfs: a PSF for each stamp or one for all.*\(3, 5, 5\)"),
        ((2, 5, 5), (5, 5), (3,), r"fwhm: one number or one per stamp"),
    ],
)
def test_wrong_shapes(weights, psfs, fwhm, message):
    with pytest.raises(DataError, match=message):
        spread_model_local(np.ones((2, 5, 5)), np.ones(weights), np.ones(psfs), np.ones(fwhm))
