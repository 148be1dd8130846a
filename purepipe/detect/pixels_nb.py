"""What every aperture asks of a pixel: value, noise, owner, and the part within a circle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, lean_kernel
from purepipe.detect.records_nb import Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

CROWDED = 1
APERTURE_CUT = 16
F0, F1 = np.float32(0), np.float32(1)
RIM = np.float32(0.75)


@lean_kernel
def is_unusable(plane: Plane, mask: Mask, label: int, y: int, x: int) -> bool:
    """Whether a pixel is bad or belongs to another detection."""
    if is_masked(mask, label, y, x):
        return True
    return bool(plane.weighted and plane.variance[y, x] >= plane.bad_level)


@lean_kernel
def is_masked(mask: Mask, label: int, y: int, x: int) -> bool:
    """Whether a pixel belongs to another detection."""
    owner = mask.labels[y, x]
    if not mask.active or owner <= 0 or owner == label:
        return False
    if y > mask.limit and (y > mask.limit + 1 or x > mask.column):
        return False
    return bool(y > mask.returned[owner, 0] or mask.returned[owner, 1] >= mask.moment)


@lean_kernel
def fetch(
    plane: Plane,
    mask: Mask,
    label: int,
    centre2: tuple[float, float],
    lines: tuple[int, int],
    y: int,
    x: int,
) -> tuple[Number, Number]:
    """Value and variance of a pixel, or of its mirror image if it is unusable.

    `centre2` is twice the centre of the aperture plus 0.49999, `lines` the range of lines seen.
    """
    blank = F0 if plane.weighted else plane.noise2
    if not is_unusable(plane, mask, label, y, x):
        return plane.image[y, x], plane.variance[y, x] if plane.weighted else plane.noise2
    if not mask.mirror:
        return F0, blank
    x2, y2 = int(centre2[0] - x), int(centre2[1] - y)
    if not (0 <= x2 < plane.image.shape[1] and lines[0] <= y2 < lines[1]):
        return F0, blank
    if is_masked(mask, label, y2, x2):
        return F0, blank
    if not plane.weighted:
        return plane.image[y2, x2], plane.noise2
    if plane.variance[y2, x2] >= plane.bad_level:
        return F0, F0
    return plane.image[y2, x2], plane.variance[y2, x2]


@lean_kernel
def local_gain(plane: Plane) -> float:
    """Gain of the photon noise that follows the weight map; 0 if it does not."""
    return plane.gain if plane.weighted and plane.weight_gain else 0.0


@lean_kernel
def global_gain(plane: Plane) -> float:
    """Gain of the photon noise that is added once per aperture; 0 if it follows the weights."""
    return 0.0 if plane.weighted and plane.weight_gain else plane.gain


@lean_kernel
def photon_variance(gain: float, noise2: Number, v: Number, var: Number) -> float:
    """Photon noise of a pixel, scaled by its variance; none without a gain."""
    return v / gain * var / noise2 if gain > 0 and v > 0 else 0.0


@lean_kernel
def circle_box(
    mx: Number, my: Number, r: Number, width: int, lines: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    """Pixel range of a circle, cut to the image and the lines seen, and whether it was cut."""
    x0, x1 = int(mx - r + 0.499999), int(mx + r + 1.499999)
    y0, y1 = int(my - r + 0.499999), int(my + r + 1.499999)
    cut = x0 < 0 or x1 > width or y0 < lines[0] or y1 > lines[1]
    return max(x0, 0), min(x1, width), max(y0, lines[0]), min(y1, lines[1]), cut


@lean_kernel
def cut_box(
    mx: Number, my: Number, ext_x: float, ext_y: float, width: int, lines: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    """Pixel range (upper ends excluded) of an ellipse, cut likewise, and whether it was cut."""
    x0, x1 = math.floor(mx - ext_x + 0.5), math.floor(mx + ext_x + 0.5) + 1
    y0, y1 = math.floor(my - ext_y + 0.5), math.floor(my + ext_y + 0.5) + 1
    cut = x0 < 0 or x1 > width or y0 < lines[0] or y1 > lines[1]
    return max(x0, 0), min(x1, width), max(y0, lines[0]), min(y1, lines[1]), cut


@inner_kernel
def area_steps(n: int) -> Array:
    """Area of 0, 1, 2, ... of the n x n subpixels of a pixel, added up in single precision."""
    scale = np.float32(1.0 / n)
    piece = np.float32(scale * scale)
    areas = np.zeros(n * n + 1, np.float32)
    for i in range(1, areas.size):
        areas[i] = areas[i - 1] + piece
    return areas


@lean_kernel
def subpixel_squares(d: Number, n: int, out: Array) -> None:
    """Squares of the offsets of n subpixels along one axis, in single precision."""
    scale = np.float32(1.0 / n)
    s = np.float32(d + np.float32(0.5 * (scale - F1)))
    for i in range(n):
        out[i] = s * s
        s += scale


@lean_kernel
def covered_area(x2: Array, y2: Array, n: int, r2: Number, areas: Array) -> Number:
    """Part of a pixel within a circle, from the centres of its n x n subpixels.

    `x2` and `y2` are their `subpixel_squares`, `areas` comes from `area_steps`. Where the compiler
    knows n, comparing all is quicker than a way that ends early.
    """
    count = 0
    for j in range(n):
        for i in range(n):
            count += np.float32(x2[i] + y2[j]) < r2
    return areas[count]
