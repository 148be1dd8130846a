"""The examples are read by the code that they are examples of."""

from pathlib import Path

import pytest

from purepipe.config import SurveyConfig
from purepipe.pipeline import load_survey

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_survey_example_is_the_default():
    config = load_survey(EXAMPLES / "survey.toml")
    default = SurveyConfig()
    assert (config.ccd, config.tile, config.shear) == (default.ccd, default.tile, default.shear)
    assert config.out == (EXAMPLES / "run").resolve()
    assert Path(config.inputs.stars).parent == EXAMPLES.resolve()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.name)
def test_every_example_is_valid(path):
    load_survey(path)
