"""Kernel of the rho statistics: sums over pairs of stars in bins of separation."""

from __future__ import annotations

import math
from typing import Any

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
            k = bins - 1  # most pairs are far apart
            while d2 < chord2[k]:
                k -= 1
            w = weight[i] * weight[j]
            half = 0.5 * math.sqrt(d2)
            # The arc to 1e-10 below half a degree, without the price of the arcsine.
            arc = half * (1.0 + d2 / 24.0) if d2 < 1e-4 else math.asin(half)
            moments[k, 0] += 1.0
            moments[k, 1] += w
            moments[k, 2] += w * 2.0 * arc
            # Of the first and of the second star: residual, ellipticity, times size residual.
            s1, s2, e1, e2 = values[i, 0, 0], values[i, 0, 1], values[i, 1, 0], values[i, 1, 1]
            q1, q2 = values[i, 2, 0], values[i, 2, 1]
            f1, f2, g1, g2 = values[j, 0, 0], values[j, 0, 1], values[j, 1, 0], values[j, 1, 1]
            r1, r2 = values[j, 2, 0], values[j, 2, 1]
            sums[k, 0] += w * (s1 * f1 + s2 * f2)
            sums[k, 1] += 0.5 * w * (e1 * f1 + e2 * f2 + s1 * g1 + s2 * g2)
            sums[k, 2] += w * (q1 * r1 + q2 * r2)
            sums[k, 3] += 0.5 * w * (s1 * r1 + s2 * r2 + q1 * f1 + q2 * f2)
            sums[k, 4] += 0.5 * w * (e1 * r1 + e2 * r2 + q1 * g1 + q2 * g2)
