from __future__ import annotations

import numpy as np
import pytest

from purepipe.errors import ConfigError
from purepipe.simulate import GalaxyConfig, SimulateConfig, StarFieldConfig, make_objects
from purepipe.simulate.draw import near_image
from purepipe.simulate.optics import ccd_wcs, pointings, tile_wcs
from purepipe.simulate.sky import field_half_size


def test_twins_differ_by_a_quarter_turn_only() -> None:
    objects = make_objects(SimulateConfig.small(), 0)
    galaxies = objects[objects["type"] != "star"]
    assert len(galaxies) > 100
    twins = objects[galaxies["pair"]]
    np.testing.assert_array_equal(twins["pair"], galaxies["id"])
    np.testing.assert_array_equal(twins["g1_intrinsic"], -galaxies["g1_intrinsic"])
    np.testing.assert_array_equal(twins["g2_intrinsic"], -galaxies["g2_intrinsic"])
    for name in ("mag", "type", "half_light_radius", "g1_shear", "g2_shear"):
        np.testing.assert_array_equal(twins[name], galaxies[name])
    assert abs(galaxies["g1_intrinsic"].sum()) < 1e-9


def test_populations_follow_the_configuration() -> None:
    galaxies = GalaxyConfig(density=40, pairs=False, shape_noise=0.2, max_ellipticity=0.6)
    config = SimulateConfig(galaxies=galaxies, minimum_separation=0.0)
    objects = make_objects(config, 0)
    half = field_half_size(config)
    area = 4 * half[0] * half[1] / 3600
    stars, rest = objects[objects["type"] == "star"], objects[objects["type"] != "star"]
    counted = ((stars["mag"] > 17) & (stars["mag"] < 21.5)).sum()
    wanted = config.stars.density * area
    assert counted == pytest.approx(wanted, abs=4 * np.sqrt(wanted))
    assert len(rest) == pytest.approx(40 * area, abs=4 * np.sqrt(40 * area))
    assert stars["mag"].min() > 10
    assert stars["mag"].max() < 22.5
    assert (rest["mag"] > 23).sum() > 3 * (rest["mag"] < 22).sum() * 0.5
    ellipticity = np.hypot(rest["g1_intrinsic"], rest["g2_intrinsic"])
    assert ellipticity.max() < 0.6
    assert rest["g1_intrinsic"].std() == pytest.approx(0.2, rel=0.08)
    assert np.mean(rest["type"] == "dev") == pytest.approx(0.2, abs=0.04)
    near_pivot = np.abs(rest["mag"] - 23) < 0.3
    assert np.median(rest["half_light_radius"][near_pivot]) == pytest.approx(0.4, rel=0.08)


def test_objects_keep_their_distance() -> None:
    config = SimulateConfig.small(minimum_separation=4.0)
    objects = make_objects(config, 0)
    west = (objects["ra"] - 150) * np.cos(np.radians(32.0)) * 3600
    north = objects["dec"] * 3600
    gap = np.hypot(west[:, None] - west, north[:, None] - north)
    gap[np.diag_indices_from(gap)] = np.inf
    assert gap.min() > 3.99


def test_impossible_separation_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot be placed that far apart.*Lower the separation"):
        make_objects(SimulateConfig.small(minimum_separation=15.0), 0)


def test_fields_cycle_through_the_shears_and_repeat_the_sky_on_request() -> None:
    shears = ((0.02, 0.0), (-0.02, 0.01))
    config = SimulateConfig.small(fields=3, shears=shears, repeat_sky=True)
    first, second, third = (make_objects(config, field) for field in range(3))
    np.testing.assert_array_equal(first["mag"], second["mag"])
    np.testing.assert_allclose(first["dec"], second["dec"], atol=1e-10)
    assert len(first) != len(third) or not np.array_equal(first["mag"], third["mag"])
    for objects, shear in ((first, shears[0]), (second, shears[1]), (third, shears[0])):
        galaxies = objects[objects["type"] != "star"]
        assert set(zip(galaxies["g1_shear"], galaxies["g2_shear"], strict=True)) == {shear}
        assert not objects["g1_shear"][objects["type"] == "star"].any()


@pytest.mark.parametrize("changes", [{}, {"rotation": 30.0}, {"half_turns": True, "ccds": 4}])
def test_the_sky_is_filled_wherever_a_ccd_looks(changes: dict[str, float]) -> None:
    config = SimulateConfig.small(**changes)
    half = np.array(field_half_size(config))
    for pointing in pointings(config):
        for ccd in range(config.ccds):
            corners = ccd_wcs(config, pointing, ccd).footprint()
            west = -(corners[:, 0] - 150.0) * np.cos(np.radians(32.0)) * 3600
            north = (corners[:, 1] - 32.0) * 3600
            assert np.abs(west).max() < half[0]
            assert np.abs(north).max() < half[1]


def test_a_sky_without_stars() -> None:
    config = SimulateConfig.small(stars=StarFieldConfig(density=0.0))
    assert not (make_objects(config, 0)["type"] == "star").any()


@pytest.mark.parametrize("centre", [(0.0, -30.0), (359.999, 0.0), (120.0, 80.0)])
def test_everywhere_on_the_sky(centre: tuple[float, float]) -> None:
    config = SimulateConfig.small(centre=centre)
    objects = make_objects(config, 0)
    assert (objects["ra"] >= 0).all()
    assert (objects["ra"] < 360).all()
    whole, x, y = near_image(tile_wcs(config, 0), objects, margin=0.0)
    half = field_half_size(config)
    expected = len(objects) * 900 * 560 * 0.187**2 / (4 * half[0] * half[1])
    assert len(whole) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert 300 < np.mean(x) < 600
    assert 180 < np.mean(y) < 380
