"""The frequency lattice: transforms, target widths and the ratio of galaxy and PSF.

Transforms come as products with the tables [cos | sin] on both axes: array t of side 2 `modes`
holds cc = t[y, x], cs = t[y, modes + x], sc = t[modes + y, x], ss = t[modes + y, modes + x].
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, lean_kernel
from purepipe.shapes.fit_nb import Profile, fill_line, fill_plane

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

NOISE_NONE, NOISE_MIN, NOISE_DOUBLE, NOISE_ROT90 = 0, 1, 2, 3
TARGET_AZGAUSS, TARGET_GAUSS, TARGET_FITGAUSS = 0, 1, 2

# Shears of the types in units of the step: noshear, 1p, 1m, 2p, 2m.
SHEARS = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
# Planes of the scratch arrays: all modes of the PSF with centre column modes - 1, then the modes in
# use with centre column half.
PSF_RE, PSF_IM, PSF_POWER, RATIO_RE, RATIO_IM, INVERSE, WHITE_RE, WHITE_IM, RE, IM = range(10)
ROWS, PAIR = range(2)  # of Lattice.places
STAMP, TYPE = range(2)  # of Lattice.jacobians
VARIANCE, WEIGHT, FACTOR = range(3)  # of Lattice.numbers

NODES = 256  # of the table of the noise power against q^2
# Modes are used where the squared target transform exceeds exp(-CUT) = 1e-7.
CUT = 16.11809565095832
# A PSF whose transform exceeds this multiple of its sum (squared) is no PSF.
PSF_POWER_LIMIT = 2.0
POWER_FLOOR = 1e-12
# Pixels more oblong than this, or of an area (arcsec^2) out of these limits, are no pixels.
OBLONG_LIMIT = 4.0
LEAST_AREA, LARGEST_AREA = 1e-12, 1e12
LEAST_RADIUS = 4.0  # modes; a target wider than this allows does not fit into the stamp


class Options(NamedTuple):
    """Numbers that are the same for all objects of a call."""

    modes: int
    dk: float
    final: bool  # False: leave objects that need more modes for another call
    noise: int
    noise_sign: float
    target: int
    step: float
    shape_prior: float  # 1/sigma_g^2
    centre_prior: float  # arcsec; zero: the pixel scale; negative: none
    tolerance: float
    max_iterations: int
    moment_variance: float  # arcsec^2, of the weight of the fallback; zero: no fallback
    profile: Profile
    implicit: bool  # responses by the implicit function theorem
    types: bool  # fits to the sheared images


class Lattice(NamedTuple):
    """Scratch arrays of one object."""

    planes: Floats  # (10, epoch, row, column), first index below
    power: Floats  # (epoch, type, row, column) smooth noise power V
    reach: Integers  # (epoch, row) largest m_x in use
    places: Integers  # (2, epoch) number of rows in use; number of the pair
    jacobians: Floats  # (2, epoch, 2, 2) of the stamp; of the type
    numbers: Floats  # (3, epoch) variance of the target; weight; factor of the noise power
    table: Floats  # (NODES,) V against q^2
    dense: Floats  # (4, epoch, row, column) noise and PSF for rotated noise, else empty
    annuli: Floats  # (7, annulus) ln mean 1/|P|^2, mean q^2, slope, ln V, and three of scratch


@inner_kernel
def make_lattice(epochs: int, modes: int, dense: int) -> Lattice:
    """Scratch arrays for objects of up to `epochs` epochs; `dense` is the side of those planes."""
    width = (2 * modes + 6) // 8 * 8
    return Lattice(
        np.zeros((10, epochs, modes, width)), np.zeros((epochs, 5, modes, width)),
        np.zeros((epochs, modes), np.int64), np.zeros((2, epochs), np.int64),
        np.zeros((2, epochs, 2, 2)), np.zeros((3, epochs)), np.zeros(NODES),
        np.zeros((4, epochs, dense, dense)),
        np.zeros((7, 3 * modes + 8)),
    )  # fmt: skip


@lean_kernel
def pixel_area(jac: Floats) -> float:
    """Area of a pixel, arcsec^2."""
    area: float = abs(jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0])
    return area


@lean_kernel
def largest_scale(jac: Floats) -> float:
    """Largest distance on the sky of one pixel step: the larger singular value."""
    a = 0.5 * (jac[0, 0] ** 2 + jac[0, 1] ** 2 + jac[1, 0] ** 2 + jac[1, 1] ** 2)
    area = pixel_area(jac)
    scale: float = math.sqrt(a + math.sqrt(max(a * a - area * area, 0.0)))
    return scale


@lean_kernel
def is_pixel(jac: Floats) -> bool:
    """Whether a Jacobian can be that of a detector; the sizes of the tables rely on it."""
    area = pixel_area(jac)
    if not LEAST_AREA < area < LARGEST_AREA:
        return False
    scale = largest_scale(jac)
    return scale * scale < OBLONG_LIMIT * area


@lean_kernel
def frequency_form(jac: Floats) -> Any:
    """(a, b, c) with q^2 = a kx^2 + 2 b kx ky + c ky^2 for q = J^-T kappa."""
    det2 = (jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]) ** 2
    a = (jac[0, 1] * jac[0, 1] + jac[1, 1] * jac[1, 1]) / det2
    b = -(jac[0, 0] * jac[0, 1] + jac[1, 0] * jac[1, 1]) / det2
    c = (jac[0, 0] * jac[0, 0] + jac[1, 0] * jac[1, 0]) / det2
    return a, b, c


@lean_kernel
def shear_jacobian(jac: Floats, g1: float, g2: float, out: Floats) -> None:
    """S J for the area-preserving shear S of (g1, g2)."""
    f = 1.0 / math.sqrt(1.0 - g1 * g1 - g2 * g2)
    for j in range(2):
        out[0, j] = f * ((1.0 + g1) * jac[0, j] + g2 * jac[1, j])
        out[1, j] = f * (g2 * jac[0, j] + (1.0 - g1) * jac[1, j])


@lean_kernel
def psf_spectrum(t: Singles, modes: int, re: Floats, im: Floats, power: Floats) -> bool:
    """Transform of the PSF over its sum and its power; False when it cannot be a PSF."""
    total = np.float64(t[0, 0])
    if not (total > 0.0 and math.isfinite(total)):
        return False
    scale = 1.0 / total
    centre = modes - 1
    largest = 0.0
    for row in range(modes):
        for m in range(modes):
            cc, ss = t[row, m] * scale, t[modes + row, modes + m] * scale
            cs, sc = t[row, modes + m] * scale, t[modes + row, m] * scale
            a, b, c, d = cc - ss, -(cs + sc), cc + ss, cs - sc
            p1 = a * a + b * b
            p2 = c * c + d * d
            re[row, centre + m], im[row, centre + m], power[row, centre + m] = a, b, p1
            re[row, centre - m], im[row, centre - m], power[row, centre - m] = c, d, p2
            largest = max(largest, p1, p2)
    return largest < PSF_POWER_LIMIT


@lean_kernel
def _mean_crossing(
    power: Floats, jac: Floats, modes: int, reach: int, dk: float, level: float, annuli: Floats
) -> float:
    """`azimuthal_crossing` from the modes up to `reach` alone; -1 when it needs more."""
    scale = math.sqrt(pixel_area(jac))
    a, b, c = frequency_form(jac)
    total, number, radius = annuli[0], annuli[1], annuli[2]
    fill_line(total, 0.0)
    fill_line(number, 0.0)
    fill_line(radius, 0.0)
    # annuli that these modes fill
    complete = modes
    if reach < modes - 1:
        complete = min(modes, int((reach + 1) * scale / largest_scale(jac) - 0.5))
    for row in range(reach + 1):
        twice = 1.0 if row == 0 else 2.0
        for m in range(-reach, reach + 1):
            r = scale * math.sqrt(a * m * m + 2.0 * b * m * row + c * row * row)
            ring = int(r + 0.5)
            if ring < complete:
                total[ring] += twice * math.sqrt(power[row, modes - 1 + m])
                number[ring] += twice
                radius[ring] += twice * r
    before, r_before = 1.0, 0.0
    for ring in range(1, complete):
        mean = total[ring] / number[ring]
        r = radius[ring] / number[ring]
        if mean < level:
            f = math.log(level / before) / math.log(mean / before)
            crossing: float = (r_before + f * (r - r_before)) * dk / scale
            return crossing
        before, r_before = mean, r
    return -1.0


@lean_kernel
def azimuthal_crossing(
    power: Floats, jac: Floats, modes: int, dk: float, level: float, annuli: Floats
) -> float:
    """World frequency where the azimuthal mean of |P| falls through `level`; -1 when it does not.

    Annuli are one lattice step wide; the crossing is interpolated in ln |P|.
    """
    # first the modes a little beyond the crossings on the axes, which usually suffice
    x, y = 0, 0
    while x < modes - 1 and power[0, modes - 1 + x] > level * level:
        x += 1
    while y < modes - 1 and power[y, modes - 1] > level * level:
        y += 1
    reach = min(max(x, y) + 3, modes - 1)
    crossing = _mean_crossing(power, jac, modes, reach, dk, level, annuli)
    if crossing < 0.0 and reach < modes - 1:
        crossing = _mean_crossing(power, jac, modes, modes - 1, dk, level, annuli)
    return crossing


@lean_kernel
def first_crossing(re: Floats, jac: Floats, modes: int, dk: float, level: float) -> float:
    """Smallest world frequency of a mode with Re P below `level`; -1 when there is none."""
    a, b, c = frequency_form(jac)
    least = np.inf
    for row in range(modes):
        for i in range(2 * modes - 1):
            m = i - modes + 1
            if re[row, i] < level:
                least = min(least, a * m * m + 2.0 * b * m * row + c * row * row)
    return math.sqrt(least) * dk if math.isfinite(least) else -1.0


@lean_kernel
def target_sigma(
    re: Floats, power: Floats, psf_par: Floats, psf_flags: int, jac: Floats, annuli: Floats,
    options: Options,
) -> float:  # fmt: skip
    """Width of the Gaussian target PSF by its rule, arcsec, dilation included; -1 when unknown."""
    dilation = 1.0 + 2.0 * options.step
    if options.target == TARGET_FITGAUSS:
        size = psf_par[4]
        if psf_flags != 0 or not size > 0.0:
            return -1.0
        g = psf_par[2] * psf_par[2] + psf_par[3] * psf_par[3]
        longest = 1.0 + 2.0 * math.sqrt(g) / (1.0 + g)  # larger eigenvalue over T/2
        widen = min(1.1, 1.0 + 2.0 * (math.sqrt(longest) - 1.0))
        return math.sqrt(0.5 * size * widen) * dilation
    if options.target == TARGET_GAUSS:
        q = first_crossing(re, jac, options.modes, options.dk, 0.01)
        depth = 0.003
    else:
        q = azimuthal_crossing(power, jac, options.modes, options.dk, 0.03, annuli)
        depth = 0.009
    return math.sqrt(-2.0 * math.log(depth)) / q * dilation if q > 0.0 else -1.0


@lean_kernel
def set_reach(lattice: Lattice, epoch: int, radius: float) -> None:
    """Largest m_x of every row inside the disc of modes in use, in lattice steps."""
    rows = int(radius) + 1
    lattice.places[ROWS, epoch] = rows
    for row in range(rows):
        lattice.reach[epoch, row] = int(math.sqrt(radius * radius - row * row))


@lean_kernel
def move_origin(
    re: Floats, im: Floats, rows: int, reach: Integers, half: int, dk: float, x: float, y: float
) -> None:
    """Move the origin by (x, y) pixels from the stamp's centre: times exp(i kappa.(x, y))."""
    c1, s1 = math.cos(dk * x), math.sin(dk * x)
    for row in range(rows):
        first = -reach[row]
        c, s = math.cos(dk * (first * x + row * y)), math.sin(dk * (first * x + row * y))
        for m in range(first, reach[row] + 1):
            j = half + m
            a, b = re[row, j], im[row, j]
            re[row, j] = a * c - b * s
            im[row, j] = a * s + b * c
            c, s = c * c1 - s * s1, c * s1 + s * c1


@lean_kernel
def divide(
    t: Singles, modes: int, half: int, rows: int, reach: Integers, psf_re: Floats, psf_im: Floats,
    psf_power: Floats, re: Floats, im: Floats, inverse: Floats,
) -> None:  # fmt: skip
    """Ratio of the transforms of galaxy and PSF, and 1/|P|^2; zero beyond the reach."""
    fill_plane(re, 0.0)
    fill_plane(im, 0.0)
    fill_plane(inverse, 0.0)
    # unsigned, or checks for negative indices would prevent vector instructions
    to_psf, to_ratio, step = np.uint64(modes - 1), np.uint64(half), np.uint64(modes)
    for row in range(rows):
        number = np.uint64(reach[row] + 1)
        for m in range(number):
            i, j = to_psf + m, to_ratio + m
            a = np.float64(t[row, m]) - t[modes + row, step + m]
            b = -np.float64(t[row, step + m]) - t[modes + row, m]
            c, d = psf_re[row, i], psf_im[row, i]
            f = 1.0 / max(psf_power[row, i], POWER_FLOOR)
            re[row, j] = (a * c + b * d) * f
            im[row, j] = (b * c - a * d) * f
            inverse[row, j] = f
        for m in range(number):
            i, j = to_psf - m, to_ratio - m
            a = np.float64(t[row, m]) + t[modes + row, step + m]
            b = np.float64(t[row, step + m]) - t[modes + row, m]
            c, d = psf_re[row, i], psf_im[row, i]
            f = 1.0 / max(psf_power[row, i], POWER_FLOOR)
            re[row, j] = (a * c + b * d) * f
            im[row, j] = (b * c - a * d) * f
            inverse[row, j] = f
