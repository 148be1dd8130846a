"""Pixels of an exposure on the lattice of a cell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Truths = NDArray[np.bool_]

TAPS = 12
PHASES = 4096
PAD = TAPS // 2 + 1
REACH = 3  # of the search for good neighbours
CORE = 2  # taps on each side that carry most of the weight


@kernel
def mend(image: Singles, bad: Truths, out: Singles) -> None:
    """Copy an image; a bad pixel gets the mean of its nearest good neighbours, or 0."""
    ny, nx = image.shape
    for y in range(ny):
        for x in range(nx):
            if not bad[y, x]:
                out[y, x] = image[y, x]
                continue
            total, number = 0.0, 0
            for reach in range(1, REACH + 1):
                for j in range(max(y - reach, 0), min(y + reach + 1, ny)):
                    for i in range(max(x - reach, 0), min(x + reach + 1, nx)):
                        if not bad[j, i]:
                            total += image[j, i]
                            number += 1
                if number > 0:
                    break
            out[y, x] = total / number if number > 0 else 0.0


@inner_kernel
def cubic(c: Floats, s: float, t: float) -> float:
    """A polynomial of two variables: 1, s, t, s^2, st, t^2, s^3, s^2 t, s t^2, t^3."""
    quadratic: float = c[0] + s * (c[1] + s * c[3] + t * c[4]) + t * (c[2] + t * c[5])
    third: float = s * s * (c[6] * s + c[7] * t) + t * t * (c[8] * s + c[9] * t)
    return quadratic + third


@kernel
def resample(
    padded: Singles, bad: Truths, cx: Floats, cy: Floats, taps: Floats, out: Singles, lost: Truths
) -> None:
    """Interpolate an image at the pixels of a lattice.

    `padded` is the image with PAD pixels more on each side; `cx` and `cy` are `cubic` polynomials
    that give the position on the image from that on the lattice, which runs from -1 to 1. `lost`
    marks pixels near which (CORE) the image ends or is bad.
    """
    height, width = bad.shape
    ny, nx = out.shape
    for row in range(ny):
        t = 2.0 * row / (ny - 1) - 1.0
        for column in range(nx):
            s = 2.0 * column / (nx - 1) - 1.0
            x, y = cubic(cx, s, t), cubic(cy, s, t)
            lost[row, column] = True
            out[row, column] = 0.0
            if not (-1.0 < x < width and -1.0 < y < height):
                continue
            i, j = math.floor(x), math.floor(y)
            p, q = int((x - i) * PHASES + 0.5), int((y - j) * PHASES + 0.5)
            i, j = int(i), int(j)
            good = i >= CORE - 1 and j >= CORE - 1 and i + CORE < width and j + CORE < height
            for b in range(j - CORE + 1, j + CORE + 1):
                for a in range(i - CORE + 1, i + CORE + 1):
                    if good and bad[b, a]:
                        good = False
            total = 0.0
            for b in range(TAPS):
                part = 0.0
                for a in range(TAPS):
                    part += taps[p, a] * padded[j + b + PAD - TAPS // 2 + 1,
                                                i + a + PAD - TAPS // 2 + 1]  # fmt: skip
                total += taps[q, b] * part
            out[row, column] = total
            lost[row, column] = not good
