"""The PSF at objects is the true one, not the model as tabulated."""

import galsim
import numpy as np
import pytest
from astropy.table import Table

from purepipe.config import PSFConfig, PSFInterpolationConfig
from purepipe.psf import adaptive_moments, fit_psf, psf_at
from purepipe.psf.response import mean_response

SCALE = 0.187


def star_table(profile, n, rng, flux=1e5, noise=20.0):
    offsets = rng.uniform(-0.5, 0.5, (n, 2))
    images = [
        profile.drawImage(nx=51, ny=51, scale=SCALE, offset=offset, dtype=float).array
        for offset in offsets
    ]
    pixels = rng.integers(100, 1900, (n, 2)) + 1
    table = Table(
        {
            "VIGNET": (flux * np.array(images) + rng.normal(0, noise, (n, 51, 51))).astype("f4"),
            "XWIN_IMAGE": pixels[:, 0] + offsets[:, 0],
            "YWIN_IMAGE": pixels[:, 1] + offsets[:, 1],
            "FLUX_RADIUS": np.full(n, 2.1, "f4"),
            "FLUX_AUTO": np.full(n, flux, "f4"),
            "FLUXERR_AUTO": np.full(n, 100, "f4"),
            "SNR_WIN": np.full(n, 1e3, "f4"),
            "ELONGATION": np.ones(n, "f4"),
            "FLAGS": np.zeros(n, "i2"),
        }
    )
    table.meta.update(SEXBKDEV=noise, SEXGAIN=0.0)
    return table


@pytest.mark.parametrize("fwhm", [0.5, 0.7, 0.9])
def test_size_and_shape_are_those_of_the_true_psf(fwhm):
    profile = galsim.Moffat(beta=3.5, fwhm=fwhm).shear(g1=0.03, g2=-0.02)
    truth = adaptive_moments(profile.drawImage(nx=51, ny=51, scale=SCALE, dtype=float).array[None])
    stars = star_table(profile, 100, np.random.default_rng(3))
    model = fit_psf(stars, PSFConfig(degrees=(0,)))
    tabulated = psf_at(model, 900.0, 900.0, PSFInterpolationConfig(interpolation_response=False))
    corrected = psf_at(model, 900.0, 900.0)
    bias = [(drawn.sigma[0] / truth.sigma[0]) ** 2 - 1 for drawn in (tabulated, corrected)]
    assert bias[0] > 0.002  # what the correction is for
    assert abs(bias[1]) < 0.001
    assert abs(corrected.e1[0] - truth.g1[0]) < 0.002
    assert abs(corrected.e2[0] - truth.g2[0]) < 0.002


def test_the_response_is_that_of_the_shifts():
    # A wave, shifted by Lanczos interpolation and back by its phase, keeps the mean amplitude H;
    # the response is <H^2> / <H>, and 1 for waves much longer than a pixel.
    n, cycles = 60, 12
    x = np.arange(n)
    transfers = []
    for d in (np.arange(200) + 0.5) / 200 - 0.5:
        m = np.arange(-3, 4)
        taps = np.where(np.abs(m - d) < 3, np.sinc(m - d) * np.sinc((m - d) / 3), 0)
        taps /= taps.sum()
        wave = np.exp(2j * np.pi * cycles * x / n)
        shifted = sum(tap * np.roll(wave, -k) for k, tap in zip(m, taps, strict=True))
        transfers.append(shifted[0] / np.exp(2j * np.pi * cycles * d / n))
    power, mean = np.mean(np.abs(transfers) ** 2), np.mean(transfers).real
    assert mean_response(n)[cycles] == pytest.approx(power / mean, rel=1e-4)
    assert mean_response(n)[0] == pytest.approx(1, abs=1e-12)
    assert mean_response(400)[1] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mean_response(n)[1:], mean_response(n)[:0:-1], rtol=1e-9)
