from __future__ import annotations

from typing import Any

import pytest

from purepipe.config import from_mapping, to_mapping
from purepipe.errors import ConfigError
from purepipe.simulate import CameraConfig, GalaxyConfig, SimulateConfig, StarFieldConfig


def test_survives_a_round_trip_through_plain_values() -> None:
    config = SimulateConfig.small(shears=((0.02, -0.01), (0.0, 0.0)))
    assert from_mapping(SimulateConfig, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shears": ()}, "simulate.shears: at least one shear"),
        ({"shears": ((0.6, 0.0),)}, r"simulate.shears: out of range \(got \(0.6, 0.0\)"),
        ({"centre": (10.0, 89.0)}, "simulate.centre.*declination from -85 to 85"),
        ({"fields": 0}, "simulate.fields: out of range"),
        ({"camera": {"distortion": "zpn"}}, "camera.distortion: unknown word.*'alternate'|tpv"),
        ({"seeing": {"fwhm": 2.0}}, "seeing.fwhm: out of range"),
        (
            {"galaxies": {"magnitudes": (25.0, 20.0)}},
            "simulate.galaxies.magnitudes.*smaller than",
        ),
        ({"shear_grid": True}, "do not follow the pixel grid.*'sip' or 'none'"),
        ({"galaxys": {}}, "unknown key.*Did you mean 'galaxies'"),
    ],
)
def test_bad_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(SimulateConfig, values, table="simulate")


def test_changes_come_on_top_of_the_small_survey() -> None:
    config = SimulateConfig.small(ccds=1, camera=CameraConfig(distortion="none"))
    assert (config.ccds, config.exposures, config.camera.distortion) == (1, 2, "none")


def test_nested_defaults_are_the_documented_densities() -> None:
    assert GalaxyConfig().density == 20
    assert StarFieldConfig().density == 8
