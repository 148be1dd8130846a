"""The PSF at objects: normalisation, flags, moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from purepipe.config.psf import PSFInterpolationConfig
from purepipe.errors import ConfigError, DataError
from purepipe.flags import PSFFlag
from purepipe.psf import PSFLike, PSFModel, psf_at


def make_model(factor=1.0, *, accepted=55, chi2=1.0, e=0.0, slope=0.0):
    y, x = np.mgrid[:51, :51] - 25.0
    image = np.exp(-((1 - e) * x**2 + (1 + e) * y**2) / (2 * 2.0**2))
    image *= factor / image.sum()
    return PSFModel(
        mask=np.array([image, slope * image, 0 * image]), coeffs=None,
        contexts=("X_IMAGE", "Y_IMAGE"), offsets=(1000.0, 2000.0), scales=(2000.0, 4000.0),
        groups=(1, 1), degrees=(1,), loaded=60, accepted=accepted, chi2=chi2, fwhm=6.0,
        sampling=1.0,
    )  # fmt: skip


def test_images_are_normalised_and_measured():
    tabulated = PSFInterpolationConfig(interpolation_response=False)
    stamps = psf_at(make_model(1.05, e=0.1), [500.0, 900.0], [500.0, 900.0], tabulated)
    assert stamps.images.shape == (2, 51, 51)
    assert stamps.images.dtype == np.float32
    np.testing.assert_allclose(stamps.images.sum(axis=(1, 2), dtype=float), 1, atol=1e-6)
    np.testing.assert_allclose(stamps.sums, 1.05, rtol=1e-5)
    np.testing.assert_array_equal(stamps.flags, 0)
    assert stamps.usable.all()
    # Reduced shear (a - b)/(a + b), as in ShapePipe's E1_PSF_HSM.
    a, b = np.sqrt(1 / 0.9), np.sqrt(1 / 1.1)
    np.testing.assert_allclose(stamps.e1, (a - b) / (a + b), atol=1e-5)
    np.testing.assert_allclose(stamps.e2, 0, atol=1e-6)
    np.testing.assert_allclose(stamps.sigma, 2 / (0.9 * 1.1) ** 0.25, rtol=1e-4)


@pytest.mark.parametrize("shape", [(51, 51), (31, 41), (61, 61)])
def test_images_are_centred(shape):
    image = psf_at(make_model(), [1.0], [1.0], shape=shape).images[0]
    y, x = np.indices(shape)
    assert (x * image).sum() == pytest.approx((shape[1] - 1) / 2, abs=1e-3)
    assert (y * image).sum() == pytest.approx((shape[0] - 1) / 2, abs=1e-3)


def test_offset_moves_the_image():
    image = psf_at(make_model(), [1.0], [1.0], offset=(0.25, -0.4)).images[0]
    y, x = np.indices(image.shape)
    assert (x * image).sum() == pytest.approx(25.25, abs=0.02)  # of Lanczos-3
    assert (y * image).sum() == pytest.approx(24.6, abs=0.02)


def test_missing_model():
    stamps = psf_at(None, [1.0, 2.0], [1.0, 2.0])
    np.testing.assert_array_equal(stamps.flags, PSFFlag.NO_MODEL)
    assert np.isnan(stamps.images).all()
    assert np.isnan(stamps.sigma).all()
    assert not stamps.usable.any()
    assert len(stamps) == 2


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"accepted": 19}, PSFFlag.TOO_FEW_STARS),
        ({"chi2": 2.1}, PSFFlag.BAD_CHI2),
        ({"chi2": np.nan}, PSFFlag.BAD_CHI2),
        ({"factor": 0.3}, PSFFlag.BAD_MODEL),
        ({"factor": -1.0}, PSFFlag.BAD_MODEL),
        ({"factor": 2.6}, PSFFlag.BAD_MODEL),
        ({"factor": np.nan}, PSFFlag.BAD_MODEL),
        ({"accepted": 20, "chi2": 2.0}, 0),
    ],
)
def test_models_below_the_limits_are_flagged(changes, flag):
    stamps = psf_at(make_model(**changes), [900.0], [900.0])
    assert stamps.flags[0] == flag
    assert stamps.usable[0] == (flag == 0)
    assert np.isnan(stamps.images[0]).all() == (flag == PSFFlag.BAD_MODEL)


def test_limits_are_configured():
    config = PSFInterpolationConfig(min_stars=100, max_chi2=0.5, max_sum_error=0.01)
    flags = psf_at(make_model(1.05), [900.0], [900.0], config).flags[0]
    assert flags == PSFFlag.TOO_FEW_STARS | PSFFlag.BAD_CHI2 | PSFFlag.BAD_MODEL


def test_extrapolation_is_information():
    stamps = psf_at(make_model(), [900.0, 2500.0], [900.0, 900.0])
    np.testing.assert_array_equal(stamps.flags, [0, PSFFlag.EXTRAPOLATED])
    assert stamps.usable.all()


def test_one_bad_position_does_not_harm_the_others():
    # The sum falls below 0.5 where the extrapolation goes far enough.
    stamps = psf_at(make_model(slope=1.0), [999.0, -1900.0, np.nan], [999.0] * 3)
    assert stamps.flags[0] == 0
    assert stamps.flags[1] == PSFFlag.BAD_MODEL | PSFFlag.EXTRAPOLATED
    assert stamps.flags[2] == PSFFlag.BAD_MODEL | PSFFlag.EXTRAPOLATED
    assert np.isfinite(stamps.sigma[0])
    assert np.isnan(stamps.sigma[1:]).all()


def test_failed_moments_are_information():
    @dataclass(frozen=True)
    class Ring:
        accepted: int = 50
        chi2: float = 1.0

        def draw(self, x, y, *, offset=None, shape=None, contexts=None):
            images = np.zeros((len(x), *shape))
            images[:, 0, :] = 1 / shape[1]
            return images

        def extrapolated(self, x, y, *, contexts=None):
            return np.zeros(len(x), bool)

    stamps = psf_at(Ring(), [1.0], [1.0])
    assert isinstance(Ring(), PSFLike)
    assert stamps.flags[0] == PSFFlag.MOMENTS
    assert np.isnan(stamps.e1[0])
    assert stamps.usable[0]


def test_moments_can_be_left_out():
    stamps = psf_at(make_model(), [1.0], [1.0], moments=False)
    assert np.isnan(stamps.sigma[0])
    assert stamps.flags[0] == 0


def test_no_object():
    stamps = psf_at(make_model(), [], [])
    assert stamps.images.shape == (0, 51, 51)


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="sides of a PSF stamp must be odd"):
        psf_at(make_model(), [1.0], [1.0], shape=(50, 51))
    with pytest.raises(DataError, match="x and y must be of one length"):
        psf_at(make_model(), [1.0], [1.0, 2.0])


def test_psf_model_is_a_psf():
    assert isinstance(make_model(), PSFLike)
