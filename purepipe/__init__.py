"""purepipe: weak-lensing shear catalogues from survey images, in Python alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from purepipe.config import (
        DetectConfig,
        EpochConfig,
        MaskConfig,
        PSFConfig,
        PSFInterpolationConfig,
        ShapeConfig,
        SimulateConfig,
        SpreadConfig,
        StarConfig,
        SurveyConfig,
    )
    from purepipe.detect import Detection, extract
    from purepipe.exposure import Exposure, WeightKind
    from purepipe.io import read_exposure, read_ldac, read_psf, read_table, write_ldac, write_psf
    from purepipe.mask import build_mask
    from purepipe.pipeline import open_run, run
    from purepipe.psf import PSFModel, adaptive_moments, fit_psf, psf_at, spread_model, validate_psf
    from purepipe.select import find_stars
    from purepipe.shapes import calibrate, measure_shapes, metacal_fit
    from purepipe.simulate import simulate_survey
    from purepipe.survey import CCD, EpochStamps, cut_stamps, find_epochs, gather_stamps
    from purepipe.wcs import WCS

# Public name -> module that holds it; imported on first use, so that `import purepipe` is quick.
_HOMES = {
    "CCD": "survey",
    "DetectConfig": "config",
    "Detection": "detect",
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
    "measure_shapes": "shapes",
    "metacal_fit": "shapes",
    "open_run": "pipeline",
    "psf_at": "psf",
    "read_exposure": "io",
    "read_ldac": "io",
    "read_psf": "io",
    "read_table": "io",
    "run": "pipeline",
    "simulate_survey": "simulate",
    "spread_model": "psf",
    "validate_psf": "psf",
    "write_ldac": "io",
    "write_psf": "io",
}

__all__ = [*sorted(_HOMES), "__version__"]  # noqa: PLE0604 - all of them are strings


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'purepipe' has no attribute {name!r}")
    value = getattr(import_module(f"purepipe.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
