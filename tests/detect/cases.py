"""Configurations that are compared with the original program: its keys beside purepipe's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from purepipe.catalogue.columns_detect import SHAPEPIPE_COLUMNS
from purepipe.config import DetectConfig
from purepipe.detect.derived import KINDS
from purepipe.exposure import Exposure, WeightKind
from purepipe.wcs import WCS

from .fields import Field, header, make_field
from .sextractor import EXPOSURE, TILE

GAIN, SATURATION, ZERO_POINT = 2.0, 5000.0, 30.0

EXTRA_COLUMNS = (
    "FLUX_ISO", "FLUXERR_ISO", "FLUX_MAX", "ISOAREA_IMAGE", "ISOAREAF_IMAGE", "A_IMAGE",
    "B_IMAGE", "THETA_IMAGE", "CXX_IMAGE", "CYY_IMAGE", "CXY_IMAGE", "KRON_RADIUS", "NITER_WIN",
    "XPEAK_IMAGE", "YPEAK_IMAGE", "XMIN_IMAGE", "XMAX_IMAGE", "YMIN_IMAGE", "YMAX_IMAGE",
    "ID_PARENT", *(f"ISO{k}" for k in range(8)),
)  # fmt: skip
ALL_COLUMNS = (*SHAPEPIPE_COLUMNS, *EXTRA_COLUMNS)

# Computed from other columns, hence equal to rounding, or to the cancellation in covariances.
DERIVED_COLUMNS = (
    "FLUX_PETRO", "FLUXERR_PETRO", "MAG_PETRO", "MAGERR_PETRO", "PETRO_RADIUS", "FLUX_ISOCOR",
    "MAG_ISOCOR", "FLUX_BEST", "MAG_BEST", "POLAR_IMAGE", "ALPHA_J2000", "DELTA_J2000",
    "ALPHAWIN_J2000", "DELTAWIN_J2000", "MAG_ISO", "MAGERR_ISO", "MAG_APER", "MAGERR_APER",
    *(
        f"{before}{name}{after}"
        for before, suffix in KINDS
        for name, after in (
            *((n, f"{suffix}_WORLD") for n in ("X2", "Y2", "XY", "A", "B", "THETA")),
            ("THETA", f"{suffix}_J2000"),
            *((n, f"{suffix}_IMAGE") for n in ("A", "B", "THETA", "CXX", "CYY", "CXY")),
        )
    ),
)  # fmt: skip

# name: original keys beyond EXPOSURE, purepipe's beyond DetectConfig.exposure()
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "exposure": ({}, {}),
    "no rescaling": ({"RESCALE_WEIGHTS": "N"}, {"rescale_weights": False}),
    "no weight gain": ({"WEIGHT_GAIN": "N"}, {"weight_gain": False}),
    "weight threshold": ({"WEIGHT_THRESH": 0.008}, {"weight_threshold": 0.008}),
    "no interpolation": ({"INTERP_TYPE": "NONE"}, {"interpolate": False}),
    "no filter": ({"FILTER": "N"}, {"filter": None}),
    "no cleaning": ({"CLEAN": "N"}, {"clean": False}),
    "no mask": ({"MASK_TYPE": "NONE"}, {"mask_type": "none"}),
    "blank mask": ({"MASK_TYPE": "BLANK"}, {"mask_type": "blank"}),
    "short buffer": ({"MEMORY_BUFSIZE": 200}, {"buffer_lines": 200}),
    "hard cleaning": ({"CLEAN_PARAM": 0.3}, {"clean_efficiency": 0.3}),
    "small area": ({"DETECT_MINAREA": 3}, {"min_area": 3}),
    "largest area": ({"DETECT_MAXAREA": 200}, {"max_area": 200}),
    "absolute": (
        {"THRESH_TYPE": "ABSOLUTE", "DETECT_THRESH": 25, "ANALYSIS_THRESH": 20},
        {"threshold_type": "absolute", "threshold": 25.0, "analysis_threshold": 20.0},
    ),
    "meshes": (
        {"BACK_SIZE": "48,100", "BACK_FILTERSIZE": 5},
        {"back_size": (48, 100), "back_filter_size": (5, 5)},
    ),
    "apertures": (
        {
            "PHOT_AUTOPARAMS": "2.0,2.5", "PHOT_AUTOAPERS": "20,30", "PHOT_FLUXFRAC": 0.8,
            "PHOT_APERTURES": 11.3,
        },
        {
            "kron_factor": 2.0, "kron_min_radius": 2.5, "auto_apertures": (20.0, 30.0),
            "flux_fraction": (0.8,), "apertures": (11.3,),
        },
    ),
}  # fmt: skip


def exposure_of(
    field: Field, kind: WeightKind | None = WeightKind.RELATIVE, **changes: Any
) -> Exposure:
    exposure = Exposure(
        field.image, field.weight, kind or WeightKind.RELATIVE, field.flags,
        wcs=WCS.from_header(header(field.image.shape)), gain=GAIN, saturation=SATURATION,
        zero_point=ZERO_POINT,
    )  # fmt: skip
    return exposure.replace(**({"weight": None} if kind is None else {}), **changes)


def reference_field(name: str) -> Field:
    """The small fields whose results are stored, in round numbers so that they store well."""
    if name == "tile":
        field = make_field((240, 200), 60, seed=32, clusters=3, sky=0.0)
    else:
        field = make_field((240, 200), 60, seed=31, clusters=3, holes=name == "exposure")
    return replace(
        field,
        image=np.round(field.image).astype(np.float32),
        weight=(np.round(field.weight * 4096) / 4096).astype(np.float32),
    )


# name: the original's keys, purepipe's configuration, kind of the weights
REFERENCES: dict[str, tuple[dict[str, Any], DetectConfig, WeightKind | None]] = {
    "exposure": (EXPOSURE, DetectConfig.exposure(columns=ALL_COLUMNS), WeightKind.RELATIVE),
    "tile": (TILE, DetectConfig.tile(columns=ALL_COLUMNS), WeightKind.RELATIVE),
    "noweight": (
        {**EXPOSURE, "WEIGHT_TYPE": "NONE"}, DetectConfig.exposure(columns=ALL_COLUMNS), None,
    ),
}  # fmt: skip


def original_columns() -> list[str]:
    return [f"{name}(51,51)" if name == "VIGNET" else name for name in ALL_COLUMNS]
