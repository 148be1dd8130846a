"""Validation of a PSF model at its stars."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from purepipe.config.psf import PSFConfig
from purepipe.errors import DataError
from purepipe.psf import fit_psf, psf_residuals, psf_summary, validate_psf

CONFIG = PSFConfig(degrees=(1,), size=(41,), basis_number=12)
SHAPEPIPE = [
    *(f"{name}_{kind}_HSM" for kind in ("PSF", "STAR") for name in ("E1", "E2", "SIGMA", "FLAG")),
    *("NUMBER", "X", "Y", "RA", "DEC", "MAG", "SNR", "ACCEPTED"),
]


@pytest.fixture(scope="module")
def case(catalogue):
    stars = catalogue(80, 11)
    reserved = np.zeros(80, bool)
    reserved[::4] = True
    return fit_psf(stars[~reserved], CONFIG), stars, reserved


def test_columns_are_those_of_shapepipe(case):
    model, stars, reserved = case
    table = validate_psf(model, stars, reserved=reserved)
    assert table.colnames == [*SHAPEPIPE, "RESERVED"]
    assert len(table) == len(stars)
    np.testing.assert_array_equal(table["NUMBER"], stars["NUMBER"])
    np.testing.assert_array_equal(table["X"], stars["XWIN_IMAGE"])
    np.testing.assert_array_equal(table["RESERVED"], reserved)


def test_model_reproduces_the_stars(case):
    model, stars, reserved = case
    table = validate_psf(model, stars, reserved=reserved)
    bright = np.asarray(table["SNR"] > 200) & np.asarray(table["ACCEPTED"] == 1)
    assert bright.sum() > 10
    assert np.median(np.abs(table["E1_STAR_HSM"] - table["E1_PSF_HSM"])[bright]) < 0.01
    ratio = np.asarray(table["SIGMA_STAR_HSM"] / table["SIGMA_PSF_HSM"])[bright]
    assert np.median(np.abs(ratio - 1)) < 0.02


def test_accepted_stars_are_those_of_the_fit(case):
    model, stars, reserved = case
    table = validate_psf(model, stars, reserved=reserved)
    assert table["ACCEPTED"].sum() == model.accepted
    assert not table["ACCEPTED"][reserved].any()
    unknown = validate_psf(replace(model, samples=None), stars)
    assert (unknown["ACCEPTED"] == -1).all()


def test_moments_equal_galsim(case):
    galsim = pytest.importorskip("galsim")
    model, stars, _ = case
    table = validate_psf(model, stars)
    for i in range(0, 80, 9):
        vignet = stars["VIGNET"][i].astype(float)
        bad = vignet <= -1e30
        result = galsim.hsm.FindAdaptiveMom(
            galsim.Image(np.where(bad, 0, vignet)), badpix=galsim.Image(bad.astype(int)),
            strict=False,
        )  # fmt: skip
        if result.error_message:
            assert table["FLAG_STAR_HSM"][i] == 1
            continue
        assert table["E1_STAR_HSM"][i] == pytest.approx(result.observed_shape.g1, abs=1e-5)
        assert table["E2_STAR_HSM"][i] == pytest.approx(result.observed_shape.g2, abs=1e-5)
        assert table["SIGMA_STAR_HSM"][i] == pytest.approx(result.moments_sigma, rel=1e-5)


def test_failed_star_is_flagged_not_dropped(case):
    model, stars, _ = case
    stars = stars.copy()
    stars["VIGNET"][2] = np.nan
    stars["VIGNET"][3] = -1e30
    table = validate_psf(model, stars)
    np.testing.assert_array_equal(table["FLAG_STAR_HSM"][2:4], 1)
    assert np.isnan(table["E1_STAR_HSM"][2:4]).all()
    assert (table["FLAG_PSF_HSM"] == 0).all()


def test_summary_over_the_reserved_stars(case):
    model, stars, reserved = case
    table = validate_psf(model, stars, reserved=reserved)
    summary = psf_residuals(table)
    rows = reserved & np.asarray((table["FLAG_STAR_HSM"] == 0) & (table["FLAG_PSF_HSM"] == 0))
    difference = np.asarray(table["E1_STAR_HSM"] - table["E1_PSF_HSM"])[rows]
    assert (summary.stars, summary.n) == ("reserved", rows.sum())
    assert summary.mean_de1 == pytest.approx(difference.mean())
    assert summary.rms_de1 == pytest.approx(np.sqrt((difference**2).mean()))
    assert summary.verdict in ("good", "suspect")


def test_summary_without_reserved_stars_uses_the_accepted_ones(case):
    model, stars, _ = case
    summary = psf_residuals(validate_psf(model, stars))
    assert summary.stars == "fit"
    assert summary.n <= model.accepted


def test_wrong_model_is_suspect(case):
    model, stars, reserved = case
    y, x = np.mgrid[:41, :41] - 20.0
    wide = np.exp(-(x**2 + 0.5 * y**2) / (2 * 4.0**2)).astype(np.float32)
    wrong = replace(model, mask=np.array([wide / wide.sum(), 0 * wide, 0 * wide]))
    summary = psf_residuals(validate_psf(wrong, stars, reserved=reserved))
    assert summary.verdict == "suspect"
    assert summary.mean_dsize < -1


def test_no_star_gives_no_verdict(case):
    model, stars, _ = case
    summary = psf_residuals(validate_psf(model, stars[:0]))
    assert (summary.stars, summary.n, summary.verdict) == ("none", 0, "unknown")
    assert np.isnan(summary.mean_de1)


def test_summary_is_plain_values(case):
    model, stars, reserved = case
    facts = psf_summary(validate_psf(model, stars, reserved=reserved))
    assert json.loads(json.dumps(facts))["n"] == facts["n"]


def test_wrong_arguments(case):
    model, stars, _ = case
    with pytest.raises(DataError, match=r"reserved must say yes or no.*\(80,\)"):
        validate_psf(model, stars, reserved=[True])
    without = stars.copy()
    without.remove_column("MAG_AUTO")
    with pytest.raises(DataError, match="MAG_AUTO: the star catalogue lacks a column"):
        validate_psf(model, without)
