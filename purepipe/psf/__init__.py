"""PSF model, its evaluation, adaptive moments, spread model."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Where each public name lives; they are imported on first use, so that `import purepipe.psf`
# compiles nothing.
_HOMES = {
    "Moments": "moments",
    "PSFLike": "interpolate",
    "PSFModel": "model",
    "PSFStamps": "interpolate",
    "adaptive_moments": "moments",
    "fit_psf": "fit",
    "load_samples": "samples",
    "psf_at": "interpolate",
    "psf_residuals": "validate",
    "spread_class": "spread",
    "spread_model": "spread",
    "validate_psf": "validate",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
