"""Sums of elliptical Gaussians drawn into an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import kernel

Floats = NDArray[np.float64]

REACH = 5.5  # sigma


@kernel
def add_gaussians(image: Floats, sources: Floats) -> None:
    """Add Gaussians sampled at the pixel centres; rows x, y, flux, Cxx, Cxy, Cyy in pixels."""
    ny, nx = image.shape
    for k in range(len(sources)):
        x, y, flux, cxx, cxy, cyy = sources[k]
        det = cxx * cyy - cxy * cxy
        a, b, c = cyy / det, -cxy / det, cxx / det
        norm = flux / (2.0 * math.pi * math.sqrt(det))
        reach_x, reach_y = REACH * math.sqrt(cxx), REACH * math.sqrt(cyy)
        for j in range(max(0, math.ceil(y - reach_y)), min(ny, int(y + reach_y) + 1)):
            for i in range(max(0, math.ceil(x - reach_x)), min(nx, int(x + reach_x) + 1)):
                dx, dy = i - x, j - y
                power = 0.5 * (a * dx * dx + 2.0 * b * dx * dy + c * dy * dy)
                if power < 0.5 * REACH * REACH:
                    image[j, i] += norm * math.exp(-power)
