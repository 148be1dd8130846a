"""Kernel of the rho statistics: sums over pairs of stars in bins of separation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import kernel

Array = NDArray[Any]


@kernel
def pair_sums(
    position: Array, weight: Array, values: Array, chord2: Array, sums: Array, moments: Array
) -> None:
    """Add the pairs of stars to the sums of their bins.

    Parameters
    ----------
    position
        (n, 3) unit vectors, sorted by their last component.
    weight
        (n,) weights.
    values
        (n, 3, 2) spin-2 quantities: ellipticity residual, ellipticity, ellipticity times size
        residual.
    chord2
        (bins + 1,) squared chords of the edges, rising.
    sums
        (bins, 5) sums of weight times product, in the order of the rho statistics.
    moments
        (bins, 3) number of pairs, sum of weights, sum of weights times separation in radians.
    """
    n = len(position)
    bins = len(chord2) - 1
    reach = math.sqrt(chord2[bins])
    for i in range(n):
        for j in range(i + 1, n):
            dz = position[j, 2] - position[i, 2]
            if dz > reach:
                break
            dx = position[j, 0] - position[i, 0]
            dy = position[j, 1] - position[i, 1]
            d2 = dx * dx + dy * dy + dz * dz
            if d2 < chord2[0] or d2 >= chord2[bins]:
                continue
            k = np.searchsorted(chord2, d2, side="right") - 1
            w = weight[i] * weight[j]
            moments[k, 0] += 1.0
            moments[k, 1] += w
            moments[k, 2] += w * 2.0 * math.asin(0.5 * math.sqrt(d2))
            a, b = values[i], values[j]
            sums[k, 0] += w * (a[0, 0] * b[0, 0] + a[0, 1] * b[0, 1])
            sums[k, 1] += 0.5 * w * (
                a[1, 0] * b[0, 0] + a[1, 1] * b[0, 1] + a[0, 0] * b[1, 0] + a[0, 1] * b[1, 1]
            )  # fmt: skip
            sums[k, 2] += w * (a[2, 0] * b[2, 0] + a[2, 1] * b[2, 1])
            sums[k, 3] += 0.5 * w * (
                a[0, 0] * b[2, 0] + a[0, 1] * b[2, 1] + a[2, 0] * b[0, 0] + a[2, 1] * b[0, 1]
            )  # fmt: skip
            sums[k, 4] += 0.5 * w * (
                a[1, 0] * b[2, 0] + a[1, 1] * b[2, 1] + a[2, 0] * b[1, 0] + a[2, 1] * b[1, 1]
            )  # fmt: skip
