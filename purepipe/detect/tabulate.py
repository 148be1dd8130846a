"""From measured records to SExtractor's columns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue.requests import Request, requested_columns
from purepipe.catalogue.table import typed_columns
from purepipe.config.detect import DetectConfig
from purepipe.detect.derived import (
    Jacobian,
    ellipse_columns,
    local_jacobian,
    polarisation,
    world_columns,
)
from purepipe.detect.footprints import filter_mask
from purepipe.detect.photometry import Measurements
from purepipe.detect.planes import PreparedImage
from purepipe.detect.sky import is_on_sky, sky_positions
from purepipe.exposure import Exposure
from purepipe.flags import DetectFlag

log = logging.getLogger(__name__)

Values = NDArray[Any]
NO_MAGNITUDE = np.float32(99)
DEGREE = 3600.0  # arcsec


def detection_columns(
    results: Measurements,
    exposure: Exposure,
    config: DetectConfig,
    extra: Mapping[str, Values] = MappingProxyType({}),
) -> dict[str, Values]:
    """The columns that the configuration asks for, in its order and of the registered types.

    `extra` holds columns that others have computed for these rows.

    Raises
    ------
    ConfigError
        A column is unknown.
    """
    requests = requested_columns(config)
    names = [request.name for request in requests]
    values = {
        **_positions(results),
        **_shapes(results),
        **_counts(results),
        **_photometry(results, exposure.zero_point),
        **extra,
        "VIGNET": results.vignets,
        "VIGNET_SHIFT": results.shifted,
        "DURATION_ANALYSIS": np.full(results.objects.size, results.seconds),
    }
    if any(name not in values for name in names):
        values |= ellipse_columns(values)
    if any(map(is_on_sky, names)) or any(name.startswith("MU_") for name in names):
        systems = {name.rpartition("_")[2] for name in names}
        values |= _on_sky(results, values, exposure, config, systems)
    if any("GROWTH" in name for name in names):
        values |= growth_columns(results, requests, exposure.zero_point)
    return typed_columns(
        {request.name: _sized(values[request.name], request) for request in requests},
        rows=results.objects.size,
    )


def _sized(values: Values, request: Request) -> Values:
    """An array column of the length that is asked for; what was not measured is zero."""
    if values.ndim != 2:
        return values
    length = request.size[0] if request.size else values.shape[1]
    if length == 1:
        return values[:, 0]
    if length > values.shape[1]:  # the original leaves the rest at zero, too
        log.warning("%s(%d): there are only %d", request.name, length, values.shape[1])
        rest = np.zeros((len(values), length - values.shape[1]), values.dtype)
        values = np.concatenate([values, rest], axis=1)
    return values[:, :length]


def _positions(results: Measurements) -> dict[str, Values]:
    objects, measured = results.objects, results.measured
    return {
        "X_IMAGE": objects["x"] + 1,
        "Y_IMAGE": objects["y"] + 1,
        "X_IMAGE_DBL": objects["x"] + 1,
        "Y_IMAGE_DBL": objects["y"] + 1,
        "XWIN_IMAGE": measured["win_x"] + 1,
        "YWIN_IMAGE": measured["win_y"] + 1,
        "XPEAK_IMAGE": objects["xpeak"] + 1,
        "YPEAK_IMAGE": objects["ypeak"] + 1,
        **{f"{edge.upper()}_IMAGE": objects[edge] + 1 for edge in ("xmin", "xmax", "ymin", "ymax")},
    }


def _on_sky(
    results: Measurements, moments: dict[str, Values], exposure: Exposure, config: DetectConfig,
    systems: Collection[str],
) -> dict[str, Values]:  # fmt: skip
    """Positions, shapes, areas and surface brightnesses on the sky."""
    objects, measured, wcs = results.objects, results.measured, exposure.wcs
    x, y = objects["x"], objects["y"]
    jacobian = local_jacobian(wcs, x, y)
    return {
        **sky_positions(wcs, x, y, "", systems),
        **sky_positions(wcs, measured["win_x"], measured["win_y"], "WIN", systems),
        **sky_positions(wcs, objects["xpeak"], objects["ypeak"], "PEAK", systems),
        **world_columns(moments, jacobian, wcs, x, y, systems),
        **_surface_brightness(results, jacobian, exposure, config),
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
    values["POLAR_IMAGE"] = polarisation(objects["a"], objects["b"])
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
    }


def _photometry(results: Measurements, zero_point: float) -> dict[str, Values]:
    objects, measured = results.objects, results.measured
    iso_error = np.sqrt(np.maximum(objects["iso_variance"], 0).astype(np.float64))
    pairs = {
        "AUTO": (measured["auto_flux"], measured["auto_error"]),
        "WIN": (measured["win_flux"], measured["win_error"]),
        "APER": (results.fluxes, results.errors),
        "ISO": (objects["iso_flux"], iso_error.astype(np.float32)),
        "PETRO": (measured["petro_flux"], measured["petro_error"]),
    }
    crowded = measured["flags"] & DetectFlag.CROWDED != 0
    pairs["ISOCOR"] = isocor = _corrected(objects)
    auto = pairs["AUTO"]
    pairs["BEST"] = (np.where(crowded, isocor[0], auto[0]), np.where(crowded, isocor[1], auto[1]))
    values = {}
    for kind, (flux, error) in pairs.items():
        values[f"FLUX_{kind}"], values[f"FLUXERR_{kind}"] = flux, error
        values[f"MAG_{kind}"], values[f"MAGERR_{kind}"] = _magnitude(flux, error, zero_point)
    values["PETRO_RADIUS"] = measured["petro_radius"]
    values["KRON_RADIUS"] = measured["kron_radius"]
    values["FLUX_RADIUS"] = results.radii
    values["FLUX_MAX"] = objects["iso_max"]
    values["SNR_WIN"] = measured["win_snr"]
    values["BACKGROUND"] = objects["background"]
    values["THRESHOLD"] = values["THRESHOLDMAX"] = objects["threshold"]
    return values


def _corrected(objects: Values) -> tuple[Values, Values]:
    """Isophotal flux corrected for the light below the isophote of a Gaussian, and its error.

    The error adds that of the correction: the isophote, and the number of pixels within.
    """
    flux = objects["iso_flux"].astype(np.float64)
    threshold = objects["threshold"].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = objects["npix"] * threshold / flux
    edge = np.clip(np.nan_to_num(edge, nan=1.0), 0, 1)
    slope = 0.196099 + 2 * 0.751208 * edge
    variance = np.maximum(objects["iso_variance"], 0).astype(np.float64)
    added = np.square(slope * edge) * (np.square(flux) / objects["npix"] + variance)
    corrected = flux / (1 - 0.196099 * edge - 0.751208 * edge * edge)
    return corrected.astype(np.float32), np.sqrt(variance + added).astype(np.float32)


def growth_columns(
    results: Measurements, requests: Sequence[Request], zero_point: float
) -> dict[str, Values]:
    """Growth curves with as many points as are asked for, each up to the same largest radius."""
    values: dict[str, Values] = {}
    limit, curves = results.measured["growth_limit"], results.curves
    for kind in ("FLUX", "MAG"):
        sizes = [item.size for item in requests if item.name == f"{kind}_GROWTH"]
        points = next((size[0] for size in sizes if size), curves.shape[1])
        flux = _resampled(curves, points).astype(np.float32)
        values[f"{kind}_GROWTHSTEP"] = limit / points
        values[f"{kind}_GROWTH"] = flux if kind == "FLUX" else _magnitude(flux, flux, zero_point)[0]
    return values


def _resampled(curves: Values, points: int) -> Values:
    """Cumulative curves at `points` equal steps, by linear interpolation.

    As in the original, positions are a hundred-thousandth of a ring too far out, where the curve
    ends in zero.
    """
    n = curves.shape[1]
    rings = np.concatenate([np.zeros((len(curves), 1)), curves, np.zeros((len(curves), 1))], axis=1)
    where = (np.arange(points) + 1) * n / points + 1e-5
    left = where.astype(int)
    part = where - left
    return np.asarray(rings[:, left] * (1 - part) + rings[:, left + 1] * part)


def _magnitude(flux: Values, error: Values, zero_point: float) -> tuple[Values, Values]:
    good = flux > 0
    safe = np.where(good, flux, 1).astype(np.float64)
    magnitude = (-2.5 * np.log10(safe) + zero_point).astype(np.float32)
    magnitude_error = (1.086 * error.astype(np.float64) / safe).astype(np.float32)
    return (
        np.where(good, magnitude, NO_MAGNITUDE),
        np.where(good, magnitude_error, NO_MAGNITUDE),
    )


def _surface_brightness(
    results: Measurements, jacobian: Jacobian, exposure: Exposure, config: DetectConfig
) -> dict[str, Values]:
    objects = results.objects
    area = _pixel_area(objects, jacobian, config)

    def brightness(value: Values) -> Values:
        good = value > 0
        magnitude = -2.5 * np.log10(np.where(good, value, 1) / area) + exposure.zero_point
        return np.where(good, magnitude, 99.0)

    return {
        "MU_MAX": brightness(objects["iso_max"]),
        "MU_THRESHOLD": brightness(objects["iso_threshold"]),
        "FWHM_WORLD": objects["fwhm"] * np.sqrt(area) / DEGREE,
        "ISOAREA_WORLD": objects["iso_area"] * area / DEGREE**2,
        "ISOAREAF_WORLD": objects["npix"] * area / DEGREE**2,
    }


def _pixel_area(objects: Values, jacobian: Jacobian, config: DetectConfig) -> Values:
    """Area of the pixels at the objects, arcsec^2; NaN when the pixel scale is unknown."""
    if config.pixel_scale > 0:
        return np.full(objects.size, config.pixel_scale**2)
    lon_x, lon_y, lat_x, lat_y = jacobian
    return np.asarray(np.abs(lon_x * lat_y - lon_y * lat_x) * DEGREE**2)


def detection_metadata(
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
