"""The truth beside the shear, where a run is of a survey that purepipe has drawn."""

import shutil

import pytest

from purepipe.config import SimulateConfig, to_mapping
from purepipe.demo import SIMULATION_FILE, known_shear
from purepipe.io.config_file import write_toml


@pytest.fixture
def run_folder(finished, tmp_path):
    config, _ = finished
    return shutil.copytree(config.out, tmp_path / "run")


def test_a_run_of_a_simulation_is_compared_with_its_truth(run_folder):
    assert known_shear(run_folder) is None  # nothing says that the survey was drawn
    simulation = SimulateConfig.small()
    write_toml(run_folder.parent / SIMULATION_FILE, {"simulate": to_mapping(simulation)})
    comparison = known_shear(run_folder)
    assert comparison is not None
    assert comparison.rows[0].tile == "000-000"
    assert comparison.rows[0].true == simulation.shears[0]


def test_a_catalogue_that_is_not_there_is_not_compared(run_folder):
    write_toml(run_folder.parent / SIMULATION_FILE, {"simulate": to_mapping(SimulateConfig())})
    (run_folder / "catalogue" / "final_cat.fits").unlink()
    assert known_shear(run_folder) is None
    (run_folder.parent / SIMULATION_FILE).write_text("[simulate]\nnonsense = 1\n")
    assert known_shear(run_folder) is None
