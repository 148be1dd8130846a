from __future__ import annotations

import numpy as np
import pytest

from purepipe.config.simulate import CameraConfig
from purepipe.flags import MaskFlag
from purepipe.rng import generator
from purepipe.simulate import SimulateConfig, simulate_ccd
from purepipe.simulate.detector import background, cosmic_rays, detect_light, detector_defects
from purepipe.simulate.detector_nb import bleed
from purepipe.simulate.optics import ccd_origin, pointings


def _blank(config: SimulateConfig) -> np.ndarray:
    nx, ny = config.ccd_size
    return np.zeros((ny, nx), np.float32)


def test_noise_has_the_level_that_the_weight_says() -> None:
    config = SimulateConfig.small(camera=CameraConfig(sky_slope=0.1))
    pointing = pointings(config)[0]
    ccd = detect_light(config, pointing, 0, _blank(config))
    good = ccd.flags == 0
    residual = ccd.image - background(config, pointing, 0)
    pull = (residual * np.sqrt(ccd.weight))[good]
    assert pull.mean() == pytest.approx(0, abs=0.01)
    assert pull.std() == pytest.approx(1, abs=0.01)
    assert ccd.image.dtype == ccd.weight.dtype == np.float32
    assert ccd.flags.dtype == np.int16


def test_background_is_one_plane_over_the_field() -> None:
    config = SimulateConfig.small(camera=CameraConfig(gap=0, sky_slope=0.2))
    pointing = pointings(config)[0]
    left, right = (background(config, pointing, ccd) for ccd in (0, 1))
    whole = np.hstack([left, right]).astype(float)
    assert np.abs(np.diff(whole, 2, axis=1)).max() < 2e-3  # rounding of float32
    assert np.ptp(whole) > 1
    assert ccd_origin(config, 1)[0] - ccd_origin(config, 0)[0] == config.ccd_size[0]


def test_bad_pixels_have_no_weight_and_a_flag() -> None:
    config = SimulateConfig.small(camera=CameraConfig(dead_pixels=1e-3, bad_columns=2))
    pointing = pointings(config)[1]
    ccd = detect_light(config, pointing, 1, _blank(config))
    bad = detector_defects(config, 1) < 1
    rays = (ccd.flags & MaskFlag.COSMIC_RAY) > 0
    assert 500 < bad.sum() < 2000
    assert rays.sum() > 10
    np.testing.assert_array_equal((ccd.flags & MaskFlag.BAD_WEIGHT) > 0, bad)
    np.testing.assert_array_equal(ccd.weight == 0, bad | rays)
    assert np.median(ccd.image[bad]) < 0.8 * np.median(ccd.image)
    assert np.median(ccd.image[rays & ~bad]) > 1.1 * np.median(ccd.image)


def test_defects_stay_and_cosmic_rays_move() -> None:
    config = SimulateConfig.small()
    np.testing.assert_array_equal(detector_defects(config, 0), detector_defects(config, 0))
    assert not np.array_equal(detector_defects(config, 0), detector_defects(config, 1))
    first = cosmic_rays(config, generator(1, "a"))
    second = cosmic_rays(config, generator(1, "b"))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("bleeding", [False, True])
def test_saturated_pixels_are_clipped_and_flagged(bleeding: bool) -> None:
    config = SimulateConfig.small(camera=CameraConfig(bleeding=bleeding))
    light = _blank(config)
    light[300:303, 200:203] = 500_000.0
    ccd = detect_light(config, pointings(config)[0], 0, light)
    assert ccd.image.max() == config.camera.saturation
    saturated = (ccd.flags & MaskFlag.SATURATED) > 0
    np.testing.assert_array_equal(saturated, ccd.image >= config.camera.saturation)
    assert saturated[300:303, 200:203].all()
    assert saturated.sum() == (pytest.approx(75, abs=6) if bleeding else 9)
    assert (ccd.weight[300:303, 200:203] > 0).all()  # saturated is not dead


def test_bleeding_keeps_the_charge() -> None:
    image = np.full((60, 3), 5.0, np.float32)
    image[30, 1] = 1005.0
    image[2, 2] = 505.0
    before = image.sum(axis=0)
    bleed(image, 100.0)
    assert image.max() == 100.0
    np.testing.assert_allclose(image.sum(axis=0), before, rtol=1e-6)
    np.testing.assert_array_equal(image[:, 0], 5.0)
    filled = np.flatnonzero(image[:, 1] == 100.0)
    assert abs(filled.mean() - 30) <= 0.5


def test_one_ccd_in_memory_is_complete() -> None:
    config = SimulateConfig.small()
    exposure = simulate_ccd(config, 2100002, 1)
    assert exposure.shape == (640, 512)
    assert exposure.name == "2100002-1"
    assert exposure.gain == config.camera.gain
    assert exposure.flux_scale == pytest.approx(10 ** (0.4 * (30 - exposure.zero_point)))
    exposure.require_data()
