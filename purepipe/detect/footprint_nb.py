"""Kernels that measure an object on its list of pixels: moments, errors, isophotal quantities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.detect.plane_nb import background_at
from purepipe.detect.records_nb import Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose
Record = Any  # one element of a structured array

PI = 3.1415926535898
SINGULAR = 0.00694
PIXEL_MOMENT = 0.0833333  # second moment of a pixel, 1/12
DEBLENDED = 2
SATURATED = 4
TRUNCATED = 8


@inner_kernel
def measure_footprint(
    obj: Record,
    pixels: Array,
    values: Array,
    thresholds: Array,
    image: Array,
    weighted: bool,
    common: Number,
) -> None:
    """Extent, flux, peak, moments and ellipse of an object from its pixels, in list order.

    `values` are those of the filtered detection image. Where the noise is `weighted` the threshold
    is the smallest of its pixels', else `common`. An object flagged as deblended keeps its centre.
    """
    width = image.shape[1]
    first = pixels[0]
    xmin = xmax = first % width
    ymin = ymax = first // width
    low = thresholds[0]
    peak, image_peak = values[0], image[ymin, xmin]
    obj.xpeak, obj.ypeak = xmin, ymin
    for i in range(pixels.size):
        y, x = divmod(pixels[i], width)
        xmin, xmax = min(xmin, x), max(xmax, x)
        ymin, ymax = min(ymin, y), max(ymax, y)
        low = min(low, thresholds[i])
        image_peak = max(image_peak, image[y, x])
        if values[i] > peak:
            peak = values[i]
            obj.xpeak, obj.ypeak = x, y
    obj.npix = pixels.size
    obj.xmin, obj.xmax, obj.ymin, obj.ymax = xmin, xmax, ymin, ymax
    obj.peak, obj.image_peak = peak, image_peak
    obj.threshold = low if weighted else common
    _moments(obj, pixels, values, width)
    _ellipse(obj)
    obj.profile = np.float32(1)
    if not weighted:
        _profile_factor(obj, pixels, image)


@inner_kernel
def _moments(obj: Record, pixels: Array, values: Array, width: int) -> None:
    s = sx = sy = sxx = syy = sxy = 0.0
    for i in range(pixels.size):
        py, px = divmod(pixels[i], width)
        c = values[i]
        x, y = np.float32(px - obj.xmin), np.float32(py - obj.ymin)
        cx, cy = np.float32(c * x), np.float32(c * y)
        s += np.float64(c)
        sx += np.float64(cx)
        sy += np.float64(cy)
        sxx += np.float64(np.float32(cx * x))
        syy += np.float64(np.float32(cy * y))
        sxy += np.float64(np.float32(cx * y))
    xm, ym = sx / s, sy / s
    if obj.flags & DEBLENDED:
        x0, y0 = obj.x - obj.xmin, obj.y - obj.ymin
        x2 = sxx / s + x0 * x0 - 2 * xm * x0
        y2 = syy / s + y0 * y0 - 2 * ym * y0
        xy = sxy / s + x0 * y0 - xm * y0 - x0 * ym
        xm, ym = x0, y0
    else:
        x2, y2, xy = sxx / s - xm * xm, syy / s - ym * ym, sxy / s - xm * ym
    obj.singular = 0
    if x2 * y2 - xy * xy < SINGULAR:
        x2 += PIXEL_MOMENT
        y2 += PIXEL_MOMENT
        obj.singular = 1
    obj.flux = np.float32(s)
    obj.x, obj.y = xm + obj.xmin, ym + obj.ymin
    obj.x2, obj.y2, obj.xy = x2, y2, xy


@inner_kernel
def ellipse_of(x2: float, y2: float, xy: float) -> tuple[Number, Number, Number]:
    """Major and minor axis and position angle (degrees) of second moments."""
    difference = x2 - y2
    theta = math.atan2(2 * xy, difference) / 2 if difference != 0 else PI / 4
    root = math.sqrt(0.25 * difference * difference + xy * xy)
    mean = 0.5 * (x2 + y2)
    a = np.float32(math.sqrt(mean + root))
    b = np.float32(math.sqrt(max(mean - root, 0.0)))
    return a, b, np.float32(theta * 180 / PI)


@inner_kernel
def _ellipse(obj: Record) -> None:
    x2, y2, xy = obj.x2, obj.y2, obj.xy
    determinant = x2 * y2 - xy * xy
    obj.a, obj.b, obj.theta = ellipse_of(x2, y2, xy)
    obj.cxx = np.float32(y2 / determinant)
    obj.cyy = np.float32(x2 / determinant)
    obj.cxy = np.float32(-2 * xy / determinant)


@inner_kernel
def _profile_factor(obj: Record, pixels: Array, image: Array) -> None:
    """How much flatter the object is than a Gaussian of its size, at most 1."""
    width = image.shape[1]
    t = obj.threshold
    t2 = np.float32((t + obj.image_peak) / np.float32(2))
    n1 = n2 = 0
    for i in range(pixels.size):
        y, x = divmod(pixels[i], width)
        n1 += image[y, x] > t
        n2 += image[y, x] > t2
    ratio = np.float32(t / t2)
    if not ratio > 0:
        return
    if ratio >= 1:
        ratio = np.float32(0.99)
    area = n2 - n1 if n2 < n1 else -1
    factor = np.float32(area / (2 * PI * math.log(np.float64(ratio)) * obj.a * obj.b))
    obj.profile = min(factor, np.float32(1))


@inner_kernel
def measure_errors(
    obj: Record, pixels: Array, values: Array, width: int, noise2: Number, gain: float
) -> None:
    """Variance of the barycentre; the noise is the global rms plus photon noise."""
    sxx = syy = sxy = total = 0.0
    for i in range(pixels.size):
        py, px = divmod(pixels[i], width)
        c = values[i]
        dx, dy = px - obj.x, py - obj.y
        e = np.float64(noise2)
        if c > 0 and gain > 0:
            e += c / gain
        total += e
        sxx += e * dx * dx
        syy += e * dy * dy
        sxy += e * dx * dy
    square = np.float64(np.float32(obj.flux * obj.flux))
    ex, ey, exy = sxx / square, syy / square, sxy / square
    if obj.singular:
        q = total * (0.08333 / square)
        if ex * ey - exy * exy < q * q:
            ex += q
            ey += q
    obj.errx2, obj.erry2, obj.errxy = ex, ey, exy


@inner_kernel
def clean_threshold(values: Array, thresholds: Array, min_area: int) -> Number:
    """Nearly the `min_area`-th largest excess of a pixel over its threshold.

    The heap descends one level too far after each exchange, as in the original; cleaning depends
    on the value that it leaves on top.
    """
    n = values.size
    if n < min_area:
        return np.float32(0)
    if n == min_area:  # the heap is put in order only when one pixel more arrives
        return np.float32(values[0] - thresholds[0])
    heap = np.empty(min_area + 1, np.float32)
    for i in range(1, min_area + 1):
        t = np.float32(values[i - 1] - thresholds[i - 1])
        k = i
        while k > 1 and heap[k - 1] > t:
            heap[k] = heap[k - 1]
            k -= 1
        heap[k] = t
    for i in range(min_area + 1, n):
        t = np.float32(values[i] - thresholds[i])
        if not t > heap[1]:
            continue
        heap[1] = t
        j = 1
        while 2 * j <= min_area:
            k = 2 * j
            if k < min_area and heap[k] > heap[k + 1]:
                k += 1
            if heap[j] <= heap[k]:
                break
            heap[j], heap[k] = heap[k], heap[j]
            j = k + 1
    return heap[1]


@inner_kernel
def measure_isophote(
    obj: Record,
    pixels: Array,
    plane: Plane,
    threshold: Number,
    saturation: float,
    level_map: Array,
    mesh: tuple[int, int],
) -> None:
    """Flux, area, peak and width on the measurement image within the footprint."""
    width = plane.image.shape[1]
    gain = plane.gain
    flux = variance = 0.0
    area = 0
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    relative = np.float32(threshold / plane.noise)
    for i in range(pixels.size):
        y, x = divmod(pixels[i], width)
        v = plane.image[y, x]
        t = threshold
        if plane.weighted:
            var = plane.variance[y, x]
            variance += np.float64(var)
            if plane.weight_gain and gain > 0 and v > 0:
                variance += v / gain * var / plane.noise2
            t = np.float32(np.float64(relative) * math.sqrt(np.float64(var)))
        flux += np.float64(v)
        lowest = min(lowest, t)
        highest = max(highest, v)
        area += v > t
    if not plane.weighted:
        variance = pixels.size * np.float64(plane.noise2)
    if gain > 0 and flux > 0 and not (plane.weighted and plane.weight_gain):
        variance += flux / gain
    obj.iso_flux, obj.iso_variance = np.float32(flux), np.float32(variance)
    obj.iso_area, obj.iso_threshold, obj.iso_max = area, lowest, highest
    obj.background = background_at(level_map, mesh, int(obj.x + 0.5), int(obj.y + 0.5))
    if highest + obj.background >= saturation:
        obj.flags |= SATURATED
    count_levels(obj, pixels, plane.image)
    obj.fwhm = fit_fwhm(obj, pixels, plane.image, saturation, np.float32(0))


@inner_kernel
def count_levels(obj: Record, pixels: Array, image: Array) -> None:
    """Areas above eight levels in geometric progression from the threshold to the peak."""
    width = image.shape[1]
    low, high = obj.iso_threshold, obj.iso_max
    levels = np.zeros(8, np.float32)
    if low > 0 and high > 0:
        for k in range(8):
            levels[k] = np.float32(low * math.pow(np.float64(np.float32(high / low)), k / 8.0))
    counts = np.zeros(8, np.int32)
    for i in range(pixels.size):
        y, x = divmod(pixels[i], width)
        for k in range(8):
            # A level counts only above all lower ones: nothing does when the peak is below the
            # threshold, where the levels fall.
            if not image[y, x] > levels[k]:
                break
            counts[k] += 1
    for k in range(8):
        obj.iso_levels[k] = counts[k]


@inner_kernel
def fit_fwhm(obj: Record, pixels: Array, image: Array, saturation: float, offset: Number) -> Number:
    """Width of a Gaussian fitted to the bright pixels: log of the value against radius squared.

    `offset` is taken off the pixels first.
    """
    width = image.shape[1]
    lowest = max(np.float32(obj.iso_max / np.float32(5)), obj.iso_threshold)
    highest = np.float32(saturation - obj.background)
    s = sx = sy = sxx = sxy = 0.0
    for i in range(pixels.size):
        py, px = divmod(pixels[i], width)
        v = np.float64(image[py, px]) - np.float64(offset)
        if lowest < v < highest and v > 0:
            dx, dy = px - obj.x, py - obj.y
            r2 = dx * dx + dy * dy
            w = np.float64(v) * np.float64(v)
            log_v = math.log(np.float64(v))
            s += w
            sx += w * r2
            sy += w * log_v
            sxx += w * (r2 * r2)
            sxy += w * (r2 * log_v)
    determinant = s * sxx - sx * sx
    if not abs(determinant) > 0:
        return np.float32(0)
    slope = -(s * sxy - sx * sy) / determinant
    slope = max(slope, np.float64(np.float32(1) / np.float32(np.float32(13) * obj.a * obj.b)))
    fwhm = np.float32(1.6651 / math.sqrt(slope))
    return np.float32(fwhm - np.float32(1) / np.float32(np.float32(4) * fwhm))


@kernel
def measure_objects(
    objects: Array,
    starts: Array,
    pixels: Array,
    values: Array,
    thresholds: Array,
    plane: Plane,
    settings: Any,
    first: int,
    last: int,
) -> None:
    """Positional errors, cleaning threshold and isophotal quantities of objects.

    `settings` is (analysis threshold, saturation, level map, mesh, min area, detection noise^2).
    """
    threshold, saturation, level_map, mesh, min_area, noise2 = settings
    width = plane.image.shape[1]
    for k in range(first, last):
        obj = objects[k]
        a, b = starts[k], starts[k + 1]
        inside, c, t = pixels[a:b], values[a:b], thresholds[a:b]
        measure_errors(obj, inside, c, width, noise2, plane.gain)
        obj.clean_threshold = clean_threshold(c, t, min_area)
        measure_isophote(obj, inside, plane, threshold, saturation, level_map, mesh)


@kernel
def measure_all(
    objects: Array,
    starts: Array,
    pixels: Array,
    values: Array,
    thresholds: Array,
    image: Array,
    weighted: bool,
    common: Number,
) -> None:
    """Measure the footprints of all objects from their lists of pixels."""
    for k in range(objects.size):
        a, b = starts[k], starts[k + 1]
        measure_footprint(
            objects[k], pixels[a:b], values[a:b], thresholds[a:b], image, weighted, common
        )
        set_border_flag(objects[k], image.shape)


@inner_kernel
def set_border_flag(obj: Record, shape: tuple[int, int]) -> None:
    """Flag an object that touches the border of the image."""
    height, width = shape
    if obj.xmin == 0 or obj.ymin == 0 or obj.xmax == width - 1 or obj.ymax == height - 1:
        obj.flags |= TRUNCATED
