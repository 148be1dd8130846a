"""Kernels of the separable Lanczos-3 resampling between stamps and the model grid.

The resampling of one axis is a sparse matrix: row `j` holds the weights of the input samples that
make output sample `j`. It is kept as the first input index, the number of weights and the weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Array = NDArray[Any]

REACH = 3.0  # half width of the Lanczos-3 kernel, in units of its stretch


@inner_kernel
def lanczos3(x: float) -> float:
    """Lanczos-3 kernel: sinc(x) sinc(x/3), zero beyond 3."""
    if abs(x) < 1e-5:
        return 1.0
    if abs(x) > REACH:
        return 0.0
    phase = math.pi * x
    return math.sin(phase) * math.sin(phase / 3.0) / (phase * phase / 3.0)


@kernel
def tap_width(stretch: float) -> int:
    """Largest number of weights in a row."""
    return int(2.0 * REACH * stretch) + 1


@inner_kernel
def axis_taps(
    n_in: int,
    n_out: int,
    shift: float,
    step: float,
    stretch: float,
    first: Array,
    count: Array,
    taps: Array,
) -> None:
    """Fill the resampling matrix of one axis.

    Parameters
    ----------
    n_in, n_out
        Number of input and output samples; sample ``n // 2`` is the centre of each.
    shift
        Position of the output centre relative to the input centre, input samples.
    step, stretch
        Spacing of the outputs and width of the kernel, input samples.
    first, count
        (n_out,) first input index of each row and number of weights; 0 weights where the row is
        empty.
    taps
        (n_out, `tap_width(stretch)`) weights; each row that is not empty sums to 1, also where the
        kernel is cut by the edge.
    """
    first[:] = 0
    count[:] = 0
    taps[:] = 0.0
    start = n_in // 2 + shift - (n_out // 2) * step
    if not np.isfinite(start) or int(start) >= n_in:
        return
    skipped = 0
    if start < 0.0:
        skip = 1.0 - start / step
        if skip >= n_out:
            return
        skipped = int(skip)
        start += skipped * step
    filled = min(int((n_in - 1 - start) / step + 1.0), n_out - skipped)
    position = start
    for j in range(skipped, skipped + filled):
        low = max(int(np.ceil(position - REACH * stretch)), 0)
        high = min(int(np.floor(position + REACH * stretch)), n_in - 1)
        total = 0.0
        for i in range(low, high + 1):
            value = lanczos3((i - position) / stretch)
            taps[j, i - low] = value
            total += value
        scale = 1.0 / total if total > 0.0 else 1.0 / stretch
        for i in range(high + 1 - low):
            taps[j, i] *= scale
        first[j] = low
        count[j] = high + 1 - low
        position += step


@inner_kernel
def apply_taps(
    image: Array,
    first_x: Array,
    count_x: Array,
    taps_x: Array,
    first_y: Array,
    count_y: Array,
    taps_y: Array,
    buffer: Array,
    out: Array,
) -> None:
    """Resample an image along x, then along y.

    Both results are rounded to single precision, as the original does; the sums are in double
    precision. `buffer` is (n_in_y, n_out_x) float32, `out` (n_out_y, n_out_x) float32.
    """
    n_in_y = image.shape[0]
    n_out_y, n_out_x = out.shape
    for y in range(n_in_y):
        for j in range(n_out_x):
            total = 0.0
            low = first_x[j]
            for i in range(count_x[j]):
                total += taps_x[j, i] * np.float64(image[y, low + i])
            buffer[y, j] = np.float32(total)
    row = np.empty(n_out_x, np.float64)
    for j in range(n_out_y):
        row[:] = 0.0
        low = first_y[j]
        for i in range(count_y[j]):
            tap = taps_y[j, i]
            for x in range(n_out_x):
                row[x] += tap * np.float64(buffer[low + i, x])
        for x in range(n_out_x):
            out[j, x] = np.float32(row[x])


@kernel
def resample_stack(
    images: Array,
    shift_x: Array,
    shift_y: Array,
    step: float,
    stretch: float,
    out: Array,
) -> None:
    """Resample (n, h, w) images, each with its own shift (input pixels), into `out`."""
    n, n_in_y, n_in_x = images.shape
    _, n_out_y, n_out_x = out.shape
    width = tap_width(stretch)
    first_x = np.zeros(n_out_x, np.int64)
    count_x = np.zeros(n_out_x, np.int64)
    taps_x = np.zeros((n_out_x, width), np.float64)
    first_y = np.zeros(n_out_y, np.int64)
    count_y = np.zeros(n_out_y, np.int64)
    taps_y = np.zeros((n_out_y, width), np.float64)
    buffer = np.zeros((n_in_y, n_out_x), np.float32)
    for s in range(n):
        axis_taps(n_in_x, n_out_x, shift_x[s], step, stretch, first_x, count_x, taps_x)
        axis_taps(n_in_y, n_out_y, shift_y[s], step, stretch, first_y, count_y, taps_y)
        apply_taps(images[s], first_x, count_x, taps_x, first_y, count_y, taps_y, buffer, out[s])


@kernel
def combine_planes(
    terms: Array,
    planes: Array,
    out: Array,
) -> None:
    """Sum of polynomial terms (n, nc) times planes (nc, npix), in double precision.

    A plain loop instead of a matrix product: the result of one row must not depend on how many
    rows are asked for at once.
    """
    n, nc = terms.shape
    npix = planes.shape[1]
    row = np.empty(npix, np.float64)
    for s in range(n):
        row[:] = 0.0
        for k in range(nc):
            term = terms[s, k]
            for p in range(npix):
                row[p] += term * np.float64(planes[k, p])
        for p in range(npix):
            out[s, p] = np.float32(row[p])


@kernel
def normalise(images: Array, tolerance: float, sums: Array, bad: Array) -> None:
    """Divide each image by its sum, in place; NaN where the sum is no PSF's.

    An image is `bad` when its sum is not within `tolerance` of 1, not positive, or not finite.
    """
    n, npix = images.shape
    for s in range(n):
        total = 0.0
        for p in range(npix):
            total += np.float64(images[s, p])
        sums[s] = total
        bad[s] = not (abs(total - 1.0) <= tolerance and total > 0.0)
        factor = np.nan if bad[s] else 1.0 / total
        for p in range(npix):
            images[s, p] = np.float32(np.float64(images[s, p]) * factor)
