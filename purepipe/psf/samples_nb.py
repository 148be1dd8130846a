"""Kernels that prepare the stars: pixel weights and windowed centres.

All scalars and products are rounded to single precision, as in the original: a centre that
differs by a thousandth of a pixel moves the model by a percent of its peak.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Array = NDArray[Any]
Number = Any  # mypy: single and double precision meet on purpose

MAX_STEPS = 16
CONVERGED = 1e-6  # pixel^2


@kernel
def pixel_weights(
    vignets: Array, bad: Array, noise2: Array, gain: Array, accuracy2: Number, weights: Array
) -> None:
    """Inverse variances: background, photon noise and the relative accuracy of the profile.

    `noise2`, `gain` are (n,) float32, `accuracy2` a float32 number; bad pixels get 0.
    """
    n, height, width = vignets.shape
    accuracy2 = np.float32(accuracy2)
    for s in range(n):
        for y in range(height):
            for x in range(width):
                value = vignets[s, y, x]
                variance = noise2[s] + accuracy2 * value * value
                if value > 0.0 and gain[s] > 0.0:
                    variance += value / gain[s]
                weights[s, y, x] = 0.0 if bad[s, y, x] else np.float32(1.0) / variance


@inner_kernel
def _coverage(dx: Number, dy: Number, radius2: Number) -> Number:
    """Part of a pixel at (dx, dy) from the centre that lies within the aperture, by 3x3 points."""
    inside = 0
    for j in range(-1, 2):
        sub_y = np.float32(dy + np.float32(j / 3.0))
        for i in range(-1, 2):
            sub_x = np.float32(dx + np.float32(i / 3.0))
            if np.float32(sub_x * sub_x) + np.float32(sub_y * sub_y) < radius2:
                inside += 1
    return np.float32(inside / 9.0)


@inner_kernel
def _mirrored(vignet: Array, weight: Array, x: int, y: int, mx: Number, my: Number) -> Number:
    """Value of the pixel opposite to a bad one, or 0 when that is bad too."""
    height, width = vignet.shape
    other_x = int(2.0 * mx + 0.49999 - x)
    other_y = int(2.0 * my + 0.49999 - y)
    if other_x < 0 or other_x >= width or other_y < 0 or other_y >= height:
        return np.float32(0.0)
    if weight[other_y, other_x] > 0.0:
        return vignet[other_y, other_x]
    return np.float32(0.0)


@inner_kernel
def _window_sums(
    vignet: Array, weight: Array, mx: Number, my: Number, s2: Number, radius: Number
) -> tuple[float, float, float]:
    """Windowed sum of the light and of its first moments about (mx, my)."""
    height, width = vignet.shape
    radius2 = np.float32(radius * radius)
    outer = np.float32(radius + np.float32(0.75))
    inner = np.float32(max(np.float32(radius - np.float32(0.75)), np.float32(0.0)))
    outer2, inner2 = np.float32(outer * outer), np.float32(inner * inner)
    x_low = max(int(np.float32(mx - radius) + 0.499999), 0)
    x_high = min(int(np.float32(mx + radius) + 1.499999), width)
    y_low = max(int(np.float32(my - radius) + 0.499999), 0)
    y_high = min(int(np.float32(my + radius) + 1.499999), height)
    total: Number = 0.0
    sum_x: Number = 0.0
    sum_y: Number = 0.0
    for y in range(y_low, y_high):
        dy = np.float32(np.float32(y) - my)
        for x in range(x_low, x_high):
            dx = np.float32(np.float32(x) - mx)
            r2 = np.float32(np.float32(dx * dx) + np.float32(dy * dy))
            if r2 >= outer2:
                continue
            area = np.float32(1.0) if r2 <= inner2 else _coverage(dx, dy, radius2)
            value = vignet[y, x]
            if weight[y, x] <= 0.0:
                value = _mirrored(vignet, weight, x, y, mx, my)
            window = np.float32(math.exp(np.float32(-r2 / s2)))
            light = np.float32(np.float32(area * window) * value)
            total += light
            sum_x += np.float32(light * dx)
            sum_y += np.float32(light * dy)
    return total, sum_x, sum_y


@kernel
def recentre(
    vignets: Array, weights: Array, fwhm: Array, active: Array, dx: Array, dy: Array
) -> None:
    """Move the centres `dx`, `dy` (n,) float32, relative to the central pixel, to windowed ones.

    Twice the windowed offset is added at each step, at most 16 times. The steps are not taken to
    convergence: start and number of steps are part of the definition.
    """
    n, height, width = vignets.shape
    for s in range(n):
        if not active[s]:
            continue
        sigma = np.float32(np.float64(fwhm[s]) / 2.35)
        s2 = np.float32(2.0 * np.float64(sigma) * np.float64(sigma))
        radius = np.float32(np.float32(4.0) * sigma)
        mx = np.float32(dx[s] + np.float32(width // 2))
        my = np.float32(dy[s] + np.float32(height // 2))
        for _ in range(MAX_STEPS):
            total, sum_x, sum_y = _window_sums(vignets[s], weights[s], mx, my, s2, radius)
            if not total > 0.0:
                break
            shift_x, shift_y = np.float32(sum_x / total), np.float32(sum_y / total)
            mx = np.float32(mx + np.float32(2.0) * shift_x)
            my = np.float32(my + np.float32(2.0) * shift_y)
            if np.float32(shift_x * shift_x) + np.float32(shift_y * shift_y) < CONVERGED:
                break
            if not (abs(mx) < 1e6 and abs(my) < 1e6):
                break
        dx[s] = np.float32(mx - np.float32(width // 2))
        dy[s] = np.float32(my - np.float32(height // 2))
