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
    return _growth_curve(obj, plane, mask, label, least, lines, np.empty(25), curve)


@lean_kernel
def _growth_curve(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    least: float,
    lines: tuple[int, int],
    rings: Array,
    curve: Array,
) -> tuple[float, bool]:
    mx, my = obj.x, obj.y
    limit = max(6.0 * obj.a, np.float64(least))
    step = limit / curve.size
    width = plane.image.shape[1]
    reach = limit + 1.5
    x0, x1, y0, y1, cut = circle_box(mx, my, reach, width, lines)
    centre2 = (2 * mx + 0.49999, 2 * my + 0.49999)
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    for i in range(curve.size):
        curve[i] = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            dx, dy = px - mx, py - my
            d2 = dx * dx + dy * dy
            if d2 > reach * reach:
                continue
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            _add_to_rings(curve, dx, dy, math.sqrt(d2), np.float64(v), step, rings)
    for i in range(1, curve.size):
        curve[i] += curve[i - 1]
    return limit, cut


@lean_kernel
def _add_to_rings(
    curve: Array, dx: Number, dy: Number, r: Number, v: Number, step: float, rings: Array
) -> None:
    per_step = 1.0 / step  # the original multiplies, which matters on the edge of a ring
    if step > 1.5:  # otherwise every pixel is close to the edge of a ring
        rest = r % step
        if not (rest < 0.75 or rest > step - 0.75):
            i = int(r * per_step)
            if i < curve.size:
                curve[i] += v
            return
    # The rings of all subpixels first: this loop is turned into vector instructions.
    sx0 = dx - 0.4
    sx1 = sx0 + 0.2
    sx2 = sx1 + 0.2
    sx3 = sx2 + 0.2
    sx4 = sx3 + 0.2
    sy = dy - 0.4
    for j in range(5):
        sy2 = sy * sy
        rings[5 * j] = sx0 * sx0 + sy2
        rings[5 * j + 1] = sx1 * sx1 + sy2
        rings[5 * j + 2] = sx2 * sx2 + sy2
        rings[5 * j + 3] = sx3 * sx3 + sy2
        rings[5 * j + 4] = sx4 * sx4 + sy2
        sy += 0.2
    for i in range(25):
        rings[i] = math.sqrt(rings[i]) * per_step
    part = 0.04 * v
    for j in range(25):
        i = int(rings[j])
        if i < curve.size:
            curve[i] += part


@inner_kernel
def radius_of_flux(curve: Array, limit: float, flux: float) -> float:
    """Radius that holds the flux, by linear interpolation of the growth curve."""
    n = curve.size
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
