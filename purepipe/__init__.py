"""purepipe: weak-lensing shear catalogues from survey images, in Python alone."""

from typing import TYPE_CHECKING

from purepipe._lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from purepipe import catalogue as catalogue
    from purepipe import config as config
    from purepipe import detect as detect
    from purepipe import errors as errors
    from purepipe import flags as flags
    from purepipe import io as io
    from purepipe import legacy as legacy
    from purepipe import mask as mask
    from purepipe import pipeline as pipeline
    from purepipe import psf as psf
    from purepipe import report as report
    from purepipe import select as select
    from purepipe import shapes as shapes
    from purepipe import simulate as simulate
    from purepipe import survey as survey
    from purepipe import wcs as wcs
    from purepipe.config import DetectConfig as DetectConfig
    from purepipe.config import EpochConfig as EpochConfig
    from purepipe.config import MaskConfig as MaskConfig
    from purepipe.config import PSFConfig as PSFConfig
    from purepipe.config import PSFInterpolationConfig as PSFInterpolationConfig
    from purepipe.config import ShapeConfig as ShapeConfig
    from purepipe.config import SimulateConfig as SimulateConfig
    from purepipe.config import SpreadConfig as SpreadConfig
    from purepipe.config import StarConfig as StarConfig
    from purepipe.config import SurveyConfig as SurveyConfig
    from purepipe.detect import Detection as Detection
    from purepipe.detect.extract import extract as extract
    from purepipe.exposure import Exposure as Exposure
    from purepipe.exposure import WeightKind as WeightKind
    from purepipe.io import read_exposure as read_exposure
    from purepipe.io import read_ldac as read_ldac
    from purepipe.io import read_psf as read_psf
    from purepipe.io import read_star_catalogue as read_star_catalogue
    from purepipe.io import read_table as read_table
    from purepipe.io import write_ldac as write_ldac
    from purepipe.io import write_psf as write_psf
    from purepipe.mask import build_mask as build_mask
    from purepipe.pipeline import measure_one as measure_one
    from purepipe.pipeline import open_run as open_run
    from purepipe.pipeline import stamps_of as stamps_of
    from purepipe.pipeline.run import run as run
    from purepipe.psf import Epoch as Epoch
    from purepipe.psf import PSFModel as PSFModel
    from purepipe.psf import adaptive_moments as adaptive_moments
    from purepipe.psf import fit_psf as fit_psf
    from purepipe.psf import observe as observe
    from purepipe.psf import psf_at as psf_at
    from purepipe.psf import spread_model as spread_model
    from purepipe.psf import validate_psf as validate_psf
    from purepipe.select import find_stars as find_stars
    from purepipe.shapes import measure_shapes as measure_shapes
    from purepipe.shapes import metacal_fit as metacal_fit
    from purepipe.shapes.calibrate import calibrate as calibrate
    from purepipe.simulate import simulate_survey as simulate_survey
    from purepipe.survey import CCD as CCD
    from purepipe.survey import EpochStamps as EpochStamps
    from purepipe.survey import cut_stamps as cut_stamps
    from purepipe.survey import find_epochs as find_epochs
    from purepipe.survey import gather_stamps as gather_stamps
    from purepipe.survey import match_external as match_external
    from purepipe.survey import merge_tiles as merge_tiles
    from purepipe.survey import random_points as random_points
    from purepipe.wcs import WCS as WCS

# Public name -> module that holds it; imported on first use, so that `import purepipe` is quick.
_HOMES = {
    "CCD": "survey",
    "DetectConfig": "config",
    "Detection": "detect",
    "Epoch": "psf",
    "EpochConfig": "config",
    "EpochStamps": "survey",
    "Exposure": "exposure",
    "MaskConfig": "config",
    "PSFConfig": "config",
    "PSFInterpolationConfig": "config",
    "PSFModel": "psf",
    "ShapeConfig": "config",
    "SimulateConfig": "config",
    "SpreadConfig": "config",
    "StarConfig": "config",
    "SurveyConfig": "config",
    "WCS": "wcs",
    "WeightKind": "exposure",
    "adaptive_moments": "psf",
    "build_mask": "mask",
    "calibrate": "shapes",
    "cut_stamps": "survey",
    "extract": "detect",
    "find_epochs": "survey",
    "find_stars": "select",
    "fit_psf": "psf",
    "gather_stamps": "survey",
    "match_external": "survey",
    "measure_one": "pipeline",
    "measure_shapes": "shapes",
    "merge_tiles": "survey",
    "metacal_fit": "shapes",
    "observe": "psf",
    "open_run": "pipeline",
    "psf_at": "psf",
    "random_points": "survey",
    "read_exposure": "io",
    "read_ldac": "io",
    "read_psf": "io",
    "read_star_catalogue": "io",
    "read_table": "io",
    "run": "pipeline",
    "simulate_survey": "simulate",
    "spread_model": "psf",
    "stamps_of": "pipeline",
    "validate_psf": "psf",
    "write_ldac": "io",
    "write_psf": "io",
}

# Folders and modules that are attributes without an import of their own: `pp.detect.<TAB>`.
_ROOMS = (
    "catalogue", "config", "detect", "errors", "flags", "io", "legacy", "mask", "pipeline", "psf",
    "report", "select", "shapes", "simulate", "survey", "wcs",
)  # fmt: skip

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - the names are strings

if not TYPE_CHECKING:  # type checkers know the names from above
    __getattr__, __dir__ = lazy_names(__name__, _HOMES, modules=_ROOMS)
