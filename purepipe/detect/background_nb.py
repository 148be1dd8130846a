"""Kernels of the background: statistics of the meshes, median filter, spline interpolation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.detect.records_nb import BIG
from purepipe.detect.weight_nb import NONE, gather

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Binning = tuple[int, Number, Number]  # levels, their width, value of level zero

PI = 3.1415926535898
MAX_LEVELS = 4096
READ_BUFFER = 1048576  # pixels; rows of larger meshes are sampled for the clipping


@kernel
def mesh_rows(
    image: Array,
    weight: Array,
    kind: int,
    bad_level: Number,
    mesh: tuple[int, int],
    first: int,
    last: int,
    maps: Array,
) -> None:
    """Mode and dispersion of the meshes in mesh rows `first` to `last` (exclusive).

    `kind` says what the numbers of `weight` are (`purepipe.detect.weight_nb`). `mesh` is (width,
    height); `maps` (4, ny, nx) float32 receives level and sigma of the image and of the variance,
    -BIG where fewer than half of the pixels are good.
    """
    height, width = image.shape
    bw, bh = mesh
    size = min(bw * bh, max(READ_BUFFER, bw))
    values, variances = np.empty(size, np.float32), np.empty(size, np.float32)
    bins = np.empty(size, np.int32)
    counts = np.empty((2, MAX_LEVELS + 2), np.int64)
    sums = np.zeros((3, MAX_LEVELS + 1), np.int64)
    for row in range(first, last):
        y0, y1 = row * bh, min((row + 1) * bh, height)
        rows, step, start = y1 - y0, 1, y0
        if width * rows > READ_BUFFER:
            step = (rows - 1) // (READ_BUFFER // width) + 1 if width <= READ_BUFFER else rows
            rows = rows // step
            start = y0 + step // 2
        for column in range(maps.shape[2]):
            x0, x1 = column * bw, min((column + 1) * bw, width)
            n = 0
            for i in range(rows):
                line = start + i * step
                n = gather(
                    image[line, x0:x1], weight, line, x0, kind, bad_level, values, variances, n
                )
            maps[0, row, column] = maps[1, row, column] = -BIG
            maps[2, row, column] = maps[3, row, column] = -BIG
            if n == 0 or np.float32(n) < np.float32(0.5 * (x1 - x0) * rows):
                continue
            binning, vbinning = _binnings(values[:n], variances[:n], kind)
            counts[0, : binning[0] + 1] = 0
            counts[1, : vbinning[0] + 1] = 0
            if step == 1:
                _count(values[:n], variances[:n], kind, binning, vbinning, bins, counts)
            else:  # the histogram takes every row
                for line in range(y0, y1):
                    n = gather(
                        image[line, x0:x1], weight, line, x0, kind, bad_level, values, variances, 0
                    )
                    _count(values[:n], variances[:n], kind, binning, vbinning, bins, counts)
            level, sigma = _mode(counts[0], binning, sums)
            maps[0, row, column], maps[1, row, column] = level, sigma
            maps[2, row, column] = maps[3, row, column] = 0
            if kind != NONE:
                level, sigma = _mode(counts[1], vbinning, sums)
                maps[2, row, column], maps[3, row, column] = level, sigma


@inner_kernel
def _binnings(values: Array, variances: Array, kind: int) -> tuple[Binning, Binning]:
    """Histogram levels of the values and of their variances, from moments clipped at 2 sigma."""
    n = values.size
    if kind == NONE:
        s1 = s2 = 0.0
        for i in range(n):
            value = np.float64(values[i])
            s1 += value
            s2 += value * value
        mean, sigma = _mean_sigma(n, s1, s2)
        low, high = np.float32(mean - 2 * sigma), np.float32(mean + 2 * sigma)
        m, s1, s2 = 0, 0.0, 0.0
        for i in range(n):
            p = values[i]
            inside = (low <= p) & (p <= high)
            value = np.float64(p) if inside else np.float64(0)
            s1 += value
            s2 += value * value
            m += inside
        mean, sigma = _mean_sigma(m, s1, s2)
        return _binning(m, mean, sigma), (1, np.float32(1), np.float32(0))
    # Four sums at a time: each addition waits for the one before in its sum, not for the others.
    s1 = s2 = v1 = v2 = 0.0
    for i in range(n):
        value, variance = np.float64(values[i]), np.float64(variances[i])
        s1 += value
        s2 += value * value
        v1 += variance
        v2 += variance * variance
    mean, sigma = _mean_sigma(n, s1, s2)
    vmean, vsigma = _mean_sigma(n, v1, v2)
    low, high = np.float32(mean - 2 * sigma), np.float32(mean + 2 * sigma)
    vlow, vhigh = np.float32(vmean - 2 * vsigma), np.float32(vmean + 2 * vsigma)
    m = vm = 0
    s1 = s2 = v1 = v2 = 0.0
    for i in range(n):
        p, v = values[i], variances[i]
        inside = (low <= p) & (p <= high)
        vinside = inside & (vlow <= v) & (v <= vhigh)
        value = np.float64(p) if inside else np.float64(0)
        variance = np.float64(v) if vinside else np.float64(0)
        s1 += value
        s2 += value * value
        v1 += variance
        v2 += variance * variance
        m += inside
        vm += vinside
    mean, sigma = _mean_sigma(m, s1, s2)
    vmean, vsigma = _mean_sigma(vm, v1, v2)
    return _binning(m, mean, sigma), _binning(vm, vmean, vsigma)


@inner_kernel
def _mean_sigma(n: int, s1: float, s2: float) -> tuple[float, float]:
    if n == 0:
        return 0.0, 0.0
    mean = s1 / n
    square = s2 / n - mean * mean
    return mean, math.sqrt(square) if square > 0 else 0.0


@inner_kernel
def _binning(n: int, mean: float, sigma: float) -> Binning:
    """Number of histogram levels, their width and the value of level zero."""
    levels = min(MAX_LEVELS, int(math.sqrt(2.0 / PI) * 5 / 4 * n + 1))
    scale = np.float32(10 * sigma / levels) if sigma > 0 else np.float32(1)
    if not scale > 0:  # the width underflows single precision
        scale = np.float32(1)
    return levels, scale, np.float32(mean - 5 * sigma)


@inner_kernel
def _bins(values: Array, binning: Binning, out: Array) -> None:
    """Histogram level of each value; the number of levels for values outside."""
    levels, scale, zero = binning
    offset = np.float32(0.499999 - np.float32(zero / scale))
    top = np.float32(levels)
    for i in range(values.size):
        t = np.float32(np.float32(values[i] / scale) + offset)
        # Conversion to int truncates: bin 0 also takes (-1, 0).
        out[i] = np.int32(t) if (t > np.float32(-1)) & (t < top) else np.int32(levels)


@inner_kernel
def _count(
    values: Array,
    variances: Array,
    kind: int,
    binning: Binning,
    vbinning: Binning,
    bins: Array,
    counts: Array,
) -> None:
    """Add pixels to the histogram and, where they fall into it, their variances to the other."""
    n = values.size
    _bins(values, binning, bins)
    for i in range(n):
        counts[0, bins[i]] += 1
    if kind == NONE:
        return
    for i in range(n):
        if bins[i] == binning[0]:
            variances[i] = np.inf
    _bins(variances, vbinning, bins)
    for i in range(n):
        counts[1, bins[i]] += 1


@inner_kernel
def _mode(counts: Array, binning: Binning, sums: Array) -> tuple[Number, Number]:
    """Mode and dispersion by iterated clipping of a histogram.

    Rows of `sums` are work space: the counts below each level, and their first and second
    moments. These are whole numbers that double precision holds, as the original does.
    """
    levels, scale, zero = binning
    counts[levels] = 0  # of the pixels outside
    n = s1 = s2 = 0
    for i in range(levels):
        m = counts[i]
        n += m
        s1 += m * i
        s2 += m * i * i
        sums[0, i + 1], sums[1, i + 1], sums[2, i + 1] = n, s1, s2
    low: Number = np.int64(0)
    high = levels - 1
    sigma, previous = 10.0 * (levels - 1), 1.0
    # A single level, that of a single pixel, is not iterated: the original adds the mean of the
    # pixels to the value of level zero, which is the mean itself.
    mean: Number = np.float64(zero)
    median = 0.0
    for _ in range(100):
        if not (sigma >= 0.1 and abs(sigma / previous - 1) > 1e-4):
            break
        previous = sigma
        n, s1, s2 = (
            sums[0, high + 1] - sums[0, low],
            sums[1, high + 1] - sums[1, low],
            sums[2, high + 1] - sums[2, low],
        )
        mean, sigma = _mean_sigma(n, np.float64(s1), np.float64(s2))
        median = _range_median(counts, sums[0], low, high)
        bottom, top = median - 3 * sigma, median + 3 * sigma
        low = int(bottom + 0.5) if bottom > 0 else 0
        high = int(top + 0.5) if top < levels - 1 else levels - 1
    if sigma == 0:
        value = zero + mean * scale
    elif abs(mean - median) / sigma < 0.3:
        value = zero + (2.5 * median - 1.5 * mean) * scale
    else:
        value = zero + median * scale
    return np.float32(value), np.float32(sigma * scale)


@inner_kernel
def _range_median(counts: Array, below: Array, low: int, high: int) -> float:
    """Median of the levels `low` to `high`; `below` holds the counts below each level.

    The original walks two fingers inward and keeps their sums balanced, the upper one first. They
    meet at the highest level i with fewer than half in the middle of i-1 and i, found here by
    bisection.
    """
    i, j = low, high
    if high >= low:
        total = below[high + 1] + below[low]
        top = high
        while i < top:
            middle = (i + top + 1) // 2
            if below[middle - 1] + below[middle] < total:
                i = middle
            else:
                top = middle - 1
        j = i - 1
    if j < 0:
        return 0.0
    most = max(counts[i], counts[j])
    if most == 0:
        return j + 0.5
    above, under = below[max(high + 1, i)] - below[i], below[i] - below[low]
    return float(j + 0.5 + np.float64(above - under) / (2.0 * most))


@kernel
def fill_bad_meshes(maps: Array) -> None:
    """Give bad meshes the mean of the nearest good ones (all ties); 0 and 1 if there is none."""
    ny, nx = maps.shape[1:]
    source = maps.copy()
    for j in range(ny):
        for i in range(nx):
            if source[0, j, i] > -BIG:
                continue
            best, n = 1 << 60, 0
            sums = np.zeros(4, np.float32)  # the original adds in single precision
            for jj in range(ny):
                for ii in range(nx):
                    if not source[0, jj, ii] > -BIG:
                        continue
                    d2 = (ii - i) ** 2 + (jj - j) ** 2
                    if d2 < best:
                        best, n = d2, 0
                        for k in range(4):
                            sums[k] = 0
                    if d2 == best:
                        n += 1
                        for k in range(4):
                            sums[k] += source[k, jj, ii]
            for k in range(4):
                empty = 1.0 if k % 2 else 0.0
                maps[k, j, i] = np.float32(sums[k] / np.float32(n)) if n else empty


@inner_kernel
def window_median(values: Array, j: int, i: int, hy: int, hx: int, ordered: Array) -> Number:
    """Median of a window of a float32 map; the mean of the middle two for an even number."""
    n = 0
    for y in range(j - hy, j + hy + 1):
        for x in range(i - hx, i + hx + 1):
            value = values[y, x]
            k = n
            while k > 0 and ordered[k - 1] > value:
                ordered[k] = ordered[k - 1]
                k -= 1
            ordered[k] = value
            n += 1
    if n % 2:
        return ordered[n // 2]
    return np.float32(np.float32(ordered[n // 2 - 1] + ordered[n // 2]) / np.float32(2))


@kernel
def filter_maps(
    level: Array, sigma: Array, half_x: int, half_y: int, threshold: Number
) -> tuple[Array, Array]:
    """Median-filtered copies of a level and a sigma map; windows shrink at the borders."""
    ny, nx = level.shape
    new_level, new_sigma = np.empty_like(level), np.empty_like(sigma)
    ordered = np.empty((2 * half_x + 1) * (2 * half_y + 1), np.float32)
    for j in range(ny):
        hy = min(half_y, j, ny - 1 - j)
        for i in range(nx):
            hx = min(half_x, i, nx - 1 - i)
            new_level[j, i], new_sigma[j, i] = level[j, i], sigma[j, i]
            median = window_median(level, j, i, hy, hx, ordered)
            if abs(np.float32(median - level[j, i])) >= threshold:
                new_level[j, i] = median
                new_sigma[j, i] = window_median(sigma, j, i, hy, hx, ordered)
    return new_level, new_sigma


@inner_kernel
def second_derivatives(values: Array, out: Array) -> None:
    """Second derivatives over six of a natural spline through evenly spaced values, float32."""
    n = values.size
    out[0] = out[n - 1] = 0
    c = np.zeros(n, np.float32)
    u = np.zeros(n, np.float32)
    for k in range(1, n - 1):
        c[k] = np.float32(-1.0 / (np.float64(c[k - 1]) + 4.0))
        bend = np.float32(values[k + 1] + values[k - 1]) - np.float32(np.float32(2) * values[k])
        u[k] = np.float32(c[k] * np.float32(u[k - 1] - np.float32(np.float32(6) * bend)))
    for k in range(n - 2, 0, -1):
        d = np.float32(np.float32(c[k] * out[k + 1]) + u[k])
        # The neighbour is already divided by six: kept as in the original.
        out[k] = np.float32(np.float64(d) / 6.0)


@kernel
def spline_curvature(level: Array) -> Array:
    """Second derivatives over six along y of a mesh map, float32."""
    ny, nx = level.shape
    curvature = np.zeros((ny, nx), np.float32)
    column = np.empty(ny, np.float32)
    bent = np.empty(ny, np.float32)
    for i in range(nx):
        for j in range(ny):
            column[j] = level[j, i]
        second_derivatives(column, bent)
        for j in range(ny):
            curvature[j, i] = bent[j]
    return curvature


@kernel
def spline_rows(
    level: Array, curvature: Array, mesh: tuple[int, int], first: int, last: int, out: Array
) -> None:
    """Interpolate a mesh map to image rows `first` to `last` (exclusive); out[0] is row first.

    A single row of meshes is interpolated linearly, as in the original.
    """
    nx = level.shape[1]
    bw, bh = mesh
    nodes = np.empty(nx, np.float32)
    bends = np.zeros(nx, np.float32)
    fractions = np.empty(out.shape[1], np.float32)
    _row_fractions(bw, nx, fractions)
    for y in range(first, last):
        _row_nodes(level, curvature, bh, y, nodes)
        if level.shape[0] > 1:
            second_derivatives(nodes, bends)
        _spline_row(nodes, bends, bw, fractions, out[y - first])


@inner_kernel
def _row_nodes(level: Array, curvature: Array, bh: int, y: int, nodes: Array) -> None:
    ny = level.shape[0]
    if ny == 1:
        for i in range(nodes.size):
            nodes[i] = level[0, i]
        return
    t = np.float32(np.float32(y) / np.float32(bh) - np.float32(0.5))
    k = min(max(int(t), 0), ny - 2)
    t = np.float32(t - np.float32(k))
    s = np.float32(np.float32(1) - t)
    cs = np.float32(np.float32(s * s) * s - s)
    ct = np.float32(np.float32(t * t) * t - t)
    for i in range(nodes.size):
        nodes[i] = (
            s * level[k, i] + t * level[k + 1, i] + cs * curvature[k, i] + ct * curvature[k + 1, i]
        )


@inner_kernel
def _row_fractions(bw: int, nx: int, out: Array) -> None:
    """Place of each column between its two nodes, accumulated in single precision."""
    step = np.float32(1.0 / bw)
    t = np.float32((step - np.float32(1)) / np.float32(2))
    reset = np.float32(((bw + 1) % 2) * 0.5) * step
    for x in range(out.size):
        if x > 0 and x % bw == bw // 2 and 1 <= x // bw <= nx - 2:
            t = reset
        out[x] = t
        t = np.float32(t + step)


@inner_kernel
def _spline_row(nodes: Array, bends: Array, bw: int, fractions: Array, out: Array) -> None:
    nx = nodes.size
    if nx == 1:
        out[:] = nodes[0]
        return
    one = np.float32(1)
    for k in range(nx - 1):
        # Node pairs change half a mesh past their first node.
        begin = k * bw + bw // 2 if k > 0 else 0
        end = (k + 1) * bw + bw // 2 if k < nx - 2 else out.size
        low, high, bend_low, bend_high = nodes[k], nodes[k + 1], bends[k], bends[k + 1]
        ts, target = fractions[begin:end], out[begin:end]
        for x in range(ts.size):
            t = ts[x]
            s = one - t
            target[x] = s * (low + (s * s - one) * bend_low) + t * (
                high + (t * t - one) * bend_high
            )
