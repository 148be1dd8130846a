"""Kernels that prepare an image: variance, interpolation of bad pixels, filter, threshold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import kernel
from purepipe.detect.records_nb import BIG

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

WEIGHT, VARIANCE, RMS = 0, 1, 2


@kernel
def to_variance(weight: Array, kind: int, factor: Number, image: Array, out: Array) -> None:
    """Variance from a weight map; BIG where the weight or the image cannot be used."""
    height, width = image.shape
    scale = np.float32(factor * factor)
    for y in range(height):
        for x in range(width):
            w = weight[y, x]
            value = BIG
            if kind == WEIGHT:
                if w > 0 and w < np.inf:
                    value = np.float32(scale / w)
            elif kind == VARIANCE:
                if w >= 0 and w < BIG:
                    value = np.float32(scale * w)
            elif w >= 0 and w < BIG:
                value = np.float32(w * w)
            if not (abs(image[y, x]) < BIG):
                value = BIG
            out[y, x] = min(value, BIG)


@kernel
def subtract_rows(image: Array, level: Array, first: int, last: int, out: Array) -> None:
    """Image minus level; zero where the image is not finite. level[0] is row `first`."""
    for y in range(first, last):
        for x in range(image.shape[1]):
            p = image[y, x]
            out[y, x] = p - level[y - first, x] if abs(p) < BIG else np.float32(0)


@kernel
def interpolate_bad(
    image: Array, variance: Array, bad_level: Number, max_x: int, max_y: int
) -> None:
    """Copy value and variance of the left, or else the upper, neighbour to bad pixels, in place."""
    height, width = image.shape
    allowed_y = np.zeros(width, np.int64)
    for y in range(height):
        allowed_x = 0
        for x in range(width):
            if variance[y, x] < bad_level:
                allowed_x = max_x
                allowed_y[x] = max_y
            elif allowed_x > 0:
                allowed_x -= 1
                image[y, x] = image[y, x - 1]
                variance[y, x] = variance[y, x - 1]
            elif allowed_y[x] > 0:
                allowed_y[x] -= 1
                image[y, x] = image[y - 1, x]
                variance[y, x] = variance[y - 1, x]


@kernel
def correlate_row(image: Array, mask: Array, y: int, out: Array) -> None:
    """One row of the image correlated with a mask; terms outside the image are dropped."""
    height, width = image.shape
    rows, columns = mask.shape
    out[:] = 0
    for r in range(rows):
        line = y + r - rows // 2
        if not 0 <= line < height:
            continue
        if columns == 3 and width > 2:  # one pass over the line; the sums keep their order
            a, b, d = mask[r, 0], mask[r, 1], mask[r, 2]
            out[0] = (out[0] + b * image[line, 0]) + d * image[line, 1]
            for x in range(1, width - 1):
                t = (out[x] + a * image[line, x - 1]) + b * image[line, x]
                out[x] = t + d * image[line, x + 1]
            x = width - 1
            out[x] = (out[x] + a * image[line, x - 1]) + b * image[line, x]
            continue
        for c in range(columns):
            shift = c - columns // 2
            m = mask[r, c]
            for x in range(max(0, -shift), min(width, width - shift)):
                out[x] += m * image[line, x + shift]


@kernel
def pixel_threshold(variance: Array, mask: Array, factor: Number, y: int, x: int) -> Number:
    """Detection threshold of one pixel from the filtered variance."""
    height, width = variance.shape
    rows, columns = mask.shape
    total = np.float32(0)
    for r in range(rows):
        line = y + r - rows // 2
        if not 0 <= line < height:
            continue
        for c in range(columns):
            column = x + c - columns // 2
            if 0 <= column < width:
                total += mask[r, c] * variance[line, column]
    return np.float32(np.float64(factor) * math.sqrt(np.float64(total)))


@kernel
def filter_rows(
    image: Array,
    variance: Array,
    mask: Array,
    local: bool,
    factor: Number,
    common: Number,
    first: int,
    last: int,
    filtered: Array,
    on: Array,
) -> None:
    """Filter rows and mark the pixels above the threshold.

    `local`: the threshold is `factor` times the root of the filtered variance; else `common`.
    """
    width = image.shape[1]
    noise = np.empty(width, np.float32)
    for y in range(first, last):
        correlate_row(image, mask, y, filtered[y])
        if local:
            correlate_row(variance, mask, y, noise)
            for x in range(width):
                t = np.float32(np.float64(factor) * math.sqrt(np.float64(noise[x])))
                on[y, x] = filtered[y, x] > t
        else:
            for x in range(width):
                on[y, x] = filtered[y, x] > common


@kernel
def thresholds_of(
    pixels: Array,
    variance: Array,
    mask: Array,
    local: bool,
    factor: Number,
    common: Number,
    first: int,
    last: int,
    out: Array,
) -> None:
    """Detection thresholds of listed pixels (flat indices)."""
    width = variance.shape[1]
    for i in range(first, last):
        if local:
            y, x = divmod(pixels[i], width)
            out[i] = pixel_threshold(variance, mask, factor, y, x)
        else:
            out[i] = common


@kernel
def background_at(level_map: Array, mesh: tuple[int, int], x: int, y: int) -> Number:
    """Level at a pixel, bilinear between the mesh centres."""
    ny, nx = level_map.shape
    u = np.float64(x) / mesh[0] - 0.5
    v = np.float64(y) / mesh[1] - 0.5
    i = min(max(int(u), 0), max(nx - 2, 0))
    j = min(max(int(v), 0), max(ny - 2, 0))
    p = u - i if nx > 1 else 0.0
    q = v - j if ny > 1 else 0.0
    i1, j1 = min(i + 1, nx - 1), min(j + 1, ny - 1)
    low = (1 - p) * level_map[j, i] + p * level_map[j, i1]
    high = (1 - p) * level_map[j1, i] + p * level_map[j1, i1]
    return np.float32((1 - q) * low + q * high)
