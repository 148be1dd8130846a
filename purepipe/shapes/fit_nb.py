"""Sums, likelihood and optimiser of sums of Gaussians in Fourier space, joint over epochs.

The data of one epoch are the ratio D of the transforms of galaxy and PSF on the half plane of the
lattice kappa = dk (m_x, m_y), m_y = 0 .. rows-1, with m_x in column m_x + half; columns beyond
2 half + 1 pad the rows to a multiple of eight and hold zeros. The target PSF enters through its
variance alone. World frequencies are q = J^-T kappa.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel, lean_kernel
from purepipe.flags import ShapeFlag

Floats = NDArray[np.float64]

SINGULAR = int(ShapeFlag.SINGULAR)
MAX_ITERATIONS = int(ShapeFlag.MAX_ITERATIONS)
BAD_START = int(ShapeFlag.BAD_START)
BAD_RESULT = int(ShapeFlag.BAD_RESULT)

IMPOSSIBLE = 1e300  # chi-square of parameters outside the allowed range
# Exponents of the row recurrence stay below this, so that nothing under- or overflows.
SAFE_EXPONENT = 350.0
# Components wider than this (variance in units of the squared period) see their images at
# neighbouring periods; none may be wider than the larger one, where more images would count.
NARROW, WIDEST = 0.011, 0.25
IMAGES = 2  # periods to each side
LONGEST_GROWTH = 2.0  # of T in one step, in units of T and the variance of the target
# Modes whose Gaussian factor is below exp(-NEGLIGIBLE) = 1.4e-11 contribute nothing.
NEGLIGIBLE = 25.0


class Profile(NamedTuple):
    """A galaxy profile as a sum of Gaussians of common centre and axis ratio.

    Component k has the share parts[0, k] + fraction parts[1, k] of the flux and parts[2, k] times
    the covariance; `free` says whether the fraction is a parameter of the fit.
    """

    parts: Floats  # (3, component); one array, since arguments are copied at every call
    free: bool


class Stack(NamedTuple):
    """The data of one object: epochs first.

    re, im: (epoch, row, column) ratio D. rows: number of rows in use. jacobian: d(u,v)/d(x,y).
    target: variance of the target PSF, arcsec^2. weight: inverse variance of one pixel.
    half: largest m_x. dk: lattice step, radian per pixel.
    """

    re: Floats
    im: Floats
    rows: NDArray[np.int64]
    jacobian: Floats
    target: Floats
    weight: Floats
    half: int
    dk: float
    profile: Profile


class Priors(NamedTuple):
    """Inverse squares of the prior widths: 1/sigma_g^2 and 1/arcsec^2; zero means no prior."""

    shape: float
    centre: float


# Prior of the bulge's fraction of the flux, where that is free.
FRACTION_MEAN, FRACTION_WEIGHT = 0.5, 0.1**-2


class Space(NamedTuple):
    """Scratch arrays of the fit of one object, for up to 7 parameters."""

    lines: Floats  # (5, width)
    sums: Floats  # (6,) S0, Sx, Sy, Sxx, Sxy, Syy
    data: Floats  # (7,) the same summed over components, and S0 with the slopes
    model: Floats  # (22,) sums of squared model, see `_model_sums`, and 4 for its use
    force: Floats  # (7,) in (u0, v0, Cuu, Cuv, Cvv, F, fraction)
    normal: Floats  # (7, 7), same
    chain: Floats  # (3, 3) d(Cuu, Cuv, Cvv)/d(g1, g2, T)
    vectors: Floats  # (5, 7)
    matrices: Floats  # (4, 7, 7)


@inner_kernel
def make_space(width: int) -> Space:
    """Scratch arrays for rows of `width` columns."""
    return Space(
        np.zeros((5, width)), np.zeros(6), np.zeros(7), np.zeros(22), np.zeros(7),
        np.zeros((7, 7)), np.zeros((3, 3)), np.zeros((5, 7)), np.zeros((4, 7, 7)),
    )  # fmt: skip


@lean_kernel
def fill_line(line: Floats, value: float) -> None:
    """Write one value everywhere; a slice assignment would compile ten times as long."""
    for i in range(line.shape[0]):
        line[i] = value


@lean_kernel
def fill_plane(plane: Floats, value: float) -> None:
    """Write one value everywhere."""
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            plane[j, i] = value


@lean_kernel
def copy_line(source: Floats, target: Floats) -> None:
    """Copy the elements."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@lean_kernel
def copy_plane(source: Floats, target: Floats) -> None:
    """Copy the elements."""
    for j in range(source.shape[0]):
        for i in range(source.shape[1]):
            target[j, i] = source[j, i]


@lean_kernel
def factorise(matrix: Floats, lower: Floats, size: int) -> bool:
    """Cholesky factor of a positive definite matrix; False when it is not."""
    for i in range(size):
        for j in range(i + 1):
            s = matrix[i, j]
            for k in range(j):
                s -= lower[i, k] * lower[j, k]
            if i == j:
                if not s > 0.0:
                    return False
                lower[i, i] = math.sqrt(s)
            else:
                lower[i, j] = s / lower[j, j]
    return True


@lean_kernel
def substitute(lower: Floats, vector: Floats, solution: Floats, size: int) -> None:
    """Solve a system whose Cholesky factor is known."""
    for i in range(size):
        s = vector[i]
        for k in range(i):
            s -= lower[i, k] * solution[k]
        solution[i] = s / lower[i, i]
    for i in range(size - 1, -1, -1):
        s = solution[i]
        for k in range(i + 1, size):
            s -= lower[k, i] * solution[k]
        solution[i] = s / lower[i, i]


@lean_kernel
def solve(matrix: Floats, vector: Floats, lower: Floats, solution: Floats, size: int) -> bool:
    """Solve a positive definite system by Cholesky; False when it is not."""
    if not factorise(matrix, lower, size):
        return False
    substitute(lower, vector, solution, size)
    return True


@lean_kernel
def invert(matrix: Floats, lower: Floats, unit: Floats, inverse: Floats, size: int) -> bool:
    """Inverse of a positive definite matrix; NaN and False when it is not."""
    if not factorise(matrix, lower, size):
        fill_plane(inverse, np.nan)
        return False
    for i in range(size):
        for j in range(size):
            unit[j] = 1.0 if i == j else 0.0
        substitute(lower, unit, inverse[i], size)
    return True


@lean_kernel
def set_frequencies(lines: Floats, half: int, dk: float) -> None:
    """Write kx and its square of every column; call it when `half` changes."""
    fill_line(lines[3], 0.0)
    fill_line(lines[4], 0.0)
    for i in range(2 * half + 1):
        k = (i - half) * dk
        lines[3, i] = k * k
        lines[4, i] = k


@fast_kernel
def _prepare_lines(lines: Floats, half: int, dk: float, axx: float, axy: float, x: float) -> None:
    """Envelope exp(-axx kx^2/2) times exp(i kx x), and its growth from row to row."""
    decay = math.exp(-0.5 * axx * dk * dk)
    ratio = decay * decay
    factor = math.exp(-axy * dk * dk)
    inverse = 1.0 / factor
    c1 = math.cos(x * dk)
    s1 = math.sin(x * dk)
    lines[0, half] = 1.0
    lines[1, half] = 1.0
    lines[2, half] = 0.0
    envelope, up, down, c, s = 1.0, 1.0, 1.0, 1.0, 0.0
    for m in range(1, half + 1):
        envelope *= decay
        decay *= ratio
        up *= factor
        down *= inverse
        c, s = c * c1 - s * s1, c * s1 + s * c1
        lines[0, half + m] = envelope * c
        lines[0, half - m] = envelope * c
        lines[1, half + m] = up
        lines[1, half - m] = down
        lines[2, half + m] = envelope * s
        lines[2, half - m] = -envelope * s
    # stale padding could grow to infinity, which zero data would turn into NaN
    for i in range(2 * half + 1, lines.shape[1]):
        lines[0, i] = 0.0
        lines[1, i] = 0.0
        lines[2, i] = 0.0


@fast_kernel
def _sum_rows(
    re: Floats, im: Floats, rows: int, half: int, dk: float, ayy: float, y: float,
    lines: Floats, out: Floats,
) -> None:  # fmt: skip
    """The six sums, row by row; the envelope of a row follows from the previous one."""
    width = (2 * half + 8) // 8 * 8
    vr, growth, vi, kx, kxx = lines[0], lines[1], lines[2], lines[4], lines[3]
    c1 = math.cos(y * dk)
    s1 = math.sin(y * dk)
    c, s = 1.0, 0.0
    decay = math.exp(-0.5 * ayy * dk * dk)
    ratio = decay * decay
    envelope = 1.0
    t0, tx, ty, txx, txy, tyy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for row in range(rows):
        r0, i0, r1, i1, r2, i2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(width):
            wr, wi = vr[i], vi[i]
            k, kk, g = kx[i], kxx[i], growth[i]
            a = re[row, i] * wr - im[row, i] * wi
            b = re[row, i] * wi + im[row, i] * wr
            vr[i] = wr * g
            vi[i] = wi * g
            r0 += a
            i0 += b
            r1 += a * k
            i1 += b * k
            r2 += a * kk
            i2 += b * kk
        # The other half plane is the complex conjugate; row 0 is its own.
        e = envelope if row == 0 else 2.0 * envelope
        wr = e * c
        wi = e * s
        ky = row * dk
        t0 += r0 * wr - i0 * wi
        ty += ky * (r0 * wi + i0 * wr)
        tyy += ky * ky * (r0 * wr - i0 * wi)
        tx += r1 * wi + i1 * wr
        txy += ky * (r1 * wr - i1 * wi)
        txx += r2 * wr - i2 * wi
        envelope *= decay
        decay *= ratio
        c, s = c * c1 - s * s1, c * s1 + s * c1
    out[0], out[1], out[2], out[3], out[4], out[5] = t0, tx, ty, txx, txy, tyy


@lean_kernel
def _sum_directly(
    re: Floats, im: Floats, rows: int, half: int, dk: float, axx: float, axy: float, ayy: float,
    x: float, y: float, out: Floats,
) -> None:  # fmt: skip
    """The six sums with one exponential per mode, for shapes that overflow the recurrence."""
    fill_line(out, 0.0)
    for row in range(rows):
        ky = row * dk
        twice = 1.0 if row == 0 else 2.0
        for i in range(2 * half + 1):
            k = (i - half) * dk
            power = 0.5 * (axx * k * k + 2.0 * axy * k * ky + ayy * ky * ky)
            if power > NEGLIGIBLE:
                continue
            w = twice * math.exp(-power)
            c = math.cos(k * x + ky * y)
            s = math.sin(k * x + ky * y)
            a = w * (re[row, i] * c - im[row, i] * s)
            b = w * (re[row, i] * s + im[row, i] * c)
            out[0] += a
            out[1] += k * b
            out[2] += ky * b
            out[3] += k * k * a
            out[4] += k * ky * a
            out[5] += ky * ky * a


@lean_kernel
def mode_sums(
    re: Floats, im: Floats, rows: int, half: int, dk: float, axx: float, axy: float, ayy: float,
    x: float, y: float, lines: Floats, out: Floats,
) -> None:  # fmt: skip
    """S0 = Re sum f, S_j = Im sum k_j f, S_jk = Re sum k_j k_k f, with f = E exp(i k.p) D.

    E = exp(-k^T a k / 2), k in radian per pixel, p = (x, y) in pixels, over the full plane.
    """
    rho2 = axy * axy / (axx * ayy)
    kmax = rows * dk
    if ayy * (1.0 - rho2) * kmax * kmax > 2.0 * NEGLIGIBLE:
        rows = min(rows, int(math.sqrt(2.0 * NEGLIGIBLE / (ayy * (1.0 - rho2))) / dk) + 2)
        kmax = rows * dk
    steepest = max(0.5 * ayy * rho2 * kmax * kmax, abs(axy) * dk * dk * half)
    if steepest < SAFE_EXPONENT:
        _prepare_lines(lines, half, dk, axx, axy, x)
        _sum_rows(re, im, rows, half, dk, ayy, y, lines, out)
    else:
        _sum_directly(re, im, rows, half, dk, axx, axy, ayy, x, y, out)


@lean_kernel
def _data_sums(
    re: Floats, im: Floats, rows: int, half: int, dk: float, jac: Floats, var: float,
    parts: Floats, u0: float, v0: float, cuu: float, cuv: float, cvv: float, fraction: float,
    lines: Floats, sums: Floats, data: Floats,
) -> None:  # fmt: skip
    """The six sums with the whole profile: the second moments times the scales of its parts."""
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    # p = inverse(J) u, so i.. maps offsets to pixels and its transpose maps kappa to q
    ixu, ixv, iyu, iyv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
    twice = 2.0 * var
    fill_line(data, 0.0)
    for k in range(parts.shape[1]):
        scale = parts[2, k]
        share = parts[0, k] + fraction * parts[1, k]
        wuu, wuv, wvv = scale * cuu + twice, scale * cuv, scale * cvv + twice
        axx = ixu * ixu * wuu + 2.0 * ixu * ixv * wuv + ixv * ixv * wvv
        ayy = iyu * iyu * wuu + 2.0 * iyu * iyv * wuv + iyv * iyv * wvv
        axy = ixu * iyu * wuu + (ixu * iyv + ixv * iyu) * wuv + ixv * iyv * wvv
        mode_sums(
            re, im, rows, half, dk, axx, axy, ayy, ixu * u0 + ixv * v0, iyu * u0 + iyv * v0, lines,
            sums,
        )  # fmt: skip
        data[0] += share * sums[0]
        data[1] += share * sums[1]
        data[2] += share * sums[2]
        data[3] += share * scale * sums[3]
        data[4] += share * scale * sums[4]
        data[5] += share * scale * sums[5]
        data[6] += parts[1, k] * sums[0]


@lean_kernel
def _images_of_lattice(
    huu: float, huv: float, hvv: float, jac: Floats, period: float, factors: Floats
) -> None:
    """Factor of the sum, and additions to its moments, for a Gaussian as wide as the lattice.

    The sum over a lattice of frequencies is the integral plus its images at all periods (Poisson):
    exp(-r^T h r / 2) for the period r, with moments h - (h r)(h r)^T.
    """
    fill_line(factors, 0.0)
    for ny in range(IMAGES + 1):
        for nx in range(-IMAGES, IMAGES + 1):
            if ny == 0 and nx <= 0:
                continue
            u = period * (jac[0, 0] * nx + jac[0, 1] * ny)
            v = period * (jac[1, 0] * nx + jac[1, 1] * ny)
            a, b = huu * u + huv * v, huv * u + hvv * v
            e = 2.0 * math.exp(-0.5 * (u * a + v * b))  # and the opposite one
            factors[0] += e
            factors[1] += e * (huu - a * a)
            factors[2] += e * (huv - a * b)
            factors[3] += e * (hvv - b * b)


@lean_kernel
def _model_sums(
    weight: float, var: float, cuu: float, cuv: float, cvv: float, jac: Floats, period: float,
    parts: Floats, free: bool, fraction: float, out: Floats,
) -> None:  # fmt: skip
    """Sums of the squared model of unit flux and its moments: Gaussian integrals.

    Sum; its moments uu, uv, vv; the moments times scales; the fourth moments times both scales
    (those of the normal matrix of C: uu uu, uu uv, uu vv, uv uv, uv vv, vv vv); and with the
    slopes: sum times share, sum times slope, moments times share and scale. The fourth moments
    only steer the fit and give its errors: they leave out what `_images_of_lattice` adds.
    """
    fill_line(out, 0.0)
    images = out[18:]
    narrow = 2.0 * NARROW * period * period * abs(jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0])
    for k in range(parts.shape[1]):
        sk, bk = parts[2, k], parts[1, k]
        fk = parts[0, k] + fraction * bk
        for j in range(k + 1):
            sj, bj = parts[2, j], parts[1, j]
            fj = parts[0, j] + fraction * bj
            c = 0.5 * (sk + sj)
            quu, quv, qvv = c * cuu + var, c * cuv, c * cvv + var
            detq = quu * qvv - quv * quv
            huu, hvv, huv = 0.5 * qvv / detq, 0.5 * quu / detq, -0.5 * quv / detq
            m = weight / (4.0 * math.pi * math.sqrt(detq))
            both = 1.0 if j == k else 2.0
            f = both * fk * fj * m
            cross = huu * hvv + 2.0 * huv * huv
            out[7] += f * sk * sj * 0.75 * huu * huu
            out[8] += f * sk * sj * 1.5 * huu * huv
            out[9] += f * sk * sj * 0.25 * cross
            out[10] += f * sk * sj * cross
            out[11] += f * sk * sj * 1.5 * hvv * huv
            out[12] += f * sk * sj * 0.75 * hvv * hvv
            more = 1.0
            if quu + qvv > narrow:
                _images_of_lattice(huu, huv, hvv, jac, period, images)
                more += images[0]
                huu, huv, hvv = huu + images[1], huv + images[2], hvv + images[3]
            out[0] += f * more
            out[1] += f * huu
            out[2] += f * huv
            out[3] += f * hvv
            out[4] += f * c * huu
            out[5] += f * c * huv
            out[6] += f * c * hvv
            if free:
                half = 0.5 * both * m
                out[13] += half * (bk * fj + bj * fk) * more
                out[14] += 2.0 * half * bk * bj * more
                f = half * (bk * fj * sj + bj * fk * sk)
                out[15] += f * huu
                out[16] += f * huv
                out[17] += f * hvv


@lean_kernel
def _add_epoch(
    re: Floats, im: Floats, rows: int, half: int, dk: float, jac: Floats, var: float,
    weight: float, parts: Floats, free: bool, u0: float, v0: float, cuu: float, cuv: float,
    cvv: float, flux: float, fraction: float, lines: Floats, sums: Floats, d: Floats, m: Floats,
    b: Floats, n: Floats,
) -> float:  # fmt: skip
    """Add one epoch to force b and normal matrix n; returns its part of chi-square.

    Plain arguments: every array that is read from a tuple here would cost a count of references.
    """
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    ixu, ixv, iyu, iyv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
    period = 2.0 * math.pi / dk
    widest = WIDEST * period * period * abs(det)
    for k in range(parts.shape[1]):
        scale = parts[2, k]
        quu, qvv, quv = scale * cuu + var, scale * cvv + var, scale * cuv
        detq = quu * qvv - quv * quv
        if not detq > 0.05 * var * var or not quu > 0.2 * var or not qvv > 0.2 * var:
            return IMPOSSIBLE
        if quu + qvv > 2.0 * widest:
            return IMPOSSIBLE
    _data_sums(
        re, im, rows, half, dk, jac, var, parts, u0, v0, cuu, cuv, cvv, fraction, lines, sums, d
    )
    _model_sums(weight * abs(det), var, cuu, cuv, cvv, jac, period, parts, free, fraction, m)
    a = weight / (period * period)
    s0 = a * d[0]
    su = a * (ixu * d[1] + iyu * d[2])
    sv = a * (ixv * d[1] + iyv * d[2])
    suu = a * (ixu * ixu * d[3] + 2.0 * ixu * iyu * d[4] + iyu * iyu * d[5])
    svv = a * (ixv * ixv * d[3] + 2.0 * ixv * iyv * d[4] + iyv * iyv * d[5])
    suv = a * (ixu * ixv * d[3] + (ixu * iyv + ixv * iyu) * d[4] + iyu * iyv * d[5])
    b[0] -= flux * su
    b[1] -= flux * sv
    b[2] -= 0.5 * flux * (suu - flux * m[4])
    b[3] -= flux * (suv - flux * m[5])
    b[4] -= 0.5 * flux * (svv - flux * m[6])
    b[5] += s0 - flux * m[0]
    b[6] += flux * (a * d[6] - flux * m[13])
    ff = flux * flux
    n[0, 0] += ff * m[1]
    n[0, 1] += ff * m[2]
    n[1, 1] += ff * m[3]
    n[2, 2] += ff * m[7]
    n[2, 3] += ff * m[8]
    n[2, 4] += ff * m[9]
    n[3, 3] += ff * m[10]
    n[3, 4] += ff * m[11]
    n[4, 4] += ff * m[12]
    n[2, 5] -= 0.5 * flux * m[4]
    n[3, 5] -= flux * m[5]
    n[4, 5] -= 0.5 * flux * m[6]
    n[5, 5] += m[0]
    n[2, 6] -= 0.5 * ff * m[15]
    n[3, 6] -= ff * m[16]
    n[4, 6] -= 0.5 * ff * m[17]
    n[5, 6] += flux * m[13]
    n[6, 6] += ff * m[14]
    part: float = flux * (flux * m[0] - 2.0 * s0)
    return part


@lean_kernel
def _to_shape(
    g1: float, g2: float, t: float, k: Floats, b: Floats, n: Floats, force: Floats, normal: Floats
) -> None:
    """Chain rule from (Cuu, Cuv, Cvv) to (g1, g2, T); centre, flux and fraction are copied."""
    p = 1.0 + g1 * g1 + g2 * g2
    e1, e2 = 2.0 * g1 / p, 2.0 * g2 / p
    d11 = 2.0 / p - 4.0 * g1 * g1 / (p * p)
    d12 = -4.0 * g1 * g2 / (p * p)
    d22 = 2.0 / p - 4.0 * g2 * g2 / (p * p)
    k[0, 0], k[1, 0], k[2, 0] = 0.5 * t * d11, 0.5 * t * d12, -0.5 * t * d11
    k[0, 1], k[1, 1], k[2, 1] = 0.5 * t * d12, 0.5 * t * d22, -0.5 * t * d12
    k[0, 2], k[1, 2], k[2, 2] = 0.5 * (1.0 + e1), 0.5 * e2, 0.5 * (1.0 - e1)
    n[3, 2], n[4, 2], n[4, 3] = n[2, 3], n[2, 4], n[3, 4]
    fill_plane(normal, 0.0)
    normal[0, 0], normal[0, 1], normal[1, 0], normal[1, 1] = n[0, 0], n[0, 1], n[0, 1], n[1, 1]
    normal[5, 5] = n[5, 5]
    force[0], force[1], force[5] = b[0], b[1], b[5]
    last = force.size - 1
    if last == 6:
        force[6], normal[6, 6], normal[5, 6], normal[6, 5] = b[6], n[6, 6], n[5, 6], n[5, 6]
    for i in range(3):
        s = 0.0
        for j in range(3):
            s += k[j, i] * b[2 + j]
        force[2 + i] = s
        for column in range(5, last + 1):
            f = 0.0
            for j in range(3):
                f += k[j, i] * n[2 + j, column]
            normal[2 + i, column] = f
            normal[column, 2 + i] = f
        for j in range(i + 1):
            s = 0.0
            for c in range(3):
                for d in range(3):
                    s += k[c, i] * n[2 + c, 2 + d] * k[d, j]
            normal[2 + i, 2 + j] = s
            normal[2 + j, 2 + i] = s


@lean_kernel
def evaluate(
    par: Floats, stack: Stack, priors: Priors, space: Space, force: Floats, normal: Floats
) -> float:
    """Chi-square up to a constant, -1/2 of its gradient, and the normal matrix.

    Parameters (u0, v0, g1, g2, T, F) and the fraction where that is free; IMPOSSIBLE when they are
    out of range.
    """
    u0, v0, g1, g2, t, flux = par[0], par[1], par[2], par[3], par[4], par[5]
    fraction = par[6] if stack.profile.free else 0.0
    g = g1 * g1 + g2 * g2
    if not g < 0.9999999:
        return IMPOSSIBLE
    e1, e2 = 2.0 * g1 / (1.0 + g), 2.0 * g2 / (1.0 + g)
    re, im, rows, jacobian, target = stack.re, stack.im, stack.rows, stack.jacobian, stack.target
    weight, parts, free, half, dk = (
        stack.weight, stack.profile.parts, stack.profile.free, stack.half, stack.dk,
    )  # fmt: skip
    lines, sums, data, model = space.lines, space.sums, space.data, space.model
    world_force, world_normal = space.force, space.normal
    fill_line(world_force, 0.0)
    fill_plane(world_normal, 0.0)
    chi = 0.0
    for epoch in range(weight.size):
        part = _add_epoch(
            re[epoch], im[epoch], rows[epoch], half, dk, jacobian[epoch], target[epoch],
            weight[epoch], parts, free, u0, v0, 0.5 * t * (1.0 + e1), 0.5 * t * e2,
            0.5 * t * (1.0 - e1), flux, fraction, lines, sums, data, model, world_force,
            world_normal,
        )  # fmt: skip
        if part == IMPOSSIBLE:
            return IMPOSSIBLE
        chi += part
    _to_shape(g1, g2, t, space.chain, world_force, world_normal, force, normal)
    if priors.centre > 0.0:
        chi += (u0 * u0 + v0 * v0) * priors.centre
        force[0] -= u0 * priors.centre
        force[1] -= v0 * priors.centre
        normal[0, 0] += priors.centre
        normal[1, 1] += priors.centre
    if priors.shape > 0.0:
        # ln p = 2 ln(1 - g^2) - g^2/(2 sigma^2), Bernstein & Armstrong (2014)
        chi += g * priors.shape - 4.0 * math.log(1.0 - g)
        f = 4.0 / (1.0 - g) + priors.shape
        ff = 8.0 / ((1.0 - g) * (1.0 - g))
        force[2] -= g1 * f
        force[3] -= g2 * f
        normal[2, 2] += f + ff * g1 * g1
        normal[3, 3] += f + ff * g2 * g2
        normal[2, 3] += ff * g1 * g2
        normal[3, 2] += ff * g1 * g2
    if stack.profile.free:
        chi += (fraction - FRACTION_MEAN) ** 2 * FRACTION_WEIGHT
        force[6] -= (fraction - FRACTION_MEAN) * FRACTION_WEIGHT
        normal[6, 6] += FRACTION_WEIGHT
    return chi


@lean_kernel
def _damped_step(
    normal: Floats, second: Floats, force: Floats, damping: float, space: Space, step: Floats,
    size: int,
) -> bool:  # fmt: skip
    """Levenberg-Marquardt step with the second-order term, or without where that is indefinite."""
    matrix, lower = space.matrices[0], space.matrices[1]
    for i in range(size):
        for j in range(size):
            matrix[i, j] = normal[i, j] + second[i, j]
        matrix[i, i] += damping * normal[i, i]
    if solve(matrix, force, lower, step, size):
        return True
    for i in range(size):
        for j in range(size):
            matrix[i, j] = normal[i, j]
        matrix[i, i] *= 1.0 + damping
    return solve(matrix, force, lower, step, size)


@lean_kernel
def _update_second(
    force: Floats, new_force: Floats, new_normal: Floats, step: Floats, second: Floats,
    residual: Floats, size: int,
) -> None:  # fmt: skip
    """Symmetric rank-one update of the part of the Hessian beyond the normal matrix."""
    denominator, norm_residual, norm_step = 0.0, 0.0, 0.0
    for i in range(size):
        s = force[i] - new_force[i]
        for j in range(size):
            s -= (new_normal[i, j] + second[i, j]) * step[j]
        residual[i] = s
        denominator += s * step[i]
        norm_residual += s * s / max(new_normal[i, i], 1e-30)
        norm_step += step[i] * step[i] * new_normal[i, i]
    if abs(denominator) > 1e-3 * math.sqrt(norm_residual * norm_step):
        for i in range(size):
            for j in range(size):
                second[i, j] += residual[i] * residual[j] / denominator


@lean_kernel
def _fraction_to_boundary(par: Floats, step: Floats, variance: float) -> float:
    """Largest fraction of the step that keeps 1 - g^2 above a fifth of its value, and T in reach.

    Far too large sizes have a valley of their own, from which there is no way back.
    """
    limit = 1.0 - 0.2 * (1.0 - par[2] * par[2] - par[3] * par[3])
    fraction = 1.0
    while fraction > 1e-3:
        g1, g2 = par[2] + fraction * step[2], par[3] + fraction * step[3]
        if g1 * g1 + g2 * g2 < limit:
            break
        fraction *= 0.7
    longest = LONGEST_GROWTH * (abs(par[4]) + variance)
    if fraction * step[4] > longest:
        fraction = longest / step[4]
    return fraction


@lean_kernel
def fit(
    par: Floats, stack: Stack, priors: Priors, tolerance: float, max_iterations: int,
    second: Floats, space: Space, cov: Floats,
) -> Any:  # fmt: skip
    """Minimise chi-square from `par`, in place; returns (flags, evaluations, chi-square).

    `second` is the second-order part of the Hessian, carried from one metacalibration type to the
    next. `cov` receives the inverse of the normal matrix, priors included.
    """
    size = par.size
    force, new_force, step, new_par = (
        space.vectors[0, :size], space.vectors[1, :size], space.vectors[2, :size],
        space.vectors[3, :size],
    )  # fmt: skip
    normal, new_normal = space.matrices[2], space.matrices[3]
    chi = evaluate(par, stack, priors, space, force, normal)
    evaluations = 1
    fill_plane(cov, np.nan)
    if not chi < IMPOSSIBLE:
        return BAD_START, evaluations, chi
    damping = 0.0
    flags = MAX_ITERATIONS
    for _ in range(max_iterations):
        if not _damped_step(normal, second, force, damping, space, step, size):
            damping = max(1e-3, damping * 10.0)
            if damping > 1e8:
                flags = SINGULAR
                break
            continue
        gain = 0.0
        for i in range(size):
            gain += step[i] * force[i]
        if (gain < tolerance or gain < 1e-13 * abs(chi)) and damping < 1.0:
            for i in range(size):
                par[i] += step[i]
            flags = 0
            break
        fraction = _fraction_to_boundary(par, step, stack.target[0])
        for i in range(size):
            step[i] *= fraction
            new_par[i] = par[i] + step[i]
        new_chi = evaluate(new_par, stack, priors, space, new_force, new_normal)
        evaluations += 1
        if new_chi <= chi + 1e-9 * abs(chi):
            if fraction == 1.0:
                _update_second(force, new_force, new_normal, step, second, space.vectors[4], size)
            copy_line(new_par, par)
            copy_line(new_force, force)
            copy_plane(new_normal, normal)
            chi = new_chi
            damping = 0.0 if damping < 1e-3 else damping * 0.1
        else:
            fill_plane(second, 0.0)
            damping = 1e-2 if damping == 0.0 else damping * 10.0
            if damping > 1e8:
                flags = SINGULAR
                break
    if not invert(normal, space.matrices[1], step, cov, size):
        flags |= SINGULAR
    return flags | _check_result(par, cov), evaluations, chi


@lean_kernel
def _check_result(par: Floats, cov: Floats) -> int:
    """BAD_RESULT when a parameter or an error is unusable."""
    if not par[2] * par[2] + par[3] * par[3] < 1.0:
        return BAD_RESULT
    for i in range(par.size):
        if not (math.isfinite(par[i]) and math.isfinite(cov[i, i]) and cov[i, i] > 0.0):
            return BAD_RESULT
    return 0


@lean_kernel
def signal_to_noise(par: Floats, stack: Stack, space: Space) -> float:
    """S/N of the round model of these parameters behind the target PSF."""
    half = 0.5 * par[4]
    fraction = par[6] if stack.profile.free else 0.0
    total = 0.0
    for epoch in range(stack.weight.size):
        jac = stack.jacobian[epoch]
        det = abs(jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0])
        var = stack.target[epoch]
        for scale in stack.profile.parts[2]:
            if not scale * half + var > 0.0:
                return np.nan
        _model_sums(
            stack.weight[epoch] * det, var, half, 0.0, half, jac, 2.0 * math.pi / stack.dk,
            stack.profile.parts, stack.profile.free, fraction, space.model,
        )  # fmt: skip
        total += space.model[0]
    ratio: float = par[5] * math.sqrt(total)
    return ratio
