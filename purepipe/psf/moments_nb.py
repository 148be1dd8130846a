"""Compiled core of the adaptive moments: one elliptical Gaussian weight per stamp, iterated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel, kernel

# Pixels beyond this squared elliptical radius carry a weight below 1e-7 and are left out.
CUT = 32.2
# Largest step of one iteration, in units of the minor axis (centroid) or its square (moments).
MAX_STEP = 0.25
# Limits of HSM: largest second moment (pixel^2) and largest shift of the centroid (pixels).
MAX_MOMENT = 8000.0
MAX_SHIFT = 15.0
# Below this squared minor axis (pixel^2) the pixel grid no longer samples the weight.
MIN_MOMENT = 1e-2

NOT_FINITE = 1
NO_FLUX = 2
COLLAPSED = 4
TOO_LARGE = 8
DRIFTED = 16
MAX_ITERATIONS = 32


@inner_kernel
def minor_axis(mxx: float, mxy: float, myy: float) -> float:
    """The smaller eigenvalue of the moment matrix."""
    return 0.5 * (mxx + myy) - math.hypot(0.5 * (mxx - myy), mxy)


@fast_kernel
def weighted_sums(
    image: NDArray[Any], x0: float, y0: float, mxx: float, mxy: float, myy: float
) -> tuple[float, float, float, float, float, float]:
    """Sums of I w times 1, dx, dy, dx^2, dx dy, dy^2 over the ellipse rho^2 <= CUT.

    Reordered sums spread NaN and infinities as strict ones do, so the caller still sees them.
    """
    height, width = image.shape
    det = mxx * myy - mxy * mxy
    a, b, c = myy / det, -mxy / det, mxx / det
    s = sx = sy = sxx = sxy = syy = 0.0
    slope, widest2, shrink = -b / a, CUT / a, 1.0 / (a * myy)
    reach, widest = math.sqrt(CUT * myy), math.sqrt(widest2)
    y_first, y_last = max(0, math.ceil(y0 - reach)), min(height - 1, math.floor(y0 + reach))
    weight, ratio, curvature = np.empty(width), np.empty(width), math.exp(-c)
    # Down a column the Gaussian obeys w(y+1) = w(y) r(y), r(y+1) = r(y) exp(-c). It is started
    # afresh before a row is 25 minor axes away, lest it underflow.
    block = max(1, int(25.0 * math.sqrt(minor_axis(mxx, mxy, myy))))
    for top in range(y_first, y_last + 1, block):
        bottom = min(top + block - 1, y_last)
        ridge_top, ridge_bottom = x0 + slope * (top - y0), x0 + slope * (bottom - y0)
        first = max(0, math.ceil(min(ridge_top, ridge_bottom) - widest))
        n = min(width - 1, math.floor(max(ridge_top, ridge_bottom) + widest)) - first + 1
        if n <= 0:
            continue
        start_row(weight[:n], ratio[:n], first - x0, top - y0, a, b, c)
        for j in range(top, bottom + 1):
            dy = j - y0
            half = math.sqrt(max(0.0, widest2 - shrink * dy * dy))
            left = min(max(0, math.ceil(x0 + slope * dy - half) - first), n)
            # A row that the ellipse misses gives an empty slice, never a negative index.
            end = max(left, min(n, math.floor(x0 + slope * dy + half) - first + 1))
            row, w, dx = image[j, first + left : first + end], weight[left:end], first + left - x0
            r0, r1, r2 = row_sums(row, w, dx)
            s += r0
            sx += r1
            sy += r0 * dy
            sxx += r2
            sxy += r1 * dy
            syy += r0 * dy * dy
            next_row(weight[:n], ratio[:n], curvature)
    return s, sx, sy, sxx, sxy, syy


@fast_kernel
def row_sums(
    row: NDArray[Any], weight: NDArray[np.float64], dx_first: float
) -> tuple[float, float, float]:
    """Sums of I w times 1, dx, dx^2 along a part of a row."""
    r0 = r1 = r2 = 0.0
    for i in range(len(row)):
        dx = dx_first + i
        value = row[i] * weight[i]
        r0 += value
        r1 += value * dx
        r2 += value * dx * dx
    return r0, r1, r2


@inner_kernel
def next_row(weight: NDArray[np.float64], ratio: NDArray[np.float64], curvature: float) -> None:
    """Bring the Gaussian and its ratio one row down."""
    for i in range(len(weight)):
        weight[i] *= ratio[i]
        ratio[i] *= curvature


@inner_kernel
def start_row(
    weight: NDArray[np.float64],
    ratio: NDArray[np.float64],
    dx_first: float,
    dy: float,
    a: float,
    b: float,
    c: float,
) -> None:
    """Fill the Gaussian of one row, and its ratio to the next row.

    By recurrence along the row, from the ridge to both sides: nothing underflows on the way to
    where the Gaussian matters.
    """
    start = min(max(0, round(-b / a * dy - dx_first)), len(weight) - 1)
    dx = dx_first + start
    middle = math.exp(-0.5 * (a * dx * dx + 2.0 * b * dx * dy + c * dy * dy))
    down = math.exp(-0.5 * (c * (2.0 * dy + 1.0) + 2.0 * b * dx))
    curvature = math.exp(-a)
    for side in (1, -1):
        along = math.exp(-0.5 * (a * (1.0 + 2.0 * side * dx) + 2.0 * side * b * dy))
        down_ratio = math.exp(-side * b)
        w, r = middle, down
        i = start
        while 0 <= i < len(weight):
            weight[i] = w
            ratio[i] = r
            w *= along
            along *= curvature
            r *= down_ratio
            i += side


@inner_kernel
def fourth_moment(
    image: NDArray[Any], x0: float, y0: float, mxx: float, mxy: float, myy: float
) -> float:
    """Sum of I w rho^4 over the ellipse, rho being the elliptical radius."""
    height, width = image.shape
    det = mxx * myy - mxy * mxy
    a, b, c = myy / det, -mxy / det, mxx / det
    curvature = math.exp(-a)
    total = 0.0
    for j in range(height):
        dy = j - y0
        half2 = (CUT - dy * dy / myy) / a
        if half2 < 0.0:
            continue
        ridge, half = x0 - b / a * dy, math.sqrt(half2)
        left, right = max(0, math.ceil(ridge - half)), min(width - 1, math.floor(ridge + half))
        dx = left - x0
        w = math.exp(-0.5 * (a * dx * dx + 2.0 * b * dx * dy + c * dy * dy))
        ratio = math.exp(-0.5 * (a * (2.0 * dx + 1.0) + 2.0 * b * dy))
        for i in range(left, right + 1):
            rho2 = a * dx * dx + 2.0 * b * dx * dy + c * dy * dy
            total += image[j, i] * w * rho2 * rho2
            w *= ratio
            ratio *= curvature
            dx += 1.0
    return total


@inner_kernel
def clip(value: float, limit: float) -> float:
    """`value` brought into [-limit, limit]."""
    return min(max(value, -limit), limit)


@inner_kernel
def fit_one(
    image: NDArray[Any],
    x: float,
    y: float,
    sigma: float,
    tolerance: float,
    max_iterations: int,
    out: NDArray[np.float64],
) -> tuple[int, int]:
    """Fill `out` with x, y, Mxx, Mxy, Myy, amplitude, rho4; return (flags, iterations)."""
    x0, y0 = x, y
    mxx = myy = sigma * sigma
    mxy = 0.0
    for iteration in range(1, max_iterations + 1):
        minor = minor_axis(mxx, mxy, myy)
        if not minor > MIN_MOMENT:
            return COLLAPSED, iteration
        s, sx, sy, sxx, sxy, syy = weighted_sums(image, x0, y0, mxx, mxy, myy)
        if not math.isfinite(s):
            return NOT_FINITE, iteration
        if s <= 0.0:
            return NO_FLUX, iteration
        # A Gaussian object seen through a matched weight has half its moments, and half the
        # offset of its centroid: these are Newton's steps to the matched weight.
        axis = math.sqrt(minor)
        dx = clip(2.0 * sx / s / axis, MAX_STEP)
        dy = clip(2.0 * sy / s / axis, MAX_STEP)
        dxx = clip((4.0 * sxx / s - 2.0 * mxx) / minor, MAX_STEP)
        dxy = clip((4.0 * sxy / s - 2.0 * mxy) / minor, MAX_STEP)
        dyy = clip((4.0 * syy / s - 2.0 * myy) / minor, MAX_STEP)
        x0 += dx * axis
        y0 += dy * axis
        mxx += dxx * minor
        mxy += dxy * minor
        myy += dyy * minor
        if max(abs(mxx), abs(mxy), abs(myy)) > MAX_MOMENT:
            return TOO_LARGE, iteration
        if max(abs(x0 - x), abs(y0 - y)) > MAX_SHIFT:
            return DRIFTED, iteration
        if max(abs(dx), abs(dy), abs(dxx), abs(dxy), abs(dyy)) <= tolerance:
            out[0], out[1], out[2], out[3], out[4] = x0, y0, mxx, mxy, myy
            out[5] = 2.0 * s
            out[6] = fourth_moment(image, x0, y0, mxx, mxy, myy) / s
            return 0, iteration
    return MAX_ITERATIONS, max_iterations


@kernel
def fit_batch(
    images: NDArray[Any],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sigma: NDArray[np.float64],
    tolerance: float,
    max_iterations: int,
    out: NDArray[np.float64],
    flags: NDArray[np.int32],
    iterations: NDArray[np.int32],
) -> None:
    """`fit_one` for every stamp of a (n, h, w) array."""
    for k in range(images.shape[0]):
        flags[k], iterations[k] = fit_one(
            images[k], x[k], y[k], sigma[k],
            tolerance, max_iterations, out[k],
        )  # fmt: skip
