"""Cases for the columns beyond ShapePipe's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue.columns_detect import COLUMNS
from purepipe.exposure import Exposure

from .cases import exposure_of
from .fields import Field, make_field

SIZES = {
    "VIGNET": "(9,7)", "VIGNET_SHIFT": "(11,9)", "FLUX_GROWTH": "(10)", "MAG_GROWTH": "(24)",
    "FLUX_APER": "(3)", "FLUXERR_APER": "(2)", "MAG_APER": "(3)", "MAGERR_APER": "(1)",
    "FLUX_RADIUS": "(2)", "VECTOR_ASSOC": "(3)",
}  # fmt: skip
# Measured otherwise, or tested with the flag maps and weights.
LEFT_OUT = (
    "DURATION_ANALYSIS", "FLAGS_WEIGHT", "NLOWWEIGHT_ISO", "NLOWDWEIGHT_ISO", "NIMAFLAGS_ISO",
)  # fmt: skip
ALL = tuple(item.name + SIZES.get(item.name, "") for item in COLUMNS if item.name not in LEFT_OUT)
# What is stored: one column of each kind, without those that are stored for all cases.
NAMES = (
    "CLASS_STAR", "VECTOR_ASSOC", "NUMBER_ASSOC", "FLUX_ISO", "FLUXERR_ISO", "FLUX_ISOCOR",
    "FLUXERR_ISOCOR", "MAGERR_ISOCOR", "FLUX_BEST", "FLUXERR_BEST", "FLUX_APER", "FLUX_AUTO",
    "FLUX_PETRO", "FLUX_WIN", "XWIN_IMAGE", "FLUX_RADIUS", "FLUX_MAX", "BACKGROUND", "MU_THRESHOLD",
    "FWHM_IMAGE", "ISO3", "FLUX_GROWTH", "FLUX_GROWTHSTEP", "MAG_GROWTH", "ISOAREA_WORLD",
    "ALPHA_SKY", "DELTAPEAK_J2000", "ALPHA_B1950", "DELTAWIN_B1950", "X_FOCAL", "YWIN_FOCAL",
    "CXX_WORLD", "ERRCXYWIN_WORLD", "POLARWIN_IMAGE", "POLAR_IMAGE", "THETA_SKY", "FLAGS",
    "VIGNET_SHIFT",
)  # fmt: skip
SIZED = tuple(name + SIZES.get(name, "") for name in NAMES)
APERTURES: dict[str, Any] = {
    "apertures": (5.0, 8.0, 13.0), "flux_fraction": (0.3, 0.8), "seeing": 0.7,
    "assoc_data": (1, 2, 4), "assoc_radius": 9.0, "assoc_select": "all",
}  # fmt: skip
# case: the original's keys beyond those of the live comparison, purepipe's
REFERENCE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "global": ({}, {}),
    "local": (
        # Without cleaning: what is swallowed brings a local background of its own.
        {
            "BACKPHOTO_TYPE": "LOCAL",
            "BACKPHOTO_THICK": 13,
            "ASSOC_TYPE": "MAG_MEAN",
            "CLEAN": "N",
        },
        {
            "back_photometry": "local",
            "back_thickness": 13,
            "assoc_type": "mag_mean",
            "clean": False,
        },
    ),
}


def stored_names(case: str) -> tuple[str, ...]:
    """Columns that are stored; the stamps once only."""
    return NAMES if case == "global" else tuple(n for n in NAMES if n != "VIGNET_SHIFT")


def reference_exposure(stored: dict[str, NDArray[Any]]) -> Exposure:
    """The exposure of the stored results."""
    return exposure_of(
        Field(
            stored["image"].astype(np.float32),
            (stored["weight"] / 4096).astype(np.float32),
            np.zeros(stored["image"].shape, np.int32),
        )
    )


def entries(shape: tuple[int, int]) -> NDArray[np.float64]:
    """A catalogue to associate: number, x, y, magnitude."""
    rng = np.random.default_rng(5)
    n = shape[0] * shape[1] // 300
    place = rng.uniform(0, 1, (n, 2)) * [shape[1], shape[0]]
    rows = np.column_stack([np.arange(n), place, rng.uniform(18, 24, n)])
    return np.asarray(np.round(rows, 3))


def network_text() -> str:
    """A network of the size that CLASS_STAR needs, with made-up weights."""
    rng = np.random.default_rng(9)
    lines = ["NNW", "3 10 10 1", "", *(["0.3 " * 10, "0.6 " * 10])]
    for neurons in (10, 1):
        lines += [" ".join(f"{w:.4f}" for w in row) for row in rng.normal(0, 0.8, (neurons, 11))]
    return "\n".join([*lines, "0.0", "1.0"]) + "\n"


Live = tuple[Field, dict[str, Any], dict[str, Any], dict[str, float], bool]


def live_fields() -> dict[str, Live]:
    """Fields of different seeing, density, weights, size and orientation.

    The third item holds purepipe's options, the fourth header cards, the last says whether the
    weights are used.
    """
    turned = {"CD1_1": 3.1e-5, "CD1_2": 4.2e-5, "CD2_1": 4.2e-5, "CD2_2": -3.1e-5}
    local = ({"BACKPHOTO_TYPE": "LOCAL"}, {"back_photometry": "local"})
    blank = ({"MASK_TYPE": "BLANK"}, {"mask_type": "blank"})
    auto = (
        {"PHOT_AUTOAPERS": "20,30", "PHOT_PETROPARAMS": "1.5,3"},
        {"auto_apertures": (20.0, 30.0), "petro_factor": 1.5, "petro_min_radius": 3.0},
    )
    faint = (
        {"DETECT_MINAREA": 3, "DETECT_THRESH": 1.2},
        {"min_area": 3, "threshold": 1.2},
    )
    return {
        # Dark pits: fluxes below zero, windows that end on nothing.
        "faint": (make_field((300, 280), 230, seed=504, clusters=14), *faint, {}, False),
        "plain": (make_field((240, 200), 40, seed=41, clusters=2), {}, {}, {}, True),
        "turned": (make_field((201, 233), 40, seed=42, holes=False), {}, {}, turned, False),
        "local": (make_field((260, 240), 40, seed=43, clusters=2), *local, {}, True),
        "blank": (make_field((190, 170), 60, seed=44, clusters=4), *blank, {}, True),
        "sharp": (make_field((400, 320), 60, seed=45, width=1.1), {}, {}, {}, True),
        "blurred": (make_field((400, 320), 60, seed=46, width=3.7), {}, {}, {}, True),
        "sparse": (make_field((500, 400), 12, seed=47), *auto, {}, True),
        "dense": (make_field((400, 420), 180, seed=48, clusters=9), {}, {}, turned, True),
        "noisy": (make_field((311, 287), 60, seed=49, noise=40.0), *local, {}, True),
        "even": (
            make_field((320, 300), 60, seed=50, varying=False, holes=False), *auto, {}, False,
        ),
    }  # fmt: skip
