"""Stars minus their PSF: a slip of the coordinates anywhere would leave a dipole at every star.

One simulated CCD is detected and its PSF fitted once, in pixels. The same pixels are then put on
the sky with every kind of world coordinates, the stars are looked up by their sky positions, as the
objects of a tile are, and the PSF is subtracted from their stamps.
"""

import numpy as np
import pytest
from astropy.table import Table

from purepipe.config import DetectConfig, PSFConfig, PSFInterpolationConfig
from purepipe.detect import extract
from purepipe.exposure import Exposure, WeightKind
from purepipe.psf import Epoch, fit_psf, observe, psf_at

from .fields import KINDS, make_ccd

SHAPE = (620, 500)
SIGMA, FLUX, NOISE, LEVEL = 1.7, 4e4, 2.0, 300.0


@pytest.fixture(scope="module")
def stars():
    """0-based positions of stars on a jittered grid, which do not blend."""
    rng = np.random.default_rng(5)
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(40, 480, 60), np.arange(40, 600, 60)))
    return x + rng.uniform(-4, 4, len(x)), y + rng.uniform(-4, 4, len(x))


@pytest.fixture(scope="module")
def pixels(stars):
    """The CCD: a slightly elongated Gaussian for every star, integrated over pixels."""
    from scipy.special import erf

    image = np.random.default_rng(6).normal(LEVEL, NOISE, SHAPE)

    def along(centres, n, sigma):
        edges = np.arange(n + 1) - 0.5
        steps = erf((edges[None] - centres[:, None]) / (np.sqrt(2) * sigma))
        return 0.5 * np.diff(steps, axis=1)

    columns = along(stars[0], SHAPE[1], 1.05 * SIGMA)
    image += FLUX * np.einsum("ij,ik->jk", along(stars[1], SHAPE[0], SIGMA / 1.05), columns)
    return image.astype(np.float32)


def exposure(pixels, wcs=None):
    weight = np.full(SHAPE, NOISE**-2, np.float32)
    return Exposure(pixels, weight=weight, weight_kind=WeightKind.INVERSE_VARIANCE, wcs=wcs,
                    gain=0.0, flags=np.zeros(SHAPE, np.int32))  # fmt: skip


@pytest.fixture(scope="module")
def model(pixels, stars):
    """Background and PSF model, from the detections."""
    found = extract(exposure(pixels, make_ccd(shape=SHAPE).wcs), DetectConfig.exposure())
    assert len(found.table) >= len(stars[0]) - 2
    return found.background, fit_psf(found.table, PSFConfig(degrees=(1,)))


def residual_shift(stamps, config, psf):
    """Mean shift (pixels, x and y) that the stamps show against the PSF at their positions."""
    shifts = np.empty((len(stamps), 2))
    offset = stamps.x - np.rint(stamps.x), stamps.y - np.rint(stamps.y)
    drawn = psf_at(psf, stamps.x, stamps.y, config, shape=(51, 51), offset=offset).images
    for i, (stamp, image) in enumerate(zip(stamps.images, drawn.astype(float), strict=True)):
        flux = (stamp * image).sum() / (image**2).sum()
        residual = stamp - flux * image
        for axis, slope in ((0, np.gradient(image, axis=1)), (1, np.gradient(image, axis=0))):
            shifts[i, axis] = -(residual * slope).sum() / (flux * (slope**2).sum())
    return shifts.mean(axis=0), shifts.std(axis=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("centre", "angle", "flip"),
    [((150.0, 2.0), 0, False), ((150.0, 2.0), 90, True), ((0.0, -40.0), 180, False),
     ((359.999, 60.0), 33, True), ((77.0, 89.98), 240, False)],
)  # fmt: skip
def test_nothing_is_left_of_a_star(kind, centre, angle, flip, pixels, stars, model):
    ra, dec = centre
    wcs = make_ccd(ra=ra, dec=dec, angle=angle, flip=flip, kind=kind, shape=SHAPE).wcs
    background, psf = model
    sky = wcs._astropy.all_pix2world(np.stack(stars, axis=1) + 1, 1)  # by the FITS convention
    objects = Table({"NUMBER": np.arange(len(sky)), "XWIN_WORLD": sky[:, 0],
                     "YWIN_WORLD": sky[:, 1]})  # fmt: skip
    config = PSFInterpolationConfig(min_stars=10, max_chi2=10.0)
    stamps = observe(objects, [Epoch(exposure(pixels, wcs), background, psf)], config)
    assert len(stamps) == len(sky)
    assert np.all(stamps.flags == 0)
    mean, scatter = residual_shift(stamps, config, psf)
    assert np.abs(mean).max() < 0.01
    assert scatter.max() < 0.03
    np.testing.assert_allclose(stamps.x, stars[0], atol=1e-6)


def test_a_slip_of_a_pixel_would_be_seen(pixels, stars, model):
    background, psf = model
    wcs = make_ccd(shape=SHAPE).wcs
    sky = wcs.pixel_to_sky(stars[0] + 1, stars[1])
    objects = Table({"NUMBER": np.arange(len(sky[0])), "XWIN_WORLD": sky[0], "YWIN_WORLD": sky[1]})
    config = PSFInterpolationConfig(min_stars=10, max_chi2=10.0)
    stamps = observe(objects, [Epoch(exposure(pixels, wcs), background, psf)], config)
    mean, _ = residual_shift(stamps, config, psf)
    assert mean[0] < -0.5
    assert abs(mean[1]) < 0.01
