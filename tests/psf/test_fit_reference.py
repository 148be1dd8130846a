"""The fit against psfex 3.21.1: same flags, same numbers of stars, same model."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from purepipe.psf import fit_psf

CASES = (
    "crowded", "few", "small", "fine", "coarse", "recenter", "gauss_laguerre", "autoselect",
    "groups", "constant",
)  # fmt: skip


def assert_same(model, expected) -> None:
    samples = model.samples
    np.testing.assert_array_equal(samples["FLAGS_PSF"], expected["FLAGS_PSF"])
    assert (model.loaded, model.accepted) == (expected["loaded"], expected["accepted"])
    assert model.chi2 == pytest.approx(float(expected["chi2"]), rel=1e-6)
    assert model.fwhm == pytest.approx(float(expected["psf_fwhm"]), abs=1e-8)
    assert model.sampling == pytest.approx(float(expected["psf_samp"]), abs=1e-8)
    assert len(model.contexts) == expected["polnaxis"]
    peak = np.abs(expected["mask"][0]).max()
    assert model.mask.shape == expected["mask"].shape
    np.testing.assert_allclose(model.mask, expected["mask"], rtol=0, atol=1e-6 * peak)
    np.testing.assert_allclose(samples["CHI2_PSF"], expected["CHI2_PSF"], rtol=1e-6)
    np.testing.assert_allclose(samples["RESI_PSF"], expected["RESI_PSF"], atol=1e-8)
    for name in ("DELTAX_IMAGE", "DELTAY_IMAGE"):
        np.testing.assert_allclose(samples[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_equals_stored_output(case, reference, stored, config_of):
    n, seed, changes = reference.CASES[case]
    model = fit_psf(reference.star_catalogue(n, seed), config_of(changes))
    expected = stored(case)
    assert_same(model, expected)
    if "coeffs" in expected:
        # The file counts the polynomial terms fastest, whatever its TDIM says.
        assert model.coeffs is not None
        scale = np.abs(expected["coeffs"]).max()
        np.testing.assert_allclose(
            model.coeffs.ravel(), expected["coeffs"].ravel(), rtol=0, atol=2e-6 * scale
        )


def test_every_case_is_compared(reference):
    assert set(CASES) == set(reference.CASES)


def test_windowed_centres_are_bit_equal(reference, stored):
    n, seed, _ = reference.CASES["crowded"]
    samples = fit_psf(reference.star_catalogue(n, seed)).samples
    expected = stored("crowded")
    np.testing.assert_array_equal(samples["DELTAX_IMAGE"], expected["DELTAX_IMAGE"])
    np.testing.assert_array_equal(samples["DELTAY_IMAGE"], expected["DELTAY_IMAGE"])


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("psfex") is None, reason="psfex is not installed")
@pytest.mark.parametrize(
    "changes",
    [
        {"PSF_SIZE": "32,32", "PSFVAR_DEGREES": "1"},
        {"PSF_SIZE": "41,35", "PSF_ACCURACY": "0.1", "BASIS_NUMBER": "10", "PSFVAR_DEGREES": "3"},
        {"PSF_SAMPLING": "0.7", "PSF_SIZE": "45,45", "BASIS_TYPE": "NONE", "PSFVAR_DEGREES": "1"},
        {"PSFVAR_GROUPS": "1,2", "PSFVAR_DEGREES": "2,1", "PSF_SIZE": "25,25"},
        {"BASIS_TYPE": "PIXEL_AUTO", "PSFVAR_DEGREES": "1", "PSF_SIZE": "25,25",
         "SAMPLE_FWHMRANGE": "1.0,4.9"},
    ],
)  # fmt: skip
def test_equals_live_psfex(changes, reference, config_of):
    table = reference.star_catalogue(45, 31)
    ((expected,),) = reference.run_psfex(table, changes)
    assert_same(fit_psf(table, config_of(changes)), expected)


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("psfex") is None, reason="psfex is not installed")
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_equals_live_psfex_with_hardly_any_star(rows, reference, config_of):
    changes = {"PSF_SIZE": "25,25"}
    table = reference.star_catalogue(30, 12)
    usable = np.asarray((table["SNR_WIN"] > 30) & (table["FLAGS"] == 0))
    table = table[usable & (table["ELONGATION"] < 1.5)][:rows]
    ((expected,),) = reference.run_psfex(table, changes)
    assert_same(fit_psf(table, config_of(changes)), expected)
