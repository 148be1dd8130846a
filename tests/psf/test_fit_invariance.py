"""What must not matter: order of the stars, units, threads; and what must: more stars."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from purepipe.config.psf import PSFConfig
from purepipe.psf import fit_psf, psf_at

CONFIG = PSFConfig(size=(31,), degrees=(1,), basis_number=12)


def test_order_of_the_stars_does_not_matter(catalogue):
    table = catalogue(50, 2)
    order = np.random.default_rng(1).permutation(50)
    first, second = fit_psf(table, CONFIG), fit_psf(table[order], CONFIG)
    assert (first.loaded, first.accepted) == (second.loaded, second.accepted)
    peak = first.mask[0].max()
    np.testing.assert_allclose(second.mask, first.mask, rtol=0, atol=1e-6 * peak)
    np.testing.assert_array_equal(
        second.samples["FLAGS_PSF"], np.asarray(first.samples["FLAGS_PSF"])[order]
    )


@pytest.mark.parametrize("factor", [0.5, 8.0])
def test_unit_of_the_flux_does_not_matter(catalogue, factor):
    table = catalogue(50, 2)
    other = table.copy()
    good = np.asarray(table["VIGNET"]) > -1e30
    other["VIGNET"] = np.where(good, table["VIGNET"] * np.float32(factor), np.float32(-1e30))
    other["FLUX_AUTO"] = table["FLUX_AUTO"] * np.float32(factor)
    other.meta["SEXBKDEV"] *= factor
    other.meta["SEXGAIN"] /= factor
    first, second = fit_psf(table, CONFIG), fit_psf(other, CONFIG)
    # Powers of two change no mantissa. The ridge of the refinement acts on the model itself.
    np.testing.assert_allclose(second.mask, first.mask, rtol=0, atol=1e-6)
    assert second.chi2 == pytest.approx(first.chi2, rel=1e-5)


def test_origin_of_the_positions_does_not_matter(catalogue):
    table = catalogue(50, 2)
    other = table.copy()
    other["XWIN_IMAGE"] = table["XWIN_IMAGE"] + 4096
    first, second = fit_psf(table, CONFIG), fit_psf(other, CONFIG)
    np.testing.assert_allclose(second.mask, first.mask, rtol=0, atol=1e-6 * first.mask[0].max())
    np.testing.assert_allclose(
        second.draw([4600.0], [900.0]), first.draw([504.0], [900.0]), rtol=0, atol=1e-7
    )


def test_mirrored_stars_give_the_mirrored_model(catalogue):
    table = catalogue(50, 2)
    other = table.copy()
    # Vignettes are centred on the pixel nearest to the star, so that a mirror keeps the centring.
    other["VIGNET"] = np.ascontiguousarray(table["VIGNET"][:, :, ::-1])
    other["XWIN_IMAGE"] = 2048 - table["XWIN_IMAGE"]
    first, second = fit_psf(table, CONFIG), fit_psf(other, CONFIG)
    expected = first.mask[:, :, ::-1] * np.array([1, -1, 1])[:, None, None]
    # The centring is not taken to convergence, and its steps are not symmetric to the last bit.
    np.testing.assert_allclose(second.mask, expected, rtol=0, atol=2e-5 * first.mask[0].max())


def test_threads_give_the_same_models(catalogue):
    tables = [catalogue(30, seed) for seed in range(4)]
    alone = [fit_psf(table, CONFIG) for table in tables]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda table: fit_psf(table, CONFIG), tables))
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first.mask, second.mask)
        assert first.chi2 == second.chi2


def test_repeated_fit_is_bit_equal(catalogue):
    table = catalogue(40, 3)
    np.testing.assert_array_equal(fit_psf(table, CONFIG).mask, fit_psf(table, CONFIG).mask)


def test_blocks_of_objects_are_bit_equal(catalogue):
    model = fit_psf(catalogue(40, 3), CONFIG)
    rng = np.random.default_rng(8)
    x, y = rng.uniform(0, 2048, 50), rng.uniform(0, 4612, 50)
    whole = psf_at(model, x, y)
    for part in (slice(0, 7), slice(7, 50)):
        block = psf_at(model, x[part], y[part])
        np.testing.assert_array_equal(block.images, whole.images[part])
        np.testing.assert_array_equal(block.sigma, whole.sigma[part])


def test_stars_per_term_lower_the_degree(catalogue):
    table = catalogue(16, 5)
    assert fit_psf(table, PSFConfig(size=(25,))).degrees == (2,)
    assert fit_psf(table, PSFConfig(size=(25,), stars_per_term=3.0)).degrees == (1,)
    assert fit_psf(table, PSFConfig(size=(25,), stars_per_term=6.0)).degrees == ()


def test_outliers_are_rejected(catalogue, reference):
    table = catalogue(60, 6)
    y, x = np.mgrid[:51, :51] - 25.0
    outliers = np.flatnonzero((table["SNR_WIN"] > 100) & (table["FLAGS"] == 0))[:3]
    for row in outliers:  # doubles
        neighbour = table["FLUX_AUTO"][row] * reference.moffat(x - 7, y - 5, 4.0, 0, 0)
        table["VIGNET"][row] += neighbour.astype(np.float32)
    flags = np.asarray(fit_psf(table, CONFIG).samples["FLAGS_PSF"])
    assert (flags[outliers] & 1).all()
