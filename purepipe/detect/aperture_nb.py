"""Kernels of circular apertures and stamps, and the loop over all aperture measurements.

The loops over pixels read arrays through local names and call `fetch` for doubtful pixels only:
handing a structure of arrays to a function costs more than the arithmetic of a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel, lean_kernel
from purepipe.detect.ellipse_nb import measure_auto, measure_petro
from purepipe.detect.growth_nb import RINGS, growth_curve, radius_of_flux
from purepipe.detect.pixels_nb import (
    APERTURE_CUT,
    F0,
    F1,
    RIM,
    area_steps,
    circle_box,
    covered_area,
    fetch,
    global_gain,
    local_gain,
    photon_variance,
    subpixel_squares,
)
from purepipe.detect.records_nb import Mask, Plane
from purepipe.detect.stamps_nb import cut_vignet, shift_vignet
from purepipe.detect.window_nb import PARTS as WINDOW_PARTS
from purepipe.detect.window_nb import measure_window

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

PARTS = 5  # subpixels along a side of a pixel on the rim


@inner_kernel
def aperture_flux(
    plane: Plane,
    mask: Mask,
    label: int,
    x: Number,
    y: Number,
    r: Number,
    lines: tuple[int, int],
    areas: Array,
    offset: Number,
) -> tuple[Number, Number, bool]:
    """Flux and error within a circle, and whether it was cut. Centre and radius in float32.

    `offset` is the local background, taken off once for the whole area.
    """
    squares = np.empty((2, PARTS), np.float32)
    return _circle_flux(plane, mask, label, x, y, r, lines, areas, offset, squares)


@lean_kernel
def _circle_flux(
    plane: Plane,
    mask: Mask,
    label: int,
    x: Number,
    y: Number,
    r: Number,
    lines: tuple[int, int],
    areas: Array,
    offset: Number,
    squares: Array,
) -> tuple[Number, Number, bool]:
    mx, my, r = np.float32(x), np.float32(y), np.float32(r)
    width = plane.image.shape[1]
    x0, x1, y0, y1, cut = circle_box(mx, my, r, width, lines)
    centre2 = (2 * np.float64(mx) + 0.49999, 2 * np.float64(my) + 0.49999)
    r2 = np.float32(r * r)
    outer2 = np.float32((r + RIM) * (r + RIM))
    inner2 = np.float32((r - RIM) * (r - RIM)) if r > RIM else F0
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    local, once = local_gain(plane), global_gain(plane)
    flux = variance = area = 0.0
    for py in range(y0, y1):
        for px in range(x0, x1):
            dx, dy = np.float32(px - mx), np.float32(py - my)
            d2 = np.float32(dx * dx + dy * dy)
            if not d2 < outer2:
                continue
            w = F1
            if d2 > inner2:
                subpixel_squares(dx, PARTS, squares[0])
                subpixel_squares(dy, PARTS, squares[1])
                w = covered_area(squares[0], squares[1], PARTS, r2, areas)
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            flux += np.float64(w) * np.float64(v)
            area += np.float64(w)
            variance += np.float64(w) * np.float64(var)
            variance += photon_variance(local, noise2, np.float64(v), np.float64(var))
    if offset != 0:
        flux -= area * np.float64(offset)
    if once > 0 and flux > 0:
        variance += flux / once
    return np.float32(flux), np.float32(math.sqrt(max(variance, 0.0))), cut


@kernel
def measure_apertures(
    objects: Array,
    source: Array,
    lines: Array,
    detection: Plane,
    plane: Plane,
    everything: Mask,
    settings: Any,
    first: int,
    last: int,
    out: Array,
    arrays: tuple[Array, Array, Array, Array, Array, Array],
) -> None:
    """All aperture measurements of the objects that `source` names, into rows of `out`.

    Each sees the part of the mask, and of the image, that its row of `lines` says.

    `settings` is (circle diameters, Kron settings, Petrosian settings, flux fractions, whether
    the Kron and Petrosian ellipses, the growth curve and the window are wanted); `arrays` is
    (circle fluxes, circle errors, radii of the fractions, growth curves, vignets, shifted
    vignets), with no columns for what is not wanted.
    """
    diameters, kron, petro, fractions, wanted = settings
    fluxes, errors, radii, curves, vignets, shifted = arrays
    with_auto, with_petro, with_growth, with_window = wanted
    curve = np.empty(RINGS)
    areas, window_areas = area_steps(PARTS), area_steps(WINDOW_PARTS)
    for k in range(first, last):
        obj, row, label = objects[source[k]], out[k], source[k] + 2
        seen = (lines[k, 0], lines[k, 1])
        mask = Mask(everything.labels, everything.returned, everything.active, everything.mirror,
                    lines[k, 2], lines[k, 3], lines[k, 4])  # fmt: skip
        offset = row.local_background
        row.flags = obj.flags
        for i in range(diameters.size):
            fluxes[k, i], errors[k, i], cut = aperture_flux(
                plane, mask, label, obj.x, obj.y, diameters[i] / 2, seen, areas, offset
            )
            if cut:
                row.flags |= APERTURE_CUT
        if with_auto:
            measure_auto(obj, detection, plane, mask, label, kron, seen, row)
        if with_petro:
            measure_petro(obj, detection, plane, mask, label, petro, seen, row)
        if with_growth:
            limit, cut = growth_curve(obj, plane, mask, label, kron[2], seen, curve)
            if cut:
                row.flags |= APERTURE_CUT
            row.growth_limit = limit
            for i in range(curves.shape[1]):
                curves[k, i] = curve[i]
            for i in range(fractions.size):
                target = np.float64(np.float32(fractions[i])) * np.float64(row.auto_flux)
                radii[k, i] = radius_of_flux(curve, limit, target)
            half = abs(radius_of_flux(curve, limit, 0.5 * np.float64(row.auto_flux)))
            row.half_light = np.float32(min(max(half, 0.5), limit))
        if with_window:
            measure_window(obj, plane, mask, label, row.half_light, seen, window_areas, row)
        cut_vignet(plane, mask, label, obj.x, obj.y, seen, vignets[k])
        if shifted.shape[1] > 0:
            shift_vignet(plane, mask, label, obj.x, obj.y, seen, shifted[k])
