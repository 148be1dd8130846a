"""Kernels of the growth curve: cumulative flux against radius, and radii of flux fractions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, lean_kernel
from purepipe.detect.pixels_nb import circle_box, fetch
from purepipe.detect.records_nb import Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

RINGS = 64
OUTSIDE, HALF, DOUBT = np.float32(RINGS + 0.5), np.float32(0.5), np.float32(0.4998)


@inner_kernel
def growth_curve(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    least: float,
    lines: tuple[int, int],
    curve: Array,
) -> tuple[float, bool]:
    """Cumulative flux in 64 rings; returns the limiting radius and whether it was cut."""
    limit = max(6.0 * obj.a, np.float64(least))
    x0, x1, y0, y1, cut = circle_box(obj.x, obj.y, limit + 1.5, plane.image.shape[1], lines)
    subpixels = 5 * max(x1 - x0, 0)
    squares, rings = np.empty(subpixels, np.float32), np.empty((6, subpixels), np.uint8)
    fluxes = np.zeros(RINGS + 1)  # the last for what lies outside
    _add_pixels(
        obj.x, obj.y, plane, mask, label, (x0, x1, y0, y1), limit, lines, squares, rings, fluxes
    )
    curve[0] = fluxes[0]
    for i in range(1, RINGS):
        curve[i] = fluxes[i] + curve[i - 1]
    return limit, cut


@lean_kernel
def _add_pixels(
    mx: float,
    my: float,
    plane: Plane,
    mask: Mask,
    label: int,
    box: tuple[int, int, int, int],
    limit: float,
    lines: tuple[int, int],
    squares: Array,
    rings: Array,
    fluxes: Array,
) -> None:
    """Add the pixels to the fluxes of the rings.

    `squares` and `rings` (6 rows) are work space for five subpixels a column of the box.
    """
    x0, x1, y0, y1 = box
    reach2 = (limit + 0.57) * (limit + 0.57)  # subpixels reach 0.566 from the centre of a pixel
    step = limit / RINGS
    per_step = 1.0 / step  # the original multiplies, which matters on the edge of a ring
    coarse = step > 1.5  # otherwise every pixel is close to the edge of a ring
    centre2 = (2 * mx + 0.49999, 2 * my + 0.49999)
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    for px in range(x0, x1):
        for k in range(5):
            offset = np.float32(px - mx + 0.2 * (k - 2))
            squares[5 * (px - x0) + k] = offset * offset
    for py in range(y0, y1):
        dy = py - my
        first, last = _within(mx, x0, x1, dy * dy, reach2)
        if first == last:
            continue
        _ring_row(squares, 5 * (first - x0), 5 * (last - x0), dy, np.float32(per_step), rings)
        for px in range(first, last):
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            value, dx = np.float64(v), px - mx
            if coarse:
                r = math.sqrt(dx * dx + dy * dy)
                rest = r % step
                if not (rest < 0.75 or rest > step - 0.75):
                    fluxes[min(int(r * per_step), RINGS)] += value
                    continue
            i = 5 * (px - x0)
            part = 0.04 * value
            if rings[5, i] | rings[5, i + 1] | rings[5, i + 2] | rings[5, i + 3] | rings[5, i + 4]:
                _add_subpixels(fluxes, dx, dy, part, per_step)
                continue
            for j in range(5):
                for k in range(5):
                    fluxes[rings[j, i + k]] += part


@lean_kernel
def _within(mx: float, x0: int, x1: int, dy2: float, reach2: float) -> tuple[int, int]:
    """Columns from `x0` to `x1` (excluded) whose pixel centres lie within the circle."""
    first, last = x0, x1
    while first < last and (first - mx) * (first - mx) + dy2 > reach2:
        first += 1
    while last > first and (last - 1 - mx) * (last - 1 - mx) + dy2 > reach2:
        last -= 1
    return first, last


@lean_kernel
def _ring_row(
    squares: Array, first: int, last: int, dy: float, per_step: Number, rings: Array
) -> None:
    """Ring of each subpixel of a row of pixels, in single precision; row 5 tells of doubts.

    Square roots in single precision take a quarter of the time. They are off by less than
    1e-6, the rings by less than 1e-4 of their width, so only subpixels so close to the edge of
    a ring need double precision.
    """
    doubts = rings[5, first:last]
    columns = squares[first:last]
    doubts[:] = 0
    for j in range(5):
        offset = np.float32(dy + 0.2 * (j - 2))
        square = offset * offset
        row = rings[j, first:last]
        for i in range(row.size):
            place = min(math.sqrt(columns[i] + square) * per_step, OUTSIDE)
            ring = np.int32(place)
            row[i] = ring
            doubts[i] |= abs(place - np.float32(ring) - HALF) > DOUBT


@lean_kernel
def _add_subpixels(fluxes: Array, dx: Number, dy: Number, part: float, per_step: float) -> None:
    """Add the parts of a pixel to their rings, in double precision and as the original does."""
    sy = dy - 0.4
    for _ in range(5):
        sy2 = sy * sy
        sx = dx - 0.4
        for _ in range(5):
            i = min(int(math.sqrt(sx * sx + sy2) * per_step), RINGS)
            fluxes[i] += part
            sx += 0.2
        sy += 0.2


@inner_kernel
def radius_of_flux(curve: Array, limit: float, flux: float) -> float:
    """Radius that holds the flux, by linear interpolation of the growth curve."""
    n = RINGS
    step = limit / n
    i = n - 1
    for k in range(n - 1):
        if curve[k] >= flux:
            i = k
            break
    if i == 0:
        radius = step * flux / curve[0] if curve[0] != 0 else 0.0
    else:
        high, low = (curve[i], curve[i - 1]) if i < n - 1 else (curve[n - 2], curve[n - 3])
        radius = step * i
        if high != low:
            radius = step * (i + (flux - low) / (high - low))
    return min(radius, limit)
