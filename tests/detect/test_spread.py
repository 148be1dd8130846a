"""SPREAD_MODEL of the detection beside the original program, and what it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from purepipe.config import DetectConfig
from purepipe.detect import extract, spread_nb
from purepipe.detect.spread import sampled_disc
from purepipe.errors import ConfigError, DataError
from purepipe.io.psf_file import write_psf
from purepipe.psf.adaptors import FunctionPSF
from tests.entry import entry

from .cases import exposure_of, reference_field
from .sextractor import EXPOSURE, PROGRAM, run_sextractor
from .spread import COLUMNS, live_cases, moffat_psf

convolve = entry(spread_nb.convolve)
draw = entry(spread_nb.draw)
normalised_core = entry(spread_nb.normalised_core)

STORED = Path(__file__).parents[1] / "reference" / "detect" / "spread.npz"
CASES = live_cases() if PROGRAM else {}


def measure(field, psf, weighted=True, **options):
    exposure = exposure_of(field) if weighted else exposure_of(field, None)
    weight_type = "map" if weighted else "none"
    config = DetectConfig.exposure(weight_type=weight_type, columns=COLUMNS, **options)
    return extract(exposure, config, psf=psf).table


def compare(ours, theirs, *, same=0.85, near=0.9):
    """The same but for fits with several minima, of objects that are far from being a point."""
    np.testing.assert_array_equal(ours["FLAGS"], theirs["FLAGS"])
    spread, error = (np.asarray(theirs[name], np.float64) for name in COLUMNS[3:5])
    apart = np.abs(ours["SPREAD_MODEL"] - spread)
    assert np.median(apart) < 2e-6
    assert np.mean(apart < 1e-5 + 1e-3 * np.abs(spread)) > same
    assert np.mean(apart < 1e-4 + 0.02 * np.abs(spread) + 0.1 * error) > near
    ratio = ours["SPREADERR_MODEL"] / error
    assert np.median(np.abs(ratio - 1)) < 3e-4


@pytest.mark.binaries
@pytest.mark.skipif(PROGRAM is None, reason="source-extractor is not installed")
@pytest.mark.parametrize("name", CASES)
def test_beside_the_original(tmp_path, name):
    case = CASES[name]
    write_psf(tmp_path / "field.psf", case.psf)
    keys = {**EXPOSURE, "PSF_NAME": "field.psf", **case.keys}
    if not case.weighted:
        keys["WEIGHT_TYPE"] = "NONE"
    theirs, _ = run_sextractor(tmp_path, case.field, keys, list(COLUMNS), checks=())
    compare(measure(case.field, case.psf, case.weighted, **case.config), theirs)


def test_stored_results_of_the_original():
    stored = dict(np.load(STORED))
    field = reference_field("exposure")
    psf = moffat_psf(field.image.shape, sampling=0.8, degree=2)
    compare(measure(field, psf), stored, same=0.8, near=0.85)  # 60 objects, many of them blended


def test_result_does_not_depend_on_threads_or_other_columns():
    field = reference_field("exposure")
    psf = moffat_psf(field.image.shape)
    config = DetectConfig.exposure(columns=COLUMNS)
    one = extract(exposure_of(field), config, psf=psf).table
    more = extract(exposure_of(field), config, psf=psf, threads=3).table
    for name in COLUMNS:
        np.testing.assert_array_equal(one[name], more[name])


def test_drawing_at_the_centre_of_a_pixel_gives_the_tabulated_values():
    psf = moffat_psf((100, 100)).tabulated([40.0], [50.0])[0].astype(np.float64)
    core, out = np.zeros((35, 35)), np.empty((31, 31))
    assert normalised_core(psf, core)
    np.testing.assert_allclose(core.sum(), 1, rtol=1e-12)
    draw(core, 1.0, 0.0, 0.0, out)
    # Two points at the start and three at the end of each axis are dropped.
    inner = psf[2:28, 2:28]
    np.testing.assert_allclose(out[2:28, 2:28], inner / inner.sum(), rtol=1e-9)
    assert np.abs(out[:2]).max() < 1e-18
    assert np.abs(out[:, 28:]).max() < 1e-18
    draw(core, 1.0, 0.5, 0.0, out)
    np.testing.assert_allclose((out * np.arange(31)).sum() / out.sum(), 15.5, atol=0.1)


def test_disc_has_the_size_of_an_exponential():
    disc = sampled_disc(2.0)
    reach = disc.shape[0] // 2
    x = np.arange(-reach, reach + 1)
    np.testing.assert_allclose(disc.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose((disc * x**2).sum(), 3 * 2.0**2 + 1 / 12, rtol=0.01)
    np.testing.assert_allclose(disc, disc.T, atol=1e-15)
    image, out = np.zeros((61, 61)), np.empty((61, 61))
    image[30, 20] = 2.0
    small = sampled_disc(0.3)
    half = small.shape[0] // 2
    convolve(image, small, out)
    inner = out[30 - half : 31 + half, 20 - half : 21 + half]
    np.testing.assert_allclose(inner, 2 * small, rtol=1e-12)


def test_objects_without_usable_pixels_or_flux_of_the_psf_have_no_value():
    field = reference_field("exposure")
    psf = moffat_psf(field.image.shape)
    dark = type(psf)(**{**vars(psf), "mask": -psf.mask})
    table = measure(field, dark)
    assert np.isnan(table["SPREAD_MODEL"]).all()
    assert np.isnan(table["SPREADERR_MODEL"]).all()


def test_a_psf_is_needed():
    field = reference_field("exposure")
    with pytest.raises(ConfigError, match="SPREAD_MODEL needs a tabulated PSF"):
        measure(field, None)
    function = FunctionPSF(lambda x, y: np.ones((9, 9)), accepted=5)
    with pytest.raises(ConfigError, match=r"SPREAD_MODEL needs a tabulated PSF.*FunctionPSF"):
        measure(field, function)
    psf = moffat_psf(field.image.shape)
    empty = type(psf)(**{**vars(psf), "sampling": 0.0})
    with pytest.raises(DataError, match=r"the PSF model is empty"):
        measure(field, empty)
    other = type(psf)(
        **{**vars(moffat_psf((90, 90), degree=1)), "contexts": ("X_IMAGE", "AIRMASS")}
    )
    with pytest.raises(DataError, match=r"context that was not given.*AIRMASS|AIRMASS.*context"):
        measure(field, other)
