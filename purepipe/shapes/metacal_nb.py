"""From transforms of stamps to five metacalibration fits per object, without a sheared image.

Shearing relabels the lattice: the ratio D of the transforms of galaxy and PSF is computed once per
epoch, and type s reads it at the world frequencies q = J_s^-T kappa, J_s = S J. Noise is added to D
so that the noise of every type is the same, isotropic in the world frame.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import fast_kernel, inner_kernel, kernel, lean_kernel
from purepipe.flags import ShapeFlag
from purepipe.shapes.fit_nb import (
    FRACTION_MEAN,
    Priors,
    Profile,
    Space,
    Stack,
    copy_line,
    copy_plane,
    evaluate,
    fill_line,
    fill_plane,
    fit,
    make_space,
    mode_sums,
    set_frequencies,
    signal_to_noise,
)
from purepipe.shapes.lattice_nb import (
    CUT,
    FACTOR,
    IM,
    INVERSE,
    LEAST_RADIUS,
    NOISE_DOUBLE,
    NOISE_MIN,
    NOISE_NONE,
    NOISE_ROT90,
    PAIR,
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
    WEIGHT,
    WHITE_IM,
    WHITE_RE,
    Lattice,
    Options,
    divide,
    frequency_form,
    is_pixel,
    largest_scale,
    make_lattice,
    move_origin,
    pixel_area,
    psf_spectrum,
    set_reach,
    shear_jacobian,
    target_sigma,
)
from purepipe.shapes.noise_nb import add_rotated, add_white, noise_power, unfold, white_field
from purepipe.shapes.responses_nb import implicit_responses

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

NO_EPOCH = int(ShapeFlag.NO_EPOCH)
BAD_INPUT = int(ShapeFlag.BAD_INPUT)
BAD_PSF = int(ShapeFlag.BAD_PSF)
FALLBACK = int(ShapeFlag.FALLBACK)


class Results(NamedTuple):
    """Output arrays; objects first, or one row per pair of object and epoch."""

    pars: Floats  # (object, 5, 6), 7 where the fraction is free
    cov: Floats  # (object, 5, 6, 6)
    s2n: Floats  # (object, 5)
    flags: NDArray[np.int32]  # (object, 5)
    implicit: Floats  # (object, 2, 2) responses by the implicit function theorem
    evaluations: NDArray[np.int32]  # (object, 5)
    unfinished: NDArray[np.bool_]  # (object,)
    pair_flags: NDArray[np.int32]  # (pair,)
    target: Floats  # (pair,) sigma, arcsec
    psf_pars: Floats  # (pair, 6)
    psf_cov: Floats  # (pair, 6, 6)
    psf_flags: NDArray[np.int32]  # (pair,)


class Stamps(NamedTuple):
    """Input of a batch: transforms and what belongs to each pair of object and epoch."""

    galaxy: Singles  # (pair, 2 modes, 2 modes)
    psf: Singles
    jacobian: Floats  # (pair, 2, 2)
    offset: Floats  # (pair, 2) origin from the stamp's centre, pixels
    sigma: Floats  # (pair,) noise of a pixel
    target: Floats  # (pair,) given sigma of the target PSF, or zero
    start: Integers  # (object + 1,) first pair of each object
    seeds: NDArray[np.uint64]
    psf_images: Singles  # (pair, n, n)
    dense_noise: Singles  # (pair, 2 dense modes, 2 dense modes) for rot90, else (0, 0, 0)
    dense_psf: Singles
    taps: Floats  # (phase, tap) of the interpolation between dense modes


@fast_kernel
def sum_of_squares(image: Singles) -> float:
    """Sum of the squared pixels."""
    total = 0.0
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            total += np.float64(image[j, i]) * image[j, i]
    return total


@inner_kernel
def gaussian_parts() -> Floats:
    """The one component of a Gaussian."""
    parts = np.ones((3, 1))
    parts[1, 0] = 0.0
    return parts


@inner_kernel
def fit_psf(
    epoch: int, pair: int, stamps: Stamps, lattice: Lattice, options: Options, space: Space,
    results: Results,
) -> None:  # fmt: skip
    """Unweighted Gaussian fit to the original PSF: the same sums, without target and priors."""
    modes, jac = options.modes, lattice.jacobians[STAMP, epoch]
    a, _, c = frequency_form(jac)
    m = 1
    while m < modes - 1 and lattice.planes[PSF_POWER, epoch, 0, modes - 1 + m] > 0.25:
        m += 1
    par, cov = results.psf_pars[pair], results.psf_cov[pair]
    fill_line(par, 0.0)
    par[4] = 4.0 * math.log(2.0) / (0.5 * (a + c) * m * m * options.dk * options.dk)
    par[5] = 1.0
    image = stamps.psf_images[pair]
    square = sum_of_squares(image) / np.float64(stamps.psf[pair, 0, 0]) ** 2
    weight = np.empty(1)
    weight[0] = 1e6 / square
    rows = np.empty(1, np.int64)
    rows[0] = modes
    stack = Stack(
        lattice.planes[PSF_RE][epoch : epoch + 1], lattice.planes[PSF_IM][epoch : epoch + 1],
        rows, lattice.jacobians[STAMP][epoch : epoch + 1], np.zeros(1), weight, modes - 1,
        options.dk, Profile(gaussian_parts(), False),
    )  # fmt: skip
    flags, _, chi = fit(
        par, stack, Priors(0.0, 0.0), options.tolerance, options.max_iterations,
        np.zeros((6, 6)), space, cov,
    )  # fmt: skip
    residual = max(chi / weight[0] + square, 0.0)
    factor = residual * weight[0] / (image.size - 6)
    for i in range(6):
        for j in range(6):
            cov[i, j] *= factor
    results.psf_flags[pair] = flags


@inner_kernel
def open_epochs(
    obj: int, stamps: Stamps, lattice: Lattice, options: Options, space: Space, results: Results
) -> int:
    """PSF transforms, PSF fits and target widths of the usable epochs; returns their number.

    A target width of zero means that its rule found none on this lattice.
    """
    count: Any = np.int64(0)  # a literal zero would compile what follows twice
    set_frequencies(space.lines, options.modes - 1, options.dk)
    for pair in range(stamps.start[obj], stamps.start[obj + 1]):
        sigma = stamps.sigma[pair]
        weight = 1.0 / (sigma * sigma)
        good = math.isfinite(stamps.galaxy[pair, 0, 0]) and sigma > 0.0
        if not (good and 0.0 < weight < np.inf and is_pixel(stamps.jacobian[pair])):
            results.pair_flags[pair] = BAD_INPUT
            continue
        psf_re, psf_im = lattice.planes[PSF_RE, count], lattice.planes[PSF_IM, count]
        power = lattice.planes[PSF_POWER, count]
        if not psf_spectrum(stamps.psf[pair], options.modes, psf_re, psf_im, power):
            results.pair_flags[pair] = BAD_PSF
            continue
        copy_plane(stamps.jacobian[pair], lattice.jacobians[STAMP, count])
        fit_psf(count, pair, stamps, lattice, options, space, results)
        width = stamps.target[pair]
        if not width > 0.0:
            width = target_sigma(
                psf_re, power, results.psf_pars[pair], results.psf_flags[pair],
                lattice.jacobians[STAMP, count], lattice.annuli, options,
            )  # fmt: skip
        largest = math.sqrt(CUT) * largest_scale(lattice.jacobians[STAMP, count]) / options.dk
        if width * LEAST_RADIUS > largest:
            results.pair_flags[pair] = BAD_PSF
            continue
        results.pair_flags[pair] = 0
        results.target[pair] = max(width, 0.0)
        lattice.places[PAIR, count] = pair
        lattice.numbers[WEIGHT, count] = weight
        count += 1
    return int(count)


@lean_kernel
def choose_modes(count: int, lattice: Lattice, options: Options, results: Results) -> int:
    """Set the disc of modes of every epoch; returns the largest m_x, or -1 when more are needed.

    On the final lattice, which reaches the Nyquist frequency, a target that is too narrow for the
    pixels is widened to the narrowest that they carry.
    """
    half = 0
    largest = options.modes - 1.0
    for epoch in range(count):
        pair = lattice.places[PAIR, epoch]
        width = results.target[pair]
        scale = largest_scale(lattice.jacobians[STAMP, epoch])
        narrowest = math.sqrt(CUT) * scale / (largest * options.dk)
        if width < narrowest:
            if not options.final:
                return -1
            width = narrowest
            results.target[pair] = width
        lattice.numbers[VARIANCE, epoch] = width * width
        radius = min(math.sqrt(CUT) * scale / (width * options.dk), largest)
        set_reach(lattice, epoch, radius)
        half = max(half, int(radius))
    return half


@lean_kernel
def prepare_noise(
    obj: int, count: int, half: int, stamps: Stamps, lattice: Lattice, kx: Floats,
    options: Options,
) -> None:  # fmt: skip
    """Ratios of all epochs, and what the noise of the five types is made from."""
    planes = lattice.planes
    for epoch in range(count):
        pair, rows, reach = (
            lattice.places[PAIR, epoch],
            lattice.places[ROWS, epoch],
            lattice.reach[epoch],
        )
        divide(
            stamps.galaxy[pair], options.modes, half, rows, reach, planes[PSF_RE, epoch],
            planes[PSF_IM, epoch], planes[PSF_POWER, epoch], planes[RATIO_RE, epoch],
            planes[RATIO_IM, epoch], planes[INVERSE, epoch],
        )  # fmt: skip
        x, y = stamps.offset[pair, 0], stamps.offset[pair, 1]
        if x != 0.0 or y != 0.0:
            ratio_re, ratio_im = planes[RATIO_RE, epoch], planes[RATIO_IM, epoch]
            move_origin(ratio_re, ratio_im, rows, reach, half, options.dk, x, y)
        fill_plane(lattice.planes[RE, epoch], 0.0)
        fill_plane(lattice.planes[IM, epoch], 0.0)
        lattice.numbers[FACTOR, epoch] = 1.0
        if options.noise in (NOISE_MIN, NOISE_DOUBLE):
            white_field(
                stamps.seeds[obj], epoch, options.noise_sign, half, rows, reach,
                lattice.planes[WHITE_RE, epoch], lattice.planes[WHITE_IM, epoch],
            )  # fmt: skip
            lattice.numbers[FACTOR, epoch] = noise_power(
                epoch, lattice, half, lattice.numbers[VARIANCE, epoch], kx, options
            )
        elif options.noise == NOISE_ROT90:
            unfold(stamps.dense_noise[pair], lattice.dense[0, epoch], lattice.dense[1, epoch])
            unfold(stamps.dense_psf[pair], lattice.dense[2, epoch], lattice.dense[3, epoch])
        if options.noise in (NOISE_DOUBLE, NOISE_ROT90):
            lattice.numbers[WEIGHT, epoch] *= 0.5


@lean_kernel
def noise_amplitude(sigma: float, dk: float) -> float:
    """White noise of variance sigma^2 has N^2 sigma^2 per mode, half of it in each part."""
    return sigma * (2.0 * math.pi / dk) * math.sqrt(0.5)


@inner_kernel
def add_responses(
    obj: int, count: int, stack: Stack, priors: Priors, stamps: Stamps, lattice: Lattice,
    options: Options, space: Space, results: Results,
) -> None:  # fmt: skip
    """The responses of the fit to the unsheared data, without further fits."""
    amplitudes = np.zeros(count)
    if options.noise != NOISE_NONE:
        for epoch in range(count):
            sigma = stamps.sigma[lattice.places[PAIR, epoch]]
            amplitudes[epoch] = noise_amplitude(sigma, options.dk)
    implicit_responses(
        results.pars[obj, 0], stack, priors, lattice, amplitudes, options.step, space,
        results.implicit[obj],
    )  # fmt: skip


@inner_kernel
def stack_of_type(
    kind: int, count: int, half: int, stamps: Stamps, lattice: Lattice, options: Options
) -> Stack:
    """The data of one type: ratio plus noise, on the sheared lattice."""
    step, planes = options.step, lattice.planes
    for epoch in range(count):
        pair, jac = lattice.places[PAIR, epoch], lattice.jacobians[STAMP, epoch]
        g1, g2 = SHEARS[kind, 0] * step, SHEARS[kind, 1] * step
        shear_jacobian(jac, g1, g2, lattice.jacobians[TYPE, epoch])
        if options.noise in (NOISE_MIN, NOISE_DOUBLE):
            add_white(
                planes[RATIO_RE, epoch], planes[RATIO_IM, epoch], planes[INVERSE, epoch],
                planes[WHITE_RE, epoch], planes[WHITE_IM, epoch], lattice.power[epoch, kind],
                lattice.numbers[FACTOR, epoch], noise_amplitude(stamps.sigma[pair], options.dk),
                lattice.places[ROWS, epoch], lattice.reach[epoch], half, planes[RE, epoch],
                planes[IM, epoch],
            )  # fmt: skip
        elif options.noise == NOISE_ROT90:
            add_rotated(
                lattice, epoch, half, options.dk, np.float64(stamps.psf[pair, 0, 0]), stamps.taps,
                options.noise_sign,
            )  # fmt: skip
    re, im = lattice.planes[RE], lattice.planes[IM]
    if options.noise == NOISE_NONE:
        re, im = lattice.planes[RATIO_RE], lattice.planes[RATIO_IM]
    return Stack(
        re[:count], im[:count], lattice.places[ROWS][:count], lattice.jacobians[TYPE][:count],
        lattice.numbers[VARIANCE][:count], lattice.numbers[WEIGHT][:count], half, options.dk,
        options.profile,
    )  # fmt: skip


@lean_kernel
def make_priors(count: int, lattice: Lattice, options: Options) -> Priors:
    """Inverse squares of the prior widths; that of the centre is one pixel unless given."""
    centre = options.centre_prior
    if centre == 0.0:
        for epoch in range(count):
            centre += math.sqrt(pixel_area(lattice.jacobians[STAMP, epoch])) / count
    return Priors(options.shape_prior, 1.0 / (centre * centre) if centre > 0.0 else 0.0)


@lean_kernel
def start_values(
    kind: int, stack: Stack, priors: Priors, step: float, space: Space, pars: Floats,
    flags: NDArray[np.int32],
) -> None:  # fmt: skip
    """Start as far from the unsheared solution as the opposite shear ended on the other side.

    The first of the two starts with most of the shear added; without a solution, afresh: round,
    centred, one and a half times the size of the target, with the flux of that.
    """
    par = pars[kind]
    if kind > 0 and flags[0] == 0:
        copy_line(pars[0], par)
        if kind % 2 == 0 and flags[kind - 1] == 0:
            for i in range(par.size):
                par[i] += pars[0, i] - pars[kind - 1, i]
            if par[2] * par[2] + par[3] * par[3] < 0.9 and par[4] > 0.0:
                return
            copy_line(pars[0], par)
        par[2] += 0.8 * step * SHEARS[kind, 0]
        par[3] += 0.8 * step * SHEARS[kind, 1]
        return
    force, normal = space.vectors[0, : par.size], space.matrices[2]
    fill_line(par, 0.0)
    if stack.profile.free:
        par[6] = FRACTION_MEAN
    for epoch in range(stack.target.size):
        par[4] += 1.5 * stack.target[epoch] / stack.target.size
    evaluate(par, stack, priors, space, force, normal)
    par[5] = force[5] / normal[5, 5]


@lean_kernel
def total_weight(stack: Stack) -> float:
    """Sum of the weights of the epochs."""
    total = 0.0
    for weight in stack.weight:
        total += weight
    return total


@lean_kernel
def moment_sums(stack: Stack, variance: float, space: Space, total: Floats) -> None:
    """Weighted flux and second moments of the deconvolved object, mean over epochs."""
    fill_line(total, 0.0)
    weight = total_weight(stack)
    for epoch in range(stack.weight.size):
        jac = stack.jacobian[epoch]
        a, b, c = frequency_form(jac)
        sums = space.sums
        mode_sums(
            stack.re[epoch], stack.im[epoch], stack.rows[epoch], stack.half, stack.dk,
            a * variance, b * variance, c * variance, 0.0, 0.0, space.lines, sums,
        )  # fmt: skip
        det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
        xu, xv, yu, yv = jac[1, 1] / det, -jac[0, 1] / det, -jac[1, 0] / det, jac[0, 0] / det
        # kernel of integral 2 pi variance, that is of height one
        f = stack.weight[epoch] / weight * 2.0 * math.pi * variance / abs(det)
        f *= (stack.dk / (2.0 * math.pi)) ** 2
        total[0] += f * sums[0]
        total[1] += f * (xu * xu * sums[3] + 2.0 * xu * yu * sums[4] + yu * yu * sums[5])
        total[2] += f * (xu * xv * sums[3] + (xu * yv + xv * yu) * sums[4] + yu * yv * sums[5])
        total[3] += f * (xv * xv * sums[3] + 2.0 * xv * yv * sums[4] + yv * yv * sums[5])


@lean_kernel
def moment_variances(
    stack: Stack, lattice: Lattice, kind: int, variance: float, noise: int, coefficient: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """Noise variance of linear combinations of the moment sums; coefficients (4, 4)."""
    fill_line(out, 0.0)
    weight = total_weight(stack)
    for epoch in range(stack.weight.size):
        jac = stack.jacobian[epoch]
        det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
        f = stack.weight[epoch] / weight * 2.0 * math.pi * variance / abs(det)
        f *= stack.dk / (2.0 * math.pi)
        f *= f / stack.weight[epoch]
        for row in range(stack.rows[epoch]):
            twice = 1.0 if row == 0 else 2.0
            for m in range(-lattice.reach[epoch, row], lattice.reach[epoch, row] + 1):
                kx, ky = m * stack.dk, row * stack.dk
                qu = (jac[1, 1] * kx - jac[1, 0] * ky) / det
                qv = (jac[0, 0] * ky - jac[0, 1] * kx) / det
                power = lattice.planes[INVERSE, epoch, row, stack.half + m]
                if noise in (NOISE_MIN, NOISE_DOUBLE):
                    # the weight holds the factor two of the doubled noise already
                    power = lattice.power[epoch, kind, row, stack.half + m]
                    power *= lattice.numbers[FACTOR, epoch] if noise == NOISE_MIN else 1.0
                power *= f * twice * math.exp(-variance * (qu * qu + qv * qv))
                for k in range(4):
                    c = coefficient[k]
                    s = c[0] + c[1] * qu * qu + c[2] * qu * qv + c[3] * qv * qv
                    out[k] += power * s * s


@inner_kernel
def measure_moments(
    obj: int, kind: int, stack: Stack, lattice: Lattice, options: Options, space: Space,
    results: Results,
) -> None:  # fmt: skip
    """Replace a failed fit by the moments of the deconvolved object under a fixed round Gaussian.

    Flux and size are those seen through the weight, not totals.
    """
    variance = options.moment_variance
    for epoch in range(stack.target.size):
        variance = max(variance, stack.target[epoch])
    total, noise, coefficient = np.zeros(4), np.zeros(4), np.zeros((4, 4))
    moment_sums(stack, variance, space, total)
    par, cov = results.pars[obj, kind], results.cov[obj, kind]
    fill_line(par, np.nan)
    fill_plane(cov, np.nan)
    results.flags[obj, kind] |= FALLBACK
    v2 = variance * variance
    flux = total[0]
    muu = variance * flux - v2 * total[1]
    mvv = variance * flux - v2 * total[3]
    size = muu + mvv
    e1, e2 = (muu - mvv) / size, -2.0 * v2 * total[2] / size
    e = e1 * e1 + e2 * e2
    if not (size > 0.0 and e < 1.0 and flux > 0.0):
        return
    f = 1.0 / (1.0 + math.sqrt(1.0 - e))
    par[0], par[1], par[2], par[3] = 0.0, 0.0, f * e1, f * e2
    par[4], par[5] = size / flux, flux
    # linear response of e1, e2, T and flux to the sums
    half = v2 / size
    c = coefficient
    c[0, 0], c[0, 1], c[0, 3] = -2.0 * variance * e1 / size, half * (e1 - 1.0), half * (e1 + 1.0)
    c[1, 0], c[1, 1], c[1, 3] = -2.0 * variance * e2 / size, half * e2, half * e2
    c[1, 2] = -2.0 * half
    c[2, 0], c[2, 1], c[2, 3] = (2.0 * variance - size / flux) / flux, -v2 / flux, -v2 / flux
    c[3, 0] = 1.0
    moment_variances(stack, lattice, kind, variance, options.noise, coefficient, noise)
    cov[2, 2], cov[3, 3] = noise[0] * f * f, noise[1] * f * f
    cov[4, 4], cov[5, 5] = noise[2], noise[3]
    results.s2n[obj, kind] = flux / math.sqrt(noise[3])


@kernel
def measure_batch(stamps: Stamps, options: Options, results: Results) -> None:
    """Measure every object of a batch; objects that need more modes are marked unfinished.

    One function rather than two: every level above the fit doubles its compilation.
    """
    epochs: Any = np.int64(1)
    for obj in range(stamps.seeds.size):
        epochs = max(epochs, stamps.start[obj + 1] - stamps.start[obj])
    dense = max(0, stamps.dense_noise.shape[1] - 1)
    lattice = make_lattice(epochs, options.modes, dense)
    space = make_space(lattice.planes.shape[3])
    for obj in range(stamps.seeds.size):
        count = open_epochs(obj, stamps, lattice, options, space, results)
        if count == 0:
            empty = stamps.start[obj] == stamps.start[obj + 1]
            for kind in range(5):
                results.flags[obj, kind] = NO_EPOCH if empty else NO_EPOCH | BAD_INPUT
            continue
        half = choose_modes(count, lattice, options, results)
        if half < 0:
            results.unfinished[obj] = True
            continue
        set_frequencies(space.lines, half, options.dk)
        prepare_noise(obj, count, half, stamps, lattice, space.lines[4], options)
        priors = make_priors(count, lattice, options)
        second = np.zeros((7, 7))
        pars = results.pars[obj]
        failed = 0
        for step in range(10):
            # five fits; once more over the types when moments must stand in
            kind = step % 5
            if step == 5 and (failed == 0 or not options.moment_variance > 0.0):
                break
            stack = stack_of_type(kind, count, half, stamps, lattice, options)
            if step >= 5:
                measure_moments(obj, kind, stack, lattice, options, space, results)
                continue
            start_values(kind, stack, priors, options.step, space, pars, results.flags[obj])
            flags, evaluations, _ = fit(
                pars[kind], stack, priors, options.tolerance, options.max_iterations, second,
                space, results.cov[obj, kind],
            )  # fmt: skip
            results.flags[obj, kind] = flags
            results.evaluations[obj, kind] = evaluations
            results.s2n[obj, kind] = signal_to_noise(pars[kind], stack, space)
            failed |= flags
            if kind == 0 and options.implicit and flags == 0:
                add_responses(
                    obj, count, stack, priors, stamps, lattice, options, space, results
                )  # fmt: skip
            if not options.types:
                break
