"""Kernels of the local background: a rectangular frame around each object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import kernel
from purepipe.detect.background_nb import mesh_rows
from purepipe.detect.footprint_nb import count_levels, fit_fwhm
from purepipe.detect.pixels_nb import global_gain
from purepipe.detect.records_nb import BIG, Mask, Plane
from purepipe.detect.weight_nb import NONE

Array = NDArray[Any]
Record = Any  # one element of a structured array


@kernel
def frame_values(
    obj: Record, plane: Plane, mask: Mask, label: int, thickness: int, limit: int, out: Array
) -> int:
    """Pixels of the frame outside all detections; their number, 0 if the image cuts the frame.

    The frame surrounds the box of the object, widened on each side by a quarter of its size. The
    original measures it as soon as the object is found: only detections on lines up to `limit`
    are known, and of what cleaning swallowed later nothing has been given back.
    """
    height, width = plane.image.shape
    wide, high = (obj.xmax - obj.xmin + 1) // 4, (obj.ymax - obj.ymin + 1) // 4
    x0, x1 = obj.xmin - wide, obj.xmax + wide
    y0, y1 = obj.ymin - high, obj.ymax + high
    if x0 < thickness or x1 + thickness + 1 >= width:
        return 0
    if y0 < thickness or y1 + thickness + 1 >= height:
        return 0
    n = 0
    for y in range(y0 - thickness, y1 + thickness + 1):
        within = y0 <= y <= y1
        for x in range(x0 - thickness, x1 + thickness + 1):
            if within and x0 <= x <= x1:
                continue
            owner = mask.labels[y, x]
            if mask.active and owner > 0 and owner != label and y <= limit:
                given_back = mask.visible[owner] <= limit and y <= mask.visible[owner]
                if not given_back:
                    continue
            out[n] = plane.image[y, x]
            n += 1
    return n


@kernel
def local_offsets(
    objects: Array,
    source: Array,
    plane: Plane,
    mask: Mask,
    settings: tuple[int, int],
    first: int,
    last: int,
    out: Array,
) -> None:
    """Mode of the frame around each object, above the background that is taken off already.

    `settings` is (thickness of the frame, lines by which the masking follows the detection).
    """
    thickness, behind = settings
    nothing = np.zeros((1, 1), np.float32)
    maps = np.empty((4, 1, 1), np.float32)
    for k in range(first, last):
        obj = objects[source[k]]
        wide = 3 * (obj.xmax - obj.xmin + 1) // 2 + 2 * thickness + 2
        high = 3 * (obj.ymax - obj.ymin + 1) // 2 + 2 * thickness + 2
        values = np.empty((1, wide * high), np.float32)
        limit = obj.last_line + 1 - behind
        n = frame_values(obj, plane, mask, source[k] + 2, thickness, limit, values[0])
        if n == 0:
            continue
        mesh_rows(values[:, :n], nothing, NONE, BIG, (n, 1), 0, 1, maps)
        if maps[0, 0, 0] > -BIG:
            out[k].local_background = maps[0, 0, 0]


@kernel
def apply_offsets(
    objects: Array,
    source: Array,
    starts: Array,
    pixels: Array,
    plane: Plane,
    saturation: float,
    first: int,
    last: int,
    measured: Array,
) -> None:
    """Take the local background off the isophotal quantities of objects.

    As in the original the areas ISO0 to ISO7 compare the pixels as they are with levels between
    the threshold and the peak without the local background.
    """
    gain = global_gain(plane)
    for k in range(first, last):
        offset = measured[k].local_background
        if offset == 0:
            continue
        obj = objects[source[k]]
        inside = pixels[starts[source[k]] : starts[source[k] + 1]]
        flux = np.float32(obj.iso_flux - np.float32(inside.size * offset))
        if gain > 0:
            photons = (max(flux, np.float32(0)) - max(obj.iso_flux, np.float32(0))) / gain
            obj.iso_variance = np.float32(obj.iso_variance + photons)
        obj.iso_flux = flux
        obj.iso_threshold = np.float32(obj.iso_threshold - offset)
        obj.background = np.float32(obj.background + offset)
        # Levels and width were found before cleaning may have added a brighter neighbour.
        highest = plane.image.flat[inside[0]]
        for p in inside:
            highest = max(highest, plane.image.flat[p])
        merged = obj.iso_max
        obj.iso_max = np.float32(highest - offset)
        count_levels(obj, inside, plane.image)
        obj.fwhm = fit_fwhm(obj, inside, plane.image, saturation, offset)
        if merged > highest:
            obj.iso_max = merged
