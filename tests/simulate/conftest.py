from __future__ import annotations

import pytest

from purepipe.simulate import (
    GalaxyConfig,
    SimulateConfig,
    SimulatedSurvey,
    StarFieldConfig,
    simulate_survey,
)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSurvey:
    """A small survey on disk, made once."""
    return simulate_survey(tmp_path_factory.mktemp("small"), SimulateConfig.small())


@pytest.fixture(scope="session")
def starry(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSurvey:
    """A survey with many bright, unsaturated stars and few galaxies."""
    config = SimulateConfig.small(
        stars=StarFieldConfig(density=10.0, magnitudes=(16.9, 20.0), count_slope=0.0),
        galaxies=GalaxyConfig(density=1.0),
        minimum_separation=8.0,
    )
    return simulate_survey(tmp_path_factory.mktemp("starry"), config)
