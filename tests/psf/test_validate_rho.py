"""Rho statistics against plain sums over pairs, and on residuals of known correlation."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from astropy.table import Table

from purepipe.errors import ConfigError, DataError, NothingToDo
from purepipe.psf import correlate_residuals, rho_statistics


def validation_table(n, seed, *, de=None, ra=None, dec=None, reserved=1):
    rng = np.random.default_rng(seed)
    ra = 150 + rng.uniform(0, 1, n) / np.cos(np.radians(40)) if ra is None else ra
    dec = rng.uniform(39.5, 40.5, n) if dec is None else dec
    e = rng.normal(0, 0.05, (2, n))
    de = rng.normal(0, 0.01, (2, n)) if de is None else de
    return Table(
        {
            "RA": ra, "DEC": dec, "SNR": 10 ** rng.uniform(1, 3, n),
            "RESERVED": np.full(n, reserved), "FLAG_PSF_HSM": np.zeros(n, int),
            "FLAG_STAR_HSM": np.zeros(n, int), "E1_PSF_HSM": e[0], "E2_PSF_HSM": e[1],
            "SIGMA_PSF_HSM": np.full(n, 1.8), "E1_STAR_HSM": e[0] + de[0],
            "E2_STAR_HSM": e[1] + de[1], "SIGMA_STAR_HSM": rng.normal(1.8, 0.03, n),
        }
    )  # fmt: skip


def naive(table, edges):
    """Means over all pairs, by loops over the definition."""
    ra, dec = np.radians(table["RA"]), np.radians(table["DEC"])
    e = np.asarray(table["E1_STAR_HSM"] + 1j * table["E2_STAR_HSM"])
    de = e - np.asarray(table["E1_PSF_HSM"] + 1j * table["E2_PSF_HSM"])
    t_star, t_psf = (
        np.asarray(table["SIGMA_STAR_HSM"]) ** 2,
        np.asarray(table["SIGMA_PSF_HSM"]) ** 2,
    )
    q = e * (t_star - t_psf) / t_star
    snr = np.asarray(table["SNR"])
    weight = snr**2 / (1 + (snr / 100) ** 2)
    result = np.zeros((len(edges) - 1, 5))
    total, count = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1, int)
    for i in range(len(ra)):
        for j in range(len(ra)):
            if i == j:
                continue
            cosine = np.sin(dec[i]) * np.sin(dec[j]) + np.cos(dec[i]) * np.cos(dec[j]) * np.cos(
                ra[i] - ra[j]
            )
            theta = np.degrees(np.arccos(cosine)) * 60
            k = np.searchsorted(edges, theta, side="right") - 1
            if not 0 <= k < len(edges) - 1:
                continue
            w = weight[i] * weight[j]
            total[k] += w
            count[k] += i < j
            pairs = ((de, de), (e, de), (q, q), (de, q), (e, q))
            result[k] += [w * (a[i] * np.conj(b[j])).real for a, b in pairs]
    return result / total[:, None], count


def test_equals_plain_sums():
    table = validation_table(60, 1)
    got = rho_statistics([table], min_separation=2, max_separation=50, bins=4)
    expected, count = naive(table, np.geomspace(2, 50, 5))
    np.testing.assert_array_equal(got["NPAIRS"], count)
    for k in range(5):
        np.testing.assert_allclose(got[f"RHO{k + 1}"], expected[:, k], rtol=1e-9)
    assert (np.diff(got["THETA"]) > 0).all()


def test_tables_are_pooled():
    table = validation_table(80, 2)
    whole = rho_statistics([table])
    parts = rho_statistics([table[:30], table[30:31], table[31:]])
    for name in whole.colnames:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-9)


def test_constant_residual_is_its_square():
    de = np.array([[0.01], [-0.02]]) * np.ones(300)
    got = rho_statistics([validation_table(300, 3, de=de)], min_separation=1, bins=5)
    np.testing.assert_allclose(got["RHO1"], 0.01**2 + 0.02**2, rtol=1e-9)


def test_noise_is_consistent_with_zero():
    chi2 = np.zeros(5)
    for seed in range(8):
        got = rho_statistics([validation_table(400, 100 + seed)], min_separation=3, bins=5)
        chi2 += [((got[f"RHO{k}"] / got[f"RHO{k}_ERR"]) ** 2).mean() / 8 for k in range(1, 6)]
    # RHO2 has a mean of its own: the residual is part of the ellipticity, but not of a neighbour.
    assert (chi2 > 0.3).all()
    assert (chi2 < 2.0).all()


def test_reserved_stars_come_first():
    table = validation_table(100, 4)
    table["RESERVED"][50:] = 0
    np.testing.assert_allclose(
        rho_statistics([table])["NPAIRS"], rho_statistics([table[:50]])["NPAIRS"]
    )
    table["RESERVED"] = 0
    assert rho_statistics([table])["NPAIRS"].sum() > rho_statistics([table[:50]])["NPAIRS"].sum()


def test_failed_moments_do_not_count():
    table = validation_table(100, 5)
    table["FLAG_STAR_HSM"][:40] = 1
    table["E1_STAR_HSM"][:40] = np.nan
    got = rho_statistics([table])
    np.testing.assert_array_equal(got["NPAIRS"], rho_statistics([table[40:]])["NPAIRS"])
    assert np.isfinite(got["RHO1"][got["NPAIRS"] > 0]).all()


def test_pairs_across_the_zero_of_right_ascension_and_at_the_pole():
    ra, dec = np.array([359.99, 0.01]), np.zeros(2)
    table = validation_table(2, 6, ra=ra, dec=dec)
    got = rho_statistics([table], min_separation=1, max_separation=2, bins=1)
    assert got["NPAIRS"][0] == 1
    assert got["THETA"][0] == pytest.approx(1.2)
    table = validation_table(2, 6, ra=np.array([0.0, 180.0]), dec=np.full(2, 89.99))
    assert rho_statistics([table], min_separation=1, max_separation=2, bins=1)["NPAIRS"][0] == 1


def test_bins_without_pairs_are_nan():
    got = rho_statistics([validation_table(3, 7)], min_separation=1e-3, max_separation=2e-3, bins=2)
    assert np.isnan(got["RHO1"]).all()
    assert (got["NPAIRS"] == 0).all()


def test_wrong_arguments():
    table = validation_table(10, 8)
    with pytest.raises(ConfigError, match="range of the separations is empty"):
        rho_statistics([table], min_separation=5, max_separation=1)
    with pytest.raises(NothingToDo, match=r"no pair of stars.*1 stars"):
        rho_statistics([table[:1]])
    with pytest.raises(NothingToDo, match="Reserve more stars"):
        rho_statistics([])
    table.remove_column("RA")
    with pytest.raises(DataError, match="RA: a validation table lacks a column"):
        rho_statistics([table])


def test_shapes_on_the_sky_are_taken_directly():
    table = validation_table(120, 9)
    star = np.stack([table["E1_STAR_HSM"], table["E2_STAR_HSM"]], axis=1)
    psf = np.stack([table["E1_PSF_HSM"], table["E2_PSF_HSM"]], axis=1)
    size = 1 - (table["SIGMA_PSF_HSM"] / table["SIGMA_STAR_HSM"]) ** 2
    weight = table["SNR"] ** 2 / (1 + (table["SNR"] / 100) ** 2)
    got = correlate_residuals(table["RA"], table["DEC"], star, psf, size, weight=weight)
    expected = rho_statistics([table])
    for name in expected.colnames:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-12)
    with pytest.raises(DataError, match="must be of one length"):
        correlate_residuals(table["RA"], table["DEC"], star[:5], psf, size)
    with pytest.raises(DataError, match=r"must be finite, weights positive \(got 2 others\)"):
        correlate_residuals(
            table["RA"], table["DEC"], star, psf, np.where(np.arange(120) < 2, np.nan, size)
        )
    with pytest.raises(ConfigError, match=r"unknown engine.*Did you mean 'treecorr'"):
        correlate_residuals(table["RA"], table["DEC"], star, psf, size, engine="treecor")


def test_treecorr_agrees():
    pytest.importorskip("treecorr")
    table = validation_table(600, 10)
    options = {"min_separation": 1, "max_separation": 40, "bins": 6}
    own = rho_statistics([table], **options)
    other = rho_statistics([table], engine="treecorr", **options)
    np.testing.assert_array_equal(own["NPAIRS"], other["NPAIRS"])
    np.testing.assert_allclose(other["THETA"], own["THETA"], rtol=1e-9)
    # TreeCorr follows the axes along the sphere, which mixes in a little of the other component.
    for k in range(1, 6):
        apart = np.abs(other[f"RHO{k}"] - own[f"RHO{k}"])
        assert (apart < 0.1 * own[f"RHO{k}_ERR"]).all()


def test_without_treecorr(monkeypatch):
    monkeypatch.setitem(sys.modules, "treecorr", None)
    with pytest.raises(ConfigError, match=r"TreeCorr is not installed.*purepipe\[treecorr\]"):
        rho_statistics([validation_table(10, 8)], engine="treecorr")
