"""Compiled loops of the detector: bleeding along columns, tracks of cosmic rays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel


@kernel
def bleed(image: NDArray[np.float32], level: float) -> None:
    """Spread the charge above `level` up and down the columns, in place.

    The excess of each run of saturated pixels fills the nearest free pixels on both sides
    alternately; what reaches the end of the column is lost.
    """
    ny, nx = image.shape
    for x in range(nx):
        y = 0
        while y < ny:
            if image[y, x] <= level:
                y += 1
                continue
            first = y
            excess = 0.0
            while y < ny and image[y, x] > level:
                excess += image[y, x] - level
                image[y, x] = level
                y += 1
            below, above = first - 1, y
            while excess > 0.0 and (below >= 0 or above < ny):
                if below >= 0:
                    excess = _fill(image, below, x, level, excess)
                    below -= 1
                if above < ny and excess > 0.0:
                    excess = _fill(image, above, x, level, excess)
                    above += 1
            y = above


@inner_kernel
def _fill(image: NDArray[np.float32], y: int, x: int, level: float, excess: float) -> float:
    room = level - float(image[y, x])
    if room <= 0.0:
        return excess
    if room >= excess:
        image[y, x] += excess
        return 0.0
    image[y, x] = level
    return excess - room


@kernel
def add_tracks(
    charge: NDArray[np.float32],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    length: NDArray[np.float64],
    angle: NDArray[np.float64],
    total: NDArray[np.float64],
) -> None:
    """Deposit straight tracks of charge, in place; each pixel gets its share of the length."""
    ny, nx = charge.shape
    for k in range(len(x)):
        steps = int(length[k] * 8) + 1
        for step in range(steps):
            along = (step + 0.5) / steps * length[k]
            column = int(np.floor(x[k] + along * np.cos(angle[k]) + 0.5))
            row = int(np.floor(y[k] + along * np.sin(angle[k]) + 0.5))
            if 0 <= column < nx and 0 <= row < ny:
                charge[row, column] += total[k] / steps
