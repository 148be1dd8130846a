"""Corrupt catalogues: a finite model with flags, or an error of ours; never anything else."""

from __future__ import annotations

import logging

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError, DataError
from purepipe.psf import fit_psf, psf_at

COLUMNS = ("XWIN_IMAGE", "YWIN_IMAGE", "FLUX_AUTO", "FLUX_RADIUS", "SNR_WIN", "ELONGATION", "FLAGS")
VALUES = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e30, 3e38, -3e38, 5.0)
PIXELS = (np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30, 9e29, -9e29, 1e20, -1e5)

corruptions = st.lists(
    st.tuples(st.sampled_from(COLUMNS), st.integers(0, 13), st.sampled_from(VALUES)), max_size=12
)
pixels = st.lists(
    st.tuples(
        st.integers(0, 13), st.integers(0, 20), st.integers(0, 20), st.integers(1, 21),
        st.sampled_from(PIXELS),
    ),
    max_size=8,
)  # fmt: skip
configs = st.builds(
    PSFConfig,
    size=st.sampled_from([(15,), (12, 17), (1,), (2, 3), (31,)]),
    degrees=st.sampled_from([(0,), (1,), (2,)]),
    sampling=st.sampled_from([1.0, 0.5, 2.0, 0.0]),
    basis=st.sampled_from(["pixel", "none", "pixel_auto", "gauss-laguerre"]),
    basis_number=st.sampled_from([1, 3, 6]),
    recenter=st.booleans(),
    autoselect=st.booleans(),
    min_snr=st.sampled_from([0.0, 20.0]),
    max_ellipticity=st.sampled_from([0.3, 2.0]),
    fwhm_range=st.sampled_from([(2.0, 10.0), (0.0, 1e4)]),
)


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(corruptions, pixels, configs, st.integers(1, 14))
def test_corrupt_catalogue(reference, caplog, corruptions, pixels, config, rows):
    caplog.set_level(logging.ERROR)
    table = _stars(reference)[:rows]
    for name, row, value in corruptions:
        if name == "FLAGS":
            value = 2 if np.isfinite(value) else 0
        if row < rows:
            table[name][row] = value
    for row, y, x, size, value in pixels:
        if row < rows:
            table["VIGNET"][row, y : y + size, x : x + size] = value
    try:
        model = fit_psf(table, config)
    except (AlgorithmError, DataError) as error:
        assert len(str(error)) > 20  # noqa: PT017 - any of the two will do
        return
    assert np.isfinite(model.mask).all()
    assert np.isfinite([*model.offsets, *model.scales, model.sampling, model.fwhm]).all()
    assert len(model.samples) == rows
    assert 0 <= model.accepted <= model.loaded <= rows
    stamps = psf_at(model, [100.0, 1e9, np.nan], [50.0, 7.0, 1.0], shape=(15, 15))
    usable = stamps.usable
    np.testing.assert_allclose(stamps.images[usable].sum(axis=(1, 2), dtype=float), 1, atol=1e-5)


def _stars(reference):
    if "small" not in _CACHE:
        _CACHE["small"] = reference.star_catalogue(14, 77, size=21)
    return _CACHE["small"].copy()


_CACHE: dict[str, object] = {}
