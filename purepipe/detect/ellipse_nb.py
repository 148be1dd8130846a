"""Kernels of photometry in ellipses that follow the profile: Kron's and Petrosian's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, lean_kernel
from purepipe.detect.pixels_nb import (
    APERTURE_CUT,
    CROWDED,
    F0,
    F1,
    cut_box,
    fetch,
    global_gain,
    is_unusable,
    local_gain,
    photon_variance,
)
from purepipe.detect.records_nb import Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array


@lean_kernel
def _ellipse_box(
    obj: Record, k: float, width: int, lines: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    """Pixel range (upper ends excluded) of the ellipse of k times the axes."""
    ext_x = k / math.sqrt(obj.cxx - obj.cxy * obj.cxy / (4.0 * obj.cyy))
    ext_y = k / math.sqrt(obj.cyy - obj.cxy * obj.cxy / (4.0 * obj.cxx))
    return cut_box(np.float32(obj.x), np.float32(obj.y), ext_x, ext_y, width, lines)


@lean_kernel
def _radius2(cxx: Number, cyy: Number, cxy: Number, dx: Number, dy: Number) -> Number:
    return np.float32(cxx * dx * dx + cyy * dy * dy + cxy * dx * dy)


@lean_kernel
def _aperture_shape(
    obj: Record, k: float, smallest: float
) -> tuple[Number, Number, Number, Number, bool]:
    """Coefficients and limit of the ellipse, or of a circle where the ellipse is too small."""
    if k * math.sqrt(obj.a * obj.b) > smallest:
        return obj.cxx, obj.cyy, obj.cxy, np.float32(k), False
    return F1, F1, F0, np.float32(smallest), True


@lean_kernel
def _is_crowded(unusable: int, area: int) -> bool:
    # The quotient in single precision: exactly a tenth is crowded.
    return bool(np.float64(np.float32(unusable) / np.float32(area)) > 0.1)


@lean_kernel
def _kron_moment(
    obj: Record, detection: Plane, mask: Mask, label: int, smallest: float, lines: tuple[int, int]
) -> tuple[float, float, bool, bool]:
    """First-moment radius within 6 axes, and whether the ellipse was crowded or cut."""
    cxx, cyy, cxy, k, circle = _aperture_shape(obj, 6.0, smallest)
    width = detection.image.shape[1]
    mx, my = np.float32(obj.x), np.float32(obj.y)
    if circle:
        x0, x1, y0, y1, cut = cut_box(mx, my, np.float64(k), np.float64(k), width, lines)
    else:
        x0, x1, y0, y1, cut = _ellipse_box(obj, np.float64(k), width, lines)
    image, noises, labels = detection.image, detection.variance, mask.labels
    weighted, bad = detection.weighted, detection.bad_level
    limit = np.float32(k * k)
    total = moment = 0.0
    area = unusable = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            r2 = _radius2(cxx, cyy, cxy, np.float32(px - mx), np.float32(py - my))
            if not r2 <= limit:
                continue
            area += 1
            owner = labels[py, px]
            if (
                (weighted and noises[py, px] >= bad) or (owner != 0 and owner != label)
            ) and is_unusable(detection, mask, label, py, px):
                unusable += 1
                continue
            v = np.float64(image[py, px])
            total += v
            moment += math.sqrt(np.float64(r2)) * v
    return moment, total, _is_crowded(unusable, area), cut


@lean_kernel
def _ellipse_flux(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    k: float,
    smallest: float,
    lines: tuple[int, int],
    offset: Number,
) -> tuple[float, float, bool, bool, bool]:
    """Flux and variance in an ellipse of whole pixels; crowded, cut, and circular or not."""
    cxx, cyy, cxy, k, circle = _aperture_shape(obj, k, smallest)
    width = plane.image.shape[1]
    mx, my = np.float32(obj.x), np.float32(obj.y)
    if circle:
        x0, x1, y0, y1, cut = cut_box(mx, my, np.float64(k), np.float64(k), width, lines)
    else:
        x0, x1, y0, y1, cut = _ellipse_box(obj, np.float64(k), width, lines)
    centre2 = (2 * np.float64(mx) + 0.49999, 2 * np.float64(my) + 0.49999)
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    local, once = local_gain(plane), global_gain(plane)
    limit = np.float32(k * k)
    flux = variance = 0.0
    area = unusable = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            r2 = _radius2(cxx, cyy, cxy, np.float32(px - mx), np.float32(py - my))
            if not r2 <= limit:
                continue
            area += 1
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                unusable += is_unusable(plane, mask, label, py, px)
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            flux += np.float64(v)
            variance += np.float64(var)
            variance += photon_variance(local, noise2, np.float64(v), np.float64(var))
    if offset != 0:
        flux -= np.float64(np.float32(np.float32(area) * np.float32(offset)))
    if once > 0 and flux > 0:
        variance += flux / once
    # Unlike within 6 axes, exactly a tenth is not crowded here.
    return flux, variance, 10 * unusable > area, cut, circle


@lean_kernel
def _scaled_ellipse(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    radius: Number,
    smallest: float,
    lines: tuple[int, int],
    out: Record,
) -> tuple[Number, Number, Number]:
    """Flux, its error and the radius to report for the ellipse of `radius` times the axes."""
    flux, variance, crowded, cut, circle = _ellipse_flux(
        obj, plane, mask, label, np.float64(radius), smallest, lines, out.local_background
    )
    if crowded:
        out.flags |= CROWDED
    if cut:
        out.flags |= APERTURE_CUT
    error = np.float32(math.sqrt(max(variance, 0.0)))
    return np.float32(flux), error, F0 if circle or not flux > 0 else radius


@inner_kernel
def measure_auto(
    obj: Record,
    detection: Plane,
    plane: Plane,
    mask: Mask,
    label: int,
    kron: tuple[float, float, float, float],
    lines: tuple[int, int],
    out: Record,
) -> None:
    """Flux in an adaptive ellipse; `kron` is (factor, least radius, least two diameters).

    Kron (1980), ApJS 43, 305. The least radius applies to the product of factor and moment.
    """
    factor, least, first_diameter, second_diameter = kron
    moment, total, crowded, cut = _kron_moment(
        obj, detection, mask, label, first_diameter / 2, lines
    )
    if crowded:
        out.flags |= CROWDED
    if cut:
        out.flags |= APERTURE_CUT
    radius = np.float32(least)
    if total > 0 and moment > 0:
        radius = np.float32(max(np.float32(factor * moment / total), np.float32(least)))
    out.auto_flux, out.auto_error, out.kron_radius = _scaled_ellipse(
        obj, plane, mask, label, radius, second_diameter / 2, lines, out
    )


@lean_kernel
def _ring_means(
    detection: Plane,
    mask: Mask,
    label: int,
    shape: tuple[Number, Number, Number, Number, Number],
    radii: tuple[float, float, float],
    box: tuple[int, int, int, int],
) -> tuple[float, float, bool]:
    """Mean values between two ellipses and within one halfway, and whether all was crowded.

    Unusable pixels are left out; a mean of no pixel is NaN. `shape` is (CXX, CYY, CXY, centre x,
    centre y), `radii` (inner, halfway, outer).
    """
    cxx, cyy, cxy, mx, my = shape
    x0, x1, y0, y1 = box
    low, half, high = radii[0] * radii[0], radii[1] * radii[1], radii[2] * radii[2]
    ring = disk = 0.0
    in_ring = in_disk = area = unusable = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            r2 = _radius2(cxx, cyy, cxy, np.float32(px - mx), np.float32(py - my))
            if not r2 <= high:
                continue
            area += 1
            if is_unusable(detection, mask, label, py, px):
                unusable += 1
                continue
            v = np.float64(detection.image[py, px])
            if r2 >= low:
                ring += v
                in_ring += 1
            if r2 < half:
                disk += v
                in_disk += 1
    crowded = area > 0 and _is_crowded(unusable, area)
    return ring / in_ring if in_ring else np.nan, disk / in_disk if in_disk else np.nan, crowded


@lean_kernel
def _petro_radius(
    obj: Record, detection: Plane, mask: Mask, label: int, least: float, lines: tuple[int, int]
) -> tuple[float, bool, bool]:
    """Petrosian radius in units of the shape; whether it was crowded, and cut by the image.

    The radius is 0 without light, also where a mean is exactly zero; neighbours count within the
    outer edge of the last ring.

    The rings follow the ellipse up to 6 axes, or a circle of the radius `least` (pixels) where
    that ellipse is smaller; they grow by a twentieth of the limit.
    """
    cxx, cyy, cxy, limit, circle = _aperture_shape(obj, 6.0, least)
    width = detection.image.shape[1]
    mx, my = np.float32(obj.x), np.float32(obj.y)
    if circle:
        x0, x1, y0, y1, cut = cut_box(mx, my, np.float64(limit), np.float64(limit), width, lines)
    else:
        x0, x1, y0, y1, cut = _ellipse_box(obj, np.float64(limit), width, lines)
    # The radii grow in single precision, their edges and middles are taken in double.
    step = np.float32(0.05 * np.float64(limit))
    inner = step
    middle = ring = disk = 0.0
    crowded = False
    while 1.2 * np.float64(inner) < limit:
        outer = 1.2 * np.float64(inner)
        middle = (np.float64(inner) + outer) / 2
        ring, disk, crowded = _ring_means(
            detection, mask, label, (cxx, cyy, cxy, mx, my), (np.float64(inner), middle, outer),
            (x0, x1, y0, y1),
        )  # fmt: skip
        if ring < 0.2 * disk:  # not the quotient: both may be negative
            break
        inner = np.float32(inner + step)
    known = not (np.isnan(ring + disk) or ring == 0 or disk == 0)
    return middle if known else 0.0, crowded, cut


@inner_kernel
def measure_petro(
    obj: Record,
    detection: Plane,
    plane: Plane,
    mask: Mask,
    label: int,
    petro: tuple[float, float, float, float],
    lines: tuple[int, int],
    out: Record,
) -> None:
    """Flux in an ellipse set by the Petrosian radius; `petro` as `kron` in `measure_auto`.

    Petrosian (1976), ApJ 209, L1: where the local surface brightness falls to a fifth of the
    mean within.
    """
    factor, least, first_diameter, second_diameter = petro
    middle, crowded, cut = _petro_radius(obj, detection, mask, label, first_diameter / 2, lines)
    if crowded:
        out.flags |= CROWDED
    if cut:
        out.flags |= APERTURE_CUT
    radius = np.float32(max(factor * middle, least) if middle > 0 else least)
    out.petro_flux, out.petro_error, out.petro_radius = _scaled_ellipse(
        obj, plane, mask, label, radius, second_diameter / 2, lines, out
    )
