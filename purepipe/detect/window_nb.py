"""Kernels of the windowed quantities: position, moments and flux under a Gaussian."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, lean_kernel
from purepipe.detect.pixels_nb import (
    APERTURE_CUT,
    F0,
    F1,
    RIM,
    circle_box,
    covered_area,
    fetch,
    global_gain,
    local_gain,
    subpixel_squares,
)
from purepipe.detect.records_nb import BIG, Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

PARTS = 11  # subpixels along a side of a pixel on the rim


@lean_kernel
def _window_pass(
    plane: Plane,
    mask: Mask,
    label: int,
    x: Number,
    y: Number,
    sigma: Number,
    lines: tuple[int, int],
    areas: Array,
    squares: Array,
    kept: Array,
) -> tuple[float, float, float, int, bool]:
    """Sums of w v, w v dx and w v dy under the window at (x, y).

    `kept` (5, n) receives weight, value, variance, dx and dy of the pixels; their number and
    whether the window was cut are returned with the sums.
    """
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    r = np.float32(4) * sigma
    q = np.float32(1.0 / (2.0 * sigma * sigma))
    r2 = np.float32(r * r)
    outer2 = np.float32((r + RIM) * (r + RIM))
    inner2 = np.float32((r - RIM) * (r - RIM)) if r > RIM else F0
    x0, x1, y0, y1, cut = circle_box(x, y, np.float64(r), plane.image.shape[1], lines)
    centre2 = (2 * x + 0.49999, 2 * y + 0.49999)
    total = sum_x = sum_y = 0.0
    n = 0
    of_row = squares[squares.shape[0] - 1]  # the box is narrower, and empty far from the image
    for px in range(x0, x1):
        subpixel_squares(np.float32(px - x), PARTS, squares[px - x0])
    for py in range(y0, y1):
        dy = np.float32(py - y)
        subpixel_squares(dy, PARTS, of_row)
        for px in range(x0, x1):
            dx = np.float32(px - x)
            d2 = np.float32(dx * dx + dy * dy)
            if not d2 < outer2:
                continue
            area = F1
            if d2 > inner2:
                area = covered_area(squares[px - x0], of_row, PARTS, r2, areas)
            w = np.float32(area * np.float32(math.exp(np.float32(-d2 * q))))
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            wv = np.float64(w) * np.float64(v)
            total += wv
            sum_x += wv * np.float64(dx)
            sum_y += wv * np.float64(dy)
            kept[0, n], kept[1, n], kept[2, n], kept[3, n], kept[4, n] = w, v, var, dx, dy
            n += 1
    return total, sum_x, sum_y, n, cut


@lean_kernel
def _window_sums(plane: Plane, kept: Array, n: int, sums: Array) -> None:
    """Second moments and their errors over the pixels of the last pass."""
    # Inverse gains: the original multiplies here, and divides in the other apertures.
    local, once, noise2 = local_gain(plane), global_gain(plane), plane.noise2
    local, once = 1 / local if local > 0 else 0.0, 1 / once if once > 0 else 0.0
    xx = yy = xy = noise = exx = eyy = exy = 0.0
    for i in range(n):
        w, v, var = kept[0, i], np.float64(kept[1, i]), np.float64(kept[2, i])
        dx, dy = kept[3, i], kept[4, i]
        wv = np.float64(w) * v
        x, y = np.float64(dx), np.float64(dy)
        xx += wv * x * x
        yy += wv * y * y
        xy += wv * x * y
        e = var
        if v > 0:
            e += v * local * var / noise2 if local > 0 else v * once
        e *= np.float64(np.float32(w * w))
        noise += e
        exx += e * (np.float64(np.float32(dx * dx)) + 0.0833)
        eyy += e * (np.float64(np.float32(dy * dy)) + 0.0833)
        exy += e * x * y
    sums[0], sums[1], sums[2] = xx, yy, xy
    sums[3], sums[4], sums[5], sums[6] = noise, exx, eyy, exy


@inner_kernel
def measure_window(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    half_light: Number,
    lines: tuple[int, int],
    areas: Array,
    out: Record,
) -> None:
    """Position, moments and flux under a Gaussian window of the half-light radius."""
    sigma = np.float32(np.float64(half_light) * 2.0 / 2.35)
    side = int(8 * sigma + 4)
    kept = np.empty((5, side * side), np.float32)
    squares = np.empty((side, PARTS), np.float32)
    x, y = obj.x, obj.y
    total = shift_x = shift_y = 0.0
    passes = n = 0
    cut = converged = False
    while passes < 16 and not converged:
        passes += 1
        total, sum_x, sum_y, n, at_edge = _window_pass(
            plane, mask, label, x, y, sigma, lines, areas, squares, kept
        )
        cut |= at_edge
        if not total > 0:
            # The original goes on with the sums, undivided; FLAGS_WIN tells of it.
            shift_x, shift_y = sum_x, sum_y
            converged = True
            break
        shift_x, shift_y = sum_x / total, sum_y / total
        x += 2 * shift_x
        y += 2 * shift_y
        converged = shift_x * shift_x + shift_y * shift_y < 1e-8
    sums = np.empty(7)
    _window_sums(plane, kept, n, sums)
    out.win_iterations = passes if converged else 17
    if cut:
        out.flags |= APERTURE_CUT
    out.win_flux = np.float32(total)
    out.win_error = np.float32(math.sqrt(max(sums[3], 0.0)))
    out.win_snr = np.float32(out.win_flux / out.win_error) if out.win_error > 0 else BIG
    out.win_x, out.win_y = x, y
    _window_moments(obj, total, sums, shift_x, shift_y, out)


@lean_kernel
def _window_moments(
    obj: Record, total: float, sums: Array, shift_x: float, shift_y: float, out: Record
) -> None:
    flags = 0 if total > 0 else 4
    if _is_far(obj, out):
        flags |= 8
    if total == 0:
        _revert(obj, out, flags)
        return
    x2 = sums[0] / total - shift_x * shift_x
    y2 = sums[1] / total - shift_y * shift_y
    xy = sums[2] / total - shift_x * shift_y
    determinant = x2 * y2 - xy * xy
    if determinant < 0:
        flags |= 1
    if x2 < 0 or y2 < 0:
        flags |= 2
    if determinant < 0.00694:
        x2 += 0.0833333
        y2 += 0.0833333
    scale = 4.0 / (total * total)
    ex, ey, exy = sums[4] * scale, sums[5] * scale, sums[6] * scale
    if obj.singular:  # the isophotal moments decide
        q = sums[3] * (0.08333 * scale)
        if ex * ey - exy * exy < q * q:
            ex += q
            ey += q
    if flags:
        _revert(obj, out, flags)
        return
    out.win_flags = 0
    out.win_x2, out.win_y2, out.win_xy = x2, y2, xy
    out.win_errx2, out.win_erry2, out.win_errxy = ex, ey, exy


@lean_kernel
def _is_far(obj: Record, out: Record) -> bool:
    """Whether the window went more than a pixel along both axes, and out of the ellipse."""
    dx, dy = out.win_x - obj.x, out.win_y - obj.y
    if not (abs(dx) > 1 and abs(dy) > 1):
        return False
    return bool(obj.cxx * dx * dx + obj.cyy * dy * dy + obj.cxy * dx * dy > 1)


@lean_kernel
def _revert(obj: Record, out: Record, flags: int) -> None:
    out.win_flags = flags
    out.win_x, out.win_y = obj.x, obj.y
    out.win_x2, out.win_y2, out.win_xy = obj.x2, obj.y2, obj.xy
    out.win_errx2, out.win_erry2, out.win_errxy = obj.errx2, obj.erry2, obj.errxy
