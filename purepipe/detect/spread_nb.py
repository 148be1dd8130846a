"""Kernels of the spread model: the local PSF and its disc, drawn, fitted and compared.

A PSF is tabulated on a grid of its own, `step` image pixels apart; drawing it on image pixels is an
interpolation by Lanczos functions of order 4 in units of that grid.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel, lean_kernel
from purepipe.detect.pixels_nb import global_gain, is_unusable, local_gain, photon_variance
from purepipe.detect.records_nb import Mask, Plane

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

TAPS = 8  # grid points that a drawn pixel depends on, along each axis
COMPRESSION = 10.0  # residuals beyond this many sigma count by their logarithm
MOST_STEPS = 60
TOLERANCE = 1e-6  # of position (image pixels) and flux (relative)
DIFFERENCE = 1e-4  # image pixels, for derivatives


@inner_kernel
def normalised_core(grid: Array, out: Array) -> bool:
    """The part of a tabulated PSF that is used, with a sum of 1; False if its sum is not positive.

    Points whose Lanczos-3 neighbourhood leaves the grid are dropped, as in the original: two at
    the start and three at the end of each axis.
    """
    height, width = grid.shape
    total = 0.0
    for j in range(2, height - 3):
        for i in range(2, width - 3):
            total += grid[j, i]
    out[:] = 0.0
    if not (total > 0 and math.isfinite(total)):
        return False
    j0, i0 = (out.shape[0] - height) // 2, (out.shape[1] - width) // 2
    for j in range(2, height - 3):
        for i in range(2, width - 3):
            out[j0 + j, i0 + i] = grid[j, i] / total
    return True


@inner_kernel
def convolve(image: Array, disc: Array, out: Array) -> None:
    """Convolution of an image with a small, centred one; nothing comes from beyond the edge."""
    height, width = image.shape
    reach = disc.shape[0] // 2
    out[:] = 0.0
    for b in range(disc.shape[0]):
        for a in range(disc.shape[1]):
            share = disc[b, a]
            if share == 0:
                continue
            dy, dx = b - reach, a - reach
            for j in range(max(dy, 0), min(height + dy, height)):
                for i in range(max(dx, 0), min(width + dx, width)):
                    out[j, i] += share * image[j - dy, i - dx]


@inner_kernel
def lanczos_taps(size: int, centre: float, step: float, shift: float, taps: Array) -> None:
    """First grid point and normalised weights, (size, 1 + TAPS), of each pixel along an axis.

    The middle pixel, less `shift` pixels, is at point `centre` of the grid.
    """
    for i in range(size):
        place = centre + (i - size // 2 - shift) / step
        first = math.floor(place) - TAPS // 2 + 1
        taps[i, 0] = first
        total = 0.0
        for k in range(TAPS):
            t = math.pi * (first + k - place)
            value = 0.0
            if abs(t) < 1e-5:
                value = 1.0
            elif abs(t) < 4 * math.pi:
                value = math.sin(t) * math.sin(t / 4) * 4 / (t * t)
            taps[i, 1 + k] = value
            total += value
        for k in range(TAPS):
            taps[i, 1 + k] /= total


@inner_kernel
def draw(grid: Array, step: float, dx: float, dy: float, out: Array) -> None:
    """A tabulated PSF on image pixels; the middle pixel, plus (dx, dy), is its centre."""
    rows, columns = grid.shape
    height, width = out.shape
    along, across = np.empty((width, 1 + TAPS)), np.empty((height, 1 + TAPS))
    lanczos_taps(width, float(columns // 2), step, dx, along)
    lanczos_taps(height, float(rows // 2), step, dy, across)
    middle = np.zeros((rows, width))
    for i in range(width):
        first = int(along[i, 0])
        for k in range(TAPS):
            column, weight = first + k, along[i, 1 + k]
            if 0 <= column < columns:
                for j in range(rows):
                    middle[j, i] += weight * grid[j, column]
    out[:] = 0.0
    for j in range(height):
        first = int(across[j, 0])
        for k in range(TAPS):
            row, weight = first + k, across[j, 1 + k]
            if 0 <= row < rows:
                for i in range(width):
                    out[j, i] += weight * middle[row, i]


@lean_kernel
def cut_pixels(
    plane: Plane, mask: Mask, label: int, x0: int, y0: int, lines: tuple[int, int],
    brightest: float, values: Array, variances: Array,
) -> int:  # fmt: skip
    """Pixels around an object and their variances, 0 for those that cannot be used; their number.

    (x0, y0) is the first pixel; those from `brightest` on are saturated.
    """
    local, once = local_gain(plane), global_gain(plane)
    count = 0
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            x, y = x0 + i, y0 + j
            values[j, i] = variances[j, i] = 0.0
            if not (0 <= x < plane.image.shape[1] and lines[0] <= y < lines[1]):
                continue
            if is_unusable(plane, mask, label, y, x):
                continue
            value = np.float64(plane.image[y, x])
            variance = np.float64(plane.variance[y, x] if plane.weighted else plane.noise2)
            variance += photon_variance(local, plane.noise2, value, variance)
            if once > 0 and value > 0:
                variance += value / once
            if variance > 0 and value < brightest:
                values[j, i], variances[j, i] = value, variance
                count += 1
    return count


@inner_kernel
def _normal_equations(
    values: Array, variances: Array, flux: float, drawn: Array, matrix: Array, vector: Array
) -> float:
    """Fill the normal equations of (x, y, flux); the sum of squared compressed residuals.

    `drawn` holds the PSF, and the PSF moved by `DIFFERENCE` along x and along y.
    """
    matrix[:] = 0.0
    vector[:] = 0.0
    total = 0.0
    slope = np.empty(3)
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            if variances[j, i] == 0:
                continue
            sigma = math.sqrt(variances[j, i])
            psf = drawn[0, j, i]
            z = (flux * psf - values[j, i]) / sigma
            residual = math.copysign(COMPRESSION * math.log1p(abs(z) / COMPRESSION), z)
            rate = 1.0 / (1.0 + abs(z) / COMPRESSION) / sigma
            slope[0] = rate * flux * (drawn[1, j, i] - psf) / DIFFERENCE
            slope[1] = rate * flux * (drawn[2, j, i] - psf) / DIFFERENCE
            slope[2] = rate * psf
            total += residual * residual
            for a in range(3):
                vector[a] += slope[a] * residual
                for b in range(3):
                    matrix[a, b] += slope[a] * slope[b]
    return total


@inner_kernel
def _draw_three(grid: Array, step: float, dx: float, dy: float, drawn: Array) -> None:
    draw(grid, step, dx, dy, drawn[0])
    draw(grid, step, dx + DIFFERENCE, dy, drawn[1])
    draw(grid, step, dx, dy + DIFFERENCE, drawn[2])


@inner_kernel
def _solve(matrix: Array, vector: Array, damping: float, out: Array) -> bool:
    """Minus the solution of the damped equations, by Cramer's rule; False if there is none."""
    a = matrix.copy()
    for k in range(3):
        a[k, k] *= 1 + damping
    c0 = a[1, 1] * a[2, 2] - a[1, 2] * a[2, 1]
    c1 = a[1, 2] * a[2, 0] - a[1, 0] * a[2, 2]
    c2 = a[1, 0] * a[2, 1] - a[1, 1] * a[2, 0]
    determinant = a[0, 0] * c0 + a[0, 1] * c1 + a[0, 2] * c2
    if not determinant > 0:
        return False
    for k in range(3):
        b = a.copy()
        for row in range(3):
            b[row, k] = vector[row]
        out[k] = -(
            b[0, 0] * (b[1, 1] * b[2, 2] - b[1, 2] * b[2, 1])
            - b[0, 1] * (b[1, 0] * b[2, 2] - b[1, 2] * b[2, 0])
            + b[0, 2] * (b[1, 0] * b[2, 1] - b[1, 1] * b[2, 0])
        ) / determinant  # fmt: skip
    return True


@inner_kernel
def fit_point(
    values: Array, variances: Array, grid: Array, step: float, start: tuple[float, float, float],
    drawn: Array,
) -> tuple[float, float]:  # fmt: skip
    """Offset of the point source that fits best from the middle pixel; NaN if there is none.

    A fit that has not come to rest after `MOST_STEPS` steps counts where it is, since the original
    has values for such objects, too.
    `start` is an offset and a flux, `drawn` scratch of three images.
    """
    x, y, flux = start
    matrix, vector, move = np.empty((3, 3)), np.empty(3), np.empty(3)
    better, better_vector = np.empty((3, 3)), np.empty(3)
    _draw_three(grid, step, x, y, drawn)
    cost = _normal_equations(values, variances, flux, drawn, matrix, vector)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        if not _solve(matrix, vector, damping, move):
            return np.nan, np.nan
        new_x, new_y, new_flux = x + move[0], y + move[1], flux + move[2]
        if abs(new_x) > 0.5 * values.shape[1] or abs(new_y) > 0.5 * values.shape[0]:
            damping = max(10 * damping, 1e-3)
            continue
        _draw_three(grid, step, new_x, new_y, drawn)
        new = _normal_equations(values, variances, new_flux, drawn, better, better_vector)
        near = abs(move[0]) < TOLERANCE and abs(move[1]) < TOLERANCE
        near &= abs(move[2]) < TOLERANCE * abs(new_flux)
        if new <= cost:
            x, y, flux, cost = new_x, new_y, new_flux, new
            matrix[:], vector[:] = better, better_vector
            damping *= 0.1
        else:
            damping = max(10 * damping, 1e-3)
        if near or damping > 1e8:
            break
    return x, y


@inner_kernel
def spread_sums(values: Array, variances: Array, psf: Array, disc: Array) -> tuple[float, float]:
    """Spread model and its error from pixels and templates; NaN if the point flux is not positive.

    Pixels count alike, whatever their noise, which enters the error alone.
    """
    so = sd = spp = spd = vpp = vdd = vpd = 0.0
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            variance = variances[j, i]
            if variance == 0:
                continue
            p, d, v = psf[j, i], disc[j, i], values[j, i]
            so += p * v
            sd += d * v
            spp += p * p
            spd += p * d
            vpp += p * p * variance
            vdd += d * d * variance
            vpd += p * d * variance
    if not (so > 0 and spp > 0):
        return np.nan, np.nan
    variance = vdd * so * so + vpp * sd * sd - 2 * vpd * so * sd
    return sd / so - spd / spp, math.sqrt(max(variance, 0.0)) / (so * so)


@kernel
def spread_objects(
    objects: Array, source: Array, lines: Array, plane: Plane, everything: Mask, grids: Array,
    step: float, disc: Array, reach: int, saturation: float, first: int, last: int, offset: int,
    out: Array,
) -> None:  # fmt: skip
    """Spread model and error of rows `first` to `last` into `out`, NaN where there is none.

    ``grids[k - offset]`` is the PSF of row k; stamps extend `reach` pixels from their centres.
    """
    size = 2 * reach + 1
    border = 2 * (disc.shape[0] // 2)
    psf = np.empty((grids.shape[1] + border, grids.shape[2] + border))
    wider = np.empty_like(psf)
    values, variances = np.empty((size, size)), np.empty((size, size))
    drawn, disc_drawn = np.empty((3, size, size)), np.empty((size, size))
    for k in range(first, last):
        out[k, 0] = out[k, 1] = np.nan
        obj, label = objects[source[k]], source[k] + 2
        mask = Mask(everything.labels, everything.returned, everything.active, everything.mirror,
                    lines[k, 2], lines[k, 3], lines[k, 4])  # fmt: skip
        xc, yc = int(obj.x + 0.5), int(obj.y + 0.5)
        seen = (lines[k, 0], lines[k, 1])
        used = cut_pixels(
            plane, mask, label, xc - reach, yc - reach, seen,
            saturation - np.float64(obj.background), values, variances,
        )  # fmt: skip
        if used < 3 or not normalised_core(grids[k - offset], psf):
            continue
        start = (obj.x - xc, obj.y - yc, np.float64(obj.iso_flux))
        dx, dy = fit_point(values, variances, psf, step, start, drawn)
        if not math.isfinite(dx + dy):
            continue
        convolve(psf, disc, wider)
        draw(psf, step, dx, dy, drawn[0])
        draw(wider, step, dx, dy, disc_drawn)
        out[k, 0], out[k, 1] = spread_sums(values, variances, drawn[0], disc_drawn)
