"""How well the PSF of simulated CCDs is known between the stars."""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from purepipe.psf import adaptive_moments, fit_psf, psf_at, psf_residuals, validate_psf

GRID_Y, GRID_X = np.mgrid[-25:26, -25:26].astype(float)


def true_psf(reference, x, y, dx=0.0, dy=0.0, *, seeing=1.0):
    """A PSF whose size and ellipticity vary beyond the second order."""
    u, v = x / 2048 - 0.5, y / 4612 - 0.5
    fwhm = seeing * (3.8 + 0.4 * u + 0.3 * v * v + 0.1 * u**3)
    e1, e2 = 0.05 * u + 0.03 * u * v, 0.04 * v - 0.03 * u * u
    return reference.moffat(GRID_X - dx, GRID_Y - dy, fwhm, e1, e2)


def star_table(reference, n, rng, *, seeing=1.0):
    x, y = rng.uniform(30, 2018, n), rng.uniform(30, 4582, n)
    flux = 10 ** rng.uniform(3.9, 5.3, n)
    images = np.empty((n, 51, 51))
    for i in range(n):
        dx, dy = x[i] - np.rint(x[i]), y[i] - np.rint(y[i])
        light = flux[i] * true_psf(reference, x[i], y[i], dx, dy, seeing=seeing)
        images[i] = light + rng.normal(0, 1, light.shape) * np.sqrt(100 + light / 1.5)
    table = Table(
        {
            "NUMBER": np.arange(1, n + 1), "VIGNET": images.astype("f4"),
            "XWIN_IMAGE": x + 1, "YWIN_IMAGE": y + 1, "XWIN_WORLD": x / 2e4,
            "YWIN_WORLD": y / 2e4, "MAG_AUTO": 30 - 2.5 * np.log10(flux),
            "FLUX_AUTO": flux.astype("f4"), "SNR_WIN": (flux / 150).astype("f4"),
            "FLUX_RADIUS": np.full(n, 2.3 * seeing, "f4"),
        }
    )  # fmt: skip
    table.meta.update(SEXBKDEV=10.0, SEXGAIN=1.5)
    return table


def test_psf_between_the_stars(reference):
    errors = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = fit_psf(star_table(reference, 80, rng))
        x, y = rng.uniform(100, 1948, 80), rng.uniform(100, 4512, 80)
        stamps = psf_at(model, x, y)
        assert stamps.usable.all()
        truth = adaptive_moments(
            np.array([true_psf(reference, *position) for position in zip(x, y, strict=True)])
        )
        errors.append(
            [stamps.e1 - truth.g1, stamps.e2 - truth.g2, (stamps.sigma / truth.sigma) ** 2 - 1]
        )
    errors = np.concatenate(errors, axis=1)
    mean, rms = errors.mean(axis=1), np.sqrt((errors**2).mean(axis=1))
    assert (np.abs(mean) < [3e-4, 3e-4, 2e-3]).all()
    assert (rms < [1.5e-3, 1.5e-3, 6e-3]).all()


def test_residuals_of_reserved_stars_are_noise(reference):
    table = star_table(reference, 150, np.random.default_rng(9))
    reserved = np.arange(150) % 4 == 0
    summary = psf_residuals(
        validate_psf(fit_psf(table[~reserved]), table, reserved=reserved)
    )  # fmt: skip
    assert (summary.stars, summary.verdict) == ("reserved", "good")
    assert abs(summary.weighted_de1) < 1e-3
    assert abs(summary.weighted_de2) < 1e-3
    assert abs(summary.weighted_dsize) < 4e-3
