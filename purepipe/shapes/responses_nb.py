"""Shear responses of a fit by the implicit function theorem, without fits to sheared images.

At the best fit the force b, minus half the gradient of chi-square, vanishes; a small shear changes
the data and moves the fit by dp/dgamma = H^-1 db/dgamma, H = -db/dp the full matrix of second
derivatives. Both follow from sums over the modes with up to four powers of the frequency, since
shearing only relabels the frequencies: dq/dgamma_j = -M_j q with M_1 = diag(1, -1) and M_2 its
counterpart for the other component.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel
from purepipe.shapes.fit_nb import (
    SAFE_EXPONENT,
    Priors,
    Profile,
    Space,
    Stack,
    _prepare_lines,
    evaluate,
    fill_plane,
    mode_sums,
    solve,
)
from purepipe.shapes.lattice_nb import FACTOR, INVERSE, ROWS, WHITE_IM, WHITE_RE, Lattice

Floats = NDArray[np.float64]

# Places of uu, uv, vv: indices, and how often each counts in a contraction.
FIRST = np.array([0, 0, 1])
SECOND = np.array([0, 1, 1])
TIMES = np.array([1.0, 2.0, 1.0])
# M_1 and M_2
GENERATORS = np.array([[[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])


@fast_kernel
def _row_sums(
    re: Floats, im: Floats, rows: int, half: int, dk: float, ayy: float, y: float,
    lines: Floats, out: Floats,
) -> None:  # fmt: skip
    """Sums of kx^i ky^j E exp(i k.p) D, real for even i + j, else imaginary; out[i, j].

    As `fit_nb._sum_rows`, for up to four powers.
    """
    width = (2 * half + 8) // 8 * 8
    vr, growth, vi, kx = lines[0], lines[1], lines[2], lines[4]
    c1, s1 = math.cos(y * dk), math.sin(y * dk)
    c, s = 1.0, 0.0
    decay = math.exp(-0.5 * ayy * dk * dk)
    ratio = decay * decay
    envelope = 1.0
    row_re, row_im = np.empty(5), np.empty(5)
    for i in range(5):
        for j in range(5):
            out[i, j] = 0.0
    for row in range(rows):
        r0, i0, r1, i1, r2, i2, r3, i3, r4, i4 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(width):
            wr, wi, k = vr[i], vi[i], kx[i]
            a = re[row, i] * wr - im[row, i] * wi
            b = re[row, i] * wi + im[row, i] * wr
            vr[i] = wr * growth[i]
            vi[i] = wi * growth[i]
            k2 = k * k
            r0 += a
            i0 += b
            r1 += a * k
            i1 += b * k
            r2 += a * k2
            i2 += b * k2
            r3 += a * k2 * k
            i3 += b * k2 * k
            r4 += a * k2 * k2
            i4 += b * k2 * k2
        row_re[0], row_re[1], row_re[2], row_re[3], row_re[4] = r0, r1, r2, r3, r4
        row_im[0], row_im[1], row_im[2], row_im[3], row_im[4] = i0, i1, i2, i3, i4
        e = envelope if row == 0 else 2.0 * envelope
        ky = row * dk
        for i in range(5):
            power = e
            for j in range(5 - i):
                if (i + j) % 2 == 0:
                    out[i, j] += power * (row_re[i] * c - row_im[i] * s)
                else:
                    out[i, j] += power * (row_re[i] * s + row_im[i] * c)
                power *= ky
        envelope *= decay
        decay *= ratio
        c, s = c * c1 - s * s1, c * s1 + s * c1


@inner_kernel
def _to_world(sums: Floats, jac: Floats, factor: float, tensors: Floats) -> None:
    """Tensors of all orders in world coordinates from sums of powers of kx, ky.

    tensors[n] holds order n in its first 2^n places, the last index running fastest.
    """
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    back = np.empty((2, 2))  # q_a = back[a, 0] kx + back[a, 1] ky
    back[0, 0], back[0, 1] = jac[1, 1] / det, -jac[1, 0] / det
    back[1, 0], back[1, 1] = -jac[0, 1] / det, jac[0, 0] / det
    for order in range(5):
        for place in range(2**order):
            total = 0.0
            for source in range(2**order):
                weight, ones = factor, 0
                for bit in range(order):
                    axis = source >> bit & 1
                    ones += axis
                    weight *= back[place >> bit & 1, axis]
                total += weight * sums[order - ones, ones]
            tensors[order, place] = total


@inner_kernel
def _add_force_change(
    s: Floats, share: float, scale: float, w: Floats, u: Floats, flux: float, change: Floats
) -> None:
    """Add one component's change of the force with the shear to change[j]."""
    for j in range(2):
        m = GENERATORS[j]
        n, shift = np.zeros((2, 2)), np.zeros(2)
        for a in range(2):
            for b in range(2):
                shift[a] += m[a, b] * u[b]
                for c in range(2):
                    n[a, b] += w[a, c] * m[c, b] + m[a, c] * w[c, b]
        d0 = 0.0
        for a in range(2):
            d0 += shift[a] * s[1, a]
            for b in range(2):
                d0 += 0.5 * n[a, b] * s[2, 2 * a + b]
        change[j, 5] += share * d0
        for a in range(2):
            d = 0.0
            for b in range(2):
                d -= m[a, b] * s[1, b] + shift[b] * s[2, 2 * a + b]
                for c in range(2):
                    d += 0.5 * n[b, c] * s[3, 4 * a + 2 * b + c]
            change[j, a] -= flux * share * d
        for k in range(3):
            a, b = FIRST[k], SECOND[k]
            d = 0.0
            for c in range(2):
                d -= m[a, c] * s[2, 2 * c + b] + m[b, c] * s[2, 2 * a + c]
                d += shift[c] * s[3, 4 * a + 2 * b + c]
                for e in range(2):
                    d += 0.5 * n[c, e] * s[4, 8 * a + 4 * b + 2 * c + e]
            change[j, 2 + k] -= 0.5 * TIMES[k] * flux * share * scale * d


@inner_kernel
def _add_data_curvature(s: Floats, share: float, scale: float, flux: float, h: Floats) -> None:
    """Add one component's part of the second derivatives that holds the data."""
    for a in range(2):
        h[a, 5] += share * s[1, a]
        for b in range(2):
            h[a, b] += flux * share * s[2, 2 * a + b]
    for k in range(3):
        place = 2 * FIRST[k] + SECOND[k]
        h[2 + k, 5] += 0.5 * TIMES[k] * share * scale * s[2, place]
        for a in range(2):
            h[a, 2 + k] -= 0.5 * TIMES[k] * flux * share * scale * s[3, 4 * a + place]
        for m in range(3):
            both = 4 * place + 2 * FIRST[m] + SECOND[m]
            h[2 + k, 2 + m] -= (
                0.25 * TIMES[k] * TIMES[m] * flux * share * scale * scale * s[4, both]
            )


@inner_kernel
def _add_model_curvature(
    weight: float, var: float, cov: Floats, profile: Profile, flux: float, h: Floats
) -> None:
    """Add the second derivatives of the summed squared model."""
    q = np.empty((2, 2))
    for k in range(profile.parts.shape[1]):
        for j in range(profile.parts.shape[1]):
            c = 0.5 * (profile.parts[2, k] + profile.parts[2, j])
            uu, uv, vv = c * cov[0, 0] + var, c * cov[0, 1], c * cov[1, 1] + var
            det = uu * vv - uv * uv
            q[0, 0], q[0, 1], q[1, 0], q[1, 1] = vv, -uv, -uv, uu
            for a in range(2):
                for b in range(2):
                    q[a, b] *= 0.5 / det
            f = profile.parts[0, k] * profile.parts[0, j] * weight
            f /= 4.0 * math.pi * math.sqrt(det)
            h[5, 5] += f
            for n in range(3):
                a, b = FIRST[n], SECOND[n]
                h[2 + n, 5] -= TIMES[n] * flux * f * c * q[a, b]
                for m in range(3):
                    d, e = FIRST[m], SECOND[m]
                    fourth = q[a, b] * q[d, e] + q[a, d] * q[b, e] + q[a, e] * q[b, d]
                    h[2 + n, 2 + m] += 0.5 * TIMES[n] * TIMES[m] * flux * flux * f * c * c * fourth


@inner_kernel
def _change_of_noise(
    epoch: int, component: int, lattice: Lattice, half: int, amplitude: float, step: float,
    re: Floats, im: Floats,
) -> None:  # fmt: skip
    """Derivative of the added noise with the shear, at the modes of the unsheared lattice."""
    fill_plane(re, 0.0)
    fill_plane(im, 0.0)
    factor = lattice.numbers[FACTOR, epoch]
    white_re, white_im = lattice.planes[WHITE_RE, epoch], lattice.planes[WHITE_IM, epoch]
    power, inverse = lattice.power[epoch], lattice.planes[INVERSE, epoch]
    for row in range(lattice.places[ROWS, epoch]):
        for m in range(-lattice.reach[epoch, row], lattice.reach[epoch, row] + 1):
            i = half + m
            rest = factor * power[0, row, i] - inverse[row, i]
            if rest > 1e-9 * inverse[row, i]:
                up, down = power[1 + 2 * component, row, i], power[2 + 2 * component, row, i]
                slope = factor * (up - down) / (4.0 * step * math.sqrt(rest)) * amplitude
                re[row, i] = slope * white_re[row, i]
                im[row, i] = slope * white_im[row, i]


@inner_kernel
def _add_epoch(
    epoch: int, par: Floats, cov: Floats, stack: Stack, lattice: Lattice, amplitude: float,
    step: float, space: Space, h: Floats, change: Floats,
) -> bool:  # fmt: skip
    """Add one epoch to second derivatives and changes of the force; False when out of range."""
    jac, var = stack.jacobian[epoch], stack.target[epoch]
    det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
    ixu, ixv, iyu, iyv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
    a = stack.weight[epoch] * (stack.dk / (2.0 * math.pi)) ** 2
    x, y = ixu * par[0] + ixv * par[1], iyu * par[0] + iyv * par[1]
    sums, tensors, w = np.empty((5, 5)), np.empty((5, 16)), np.empty((2, 2))
    re, im = np.empty(stack.re[epoch].shape), np.empty(stack.re[epoch].shape)
    rows, half = stack.rows[epoch], stack.half
    for k in range(stack.profile.parts.shape[1]):
        scale, share = stack.profile.parts[2, k], stack.profile.parts[0, k]
        for i in range(2):
            for j in range(2):
                w[i, j] = scale * cov[i, j]
            w[i, i] += 2.0 * var
        axx = ixu * ixu * w[0, 0] + 2.0 * ixu * ixv * w[0, 1] + ixv * ixv * w[1, 1]
        ayy = iyu * iyu * w[0, 0] + 2.0 * iyu * iyv * w[0, 1] + iyv * iyv * w[1, 1]
        axy = ixu * iyu * w[0, 0] + (ixu * iyv + ixv * iyu) * w[0, 1] + ixv * iyv * w[1, 1]
        kmax = rows * stack.dk
        steepest = 0.5 * axy * axy / axx * kmax * kmax
        if max(steepest, abs(axy) * stack.dk * stack.dk * half) > SAFE_EXPONENT:
            return False
        _prepare_lines(space.lines, half, stack.dk, axx, axy, x)
        _row_sums(stack.re[epoch], stack.im[epoch], rows, half, stack.dk, ayy, y, space.lines, sums)
        _to_world(sums, jac, a, tensors)
        _add_data_curvature(tensors, share, scale, par[5], h)
        _add_force_change(tensors, share, scale, w, par, par[5], change)
        if amplitude > 0.0:
            for component in range(2):
                _change_of_noise(epoch, component, lattice, half, amplitude, step, re, im)
                mode_sums(
                    re, im, rows, half, stack.dk, axx, axy, ayy, x, y, space.lines, space.sums
                )
                fill_plane(sums, 0.0)
                s = space.sums
                sums[0, 0], sums[1, 0], sums[0, 1] = s[0], s[1], s[2]
                sums[2, 0], sums[1, 1], sums[0, 2] = s[3], s[4], s[5]
                _to_world(sums, jac, a * share, tensors)
                c = change[component]
                c[5] += tensors[0, 0]
                c[0] -= par[5] * tensors[1, 0]
                c[1] -= par[5] * tensors[1, 1]
                c[2] -= 0.5 * par[5] * scale * tensors[2, 0]
                c[3] -= par[5] * scale * tensors[2, 1]
                c[4] -= 0.5 * par[5] * scale * tensors[2, 3]
    _add_model_curvature(
        stack.weight[epoch] * abs(det), var, cov, stack.profile, par[5], h
    )  # fmt: skip
    return True


@inner_kernel
def _second_derivatives_of_shape(par: Floats, force: Floats, h: Floats) -> None:
    """Add what the curvature of C(g1, g2, T) contributes where the force on C is not zero."""
    p = 1.0 + par[2] * par[2] + par[3] * par[3]
    difference, cross = force[2] - force[4], force[3]
    for i in range(2):
        for j in range(2):
            second = np.zeros(2)
            first = np.zeros(2)
            for n in range(2):
                g = par[2 + n]
                gi, gj = par[2 + i], par[2 + j]
                linear = (gj if n == i else 0.0) + (gi if n == j else 0.0) + (g if i == j else 0.0)
                second[n] = -4.0 * linear / (p * p) + 16.0 * g * gi * gj / (p * p * p)
                first[n] = (2.0 / p if n == i else 0.0) - 4.0 * g * gi / (p * p)
            h[2 + i, 2 + j] -= 0.5 * par[4] * (difference * second[0] + cross * second[1])
            if j == 0:
                mixed = 0.5 * (difference * first[0] + cross * first[1])
                h[2 + i, 4] -= mixed
                h[4, 2 + i] -= mixed


@inner_kernel
def implicit_responses(
    par: Floats, stack: Stack, priors: Priors, lattice: Lattice, amplitudes: Floats, step: float,
    space: Space, out: Floats,
) -> None:  # fmt: skip
    """Responses d g_i / d gamma_j at the best fit `par` of the unsheared data; NaN if undefined.

    `amplitudes` are those of the added noise of each epoch, zero for none. Profiles whose wings
    see their images at neighbouring periods have further terms, which are left out.
    """
    fill_plane(out, np.nan)
    evaluate(par, stack, priors, space, space.vectors[0, :6], space.matrices[2])
    half_size = 0.5 * par[4]
    p = 1.0 + par[2] * par[2] + par[3] * par[3]
    cov = np.empty((2, 2))
    cov[0, 0] = half_size * (1.0 + 2.0 * par[2] / p)
    cov[1, 1] = half_size * (1.0 - 2.0 * par[2] / p)
    cov[0, 1] = cov[1, 0] = half_size * 2.0 * par[3] / p
    h, change = np.zeros((6, 6)), np.zeros((2, 6))
    for epoch in range(stack.weight.size):
        if not _add_epoch(
            epoch, par, cov, stack, lattice, amplitudes[epoch], step, space, h, change
        ):
            return
    # upper triangle to full, then from (Cuu, Cuv, Cvv) to (g1, g2, T)
    for i in range(6):
        for j in range(i):
            h[i, j] = h[j, i]
    chain = np.zeros((6, 6))
    chain[0, 0] = chain[1, 1] = chain[5, 5] = 1.0
    for i in range(3):
        for j in range(3):
            chain[2 + i, 2 + j] = space.chain[i, j]
    full = chain.T.copy() @ h @ chain
    _second_derivatives_of_shape(par, space.force, full)
    g = par[2] * par[2] + par[3] * par[3]
    full[0, 0] += priors.centre
    full[1, 1] += priors.centre
    if priors.shape > 0.0:
        for i in range(2):
            full[2 + i, 2 + i] += 4.0 / (1.0 - g) + priors.shape
            for j in range(2):
                full[2 + i, 2 + j] += 8.0 * par[2 + i] * par[2 + j] / (1.0 - g) ** 2
    lower, moved = np.zeros((6, 6)), np.zeros(6)
    for j in range(2):
        right = chain.T.copy() @ change[j]
        if solve(full, right, lower, moved, 6):
            out[0, j], out[1, j] = moved[2], moved[3]
