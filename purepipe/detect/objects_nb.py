"""Kernels that turn deblended components into objects, clean them and put them in order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.detect.footprint_nb import measure_footprint, set_border_flag
from purepipe.detect.records_nb import NO_LIMIT

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

PI = 3.1415926535898
DEBLENDED = 2
INCOMPLETE_BUFFER = 32
KEPT_FLAGS = ~3  # merging drops CROWDED and BLENDED
F4 = np.float32


@inner_kernel
def start_random(state: Array) -> None:
    """Start the stream of the C library's rand() with its default seed; `state` has 35 words."""
    state[0] = 1
    for i in range(1, 31):
        state[i] = 16807 * state[i - 1] % 2147483647
    for i in range(31, 34):
        state[i] = state[i - 31]
    state[34] = 34
    for _ in range(310):
        next_random(state)


@inner_kernel
def next_random(state: Array) -> int:
    """The next number of the additive feedback generator, 31 bits.

    r(i) = r(i-3) + r(i-31) modulo 2^32; word i modulo 34 holds r(i), the last word counts.
    """
    i = state[34]
    value = (state[(i - 3) % 34] + state[(i - 31) % 34]) & 0xFFFFFFFF
    state[i % 34] = value
    state[34] = i + 1
    return int(value >> 1)


@kernel
def assign_pixels(
    starts: Array,
    pixels: Array,
    values: Array,
    thresholds: Array,
    one: Array,
    cores: Array,
    ends: Array,
    tops: Array,
    counts: Array,
    flags: Array,
    closings: Array,
    image: Array,
    weighted: bool,
    common: Number,
    objects: Array,
    object_starts: Array,
    new_pixels: Array,
    new_values: Array,
    new_thresholds: Array,
    state: Array,
    first_parent: int,
) -> None:
    """Objects of all components, each with its pixels in order.

    Pixels outside the cores of a split component fall to one of its objects at random, with
    probabilities from Gaussians fitted to the cores. The random stream runs through all
    components, so this loop cannot be divided; `state` holds it (35 words, zeros before the first
    image). Components are numbered from `first_parent` and give their `flags` to their objects.
    """
    width = image.shape[1]
    if state[34] == 0:
        start_random(state)
    object_starts[0] = 0
    done = 0
    for k in range(counts.size):
        a, b = starts[k], starts[k + 1]
        m = counts[k]
        if m == 1:
            owner = np.zeros(b - a, np.int32)
            order = one[a:b]
        else:
            owner, order = _split(
                objects[done : done + m], one[a:b], cores[a:b], ends[a:b], tops[a:b], pixels[a:b],
                values[a:b], thresholds[a:b], image, weighted, common, state,
            )  # fmt: skip
        _write_lists(
            owner, order, a, m, object_starts[done : done + m + 1], pixels, values, thresholds,
            new_pixels, new_values, new_thresholds,
        )  # fmt: skip
        for j in range(done, done + m):
            obj = objects[j]
            p, q = object_starts[j], object_starts[j + 1]
            measure_footprint(
                obj, new_pixels[p:q], new_values[p:q], new_thresholds[p:q], image, weighted, common
            )
            if m == 1:
                set_border_flag(obj, image.shape)
            obj.flags |= flags[k]
            obj.parent = first_parent + k
            obj.first_line = pixels[a] // width
            obj.last_line, obj.last_column = closings[k]
        done += m


@inner_kernel
def _write_lists(
    owner: Array,
    order: Array,
    a: int,
    m: int,
    object_starts: Array,
    pixels: Array,
    values: Array,
    thresholds: Array,
    new_pixels: Array,
    new_values: Array,
    new_thresholds: Array,
) -> None:
    """Copy the pixels of a component object by object; `order` lists cores before the rest."""
    cursor = object_starts[0]
    for j in range(m):
        for i in range(order.size):
            p = order[i]
            if owner[p] == j:
                new_pixels[cursor] = pixels[a + p]
                new_values[cursor] = values[a + p]
                new_thresholds[cursor] = thresholds[a + p]
                cursor += 1
        object_starts[j + 1] = cursor


@inner_kernel
def _taken(values: Array, index: Array) -> Array:
    """Elements of an array; much quicker to compile than numba's own indexing."""
    out = np.empty(index.size, values.dtype)
    for i in range(index.size):
        out[i] = values[index[i]]
    return out


@inner_kernel
def _split(
    objects: Array,
    one: Array,
    cores: Array,
    ends: Array,
    tops: Array,
    pixels: Array,
    values: Array,
    thresholds: Array,
    image: Array,
    weighted: bool,
    common: Number,
    state: Array,
) -> tuple[Array, Array]:
    """Owner of every pixel of a component, and an order of the pixels with the cores first."""
    n, m = pixels.size, objects.size
    owner = np.full(n, -1, np.int32)
    order = np.empty(n, np.int32)
    amplitudes = np.empty(m, np.float32)
    base = common
    if weighted:
        base = thresholds[0]
        for i in range(1, n):
            base = min(base, thresholds[i])
    written = 0
    for j in range(m):
        begin = ends[j - 1] if j else 0
        inside = cores[begin : ends[j]]
        obj = objects[j]
        # Without weights, the flatness of a core refers to the level that split it.
        measure_footprint(
            obj, _taken(pixels, inside), _taken(values, inside), _taken(thresholds, inside),
            image, weighted, tops[j],
        )  # fmt: skip
        set_border_flag(obj, image.shape)
        obj.flags |= DEBLENDED
        amplitudes[j] = _amplitude(obj, base)
        for p in inside:
            owner[p] = j
            order[written] = p
            written += 1
    width = image.shape[1]
    shares = np.empty(m, np.float32)
    for p in one:
        if owner[p] >= 0:
            continue
        y, x = divmod(pixels[p], width)
        owner[p] = -2 - _choose(objects, amplitudes, x, y, shares, state)
        order[written] = p
        written += 1
    for p in range(n):
        if owner[p] < 0:
            owner[p] = -2 - owner[p]
    return owner, order


@inner_kernel
def _amplitude(obj: Record, base: Number) -> Number:
    """Central value of the Gaussian that has the core's area at the threshold."""
    exponent = F4(obj.npix / F4(2 * PI * obj.profile * obj.a * obj.b))
    highest = F4(F4(4) * obj.peak)
    if exponent >= 70:
        return highest
    return min(F4(base * F4(math.exp(np.float64(exponent)))), highest)


@inner_kernel
def _choose(objects: Array, amplitudes: Array, x: int, y: int, shares: Array, state: Array) -> int:
    """The object that a pixel falls to."""
    total = F4(0)
    nearest, least = 0, F4(np.inf)
    for i in range(objects.size):
        obj = objects[i]
        dx, dy = F4(x - obj.x), F4(y - obj.y)
        d = F4(
            F4(0.5)
            * F4(obj.cxx * dx * dx + obj.cyy * dy * dy + obj.cxy * dx * dy)
            / obj.profile
        )  # fmt: skip
        if d < least:
            nearest, least = i, d
        if d < 70:
            total = F4(total + F4(amplitudes[i] * F4(math.exp(-np.float64(d)))))
        shares[i] = total
    if not total > 1e-31:
        return nearest
    r = F4(F4(total * F4(next_random(state))) / F4(2147483647))
    for i in range(objects.size):
        if shares[i] >= r:
            return i
    return nearest


@inner_kernel
def _influence(obj: Record, beta: float, dx: Number, dy: Number) -> float:
    """Value of the Moffat profile assumed for an object, at an offset from its centre."""
    unit = PI * obj.a * obj.b
    amplitude = obj.flux / (2 * unit * obj.profile)
    alpha = (math.pow(amplitude / obj.threshold, 1.0 / beta) - 1) * unit / obj.npix
    g = 1 + alpha * (obj.cxx * dx * dx + obj.cyy * dy * dy + obj.cxy * dx * dy)
    if not g > 1:
        return 0.0
    return amplitude * math.pow(g, -beta) if g < 1e10 else 0.0


@inner_kernel
def _swallow(winner: Record, loser: Record) -> None:
    """Add an object's sums to another's; positions and shapes stay."""
    winner.npix += loser.npix
    winner.flux = F4(winner.flux + loser.flux)
    winner.iso_flux = F4(winner.iso_flux + loser.iso_flux)
    winner.iso_variance = F4(winner.iso_variance + loser.iso_variance)
    if loser.peak > winner.peak:
        winner.peak = loser.peak
        winner.xpeak, winner.ypeak = loser.xpeak, loser.ypeak
    winner.image_peak = max(winner.image_peak, loser.image_peak)
    winner.iso_max = max(winner.iso_max, loser.iso_max)
    winner.xmin, winner.xmax = min(winner.xmin, loser.xmin), max(winner.xmax, loser.xmax)
    winner.ymin, winner.ymax = min(winner.ymin, loser.ymin), max(winner.ymax, loser.ymax)
    winner.flags |= loser.flags & KEPT_FLAGS


@inner_kernel
def _line_range(obj: Record, reach: int) -> tuple[int, int]:
    """Lines that the measurement of an object may touch."""
    h1 = obj.cyy - obj.cxy * obj.cxy / (4.0 * obj.cxx)
    h1 = 1 / math.sqrt(3 * h1) if h1 > 0 else 0.0
    g = int(2 * max(h1, np.float64(obj.ymax - obj.ymin + 1)) + 4.49999)
    centre = int(obj.y + 0.49999)
    return min(obj.ymin - g, centre - reach), max(obj.ymax + g, centre + reach)


@inner_kernel
def _clean_one(
    objects: Array, new: int, active: Array, count: int, beta: float, victims: Array
) -> tuple[int, int]:
    """Compare a newcomer with the active objects.

    Returns the place in the active list of the object that swallows it, or -1, and the number
    of `victims` (places) that it swallows.
    """
    obj = objects[new]
    found = 0
    for place in range(count):
        other = objects[active[place]]
        dx, dy = other.x - obj.x, other.y - obj.y
        reach = obj.a + other.a
        if not dx * dx + dy * dy < 100 * reach * reach:
            continue
        if obj.flux > other.flux:
            if _influence(obj, beta, dx, dy) > other.clean_threshold:
                victims[found] = place
                found += 1
        elif _influence(other, beta, -dx, -dy) > obj.clean_threshold:
            return place, 0
    return -1, found


@kernel
def order_objects(
    objects: Array,
    settings: Any,
    source: Array,
    lines: Array,
    returned: Array,
    survivor: Array,
) -> int:
    """Clean the objects and put them in the order of SExtractor's line buffer.

    `settings` is (height, buffer lines, margin of the filter, last lines of swallowed objects that
    stay masked, lines by which the masking follows the detection or 0 if it happens pixel by pixel,
    reach of the apertures, most active objects, clean, beta, largest area). `source` and `lines`
    receive the objects in output order and what they see (first line, end, last line masked, last
    column masked on the next line, newcomer of the time); `returned` (by label) and `survivor` (by
    object) record who was swallowed by whom. Returns the number of rows.
    """
    height, buffer, margin, late, delay, reach, most, clean, beta, max_area = settings
    n = objects.size
    low = np.empty(n, np.int64)
    high = np.empty(n, np.int64)
    active = np.empty(n + 1, np.int64)
    victims = np.empty(n + 1, np.int64)
    size = min(buffer, height)
    count = rows = begin = cursor = 0
    for y in range(height + 1):
        # Components whose last line is y - 1 are complete when line y has been scanned.
        while cursor < n and objects[cursor].last_line + 1 == y:
            obj = objects[cursor]
            survivor[cursor] = cursor
            if obj.first_line < begin:
                obj.flags |= INCOMPLETE_BUFFER
            if 0 < max_area < obj.npix:
                survivor[cursor] = -1
                cursor += 1
                continue
            if count >= most:
                place = 0
                for i in range(1, count):
                    if high[active[i]] < high[active[place]]:
                        place = i
                column = -1 if delay > 0 else obj.last_column
                limit = (y - max(delay, 1), column, cursor)
                rows = _output(active[place], begin, size, limit, source, lines, rows)
                count = _remove(active, place, count)
            winner, found = -1, 0
            if clean:
                winner, found = _clean_one(objects, cursor, active, count, beta, victims)
            if winner >= 0:
                _swallow(objects[active[winner]], obj)
                survivor[cursor] = active[winner]
                returned[cursor + 2, 0], returned[cursor + 2, 1] = y - late, cursor
            else:
                for v in range(found - 1, -1, -1):
                    loser = active[victims[v]]
                    _swallow(obj, objects[loser])
                    survivor[loser] = cursor
                    returned[loser + 2, 0], returned[loser + 2, 1] = y - late, cursor
                    count = _remove(active, victims[v], count)
                # The box includes the objects just swallowed, but none swallowed later.
                low[cursor], high[cursor] = _line_range(obj, reach)
                active[count] = cursor
                count += 1
            cursor += 1
        done = y + 1  # lines scanned
        if done > height:
            break
        k = done - (size - margin)
        if height > size and not (k >= 0 and size + k < height):
            continue
        if height <= size:
            if done < height:
                continue
            k = 0
        for place in range(count - 1, -1, -1):
            if low[active[place]] <= k:
                rows = _output(
                    active[place], k, size, (done - max(delay, 1), -1, cursor), source, lines, rows
                )
                count = _remove(active, place, count)
        if height > size:
            begin = k + 1
    while count > 0:
        rows = _output(active[0], height - size, size, (NO_LIMIT, -1, n), source, lines, rows)
        count = _remove(active, 0, count)
    return rows


@inner_kernel
def _output(
    item: int,
    begin: int,
    size: int,
    limit: tuple[int, int, int],
    source: Array,
    lines: Array,
    rows: int,
) -> int:
    source[rows] = item
    lines[rows, 0] = begin
    lines[rows, 1] = begin + size
    lines[rows, 2], lines[rows, 3], lines[rows, 4] = limit
    return rows + 1


@inner_kernel
def _remove(active: Array, place: int, count: int) -> int:
    """Take an entry out of the active list; the last one fills the hole."""
    active[place] = active[count - 1]
    return count - 1


@kernel
def resolve_survivors(survivor: Array) -> None:
    """Follow chains of swallowing to the object that is left."""
    for i in range(survivor.size - 1, -1, -1):
        j = survivor[i]
        while j >= 0 and survivor[j] != j:
            j = survivor[j]
        survivor[i] = j
