"""The light of neighbours: every pair counted, in little memory."""

import tracemalloc

import numpy as np

from purepipe.select.neighbours import neighbour_light


def field(n, side, fwhm):
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, side, (2, n))
    return x, y, rng.uniform(1, 9, n), np.full(n, fwhm)


def test_all_pairs_are_counted():
    x, y, flux, fwhm = field(300, 200, 3.0)
    fwhm = fwhm * np.random.default_rng(3).uniform(0.8, 1.5, 300)
    flux[5], x[7], fwhm[9], flux[11] = np.nan, np.nan, 0.0, np.inf
    rows = np.arange(0, 300, 2) + 1
    found = neighbour_light(x, y, flux, fwhm, rows)
    light = np.where(np.isfinite(flux), flux, 0)
    distance = np.hypot(x - x[:, None], y - y[:, None]) / np.where(fwhm > 0, fwhm, 1)[:, None]
    share = np.where(distance <= 10, (2 / np.maximum(distance, 2)) ** 6, 0)
    np.fill_diagonal(share, 0)
    share[:, 7] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (share @ np.where(np.isfinite(x), light, 0) / light)[rows]
    unknown = np.isin(rows, [5, 7, 9, 11])
    assert np.isinf(found[unknown]).all()
    np.testing.assert_allclose(found[~unknown], expected[~unknown], rtol=1e-12)


def test_a_dense_field_needs_little_memory():
    x, y, flux, fwhm = field(800, 200, 30.0)  # all are neighbours of all
    tracemalloc.start()
    light = neighbour_light(x, y, flux, fwhm, np.arange(800))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(light).all()
    # The list of all pairs alone takes 20 MB.
    assert peak < 5e6


def test_what_is_no_star_looks_as_far_as_stars_do():
    x, y, flux, fwhm = field(400, 4000, 3.0)
    fwhm[0] = 4000.0
    x[0], y[0], flux[0] = 2000, 2000, 5.0
    x[1:], y[1:] = np.where(np.hypot(x - 2000, y - 2000) < 61, -500, x)[1:], y[1:]
    assert neighbour_light(x, y, flux, fwhm, np.arange(400))[0] == 0
    x[1], y[1] = 2059, 2000
    assert neighbour_light(x, y, flux, fwhm, np.arange(400))[0] == flux[1] / flux[0]
