"""Compiled resampling: Lanczos-3 interpolation of one CCD onto the grid of a tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

TAPS = 6


@kernel
def add_resampled(
    numerator: NDArray[np.float32],
    weight_sum: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    area: NDArray[np.float64],
    image: NDArray[np.float32],
    weight: NDArray[np.float32],
    scale: float,
) -> None:
    """Add weight times value, and the weight, of one CCD to the sums of a tile, in place.

    `x`, `y` (0-based, on the CCD) and `area` (CCD pixels per tile pixel) belong to the pixels of
    `numerator`. `scale` takes the CCD's ADU to the tile's. A pixel counts only when the whole
    kernel lies on the CCD and none of the central four by four pixels is bad; the outer, small
    taps may meet bad pixels, whose values must have been repaired. The weight is the mean over
    those central pixels, as an inverse variance in the tile's units.
    """
    ny, nx = image.shape
    wx, wy = np.empty(TAPS), np.empty(TAPS)
    for j in range(numerator.shape[0]):
        for i in range(numerator.shape[1]):
            xi, yi = int(np.floor(x[j, i])), int(np.floor(y[j, i]))
            if xi < 2 or yi < 2 or xi > nx - 4 or yi > ny - 4:
                continue
            mean = _mean_weight(weight, xi, yi)
            if mean <= 0.0:
                continue
            _lanczos3(x[j, i] - xi, wx)
            _lanczos3(y[j, i] - yi, wy)
            total = 0.0
            for b in range(TAPS):
                row = 0.0
                for a in range(TAPS):
                    row += wx[a] * image[yi - 2 + b, xi - 2 + a]
                total += wy[b] * row
            factor = scale * area[j, i]
            w = mean / factor**2
            numerator[j, i] += w * factor * total
            weight_sum[j, i] += w


@inner_kernel
def _mean_weight(weight: NDArray[np.float32], xi: int, yi: int) -> float:
    """Mean weight of the four by four pixels around a position; 0 when one of them is bad."""
    total = 0.0
    for b in range(-1, 3):
        for a in range(-1, 3):
            w = weight[yi + b, xi + a]
            if not w > 0.0:
                return 0.0
            total += w
    return total / 16.0


@inner_kernel
def _lanczos3(fraction: float, out: NDArray[np.float64]) -> None:
    """The six weights at distances fraction + 2 ... fraction - 3, of unit sum.

    sin(pi (f + n)) = +-sin(pi f), and sin(pi (f + n) / 3) follows from the addition theorem, so
    that two sines and a cosine serve all six.
    """
    if fraction < 1e-9 or fraction > 1 - 1e-9:
        for a in range(TAPS):
            out[a] = 0.0
        out[2 if fraction < 0.5 else 3] = 1.0
        return
    s1 = np.sin(np.pi * fraction)
    s3, c3 = np.sin(np.pi * fraction / 3), np.cos(np.pi * fraction / 3)
    half, root = 0.5, 0.8660254037844386
    total = 0.0
    for a in range(TAPS):
        n = 2 - a
        d = fraction + n
        sign = 1.0 if n % 2 == 0 else -1.0
        # sine and cosine of n pi / 3
        if n == 0:
            sn, cn = 0.0, 1.0
        elif n == 1 or n == -1:
            sn, cn = root * n, half
        elif n == 2:
            sn, cn = root, -half
        elif n == -2:
            sn, cn = -root, -half
        else:
            sn, cn = 0.0, -1.0
        out[a] = sign * s1 * (s3 * cn + c3 * sn) / (d * d)
        total += out[a]
    for a in range(TAPS):
        out[a] /= total


@kernel
def repair(image: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
    """Replace pixels of zero weight by the mean of their nearest good neighbours, in place."""
    ny, nx = image.shape
    for y in range(ny):
        for x in range(nx):
            if weight[y, x] > 0.0:
                continue
            for reach in range(1, 12):
                total, count = 0.0, 0
                for b in range(max(y - reach, 0), min(y + reach + 1, ny)):
                    for a in range(max(x - reach, 0), min(x + reach + 1, nx)):
                        if weight[b, a] > 0.0:
                            total += image[b, a]
                            count += 1
                if count > 0:
                    image[y, x] = total / count
                    break
