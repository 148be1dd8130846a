"""PSF models of other libraries in the place of the own one."""

from __future__ import annotations

from types import SimpleNamespace

import galsim
import numpy as np
import pytest
from astropy.table import Table

from purepipe.errors import DataError
from purepipe.exposure import Exposure
from purepipe.flags import PSFFlag
from purepipe.psf import (
    Epoch,
    FunctionPSF,
    PSFLike,
    observe,
    psf_at,
    psf_from_galsim,
    psf_from_piff,
    validate_psf,
)
from purepipe.shapes import measure_shapes
from purepipe.wcs import WCS
from tests.test_wcs import make_header

JACOBIAN = np.array([[0.187, 0.002], [-0.001, 0.186]])
LOCAL = galsim.JacobianWCS(*JACOBIAN.ravel())


def profile_at(x, y):
    return galsim.Gaussian(fwhm=0.8 + 1e-4 * x).shear(g1=0.05, g2=1e-5 * y)


class PiffStar(SimpleNamespace):
    """What of a Piff star is used."""

    def __getitem__(self, key):
        return self.data.properties[key]


def make_piff():
    """A stand-in that draws as ``piff.PSF.draw`` does: first pixel centre 1, centred stamps."""

    def draw(*, x, y, chipnum, stamp_size, center, offset, **properties):
        assert center is True
        assert properties == {"colour": 0.3}
        stamp = galsim.Image(stamp_size, stamp_size, wcs=LOCAL)
        return profile_at(x - 1, y - 1).drawImage(stamp, offset=offset, method="no_pixel")

    rows = [(11.0, 21.0, 0), (501.0, 1001.0, 0), (901.0, 31.0, 0), (1.0, 1.0, 7)]
    stars = [
        PiffStar(
            data=SimpleNamespace(properties={"x": x, "y": y, "chipnum": chip}),
            is_reserve=i == 2, is_flagged=False,
        )
        for i, (x, y, chip) in enumerate(rows)
    ]  # fmt: skip
    return SimpleNamespace(draw=draw, stars=stars, chisq=120.0, dof=100)


def test_piff():
    psf = psf_from_piff(make_piff(), chipnum=0, colour=0.3)
    assert isinstance(psf, PSFLike)
    assert (psf.accepted, psf.chi2) == (2, 1.2)
    assert psf.bounds == (10.0, 500.0, 20.0, 1000.0)
    own = psf_from_galsim(profile_at, JACOBIAN, method="no_pixel")
    x, y = np.array([100.0, 600.0]), np.array([200.0, 300.0])
    offset = np.array([0.3, 0.0]), np.array([-0.2, 0.1])
    for shape in ((51, 51), (31, 41)):
        got = psf.draw(x, y, offset=offset, shape=shape)
        np.testing.assert_allclose(got, own.draw(x, y, offset=offset, shape=shape), atol=1e-8)
    np.testing.assert_array_equal(psf.extrapolated(x, y), [False, True])
    stamps = psf_at(psf, x, y)
    np.testing.assert_array_equal(stamps.flags & PSFFlag.TOO_FEW_STARS, PSFFlag.TOO_FEW_STARS)
    assert psf_from_piff(make_piff(), colour=0.3).accepted == 3
    with pytest.raises(DataError, match="the Piff model has no star"):
        psf_from_piff(SimpleNamespace(stars=[]))
    with pytest.raises(DataError, match=r"no star on this CCD \(got 3; allowed: 0, 7\)"):
        psf_from_piff(make_piff(), chipnum=3)


def test_the_offset_and_the_centre_are_those_of_the_contract():
    psf = psf_from_galsim(galsim.Gaussian(fwhm=0.8), np.eye(2) * 0.2)
    image = psf.draw([0.0], [0.0], offset=(0.25, -0.4), shape=(31, 41))[0]
    y, x = np.indices(image.shape)
    assert (x * image).sum() / image.sum() == pytest.approx(20.25, abs=1e-3)
    assert (y * image).sum() / image.sum() == pytest.approx(14.6, abs=1e-3)


def test_real_piff():
    piff = pytest.importorskip("piff")
    rng = np.random.default_rng(1)
    stars = []
    for x, y in rng.uniform(40, 1160, (12, 2)):
        stamp = galsim.Image(51, 51, xmin=int(x) - 25, ymin=int(y) - 25, wcs=LOCAL)
        galsim.Gaussian(fwhm=0.9, flux=1e5).shear(g1=0.05).drawImage(
            stamp, center=(x, y), method="no_pixel"
        )
        stamp.addNoise(galsim.GaussianNoise(galsim.BaseDeviate(3), sigma=5))
        data = piff.StarData(stamp, galsim.PositionD(x, y), weight=stamp * 0 + 0.04)
        stars.append(piff.Star(data, None))
    model = piff.SimplePSF(piff.Gaussian(fastfit=True, include_pixel=False), piff.Mean())
    model.fit(stars, {0: LOCAL}, None)
    psf = psf_from_piff(model)
    assert psf.accepted == 12
    truth = psf_from_galsim(galsim.Gaussian(fwhm=0.9).shear(g1=0.05), JACOBIAN, method="no_pixel")
    got, expected = (p.draw([300.3], [300.0], offset=(0.3, 0.1)) for p in (psf, truth))
    np.testing.assert_allclose(got, expected, atol=1e-3 * expected.max())


def test_a_function_of_the_wrong_shape():
    psf = FunctionPSF(lambda x, y, offset, shape: np.ones((3, 3)), accepted=50)
    with pytest.raises(DataError, match=r"image of another shape \(got \(3, 3\)"):
        psf.draw([1.0], [1.0])


def test_the_steps_after_it_take_it(catalogue):
    """Observation, shapes and validation with a PSF that is not a `PSFModel`."""
    sky = WCS.from_header(make_header(flip=True))
    x, y = np.array([60.0, 120.0]), np.array([70.0, 95.0])
    image = galsim.Image(1000, 800, wcs=galsim.JacobianWCS(*sky.jacobian(60.0, 70.0).ravel()))
    psf = galsim.Gaussian(fwhm=0.7)
    for px, py in zip(x, y, strict=True):
        galaxy = galsim.Convolve(galsim.Exponential(half_light_radius=0.5), psf)
        galaxy.withFlux(3e4).drawImage(image, center=(px + 1, py + 1), add_to_image=True)
    rng = np.random.default_rng(2)
    pixels = (image.array + rng.normal(0, 3, image.array.shape)).astype(np.float32)
    exposure = Exposure(pixels, wcs=sky, gain=1.5)
    ra, dec = sky.pixel_to_sky(x, y)
    objects = Table({"NUMBER": [1, 2], "XWIN_WORLD": ra, "YWIN_WORLD": dec})
    model = psf_from_galsim(psf, sky.jacobian(60.0, 70.0))
    stamps = observe(objects, [Epoch(exposure, 0.0, model)])
    assert (stamps.flags == 0).all()
    shapes = measure_shapes(objects, stamps, seed=3)
    assert (shapes["NGMIX_MCAL_FLAGS"] == 0).all()
    table = validate_psf(model, catalogue(12, 1))
    assert (table["ACCEPTED"] == -1).all()
    assert np.isfinite(table["E1_PSF_HSM"]).all()


def test_an_exposure_without_world_coordinates_says_what_to_give():
    epochs = [Epoch(Exposure(np.zeros((9, 9)), name="own.fits"), 0.0, None)]
    objects = Table({"X_WORLD": [1.0], "Y_WORLD": [2.0]})
    with pytest.raises(DataError, match=r"own\.fits: .*no world coordinates.*WCS\.from_header"):
        observe(objects, epochs)
