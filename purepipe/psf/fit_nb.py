"""Kernels of the PSF fit: first guess, normal matrix, right side, residuals.

`first`, `count`, `taps` with leading star axis are the resampling matrices from the model grid to
the vignettes, see `resample_nb.axis_taps`: they serve the projection of the model, its transpose
and the normal matrix.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel
from purepipe.psf.resample_nb import apply_taps, axis_taps, tap_width

Array = NDArray[Any]
Number = Any  # single and double precision meet on purpose

# Two model pixels share a vignette pixel only if they are at most this far apart.
REACH = 5
RIDGE = 1000.0  # added to the diagonal of the first guess
MAX_CENTRE_STEPS = 40
CENTRED = 1e-8  # pixel^2
MAX_OFFSET2 = 9.0  # pixel^2
MAX_SHIFT = 1e3  # pixel; a singular system, or a star that is no star


@kernel
def star_taps(
    n_grid: int, shifts: Array, inverse_step: Number, first: Array, count: Array, taps: Array
) -> None:
    """Resampling matrices of one axis, from the model grid to each vignette."""
    n, n_out = first.shape
    for s in range(n):
        shift = -np.float64(shifts[s]) * np.float64(inverse_step)
        axis_taps(n_grid, n_out, shift, inverse_step, 1.0, first[s], count[s], taps[s])


@kernel
def first_guess(
    values: Array, rows: Array, noise2: Array, gain: Array, flux: Array, terms: Array,
    accuracy2: Number, planes: Array,
) -> None:  # fmt: skip
    """Weighted least-squares polynomial of each model pixel over the stars.

    Parameters
    ----------
    values
        (n, npix) float32 vignettes on the model grid, divided by the flux.
    rows
        Indices of the stars to use.
    noise2, gain, flux
        (n,) float32.
    terms
        (n, nc) polynomial terms.
    accuracy2
        Square of the relative accuracy, float32.
    planes
        (nc, npix) float32 result.
    """
    nc, npix = planes.shape
    nsym = nc * (nc + 1) // 2
    normal = np.zeros((nsym, npix), np.float64)
    right = np.zeros((nc, npix), np.float64)
    weight = np.empty(npix, np.float64)
    for s in rows:
        norm2 = np.float32(flux[s] * flux[s])
        scale = np.float32(np.float32(accuracy2) * norm2)
        for p in range(npix):
            value = values[s, p]
            variance = np.float32(noise2[s] + np.float32(np.float32(scale * value) * value))
            if value > 0.0 and gain[s] > 0.0:
                variance = np.float32(variance + np.float32(value / gain[s]))
            weight[p] = np.float32(norm2 / variance)
        t = 0
        for k in range(nc):
            term = terms[s, k]
            for p in range(npix):
                right[k, p] += weight[p] * np.float64(values[s, p]) * term
            for j in range(k + 1):
                product = term * terms[s, j]
                for p in range(npix):
                    normal[t, p] += weight[p] * product
                t += 1
    _solve_all(normal, right)
    for k in range(nc):
        for p in range(npix):
            planes[k, p] = np.float32(right[k, p])


@inner_kernel
def _solve_all(normal: Array, right: Array) -> None:
    """Solve the small systems of all pixels at once; `right` becomes the solution.

    `normal` holds the lower triangles, row by row, with the pixel as the last index.
    """
    nc, npix = right.shape
    for k in range(nc):
        diagonal = k * (k + 1) // 2 + k
        for p in range(npix):
            normal[diagonal, p] += RIDGE
    for k in range(nc):
        row = k * (k + 1) // 2
        for j in range(k + 1):
            other = j * (j + 1) // 2
            for i in range(j):
                for p in range(npix):
                    normal[row + j, p] -= normal[row + i, p] * normal[other + i, p]
            if j < k:
                for p in range(npix):
                    normal[row + j, p] /= normal[other + j, p]
            else:
                for p in range(npix):
                    normal[row + k, p] = math.sqrt(normal[row + k, p])
    for k in range(nc):
        row = k * (k + 1) // 2
        for j in range(k):
            for p in range(npix):
                right[k, p] -= normal[row + j, p] * right[j, p]
        for p in range(npix):
            right[k, p] /= normal[row + k, p]
    for k in range(nc - 1, -1, -1):
        for j in range(k + 1, nc):
            row = j * (j + 1) // 2
            for p in range(npix):
                right[k, p] -= normal[row + k, p] * right[j, p]
        for p in range(npix):
            right[k, p] /= normal[k * (k + 1) // 2 + k, p]


@kernel
def gram_blocks(
    rows: Array, weights: Array, flux: Array, first_x: Array, count_x: Array, taps_x: Array,
    first_y: Array, count_y: Array, taps_y: Array, box: Array, index: Array, out: Array,
) -> None:  # fmt: skip
    """Inner products of projected unit pixels, for each star and pair of free pixels.

    The projection is separable, so the sums over a vignette go row by row first.

    Parameters
    ----------
    box
        First and last row, first and last column of the free pixels.
    index
        (npairs,) place of each pair in an array (REACH + 1, box height, REACH + 1, box width) over
        (row distance, row, column distance, smaller column).
    out
        (len(rows), npairs) result, times the squared flux.
    """
    y0, y1, x0, x1 = box
    height, width = y1 - y0 + 1, x1 - x0 + 1
    line = np.empty((REACH + 1, width), np.float64)
    gram = np.empty((REACH + 1, height, REACH + 1, width), np.float64)
    flat = gram.reshape(gram.size)
    for r in range(len(rows)):
        s = rows[r]
        gram[:] = 0.0
        for y in range(weights.shape[1]):
            n_taps, low = count_y[s, y], first_y[s, y]
            if n_taps == 0 or low > y1 or low + n_taps <= y0:
                continue
            _line_products(weights[s, y], first_x[s], count_x[s], taps_x[s], x0, line)
            for a in range(n_taps):
                row = low + a - y0
                if row < 0 or row >= height:
                    continue
                for b in range(a, min(n_taps, a + REACH + 1, y1 - low + 1)):
                    factor = taps_y[s, y, a] * taps_y[s, y, b]
                    target = gram[b - a, row]
                    for d in range(REACH + 1):
                        for x in range(width):
                            target[d, x] += factor * line[d, x]
        norm2 = np.float64(flux[s]) * np.float64(flux[s])
        for k in range(len(index)):
            out[r, k] = norm2 * flat[index[k]]


@inner_kernel
def _line_products(
    weight: Array, first: Array, count: Array, taps: Array, x0: int, line: Array
) -> None:
    """Weighted products of the taps of one vignette row, by column distance and column."""
    width = line.shape[1]
    line[:] = 0.0
    for x in range(len(weight)):
        w = np.float64(weight[x])
        if w == 0.0:
            continue
        low = first[x] - x0
        for a in range(count[x]):
            column = low + a
            if column < 0 or column >= width:
                continue
            tap = w * np.float64(np.float32(taps[x, a]))
            for b in range(a, min(count[x], a + REACH + 1, width - low)):
                line[b - a, column] += tap * np.float64(np.float32(taps[x, b]))


@kernel
def fill_band(sums: Array, pairs: Array, nc: int, ridge: Number, band: Array) -> None:
    """Normal matrix in LAPACK's lower band storage, transposed: ``band[column, row - column]``.

    Parameters
    ----------
    sums
        (npairs, nc (nc + 1) / 2) sum over the stars of inner product times products of terms.
    pairs
        (npairs, 2) free pixels p <= q.
    ridge
        Added to the diagonal.
    """
    for k in range(len(pairs)):
        p, q = pairs[k, 0] * nc, pairs[k, 1] * nc
        for i in range(nc):
            for j in range(nc):
                if p == q and i < j:
                    continue
                a, b = max(i, j), min(i, j)
                band[p + j, q + i - p - j] = sums[k, a * (a + 1) // 2 + b]
    for row in range(len(band)):
        band[row, 0] += ridge


@inner_kernel
def star_model(planes: Array, terms: Array, out: Array) -> None:
    """Model at one star, summed in single precision as by the original; `out` is (h, w)."""
    nc, height, width = planes.shape
    out[:] = np.float32(0.0)
    for k in range(nc):
        term = np.float32(terms[k])
        for y in range(height):
            for x in range(width):
                out[y, x] = np.float32(out[y, x] + np.float32(term * planes[k, y, x]))


@kernel
def right_side(
    rows: Array, vignets: Array, weights: Array, flux: Array, terms: Array, planes: Array,
    first_x: Array, count_x: Array, taps_x: Array, first_y: Array, count_y: Array, taps_y: Array,
    free: Array, out: Array,
) -> None:  # fmt: skip
    """Right side of the normal equations: projected-back residuals times polynomial terms.

    `free` is (nb, 2) row and column of the free pixels, `out` (nb, nc).
    """
    _, vh, vw = vignets.shape
    nc, height, width = planes.shape
    model = np.empty((height, width), np.float32)
    projected = np.empty((vh, vw), np.float32)
    buffer = np.empty((height, vw), np.float32)
    line = np.empty(width, np.float64)
    back = np.empty((height, width), np.float64)
    for s in rows:
        norm = np.float64(flux[s])
        star_model(planes, terms[s], model)
        apply_taps(
            model, first_x[s], count_x[s], taps_x[s], first_y[s], count_y[s], taps_y[s],
            buffer, projected,
        )  # fmt: skip
        back[:] = 0.0
        for y in range(vh):
            line[:] = 0.0
            for x in range(vw):
                residual = np.float32(np.float64(vignets[s, y, x]) - norm * projected[y, x])
                value = np.float64(weights[s, y, x]) * np.float64(residual)
                for a in range(count_x[s, x]):
                    line[first_x[s, x] + a] += np.float64(np.float32(taps_x[s, x, a])) * value
            for a in range(count_y[s, y]):
                tap = taps_y[s, y, a]
                target = back[first_y[s, y] + a]
                for x in range(width):
                    target[x] += tap * line[x]
        for p in range(len(free)):
            value = norm * back[free[p, 0], free[p, 1]]
            for k in range(nc):
                out[p, k] += value * terms[s, k]


@kernel
def residuals(
    rows: Array, vignets: Array, weights: Array, flux: Array, terms: Array, planes: Array,
    first_x: Array, count_x: Array, taps_x: Array, first_y: Array, count_y: Array, taps_y: Array,
    dx: Array, dy: Array, radius: Number, accuracy2: float, chi2: Array, residual_index: Array,
) -> None:  # fmt: skip
    """Reduced chi-square and residual index of the stars in `rows`.

    `radius` (image pixels) is that of the circle that counts; `accuracy2` the square of the
    accuracy of the profile, which adds to the variances.
    """
    _, vh, vw = vignets.shape
    difference = np.empty((vh, vw), np.float32)
    chi = np.empty((vh, vw), np.float32)
    for s in rows:
        norm = star_residuals(
            s, vignets, weights, flux, terms, planes, first_x, count_x, taps_x, first_y, count_y,
            taps_y, dx, dy, radius, accuracy2, difference, chi,
        )  # fmt: skip
        total: Number = 0.0
        upper = lower = 0.0
        counted = 0
        for y in range(vh):
            for x in range(vw):
                if chi[y, x] < 0.0:
                    continue
                total += chi[y, x]
                q = np.float64(vignets[s, y, x]) + np.float64(norm) * np.float64(difference[y, x])
                upper += q * abs(np.float64(difference[y, x]))
                lower += q * q
                counted += 1
        chi2[s] = np.float32(total / (counted - 1) if counted > 1 else total)
        residual_index[s] = np.float32(2.0 * upper / lower if lower > 0.0 else 0.0)


@kernel
def star_residuals(
    s: int, vignets: Array, weights: Array, flux: Array, terms: Array, planes: Array,
    first_x: Array, count_x: Array, taps_x: Array, first_y: Array, count_y: Array, taps_y: Array,
    dx: Array, dy: Array, radius: Number, accuracy2: float, difference: Array, chi: Array,
) -> Number:  # fmt: skip
    """Residuals of one star into `difference`, their squares times weights into `chi`.

    Returns the fitted flux. A bad pixel shows the model of unit flux in `difference`; pixels that
    do not count, bad or outside of the circle, have -1 in `chi`.
    """
    _, vh, vw = vignets.shape
    _, height, width = planes.shape
    model = np.empty((height, width), np.float32)
    buffer = np.empty((height, vw), np.float32)
    radius2 = np.float32(radius * radius)
    star_model(planes, terms[s], model)
    apply_taps(
        model, first_x[s], count_x[s], taps_x[s], first_y[s], count_y[s], taps_y[s], buffer,
        difference,
    )  # fmt: skip
    norm = _best_flux(vignets[s], weights[s], difference, flux[s])
    extra = np.float64(np.float32(accuracy2 * np.float64(norm) * np.float64(norm)))
    centre_x = np.float32(np.float32(vw // 2) + dx[s])
    centre_y = np.float32(np.float32(vh // 2) + dy[s])
    chi[:] = np.float32(-1.0)
    for y in range(vh):
        off_y = np.float32(np.float32(y) - centre_y)
        for x in range(vw):
            w = np.float64(weights[s, y, x])
            if w <= 0.0:
                continue
            m = difference[y, x]
            residual = np.float32(vignets[s, y, x] - np.float32(norm * m))
            difference[y, x] = residual
            off_x = np.float32(np.float32(x) - centre_x)
            if np.float32(np.float32(off_x * off_x) + np.float32(off_y * off_y)) < radius2:
                m2 = np.float64(m) * np.float64(m)
                reduced = np.float32(1.0 / (1.0 / w + extra * m2))
                chi[y, x] = np.float32(np.float32(reduced * residual) * residual)
    return norm


@inner_kernel
def _best_flux(vignet: Array, weight: Array, model: Array, flux: Number) -> Number:
    """Weighted least-squares flux of the model in the vignette."""
    height, width = vignet.shape
    upper = lower = 0.0
    for y in range(height):
        for x in range(width):
            m = np.float64(model[y, x])
            wm = np.float64(weight[y, x]) * m
            upper += wm * np.float64(vignet[y, x])
            lower += wm * m
    return np.float32(upper / lower) if lower > 0.0 else np.float32(flux)


@inner_kernel
def _moment_sums(
    vignet: Array, weight: Array, model: Array, dx: Number, dy: Number, sums: Array
) -> None:
    """Sums of the linear fit of flux and shift: 3 right sides, 6 of the matrix, 3 of the model."""
    size = model.shape[0]
    y0, x0 = vignet.shape[0] // 2 - size // 2, vignet.shape[1] // 2 - model.shape[1] // 2
    sums[:] = 0.0
    for iy in range(size):
        y = iy - size // 2 - dy
        for ix in range(model.shape[1]):
            x = ix - model.shape[1] // 2 - dx
            m = np.float64(model[iy, ix])
            w = np.float64(weight[y0 + iy, x0 + ix])
            light = m * w * np.float64(vignet[y0 + iy, x0 + ix])
            square = m * m * w
            sums[0] += light
            sums[1] += light * x
            sums[2] += light * y
            sums[3] += square
            sums[4] += square * x
            sums[5] += square * y
            sums[6] += square * x * x
            sums[7] += square * x * y
            sums[8] += square * y * y
            sums[9] += m * x * x
            sums[10] += m * x * y
            sums[11] += m * y * y


@inner_kernel
def _shift(sums: Array) -> tuple[Number, Number]:
    """Shift of the star relative to the model; NaN when the system is singular."""
    b0, b1, b2, s0, sx, sy, sxx, sxy, syy = sums[:9]
    c00, c01, c02 = sxx * syy - sxy * sxy, sxy * sy - sx * syy, sx * sxy - sxx * sy
    c11, c12, c22 = s0 * syy - sy * sy, sx * sy - s0 * sxy, s0 * sxx - sx * sx
    a0 = c00 * b0 + c01 * b1 + c02 * b2
    a1 = c01 * b0 + c11 * b1 + c12 * b2
    a2 = c02 * b0 + c12 * b1 + c22 * b2
    if a0 == 0.0:
        return np.nan, np.nan
    # The determinant cancels in the ratios.
    return (a1 * sums[9] + a2 * sums[10]) / a0, (a2 * sums[11] + a1 * sums[10]) / a0


@kernel
def fit_centres(
    rows: Array, vignets: Array, weights: Array, terms: Array, planes: Array,
    inverse_step: Number, size_x: int, size_y: int, dx: Array, dy: Array, x: Array, y: Array,
) -> None:  # fmt: skip
    """Fit the centres of the stars with the model, in at most 40 half steps each.

    Parameters
    ----------
    size_x, size_y
        Part of the vignettes that counts.
    dx, dy
        (n,) float32 centres; replaced for every star after the first one that converged, as in
        the original.
    x, y
        (n,) float64 last positions tried.
    """
    _, height, width = planes.shape
    model = np.empty((height, width), np.float32)
    projected = np.empty((size_y, size_x), np.float32)
    buffer = np.empty((height, size_x), np.float32)
    taps = tap_width(1.0)
    first_x, count_x = np.zeros(size_x, np.int64), np.zeros(size_x, np.int64)
    first_y, count_y = np.zeros(size_y, np.int64), np.zeros(size_y, np.int64)
    taps_x, taps_y = np.zeros((size_x, taps)), np.zeros((size_y, taps))
    sums = np.zeros(12)
    converged = False
    for s in rows:
        star_model(planes, terms[s], model)
        x[s], y[s] = np.float64(dx[s]), np.float64(dy[s])
        for _ in range(MAX_CENTRE_STEPS):
            axis_taps(
                width, size_x, -x[s] * inverse_step, inverse_step, 1.0, first_x, count_x, taps_x
            )
            axis_taps(
                height, size_y, -y[s] * inverse_step, inverse_step, 1.0, first_y, count_y, taps_y
            )
            apply_taps(model, first_x, count_x, taps_x, first_y, count_y, taps_y, buffer, projected)
            _moment_sums(vignets[s], weights[s], projected, x[s], y[s], sums)
            shift_x, shift_y = _shift(sums)
            if not (abs(shift_x) < MAX_SHIFT and abs(shift_y) < MAX_SHIFT):
                break
            x[s] += shift_x / 2.0
            y[s] += shift_y / 2.0
            if shift_x * shift_x + shift_y * shift_y < CENTRED:
                converged = True
                break
            if x[s] * x[s] + y[s] * y[s] > MAX_OFFSET2:
                break
        if converged:
            dx[s], dy[s] = np.float32(x[s]), np.float32(y[s])
