from __future__ import annotations

import galsim
import numpy as np
import pytest
from numpy.typing import NDArray

from purepipe.simulate import OBJECT_DTYPE, CameraConfig, SimulateConfig, draw_objects, stack_nb
from purepipe.simulate.optics import ccd_wcs, pointings, tile_wcs
from purepipe.simulate.stack import Stack, StackInput, add_ccd
from purepipe.simulate.stack_nb import repair
from tests.entry import entry

_lanczos3 = entry(stack_nb._lanczos3)


def test_lanczos_weights_are_those_of_the_definition() -> None:
    for fraction in (0.0, 1e-6, 0.25, 0.5, 0.8, 0.999999):
        weights = np.empty(6)
        _lanczos3(fraction, weights)
        distance = fraction + 2 - np.arange(6)
        expected = np.sinc(distance) * np.sinc(distance / 3)
        np.testing.assert_allclose(weights, expected / expected.sum(), atol=1e-9)


def test_repair_takes_the_mean_of_the_nearest_good_pixels() -> None:
    image = np.arange(25, dtype=np.float32).reshape(5, 5)
    weight = np.ones_like(image)
    image[2, 2], weight[2, 2] = 1e6, 0
    repair(image, weight)
    assert image[2, 2] == pytest.approx(12.0)
    assert image[2, 1] == 11


def _stars(distortion: str) -> tuple[SimulateConfig, NDArray[np.void], list[StackInput]]:
    """One CCD per exposure, without noise, with a few stars."""
    config = SimulateConfig.small(
        ccds=1, tile_size=(500, 560), camera=CameraConfig(distortion=distortion), rotation=5.0,
    )  # fmt: skip
    tile = tile_wcs(config, 0)
    objects = np.zeros(5, OBJECT_DTYPE)
    x = np.array([120.3, 251.0, 380.7, 140.5, 333.3])
    y = np.array([130.2, 280.5, 400.9, 420.1, 101.6])
    objects["ra"], objects["dec"] = tile.pixel_to_sky(x, y)
    objects["type"], objects["mag"] = "star", 18.0
    inputs = []
    for pointing in pointings(config):
        wcs = ccd_wcs(config, pointing, 0)
        psf = (np.full(5, 0.7), np.full(5, 0.05), np.full(5, -0.03))
        image = draw_objects(
            wcs.shape, wcs, objects, psf, beta=3.5, zero_point=pointing.zero_point, noise=0.1
        )
        weight = np.full(wcs.shape, 0.01, np.float32)
        inputs.append(StackInput(image, weight, wcs, pointing.flux_scale))
    return config, objects, inputs


@pytest.mark.parametrize("distortion", ["sip", "tpv"])
def test_stars_keep_flux_place_and_shape(distortion: str) -> None:
    config, objects, inputs = _stars(distortion)
    tile = tile_wcs(config, 0)
    stack = Stack.empty(tile)
    for item in inputs:
        add_ccd(stack, item)
    image = stack.image()
    flux = 10 ** (0.4 * (30 - 18.0))
    reference = galsim.Moffat(beta=3.5, fwhm=0.7).shear(g1=0.05, g2=-0.03)
    expected = reference.drawImage(nx=61, ny=61, scale=0.187, dtype=float).FindAdaptiveMom()
    x, y = tile.sky_to_pixel(objects["ra"], objects["dec"])
    for xi, yi in zip(x, y, strict=True):
        column, row = round(xi), round(yi)
        stamp = image[row - 30 : row + 31, column - 30 : column + 31]
        assert stamp.sum(dtype=float) == pytest.approx(flux, rel=2e-3)
        # The limits are those of a Lanczos-3 kernel; a quintic spline at the same positions leaves
        # 1e-4 in place and shape, and 4e-4 in the size.
        moments = galsim.Image(stamp.astype(float)).FindAdaptiveMom()
        centre = moments.moments_centroid
        assert centre.x - 31 == pytest.approx(xi - column, abs=0.01)
        assert centre.y - 31 == pytest.approx(yi - row, abs=0.01)
        assert moments.observed_shape.g1 == pytest.approx(expected.observed_shape.g1, abs=1.5e-3)
        assert moments.observed_shape.g2 == pytest.approx(expected.observed_shape.g2, abs=1.5e-3)
        assert moments.moments_sigma == pytest.approx(expected.moments_sigma, rel=5e-3)


def test_bad_pixels_leave_no_trace_where_another_exposure_is_good() -> None:
    config, _, inputs = _stars("none")
    stack, clean = Stack.empty(tile_wcs(config, 0)), Stack.empty(tile_wcs(config, 0))
    add_ccd(clean, inputs[1])
    image, weight = inputs[0].image.copy(), inputs[0].weight.copy()
    image[200:203, 300:340] += 1e5
    weight[200:203, 300:340] = 0
    add_ccd(stack, StackInput(image, weight, inputs[0].wcs, inputs[0].flux_scale))
    alone = stack.image()
    assert np.abs(alone[stack.weight > 0]).max() < 1e4  # the outer taps met repaired pixels
    assert (stack.weight == 0).sum() > 0
    add_ccd(stack, inputs[1])
    hit = (alone == 0) & (clean.weight > 0)
    np.testing.assert_array_equal(stack.image()[hit & (stack.weight == clean.weight)],
                                  clean.image()[hit & (stack.weight == clean.weight)])  # fmt: skip


def test_weights_add_up_as_inverse_variances() -> None:
    config, _, inputs = _stars("none")
    stack = Stack.empty(tile_wcs(config, 0))
    for item in inputs:
        add_ccd(stack, item)
    expected = sum(0.01 / item.flux_scale**2 for item in inputs)
    assert stack.weight[280, 250] == pytest.approx(expected, rel=1e-3)


def test_a_ccd_elsewhere_adds_nothing() -> None:
    _, _, inputs = _stars("none")
    other = SimulateConfig.small(ccds=1, centre=(200.0, -10.0))
    stack = Stack.empty(tile_wcs(other, 0))
    add_ccd(stack, inputs[0])
    assert not stack.weight.any()
