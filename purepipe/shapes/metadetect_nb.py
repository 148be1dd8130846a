"""Peaks of the band-limited interpolant of an image, and moments about them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel, kernel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

TAPS = 12
PHASES = 4096
FIRST_STEP = 0.3  # pixel, along the gradient while the Hessian is not negative definite
LONGEST_STEP = 0.7
SHORTEST_STEP = 0.005
FARTHEST = 1.5  # pixels from the lattice maximum
MAX_STEPS = 12
MOMENT_CUT = 4.5  # sigma of the weight


@inner_kernel
def lattice_maxima(image: Singles, threshold: float, border: int, places: NDArray[np.int64]) -> int:
    """Pixels above the threshold and not below their neighbours; returns their number.

    Of equal neighbours the first one counts. More maxima than `places` holds are dropped.
    """
    ny, nx = image.shape
    found = 0
    for y in range(border, ny - border):
        for x in range(border, nx - border):
            v = image[y, x]
            if not v > threshold:
                continue
            if not (v > image[y - 1, x - 1] and v > image[y - 1, x] and v > image[y - 1, x + 1]):
                continue
            if not (v > image[y, x - 1] and v >= image[y, x + 1] and v >= image[y + 1, x - 1]):
                continue
            if v >= image[y + 1, x] and v >= image[y + 1, x + 1] and found < len(places):
                places[found, 0] = x
                places[found, 1] = y
                found += 1
    return found


@fast_kernel
def interpolate(image: Singles, x: float, y: float, taps: Floats, out: Floats) -> None:
    """Value, gradient (x, y) and Hessian (xx, xy, yy) of the interpolant of an image."""
    column, row = math.floor(x), math.floor(y)
    i, j = int((x - column) * PHASES + 0.5), int((y - row) * PHASES + 0.5)
    left, bottom = int(column) - TAPS // 2 + 1, int(row) - TAPS // 2 + 1
    for k in range(6):
        out[k] = 0.0
    for b in range(TAPS):
        r0, r1, r2 = 0.0, 0.0, 0.0
        for a in range(TAPS):
            value = image[bottom + b, left + a]
            r0 += value * taps[0, i, a]
            r1 += value * taps[1, i, a]
            r2 += value * taps[2, i, a]
        c0, c1, c2 = taps[0, j, b], taps[1, j, b], taps[2, j, b]
        out[0] += r0 * c0
        out[1] += r1 * c0
        out[2] += r0 * c1
        out[3] += r2 * c0
        out[4] += r1 * c1
        out[5] += r0 * c2


@inner_kernel
def refine_peak(image: Singles, x0: float, y0: float, taps: Floats, peak: Floats) -> bool:
    """Newton steps to the maximum near a pixel; `peak` receives x, y, value and Hessian."""
    x, y = x0, y0
    out = np.empty(6)
    for _ in range(MAX_STEPS):
        interpolate(image, x, y, taps, out)
        det = out[3] * out[5] - out[4] * out[4]
        if out[3] < 0.0 and det > 0.0:
            dx = -(out[5] * out[1] - out[4] * out[2]) / det
            dy = -(out[3] * out[2] - out[4] * out[1]) / det
        else:
            length = math.hypot(out[1], out[2])
            if not length > 0.0:
                return False
            dx, dy = FIRST_STEP * out[1] / length, FIRST_STEP * out[2] / length
        length = math.hypot(dx, dy)
        if not length < 1e10:
            return False
        if length > LONGEST_STEP:
            dx, dy = dx * LONGEST_STEP / length, dy * LONGEST_STEP / length
        x, y = x + dx, y + dy
        if math.hypot(x - x0, y - y0) > FARTHEST:
            return False
        if length < SHORTEST_STEP:
            interpolate(image, x, y, taps, out)
            peak[0], peak[1], peak[2] = x, y, out[0]
            peak[3], peak[4], peak[5] = out[3], out[4], out[5]
            maximum: bool = out[3] < 0.0 and out[3] * out[5] - out[4] * out[4] > 0.0
            return maximum
    return False


@inner_kernel
def weighted_moments(image: Singles, x: float, y: float, jac: Floats, variance: float) -> Any:
    """Flux and Muu, Muv, Mvv under a round Gaussian about (x, y), in world coordinates."""
    radius = MOMENT_CUT * math.sqrt(variance)
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    reach_x = radius * math.hypot(jac[0, 1], jac[1, 1]) / abs(det)
    reach_y = radius * math.hypot(jac[0, 0], jac[1, 0]) / abs(det)
    first_x, last_x = max(0, math.ceil(x - reach_x)), min(image.shape[1] - 1, int(x + reach_x))
    first_y, last_y = max(0, math.ceil(y - reach_y)), min(image.shape[0] - 1, int(y + reach_y))
    flux, uu, uv, vv = 0.0, 0.0, 0.0, 0.0
    for j in range(first_y, last_y + 1):
        for i in range(first_x, last_x + 1):
            u = jac[0, 0] * (i - x) + jac[0, 1] * (j - y)
            v = jac[1, 0] * (i - x) + jac[1, 1] * (j - y)
            r2 = u * u + v * v
            if r2 < radius * radius:
                value = math.exp(-0.5 * r2 / variance) * image[j, i]
                flux += value
                uu += u * u * value
                uv += u * v * value
                vv += v * v * value
    return flux, uu, uv, vv


@kernel
def detect_and_measure(
    detection: Singles, measurement: Singles, jac: Floats, threshold: float, variance: float,
    border: int, taps: Floats, places: NDArray[np.int64], out: Floats,
) -> int:  # fmt: skip
    """Peaks above the threshold and their moments; returns their number.

    Columns of `out`: x, y, peak, the smaller eigenvalue of minus the Hessian in world coordinates,
    flux, Muu, Muv, Mvv.
    """
    number = lattice_maxima(detection, 0.9 * threshold, border, places)
    peak = np.empty(6)
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    ixu, ixv, iyu, iyv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
    found = 0
    for k in range(number):
        good = refine_peak(
            detection, np.float64(places[k, 0]), np.float64(places[k, 1]), taps, peak
        )
        if not good or peak[2] < threshold:
            continue
        near = False
        for other in range(found):
            if math.hypot(out[other, 0] - peak[0], out[other, 1] - peak[1]) < 0.1:
                near = True
        if near:
            continue
        hxx, hxy, hyy = peak[3], peak[4], peak[5]
        huu = ixu * ixu * hxx + 2.0 * ixu * iyu * hxy + iyu * iyu * hyy
        huv = ixu * ixv * hxx + (ixu * iyv + ixv * iyu) * hxy + iyu * iyv * hyy
        hvv = ixv * ixv * hxx + 2.0 * ixv * iyv * hxy + iyv * iyv * hyy
        out[found, 0], out[found, 1], out[found, 2] = peak[0], peak[1], peak[2]
        out[found, 3] = -0.5 * (huu + hvv) - math.hypot(0.5 * (huu - hvv), huv)
        flux, uu, uv, vv = weighted_moments(measurement, peak[0], peak[1], jac, variance)
        out[found, 4], out[found, 5], out[found, 6], out[found, 7] = flux, uu, uv, vv
        found += 1
    return found


@kernel
def measure_at(measurement: Singles, jac: Floats, variance: float, out: Floats) -> None:
    """Moments about the positions in the first two columns of `out`, into its last four."""
    for k in range(len(out)):
        flux, uu, uv, vv = weighted_moments(measurement, out[k, 0], out[k, 1], jac, variance)
        out[k, 4], out[k, 5], out[k, 6], out[k, 7] = flux, uu, uv, vv
