"""Kernels that draw the outlines of apertures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

CORNERS = 36  # of the polygon that stands for an ellipse


@kernel
def draw_ellipse(
    image: Array,
    x: float,
    y: float,
    a: float,
    b: float,
    theta: float,
    dashed: bool,
    value: Number,
) -> None:
    """Add `value` to the pixels under an ellipse's outline.

    The centre is 0-based, `theta` in degrees from x towards y; parts beyond the image are left
    out, as is every second side of a `dashed` one. Sines and cosines of the corners are in single
    precision: in circles, their rounding decides whether a side at 45 degrees is steep.
    """
    angle = theta * (math.pi / 180)
    cosine, sine = math.cos(angle), math.sin(angle)
    x0 = y0 = 0.0
    for k in range(CORNERS + 1):
        turn = 2 * math.pi * k / CORNERS
        u = a * np.float64(np.float32(math.cos(turn)))
        v = b * np.float64(np.float32(math.sin(turn)))
        x1 = x + u * cosine - v * sine
        y1 = y + u * sine + v * cosine
        if k > 0 and not (dashed and k % 2 == 0):
            _draw_line(image, x0, y0, x1, y1, value)
        x0, y0 = x1, y1


@inner_kernel
def _draw_line(image: Array, x0: Number, y0: Number, x1: Number, y1: Number, value: Number) -> None:
    """Add `value` along a line: one pixel per column, or per row if it is steep, but the first."""
    height, width = image.shape
    steep = not abs(x1 - x0) > abs(y1 - y0)
    if steep:
        x0, y0, x1, y1 = y0, x0, y1, x1
    begin, end = _nearest(x0), _nearest(x1)
    if begin == end:
        return
    slope = np.float64(y1 - y0) / np.float64(x1 - x0)
    step = 1 if end > begin else -1
    for i in range(begin + step, end + step, step):
        j = _nearest(np.float64(y0) + (i - np.float64(x0)) * slope)
        py, px = (i, j) if steep else (j, i)
        if 0 <= py < height and 0 <= px < width:
            image[py, px] += value


@inner_kernel
def _nearest(value: Number) -> int:
    return math.floor(np.float64(value) + 0.5)
