"""Kernels that sum up flag maps and bad weights over the pixels of objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.detect.plane_nb import correlate_at

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

OR, AND, MIN, MAX, MOST = 0, 1, 2, 3, 4
DOUBTFUL = np.float32(1e26)  # filtered variance that has seen a bad pixel


@kernel
def object_flags(flags: Array, kind: int, starts: Array, values: Array, counts: Array) -> None:
    """Combine the flags that are not zero over the pixels of each object.

    Object k owns flags[starts[k] : starts[k + 1]] (uint32). `values` (uint32) and `counts` (int32)
    receive the combination and the number of pixels that it stands for: of all flagged pixels (OR,
    AND), or of those with this value.
    """
    for k in range(starts.size - 1):
        found = np.empty(starts[k + 1] - starts[k], np.uint32)
        n = 0
        for i in range(starts[k], starts[k + 1]):
            if flags[i] != 0:
                found[n] = flags[i]
                n += 1
        values[k], counts[k] = _combined(found[:n], kind)


@inner_kernel
def _combined(flags: Array, kind: int) -> tuple[Number, int]:
    value = np.uint32(0)
    count = 0
    if kind in (OR, AND):
        for flag in flags:
            value |= flag
        # The original begins with no bit set, which a conjunction never changes.
        return (value if kind == OR else np.uint32(0)), flags.size
    if kind == MOST:
        return _most_frequent(flags)
    for flag in flags:
        if count == 0 or (flag < value if kind == MIN else flag > value):
            value, count = flag, 0
        count += flag == value
    return value, count


@inner_kernel
def _most_frequent(flags: Array) -> tuple[Number, int]:
    """The value that occurs most often; of several, the one that comes first in the list."""
    seen = np.empty(flags.size, np.uint32)
    runs = np.zeros(flags.size, np.int64)
    n = 0
    for flag in flags:
        i = 0
        while i < n and seen[i] != flag:
            i += 1
        if i == n:
            seen[n] = flag
            n += 1
        runs[i] += 1
    value = np.uint32(0)
    count = 0
    for i in range(n):
        if runs[i] > count:
            value, count = seen[i], runs[i]
    return value, count


@kernel
def merge_flags(values: Array, counts: Array, kind: int, survivor: Array) -> None:
    """Combine the flags of objects swallowed by cleaning with those of the survivors."""
    for i in range(survivor.size):
        j = survivor[i]
        if j < 0 or j == i:
            continue
        if kind in (OR, AND):
            values[j] |= values[i]
            counts[j] += counts[i]
        elif kind != MOST and values[i] == values[j]:
            counts[j] += counts[i]
        elif (
            (kind == MIN and values[i] < values[j])
            or (kind == MAX and values[i] > values[j])
            or (kind == MOST and counts[i] > counts[j])
        ):
            values[j], counts[j] = values[i], counts[i]


@kernel
def count_bad_pixels(
    variance: Array, bad_level: Number, starts: Array, pixels: Array, counts: Array
) -> None:
    """Number of pixels of each object whose variance is that of a bad pixel."""
    flat = variance.reshape(variance.size)
    for k in range(starts.size - 1):
        n = 0
        for i in range(starts[k], starts[k + 1]):
            n += flat[pixels[i]] >= bad_level
        counts[k] = n


@kernel
def count_doubtful_pixels(
    variance: Array, mask: Array, bad_level: Number, starts: Array, pixels: Array, counts: Array
) -> None:
    """Number of pixels of each object that touch one whose filtered variance is that of a bad one.

    A pixel touches its eight neighbours and itself.
    """
    height, width = variance.shape
    limit = min(bad_level, DOUBTFUL)
    for k in range(starts.size - 1):
        n = 0
        for i in range(starts[k], starts[k + 1]):
            y, x = divmod(pixels[i], width)
            touched = False
            for py in range(max(y - 1, 0), min(y + 2, height)):
                for px in range(max(x - 1, 0), min(x + 2, width)):
                    touched = touched or correlate_at(variance, mask, py, px) >= limit
            n += touched
        counts[k] = n
