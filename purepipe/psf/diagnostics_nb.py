"""Compiled fit of an elliptical Moffat profile to an image, by Levenberg and Marquardt.

Parameters: amplitude, x and y of the centre (pixels of the image), Qxx, Qxy, Qyy, beta. The profile
is ``amplitude * (1 + K q)**-beta`` with ``q = Qxx dx^2 + 2 Qxy dx dy + Qyy dy^2`` and
``K = 4 (2**(1/beta) - 1)``, so that the eigenvalues of Q are the inverse squares of the full widths
at half maximum: beta hardly moves them, and a round profile is no special case.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

PARAMETERS = 7
MIN_BETA, MAX_BETA = 0.5, 10.0
# Relative drop of the squared residuals below which a step counts as the last one.
TOLERANCE = 1e-10
MAX_STEPS = 200


@inner_kernel
def moffat_pixel(
    x: float, y: float, p: NDArray[Any], number: int, width: float, d: NDArray[Any]
) -> float:
    """Moffat profile at a pixel, and its derivatives by the parameters into `d`.

    The mean over ``number**2`` points of a square of `width` about the centre of the pixel.
    """
    power = 2.0 ** (1.0 / p[6])
    factor = 4.0 * (power - 1.0)
    slope = -4.0 * power * math.log(2.0) / (p[6] * p[6])
    total = 0.0
    d[:] = 0.0
    for j in range(number):
        dy = y - p[2] + ((j + 0.5) / number - 0.5) * width
        for i in range(number):
            dx = x - p[1] + ((i + 0.5) / number - 0.5) * width
            gx, gy = p[3] * dx + p[4] * dy, p[4] * dx + p[5] * dy
            q = gx * dx + gy * dy
            s = 1.0 + factor * q
            log_s = math.log(s)
            shape = math.exp(-p[6] * log_s)
            value = p[0] * shape
            by_q = -p[6] * factor * value / s
            total += value
            d[0] += shape
            d[1] -= 2.0 * by_q * gx
            d[2] -= 2.0 * by_q * gy
            d[3] += by_q * dx * dx
            d[4] += 2.0 * by_q * dx * dy
            d[5] += by_q * dy * dy
            d[6] -= value * (log_s + p[6] * q * slope / s)
    scale = 1.0 / (number * number)
    d *= scale
    return total * scale


@inner_kernel
def normal_equations(
    image: NDArray[Any],
    p: NDArray[Any],
    number: int,
    width: float,
    normal: NDArray[Any],
    right: NDArray[Any],
) -> float:
    """Squared residuals of a profile; the normal matrix (lower half) and its right side."""
    d = np.empty(PARAMETERS)
    normal[:] = 0.0
    right[:] = 0.0
    total = 0.0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            r = np.float64(image[y, x]) - moffat_pixel(float(x), float(y), p, number, width, d)
            total += r * r
            for k in range(PARAMETERS):
                right[k] += d[k] * r
                for m in range(k + 1):
                    normal[k, m] += d[k] * d[m]
    return total


@inner_kernel
def solve_damped(
    n: int, normal: NDArray[Any], damping: float, right: NDArray[Any], step: NDArray[Any]
) -> bool:
    """Solve for the first `n` parameters, with the diagonal enlarged by `damping`.

    The other steps are 0. False where the matrix is not positive.
    """
    factor = np.zeros((n, n))
    step[:] = 0.0
    for k in range(n):
        for m in range(k + 1):
            value = normal[k, m] * (1.0 + damping if k == m else 1.0)
            for i in range(m):
                value -= factor[k, i] * factor[m, i]
            if k == m:
                if not value > 0.0:
                    return False
                factor[k, k] = math.sqrt(value)
            else:
                factor[k, m] = value / factor[m, m]
    for k in range(n):
        value = right[k]
        for i in range(k):
            value -= factor[k, i] * step[i]
        step[k] = value / factor[k, k]
    for k in range(n - 1, -1, -1):
        value = step[k]
        for i in range(k + 1, n):
            value -= factor[i, k] * step[i]
        step[k] = value / factor[k, k]
    return True


@kernel
def fit_moffat(image: NDArray[Any], p: NDArray[Any], number: int, width: float) -> bool:
    """Improve the profile `p` until it fits the image best; whether the fit converged."""
    normal, right = np.empty((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    trial_normal, trial_right = normal.copy(), right.copy()
    step, trial = np.empty(PARAMETERS), np.empty(PARAMETERS)
    total = normal_equations(image, p, number, width, normal, right)
    damping = 1e-3
    for _ in range(MAX_STEPS):
        # At its limit beta, the last parameter, stays where it is if the fit would go beyond.
        held = (p[6] >= MAX_BETA and right[6] > 0.0) or (p[6] <= MIN_BETA and right[6] < 0.0)
        n = PARAMETERS - 1 if held else PARAMETERS
        if not solve_damped(n, normal, damping, right, step):
            return False
        trial[:] = p + step
        trial[6] = min(max(trial[6], MIN_BETA), MAX_BETA)
        if trial[3] * trial[5] <= trial[4] * trial[4] or trial[3] <= 0.0:
            damping *= 10.0
            continue
        squares = normal_equations(image, trial, number, width, trial_normal, trial_right)
        if squares <= total:
            done = total - squares <= TOLERANCE * total
            p[:] = trial
            normal[:], right[:], total = trial_normal, trial_right, squares
            damping = max(0.1 * damping, 1e-9)
            if done:
                return True
        else:
            damping *= 10.0
            if not damping < 1e12:
                # No smaller sum within the precision of the numbers: this is the minimum.
                return bool(np.isfinite(total))
    return False


@kernel
def moffat_image(p: NDArray[Any], number: int, width: float, out: NDArray[Any]) -> None:
    """Image of a Moffat profile."""
    d = np.empty(PARAMETERS)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = moffat_pixel(float(x), float(y), p, number, width, d)
