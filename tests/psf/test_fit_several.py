"""Models of several images together, against psfex 3.21.1."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest

from purepipe.config.psf import PSFConfig
from purepipe.errors import DataError
from purepipe.psf import fit_exposures, fit_psf, load_samples
from purepipe.psf.basis import principal_components
from purepipe.psf.hidden import hidden_values
from purepipe.psf.samples import pool

SMALL = PSFConfig(size=(25,), degrees=(1,))
CASES = ("common", "sequence", "all", "components", "components_auto", "components_pooled")

HIDDEN_CASES = ("hidden", "hidden_crossed", "hidden_components", "hidden_common")


def assert_same(model, expected) -> None:
    np.testing.assert_array_equal(model.samples["FLAGS_PSF"], expected["FLAGS_PSF"])
    assert (model.loaded, model.accepted) == (expected["loaded"], expected["accepted"])
    assert model.chi2 == pytest.approx(float(expected["chi2"]), rel=1e-6)
    assert model.fwhm == pytest.approx(float(expected["psf_fwhm"]), abs=1e-8)
    assert model.sampling == pytest.approx(float(expected["psf_samp"]), abs=1e-8)
    peak = np.abs(expected["mask"][0]).max()
    np.testing.assert_allclose(model.mask, expected["mask"], rtol=0, atol=1e-6 * peak)
    np.testing.assert_allclose(model.samples["CHI2_PSF"], expected["CHI2_PSF"], rtol=3e-6)


@pytest.mark.parametrize("case", CASES)
def test_equals_stored_output(case, reference, stored, config_of):
    models = fit_exposures(
        reference.exposures(), config_of(reference.SMALL | reference.SEVERAL[case])
    )
    values = stored(f"several_{case}")
    for i in range(2):
        for j in range(2):
            end = f"_{i}_{j}"
            expected = {key.removesuffix(end): values[key] for key in values if key.endswith(end)}
            assert_same(models[i][j], expected)
            assert set(models[i][j].samples["CATALOG_NUMBER"]) == {i + 1}
            assert set(models[i][j].samples["EXTENSION"]) == {j + 1}


@pytest.mark.parametrize("case", HIDDEN_CASES)
def test_hidden_contexts_equal_stored_output(case, reference, stored, config_of):
    changes = reference.SMALL | reference.HIDDEN_KEYS | reference.HIDDEN[case]
    models = fit_exposures(reference.sequence(), config_of(changes))
    values = stored(f"several_{case}")
    for i, (model,) in enumerate(models):
        end = f"_{i}_0"
        expected = {key.removesuffix(end): values[key] for key in values if key.endswith(end)}
        assert_same(model, expected)
        assert model.contexts == ("XWIN_IMAGE", "YWIN_IMAGE")
    constants = [model.mask[0].max() for (model,) in models]
    assert (len(set(constants)) == 1) == (case == "hidden_common")


def test_hidden_contexts_need_a_sequence(reference, caplog):
    (table,) = reference.sequence()[0]
    hidden = PSFConfig(
        size=(17,), degrees=(1, 1), context_groups=(1, 1, 2),
        context_keys=("XWIN_IMAGE", "YWIN_IMAGE", "HIDDEN1"),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        model = fit_psf(table, hidden)
    assert "hidden contexts are left out" in caplog.text
    np.testing.assert_array_equal(
        model.mask, fit_psf(table, PSFConfig(size=(17,), degrees=(1,))).mask
    )


def test_hidden_values_of_equal_models_are_zero():
    assert not hidden_values(np.ones((3, 7)), 2).any()
    values = hidden_values(np.outer([0.0, 1.0, 3.0], np.arange(1, 4)), 2)
    assert np.ptp(values[:, 0]) == pytest.approx(3 * np.sqrt(14))
    assert not values[:, 1].any()


def test_every_case_is_compared(reference):
    assert set(CASES) == set(reference.SEVERAL)
    assert set(HIDDEN_CASES) == set(reference.HIDDEN)


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("psfex") is None, reason="psfex is not installed")
def test_equals_live_psfex(reference, config_of):
    changes = reference.SMALL | {"MEF_TYPE": "COMMON", "SAMPLE_AUTOSELECT": "Y"}
    tables = [reference.star_catalogue(20, 90 + j) for j in range(3)]
    (expected,) = reference.run_psfex([tables], changes)
    (models,) = fit_exposures([tables], config_of(changes))
    for model, other in zip(models, expected, strict=True):
        assert_same(model, other)


def test_independent_extensions_equal_single_fits(reference):
    exposures = reference.exposures()
    models = fit_exposures(exposures, SMALL)
    for tables, row in zip(exposures, models, strict=True):
        for table, model in zip(tables, row, strict=True):
            single = fit_psf(table, SMALL)
            np.testing.assert_array_equal(model.mask, single.mask)
            assert model.chi2 == single.chi2


def test_extension_without_stars_gets_an_empty_model(reference, caplog):
    first, second = reference.exposures()[0]
    second["SNR_WIN"] = np.float32(1)
    with caplog.at_level(logging.WARNING):
        ((good, bad, none),) = fit_exposures([[first, second, first[:0]]], SMALL)
    assert "no PSF model of exposure 0, extension 1: no star is left" in caplog.text
    assert good.accepted > 10
    assert bad.is_empty
    assert none.is_empty
    assert (bad.loaded, bad.accepted, bad.chi2, bad.sampling) == (0, 0, 0.0, 0.0)
    assert bad.contexts == ("XWIN_IMAGE", "YWIN_IMAGE")
    assert len(bad.samples) == len(second)
    assert none.samples is None
    assert not bad.mask.any()


def test_no_exposure():
    assert fit_exposures([], SMALL) == []
    assert fit_exposures([[]], SMALL) == [[]]


def test_components_of_a_single_image(catalogue):
    table = catalogue(40, 3)
    plain = fit_psf(table, SMALL)
    config = PSFConfig(size=(25,), degrees=(1,), new_basis="pca_common", new_basis_number=3)
    model = fit_psf(table, config)
    assert model.coeffs.shape == (3, 3)
    # Three planes span the snapshots, so the components can say all that the planes say.
    difference = np.abs(model.mask[0] - plain.mask[0]).max() / plain.mask[0].max()
    assert 0 < difference < 0.1


def test_vignettes_of_different_sizes_cannot_be_pooled(reference):
    parts = [load_samples(reference.star_catalogue(20, 1, size=n), SMALL) for n in (41, 51)]
    with pytest.raises(DataError, match="vignettes of different sizes"):
        pool(parts)


def test_components_are_leading_eigenvectors():
    rng = np.random.default_rng(2)
    images = rng.normal(size=(40, 5, 6)) * np.linspace(3, 0.5, 30).reshape(5, 6) + 0.3
    got = principal_components(images, 3).reshape(3, -1)
    data = images.reshape(40, -1)
    values, vectors = np.linalg.eigh(data.T @ data)
    for k in range(3):
        assert abs(got[k] @ vectors[:, -1 - k]) == pytest.approx(1, abs=1e-3)
    assert values[-1] > values[-4]


def test_components_beyond_the_rank_are_left_out():
    images = np.random.default_rng(4).normal(size=(2, 5, 5))
    assert len(principal_components(images, 8)) == 2
