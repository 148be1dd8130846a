"""Exponential, de Vaucouleurs, disc and bulge: against galaxies drawn by GalSim."""

import math

import numpy as np
import pytest

from purepipe.config.shapes import ShapeConfig
from purepipe.errors import ConfigError
from purepipe.shapes import draw_library, half_light_radius, metacal_fit, selftest_shear
from purepipe.shapes.profiles import PROFILES, profile_of

SCALE = 0.187
# a de Vaucouleurs profile that is cut at 7.5 of its radii, GalSim's, has this half-light radius
CUT_RADIUS, CUT_FLUX = 0.8913, 0.9366


def galaxies(kind, number=6):
    """Noise-free stamps, PSFs, and (radius, g1, g2) of galaxies of flux 100."""
    import galsim

    psf = galsim.Moffat(3.5, fwhm=0.7).shear(g1=0.02)
    rng = np.random.default_rng(1)
    images, truth = [], []
    for _ in range(number):
        r, g1, g2 = rng.uniform(0.3, 0.8), *rng.uniform(-0.3, 0.3, 2)
        disc = galsim.Exponential(half_light_radius=r)
        wide = r / CUT_RADIUS
        bulge = galsim.DeVaucouleurs(
            half_light_radius=wide, trunc=7.5 * wide, flux_untruncated=True, flux=1 / CUT_FLUX
        )
        galaxy = {"exp": disc, "dev": bulge, "bdf": 0.6 * disc + 0.4 * bulge}[kind]
        galaxy = galsim.Convolve((100 * galaxy).shear(g1=g1, g2=g2), psf)
        images.append(galaxy.drawImage(nx=51, ny=51, scale=SCALE).array)
        truth.append((r, g1, g2))
    images = np.array(images)[:, None]
    stamp = psf.drawImage(nx=51, ny=51, scale=SCALE).array
    return images, np.broadcast_to(stamp, images.shape), np.array(truth)


def fit(images, psfs, **choices):
    jacobians = np.broadcast_to(SCALE * np.eye(2), (len(images), 1, 2, 2))
    sigmas = np.full((len(images), 1), 1e-7 * images.max())
    return metacal_fit(images, psfs, jacobians, sigmas, seed=1, shape_prior=None, **choices)


@pytest.mark.parametrize(
    ("kind", "flux", "radius", "shape"),
    [("exp", 1e-3, 1e-3, 1e-4), ("dev", 1.5e-2, 4e-2, 5e-3), ("bdf", 5e-3, 1e-2, 2e-3)],
)
def test_flux_size_and_shape_of_the_right_profile(kind, flux, radius, shape):
    images, psfs, truth = galaxies(kind)
    result = fit(images, psfs, profile=kind, noise="none")
    assert result.good.all()
    np.testing.assert_allclose(result.pars[:, 0, 5], 100, rtol=flux)
    np.testing.assert_allclose(half_light_radius(result.pars[:, 0])[0], truth[:, 0], rtol=radius)
    np.testing.assert_allclose(result.shapes[:, 0], truth[:, 1:], atol=shape)
    if kind == "bdf":
        np.testing.assert_allclose(result.pars[:, 0, 6], 0.4, atol=0.01)
    # a Gaussian loses the wings
    gauss = fit(images, psfs, noise="none")
    assert (gauss.pars[:, 0, 5] < 98).all()


def test_components_hold_all_light_and_half_of_it_inside_the_radius():
    for name in PROFILES[:3]:
        amplitude, _, scale = profile_of(name).parts
        assert amplitude.sum() == pytest.approx(1, abs=1e-12)
        inside = amplitude * (1 - np.exp(-math.log(2) / scale))
        assert inside.sum() == pytest.approx(0.5, abs=6e-3)
    bdf = profile_of("bdf")
    assert bdf.parts[1].sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("profile", ["exp", "dev", "bdf"])
def test_errors_are_those_of_the_noise(profile):
    images, psfs, _ = galaxies("bdf", 1)
    rng = np.random.default_rng(2)
    sigma = math.sqrt((images.astype(float) ** 2).sum()) / 60
    many = (images + sigma * rng.standard_normal((200, 1, 51, 51))).astype(np.float32)
    jacobians = np.broadcast_to(SCALE * np.eye(2), (200, 1, 2, 2))
    result = metacal_fit(
        many, np.broadcast_to(psfs, many.shape), jacobians, np.full((200, 1), sigma), seed=1,
        noise="none", profile=profile,
    )  # fmt: skip
    assert result.good.mean() > 0.98
    scatter = result.pars[result.good, 0].std(axis=0)
    errors = result.errors[result.good, 0].mean(axis=0)
    # the weight of the target is not the inverse noise: errors are those of ngmix, not exact
    assert (np.abs(np.log(scatter[:6] / errors[:6])) < 0.6).all()


@pytest.mark.parametrize("profile", ["exp", "dev", "bdf"])
def test_noise_free_shears_are_calibrated_with_every_profile(profile):
    library = draw_library(16, radii=(0.25, 0.45))  # wings of larger ones leave the stamp
    result = selftest_shear(library=library, profile=profile)
    assert result.failures == 0
    assert abs(result.m) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["exp", "dev", "bdf"])
def test_shears_are_calibrated_with_noise_and_every_profile(profile):
    library = draw_library(300, seed=2, radii=(0.25, 0.45), shear_grid=True)
    result = selftest_shear(library=library, snr=30, repeats=6, profile=profile)
    assert result.m_err < 3e-3
    assert abs(result.m) < 3 * result.m_err + 1e-3
    assert (np.abs(result.c) < 4 * result.c_err).all()


def test_unknown_profiles_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'dev'"):
        profile_of("deV")
    with pytest.raises(ConfigError, match="profile"):
        fit(np.ones((1, 1, 21, 21)), np.ones((1, 1, 21, 21)), profile="sersic")
    with pytest.raises(ConfigError, match="profile"):
        ShapeConfig(profile="sersic")
