"""The Python of the README, on a simulated CCD."""

import re
from pathlib import Path

import numpy as np
import pytest

from purepipe.config import SimulateConfig
from purepipe.config.simulate import StarFieldConfig
from purepipe.io import read_image, read_star_catalogue
from purepipe.simulate import simulate_survey

README = (Path(__file__).parent.parent / "README.md").read_text()


def first_block():
    return re.search(r"```python\n(import purepipe as pp.*?)```", README, re.DOTALL).group(1)


@pytest.fixture
def one_ccd(tmp_path):
    """The arrays and tables of one CCD that the README takes for granted."""
    config = SimulateConfig.small(
        exposures=1, ccds=1, ccd_size=(800, 800), tile_size=(700, 700),
        stars=StarFieldConfig(density=14.0),
    )  # fmt: skip
    survey = simulate_survey(tmp_path, config)
    image, header = read_image(survey.paths.images[0])
    weight, _ = read_image(survey.paths.weights[0])
    stars = read_star_catalogue(survey.paths.stars)
    return {"image": image, "weight": weight, "header": header, "bright_stars": stars}


def test_the_ten_lines_run(one_ccd, capsys):
    code = first_block()
    assert len(code.strip().splitlines()) <= 13
    exec(compile(code, "README.md", "exec"), one_ccd)
    shear = one_ccd["shear"]
    assert np.isfinite(shear.g).all()
    assert shear.number > 10
    assert np.all(np.abs(shear.g) < 6 * shear.errors + 0.1)
    assert capsys.readouterr().out.startswith("[")


def test_the_original_configuration_is_read(tmp_path, monkeypatch):
    (tmp_path / "default.sex").write_text(
        "DETECT_THRESH 3.5  # sigma\nFILTER N\nPARAMETERS_NAME default.param\n"
    )
    (tmp_path / "default.param").write_text("NUMBER\nX_IMAGE\nY_IMAGE\n")
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(from purepipe.legacy.*?)```", README, re.DOTALL).group(1)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["config"].threshold == 3.5
