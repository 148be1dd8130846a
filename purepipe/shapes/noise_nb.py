"""Noise that makes the total noise of the five types equal, and isotropic on the sky.

White noise of variance sigma^2 has power sigma^2 N^2/|P|^2 in the ratio D; the kernels add noise of
power sigma^2 N^2 (V - 1/|P|^2), V a smooth function of the world frequency |q| alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel, kernel, lean_kernel
from purepipe.shapes.fit_nb import copy_line, fill_line, fill_plane
from purepipe.shapes.lattice_nb import (
    IM,
    INVERSE,
    NODES,
    NOISE_MIN,
    PSF_IM,
    PSF_POWER,
    PSF_RE,
    RATIO_IM,
    RATIO_RE,
    RE,
    ROWS,
    SHEARS,
    STAMP,
    TYPE,
    VARIANCE,
    Lattice,
    Options,
    frequency_form,
    pixel_area,
    shear_jacobian,
)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

DENSER = 2.0  # of the planes that rotated noise is read from, against the lattice
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX1 = np.uint64(0xBF58476D1CE4E5B9)
MIX2 = np.uint64(0x94D049BB133111EB)


@lean_kernel
def mix(x: np.uint64) -> np.uint64:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014, OOPSLA)."""
    x = (x ^ (x >> np.uint64(30))) * MIX1
    x = (x ^ (x >> np.uint64(27))) * MIX2
    return x ^ (x >> np.uint64(31))


@lean_kernel
def white_field(
    seed: np.uint64, epoch: int, sign: float, half: int, rows: int, reach: Integers, re: Floats,
    im: Floats,
) -> None:  # fmt: skip
    """Hermitian white noise with unit variance of real and imaginary part of each mode.

    Every mode has its own number, so the field does not depend on how many modes are in use.
    Uniform deviates suffice: the field in real space is Gaussian by the central limit theorem.
    """
    unit = sign * math.sqrt(3.0) * 2.0**-31
    for row in range(rows):
        for m in range(-reach[row], reach[row] + 1):
            number = np.uint64((epoch * 4096 + row) * 8192 + 4096 + m)
            x = mix(seed + GOLDEN * number)
            re[row, half + m] = unit * (np.float64(x >> np.uint64(32)) - 2147483647.5)
            im[row, half + m] = unit * (np.float64(x & np.uint64(0xFFFFFFFF)) - 2147483647.5)
    re[0, half] *= math.sqrt(2.0)
    im[0, half] = 0.0
    for m in range(1, reach[0] + 1):
        re[0, half - m] = re[0, half + m]
        im[0, half - m] = -im[0, half + m]


@fast_kernel
def mode_radii(
    rows: int, half: int, jac: Floats, kx: Floats, dk: float, squares: Floats, rings: Floats
) -> None:
    """World frequencies of all modes in steps of the lattice: their squares, and annuli + 1/2."""
    scale = math.sqrt(pixel_area(jac))
    a, b, c = frequency_form(jac)
    unit = 1.0 / dk
    for row in range(rows):
        for i in range((2 * half + 8) // 8 * 8):
            m = kx[i] * unit
            r2 = a * m * m + 2.0 * b * m * row + c * row * row
            squares[row, i] = r2
            rings[row, i] = scale * math.sqrt(max(r2, 0.0)) + 0.5


@lean_kernel
def noise_annuli(
    inverse: Floats, rows: int, reach: Integers, half: int, dk: float, squares: Floats,
    rings: Floats, annuli: Floats,
) -> int:  # fmt: skip
    """Mean 1/|P|^2 and q^2 in annuli of one lattice step, and the slope; returns the last one."""
    mean, q2, number = annuli[0], annuli[1], annuli[2]
    fill_plane(annuli, 0.0)
    last = 0
    for row in range(rows):
        twice = 1.0 if row == 0 else 2.0
        for i in range(half - reach[row], half + reach[row] + 1):
            ring = int(rings[row, i])
            mean[ring] += twice * inverse[row, i]
            q2[ring] += twice * squares[row, i]
            number[ring] += twice
            last = max(last, ring)
    for ring in range(last + 1):
        mean[ring] = math.log(mean[ring] / number[ring])
        q2[ring] *= dk * dk / number[ring]
    slope = annuli[2]
    slope[0] = 0.0
    for ring in range(1, last):
        inner = max(q2[ring - 1], 0.25 * q2[ring])
        slope[ring] = 2.0 * (mean[ring + 1] - mean[ring - 1]) / math.log(q2[ring + 1] / inner)
    slope[last] = 2.0 * (mean[last] - mean[last - 1]) / math.log(q2[last] / q2[last - 1])
    return last


@fast_kernel
def _sum_ellipticity(
    inverse: Floats, rows: int, half: int, dk: float, jac: Floats, kx: Floats, squares: Floats,
    rings: Floats, level: Floats, power: Floats, place: Floats, out: Floats,
) -> None:  # fmt: skip
    """Sums of the regression of `level_ellipticity`."""
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    ixu, ixv, iyu, iyv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
    n1, n2, d1, d2 = 0.0, 0.0, 1e-30, 1e-30
    unit = 1.0 / dk
    for row in range(rows):
        for i in range((2 * half + 8) // 8 * 8):
            # unsigned, or a check for negative indices would prevent vector instructions
            ring = np.uint32(rings[row, i])
            p = power[ring]
            m = kx[i] * unit
            qu = ixu * m + iyu * row
            qv = ixv * m + iyv * row
            r2 = squares[row, i]
            # the mean at this radius follows from that of the annulus by its power law
            t = r2 * place[ring] - 1.0
            expected = 1.0 + p * t * (1.0 + 0.5 * (p - 1.0) * t)
            y = inverse[row, i] * level[ring] / expected - 1.0
            f = 2.0 * p / max(r2, 1e-300) if inverse[row, i] > 0.0 else 0.0
            x1 = f * (qu * qu - qv * qv)
            x2 = 2.0 * f * qu * qv
            n1 += x1 * y
            d1 += x1 * x1
            n2 += x2 * y
            d2 += x2 * x2
    out[0], out[1], out[2], out[3] = n1, n2, d1, d2


@lean_kernel
def level_ellipticity(
    inverse: Floats, rows: int, half: int, dk: float, jac: Floats, kx: Floats, squares: Floats,
    rings: Floats, annuli: Floats, last: int,
) -> float:  # fmt: skip
    """Ellipticity of the level lines of |P|, by regression of 1/|P|^2 on cos, sin 2 phi.

    The innermost annuli and the last one are left out, by a power of zero.
    """
    level, power, place, sums = annuli[3], annuli[4], annuli[5], annuli[6]
    for ring in range(last + 1):
        level[ring] = math.exp(-annuli[0, ring])
        power[ring] = 0.5 * annuli[2, ring] if 3 <= ring < last else 0.0
        place[ring] = dk * dk / annuli[1, ring]
    for ring in range(last + 1, level.size):  # the corners beyond
        level[ring], power[ring], place[ring] = 1.0, 0.0, 0.0
    place[0] = 0.0
    _sum_ellipticity(
        inverse, rows, half, dk, jac, kx, squares, rings, level, power, place, sums
    )  # fmt: skip
    return math.sqrt((sums[0] / sums[2]) ** 2 + (sums[1] / sums[3]) ** 2)


@lean_kernel
def tabulate(annuli: Floats, last: int, table: Floats) -> float:
    """Exponential of ln V, cubic in q^2 between annuli, on NODES nodes; returns their spacing."""
    q2, log_v = annuli[1], annuli[3]
    spacing: float = 1.2 * q2[last] / (NODES - 1)
    first = 0
    c1, c2, c3 = 0.0, 0.0, 0.0
    ring = -1
    for node in range(NODES):
        x = node * spacing
        while first < last - 1 and q2[first + 1] < x:
            first += 1
        k = max(1, min(first, last - 2))
        if k != ring:  # Newton's divided differences of the four annuli around
            ring = k
            d01 = (log_v[k] - log_v[k - 1]) / (q2[k] - q2[k - 1])
            d12 = (log_v[k + 1] - log_v[k]) / (q2[k + 1] - q2[k])
            d23 = (log_v[k + 2] - log_v[k + 1]) / (q2[k + 2] - q2[k + 1])
            d02 = (d12 - d01) / (q2[k + 1] - q2[k - 1])
            d13 = (d23 - d12) / (q2[k + 2] - q2[k])
            c1, c2, c3 = d01, d02, (d13 - d02) / (q2[k + 2] - q2[k - 1])
        rest = c1 + (x - q2[k]) * (c2 + (x - q2[k + 1]) * c3)
        table[node] = math.exp(log_v[k - 1] + (x - q2[k - 1]) * rest)
    return spacing


@fast_kernel
def _power_at_type(
    inverse: Floats, table: Floats, spacing: float, jac: Floats, limit: float, kx: Floats,
    dk: float, rows: int, reach: Integers, half: int, power: Floats, ratio: Floats,
) -> None:  # fmt: skip
    """V(|q|) at the frequencies of one type; `ratio` keeps the largest 1/(|P|^2 V) of a column."""
    a, b, c = frequency_form(jac)
    f = dk * dk / spacing
    a, b, c, unit = a * f, 2.0 * b * f, c * f, 1.0 / dk
    one, last = np.uint64(1), np.uint64(NODES - 2)
    for row in range(rows):
        # unsigned, or checks for negative indices would prevent vector instructions
        first, beyond = np.uint64(half - reach[row]), np.uint64(half + reach[row] + 1)
        linear, constant = b * row, c * row * row
        for i in range(first, beyond):
            m = kx[i] * unit
            y = (a * m + linear) * m + constant
            node = min(np.uint64(y), last)
            v = table[node]
            power[row, i] = v + (y - node) * (table[node + one] - v)
        # a loop of its own: the look-up above is no work for vector instructions
        for i in range(first, beyond):
            m = kx[i] * unit
            y = (a * m + linear) * m + constant
            # beyond three widths of the target the modes carry no weight
            r = inverse[row, i] / power[row, i] if y < limit else 0.0
            ratio[i] = max(ratio[i], r)


@lean_kernel
def power_at_types(
    inverse: Floats, table: Floats, spacing: float, jac: Floats, step: float, target: float,
    kx: Floats, dk: float, rows: int, reach: Integers, half: int, power: Floats,
    sheared: Floats, ratio: Floats,
) -> float:  # fmt: skip
    """V(|q|) at the frequencies of each type; returns the largest 1/(|P|^2 V), at least 1."""
    limit = 9.0 / (target * spacing)
    fill_line(ratio, 1.0)
    for kind in range(5):
        shear_jacobian(jac, SHEARS[kind, 0] * step, SHEARS[kind, 1] * step, sheared)
        _power_at_type(
            inverse, table, spacing, sheared, limit, kx, dk, rows, reach, half, power[kind], ratio
        )
    largest = 1.0
    for value in ratio:
        largest = max(largest, value)
    return largest


@lean_kernel
def noise_power(
    epoch: int, lattice: Lattice, half: int, target: float, kx: Floats, options: Options
) -> float:
    """Fill the smooth power V of one epoch for the five types; returns its factor.

    The planes of the PSF, which are of no use any more, hold what all parts need of the modes.
    """
    inverse, rows, reach = (
        lattice.planes[INVERSE, epoch],
        lattice.places[ROWS, epoch],
        lattice.reach[epoch],
    )
    squares, rings = lattice.planes[PSF_RE, epoch], lattice.planes[PSF_IM, epoch]
    jac, annuli, dk = lattice.jacobians[STAMP, epoch], lattice.annuli, options.dk
    mode_radii(rows, half, jac, kx, dk, squares, rings)
    last = noise_annuli(inverse, rows, reach, half, dk, squares, rings, annuli[:4])
    if options.noise == NOISE_MIN:
        h = level_ellipticity(inverse, rows, half, dk, jac, kx, squares, rings, annuli, last)
        h += 1.1 * options.step
        for ring in range(last + 1):
            annuli[3, ring] = annuli[0, ring] + max(annuli[2, ring], 0.0) * h + 0.05
    else:
        copy_line(annuli[0], annuli[3])
    spacing = tabulate(annuli, last, lattice.table)
    largest = power_at_types(
        inverse, lattice.table, spacing, jac, options.step, target, kx, dk, rows, reach,
        half, lattice.power[epoch], lattice.jacobians[TYPE, epoch],
        lattice.planes[PSF_POWER, epoch, 0],
    )  # fmt: skip
    return largest if options.noise == NOISE_MIN else 2.0


@fast_kernel
def add_white(
    ratio_re: Floats, ratio_im: Floats, inverse: Floats, white_re: Floats, white_im: Floats,
    power: Floats, factor: float, amplitude: float, rows: int, reach: Integers, half: int,
    re: Floats, im: Floats,
) -> None:  # fmt: skip
    """Ratio plus white noise of power factor V - 1/|P|^2."""
    for row in range(rows):
        # unsigned, or a check for negative indices would prevent vector instructions
        first = np.uint64(half - reach[row])
        for i in range(np.uint64(2 * reach[row] + 1)):
            j = first + i
            a = amplitude * math.sqrt(max(factor * power[row, j] - inverse[row, j], 0.0))
            re[row, j] = ratio_re[row, j] + a * white_re[row, j]
            im[row, j] = ratio_im[row, j] + a * white_im[row, j]


@lean_kernel
def normal_pair(seed: np.uint64, number: int) -> Any:
    """Two independent normal deviates (Box & Muller 1958)."""
    x = mix(seed + GOLDEN * np.uint64(number))
    radius = math.sqrt(-2.0 * math.log((np.float64(x >> np.uint64(32)) + 0.5) * 2.0**-32))
    angle = 2.0 * math.pi * np.float64(x & np.uint64(0xFFFFFFFF)) * 2.0**-32
    return radius * math.cos(angle), radius * math.sin(angle)


@inner_kernel
def unfold(t: Singles, re: Floats, im: Floats) -> None:
    """Transform about the centre of the plane, from the products with cosines and sines."""
    modes, centre = t.shape[0] // 2, re.shape[0] // 2
    for j in range(-centre, centre + 1):
        for i in range(-centre, centre + 1):
            y, x = abs(j), abs(i)
            sy, sx = (1.0 if j > 0 else -1.0), (1.0 if i > 0 else -1.0)
            cc, ss = np.float64(t[y, x]), np.float64(t[modes + y, modes + x])
            cs, sc = np.float64(t[y, modes + x]), np.float64(t[modes + y, x])
            re[centre + j, centre + i] = cc - sx * sy * ss
            im[centre + j, centre + i] = -(sx * cs + sy * sc)


@fast_kernel
def transform_at(re: Floats, im: Floats, kx: float, ky: float, taps: Floats) -> Any:
    """Transform at any frequency (in steps of the plane), from its neighbours.

    Frequencies beyond the plane, where no mode has a weight, are read at its edge.
    """
    width, phases = taps.shape[1], taps.shape[0] - 1
    centre = re.shape[0] // 2
    limit = centre - width
    kx, ky = min(max(kx, -limit), limit), min(max(ky, -limit), limit)
    column, row = math.floor(kx), math.floor(ky)
    x, y = (kx - column) * phases, (ky - row) * phases
    i, j = min(int(x), phases - 1), min(int(y), phases - 1)
    x, y = x - i, y - j
    left = int(column) + centre - width // 2 + 1
    bottom = int(row) + centre - width // 2 + 1
    a, b = 0.0, 0.0
    for n in range(width):
        r, s = 0.0, 0.0
        for m in range(width):
            tap = taps[i, m] + x * (taps[i + 1, m] - taps[i, m])
            r += tap * re[bottom + n, left + m]
            s += tap * im[bottom + n, left + m]
        tap = taps[j, n] + y * (taps[j + 1, n] - taps[j, n])
        a += tap * r
        b += tap * s
    return a, b


@inner_kernel
def add_rotated(
    lattice: Lattice, epoch: int, half: int, dk: float, total: float, taps: Floats, sign: float
) -> None:
    """Ratio plus a noise stamp that was processed with the axes turned by 90 degrees.

    The noise stamp is rotated, deconvolved, sheared and reconvolved as the galaxy is, and rotated
    back; at the pixel frequency w = Sp^-T kappa, Sp = J^-1 S J, this is n(R w') / P(w') with
    w' = Sp^T R^-1 w, times the ratio of the target transforms at R^-1 w and at w.
    """
    jac, sheared = lattice.jacobians[STAMP, epoch], lattice.jacobians[TYPE, epoch]
    noise_re, noise_im = lattice.dense[0, epoch], lattice.dense[1, epoch]
    psf_re, psf_im = lattice.dense[2, epoch], lattice.dense[3, epoch]
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    sp = np.empty((2, 2))
    for j in range(2):
        sp[0, j] = (jac[1, 1] * sheared[0, j] - jac[0, 1] * sheared[1, j]) / det
        sp[1, j] = (jac[0, 0] * sheared[1, j] - jac[1, 0] * sheared[0, j]) / det
    det = sp[0, 0] * sp[1, 1] - sp[0, 1] * sp[1, 0]
    qa, qb, qc = frequency_form(jac)
    scale = 0.5 * lattice.numbers[VARIANCE, epoch] * dk * dk
    for row in range(lattice.places[ROWS, epoch]):
        for m in range(-lattice.reach[epoch, row], lattice.reach[epoch, row] + 1):
            wx = (sp[1, 1] * m - sp[1, 0] * row) / det
            wy = (sp[0, 0] * row - sp[0, 1] * m) / det
            tx, ty = wy, -wx  # R^-1 w
            sx, sy = sp[0, 0] * tx + sp[1, 0] * ty, sp[0, 1] * tx + sp[1, 1] * ty
            a, b = transform_at(noise_re, noise_im, -DENSER * sy, DENSER * sx, taps)
            c, d = transform_at(psf_re, psf_im, DENSER * sx, DENSER * sy, taps)
            here = qa * wx * wx + 2.0 * qb * wx * wy + qc * wy * wy
            there = qa * tx * tx + 2.0 * qb * tx * ty + qc * ty * ty
            f = sign * math.exp(scale * (here - there)) * total / (c * c + d * d)
            j = half + m
            lattice.planes[RE, epoch, row, j] = lattice.planes[RATIO_RE, epoch, row, j] + f * (
                a * c + b * d
            )
            lattice.planes[IM, epoch, row, j] = lattice.planes[RATIO_IM, epoch, row, j] + f * (
                b * c - a * d
            )


@kernel
def fill_bad(
    images: Singles, bad: NDArray[np.bool_], sigmas: Floats, seeds: NDArray[np.uint64],
    epochs: Integers,
) -> None:  # fmt: skip
    """Replace bad pixels by normal noise, in place; every pixel has its own number."""
    size = images.shape[1] * images.shape[2]
    for pair in range(images.shape[0]):
        for j in range(images.shape[1]):
            for i in range(images.shape[2]):
                if bad[pair, j, i]:
                    number = epochs[pair] * size + j * images.shape[2] + i
                    deviate, _ = normal_pair(mix(seeds[pair]), number)
                    images[pair, j, i] = sigmas[pair] * deviate


@kernel
def fill_noise(
    images: Singles, sigmas: Floats, seeds: NDArray[np.uint64], epochs: Integers
) -> None:
    """Write white normal noise into stamps."""
    size = images.shape[1] * images.shape[2]
    for pair in range(images.shape[0]):
        for j in range(images.shape[1]):
            for i in range(images.shape[2]):
                number = epochs[pair] * size + j * images.shape[2] + i
                images[pair, j, i] = sigmas[pair] * normal_pair(~mix(seeds[pair]), number)[0]
