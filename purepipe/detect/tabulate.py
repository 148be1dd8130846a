"""From measured records to SExtractor's columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue.columns_detect import COLUMNS, SHAPEPIPE_COLUMNS
from purepipe.catalogue.table import build_table
from purepipe.config.detect import DetectConfig
from purepipe.detect.derived import ellipse_columns, local_jacobian, world_columns
from purepipe.detect.footprints import filter_mask
from purepipe.detect.planes import PreparedImage
from purepipe.errors import ConfigError, did_you_mean
from purepipe.exposure import Exposure
from purepipe.flags import DetectFlag
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.table import Table

Values = NDArray[Any]
NO_MAGNITUDE = np.float32(99)
DEGREE = 3600.0  # arcsec


@dataclass(frozen=True, eq=False)
class Measurements:
    """Records of the catalogue rows; see `records_nb` for their fields.

    ``fluxes``, ``errors`` (rows, apertures), ``radii`` (rows, fractions) and ``vignets``
    (rows, height, width) are float32.
    """

    objects: Values
    measured: Values
    fluxes: NDArray[np.float32]
    errors: NDArray[np.float32]
    radii: NDArray[np.float32]
    vignets: NDArray[np.float32]


def detection_table(
    results: Measurements,
    exposure: Exposure,
    measured: PreparedImage,
    sought: PreparedImage,
    config: DetectConfig,
) -> Table:
    """The catalogue with the columns that the configuration asks for.

    Raises
    ------
    ConfigError
        A column is unknown.
    """
    names = config.columns or SHAPEPIPE_COLUMNS
    shapes = _shapes(results)
    x, y = results.objects["x"], results.objects["y"]
    values = {
        **_positions(results, exposure.wcs),
        **shapes,
        **ellipse_columns(shapes),
        **world_columns(shapes, exposure.wcs, x, y),
        **_counts(results),
        **_photometry(results, exposure.zero_point),
        **_surface_brightness(results, exposure, config),
        "VIGNET": results.vignets,
    }
    for name in names:
        if name not in values:
            known = [item.name for item in COLUMNS]
            raise ConfigError(
                "unknown column", key="detect.columns", got=name, remedy=did_you_mean(name, known)
            )
    return build_table(
        {name: values[name] for name in names},
        rows=results.objects.size,
        meta=_metadata(results, exposure, measured, sought, config),
    )


def _positions(results: Measurements, wcs: WCS | None) -> dict[str, Values]:
    objects, measured = results.objects, results.measured
    x_world, y_world = _world(wcs, objects["x"], objects["y"])
    xwin_world, ywin_world = _world(wcs, measured["win_x"], measured["win_y"])
    return {
        "X_IMAGE": objects["x"] + 1,
        "Y_IMAGE": objects["y"] + 1,
        "X_WORLD": x_world,
        "Y_WORLD": y_world,
        "XWIN_IMAGE": measured["win_x"] + 1,
        "YWIN_IMAGE": measured["win_y"] + 1,
        "XWIN_WORLD": xwin_world,
        "YWIN_WORLD": ywin_world,
        "ALPHA_J2000": x_world,
        "DELTA_J2000": y_world,
        "ALPHAWIN_J2000": xwin_world,
        "DELTAWIN_J2000": ywin_world,
        "XPEAK_IMAGE": objects["xpeak"] + 1,
        "YPEAK_IMAGE": objects["ypeak"] + 1,
        **{f"{edge.upper()}_IMAGE": objects[edge] + 1 for edge in ("xmin", "xmax", "ymin", "ymax")},
    }


def _shapes(results: Measurements) -> dict[str, Values]:
    objects, measured = results.objects, results.measured
    values = {}
    for axes in ("x2", "y2", "xy"):
        values[f"{axes.upper()}_IMAGE"] = objects[axes]
        values[f"ERR{axes.upper()}_IMAGE"] = objects[f"err{axes}"]
        values[f"{axes.upper()}WIN_IMAGE"] = measured[f"win_{axes}"]
        values[f"ERR{axes.upper()}WIN_IMAGE"] = measured[f"win_err{axes}"]
    for name in ("a", "b", "cxx", "cyy", "cxy"):
        values[f"{name.upper()}_IMAGE"] = objects[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        values["ELONGATION"] = objects["a"] / objects["b"]
        values["ELLIPTICITY"] = np.float32(1) - objects["b"] / objects["a"]
    a2, b2 = np.square(objects["a"]), np.square(objects["b"])
    values["POLAR_IMAGE"] = (a2 - b2) / (a2 + b2)
    values["THETA_IMAGE"] = objects["theta"]
    values["FWHM_IMAGE"] = objects["fwhm"]
    return values


def _counts(results: Measurements) -> dict[str, Values]:
    objects, measured = results.objects, results.measured
    rows = objects.size
    return {
        "NUMBER": np.arange(rows) + 1,
        "EXT_NUMBER": np.ones(rows, np.int16),
        "ID_PARENT": objects["parent"],
        "ISOAREA_IMAGE": objects["iso_area"],
        "ISOAREAF_IMAGE": objects["npix"],
        **{f"ISO{k}": objects["iso_levels"][:, k] for k in range(8)},
        "FLAGS": measured["flags"],
        "FLAGS_WIN": measured["win_flags"],
        "NITER_WIN": measured["win_iterations"],
        "IMAFLAGS_ISO": objects["image_flags"],
    }


def _photometry(results: Measurements, zero_point: float) -> dict[str, Values]:
    objects, measured = results.objects, results.measured
    iso_error = np.sqrt(np.maximum(objects["iso_variance"], 0).astype(np.float64))
    pairs = {
        "AUTO": (measured["auto_flux"], measured["auto_error"]),
        "WIN": (measured["win_flux"], measured["win_error"]),
        "APER": (_squeezed(results.fluxes), _squeezed(results.errors)),
        "ISO": (objects["iso_flux"], iso_error.astype(np.float32)),
        "PETRO": (measured["petro_flux"], measured["petro_error"]),
    }
    values = {}
    for kind, (flux, error) in pairs.items():
        values[f"FLUX_{kind}"], values[f"FLUXERR_{kind}"] = flux, error
        values[f"MAG_{kind}"], values[f"MAGERR_{kind}"] = _magnitude(flux, error, zero_point)
    values["FLUX_ISOCOR"] = isocor = _corrected(objects)
    crowded = measured["flags"] & DetectFlag.CROWDED != 0
    values["FLUX_BEST"] = best = np.where(crowded, isocor, measured["auto_flux"])
    values["MAG_ISOCOR"], _ = _magnitude(isocor, isocor, zero_point)
    values["MAG_BEST"], _ = _magnitude(best, best, zero_point)
    values["PETRO_RADIUS"] = measured["petro_radius"]
    values["KRON_RADIUS"] = measured["kron_radius"]
    values["FLUX_RADIUS"] = _squeezed(results.radii)
    values["FLUX_MAX"] = objects["iso_max"]
    values["SNR_WIN"] = measured["win_snr"]
    values["BACKGROUND"] = objects["background"]
    values["THRESHOLD"] = objects["threshold"]
    return values


def _squeezed(values: Values) -> Values:
    """A column of numbers rather than of vectors of one number, as in FITS."""
    return values[:, 0] if values.shape[1] == 1 else values


def _corrected(objects: Values) -> Values:
    """Isophotal flux corrected for the light below the isophote of a Gaussian profile."""
    flux = objects["iso_flux"].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = objects["npix"] * objects["threshold"].astype(np.float64) / flux
    edge = np.clip(np.nan_to_num(edge, nan=1.0), 0, 1)
    return np.asarray(flux / (1 - 0.196099 * edge - 0.751208 * edge * edge))


def _magnitude(flux: Values, error: Values, zero_point: float) -> tuple[Values, Values]:
    good = flux > 0
    safe = np.where(good, flux, 1).astype(np.float64)
    magnitude = (-2.5 * np.log10(safe) + zero_point).astype(np.float32)
    magnitude_error = (1.086 * error.astype(np.float64) / safe).astype(np.float32)
    return (
        np.where(good, magnitude, NO_MAGNITUDE),
        np.where(good, magnitude_error, NO_MAGNITUDE),
    )


def _world(wcs: WCS | None, x: Values, y: Values) -> tuple[Values, Values]:
    if wcs is None or x.size == 0:
        return np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    return wcs.pixel_to_sky(x, y)


def _surface_brightness(
    results: Measurements, exposure: Exposure, config: DetectConfig
) -> dict[str, Values]:
    objects = results.objects
    area = _pixel_area(objects, exposure.wcs, config)

    def brightness(value: Values) -> Values:
        good = value > 0
        magnitude = -2.5 * np.log10(np.where(good, value, 1) / area) + exposure.zero_point
        return np.where(good, magnitude, 99.0)

    return {
        "MU_MAX": brightness(objects["iso_max"]),
        "MU_THRESHOLD": brightness(objects["iso_threshold"]),
        "FWHM_WORLD": objects["fwhm"] * np.sqrt(area) / DEGREE,
    }


def _pixel_area(objects: Values, wcs: WCS | None, config: DetectConfig) -> Values:
    """Area of the pixels at the objects, arcsec^2; NaN when the pixel scale is unknown."""
    if config.pixel_scale > 0:
        return np.full(objects.size, config.pixel_scale**2)
    if wcs is None or objects.size == 0:
        return np.full(objects.size, np.nan)
    lon_x, lon_y, lat_x, lat_y = local_jacobian(wcs, objects["x"], objects["y"])
    return np.asarray(np.abs(lon_x * lat_y - lon_y * lat_x) * DEGREE**2)


def _metadata(
    results: Measurements,
    exposure: Exposure,
    measured: PreparedImage,
    sought: PreparedImage,
    config: DetectConfig,
) -> dict[str, Any]:
    """SExtractor's header cards; SEXPXSCL is 1 when no pixel scale is known."""
    scale = config.pixel_scale or (exposure.wcs.pixel_scale if exposure.wcs else 1.0)
    noise, analysis = float(sought.plane.noise), float(measured.plane.noise)
    if config.threshold_type == "absolute":
        noise = analysis = 1.0
    saturation = exposure.saturation if np.isfinite(exposure.saturation) else 1e30
    apertures = {f"SEXAPED{k + 1}": d for k, d in enumerate(config.apertures[:4])}
    background = measured.background
    return {
        "SEXBKGND": float(background.level),
        "SEXBKDEV": float(measured.plane.noise),
        "SEXTHLD": float(np.float32(config.threshold * noise)),
        "SEXATHLD": float(np.float32(config.analysis_threshold * analysis)),
        "SEXNFIN": int(results.objects.size),
        "SEXPXSCL": float(scale),
        "SEXGAIN": float(exposure.gain),
        "SEXSATLV": float(saturation),
        "SEXMGZPT": float(exposure.zero_point),
        "SEXFLTR": config.filter is not None,
        "SEXFLTW": int(filter_mask(config).shape[1]),
        "SEXMINAR": config.min_area,
        "SEXDBLDN": config.deblend_levels,
        "SEXDBLDC": config.deblend_contrast,
        "SEXCLN": config.clean,
        "SEXCLNPA": config.clean_efficiency,
        **apertures,
        "SEXAUTP1": config.kron_factor,
        "SEXAUTP2": config.kron_min_radius,
        "SEXBKGSX": background.mesh[0],
        "SEXBKGSY": background.mesh[1],
        "SEXBKGFX": config.back_filter_size[0],
        "SEXBKGFY": config.back_filter_size[1],
        "SEXMWSCL": measured.weight_factor,
        "SEXDWSCL": sought.weight_factor,
    }
