"""Sums, likelihood and optimiser of the Gaussian model in Fourier space, joint over epochs.

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

from purepipe._jit import fast_kernel, inner_kernel, kernel
from purepipe.flags import ShapeFlag

Floats = NDArray[np.float64]

SINGULAR = int(ShapeFlag.SINGULAR)
MAX_ITERATIONS = int(ShapeFlag.MAX_ITERATIONS)
BAD_START = int(ShapeFlag.BAD_START)
BAD_RESULT = int(ShapeFlag.BAD_RESULT)

IMPOSSIBLE = 1e300  # chi-square of parameters outside the allowed range
# Exponents of the row recurrence stay below this, so that nothing under- or overflows.
SAFE_EXPONENT = 350.0
# Rows whose Gaussian factor is below exp(-NEGLIGIBLE) contribute nothing.
NEGLIGIBLE = 45.0


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


class Priors(NamedTuple):
    """Inverse squares of the prior widths: 1/sigma_g^2 and 1/arcsec^2; zero means no prior."""

    shape: float
    centre: float


class Space(NamedTuple):
    """Scratch arrays of the fit of one object."""

    lines: Floats  # (5, width)
    sums: Floats  # (6,) S0, Sx, Sy, Sxx, Sxy, Syy
    force: Floats  # (6,) in (u0, v0, Cuu, Cuv, Cvv, F)
    normal: Floats  # (6, 6), same
    chain: Floats  # (3, 3) d(Cuu, Cuv, Cvv)/d(g1, g2, T)
    vectors: Floats  # (5, 6)
    matrices: Floats  # (4, 6, 6)


@kernel
def make_space(width: int) -> Space:
    """Scratch arrays for rows of `width` columns."""
    return Space(
        np.zeros((5, width)), np.zeros(6), np.zeros(6), np.zeros((6, 6)), np.zeros((3, 3)),
        np.zeros((5, 6)), np.zeros((4, 6, 6)),
    )  # fmt: skip


@inner_kernel
def fill_line(line: Floats, value: float) -> None:
    """Write one value everywhere; a slice assignment would compile ten times as long."""
    for i in range(line.shape[0]):
        line[i] = value


@inner_kernel
def fill_plane(plane: Floats, value: float) -> None:
    """Write one value everywhere."""
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            plane[j, i] = value


@inner_kernel
def copy_line(source: Floats, target: Floats) -> None:
    """Copy the elements."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@inner_kernel
def copy_plane(source: Floats, target: Floats) -> None:
    """Copy the elements."""
    for j in range(source.shape[0]):
        for i in range(source.shape[1]):
            target[j, i] = source[j, i]


@inner_kernel
def solve(matrix: Floats, vector: Floats, lower: Floats, solution: Floats) -> bool:
    """Solve a positive definite 6 x 6 system by Cholesky; False when it is not."""
    for i in range(6):
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
    for i in range(6):
        s = vector[i]
        for k in range(i):
            s -= lower[i, k] * solution[k]
        solution[i] = s / lower[i, i]
    for i in range(5, -1, -1):
        s = solution[i]
        for k in range(i + 1, 6):
            s -= lower[k, i] * solution[k]
        solution[i] = s / lower[i, i]
    return True


@inner_kernel
def invert(matrix: Floats, lower: Floats, unit: Floats, inverse: Floats) -> bool:
    """Inverse of a positive definite 6 x 6 matrix; NaN and False when it is not."""
    for i in range(6):
        for j in range(6):
            unit[j] = 1.0 if i == j else 0.0
        if not solve(matrix, unit, lower, inverse[i]):
            fill_plane(inverse, np.nan)
            return False
    return True


@kernel
def set_frequencies(lines: Floats, half: int, dk: float) -> None:
    """Write kx of every column; call it when `half` changes."""
    fill_line(lines[4], 0.0)
    for i in range(2 * half + 1):
        lines[4, i] = (i - half) * dk


@fast_kernel
def _prepare_lines(lines: Floats, half: int, dk: float, axx: float, axy: float, x: float) -> None:
    """Envelope exp(-axx kx^2/2), growth from row to row, and phase exp(i kx x) along a row."""
    decay = math.exp(-0.5 * axx * dk * dk)
    ratio = decay * decay
    factor = math.exp(-axy * dk * dk)
    inverse = 1.0 / factor
    c1 = math.cos(x * dk)
    s1 = math.sin(x * dk)
    lines[0, half] = 1.0
    lines[1, half] = 1.0
    lines[2, half] = 1.0
    lines[3, half] = 0.0
    envelope, up, down, c, s = 1.0, 1.0, 1.0, 1.0, 0.0
    for m in range(1, half + 1):
        envelope *= decay
        decay *= ratio
        up *= factor
        down *= inverse
        c, s = c * c1 - s * s1, c * s1 + s * c1
        lines[0, half + m] = envelope
        lines[0, half - m] = envelope
        lines[1, half + m] = up
        lines[1, half - m] = down
        lines[2, half + m] = c
        lines[2, half - m] = c
        lines[3, half + m] = s
        lines[3, half - m] = -s
    # stale padding could grow to infinity, which zero data would turn into NaN
    for i in range(2 * half + 1, lines.shape[1]):
        lines[0, i] = 0.0
        lines[1, i] = 0.0


@fast_kernel
def _sum_rows(
    re: Floats, im: Floats, rows: int, half: int, dk: float, ayy: float, y: float,
    lines: Floats, out: Floats,
) -> None:  # fmt: skip
    """The six sums, row by row; the envelope of a row follows from the previous one."""
    width = (2 * half + 8) // 8 * 8
    v, growth, cos_x, sin_x, kx = lines[0], lines[1], lines[2], lines[3], lines[4]
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
            w = v[i]
            k = kx[i]
            a = w * (re[row, i] * cos_x[i] - im[row, i] * sin_x[i])
            b = w * (re[row, i] * sin_x[i] + im[row, i] * cos_x[i])
            v[i] = w * growth[i]
            r0 += a
            i0 += b
            a *= k
            b *= k
            r1 += a
            i1 += b
            r2 += a * k
            i2 += b * k
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


@inner_kernel
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
            if power > 2.0 * NEGLIGIBLE:
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


@kernel
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


@inner_kernel
def _add_epoch(
    epoch: int, stack: Stack, u0: float, v0: float, cuu: float, cuv: float, cvv: float,
    flux: float, space: Space,
) -> float:  # fmt: skip
    """Add one epoch to force and normal matrix; returns its part of chi-square."""
    jac = stack.jacobian[epoch]
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    # p = inverse(J) u, so i.. maps offsets to pixels and its transpose maps kappa to q
    ixu, ixv, iyu, iyv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
    var = stack.target[epoch]
    quu, qvv, quv = cuu + var, cvv + var, cuv
    detq = quu * qvv - quv * quv
    if not detq > 0.05 * var * var or not quu > 0.2 * var or not qvv > 0.2 * var:
        return IMPOSSIBLE
    wuu, wvv = quu + var, qvv + var
    axx = ixu * ixu * wuu + 2.0 * ixu * ixv * cuv + ixv * ixv * wvv
    ayy = iyu * iyu * wuu + 2.0 * iyu * iyv * cuv + iyv * iyv * wvv
    axy = ixu * iyu * wuu + (ixu * iyv + ixv * iyu) * cuv + ixv * iyv * wvv
    sums = space.sums
    mode_sums(
        stack.re[epoch], stack.im[epoch], stack.rows[epoch], stack.half, stack.dk, axx, axy, ayy,
        ixu * u0 + ixv * v0, iyu * u0 + iyv * v0, space.lines, sums,
    )  # fmt: skip
    area = 2.0 * math.pi / stack.dk
    a = stack.weight[epoch] / (area * area)
    s0 = a * sums[0]
    su = a * (ixu * sums[1] + iyu * sums[2])
    sv = a * (ixv * sums[1] + iyv * sums[2])
    suu = a * (ixu * ixu * sums[3] + 2.0 * ixu * iyu * sums[4] + iyu * iyu * sums[5])
    svv = a * (ixv * ixv * sums[3] + 2.0 * ixv * iyv * sums[4] + iyv * iyv * sums[5])
    suv = a * (ixu * ixv * sums[3] + (ixu * iyv + ixv * iyu) * sums[4] + iyu * iyv * sums[5])
    # sum of model^2 and its moments: Gaussian integrals
    m = stack.weight[epoch] * abs(det) / (4.0 * math.pi * math.sqrt(detq))
    huu, hvv, huv = 0.5 * qvv / detq, 0.5 * quu / detq, -0.5 * quv / detq
    fm = flux * m
    b = space.force
    b[0] -= flux * su
    b[1] -= flux * sv
    b[2] -= 0.5 * flux * (suu - fm * huu)
    b[3] -= flux * (suv - fm * huv)
    b[4] -= 0.5 * flux * (svv - fm * hvv)
    b[5] += s0 - fm
    n = space.normal
    ffm = flux * fm
    cross = huu * hvv + 2.0 * huv * huv
    n[0, 0] += ffm * huu
    n[0, 1] += ffm * huv
    n[1, 1] += ffm * hvv
    n[2, 2] += ffm * 0.75 * huu * huu
    n[2, 3] += ffm * 1.5 * huu * huv
    n[2, 4] += ffm * 0.25 * cross
    n[3, 3] += ffm * cross
    n[3, 4] += ffm * 1.5 * hvv * huv
    n[4, 4] += ffm * 0.75 * hvv * hvv
    n[2, 5] -= 0.5 * fm * huu
    n[3, 5] -= fm * huv
    n[4, 5] -= 0.5 * fm * hvv
    n[5, 5] += m
    part: float = flux * (fm - 2.0 * s0)
    return part


@inner_kernel
def _to_shape(g1: float, g2: float, t: float, space: Space, force: Floats, normal: Floats) -> None:
    """Chain rule from (Cuu, Cuv, Cvv) to (g1, g2, T); centre and flux are copied."""
    p = 1.0 + g1 * g1 + g2 * g2
    e1, e2 = 2.0 * g1 / p, 2.0 * g2 / p
    d11 = 2.0 / p - 4.0 * g1 * g1 / (p * p)
    d12 = -4.0 * g1 * g2 / (p * p)
    d22 = 2.0 / p - 4.0 * g2 * g2 / (p * p)
    k = space.chain
    k[0, 0], k[1, 0], k[2, 0] = 0.5 * t * d11, 0.5 * t * d12, -0.5 * t * d11
    k[0, 1], k[1, 1], k[2, 1] = 0.5 * t * d12, 0.5 * t * d22, -0.5 * t * d12
    k[0, 2], k[1, 2], k[2, 2] = 0.5 * (1.0 + e1), 0.5 * e2, 0.5 * (1.0 - e1)
    b = space.force
    n = space.normal
    n[3, 2], n[4, 2], n[4, 3] = n[2, 3], n[2, 4], n[3, 4]
    fill_plane(normal, 0.0)
    normal[0, 0], normal[0, 1], normal[1, 0], normal[1, 1] = n[0, 0], n[0, 1], n[0, 1], n[1, 1]
    normal[5, 5] = n[5, 5]
    force[0], force[1], force[5] = b[0], b[1], b[5]
    for i in range(3):
        s = 0.0
        f = 0.0
        for j in range(3):
            s += k[j, i] * b[2 + j]
            f += k[j, i] * n[2 + j, 5]
        force[2 + i] = s
        normal[2 + i, 5] = f
        normal[5, 2 + i] = f
        for j in range(i + 1):
            s = 0.0
            for c in range(3):
                for d in range(3):
                    s += k[c, i] * n[2 + c, 2 + d] * k[d, j]
            normal[2 + i, 2 + j] = s
            normal[2 + j, 2 + i] = s


@kernel
def evaluate(
    par: Floats, stack: Stack, priors: Priors, space: Space, force: Floats, normal: Floats
) -> float:
    """Chi-square up to a constant, -1/2 of its gradient, and the normal matrix.

    Parameters (u0, v0, g1, g2, T, F); IMPOSSIBLE when they are out of range.
    """
    u0, v0, g1, g2, t, flux = par[0], par[1], par[2], par[3], par[4], par[5]
    g = g1 * g1 + g2 * g2
    if not g < 0.9999999:
        return IMPOSSIBLE
    e1, e2 = 2.0 * g1 / (1.0 + g), 2.0 * g2 / (1.0 + g)
    fill_line(space.force, 0.0)
    fill_plane(space.normal, 0.0)
    chi = 0.0
    for epoch in range(stack.weight.size):
        part = _add_epoch(
            epoch, stack, u0, v0, 0.5 * t * (1.0 + e1), 0.5 * t * e2, 0.5 * t * (1.0 - e1), flux,
            space,
        )  # fmt: skip
        if part == IMPOSSIBLE:
            return IMPOSSIBLE
        chi += part
    _to_shape(g1, g2, t, space, force, normal)
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
    return chi


@inner_kernel
def _damped_step(
    normal: Floats, second: Floats, force: Floats, damping: float, space: Space, step: Floats
) -> bool:
    """Levenberg-Marquardt step with the second-order term, or without where that is indefinite."""
    matrix, lower = space.matrices[0], space.matrices[1]
    for i in range(6):
        for j in range(6):
            matrix[i, j] = normal[i, j] + second[i, j]
        matrix[i, i] += damping * normal[i, i]
    if solve(matrix, force, lower, step):
        return True
    for i in range(6):
        for j in range(6):
            matrix[i, j] = normal[i, j]
        matrix[i, i] *= 1.0 + damping
    return solve(matrix, force, lower, step)


@inner_kernel
def _update_second(
    force: Floats, new_force: Floats, new_normal: Floats, step: Floats, second: Floats,
    residual: Floats,
) -> None:  # fmt: skip
    """Symmetric rank-one update of the part of the Hessian beyond the normal matrix."""
    denominator, norm_residual, norm_step = 0.0, 0.0, 0.0
    for i in range(6):
        s = force[i] - new_force[i]
        for j in range(6):
            s -= (new_normal[i, j] + second[i, j]) * step[j]
        residual[i] = s
        denominator += s * step[i]
        norm_residual += s * s / max(new_normal[i, i], 1e-30)
        norm_step += step[i] * step[i] * new_normal[i, i]
    if abs(denominator) > 1e-3 * math.sqrt(norm_residual * norm_step):
        for i in range(6):
            for j in range(6):
                second[i, j] += residual[i] * residual[j] / denominator


@inner_kernel
def _fraction_to_boundary(par: Floats, step: Floats) -> float:
    """Largest fraction of the step that keeps 1 - g^2 above a fifth of its value."""
    limit = 1.0 - 0.2 * (1.0 - par[2] * par[2] - par[3] * par[3])
    fraction = 1.0
    while fraction > 1e-3:
        g1, g2 = par[2] + fraction * step[2], par[3] + fraction * step[3]
        if g1 * g1 + g2 * g2 < limit:
            break
        fraction *= 0.7
    return fraction


@inner_kernel
def fit(
    par: Floats, stack: Stack, priors: Priors, tolerance: float, max_iterations: int,
    second: Floats, space: Space, cov: Floats,
) -> Any:  # fmt: skip
    """Minimise chi-square from `par`, in place; returns (flags, evaluations, chi-square).

    `second` is the second-order part of the Hessian, carried from one metacalibration type to the
    next. `cov` receives the inverse of the normal matrix, priors included.
    """
    force, new_force, step, new_par = (
        space.vectors[0], space.vectors[1], space.vectors[2], space.vectors[3],
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
        if not _damped_step(normal, second, force, damping, space, step):
            damping = max(1e-3, damping * 10.0)
            if damping > 1e8:
                flags = SINGULAR
                break
            continue
        gain = 0.0
        for i in range(6):
            gain += step[i] * force[i]
        if (gain < tolerance or gain < 1e-13 * abs(chi)) and damping < 1.0:
            for i in range(6):
                par[i] += step[i]
            flags = 0
            break
        fraction = _fraction_to_boundary(par, step)
        for i in range(6):
            step[i] *= fraction
            new_par[i] = par[i] + step[i]
        new_chi = evaluate(new_par, stack, priors, space, new_force, new_normal)
        evaluations += 1
        if new_chi <= chi + 1e-9 * abs(chi):
            if fraction == 1.0:
                _update_second(force, new_force, new_normal, step, second, space.vectors[4])
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
    if not invert(normal, space.matrices[1], step, cov):
        flags |= SINGULAR
    return flags | _check_result(par, cov), evaluations, chi


@inner_kernel
def _check_result(par: Floats, cov: Floats) -> int:
    """BAD_RESULT when a parameter or an error is unusable."""
    if not par[2] * par[2] + par[3] * par[3] < 1.0:
        return BAD_RESULT
    for i in range(6):
        if not (math.isfinite(par[i]) and math.isfinite(cov[i, i]) and cov[i, i] > 0.0):
            return BAD_RESULT
    return 0


@inner_kernel
def signal_to_noise(size: float, flux: float, stack: Stack) -> float:
    """S/N of a round Gaussian of size T = `size` and this flux behind the target PSF."""
    total = 0.0
    for epoch in range(stack.weight.size):
        jac = stack.jacobian[epoch]
        det = abs(jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0])
        variance = 0.5 * size + stack.target[epoch]
        if not variance > 0.0:
            return np.nan
        total += stack.weight[epoch] * det / (4.0 * math.pi * variance)
    return flux * math.sqrt(total)
