"""Shear bias of metadetection in fields of blended galaxies.

Galaxies and PSF are sums of Gaussians, sampled at the pixel centres. Of a pair of cells one is
sheared by +gamma and the other by -gamma, and the pixel grid with it: galaxies and noise are then
the same in pixel coordinates, white noise stays white, and only the PSF, fixed on the sky, looks
different. That removes most of the noise from the bias. Noise also comes with both signs.
"""

import math

import numpy as np
import pytest

from purepipe.shapes import cell_sums, cell_transfer, metadetect
from purepipe.shapes.images import shear_matrix

SCALE = 0.2
SIDE = 288
FIELD = 250  # pixels that hold galaxies
GAMMA = 0.02
# fraction of the flux and variance in units of the squared half-light radius
GALAXY = ((0.10, 0.03), (0.35, 0.22), (0.55, 1.05))
PSF = ((0.55, 0.072), (0.37, 0.18), (0.08, 0.60))  # arcsec^2; FWHM about 0.75


def add_gaussian(image, x, y, flux, cov):
    """Add one elliptical Gaussian, covariance in pixels, within five sigma."""
    reach = 5.0 * math.sqrt(max(cov[0, 0], cov[1, 1]))
    x0, x1 = max(0, math.ceil(x - reach)), min(image.shape[1], int(x + reach) + 1)
    y0, y1 = max(0, math.ceil(y - reach)), min(image.shape[0], int(y + reach) + 1)
    if x1 <= x0 or y1 <= y0:
        return
    dx, dy = np.arange(x0, x1) - x, np.arange(y0, y1) - y
    inverse = np.linalg.inv(cov)
    # the exponent splits into a term per axis and their product
    form = inverse[0, 0] * dx**2 + inverse[1, 1] * dy[:, None] ** 2
    form += 2.0 * inverse[0, 1] * dx * dy[:, None]
    norm = flux / (2.0 * np.pi * math.sqrt(np.linalg.det(cov)))
    image[y0:y1, x0:x1] += norm * np.exp(-0.5 * form)


def psf_covariances(jac):
    """Fractions and pixel covariances of the PSF, of reduced shape (0.03, 0) on the sky."""
    to_pixels = np.linalg.inv(jac) @ shear_matrix(0.03, 0.0)
    return [(fraction, variance * to_pixels @ to_pixels.T) for fraction, variance in PSF]


def psf_stamp(jac):
    image = np.zeros((53, 53))
    for fraction, cov in psf_covariances(jac):
        add_gaussian(image, 26.0, 26.0, fraction, cov)
    return image


def random_galaxies(rng, density):
    """Positions and radii in pixels, shapes, fluxes; from S/N 3.5, half of them below 7.7."""
    number = rng.poisson(density * (FIELD * SCALE / 60) ** 2)
    radius = 0.35 * np.exp(rng.normal(0, 0.35, number))
    snr = 3.5 * rng.uniform(size=number) ** (-1 / 0.875)
    snr = np.minimum(snr, 1000.0)
    width2 = (radius**2 * 0.66 + 0.13) / SCALE**2
    flux = snr * np.sqrt(4 * np.pi * width2)
    angle, size = rng.uniform(0, 2 * np.pi, number), np.minimum(rng.rayleigh(0.2, number), 0.7)
    place = rng.uniform(-FIELD / 2, FIELD / 2, (number, 2)) + (SIDE - 1) / 2
    return zip(place, radius / SCALE, size * np.cos(angle), size * np.sin(angle), flux, strict=True)


def draw(galaxies, jac):
    image = np.zeros((SIDE, SIDE))
    psf = psf_covariances(jac)
    for (x, y), radius, g1, g2, flux in galaxies:
        shear = radius * shear_matrix(g1, g2)
        cov = shear @ shear.T
        for fraction, variance in GALAXY:
            for psf_fraction, psf_cov in psf:
                add_gaussian(image, x, y, flux * fraction * psf_fraction, variance * cov + psf_cov)
    return image


def sums_of_pairs(pairs, density, seed, add_noise=True):
    """(pair, sign of shear, 5, 3) sums over both signs of the noise; components alternate."""
    shears = GAMMA * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    jacobians = [shear_matrix(*g) @ (SCALE * np.eye(2)) for g in shears]
    transfers = [
        cell_transfer(psf_stamp(jac), jac, 1.0, (SIDE, SIDE), add_noise=add_noise)
        for jac in jacobians
    ]
    out = np.zeros((pairs, 2, 5, 3))
    for pair in range(pairs):
        rng = np.random.default_rng((seed, pair))
        galaxies = list(random_galaxies(rng, density))
        noise = rng.standard_normal((SIDE, SIDE))
        for sign in range(2):
            k = 2 * (pair % 2) + sign
            image = draw(galaxies, jacobians[k])
            for flip in (False, True):
                catalogues = metadetect(
                    image + (-noise if flip else noise), transfers[k], seed=seed, cell=pair,
                    flip_noise=flip,
                )  # fmt: skip
                out[pair, sign] += cell_sums(catalogues)
    return out


def bias_of(sums):
    """m of the mean over both components."""
    parts = []
    for component in range(2):
        plus, minus = (sums[component::2, sign].sum(axis=0) for sign in range(2))
        up, down = 1 + 2 * component, 2 + 2 * component
        e = [part[:, 1 + component] / part[:, 0] for part in (plus, minus)]
        response = sum(x[up] - x[down] for x in e) / 0.04
        parts.append((e[0][0] - e[1][0], 2 * GAMMA * response))
    return sum(p[0] for p in parts) / sum(p[1] for p in parts) - 1


def bias_with_error(sums, groups=40):
    labels = np.arange(len(sums)) // 2 % groups
    replicas = np.array([bias_of(sums[labels != group]) for group in range(groups)])
    return bias_of(sums), math.sqrt((groups - 1) * replicas.var())


def test_scene_and_estimator_agree_on_a_few_cells():
    sums = sums_of_pairs(4, 40, seed=1)
    assert (sums[..., 0] > 0).all()
    assert np.isfinite(bias_of(sums))


@pytest.mark.slow
def test_metadetection_is_unbiased_among_blends():
    m, error = bias_with_error(sums_of_pairs(600, 80, seed=3))
    assert error < 0.015
    assert abs(m) < 3 * error


if __name__ == "__main__":  # the release check: python test_shear_blended.py PAIRS SEED
    import sys

    m, error = bias_with_error(sums_of_pairs(int(sys.argv[1]), 80, seed=int(sys.argv[2])))
    print(f"m = ({m * 1e3:+.2f} +- {error * 1e3:.2f})e-3")
