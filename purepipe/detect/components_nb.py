"""Kernels that group pixels: connected components, their order, deblending."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

COMPLETE, INCOMPLETE, OBJECT_STATE = 0, 1, 2
NO_MARK, START_NEW, START_OLD, END_OPEN, END_CLOSED = 0, 1, 2, 3, 4
UNKNOWN = -1
MAX_BRANCHES = 1024
BORDER, DEBLENDING_OVERFLOW, MEMORY_OVERFLOW = 8, 64, 128
ENDLESS = 1 << 62  # a pixel stack without limit


@inner_kernel
def _root(parent: Array, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def join_runs(runs: Array) -> Array:
    """Component of every run (eight neighbours), as the index of its first run.

    `runs` (n, 3) holds row, first and last column of each run, in reading order.
    """
    n = runs.shape[0]
    parent = np.arange(n)
    above = stop = begin = 0  # runs of the row above; first run of this row
    for i in range(n):
        if i > 0 and runs[i, 0] != runs[i - 1, 0]:
            above, stop = (begin, i) if runs[i, 0] == runs[i - 1, 0] + 1 else (i, i)
            begin = i
        while above < stop and runs[above, 2] < runs[i, 1] - 1:
            above += 1
        j = above
        while j < stop and runs[j, 1] <= runs[i, 2] + 1:
            a, b = _root(parent, i), _root(parent, j)
            parent[max(a, b)] = min(a, b)
            j += 1
    for i in range(n):
        parent[i] = _root(parent, i)
    return parent


@inner_kernel
def _extents(runs: Array, parent: Array) -> tuple[Array, Array]:
    """Pixels and last run of each component, by its root; zero for runs that are none."""
    area = np.zeros(parent.size, np.int64)
    last = np.zeros(parent.size, np.int64)
    for i in range(parent.size):
        area[parent[i]] += runs[i, 2] - runs[i, 1] + 1
        last[parent[i]] = i
    return area, last


@kernel
def list_components(
    runs: Array, values: Array, thresholds: Array, parent: Array, min_area: int, width: int
) -> tuple[Array, Array, Array, Array]:
    """Pixels, values and thresholds of the components that are large enough.

    `values` and `thresholds` are those of all pixels of the runs, in reading order. Components
    are in the order of their last pixel, as a scan of the image completes them; the pixels of
    each, as flat indices, in reading order. The first array holds where each component starts.
    """
    n = parent.size
    area, last = _extents(runs, parent)
    rank = np.full(n, -1, np.int64)
    count = total = 0
    for i in range(n):
        root = parent[i]
        if last[root] == i and area[root] >= min_area:
            rank[root] = count
            count += 1
            total += area[root]
    starts = np.zeros(count + 1, np.int64)
    for i in range(n):
        if parent[i] == i and rank[i] >= 0:
            starts[rank[i] + 1] = area[i]
    for k in range(count):
        starts[k + 1] += starts[k]
    cursor = np.empty(count, np.int64)
    for k in range(count):
        cursor[k] = starts[k]
    pixels = np.empty(total, np.int64)
    new_values, new_thresholds = np.empty(total, np.float32), np.empty(total, np.float32)
    place = 0
    for i in range(n):
        k = rank[parent[i]]
        if k < 0:
            place += runs[i, 2] - runs[i, 1] + 1
            continue
        for x in range(runs[i, 1], runs[i, 2] + 1):
            p = cursor[k]
            pixels[p] = np.int64(runs[i, 0]) * width + x
            new_values[p], new_thresholds[p] = values[place], thresholds[place]
            cursor[k] += 1
            place += 1
    return starts, pixels, new_values, new_thresholds


@kernel
def most_held(runs: Array, parent: Array) -> int:
    """An upper limit of the number of pixels that unfinished components ever have together.

    A component counts as unfinished until the line after its last one has been scanned.
    """
    n = parent.size
    area, last = _extents(runs, parent)
    most = held = 0
    waiting = 0  # first run whose component, if it ends there, still counts
    for i in range(n):
        held += runs[i, 2] - runs[i, 1] + 1
        while runs[waiting, 0] < runs[i, 0] - 1:
            if last[parent[waiting]] == waiting:
                held -= area[parent[waiting]]
            waiting += 1
        most = max(most, held)
    return most


@kernel
def list_cut_components(
    runs: Array,
    values: Array,
    thresholds: Array,
    min_area: int,
    shape: tuple[int, int],
    capacity: int,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """What `list_components` gives where a scan holds less than `capacity` pixels.

    The other arrays are the order in which the scan has the pixels of each component, as places
    in its list, the flags of each component, and its last line with the last column there.
    """
    height, width = shape
    n = values.size
    px, py, ids = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    marks = np.zeros(n, np.int16)
    place = 0
    for i in range(runs.shape[0]):
        y = runs[i, 0]
        for x in range(runs[i, 1], runs[i, 2] + 1):
            px[place], py[place], ids[place] = x, y, place
            if x == 0 or y == 0 or x == width - 1 or y == height - 1:
                marks[place] = BORDER
            place += 1
    out, ends = np.empty(n, np.int32), np.empty(n, np.int64)
    closings = np.empty((runs.shape[0], 2), np.int64)
    count = 0
    if n > 0:
        count = scan_holding(ids, n, px, py, min_area, out, ends, capacity, marks, closings)
    starts = np.zeros(count + 1, np.int64)
    total = ends[count - 1] if count else 0
    pixels, order = np.empty(total, np.int64), np.empty(total, np.int32)
    new_values, new_thresholds = np.empty(total, np.float32), np.empty(total, np.float32)
    flags = np.zeros(count, np.int16)
    for k in range(count):
        a, b = starts[k], ends[k]
        starts[k + 1] = b
        sorting = np.argsort(out[a:b])
        for i in range(b - a):
            p = out[a + sorting[i]]
            order[a + sorting[i]] = i
            pixels[a + i] = np.int64(py[p]) * width + px[p]
            new_values[a + i], new_thresholds[a + i] = values[p], thresholds[p]
            flags[k] |= marks[p]
        if not flags[k] & MEMORY_OVERFLOW:
            flags[k] = 0  # the border is noted where pixels may be lost
    return starts, pixels, new_values, new_thresholds, order, flags, closings[:count]


@kernel
def last_pixels(starts: Array, pixels: Array, width: int) -> Array:
    """Last line of every component, and its last column there."""
    closings = np.empty((starts.size - 1, 2), np.int64)
    for k in range(starts.size - 1):
        y, x = divmod(pixels[starts[k + 1] - 1], width)
        closings[k, 0], closings[k, 1] = y, x
    return closings


@kernel
def label_runs(runs: Array, labels: Array, first: int, last: int) -> None:
    """Give the pixels of some runs the label 1: detected."""
    for i in range(first, last):
        for x in range(runs[i, 1], runs[i, 2] + 1):
            labels[runs[i, 0], x] = 1


@kernel
def label_objects(starts: Array, pixels: Array, labels: Array, first: int, last: int) -> None:
    """Give the pixels of object k the label k + 2, for some objects."""
    flat = labels.reshape(labels.size)
    for k in range(first, last):
        for i in range(starts[k], starts[k + 1]):
            flat[pixels[i]] = k + 2


@kernel
def number_pixels(labels: Array, numbers: Array, first: int, last: int) -> None:
    """Put catalogue numbers in the place of labels, in some rows."""
    for y in range(first, last):
        row = labels[y]
        for x in range(row.size):
            if row[x]:
                row[x] = numbers[row[x]]


@kernel
def renumber_in_place(numbers: Array, objects: Array, source: Array) -> None:
    """Give the pixels of each object its row, one object after the other, as the original does.

    `numbers` holds the places of the objects in the order of detection, from 1. A pixel that got
    its row is taken for one of the object detected in that place when this comes later and its box
    covers the pixel.
    """
    for row in range(source.size):
        obj = objects[source[row]]
        for y in range(obj.ymin, obj.ymax + 1):
            for x in range(obj.xmin, obj.xmax + 1):
                if numbers[y, x] == source[row] + 1:
                    numbers[y, x] = row + 1


@inner_kernel
def scan(
    ids: Array, count: int, px: Array, py: Array, min_area: int, out: Array, ends: Array
) -> int:
    """Components of listed pixels, each with its pixels in the order of a one-pass scan.

    The first `count` entries of `ids` name pixels of coordinates `px`, `py`, in reading order.
    `out` receives the pixels of the components in order of completion, `ends` where each stops.
    Returns the number of components.

    Lutz (1980), Computer Journal 23, 262: the order in which lists are joined decides the
    pixels' order, on which deblending and cleaning depend.
    """
    notes, closings = np.empty(0, np.int16), np.empty((0, 2), np.int64)
    return scan_holding(ids, count, px, py, min_area, out, ends, ENDLESS, notes, closings)


@inner_kernel
def scan_holding(
    ids: Array,
    count: int,
    px: Array,
    py: Array,
    min_area: int,
    out: Array,
    ends: Array,
    capacity: int,
    notes: Array,
    closings: Array,
) -> int:
    """What `scan` gives where unfinished components hold less than `capacity` pixels.

    The one with most pixels loses all but the first whenever room is needed, which gets the flags
    in `notes` (one per pixel) of those that are lost, and MEMORY_OVERFLOW. `closings`, unless
    empty, receives the last line of every component and its last column there.
    """
    x0 = x1 = px[ids[0]]
    for i in range(count):
        x0, x1 = min(x0, px[ids[i]]), max(x1, px[ids[i]])
    width = x1 - x0 + 1
    marks = np.zeros(width + 2, np.int8)
    states = np.empty(2 * width + 8, np.int8)
    # Rows of `stack`, the open objects: first pixel, last pixel, size, start and end column.
    stack = np.empty((width + 4, 5), np.int32)
    # Rows of `store`, by start column: first pixel, last pixel, size.
    store = np.zeros((width + 2, 3), np.int32)
    follow = np.full(count, -1, np.int32)
    top = depth = -1  # of the object stack and of the stack of states
    cursor = emitted = written = held = 0
    for y in range(py[ids[0]], py[ids[count - 1]] + 2):
        state, inside = COMPLETE, False
        for x in range(width + 1):
            mark = marks[x]
            on = cursor < count and py[ids[cursor]] == y and px[ids[cursor]] == x + x0
            if mark == NO_MARK and not on and not inside:
                continue
            if on:
                if held + 2 >= capacity:
                    # The original overlooks the list that waits in the first column.
                    waiting = store[1:] if x0 == 0 and x > 0 else store
                    held -= _cut_largest(stack[: top + 1], waiting, ids, follow, notes)
                held += 1
            marks[x] = NO_MARK
            if on and not inside:
                inside = True
                if state == OBJECT_STATE:
                    marks[x] = START_OLD
                    if stack[top, 3] == UNKNOWN:
                        marks[x], stack[top, 3] = START_NEW, x
                else:
                    depth = _push(states, depth, state)
                    marks[x] = START_NEW
                    top = _open(stack, top + 1, -1, -1, 0, x)
                    state = COMPLETE
            if mark == START_NEW:
                depth = _push(states, depth, state)
                if not inside:
                    depth = _push(states, depth, COMPLETE)
                    top = _open(stack, top + 1, store[x, 0], store[x, 1], store[x, 2], UNKNOWN)
                else:
                    _append(stack, top, store[x, 0], store[x, 1], store[x, 2], follow)
                store[x, 2] = 0
                state = OBJECT_STATE
            elif mark == START_OLD:
                if inside and state == COMPLETE:
                    depth -= 1
                    old, top = top, top - 1
                    _append(stack, top, stack[old, 0], stack[old, 1], stack[old, 2], follow)
                    if stack[top, 3] == UNKNOWN:
                        stack[top, 3] = stack[old, 3]
                    else:
                        marks[stack[old, 3]] = START_OLD
                state = OBJECT_STATE
            elif mark == END_OPEN:
                state = INCOMPLETE
            elif mark == END_CLOSED:
                state, depth = states[depth], depth - 1
                if not inside and state == COMPLETE:
                    if stack[top, 3] == UNKNOWN:
                        held -= stack[top, 2]
                        if stack[top, 2] >= min_area:
                            written = _emit(stack[top, 0], ids, follow, out, written)
                            if closings.size > 0:
                                closings[emitted, 0], closings[emitted, 1] = y - 1, x + x0 - 1
                            ends[emitted], emitted = written, emitted + 1
                    else:
                        marks[stack[top, 4]] = END_CLOSED
                        _save(stack, top, store)
                    top -= 1
                    state, depth = states[depth], depth - 1
            if on:
                _append(stack, top, cursor, cursor, 1, follow)
                cursor += 1
            elif inside:
                inside = False
                if state != COMPLETE:
                    marks[x] = END_OPEN
                    stack[top, 4] = x
                else:
                    state, depth = states[depth], depth - 1
                    marks[x] = END_CLOSED
                    _save(stack, top, store)
                    top -= 1
    return emitted


@inner_kernel
def _cut_largest(stack: Array, store: Array, ids: Array, follow: Array, notes: Array) -> int:
    """Leave only the first pixel of the longest list, of equal ones the first; return the loss.

    Lists that wait for their line come before those being scanned.
    """
    longest, kind, place = 0, 0, 0
    for x in range(store.shape[0]):
        if store[x, 2] > longest:
            longest, kind, place = store[x, 2], 0, x
    for i in range(stack.shape[0]):
        if stack[i, 2] > longest:
            longest, kind, place = stack[i, 2], 1, i
    if longest == 0:
        return 0
    record = stack[place] if kind else store[place]
    first = record[0]
    lost = MEMORY_OVERFLOW
    i = follow[first]
    while i >= 0:
        lost |= notes[ids[i]]
        i = follow[i]
    notes[ids[first]] |= lost
    follow[first] = -1
    record[1], record[2] = first, 1
    return int(longest - 1)


@inner_kernel
def _push(states: Array, depth: int, state: int) -> int:
    states[depth + 1] = state
    return depth + 1


@inner_kernel
def _save(stack: Array, top: int, store: Array) -> None:
    """Keep the list of an object at its start column until the next line."""
    for k in range(3):
        store[stack[top, 3], k] = stack[top, k]


@inner_kernel
def _open(stack: Array, top: int, first: int, last: int, size: int, start: int) -> int:
    """Put an object on the stack, at `top`."""
    stack[top, 0] = first
    stack[top, 1] = last
    stack[top, 2] = size
    stack[top, 3] = start
    stack[top, 4] = UNKNOWN
    return top


@inner_kernel
def _append(stack: Array, top: int, first: int, last: int, size: int, follow: Array) -> None:
    """Append a list of pixels to the object on the stack."""
    if size == 0:
        return
    if stack[top, 2] == 0:
        stack[top, 0] = first
    else:
        follow[stack[top, 1]] = first
    stack[top, 1] = last
    stack[top, 2] += size


@inner_kernel
def _emit(first: int, ids: Array, follow: Array, out: Array, written: int) -> int:
    i = first
    while i >= 0:
        out[written] = ids[i]
        written += 1
        i = follow[i]
    return written


@inner_kernel
def deblend(
    px: Array,
    py: Array,
    values: Array,
    thresholds: Array,
    levels: int,
    contrast: float,
    min_area: int,
    one: Array,
    out: Array,
    ends: Array,
    tops: Array,
    ordered: bool,
) -> tuple[int, bool]:
    """Objects within one component, by multi-thresholding.

    `px`, `py`, `values` (filtered) and `thresholds` describe the pixels in reading order. `one`
    receives the pixels in scan order unless it is `ordered`; if the component is split, `out`
    receives those of the cores of its objects, which stop at `ends`, and `tops` the level of each
    core. Returns the number of objects and whether deblending gave up.

    Bertin & Arnouts (1996), A&AS 117, 393, section 4.
    """
    n = px.size
    if not ordered:
        everything = np.empty(n, np.int32)
        for i in range(n):
            everything[i] = i
        least: Number = np.int64(1)
        scan(everything, n, px, py, least, one, ends)
    base, peak, total = thresholds[0], values[0], 0.0
    for i in range(n):
        base, peak = min(base, thresholds[i]), max(peak, values[i])
        total += np.float64(values[one[i]])
    summits = np.empty(n, np.bool_)
    if levels < 2 or _find_summits(px, py, values, summits) < 2:
        return 1, False
    area = min(min_area, 3)
    limit = np.float64(np.float32(total)) * contrast
    for attempt in range(2):  # the second time, so many branches that all must be counted
        lists, stops, parents, first_of_level, level_values, overflow = _grow_tree(
            px, py, values, one, base, peak, levels, area, summits, attempt == 0
        )
        if overflow == 0:
            count = _select_branches(
                values, lists, stops, parents, first_of_level, level_values, limit, out, ends, tops
            )
            return max(count, 1), False
    return 1, True


@inner_kernel
def _find_summits(px: Array, py: Array, values: Array, summits: Array) -> int:
    """Mark the local maxima of a component, of equal neighbours the first; return their number."""
    n = px.size
    x0 = x1 = px[0]
    for i in range(n):
        x0, x1 = min(x0, px[i]), max(x1, px[i])
    y0 = py[0]
    cells = np.zeros((py[n - 1] - y0 + 3, x1 - x0 + 3), np.int32)  # pixel number + 1
    for i in range(n):
        cells[py[i] - y0 + 1, px[i] - x0 + 1] = i + 1
    count = 0
    for i in range(n):
        y, x = py[i] - y0 + 1, px[i] - x0 + 1
        summits[i] = True
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                j = cells[y + dy, x + dx] - 1
                if j >= 0 and (values[j] > values[i] or (values[j] == values[i] and j < i)):
                    summits[i] = False
        count += summits[i]
    return count


@inner_kernel
def _grow_tree(
    px: Array,
    py: Array,
    values: Array,
    one: Array,
    base: Number,
    peak: Number,
    levels: int,
    min_area: int,
    summits: Array,
    prune: bool,
) -> tuple[Array, Array, Array, Array, Array, int]:
    """All branches on all levels: their pixels (`lists`, one block of n per level) and parents.

    With `prune`, a branch of a single summit is not followed upward, as it cannot split. The last
    number is positive when some level has, or with `prune` may have, too many branches.
    """
    n = px.size
    lists = np.empty((levels, n), np.int32)
    for j in range(n):
        lists[0, j] = one[j]
    level_values = np.full(levels, base, np.float32)
    if peak > 0:
        ratio = np.float64(peak) / np.float64(base)
        for k in range(1, levels):
            level_values[k] = np.float32(base * math.pow(ratio, np.float64(k) / levels))
    stops = np.zeros(levels * 8 + 64, np.int64)
    parents = np.zeros(stops.size, np.int32)
    first_of_level = np.zeros(levels + 1, np.int64)
    stops[0] = n
    parents[0] = -1
    first_of_level[1] = 1
    leaves = 0
    owner = np.zeros(n, np.int32)
    chosen = np.empty(n, np.int32)
    branch_ends = np.empty(n, np.int64)
    for k in range(1, levels):
        total = first_of_level[k]
        written = 0
        a, b = first_of_level[k - 1], first_of_level[k]
        for i in range(a, b):
            begin = 0 if i == a else stops[i - 1]
            low, high, peaks = n, -1, 0
            for j in range(begin, stops[i]):
                p = lists[k - 1, j]
                owner[p] = i + 1
                peaks += summits[p]
                low, high = min(low, p), max(high, p)
            if prune and peaks < 2:
                leaves += 1
                continue
            count: Number = np.int64(0)
            for p in range(low, high + 1):
                if owner[p] == i + 1 and values[p] > level_values[k]:
                    chosen[count] = p
                    count += 1
            if count < min_area:
                continue
            found = scan(chosen, count, px, py, min_area, lists[k, written:], branch_ends)
            if total + found > stops.size:
                stops, parents = _enlarged(stops, parents, total + found)
            for j in range(found):
                stops[total] = written + branch_ends[j]
                parents[total] = i
                total += 1
            if found > 0:
                written += branch_ends[found - 1]
        first_of_level[k + 1] = total
        if total - first_of_level[k] + leaves > MAX_BRANCHES:
            return lists, stops, parents, first_of_level, level_values, 1
    return lists, stops, parents, first_of_level, level_values, 0


@inner_kernel
def _enlarged(stops: Array, parents: Array, size: int) -> tuple[Array, Array]:
    new_stops = np.zeros(2 * size, np.int64)
    new_parents = np.zeros(2 * size, np.int32)
    for i in range(stops.size):
        new_stops[i], new_parents[i] = stops[i], parents[i]
    return new_stops, new_parents


@inner_kernel
def _select_branches(
    values: Array,
    lists: Array,
    stops: Array,
    parents: Array,
    first_of_level: Array,
    level_values: Array,
    limit: float,
    out: Array,
    ends: Array,
    tops: Array,
) -> int:
    """Branches that become objects, deepest level first; 0 if the component stays whole."""
    levels = level_values.size
    branches = first_of_level[levels]
    ok = np.ones(branches, np.bool_)
    significant = np.zeros(branches, np.bool_)
    for k in range(1, levels):
        for i in range(first_of_level[k], first_of_level[k + 1]):
            begin = 0 if i == first_of_level[k] else stops[i - 1]
            flux = 0.0
            for j in range(begin, stops[i]):
                flux += np.float64(values[lists[k, j]])
            floor = np.float32(level_values[k] * np.float32(stops[i] - begin))
            significant[i] = np.float64(np.float32(np.float32(flux) - floor)) > limit
    count = written = 0
    for k in range(levels - 2, -1, -1):
        son = first_of_level[k + 1]
        for i in range(first_of_level[k], first_of_level[k + 1]):
            first_son = son
            strong = 0
            while son < first_of_level[k + 2] and parents[son] == i:
                ok[i] = ok[i] and ok[son]
                strong += significant[son]
                son += 1
            if strong <= 1:
                continue
            for j in range(first_son, son):
                if ok[j] and significant[j]:
                    begin = 0 if j == first_of_level[k + 1] else stops[j - 1]
                    for p in range(begin, stops[j]):
                        out[written] = lists[k + 1, p]
                        written += 1
                    ends[count] = written
                    tops[count] = level_values[k + 1]
                    count += 1
            ok[i] = False
    return 0 if ok[0] else count


@kernel
def deblend_components(
    starts: Array,
    pixels: Array,
    values: Array,
    thresholds: Array,
    width: int,
    levels: int,
    contrast: float,
    min_area: int,
    first: int,
    last: int,
    one: Array,
    out: Array,
    ends: Array,
    tops: Array,
    counts: Array,
    flags: Array,
    ordered: bool,
) -> None:
    """Deblend components `first` to `last`; see `deblend`. Each writes into its own slices.

    DEBLENDING_OVERFLOW is added to the `flags` of components for which it gave up; those with
    MEMORY_OVERFLOW stay whole.
    """
    for k in range(first, last):
        a, b = starts[k], starts[k + 1]
        n = b - a
        px = np.empty(n, np.int32)
        py = np.empty(n, np.int32)
        for i in range(n):
            y, x = divmod(pixels[a + i], width)
            px[i], py[i] = x, y
        if flags[k] & MEMORY_OVERFLOW:
            counts[k] = 1
            continue
        counts[k], gave_up = deblend(
            px, py, values[a:b], thresholds[a:b], levels, contrast, min_area, one[a:b], out[a:b],
            ends[a:b], tops[a:b], ordered,
        )  # fmt: skip
        if gave_up:
            flags[k] |= DEBLENDING_OVERFLOW
