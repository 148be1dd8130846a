"""Stamps made ready for the fit: bad pixels, noise level, flux scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel, lean_kernel
from purepipe.flags import EpochFlag
from purepipe.shapes.noise_nb import mix, normal_pair

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MASKED = int(EpochFlag.MASKED)
NO_DATA = int(EpochFlag.NO_DATA)

MAD_TO_SIGMA = 1.482602218505602
BINS = 1024
RANGE = 6.0  # of the histogram, in sigma of a few pixels
SAMPLE = 101
CUT = 4.0  # of the weight of the moments, in sigma
# The object ends where a round Gaussian of its second moments, WIDEN times as large since real
# profiles have wider wings, falls below FAINT times the noise.
WIDEN = 1.3
FAINT = 0.2
# Bad pixels: the ratio of image and model comes from the pixels this far AROUND, and from the prior
# knowledge that it is one with this width.
AROUND = 2
RATIO_WIDTH = 0.3
LEAST_FRACTION = 0.3  # of the good pixels must remain for the noise


@lean_kernel
def kth_smallest(values: Floats, k: int) -> float:
    """The value in place k if they were sorted (Hoare 1961, algorithm 65); changes their order."""
    low, high = 0, values.size - 1
    while low < high:
        pivot = values[k]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j
    smallest: float = values[k]
    return smallest


@inner_kernel
def sample_scale(values: Singles, number: int) -> Any:
    """Median and sigma (by median absolute deviation) of about a hundred of the values."""
    stride = max(1, number // SAMPLE)
    size = (number + stride - 1) // stride
    few = np.empty(size)
    for i in range(size):
        few[i] = values[i * stride]
    centre = kth_smallest(few, size // 2)
    for i in range(size):
        few[i] = abs(few[i] - centre)
    return centre, MAD_TO_SIGMA * kth_smallest(few, size // 2)


@inner_kernel
def mad_sigma(values: Singles, number: int, counts: NDArray[np.int64]) -> float:
    """1.4826 times the median absolute deviation of the first `number` values.

    From a histogram with bins of about sigma/85, interpolated; zero when half of them are equal.
    """
    if number == 0:
        return 0.0
    centre, scale = sample_scale(values, number)
    if not scale > 0.0:
        return 0.0
    low = centre - RANGE * scale
    per_bin = BINS / (2.0 * RANGE * scale)
    counts[:] = 0
    for i in range(number):
        x = (values[i] - low) * per_bin
        counts[0 if x < 0.0 else (BINS + 1 if x >= BINS else int(x) + 1)] += 1
    for place in range(1, BINS + 2):
        counts[place] += counts[place - 1]
    # counts[k] is now the number of values below edge k of the bins
    place = 0
    while counts[place] < 0.5 * number and place < BINS:
        place += 1
    median = np.float64(place)
    if place > 0:
        inside = counts[place] - counts[place - 1]
        median -= (counts[place] - 0.5 * number) / max(inside, 1)
    # widen the interval around the median by half bins until it holds half of the values
    reach, before, held = 0.0, 0.0, 0.0
    while held < 0.5 * number and reach < BINS:
        before = held
        reach += 0.5
        held = number_below(counts, median + reach) - number_below(counts, median - reach)
    reach -= 0.5 * (held - 0.5 * number) / max(held - before, 1e-30)
    sigma: float = MAD_TO_SIGMA * reach / per_bin
    return sigma


@inner_kernel
def number_below(counts: NDArray[np.int64], edge: float) -> float:
    """Number of values below a place given in bins, from the cumulated histogram."""
    if edge <= 0.0:
        return np.float64(counts[0])
    if edge >= BINS:
        return np.float64(counts[BINS])
    whole = int(edge)
    inside = counts[whole + 1] - counts[whole]
    number: float = counts[whole] + (edge - whole) * inside
    return number


@inner_kernel
def round_moments(image: Singles, bad: NDArray[np.bool_], start: float, line: Floats) -> Any:
    """Peak and width (pixels) of the round Gaussian that matches the object; zeros if none."""
    side = image.shape[0]
    width2 = start * start
    peak = 0.0
    for _ in range(8):
        for i in range(side):
            x = i - 0.5 * (side - 1)
            line[i] = math.exp(-0.5 * x * x / width2)
        flux, second = 0.0, 0.0
        first = max(0, int(0.5 * (side - 1) - CUT * math.sqrt(width2)))
        for j in range(first, side - first):
            y2 = (j - 0.5 * (side - 1)) ** 2
            for i in range(first, side - first):
                if not bad[j, i]:
                    value = line[j] * line[i] * image[j, i]
                    flux += value
                    second += value * (y2 + (i - 0.5 * (side - 1)) ** 2)
        if not (flux > 0.0 and second > 0.0):
            return 0.0, 0.0
        # the product of profile and weight has the variance of both in parallel
        both = 0.5 * second / flux
        if not both < width2:
            return 0.0, 0.0
        peak = flux / (2.0 * math.pi * both)
        profile = 1.0 / (1.0 / both - 1.0 / width2)
        if not 0.25 < profile < (0.25 * side) ** 2:
            return 0.0, 0.0
        done = abs(profile - width2) < 0.05 * width2
        width2 = profile
        if done:
            break
    return peak, math.sqrt(width2)


@inner_kernel
def noise_sigma(
    image: Singles, bad: NDArray[np.bool_], start: float, values: Singles, line: Floats,
    counts: NDArray[np.int64],
) -> float:  # fmt: skip
    """Noise of the good pixels outside the object at the stamp's centre."""
    side = image.shape[0]
    number: Any = np.int64(0)
    for j in range(side):
        for i in range(side):
            if not bad[j, i]:
                values[number] = image[j, i]
                number += 1
    sigma = mad_sigma(values, number, counts)
    peak, width = round_moments(image, bad, start, line)
    if not peak > FAINT * sigma:
        return sigma
    reach2 = 2.0 * (WIDEN * width) ** 2 * math.log(peak / (FAINT * sigma))
    outside: Any = np.int64(0)
    for j in range(side):
        y2 = (j - 0.5 * (side - 1)) ** 2
        for i in range(side):
            if not bad[j, i] and y2 + (i - 0.5 * (side - 1)) ** 2 > reach2:
                values[outside] = image[j, i]
                outside += 1
    if outside < LEAST_FRACTION * number:
        return sigma
    return mad_sigma(values, outside, counts)


@kernel
def prepare_stamps(
    images: Singles, weights: Singles, masks: NDArray[np.int32], flux_scale: Floats,
    starts: Floats, seeds: NDArray[np.uint64], numbers: NDArray[np.int64], fraction: float,
    out: Singles, bad_pixels: NDArray[np.bool_], sigma: Floats, good: Floats,
    flags: NDArray[np.int32],
) -> None:  # fmt: skip
    """Scale stamps, measure their noise and fill bad pixels with it, for pairs without a flag.

    `starts` are first guesses of the object's width in pixels, `seeds` and `numbers` name the
    stream of each stamp; `bad_pixels` receives the bad ones and `good` the fraction of the others.
    """
    side = images.shape[1]
    values = np.empty(side * side, np.float32)
    line = np.empty(side)
    counts = np.empty(BINS + 2, np.int64)
    for pair in range(images.shape[0]):
        if flags[pair] != 0:
            continue
        number, with_data = 0, 0
        bad = bad_pixels[pair]
        for j in range(side):
            for i in range(side):
                weight = weights[pair, j, i]
                value = images[pair, j, i] * np.float32(flux_scale[pair])
                data = weight > 0.0 and math.isfinite(value)
                usable = data and masks[pair, j, i] == 0
                with_data += data
                bad[j, i] = not usable
                out[pair, j, i] = value if usable else np.float32(0.0)
                number += usable
        good[pair] = number / (side * side)
        if with_data == 0:
            flags[pair] |= NO_DATA
        elif number == 0 or 1.0 - good[pair] > fraction:
            flags[pair] |= MASKED
        else:
            sigma[pair] = noise_sigma(out[pair], bad, starts[pair], values, line, counts)
            if not sigma[pair] > 0.0:
                flags[pair] |= NO_DATA
                continue
            seed = mix(seeds[pair])
            for j in range(side):
                for i in range(side):
                    if bad[j, i]:
                        place = numbers[pair] * side * side + j * side + i
                        out[pair, j, i] = sigma[pair] * normal_pair(seed, place)[0]


@kernel
def add_model(
    images: Singles, bad: NDArray[np.bool_], jacobians: Floats, offsets: Floats, sigmas: Floats,
    pars: Floats, psf_pars: Floats, usable: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Add what the object is expected to show to the bad pixels of each stamp.

    The expectation is the Gaussian of object and PSF, times the ratio of the image to it in the
    good pixels around, which prior knowledge keeps near one.
    """
    side = images.shape[1]
    for pair in range(images.shape[0]):
        if not usable[pair]:
            continue
        jac, par, psf = jacobians[pair], pars[pair], psf_pars[pair]
        det = jac[0, 0] * jac[1, 1] - jac[0, 1] * jac[1, 0]
        quu, quv, qvv = 0.0, 0.0, 0.0  # covariance of the sum, arcsec^2
        for k in range(2):
            p = par if k == 0 else psf
            g = 1.0 + p[2] * p[2] + p[3] * p[3]
            quu += 0.5 * p[4] * (1.0 + 2.0 * p[2] / g)
            qvv += 0.5 * p[4] * (1.0 - 2.0 * p[2] / g)
            quv += p[4] * p[3] / g
        area = quu * qvv - quv * quv
        if not (area > 0.0 and quu > 0.0):
            continue
        height = par[5] * psf[5] * abs(det) / (2.0 * math.pi * math.sqrt(area))
        u0, v0 = par[0] + psf[0], par[1] + psf[1]
        x0 = 0.5 * (side - 1) + offsets[pair, 0] + (jac[1, 1] * u0 - jac[0, 1] * v0) / det
        y0 = 0.5 * (side - 1) + offsets[pair, 1] + (jac[0, 0] * v0 - jac[1, 0] * u0) / det
        # exponent -(a x^2 + 2 b x y + c y^2)/2 in pixels
        a = (qvv * jac[0, 0] ** 2 - 2.0 * quv * jac[0, 0] * jac[1, 0] + quu * jac[1, 0] ** 2) / area
        c = (qvv * jac[0, 1] ** 2 - 2.0 * quv * jac[0, 1] * jac[1, 1] + quu * jac[1, 1] ** 2) / area
        b = qvv * jac[0, 0] * jac[0, 1] + quu * jac[1, 0] * jac[1, 1]
        b = (b - quv * (jac[0, 0] * jac[1, 1] + jac[0, 1] * jac[1, 0])) / area
        for j in range(side):
            for i in range(side):
                if bad[pair, j, i]:
                    images[pair, j, i] += _expected(
                        images[pair], bad[pair], i, j, x0, y0, a, b, c, height, sigmas[pair]
                    )


@inner_kernel
def _expected(
    image: Singles, bad: NDArray[np.bool_], i: int, j: int, x0: float, y0: float, a: float,
    b: float, c: float, height: float, sigma: float,
) -> float:  # fmt: skip
    """The Gaussian at one pixel, scaled to the good pixels around it."""
    prior = 1.0 / (RATIO_WIDTH * RATIO_WIDTH)
    up, down = prior, prior
    expected = 0.0
    for n in range(max(0, j - AROUND), min(image.shape[0], j + AROUND + 1)):
        for m in range(max(0, i - AROUND), min(image.shape[1], i + AROUND + 1)):
            x, y = m - x0, n - y0
            model = height * math.exp(-0.5 * (a * x * x + 2.0 * b * x * y + c * y * y))
            if m == i and n == j:
                expected = model
            elif not bad[n, m]:
                up += image[n, m] * model / (sigma * sigma)
                down += model * model / (sigma * sigma)
    return expected * up / down
