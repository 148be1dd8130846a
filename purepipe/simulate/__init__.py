"""Small surveys with known shear, in the files that a telescope delivers.

`simulate_survey` writes a survey; `simulate_ccd` makes one CCD of it in memory; `simulate_scene`
puts any stars and galaxies on an image of any geometry, `draw_objects` without noise.
"""

from purepipe.config.simulate import (
    CameraConfig,
    GalaxyConfig,
    SeeingConfig,
    SimulateConfig,
    StarFieldConfig,
)
from purepipe.simulate.draw import draw_objects
from purepipe.simulate.files import SurveyPaths, survey_paths, tile_number
from purepipe.simulate.sky import OBJECT_DTYPE, make_objects
from purepipe.simulate.survey import (
    SimulatedSurvey,
    simulate_ccd,
    simulate_scene,
    simulate_survey,
)
from purepipe.simulate.true_psf import TruePSF

__all__ = [
    "OBJECT_DTYPE",
    "CameraConfig",
    "GalaxyConfig",
    "SeeingConfig",
    "SimulateConfig",
    "SimulatedSurvey",
    "StarFieldConfig",
    "SurveyPaths",
    "TruePSF",
    "draw_objects",
    "make_objects",
    "simulate_ccd",
    "simulate_scene",
    "simulate_survey",
    "survey_paths",
    "tile_number",
]
