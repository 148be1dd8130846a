"""One small simulated survey for all tests of the chain."""

from dataclasses import replace
from pathlib import Path

import pytest

from purepipe.config import SimulateConfig
from purepipe.config.simulate import StarFieldConfig
from purepipe.io.config_file import write_toml
from purepipe.pipeline import load_survey, run
from purepipe.simulate import simulate_survey

# Few stars on small CCDs: a plane of position and lower limits do.
SETTINGS = {
    "seed": 5,
    "out": "run",
    "block_size": 40,
    "ccd": {
        "mask": {"border_width": 8},
        "stars": {"min_stars": 8},
        "psf": {"degrees": [1]},
    },
    "tile": {"psf": {"min_stars": 6, "max_chi2": 5.0}},
}


def simulate(folder: Path, **changes) -> Path:
    """A small survey in `folder`, and its configuration file."""
    config = SimulateConfig.small(stars=StarFieldConfig(density=14.0), **changes)
    simulate_survey(folder, config)
    write_toml(folder / "survey.toml", SETTINGS)
    return folder / "survey.toml"


@pytest.fixture(scope="session")
def survey(tmp_path_factory) -> Path:
    return simulate(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="session")
def finished(survey, tmp_path_factory):
    """Configuration and summary of a run in one process."""
    config = replace(load_survey(survey), out=tmp_path_factory.mktemp("runs") / "serial")
    return config, run(config, workers=1)
