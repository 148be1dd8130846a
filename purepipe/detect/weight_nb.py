"""Kernels that turn weight maps into variances, and gather the good pixels of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.detect.records_nb import BIG

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

# What the numbers of a map are: there is none, inverse variances, variances, standard deviations.
NONE, WEIGHT, VARIANCE, RMS = 0, 1, 2, 3


@inner_kernel
def variance_row(weight: Array, kind: int, scale: Number, image: Array, out: Array) -> None:
    """Variance of the pixels of a row; BIG where the weight or the image cannot be used.

    `scale` multiplies variances from weights and variances, not those from standard deviations.
    """
    n = image.size
    for x in range(n):
        w = weight[x]
        if kind == WEIGHT:
            value = np.float32(scale / w) if (w > 0) & (w < np.inf) else BIG
        elif kind == VARIANCE:
            value = np.float32(scale * w) if (w >= 0) & (w < BIG) else BIG
        else:
            value = np.float32(w * w) if (w >= 0) & (w < BIG) else BIG
        out[x] = value if (abs(image[x]) < BIG) & (value < BIG) else BIG


@inner_kernel
def gather(
    row: Array,
    weight: Array,
    y: int,
    x0: int,
    kind: int,
    bad_level: Number,
    values: Array,
    variances: Array,
    n: int,
) -> int:
    """Append the good pixels of a part of image row `y` from column `x0`, and their variances.

    `n` pixels stand in `values` and `variances` before; returns how many stand there after.
    """
    if kind == NONE:
        for x in range(row.size):
            p = row[x]
            if p > -BIG:
                values[n] = p
                n += 1
        return n
    free = variances[n : n + row.size]
    variance_row(weight[y, x0 : x0 + row.size], kind, np.float32(1), row, free)
    m = n
    for x in range(row.size):
        p, v = row[x], free[x]
        if (p > -BIG) & (v < bad_level):
            values[m] = p
            variances[m] = v
            m += 1
    return m


@kernel
def has_good_pixel(image: Array, weight: Array, kind: int, bad_level: Number) -> bool:
    """Whether any pixel has a usable value and a usable weight."""
    height, width = image.shape
    out = np.empty(width, np.float32)
    for y in range(height):
        if kind == NONE:
            out[:] = 0
        else:
            variance_row(weight[y], kind, np.float32(1), image[y], out)
        for x in range(width):
            if (abs(image[y, x]) < BIG) & (out[x] < bad_level):
                return True
    return False


@kernel
def prepare_rows(
    image: Array,
    level: Array,
    weight: Array,
    kind: int,
    scale: Number,
    bad_level: Number,
    first: int,
    out: Array,
    variance: Array,
    bad: Array,
) -> None:
    """Background-subtracted rows from row `first`, their variances and numbers of bad pixels.

    level[0] is the background of row `first`. Pixels that are not finite become zero; `variance`
    and `bad` are left alone without weights. `out` may be `image`, and `variance` may be `weight`.
    """
    width = image.shape[1]
    # Copies, because rows of input and output may be the same memory.
    source, given = np.empty(width, np.float32), np.empty(width, np.float32)
    for i in range(level.shape[0]):
        y = first + i
        sky, target = level[i], out[y]
        for x in range(width):
            source[x] = image[y, x]
        for x in range(width):
            p = source[x]
            target[x] = p - sky[x] if abs(p) < BIG else np.float32(0)
        if kind != NONE:
            row = variance[y]
            for x in range(width):
                given[x] = weight[y, x]
            variance_row(given, kind, scale, source, row)
            n = 0
            for x in range(row.size):
                n += row[x] >= bad_level
            bad[y] = n


@kernel
def interpolate_bad(
    image: Array, variance: Array, bad: Array, bad_level: Number, max_x: int, max_y: int,
    with_image: bool, first: int, last: int,
) -> None:  # fmt: skip
    """Copy the left, or else the upper, neighbour to bad pixels, in place.

    `bad` holds the number of bad pixels of each row. The variance is copied, and `with_image` the
    value too. Done are the groups of successive rows with bad pixels of which the first one is
    among rows `first` to `last` (exclusive): a row without any cuts what rows do to each other.
    """
    height, width = image.shape
    allowed_y = np.zeros(width, np.int64)
    y = first
    while y < height and y > 0 and bad[y] > 0 and bad[y - 1] > 0:
        y += 1
    inside = False
    while y < height and (y < last or inside):
        inside = bad[y] > 0
        if not inside:
            y += 1
            continue
        if y > 0 and bad[y - 1] == 0:
            allowed_y[:] = max_y
        allowed_x = 0
        for x in range(width):
            if variance[y, x] < bad_level:
                allowed_x = max_x
                allowed_y[x] = max_y
            elif allowed_x > 0:
                allowed_x -= 1
                if with_image:
                    image[y, x] = image[y, x - 1]
                variance[y, x] = variance[y, x - 1]
            elif allowed_y[x] > 0:
                allowed_y[x] -= 1
                if with_image:
                    image[y, x] = image[y - 1, x]
                variance[y, x] = variance[y - 1, x]
        y += 1
