"""Kernels of the local background: a rectangular frame around each object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.detect.background_nb import mesh_rows
from purepipe.detect.footprint_nb import count_levels, fit_fwhm
from purepipe.detect.pixels_nb import global_gain
from purepipe.detect.records_nb import BIG, Mask, Plane
from purepipe.detect.weight_nb import NONE

Array = NDArray[Any]


@inner_kernel
def _own_box(pixels: Array, width: int) -> tuple[int, int, int, int]:
    """Columns and lines of pixels, first and last; cleaning may have widened the object's own."""
    x0 = y0 = 1 << 40
    x1 = y1 = -1
    for p in pixels:
        y, x = p // width, p % width
        x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
    return x0, x1, y0, y1


@inner_kernel
def _is_known(mask: Mask, label: int, known: tuple[int, int, int], y: int, x: int) -> bool:
    """Whether a pixel was masked for an object when it was found; see `frame_values`."""
    owner = mask.labels[y, x]
    if not mask.active or owner <= 0 or owner == label:
        return False
    line, column, again = known
    if y > line or (y == line and x > column):
        return False
    if mask.returned[owner, 1] >= label - 2 or mask.returned[owner, 1] < 0:
        return True
    return bool(mask.returned[owner, 0] < y <= again)


@inner_kernel
def frame_values(
    box: tuple[int, int, int, int],
    plane: Plane,
    mask: Mask,
    label: int,
    thickness: int,
    known: tuple[int, int, int],
    lines: tuple[int, int],
    out: Array,
) -> int:
    """Pixels of the frame outside all detections; their number, 0 if the frame is cut.

    It is cut by the image, and by the range of `lines` that the original holds at the time.

    The frame surrounds the box of the object, widened on each side by a quarter of its size. The
    original measures it as soon as the object is found: only detections up to the line and column
    `known` are, of what cleaning swallowed later nothing has been given back, and what was given
    back before is masked again up to the line that `known` ends with.
    """
    width = plane.image.shape[1]
    wide, high = (box[1] - box[0] + 1) // 4, (box[3] - box[2] + 1) // 4
    x0, x1 = box[0] - wide, box[1] + wide
    y0, y1 = box[2] - high, box[3] + high
    if x0 < thickness or x1 + thickness + 1 >= width:
        return 0
    if y0 < lines[0] + thickness or y1 + thickness + 1 >= lines[1]:
        return 0
    n = 0
    for y in range(y0 - thickness, y1 + thickness + 1):
        within = y0 <= y <= y1
        for x in range(x0 - thickness, x1 + thickness + 1):
            if within and x0 <= x <= x1:
                continue
            if not _is_known(mask, label, known, y, x):
                out[n] = plane.image[y, x]
                n += 1
    return n


@kernel
def local_offsets(
    objects: Array,
    survivor: Array,
    starts: Array,
    pixels: Array,
    plane: Plane,
    mask: Mask,
    settings: tuple[int, int, int, int, int],
    first: int,
    last: int,
    out: Array,
) -> None:
    """Mode of the frame around each object, above the background that is taken off already.

    `settings` is (thickness of the frame, lines by which the masking of this image follows the
    detection, or 0 if it happens pixel by pixel, lines by which that of the detection image does,
    lines held at a time, lines held beyond those searched). Objects that others swallow are
    measured, too. `out` is zero without a frame.
    """
    thickness, delay, again, held, margin = settings
    height, width = plane.image.shape
    nothing = np.zeros((1, 1), np.float32)
    maps = np.empty((4, 1, 1), np.float32)
    for i in range(first, last):
        out[i] = 0
        if survivor[i] < 0:
            continue
        box = _own_box(pixels[starts[i] : starts[i + 1]], width)
        wide = 3 * (box[1] - box[0] + 1) // 2 + 2 * thickness + 2
        high = 3 * (box[3] - box[2] + 1) // 2 + 2 * thickness + 2
        values = np.empty((1, wide * high), np.float32)
        line = objects[i].last_line + 1
        known = (line - delay, width, line - delay)
        if delay == 0:  # masked pixel by pixel
            known = (line, objects[i].last_column, line - again)
        # The line buffer moves on with the scan until it ends with the image.
        begin = min(max(line - (held - margin) + 1, 0), max(height - held, 0))
        lines = (begin, min(begin + held, height))
        n = frame_values(box, plane, mask, i + 2, thickness, known, lines, values[0])
        if n == 0:
            continue
        mesh_rows(values[:, :n], nothing, NONE, BIG, (n, 1), 0, 1, maps)
        if maps[0, 0, 0] > -BIG:
            out[i] = maps[0, 0, 0]


@kernel
def take_off_fluxes(
    objects: Array, survivor: Array, starts: Array, pixels: Array, plane: Plane, offsets: Array
) -> Array:
    """Take the local backgrounds off the isophotal fluxes, each off its part of a merged object.

    Returns the peaks, for every object the highest of those that it has swallowed.
    """
    gain = global_gain(plane)
    peaks = np.full(objects.size, -BIG, np.float32)
    for i in range(objects.size):
        if survivor[i] < 0:
            continue
        obj, offset = objects[survivor[i]], offsets[i]
        inside = pixels[starts[i] : starts[i + 1]]
        before = 0.0
        highest = -BIG
        for p in inside:
            before += np.float64(plane.image.flat[p])
            highest = max(highest, plane.image.flat[p])
        if survivor[i] != i:
            peaks[survivor[i]] = max(peaks[survivor[i]], np.float32(highest - offset))
        if offset == 0:
            continue
        removed = np.float32(inside.size * offset)
        # Off the sum in double precision; merged objects add up numbers in single precision.
        after = np.float64(np.float32(before - np.float64(removed)))
        obj.iso_flux = np.float32(obj.iso_flux + (after - np.float64(np.float32(before))))
        if gain > 0:
            photons = (max(before - np.float64(removed), 0.0) - max(before, 0.0)) / gain
            obj.iso_variance = np.float32(obj.iso_variance + photons)
    return peaks


@kernel
def apply_offsets(
    objects: Array,
    source: Array,
    starts: Array,
    pixels: Array,
    plane: Plane,
    saturation: float,
    offsets: Array,
    peaks: Array,
    first: int,
    last: int,
    measured: Array,
) -> None:
    """Take the local background off the other isophotal quantities of the rows.

    As in the original the areas ISO0 to ISO7 compare the pixels as they are with levels between
    the threshold and the peak without the local background. `peaks` is of what was swallowed.
    """
    for k in range(first, last):
        i = source[k]
        obj, offset = objects[i], offsets[i]
        inside = pixels[starts[i] : starts[i + 1]]
        highest = -BIG
        for p in inside:
            highest = max(highest, plane.image.flat[p])
        obj.iso_max = np.float32(highest - offset)
        if offset != 0:
            measured[k].local_background = offset
            obj.iso_threshold = np.float32(obj.iso_threshold - offset)
            obj.background = np.float32(obj.background + offset)
            # Levels and width are found before cleaning may add a brighter neighbour.
            count_levels(obj, inside, plane.image)
            obj.fwhm = fit_fwhm(obj, inside, plane.image, saturation, offset)
        obj.iso_max = max(obj.iso_max, peaks[i])
