"""Compiled core of the spread model: PSF and slightly extended template against each stamp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel, kernel

NO_PSF = 1
NO_FLUX = 2
NO_ERROR = 4
NOT_FINITE = 8
# Stamp pixels at or below this are masked; the files write -1e30.
MASKED_VALUE = -1e29
# Pixels farther than this many sigma from the centre add less than 1e-12 to any sum.
REACH = 9.0


@inner_kernel
def gaussian_per_pixel(variances: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Integrals over unit pixels of centred normal distributions, one row per variance."""
    size = out.shape[1]
    for k in range(len(variances)):
        scale = 1.0 / math.sqrt(2.0 * variances[k])
        previous = math.erf(-0.5 * size * scale)
        # The grid is symmetric about its centre, so half of it is enough.
        for i in range((size + 1) // 2):
            current = math.erf((i + 1 - 0.5 * size) * scale)
            out[k, i] = out[k, size - 1 - i] = 0.5 * (current - previous)
            previous = current


@fast_kernel
def template_row(
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    j: int,
    shares: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """One row of the template: the sum over Gaussians 1.. of share times outer product."""
    for i in range(len(out)):
        out[i] = 0.0
    for k in range(len(shares)):
        factor = shares[k] * across[k + 1, j]
        row = along[k + 1]
        for i in range(len(out)):
            out[i] += factor * row[i]


@fast_kernel
def product_sums(
    stamp: NDArray[Any],
    weight: NDArray[Any],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> tuple[float, float, float, float, float, float, float]:
    """Sums over good pixels of T O, P O, T P, P P, n T T, n P P, n T P with n = 1/W.

    Row 0 of `along` and `across` makes the PSF P, the others the template T. Reordered sums
    spread NaN and infinities as strict ones do.
    """
    height, width = stamp.shape
    template = np.empty(width)
    tg = pg = tp = pp = tnt = pnp = tnp = 0.0
    for j in range(height):
        template_row(along, across, j, shares, template)
        psf_row, values, weights = along[0], stamp[j], weight[j]
        for i in range(width):
            good = values[i] > MASKED_VALUE and weights[i] > 0
            o = float(values[i]) if good else 0.0
            t = template[i] if good else 0.0
            p = across[0, j] * psf_row[i] if good else 0.0
            noise = 1.0 / float(weights[i]) if good else 0.0
            tg += t * o
            pg += p * o
            tp += t * p
            pp += p * p
            tnt += noise * t * t
            pnp += noise * p * p
            tnp += noise * t * p
    return tg, pg, tp, pp, tnt, pnp, tnp


@inner_kernel
def cut_margins(stamp: NDArray[Any], sigma: float) -> NDArray[Any]:
    """The part of a stamp within reach of the PSF; the same centre."""
    height, width = stamp.shape
    rows = max(0, math.floor(0.5 * height - REACH * sigma))
    columns = max(0, math.floor(0.5 * width - REACH * sigma))
    return stamp[rows : height - rows, columns : width - columns]


@inner_kernel
def spread_one(
    stamp: NDArray[Any],
    weight: NDArray[Any],
    sigma: float,
    extra: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> tuple[float, float, int]:
    """(spread, error, flags) of one stamp; `extra` holds the template's variances over sigma^2."""
    if not (sigma > 0.0 and math.isfinite(sigma)):
        return np.nan, np.nan, NO_PSF
    stamp, weight = cut_margins(stamp, sigma), cut_margins(weight, sigma)
    height, width = stamp.shape
    variances = np.full(1 + len(extra), sigma * sigma)
    for k in range(len(extra)):
        variances[k + 1] *= 1.0 + extra[k]
    along = np.empty((len(variances), width))
    gaussian_per_pixel(variances, along)
    across = along
    if height != width:
        across = np.empty((len(variances), height))
        gaussian_per_pixel(variances, across)
    tg, pg, tp, pp, tnt, pnp, tnp = product_sums(stamp, weight, along, across, shares)
    if not (math.isfinite(tg) and math.isfinite(pg)):
        return np.nan, np.nan, NOT_FINITE
    if pg <= 0.0:
        return np.nan, np.nan, NO_FLUX
    spread = tg / pg - tp / pp
    variance = tnt * pg * pg + pnp * tg * tg - 2.0 * tnp * pg * tg
    if not (variance > 0.0 and math.isfinite(variance)):
        return spread, np.nan, NO_ERROR
    return spread, math.sqrt(variance) / (pg * pg), 0


@kernel
def spread_batch(
    stamps: NDArray[Any],
    weights: NDArray[Any],
    sigma: NDArray[np.float64],
    extra: NDArray[np.float64],
    shares: NDArray[np.float64],
    spread: NDArray[np.float64],
    error: NDArray[np.float64],
    flags: NDArray[np.int32],
) -> None:
    """`spread_one` for every stamp of a (n, h, w) array."""
    for k in range(stamps.shape[0]):
        spread[k], error[k], flags[k] = spread_one(stamps[k], weights[k], sigma[k], extra, shares)
