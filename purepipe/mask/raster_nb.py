"""Compiled loops over pixels: polygons, ellipses, the range of weights, the count of bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

# Pixels counted together: those of most blocks have no bit.
_BLOCK = 128


@inner_kernel
def weightwatcher_column(x1: float, y1: float, x2: float, y2: float, row: int) -> float:
    """First column inside at the crossing of an edge with a row, by WeightWatcher's rule.

    Single precision is part of the rule. The pixel is in effect tested at its right edge.
    """
    fx1, fy1 = np.float32(x1), np.float32(y1)
    slope = np.float32(np.float32(x2) - fx1) / np.float32(np.float32(y2) - fy1)
    step = np.float32(np.float32(np.float32(row) - fy1) * slope)
    crossing = np.float64(np.float32(fx1 + step))
    return float(np.trunc(crossing + 0.49999))


@inner_kernel
def centre_column(x1: float, y1: float, x2: float, y2: float, row: int) -> float:
    """First column whose centre is inside at the crossing of an edge with a row."""
    # From the lower end always, so that two polygons that share an edge share no pixel.
    if y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    return float(np.ceil(x1 + (row - y1) * ((x2 - x1) / (y2 - y1))))


@kernel
def fill_polygons(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    contours: NDArray[np.int64],
    polygons: NDArray[np.int64],
    bounds: NDArray[np.float64],
    values: NDArray[np.int32],
    weightwatcher: bool,
    first_row: int,
    out: NDArray[Any],
) -> None:
    """OR ``values[p]`` into the pixels of `out` inside polygon p (even-odd rule).

    Contour c has the vertices ``contours[c]:contours[c + 1]``, polygon p the contours
    ``polygons[p]:polygons[p + 1]``, its smallest y, largest y and smallest x ``bounds[p]``;
    contours are closed here. `out` holds the rows of an image from `first_row` on.
    """
    n_rows, nx = out.shape
    for p in range(values.size):
        begin, end = polygons[p], polygons[p + 1]
        low = max(int(np.floor(bounds[p, 0])) + 1, first_row)
        high = min(int(np.floor(bounds[p, 1])), first_row + n_rows - 1)
        if high < low or bounds[p, 2] > nx or contours[end] - contours[begin] < 3:
            continue
        starts = _crossing_starts(y, contours, begin, end, low, high)
        columns = _crossings(x, y, contours, begin, end, low, high, starts, weightwatcher, nx)
        for row in range(low, high + 1):
            crossings = columns[starts[row - low] : starts[row - low + 1]]
            _fill_row(crossings, values[p], out[row - first_row])


@inner_kernel
def _crossing_starts(
    y: NDArray[np.float64],
    contours: NDArray[np.int64],
    begin: int,
    end: int,
    low: int,
    high: int,
) -> NDArray[np.int64]:
    """Where the crossings of each row start in the list of all crossings of a polygon."""
    starts = np.zeros(high - low + 2, np.int64)
    for c in range(begin, end):
        for k in range(contours[c], contours[c + 1]):
            other = contours[c + 1] - 1 if k == contours[c] else k - 1
            # y_low < row <= y_high: a vertex on a row counts for one of its two edges.
            bottom = max(int(np.floor(min(y[k], y[other]))) + 1, low)
            top = min(int(np.floor(max(y[k], y[other]))), high)
            for row in range(bottom, top + 1):
                starts[row - low + 1] += 1
    return np.cumsum(starts)


@inner_kernel
def _crossings(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    contours: NDArray[np.int64],
    begin: int,
    end: int,
    low: int,
    high: int,
    starts: NDArray[np.int64],
    weightwatcher: bool,
    nx: int,
) -> NDArray[np.int64]:
    """Columns where the parity changes, row after row; beyond the image they are clipped."""
    columns = np.empty(starts[-1], np.int64)
    filled = starts.copy()
    for c in range(begin, end):
        for k in range(contours[c], contours[c + 1]):
            j = contours[c + 1] - 1 if k == contours[c] else k - 1
            bottom = max(int(np.floor(min(y[k], y[j]))) + 1, low)
            top = min(int(np.floor(max(y[k], y[j]))), high)
            for row in range(bottom, top + 1):
                if weightwatcher:
                    column = weightwatcher_column(x[j], y[j], x[k], y[k], row)
                else:
                    column = centre_column(x[j], y[j], x[k], y[k], row)
                columns[filled[row - low]] = int(min(max(column, 0.0), float(nx)))
                filled[row - low] += 1
    return columns


@inner_kernel
def _fill_row(columns: NDArray[np.int64], value: int, line: NDArray[Any]) -> None:
    """OR `value` into the pixels with an odd number of crossings at or before them."""
    for k in range(1, columns.size):
        item, place = columns[k], k
        while place > 0 and columns[place - 1] > item:
            columns[place] = columns[place - 1]
            place -= 1
        columns[place] = item
    for k in range(0, columns.size - 1, 2):
        # A slice of its own lets the compiler do many pixels at once.
        inside = line[columns[k] : columns[k + 1]]
        for i in range(inside.size):
            inside[i] |= value


@inner_kernel
def _clipped(value: float, size: int) -> int:
    """An index not above `value`, inside the image."""
    return int(min(max(np.floor(value), 0.0), float(size)))


@kernel
def fill_ellipses(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    forms: NDArray[np.float64],
    limits: NDArray[np.float64],
    first_row: int,
    out: NDArray[Any],
) -> None:
    """Set the pixels whose centre satisfies ``xx dx^2 + 2 xy dx dy + yy dy^2 <= limit``.

    `forms` is (n, 3): xx, xy, yy of the quadratic form of each ellipse; `out` is boolean, the rows
    of an image from `first_row` on.
    """
    n_rows, nx = out.shape
    for k in range(x.size):
        xx, xy, yy = forms[k]
        det = xx * yy - xy * xy
        half_x, half_y = np.sqrt(limits[k] * yy / det), np.sqrt(limits[k] * xx / det)
        low = _clipped(y[k] - first_row - half_y, n_rows)
        high = _clipped(y[k] - first_row + half_y + 2.0, n_rows)
        left, right = _clipped(x[k] - half_x, nx), _clipped(x[k] + half_x + 2.0, nx)
        for j in range(low, high):
            dy = j + first_row - y[k]
            for i in range(left, right):
                dx = i - x[k]
                if xx * dx * dx + 2.0 * xy * dx * dy + yy * dy * dy <= limits[k]:
                    out[j, i] = True


@kernel
def or_outside_range(
    words: NDArray[np.uint32],
    swapped: bool,
    low: np.float32,
    high: np.float32,
    value: int,
    fresh: bool,
    out: NDArray[Any],
) -> None:
    """OR `value` where the weight is below `low`, above `high` (a finite number), or NaN.

    `words` are the bits of single-precision weights, with their bytes `swapped` or not. What a
    `fresh` map holds counts as zero.
    """
    native = np.empty(words.shape[1], np.uint32)
    none, bits = out.dtype.type(0), out.dtype.type(value)
    for j in range(words.shape[0]):
        row, line = words[j], out[j]
        if swapped:
            _swap_bytes(row, native)
            row = native
        pixels = row.view(np.float32)
        if fresh:
            line[:] = 0
        for i in range(line.size):
            good = pixels[i] >= low and pixels[i] <= high
            line[i] |= none if good else bits


@inner_kernel
def _swap_bytes(words: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """Write the words with their four bytes in reverse order."""
    for i in range(out.size):
        word = words[i]
        outer = np.uint32(word >> np.uint32(24)) | np.uint32(word << np.uint32(24))
        upper = np.uint32(word >> np.uint32(8)) & np.uint32(0xFF00)
        lower = np.uint32(word << np.uint32(8)) & np.uint32(0xFF0000)
        out[i] = outer | upper | lower


@kernel
def or_same_bits(
    words: NDArray[np.uint32], bits: np.uint32, wanted: np.uint32, value: int, out: NDArray[Any]
) -> None:
    """OR `value` where the chosen `bits` of a word are the `wanted` ones."""
    for j in range(words.shape[0]):
        row, line = words[j], out[j]
        for i in range(line.size):
            line[i] |= np.int32(value) * np.int32(np.uint32(row[i] & bits) == wanted)


@kernel
def or_plane(plane: NDArray[np.bool_], value: int, out: NDArray[Any]) -> None:
    """OR `value` into the pixels of `out` where `plane` is true."""
    for j in range(out.shape[0]):
        marks, line = plane[j], out[j]
        for i in range(line.size):
            line[i] |= np.int32(value) * np.int32(marks[i])


@kernel
def count_values(mask: NDArray[Any], values: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number of pixels that share a bit with each of the values."""
    counts = np.zeros(values.size, np.int64)
    for j in range(mask.shape[0]):
        line = mask[j]
        for start in range(0, line.size, _BLOCK):
            block = line[start : min(start + _BLOCK, line.size)]
            found = _all_bits(block)
            if found == 0:
                continue
            for k in range(values.size):
                if found & values[k]:
                    counts[k] += _count_sharing(block, values[k])
    return counts


@inner_kernel
def _all_bits(block: NDArray[Any]) -> int:
    found = block.dtype.type(0)
    for i in range(block.size):
        # In the type of the pixels, of which most fit into a register.
        found = block.dtype.type(found | block[i])
    return int(found)


@inner_kernel
def _count_sharing(block: NDArray[Any], value: np.int32) -> int:
    # A block may have more pixels than 8 bits can count.
    bits, number = block.dtype.type(value), np.int32(0)
    for i in range(block.size):
        number = np.int32(number + (block.dtype.type(block[i] & bits) != 0))
    return int(number)
