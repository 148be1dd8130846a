"""Bad and extreme star catalogues: a clear error, a flag, or a simpler model that says so."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError, ConfigError, DataError
from purepipe.flags import PSFFlag
from purepipe.psf import fit_psf, load_samples

SMALL = PSFConfig(size=(25,), degrees=(1,))


def test_empty_catalogue(catalogue):
    with pytest.raises(DataError, match=r"the star catalogue is empty.*Relax the star selection"):
        fit_psf(catalogue(20, 1)[:0])


@pytest.mark.parametrize(
    "column", ["VIGNET", "XWIN_IMAGE", "YWIN_IMAGE", "FLUX_AUTO", "FLUX_RADIUS", "SNR_WIN"]
)
def test_missing_column_is_named(catalogue, column):
    table = catalogue(20, 1)
    table.remove_column(column)
    with pytest.raises(DataError, match=column):
        fit_psf(table, SMALL)


@pytest.mark.parametrize("key", ["SEXBKDEV", "SEXGAIN"])
@pytest.mark.parametrize("value", [None, "much", np.nan])
def test_missing_header_value_is_named(catalogue, key, value):
    table = catalogue(20, 1)
    table.meta[key] = value
    if value is None:
        del table.meta[key]
    with pytest.raises(DataError, match=f"{key}: "):
        fit_psf(table, SMALL)


def test_image_without_noise(catalogue):
    table = catalogue(20, 1)
    table.meta["SEXBKDEV"] = 0.0
    with pytest.raises(DataError, match="the background noise must be positive"):
        fit_psf(table, SMALL)


def test_optional_columns_may_be_missing(catalogue):
    table = catalogue(30, 1)
    table.remove_columns(["FLAGS", "ELONGATION"])
    assert fit_psf(table, SMALL).accepted > 10


def test_flat_vignettes(catalogue):
    table = catalogue(20, 1)
    table["VIGNET"] = np.zeros((20, 51), np.float32)
    with pytest.raises(DataError, match=r"vignettes must be images.*\(n, h, w\)"):
        fit_psf(table, SMALL)


def test_element_of_a_vector_column(catalogue):
    table = catalogue(30, 1)
    table["FLUX_APER"] = np.stack([table["FLUX_AUTO"] * 0.5, table["FLUX_AUTO"]], axis=1)
    model = fit_psf(table, PSFConfig(size=(25,), degrees=(1,), flux_key="FLUX_APER(2)"))
    np.testing.assert_array_equal(model.mask, fit_psf(table, SMALL).mask)
    with pytest.raises(DataError, match=r"no such element.*1 to 2"):
        fit_psf(table, PSFConfig(size=(25,), flux_key="FLUX_APER[3]"))


def test_context_from_the_header(catalogue):
    table = catalogue(30, 1)
    config = PSFConfig(
        size=(25,), context_keys=("XWIN_IMAGE", ":AIRMASS"), context_groups=(1, 2), degrees=(1, 1)
    )
    with pytest.raises(DataError, match="AIRMASS: the star catalogue does not state"):
        fit_psf(table, config)
    table.meta["AIRMASS"] = 1.3
    model = fit_psf(table, config)
    assert model.contexts == ("XWIN_IMAGE", ":AIRMASS")
    assert np.isfinite(model.mask).all()


def test_all_stars_rejected_names_the_reasons(catalogue):
    table = catalogue(20, 1)
    table["SNR_WIN"] = np.float32(3)
    with pytest.raises(AlgorithmError, match=r"no star is left.*20 rows.*FAINT 20"):
        fit_psf(table, SMALL)


@pytest.mark.parametrize(
    ("rows", "degrees"), [(8, (2,)), (7, (1,)), (4, (1,)), (3, ()), (2, ()), (1, ())]
)
def test_few_rows_lower_the_degree(catalogue, rows, degrees, caplog):
    table = catalogue(60, 1)
    table = table[(table["SNR_WIN"] > 50) & (table["FLAGS"] == 0)][:rows]
    with caplog.at_level(logging.WARNING):
        model = fit_psf(table, PSFConfig(size=(25,)))
    assert model.degrees == degrees
    assert ("lowered" in caplog.text) == (degrees != (2,))
    assert len(model.samples) == rows
    assert np.isfinite(model.mask).all()
    assert model.mask[0].sum() == pytest.approx(1.05, abs=0.3)  # away from any extrapolation


def test_nan_pixels_equal_marked_pixels(catalogue):
    table = catalogue(30, 1)
    other = table.copy()
    other["VIGNET"][table["VIGNET"] <= -1e30] = np.nan
    np.testing.assert_array_equal(fit_psf(table, SMALL).mask, fit_psf(other, SMALL).mask)


def test_vignette_without_any_pixel_is_flagged(catalogue):
    table = catalogue(30, 1)
    table["VIGNET"][3] = -1e30
    table["VIGNET"][4] = np.nan
    model = fit_psf(table, SMALL)
    assert np.all(model.samples["FLAGS_PSF"][3:5] & PSFFlag.BAD_PIXELS)
    assert np.isfinite(model.mask).all()


@pytest.mark.parametrize("column", ["FLUX_AUTO", "XWIN_IMAGE", "YWIN_IMAGE"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_value_is_flagged(catalogue, column, value):
    table = catalogue(30, 1)
    table[column][5] = value
    model = fit_psf(table, SMALL)
    assert model.samples["FLAGS_PSF"][5] & PSFFlag.BAD_VALUE
    assert np.isfinite(model.mask).all()
    assert np.all(np.isfinite(model.offsets + model.scales))


@pytest.mark.parametrize("flux", [0.0, -500.0])
def test_flux_without_sense_is_flagged(catalogue, flux):
    table = catalogue(30, 1)
    table["FLUX_AUTO"][5] = flux
    assert fit_psf(table, SMALL).samples["FLAGS_PSF"][5] & PSFFlag.BAD_VALUE


@pytest.mark.parametrize("column", ["SNR_WIN", "FLUX_RADIUS", "ELONGATION"])
def test_nan_passes_no_cut(catalogue, column):
    table = catalogue(30, 1)
    table[column][5] = np.nan
    assert fit_psf(table, SMALL).samples["FLAGS_PSF"][5] != 0


def test_bad_pixel_filter(catalogue):
    table = catalogue(30, 1)
    bad = (np.asarray(table["VIGNET"]) <= -1e30).sum(axis=(1, 2))
    config = PSFConfig(size=(25,), degrees=(1,), badpixel_filter=True, max_badpixels=20)
    flags = np.asarray(fit_psf(table, config).samples["FLAGS_PSF"])
    np.testing.assert_array_equal((flags & PSFFlag.BAD_PIXELS) != 0, bad > 20)


@pytest.mark.parametrize("size", [21, 33, 61])
def test_vignettes_of_another_size_than_the_model(reference, size):
    model = fit_psf(reference.star_catalogue(40, 2, size=size), SMALL)
    assert model.mask.shape == (3, 25, 25)
    assert np.isfinite(model.mask).all()
    image = model.draw([1024.0], [2306.0])[0]
    assert np.unravel_index(image.argmax(), image.shape) == (12, 12)


def test_equal_positions_leave_a_model_without_variation(catalogue, caplog):
    table = catalogue(30, 1)
    table["XWIN_IMAGE"] = 700.25
    with caplog.at_level(logging.WARNING):
        model = fit_psf(table, SMALL)
    assert "all stars have the same XWIN_IMAGE" in caplog.text
    assert np.isfinite(model.mask).all()
    np.testing.assert_array_equal(model.mask[1], 0)
    assert model.scales[0] == 1.0


def test_collinear_positions(catalogue):
    table = catalogue(30, 1)
    table["YWIN_IMAGE"] = 2 * table["XWIN_IMAGE"]
    model = fit_psf(table, SMALL)
    assert np.isfinite(model.mask).all()
    on_line = model.draw([999.0], [1999.0])
    assert np.unravel_index(on_line[0].argmax(), (25, 25)) == (12, 12)


def test_absurd_pixel_values(catalogue):
    table = catalogue(30, 1)
    table["VIGNET"][2, 10, 10] = np.float32(1e29)
    table["VIGNET"][3, 10, 10] = np.float32(3e38)
    assert np.isfinite(fit_psf(table, SMALL).mask).all()


def test_no_bright_star_for_the_size_search(catalogue, caplog):
    table = catalogue(30, 1)
    config = PSFConfig(size=(25,), degrees=(1,), autoselect=True, min_snr=1e9)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(AlgorithmError, match="no star is left"),
    ):
        fit_psf(table, config)
    assert "no detection is good enough for the FWHM range" in caplog.text


def test_geometric_maps_are_refused(catalogue):
    with pytest.raises(DataError, match=r"DGEOX.*PSF_DGEOCORRECT N"):
        load_samples(catalogue(20, 1), PSFConfig(geometric_maps=True))


def test_basis_of_a_file_needs_images(catalogue):
    config = PSFConfig(size=(25,), degrees=(1,), basis="file")
    with pytest.raises(DataError, match=r"cube of finite images.*\(nb, h, w\)"):
        fit_psf(catalogue(30, 1), config)


def test_input_is_not_changed(catalogue):
    table = catalogue(30, 1)
    before = table.copy()
    fit_psf(table, SMALL)
    for name in table.colnames:
        np.testing.assert_array_equal(table[name], before[name])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (5, 5, 5)}, "one or two values"),
        ({"context_groups": (1,)}, "each context needs one group"),
        ({"context_groups": (1, 2)}, "a group has no degree"),
        ({"fwhm_range": (5.0, 2.0)}, "the lower limit exceeds the upper one"),
        ({"flux_key": "FLUX AUTO"}, "not the name of a column"),
        ({"basis": "pixels"}, "Did you mean 'pixel'"),
        ({"context_keys": tuple("ABCDE"), "context_groups": (1,) * 5}, "at most four contexts"),
    ],
)
def test_wrong_configuration(values, message):
    with pytest.raises(ConfigError, match=message):
        PSFConfig(**values)


def test_one_size_means_both():
    assert PSFConfig(size=(31,)).size == (31, 31)


def test_defaults_of_the_program():
    config = PSFConfig.psfex_defaults()
    assert (config.basis, config.sampling, config.size) == ("pixel_auto", 0.0, (25, 25))
