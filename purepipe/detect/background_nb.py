"""Kernels of the background: statistics of the meshes, median filter, spline interpolation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import kernel
from purepipe.detect.records_nb import BIG

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Box = tuple[int, int, int, int]  # first and last + 1 in x, in y

PI = 3.1415926535898
MAX_LEVELS = 4096
READ_BUFFER = 1048576  # pixels; rows of larger meshes are sampled for the clipping


@kernel
def mesh_rows(
    image: Array,
    variance: Array,
    weighted: bool,
    bad_level: Number,
    mesh: tuple[int, int],
    first: int,
    last: int,
    maps: Array,
) -> None:
    """Mode and dispersion of the meshes in mesh rows `first` to `last` (exclusive).

    `mesh` is (width, height); `maps` (4, ny, nx) float32 receives level and sigma of the image
    and of the variance, -BIG where fewer than half of the pixels are good.
    """
    height, width = image.shape
    bw, bh = mesh
    histogram = np.zeros(MAX_LEVELS + 2, np.int64)
    for row in range(first, last):
        y0, y1 = row * bh, min((row + 1) * bh, height)
        rows, step, start = y1 - y0, 1, y0
        if width * rows > READ_BUFFER:
            step = (rows - 1) // (READ_BUFFER // width) + 1
            rows = rows // step
            start = y0 + step // 2
        for column in range(maps.shape[2]):
            x0, x1 = column * bw, min((column + 1) * bw, width)
            box = (x0, x1, y0, y1)
            sample = (start, step, rows)
            result = _mesh(image, variance, weighted, bad_level, box, sample, histogram)
            for k in range(4):
                maps[k, row, column] = result[k]


@kernel
def _mesh(
    image: Array,
    variance: Array,
    weighted: bool,
    bad_level: Number,
    box: Box,
    sample: tuple[int, int, int],
    histogram: Array,
) -> tuple[Number, Number, Number, Number]:
    ok, mean, sigma, vmean, vsigma = _moments(image, variance, weighted, bad_level, box, sample)
    if not ok:
        return -BIG, -BIG, -BIG, -BIG
    low, high = np.float32(mean - 2 * sigma), np.float32(mean + 2 * sigma)
    vlow, vhigh = np.float32(vmean - 2 * vsigma), np.float32(vmean + 2 * vsigma)
    n, mean, sigma, vn, vmean, vsigma = _clipped_moments(
        image, variance, weighted, bad_level, box, sample, (low, high, vlow, vhigh)
    )
    levels, scale, zero = _binning(n, mean, sigma)
    vlevels, vscale, vzero = _binning(vn, vmean, vsigma)
    _fill(image, variance, weighted, bad_level, box, levels, scale, zero, histogram)
    level, rms = _mode(histogram, levels, scale, zero)
    vlevel, vrms = np.float32(0), np.float32(0)
    if weighted:
        _fill_variance(
            image, variance, bad_level, box, (levels, scale, zero), (vlevels, vscale, vzero),
            histogram,
        )  # fmt: skip
        vlevel, vrms = _mode(histogram, vlevels, vscale, vzero)
    return level, rms, vlevel, vrms


@kernel
def _moments(
    image: Array,
    variance: Array,
    weighted: bool,
    bad_level: Number,
    box: Box,
    sample: tuple[int, int, int],
) -> tuple[bool, float, float, float, float]:
    x0, x1, _, _ = box
    start, step, rows = sample
    n = 0
    s1 = s2 = v1 = v2 = 0.0
    for i in range(rows):
        y = start + i * step
        for x in range(x0, x1):
            p = image[y, x]
            if p > -BIG and (not weighted or variance[y, x] < bad_level):
                value = np.float64(p)
                s1 += value
                s2 += value * value
                if weighted:
                    var = np.float64(variance[y, x])
                    v1 += var
                    v2 += var * var
                n += 1
    if np.float32(n) < np.float32(0.5 * (x1 - x0) * rows) or n == 0:
        return False, 0.0, 0.0, 0.0, 0.0
    mean, sigma = _mean_sigma(n, s1, s2)
    vmean, vsigma = _mean_sigma(n, v1, v2)
    return True, mean, sigma, vmean, vsigma


@kernel
def _clipped_moments(
    image: Array,
    variance: Array,
    weighted: bool,
    bad_level: Number,
    box: Box,
    sample: tuple[int, int, int],
    cuts: tuple[Number, Number, Number, Number],
) -> tuple[int, float, float, int, float, float]:
    x0, x1, _, _ = box
    start, step, rows = sample
    low, high, vlow, vhigh = cuts
    n = vn = 0
    s1 = s2 = v1 = v2 = 0.0
    for i in range(rows):
        y = start + i * step
        for x in range(x0, x1):
            p = image[y, x]
            if not low <= p <= high or not p > -BIG:
                continue
            if weighted:
                var = variance[y, x]
                if not var < bad_level:
                    continue
                if vlow <= var <= vhigh:
                    v1 += np.float64(var)
                    v2 += np.float64(var) * np.float64(var)
                    vn += 1
            value = np.float64(p)
            s1 += value
            s2 += value * value
            n += 1
    mean, sigma = _mean_sigma(n, s1, s2)
    vmean, vsigma = _mean_sigma(vn, v1, v2)
    return n, mean, sigma, vn, vmean, vsigma


@kernel
def _mean_sigma(n: int, s1: float, s2: float) -> tuple[float, float]:
    if n == 0:
        return 0.0, 0.0
    mean = s1 / n
    square = s2 / n - mean * mean
    return mean, math.sqrt(square) if square > 0 else 0.0


@kernel
def _binning(n: int, mean: float, sigma: float) -> tuple[int, Number, Number]:
    """Number of histogram levels, their width and the value of level zero."""
    levels = min(MAX_LEVELS, int(math.sqrt(2.0 / PI) * 5 / 4 * n + 1))
    scale = np.float32(10 * sigma / levels) if sigma > 0 else np.float32(1)
    if not scale > 0:  # the width underflows single precision
        scale = np.float32(1)
    return levels, scale, np.float32(mean - 5 * sigma)


@kernel
def _bin(p: Number, scale: Number, offset: Number, levels: int) -> int:
    t = np.float32(np.float32(p / scale) + offset)
    # Conversion to int truncates: bin 0 also takes (-1, 0).
    return int(t) if -1 < t < levels else -1


@kernel
def _fill(
    image: Array,
    variance: Array,
    weighted: bool,
    bad_level: Number,
    box: Box,
    levels: int,
    scale: Number,
    zero: Number,
    histogram: Array,
) -> None:
    x0, x1, y0, y1 = box
    offset = np.float32(0.499999 - np.float32(zero / scale))
    for i in range(levels + 2):
        histogram[i] = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            p = image[y, x]
            if p > -BIG and (not weighted or variance[y, x] < bad_level):
                i = _bin(p, scale, offset, levels)
                if i >= 0:
                    histogram[i] += 1


@kernel
def _fill_variance(
    image: Array,
    variance: Array,
    bad_level: Number,
    box: Box,
    binning: tuple[int, Number, Number],
    vbinning: tuple[int, Number, Number],
    histogram: Array,
) -> None:
    x0, x1, y0, y1 = box
    levels, scale, zero = binning
    vlevels, vscale, vzero = vbinning
    offset = np.float32(0.499999 - np.float32(zero / scale))
    voffset = np.float32(0.499999 - np.float32(vzero / vscale))
    for i in range(vlevels + 2):
        histogram[i] = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            p, var = image[y, x], variance[y, x]
            if p > -BIG and var < bad_level and _bin(p, scale, offset, levels) >= 0:
                i = _bin(var, vscale, voffset, vlevels)
                if i >= 0:
                    histogram[i] += 1


@kernel
def _mode(histogram: Array, levels: int, scale: Number, zero: Number) -> tuple[Number, Number]:
    """Mode and dispersion by iterated clipping of a histogram."""
    low, high = 0, levels - 1
    sigma, previous = 10.0 * (levels - 1), 1.0
    mean = median = 0.0
    for _ in range(100):
        if not (sigma >= 0.1 and abs(sigma / previous - 1) > 1e-4):
            break
        previous = sigma
        mean, sigma = _range_moments(histogram, low, high)
        median = _range_median(histogram, low, high)
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


@kernel
def _range_moments(histogram: Array, low: int, high: int) -> tuple[float, float]:
    n = 0
    s1 = s2 = 0.0
    for i in range(low, high + 1):
        n += histogram[i]
        weighted = np.float64(histogram[i]) * i
        s1 += weighted
        s2 += weighted * i
    if n == 0:
        return 0.0, 0.0
    mean = s1 / n
    square = s2 / n - mean * mean
    return mean, math.sqrt(square) if square > 0 else 0.0


@kernel
def _range_median(histogram: Array, low: int, high: int) -> float:
    """Median of the bins, by two fingers that walk inward and keep their sums balanced."""
    i, j = low, high
    below = above = 0
    for _ in range(high - low + 1):
        if below < above:
            below += histogram[i]
            i += 1
        else:
            above += histogram[j]
            j -= 1
    if j < 0:
        return 0.0
    most = max(histogram[i], histogram[j])
    if most == 0:
        return j + 0.5
    return float(j + 0.5 + (np.float64(above) - below) / (2.0 * most))


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


@kernel
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


@kernel
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
def spline_rows(level: Array, mesh: tuple[int, int], first: int, last: int, out: Array) -> None:
    """Interpolate a mesh map to image rows `first` to `last` (exclusive); out[0] is row first."""
    ny, nx = level.shape
    bw, bh = mesh
    curvature = np.zeros((ny, nx), np.float32)
    column = np.empty(ny, np.float32)
    bent = np.empty(ny, np.float32)
    for i in range(nx):
        for j in range(ny):
            column[j] = level[j, i]
        second_derivatives(column, bent)
        for j in range(ny):
            curvature[j, i] = bent[j]
    nodes = np.empty(nx, np.float32)
    bends = np.empty(nx, np.float32)
    for y in range(first, last):
        _row_nodes(level, curvature, bh, y, nodes)
        second_derivatives(nodes, bends)
        _spline_row(nodes, bends, bw, out[y - first])


@kernel
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


@kernel
def _spline_row(nodes: Array, bends: Array, bw: int, out: Array) -> None:
    nx = nodes.size
    if nx == 1:
        for x in range(out.size):
            out[x] = nodes[0]
        return
    one = np.float32(1)
    step = np.float32(1.0 / bw)
    t = np.float32((step - one) / np.float32(2))
    reset = np.float32(((bw + 1) % 2) * 0.5) * step
    k = 0
    for x in range(out.size):
        if x > 0 and x % bw == bw // 2 and 1 <= x // bw <= nx - 2:
            k = x // bw
            t = reset
        s = one - t
        out[x] = s * (nodes[k] + (s * s - one) * bends[k]) + t * (
            nodes[k + 1] + (t * t - one) * bends[k + 1]
        )
        t = np.float32(t + step)
