"""The spread model: worked numbers of ShapePipe, and galsim's drawings."""

from __future__ import annotations

import galsim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from purepipe.config.shapes import SpreadConfig
from purepipe.errors import ConfigError, DataError
from purepipe.flags import SpreadFlag
from purepipe.psf import spread_nb
from purepipe.psf.spread import FWHM_OVER_SIGMA, disc_gaussians, spread_class, spread_model
from tests.entry import entry

gaussian_per_pixel = entry(spread_nb.gaussian_per_pixel)

SCALE = 0.186
SIGMA = 1.6
STRICT = galsim.GSParams(
    folding_threshold=1e-6, maxk_threshold=1e-8, kvalue_accuracy=1e-9, maximum_fft_size=16384
)


def templates(sigma: float, shape: tuple[int, int], *, gsparams=None) -> tuple[np.ndarray, ...]:
    """PSF and extended template of galsim, as ShapePipe draws them."""
    psf = galsim.Gaussian(sigma=sigma * SCALE, gsparams=gsparams)
    disc = galsim.Exponential(scale_radius=FWHM_OVER_SIGMA * sigma * SCALE / 16, gsparams=gsparams)
    return tuple(
        profile.drawImage(nx=shape[1], ny=shape[0], scale=SCALE, dtype=np.float64).array
        for profile in (psf, galsim.Convolve(disc, psf))
    )


def plain_formula(o, w, p, t):
    """The definition, term by term."""
    m = (o > -1e29) & (w > 0)
    o, p, t, n = o[m], p[m], t[m], 1 / w[m]
    tg, pg, tp, pp = (t * o).sum(), (p * o).sum(), (t * p).sum(), (p * p).sum()
    variance = (n * t * t).sum() * pg**2 + (n * p * p).sum() * tg**2
    variance -= 2 * (n * t * p).sum() * pg * tg
    return tg / pg - tp / pp, np.sqrt(variance) / pg**2


def ours(sigma: float, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    extra, shares = disc_gaussians()
    variances = sigma**2 * np.concatenate([[1], 1 + extra])
    across, along = (np.empty((len(variances), size)) for size in shape)
    gaussian_per_pixel(variances, across)
    gaussian_per_pixel(variances, along)
    outer = across[:, :, None] * along[:, None, :]
    return outer[0], np.tensordot(shares, outer[1:], 1)


@pytest.mark.parametrize("sigma", [0.8, 1.6, 3.0])
@pytest.mark.parametrize("shape", [(51, 51), (50, 33)])
def test_templates_are_galsims(sigma, shape):
    # galsim's default parameters err by up to 1.8e-4 of the peak where they draw by Fourier.
    for gsparams, tolerance in ((None, 2e-4), (STRICT, 1e-9)):
        for mine, theirs in zip(
            ours(sigma, shape), templates(sigma, shape, gsparams=gsparams), strict=True
        ):
            assert np.abs(mine - theirs).max() < tolerance * theirs.max()


def worked_objects() -> tuple[np.ndarray, np.ndarray]:
    p, t = templates(SIGMA, (51, 51))
    disc = galsim.Convolve(
        galsim.Exponential(half_light_radius=0.4, flux=5000), galsim.Gaussian(sigma=SIGMA * SCALE)
    ).drawImage(nx=51, ny=51, scale=SCALE)
    stamps = np.stack([1000 * p, 1000 * t, disc.array, disc.array, -1000 * p]).astype(np.float32)
    weights = np.full_like(stamps, 0.25)
    weights[3, :, 20:23] = 0
    stamps[3, :5] = -1e30
    return stamps, weights


def test_worked_numbers():
    stamps, weights = worked_objects()
    spread, error, flags = spread_model(stamps, weights, SIGMA)
    assert ours(SIGMA, (51, 51))[0].max() == pytest.approx(0.0601914, rel=2e-6)
    assert ours(SIGMA, (51, 51))[1].max() == pytest.approx(0.0567532, rel=2e-6)
    np.testing.assert_allclose(
        spread[:4], [0, 8.37895e-4, 0.01035239, 0.00874776], rtol=1e-5, atol=1e-8
    )
    np.testing.assert_allclose(
        error[:4], [3.28657e-4, 3.38939e-4, 1.196196e-4, 1.127939e-4], rtol=1e-5
    )
    assert list(flags) == [0, 0, 0, 0, SpreadFlag.NO_FLUX]
    assert np.isnan(spread[4])
    assert np.isnan(error[4])


def test_sentinels_of_the_original():
    stamps, weights = worked_objects()
    sigma = np.array([np.nan, SIGMA, -1, 0, SIGMA])
    spread, error, flags = spread_model(stamps, weights, sigma, original_sentinels=True)
    np.testing.assert_array_equal(spread[[0, 2, 3, 4]], [-1, -1, -1, 1])
    np.testing.assert_array_equal(error[[0, 2, 3, 4]], 1)
    no_psf = SpreadFlag.NO_PSF
    assert list(flags) == [no_psf, 0, no_psf, no_psf, SpreadFlag.NO_FLUX]


def test_against_galsim_for_noisy_objects():
    rng = np.random.default_rng(3)
    n = 30
    sigma = rng.uniform(1.2, 2.5, n)
    stamps = np.empty((n, 51, 51), np.float32)
    weights = rng.uniform(0.01, 0.05, stamps.shape).astype(np.float32)
    weights[rng.random(stamps.shape) < 0.05] = 0
    for k in range(n):
        p, t = templates(sigma[k], (51, 51))
        stamps[k] = rng.uniform(2000, 20000) * (p if k % 2 else t)
    stamps += rng.normal(0, 6, stamps.shape).astype(np.float32)
    stamps[:, 3, 4] = np.nan
    spread, error, flags = spread_model(stamps, weights, sigma * SCALE, pixel_scale=SCALE)
    assert np.all(flags == 0)
    for k in range(n):
        data = stamps[k].astype(float), weights[k].astype(float)
        default = plain_formula(*data, *templates(sigma[k], (51, 51)))
        strict = plain_formula(*data, *templates(sigma[k], (51, 51), gsparams=STRICT))
        assert spread[k] == pytest.approx(default[0], abs=1e-6)
        assert error[k] == pytest.approx(default[1], rel=5e-4)
        assert spread[k] == pytest.approx(strict[0], abs=1e-9)
        assert error[k] == pytest.approx(strict[1], rel=1e-6)


def test_nothing_to_measure():
    stamps = np.ones((3, 11, 11), np.float32)
    weights = np.ones_like(stamps)
    weights[0] = 0
    weights[1, 5, 5] = np.nan
    stamps[2, 5, 5] = np.inf
    spread, error, flags = spread_model(stamps, weights, 1.5)
    assert list(flags) == [SpreadFlag.NO_FLUX, 0, SpreadFlag.NOT_FINITE]
    assert list(np.isnan(spread)) == [True, False, True]
    assert list(np.isnan(error)) == [True, False, True]
    empty = spread_model(np.empty((0, 5, 5)), np.empty((0, 5, 5)), 1.0)
    assert [len(array) for array in empty] == [0, 0, 0]


@given(
    stamp=arrays(np.float64, (9, 8), elements=st.floats(-100, 100)),
    sigma=st.floats(0.5, 4), weight=st.floats(0.01, 10),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_value_depends_neither_on_flux_nor_on_weight(stamp, sigma, weight):
    stamp[3:6, 3:6] += 1000
    weights = np.ones_like(stamp)
    first, error, flags = spread_model(stamp[None], weights[None], sigma)
    second, scaled, _ = spread_model(5 * stamp[None], weight * weights[None], sigma)
    assert flags[0] == 0
    assert second[0] == pytest.approx(first[0], rel=1e-9, abs=1e-12)
    assert scaled[0] == pytest.approx(error[0] / 5 / np.sqrt(weight), rel=1e-6)


def test_classes_of_the_original():
    spread = [0, 0.001, 0.003, 0.0111, 0.004, -0.02, 0, -1, 1, np.nan]
    error = [0.001, 0.001, 0, 0.001, 0.001, 0.001, 0.01, 1, 1, np.nan]
    assert list(spread_class(spread, error)) == [0, 2, 2, 1, 2, 2, 1, -1, -1, -1]
    wide = SpreadConfig(star_limit=0.005, galaxy_limit=0.006)
    assert list(spread_class([0.001, 0.007], [0.001, 0], wide)) == [0, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: spread_model(z[0], z[0], 1.0), DataError, "stack of stamps is needed"),
        (lambda z: spread_model(z, z[:1], 1.0), DataError, "shape of the stamps"),
        (lambda z: spread_model(z, z, [1.0]), DataError, "one number or one per stamp"),
        (lambda z: spread_model(z, z, 1.0, pixel_scale=0), DataError, "must be positive"),
        (lambda z: spread_class([1, 2], [1]), DataError, "shape of the spread"),
        (lambda z: SpreadConfig(star_limit=-1), ConfigError, "spread.star_limit: out of range"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 5, 5)))
