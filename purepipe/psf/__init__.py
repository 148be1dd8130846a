"""PSF model, its evaluation, adaptive moments, spread model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from purepipe._lazy import lazy_names

if TYPE_CHECKING:
    from purepipe.psf.adaptors import FunctionPSF, psf_from_galsim, psf_from_piff
    from purepipe.psf.checks import StarStamps, check_image, star_stamps
    from purepipe.psf.fit import fit_psf
    from purepipe.psf.homogenise import homogenisation_kernel
    from purepipe.psf.interpolate import PSFLike, PSFStamps, psf_at
    from purepipe.psf.model import PSFModel
    from purepipe.psf.moments import Moments, adaptive_moments
    from purepipe.psf.observation import Epoch, attach_psfs, observe, sky_positions
    from purepipe.psf.rho import correlate_residuals, rho_statistics
    from purepipe.psf.samples import load_samples
    from purepipe.psf.several import fit_exposures
    from purepipe.psf.spread import spread_class, spread_model
    from purepipe.psf.spread_local import spread_model_local
    from purepipe.psf.validate import PSFResiduals, psf_residuals, psf_summary, validate_psf

__all__ = [
    "Epoch",
    "FunctionPSF",
    "Moments",
    "PSFLike",
    "PSFModel",
    "PSFResiduals",
    "PSFStamps",
    "StarStamps",
    "adaptive_moments",
    "attach_psfs",
    "check_image",
    "correlate_residuals",
    "fit_exposures",
    "fit_psf",
    "homogenisation_kernel",
    "load_samples",
    "observe",
    "psf_at",
    "psf_from_galsim",
    "psf_from_piff",
    "psf_residuals",
    "psf_summary",
    "rho_statistics",
    "sky_positions",
    "spread_class",
    "spread_model",
    "spread_model_local",
    "star_stamps",
    "validate_psf",
]

# Where each public name lives; they are imported on first use, so that reading or drawing a model
# does not load the fit.
_HOMES = {
    "Epoch": "observation",
    "FunctionPSF": "adaptors",
    "Moments": "moments",
    "PSFLike": "interpolate",
    "PSFModel": "model",
    "PSFResiduals": "validate",
    "PSFStamps": "interpolate",
    "StarStamps": "checks",
    "adaptive_moments": "moments",
    "attach_psfs": "observation",
    "check_image": "checks",
    "correlate_residuals": "rho",
    "fit_exposures": "several",
    "fit_psf": "fit",
    "homogenisation_kernel": "homogenise",
    "load_samples": "samples",
    "observe": "observation",
    "psf_at": "interpolate",
    "psf_from_galsim": "adaptors",
    "psf_from_piff": "adaptors",
    "psf_residuals": "validate",
    "psf_summary": "validate",
    "rho_statistics": "rho",
    "sky_positions": "observation",
    "spread_class": "spread",
    "spread_model": "spread",
    "spread_model_local": "spread_local",
    "star_stamps": "checks",
    "validate_psf": "validate",
}

if not TYPE_CHECKING:  # type checkers know the names from above
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
