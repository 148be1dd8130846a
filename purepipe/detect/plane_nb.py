"""Kernels of the detection image: filter, threshold, runs of detected pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose


@inner_kernel
def correlate_row(image: Array, mask: Array, y: int, out: Array) -> None:
    """One row of the image correlated with a mask; terms outside the image are dropped."""
    height, width = image.shape
    rows, columns = mask.shape
    out[:] = 0
    for r in range(rows):
        line = y + r - rows // 2
        if not 0 <= line < height:
            continue
        source = image[line]
        if columns == 3 and width > 2:  # one pass over the line; the sums keep their order
            a, b, d = mask[r, 0], mask[r, 1], mask[r, 2]
            out[0] = (out[0] + b * source[0]) + d * source[1]
            left, middle, right, inner = source[:-2], source[1:-1], source[2:], out[1:-1]
            for x in range(inner.size):
                inner[x] = ((inner[x] + a * left[x]) + b * middle[x]) + d * right[x]
            x = width - 1
            out[x] = (out[x] + a * source[x - 1]) + b * source[x]
            continue
        for c in range(columns):
            shift = c - columns // 2
            m = mask[r, c]
            begin, end = max(0, -shift), min(width, width - shift)
            if begin >= end:
                continue
            shifted, inner = source[begin + shift : end + shift], out[begin:end]
            for x in range(inner.size):
                inner[x] += m * shifted[x]


@inner_kernel
def correlate_at(image: Array, mask: Array, y: int, x: int) -> Number:
    """One pixel of the image correlated with a mask."""
    height, width = image.shape
    rows, columns = mask.shape
    total = np.float32(0)
    for r in range(rows):
        line = y + r - rows // 2
        if not 0 <= line < height:
            continue
        for c in range(columns):
            column = x + c - columns // 2
            if 0 <= column < width:
                total += mask[r, c] * image[line, column]
    return total


@kernel
def filter_rows(image: Array, mask: Array, first: int, last: int, out: Array) -> None:
    """Rows `first` to `last` (exclusive) of the image correlated with a mask."""
    for y in range(first, last):
        correlate_row(image, mask, y, out[y])


@kernel
def detect_rows(
    image: Array,
    variance: Array,
    mask: Array,
    local: bool,
    factor: Number,
    common: Number,
    first: int,
    last: int,
    filtered: Array,
    limits: Array,
    on: Array,
) -> tuple[Array, Array, Array]:
    """Pixels above the threshold in rows `first` to `last` (exclusive), as horizontal runs.

    `local`: the threshold is `factor` times the root of the filtered variance; else `common`.
    `filtered`, `limits` (float32) and `on` (uint8, rows of whole words) are work space with a row
    for each of the rows. Returns row, first and last column of the runs (n, 3), and the filtered
    values and the thresholds of their pixels.
    """
    width = image.shape[1]
    runs = pixels = 0
    for y in range(first, last):
        row, limit, marked = filtered[y - first], limits[y - first], on[y - first]
        correlate_row(image, mask, y, row)
        if local:
            correlate_row(variance, mask, y, limit)
            for x in range(width):
                t = np.float32(np.float64(factor) * math.sqrt(np.float64(limit[x])))
                limit[x] = t
                marked[x] = row[x] > t
        else:
            for x in range(width):
                marked[x] = row[x] > common
        marked[width:] = 0
        before = np.uint8(0)
        words = marked.view(np.uint64)
        for k in range(words.size):
            if words[k] == 0:
                before = np.uint8(0)
                continue
            for x in range(8 * k, 8 * k + 8):
                pixels += marked[x]
                runs += marked[x] > before
                before = marked[x]
    found = np.empty((runs, 3), np.int32)
    values, thresholds = np.empty(pixels, np.float32), np.empty(pixels, np.float32)
    runs = pixels = 0
    for y in range(first, last):
        row, limit, marked = filtered[y - first], limits[y - first], on[y - first]
        before = np.uint8(0)
        words = marked.view(np.uint64)
        for k in range(words.size):
            if words[k] == 0:
                before = np.uint8(0)
                continue
            for x in range(8 * k, 8 * k + 8):
                if marked[x]:
                    if not before:
                        found[runs, 0], found[runs, 1] = y, x
                        runs += 1
                    found[runs - 1, 2] = x
                    values[pixels] = row[x]
                    thresholds[pixels] = limit[x] if local else common
                    pixels += 1
                before = marked[x]
    return found, values, thresholds


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
            noise = np.float64(correlate_at(variance, mask, y, x))
            out[i] = np.float32(np.float64(factor) * math.sqrt(noise))
        else:
            out[i] = common


@inner_kernel
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
