"""Kernels of aperture photometry: circles, Kron ellipses, growth curves, windowed quantities.

The loops over pixels read arrays through local names and call `fetch` for doubtful pixels only:
handing a structure of arrays to a function costs more than the arithmetic of a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import kernel
from purepipe.detect.records_nb import BIG, Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

CROWDED = 1
APERTURE_CUT = 16
F0, F1, F2 = np.float32(0), np.float32(1), np.float32(2)
RIM = np.float32(0.75)


@kernel
def is_unusable(plane: Plane, mask: Mask, label: int, y: int, x: int) -> bool:
    """Whether a pixel is bad or belongs to another detection."""
    if _is_masked(mask, label, y, x):
        return True
    return bool(plane.weighted and plane.variance[y, x] >= plane.bad_level)


@kernel
def _is_masked(mask: Mask, label: int, y: int, x: int) -> bool:
    owner = mask.labels[y, x]
    return bool(mask.active and owner > 0 and owner != label and y > mask.visible[owner])


@kernel
def fetch(
    plane: Plane,
    mask: Mask,
    label: int,
    centre2: tuple[float, float],
    lines: tuple[int, int],
    y: int,
    x: int,
) -> tuple[Number, Number]:
    """Value and variance of a pixel, or of its mirror image if it is unusable.

    `centre2` is twice the centre of the aperture plus 0.49999, `lines` the range of lines seen.
    """
    blank = F0 if plane.weighted else plane.noise2
    if not is_unusable(plane, mask, label, y, x):
        return plane.image[y, x], plane.variance[y, x] if plane.weighted else plane.noise2
    if not mask.mirror:
        return F0, blank
    x2, y2 = int(centre2[0] - x), int(centre2[1] - y)
    if not (0 <= x2 < plane.image.shape[1] and lines[0] <= y2 < lines[1]):
        return F0, blank
    if _is_masked(mask, label, y2, x2):
        return F0, blank
    if not plane.weighted:
        return plane.image[y2, x2], plane.noise2
    if plane.variance[y2, x2] >= plane.bad_level:
        return F0, F0
    return plane.image[y2, x2], plane.variance[y2, x2]


@kernel
def _local_gain(plane: Plane) -> float:
    """Gain of the photon noise that follows the weight map; 0 if it does not."""
    return plane.gain if plane.weighted and plane.weight_gain else 0.0


@kernel
def _global_gain(plane: Plane) -> float:
    """Gain of the photon noise that is added once per aperture; 0 if it follows the weights."""
    return 0.0 if plane.weighted and plane.weight_gain else plane.gain


@kernel
def _photon_variance(gain: float, noise2: Number, v: Number, var: Number) -> float:
    return v / gain * var / noise2 if gain > 0 and v > 0 else 0.0


@kernel
def circle_box(
    mx: Number, my: Number, r: Number, width: int, lines: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    """Pixel range of a circle, cut to the image and the lines seen, and whether it was cut."""
    x0, x1 = int(mx - r + 0.499999), int(mx + r + 1.499999)
    y0, y1 = int(my - r + 0.499999), int(my + r + 1.499999)
    cut = x0 < 0 or x1 > width or y0 < lines[0] or y1 > lines[1]
    return max(x0, 0), min(x1, width), max(y0, lines[0]), min(y1, lines[1]), cut


@kernel
def area_steps(n: int) -> Array:
    """Area of 0, 1, 2, ... of the n x n subpixels of a pixel, added up in single precision."""
    scale = np.float32(1.0 / n)
    piece = np.float32(scale * scale)
    areas = np.zeros(n * n + 1, np.float32)
    for i in range(1, areas.size):
        areas[i] = areas[i - 1] + piece
    return areas


@kernel
def _sorted_squares(d: Number, out: Array) -> None:
    """Squares of the subpixel offsets along one axis, in ascending order."""
    n = out.size
    scale = np.float32(1.0 / n)
    s = np.float32(d + np.float32(0.5 * (scale - F1)))
    descending = s < 0
    for i in range(n):
        out[n - 1 - i if descending else i] = s * s
        s += scale
    for i in range(1, n):  # out of order only where the axis runs through the pixel
        value = out[i]
        j = i
        while j > 0 and out[j - 1] > value:
            out[j] = out[j - 1]
            j -= 1
        out[j] = value


@kernel
def covered_area(dx: Number, dy: Number, r2: Number, areas: Array, squares: Array) -> Number:
    """Part of a pixel within a circle, from the centres of its subpixels, in single precision.

    `areas` comes from `area_steps`; `squares` (2, n) is scratch for n subpixels a side. Sums of
    sorted squares are compared along the staircase between inside and outside.
    """
    _sorted_squares(dx, squares[0])
    _sorted_squares(dy, squares[1])
    n = squares.shape[1]
    count, i = 0, n
    for j in range(n):
        while i > 0 and not np.float32(squares[0, i - 1] + squares[1, j]) < r2:
            i -= 1
        count += i
    return areas[count]


@kernel
def aperture_flux(
    plane: Plane,
    mask: Mask,
    label: int,
    x: Number,
    y: Number,
    r: Number,
    lines: tuple[int, int],
    areas: Array,
) -> tuple[Number, Number, bool]:
    """Flux and error within a circle, and whether it was cut. Centre and radius in float32."""
    mx, my, r = np.float32(x), np.float32(y), np.float32(r)
    width = plane.image.shape[1]
    x0, x1, y0, y1, cut = circle_box(mx, my, r, width, lines)
    centre2 = (2 * np.float64(mx) + 0.49999, 2 * np.float64(my) + 0.49999)
    r2 = np.float32(r * r)
    outer2 = np.float32((r + RIM) * (r + RIM))
    inner2 = np.float32((r - RIM) * (r - RIM)) if r > RIM else F0
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    local, once = _local_gain(plane), _global_gain(plane)
    squares = np.empty((2, 5), np.float32)
    flux = variance = 0.0
    for py in range(y0, y1):
        for px in range(x0, x1):
            dx, dy = np.float32(px - mx), np.float32(py - my)
            d2 = np.float32(dx * dx + dy * dy)
            if not d2 < outer2:
                continue
            w = covered_area(dx, dy, r2, areas, squares) if d2 > inner2 else F1
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            flux += np.float64(w) * np.float64(v)
            variance += np.float64(w) * np.float64(var)
            variance += _photon_variance(local, noise2, np.float64(v), np.float64(var))
    if once > 0 and flux > 0:
        variance += flux / once
    return np.float32(flux), np.float32(math.sqrt(max(variance, 0.0))), cut


@kernel
def _ellipse_box(
    obj: Record, k: float, width: int, lines: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    """Pixel range (upper ends excluded) of the ellipse of k times the axes."""
    ext_x = k / math.sqrt(obj.cxx - obj.cxy * obj.cxy / (4.0 * obj.cyy))
    ext_y = k / math.sqrt(obj.cyy - obj.cxy * obj.cxy / (4.0 * obj.cxx))
    return _cut_box(np.float32(obj.x), np.float32(obj.y), ext_x, ext_y, width, lines)


@kernel
def _cut_box(
    mx: Number, my: Number, ext_x: float, ext_y: float, width: int, lines: tuple[int, int]
) -> tuple[int, int, int, int, bool]:
    x0, x1 = math.floor(mx - ext_x + 0.5), math.floor(mx + ext_x + 0.5) + 1
    y0, y1 = math.floor(my - ext_y + 0.5), math.floor(my + ext_y + 0.5) + 1
    cut = x0 < 0 or x1 > width or y0 < lines[0] or y1 > lines[1]
    return max(x0, 0), min(x1, width), max(y0, lines[0]), min(y1, lines[1]), cut


@kernel
def _radius2(cxx: Number, cyy: Number, cxy: Number, dx: Number, dy: Number) -> Number:
    return np.float32(cxx * dx * dx + cyy * dy * dy + cxy * dx * dy)


@kernel
def _aperture_shape(
    obj: Record, k: float, smallest: float
) -> tuple[Number, Number, Number, Number, bool]:
    """Coefficients and limit of the ellipse, or of a circle where the ellipse is too small."""
    if k * math.sqrt(obj.a * obj.b) > smallest:
        return obj.cxx, obj.cyy, obj.cxy, np.float32(k), False
    return F1, F1, F0, np.float32(smallest), True


@kernel
def _is_crowded(unusable: int, area: int) -> bool:
    # The quotient in single precision: exactly a tenth is crowded.
    return bool(np.float64(np.float32(unusable) / np.float32(area)) > 0.1)


@kernel
def _kron_moment(
    obj: Record, detection: Plane, mask: Mask, label: int, smallest: float, lines: tuple[int, int]
) -> tuple[float, float, bool, bool]:
    """First-moment radius within 6 axes, and whether the ellipse was crowded or cut."""
    cxx, cyy, cxy, k, circle = _aperture_shape(obj, 6.0, smallest)
    width = detection.image.shape[1]
    mx, my = np.float32(obj.x), np.float32(obj.y)
    if circle:
        x0, x1, y0, y1, cut = _cut_box(mx, my, np.float64(k), np.float64(k), width, lines)
    else:
        x0, x1, y0, y1, cut = _ellipse_box(obj, np.float64(k), width, lines)
    image, noises, labels = detection.image, detection.variance, mask.labels
    weighted, bad = detection.weighted, detection.bad_level
    limit = np.float32(k * k)
    total = moment = 0.0
    area = unusable = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            r2 = _radius2(cxx, cyy, cxy, np.float32(px - mx), np.float32(py - my))
            if not r2 <= limit:
                continue
            area += 1
            owner = labels[py, px]
            if (
                (weighted and noises[py, px] >= bad) or (owner != 0 and owner != label)
            ) and is_unusable(detection, mask, label, py, px):
                unusable += 1
                continue
            v = np.float64(image[py, px])
            total += v
            moment += math.sqrt(np.float64(r2)) * v
    return moment, total, _is_crowded(unusable, area), cut


@kernel
def _ellipse_flux(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    k: float,
    smallest: float,
    lines: tuple[int, int],
) -> tuple[float, float, bool, bool, bool]:
    """Flux and variance in an ellipse of whole pixels; crowded, cut, and circular or not."""
    cxx, cyy, cxy, k, circle = _aperture_shape(obj, k, smallest)
    width = plane.image.shape[1]
    mx, my = np.float32(obj.x), np.float32(obj.y)
    if circle:
        x0, x1, y0, y1, cut = _cut_box(mx, my, np.float64(k), np.float64(k), width, lines)
    else:
        x0, x1, y0, y1, cut = _ellipse_box(obj, np.float64(k), width, lines)
    centre2 = (2 * np.float64(mx) + 0.49999, 2 * np.float64(my) + 0.49999)
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    local, once = _local_gain(plane), _global_gain(plane)
    limit = np.float32(k * k)
    flux = variance = 0.0
    area = unusable = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            r2 = _radius2(cxx, cyy, cxy, np.float32(px - mx), np.float32(py - my))
            if not r2 <= limit:
                continue
            area += 1
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                unusable += is_unusable(plane, mask, label, py, px)
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            flux += np.float64(v)
            variance += np.float64(var)
            variance += _photon_variance(local, noise2, np.float64(v), np.float64(var))
    if once > 0 and flux > 0:
        variance += flux / once
    return flux, variance, _is_crowded(unusable, area), cut, circle


@kernel
def measure_auto(
    obj: Record,
    detection: Plane,
    plane: Plane,
    mask: Mask,
    label: int,
    kron: tuple[float, float, float, float],
    lines: tuple[int, int],
    out: Record,
) -> None:
    """Flux in an adaptive ellipse; `kron` is (factor, least radius, least two diameters).

    Kron (1980), ApJS 43, 305. The least radius applies to the product of factor and moment.
    """
    factor, least, first_diameter, second_diameter = kron
    moment, total, crowded, cut = _kron_moment(
        obj, detection, mask, label, first_diameter / 2, lines
    )
    radius = np.float32(least)
    if total > 0 and moment > 0:
        radius = np.float32(max(np.float32(factor * moment / total), np.float32(least)))
    flux, variance, crowded2, cut2, circle = _ellipse_flux(
        obj, plane, mask, label, np.float64(radius), second_diameter / 2, lines
    )
    out.auto_flux = np.float32(flux)
    out.auto_error = np.float32(math.sqrt(max(variance, 0.0)))
    out.kron_radius = F0 if circle or not flux > 0 else radius
    if crowded or crowded2:
        out.flags |= CROWDED
    if cut or cut2:
        out.flags |= APERTURE_CUT


@kernel
def _ring_means(
    obj: Record,
    detection: Plane,
    mask: Mask,
    label: int,
    inner: float,
    middle: float,
    outer: float,
    lines: tuple[int, int],
) -> tuple[float, float]:
    """Mean values between two ellipses and within one halfway; unusable pixels are left out."""
    x0, x1, y0, y1, _ = _ellipse_box(obj, outer, detection.image.shape[1], lines)
    mx, my = np.float32(obj.x), np.float32(obj.y)
    low, half, high = inner * inner, middle * middle, outer * outer
    ring = disk = 0.0
    in_ring = in_disk = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            r2 = _radius2(obj.cxx, obj.cyy, obj.cxy, np.float32(px - mx), np.float32(py - my))
            if not r2 <= high or is_unusable(detection, mask, label, py, px):
                continue
            v = np.float64(detection.image[py, px])
            if r2 >= low:
                ring += v
                in_ring += 1
            if r2 < half:
                disk += v
                in_disk += 1
    return ring / in_ring if in_ring else 0.0, disk / in_disk if in_disk else 0.0


@kernel
def measure_petro(
    obj: Record,
    detection: Plane,
    plane: Plane,
    mask: Mask,
    label: int,
    petro: tuple[float, float, float, float],
    lines: tuple[int, int],
    out: Record,
) -> None:
    """Flux in an ellipse set by the Petrosian radius; `petro` as `kron` in `measure_auto`.

    Petrosian (1976), ApJ 209, L1: where the local surface brightness falls to a fifth of the
    mean within.
    """
    factor, least, _, second_diameter = petro
    radius = np.float32(least)
    inner = 0.3
    middle = ring = disk = 0.0
    while 1.2 * inner < 6.0:
        outer = 1.2 * inner
        middle = (inner + outer) / 2
        ring, disk = _ring_means(obj, detection, mask, label, inner, middle, outer, lines)
        if ring != 0 and disk != 0 and ring / disk < 0.2:
            break
        inner += 0.3
    if ring != 0 and disk != 0:
        radius = np.float32(max(factor * middle, least))
    _, _, crowded, cut = _kron_moment(obj, detection, mask, label, petro[2] / 2, lines)
    flux, variance, crowded2, cut2, circle = _ellipse_flux(
        obj, plane, mask, label, np.float64(radius), second_diameter / 2, lines
    )
    out.petro_flux = np.float32(flux)
    out.petro_error = np.float32(math.sqrt(max(variance, 0.0)))
    out.petro_radius = F0 if circle or not flux > 0 else radius
    if crowded or crowded2:
        out.flags |= CROWDED
    if cut or cut2:
        out.flags |= APERTURE_CUT


@kernel
def growth_curve(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    least: float,
    lines: tuple[int, int],
    curve: Array,
) -> tuple[float, bool]:
    """Cumulative flux in 64 rings; returns the limiting radius and whether it was cut."""
    mx, my = obj.x, obj.y
    limit = max(6.0 * obj.a, np.float64(least))
    step = limit / curve.size
    width = plane.image.shape[1]
    reach = limit + 1.5
    x0, x1, y0, y1, cut = circle_box(mx, my, reach, width, lines)
    centre2 = (2 * mx + 0.49999, 2 * my + 0.49999)
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    rings = np.empty(25)
    curve[:] = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            dx, dy = px - mx, py - my
            d2 = dx * dx + dy * dy
            if d2 > reach * reach:
                continue
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            _add_to_rings(curve, dx, dy, math.sqrt(d2), np.float64(v), step, rings)
    for i in range(1, curve.size):
        curve[i] += curve[i - 1]
    return limit, cut


@kernel
def _add_to_rings(
    curve: Array, dx: Number, dy: Number, r: Number, v: Number, step: float, rings: Array
) -> None:
    if step > 1.5:  # otherwise every pixel is close to the edge of a ring
        rest = r % step
        if not (rest < 0.75 or rest > step - 0.75):
            i = int(r / step)
            if i < curve.size:
                curve[i] += v
            return
    # The rings of all subpixels first: this loop is turned into vector instructions.
    sx0 = dx - 0.4
    sx1 = sx0 + 0.2
    sx2 = sx1 + 0.2
    sx3 = sx2 + 0.2
    sx4 = sx3 + 0.2
    sy = dy - 0.4
    for j in range(5):
        sy2 = sy * sy
        rings[5 * j] = sx0 * sx0 + sy2
        rings[5 * j + 1] = sx1 * sx1 + sy2
        rings[5 * j + 2] = sx2 * sx2 + sy2
        rings[5 * j + 3] = sx3 * sx3 + sy2
        rings[5 * j + 4] = sx4 * sx4 + sy2
        sy += 0.2
    for i in range(25):
        rings[i] = math.sqrt(rings[i]) / step
    part = 0.04 * v
    for j in range(25):
        i = int(rings[j])
        if i < curve.size:
            curve[i] += part


@kernel
def radius_of_flux(curve: Array, limit: float, flux: float) -> float:
    """Radius that holds the flux, by linear interpolation of the growth curve."""
    n = curve.size
    step = limit / n
    i = n - 1
    for k in range(n - 1):
        if curve[k] >= flux:
            i = k
            break
    if i == 0:
        radius = step * flux / curve[0] if curve[0] != 0 else 0.0
    else:
        high, low = (curve[i], curve[i - 1]) if i < n - 1 else (curve[n - 2], curve[n - 3])
        radius = step * i
        if high != low:
            radius = step * (i + (flux - low) / (high - low))
    return min(radius, limit)


@kernel
def _window_pass(
    plane: Plane,
    mask: Mask,
    label: int,
    x: Number,
    y: Number,
    sigma: Number,
    lines: tuple[int, int],
    areas: Array,
    kept: Array,
) -> tuple[float, float, float, int, bool]:
    """Sums of w v, w v dx and w v dy under the window at (x, y).

    `kept` (5, n) receives weight, value, variance, dx and dy of the pixels; their number and
    whether the window was cut are returned with the sums.
    """
    image, noises, labels = plane.image, plane.variance, mask.labels
    weighted, bad, noise2 = plane.weighted, plane.bad_level, plane.noise2
    squares = np.empty((2, 11), np.float32)
    r = np.float32(4) * sigma
    q = np.float32(1.0 / (2.0 * sigma * sigma))
    r2 = np.float32(r * r)
    outer2 = np.float32((r + RIM) * (r + RIM))
    inner2 = np.float32((r - RIM) * (r - RIM)) if r > RIM else F0
    x0, x1, y0, y1, cut = circle_box(x, y, np.float64(r), plane.image.shape[1], lines)
    centre2 = (2 * x + 0.49999, 2 * y + 0.49999)
    total = sum_x = sum_y = 0.0
    n = 0
    for py in range(y0, y1):
        for px in range(x0, x1):
            dx, dy = np.float32(px - x), np.float32(py - y)
            d2 = np.float32(dx * dx + dy * dy)
            if not d2 < outer2:
                continue
            area = covered_area(dx, dy, r2, areas, squares) if d2 > inner2 else F1
            w = np.float32(area * np.float32(math.exp(np.float32(-d2 * q))))
            owner = labels[py, px]
            v, var = image[py, px], noise2
            if weighted:
                var = noises[py, px]
            if (weighted and var >= bad) or (owner != 0 and owner != label):
                v, var = fetch(plane, mask, label, centre2, lines, py, px)
            wv = np.float64(w) * np.float64(v)
            total += wv
            sum_x += wv * np.float64(dx)
            sum_y += wv * np.float64(dy)
            kept[0, n], kept[1, n], kept[2, n], kept[3, n], kept[4, n] = w, v, var, dx, dy
            n += 1
    return total, sum_x, sum_y, n, cut


@kernel
def _window_sums(plane: Plane, kept: Array, n: int, sums: Array) -> None:
    """Second moments and their errors over the pixels of the last pass."""
    # Inverse gains: the original multiplies here, and divides in the other apertures.
    local, once, noise2 = _local_gain(plane), _global_gain(plane), plane.noise2
    local, once = 1 / local if local > 0 else 0.0, 1 / once if once > 0 else 0.0
    xx = yy = xy = noise = exx = eyy = exy = 0.0
    for i in range(n):
        w, v, var = kept[0, i], np.float64(kept[1, i]), np.float64(kept[2, i])
        dx, dy = kept[3, i], kept[4, i]
        wv = np.float64(w) * v
        x, y = np.float64(dx), np.float64(dy)
        xx += wv * x * x
        yy += wv * y * y
        xy += wv * x * y
        e = var
        if v > 0:
            e += v * local * var / noise2 if local > 0 else v * once
        e *= np.float64(np.float32(w * w))
        noise += e
        exx += e * (np.float64(np.float32(dx * dx)) + 0.0833)
        eyy += e * (np.float64(np.float32(dy * dy)) + 0.0833)
        exy += e * x * y
    sums[0], sums[1], sums[2] = xx, yy, xy
    sums[3], sums[4], sums[5], sums[6] = noise, exx, eyy, exy


@kernel
def measure_window(
    obj: Record,
    plane: Plane,
    mask: Mask,
    label: int,
    half_light: Number,
    lines: tuple[int, int],
    areas: Array,
    out: Record,
) -> None:
    """Position, moments and flux under a Gaussian window of the half-light radius."""
    sigma = np.float32(np.float64(half_light) * 2.0 / 2.35)
    side = int(8 * sigma + 4)
    kept = np.empty((5, side * side), np.float32)
    x, y = obj.x, obj.y
    total = shift_x = shift_y = 0.0
    passes = n = 0
    cut = converged = False
    while passes < 16 and not converged:
        passes += 1
        total, sum_x, sum_y, n, at_edge = _window_pass(
            plane, mask, label, x, y, sigma, lines, areas, kept
        )
        cut |= at_edge
        if not total > 0:
            # The original goes on with the sums, undivided; FLAGS_WIN tells of it.
            shift_x, shift_y = sum_x, sum_y
            converged = True
            break
        shift_x, shift_y = sum_x / total, sum_y / total
        x += 2 * shift_x
        y += 2 * shift_y
        converged = shift_x * shift_x + shift_y * shift_y < 1e-8
    sums = np.empty(7)
    _window_sums(plane, kept, n, sums)
    out.win_iterations = passes if converged else 17
    if cut:
        out.flags |= APERTURE_CUT
    out.win_flux = np.float32(total)
    out.win_error = np.float32(math.sqrt(max(sums[3], 0.0)))
    out.win_snr = np.float32(out.win_flux / out.win_error) if out.win_error > 0 else BIG
    out.win_x, out.win_y = x, y
    _window_moments(obj, total, sums, shift_x, shift_y, out)


@kernel
def _window_moments(
    obj: Record, total: float, sums: Array, shift_x: float, shift_y: float, out: Record
) -> None:
    flags = 0 if total > 0 else 4
    if total == 0:
        _revert(obj, out, flags)
        return
    x2 = sums[0] / total - shift_x * shift_x
    y2 = sums[1] / total - shift_y * shift_y
    xy = sums[2] / total - shift_x * shift_y
    determinant = x2 * y2 - xy * xy
    if determinant < 0:
        flags |= 1
    if x2 < 0 or y2 < 0:
        flags |= 2
    if determinant < 0.00694:
        x2 += 0.0833333
        y2 += 0.0833333
    scale = 4.0 / (total * total)
    ex, ey, exy = sums[4] * scale, sums[5] * scale, sums[6] * scale
    if obj.singular:  # the isophotal moments decide
        q = sums[3] * (0.08333 * scale)
        if ex * ey - exy * exy < q * q:
            ex += q
            ey += q
    dx, dy = out.win_x - obj.x, out.win_y - obj.y
    if abs(dx) > 1 and abs(dy) > 1:
        r2 = obj.cxx * dx * dx + obj.cyy * dy * dy + obj.cxy * dx * dy
        if r2 > 1:
            flags |= 8
    if flags:
        _revert(obj, out, flags)
        return
    out.win_flags = 0
    out.win_x2, out.win_y2, out.win_xy = x2, y2, xy
    out.win_errx2, out.win_erry2, out.win_errxy = ex, ey, exy


@kernel
def _revert(obj: Record, out: Record, flags: int) -> None:
    out.win_flags = flags
    out.win_x, out.win_y = obj.x, obj.y
    out.win_x2, out.win_y2, out.win_xy = obj.x2, obj.y2, obj.xy
    out.win_errx2, out.win_erry2, out.win_errxy = obj.errx2, obj.erry2, obj.errxy


@kernel
def cut_vignet(
    plane: Plane, mask: Mask, label: int, x: Number, y: Number, lines: tuple[int, int], out: Array
) -> None:
    """Stamp of the image around the object; -1e30 for masked pixels and beyond the image."""
    h, w = out.shape
    x0 = int(x + 0.49999) - w // 2
    y0 = int(y + 0.49999) - h // 2
    width = plane.image.shape[1]
    for j in range(h):
        for i in range(w):
            py, px = y0 + j, x0 + i
            inside = lines[0] <= py < lines[1] and 0 <= px < width
            if inside and not _is_masked(mask, label, py, px):
                out[j, i] = plane.image[py, px]
            else:
                out[j, i] = -BIG


@kernel
def measure_apertures(
    objects: Array,
    source: Array,
    lines: Array,
    detection: Plane,
    plane: Plane,
    mask: Mask,
    settings: Any,
    first: int,
    last: int,
    out: Array,
    arrays: tuple[Array, Array, Array, Array],
) -> None:
    """All aperture measurements of the objects that `source` names, into rows of `out`.

    `settings` is (circle diameters, Kron settings, Petrosian settings, flux fractions); `arrays`
    is (circle fluxes, circle errors, radii of the fractions, vignets).
    """
    diameters, kron, petro, fractions = settings
    fluxes, errors, radii, vignets = arrays
    curve = np.empty(64)
    areas5, areas11 = area_steps(5), area_steps(11)
    for k in range(first, last):
        obj, row, label = objects[source[k]], out[k], source[k] + 2
        seen = (lines[k, 0], lines[k, 1])
        row.flags = obj.flags
        for i in range(diameters.size):
            fluxes[k, i], errors[k, i], cut = aperture_flux(
                plane, mask, label, obj.x, obj.y, diameters[i] / 2, seen, areas5
            )
            if cut:
                row.flags |= APERTURE_CUT
        measure_auto(obj, detection, plane, mask, label, kron, seen, row)
        if petro[0] > 0:
            measure_petro(obj, detection, plane, mask, label, petro, seen, row)
        limit, cut = growth_curve(obj, plane, mask, label, kron[2], seen, curve)
        if cut:
            row.flags |= APERTURE_CUT
        for i in range(fractions.size):
            wanted = np.float64(np.float32(fractions[i])) * np.float64(row.auto_flux)
            radii[k, i] = radius_of_flux(curve, limit, wanted)
        half = abs(radius_of_flux(curve, limit, 0.5 * np.float64(row.auto_flux)))
        row.half_light = np.float32(min(max(half, 0.5), limit))
        measure_window(obj, plane, mask, label, row.half_light, seen, areas11, row)
        cut_vignet(plane, mask, label, obj.x, obj.y, seen, vignets[k])
