"""Shear bias of the measurement itself, from simulated galaxies of known shear.

The galaxies are those of a library (`purepipe.shapes.draw_library`). Noise comes in pairs of
opposite sign, and so does the noise that the estimator adds; plus and minus share both. This, and
libraries whose pixel grid is sheared with the galaxy, remove most of the scatter from the bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.display import brief
from purepipe.errors import ConfigError
from purepipe.rng import generator, object_seeds
from purepipe.shapes.library import SIDE, GalaxyLibrary, draw_library
from purepipe.shapes.metacal import metacal_fit

# The estimator is linear in the shear only to first order: bias of noise-free images at 0.02.
EXPECTED_M = 3.2e-4
_GROUPS = 100
_BLOCK = 250  # galaxies in memory at a time


@dataclass(frozen=True, eq=False)
class ShearTest:
    """Bias of a shear measurement, g = (1 + m) gamma + c.

    Attributes
    ----------
    m, m_err
        Multiplicative bias, both components together, and its jackknife error.
    m_by_component, m_by_component_err
        (2,) the same for each component.
    c, c_err
        (2,) additive bias and its error.
    response
        Mean shear response.
    pairs
        Number of pairs of opposite shear.
    failures
        Pairs left out because a fit of theirs failed.
    snr
        S/N of the galaxies; infinite without noise.
    """

    m: float
    m_err: float
    m_by_component: NDArray[np.float64]
    m_by_component_err: NDArray[np.float64]
    c: NDArray[np.float64]
    c_err: NDArray[np.float64]
    response: float
    pairs: int
    failures: int
    snr: float

    __repr__ = brief


def selftest_shear(
    *,
    galaxies: int = 200,
    repeats: int = 1,
    snr: float = math.inf,
    seed: int = 0,
    threads: int = 1,
    library: GalaxyLibrary | None = None,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> ShearTest:
    """Multiplicative and additive shear bias of `metacal_fit` on simulated galaxies.

    Parameters
    ----------
    galaxies
        Number of galaxies to draw, four versions each; ignored with a `library`.
    repeats
        Noise realisations per galaxy; each is used with both signs.
    snr
        Signal-to-noise ratio of every galaxy, all epochs together; infinite for no noise.
    seed
        Of galaxies and noise.
    threads
        Number of threads of the fits.
    library
        Stamps from `draw_library`, to save drawing them again.
    progress
        Called with the number of realisations done and the total.
    **choices
        Passed to `metacal_fit`, for instance ``noise="double"``.

    Notes
    -----
    ``m = <g+ - g->/(2 gamma <R>) - 1`` and ``c = <g+ + g->/(2 <R>)``, with errors from leaving out
    one of 100 groups of galaxies. If one of the versions of a galaxy fails, all are left out.

    Raises
    ------
    ConfigError
        Fewer than two galaxies, or a number out of range.
    """
    if galaxies < 4 or repeats < 1 or not snr > 0:
        raise ConfigError(
            "out of range", key="selftest", got=(galaxies, repeats, snr),
            allowed="from 4 galaxies, from 1 repeat, S/N above 0",
        )  # fmt: skip
    library = library or draw_library(galaxies, seed=seed)
    number = len(library.images)
    signs = (1.0,) if math.isinf(snr) else (1.0, -1.0)
    repeats = 1 if math.isinf(snr) else repeats
    sums = np.zeros((number, 6))
    for repeat in range(repeats):
        for first in range(0, number, _BLOCK):
            part = slice(first, min(first + _BLOCK, number))
            noise, sigma = _noise(library, part, snr, seed, repeat)
            seeds = object_seeds(
                seed, "shear test", np.arange(part.start, part.stop) + 0.5, np.full(
                    part.stop - part.start, float(repeat)
                ),
            )  # fmt: skip
            for sign in signs:
                sums[part] += _measure(library, part, sign * noise, sigma, seeds, sign, threads,
                                       choices)  # fmt: skip
        if progress is not None:
            progress(repeat + 1, repeats)
    return _bias(sums, library, snr)


def _noise(
    library: GalaxyLibrary, part: slice, snr: float, seed: int, repeat: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Noise of both turns, the same for both signs of the shear; and its rms per galaxy."""
    images = library.images[part]
    total = np.einsum("gexy,gexy->g", images[:, 0, 0], images[:, 0, 0], dtype=np.float64)
    if math.isinf(snr):
        return np.zeros((1, 1, 1, 1, 1, 1), np.float32), 1e-5 * np.sqrt(total)
    sigma = np.sqrt(total) / snr
    rng = generator(seed, "shear test noise", repeat, part.start)
    shape = (len(images), 1, *images.shape[2:])
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise *= sigma[:, None, None, None, None, None].astype(np.float32)
    return noise, sigma


def _measure(
    library: GalaxyLibrary, part: slice, noise: NDArray[np.float32], sigma: NDArray[np.float64],
    seeds: NDArray[np.uint64], sign: float, threads: int, choices: dict[str, Any],
) -> NDArray[np.float64]:  # fmt: skip
    """Sums over the turns of each galaxy, (galaxy, 6).

    1; g+ - g- and g+ + g- of the sheared component; g+ + g- of the other; response; failures.
    """
    images = library.images[part] + noise
    number, _, turns, epochs = images.shape[:4]
    stamps = images.reshape(-1, epochs, SIDE, SIDE)
    one, other = library.component[part], 1 - library.component[part]
    result = metacal_fit(
        stamps,
        np.repeat(library.psfs[one].reshape(-1, epochs, SIDE, SIDE), turns, axis=0),
        np.repeat(library.jacobians[one].reshape(-1, epochs, 2, 2), turns, axis=0),
        np.repeat(sigma, 2 * turns)[:, None],
        seed=np.repeat(seeds, 2 * turns),
        flip_noise=sign < 0,
        threads=threads,
        **choices,
    )
    good = result.good.reshape(number, -1).all(axis=1)
    shapes = np.nan_to_num(result.shapes[:, 0]).reshape(number, 2, turns, 2).sum(axis=2)
    rows = np.arange(number)
    response = result.response.reshape(number, -1, 2, 2).mean(axis=1)[rows, one, one]
    terms = np.stack(
        [
            np.full(number, float(turns)),
            shapes[rows, 0, one] - shapes[rows, 1, one],
            shapes[rows, 0, one] + shapes[rows, 1, one],
            shapes[rows, 0, other] + shapes[rows, 1, other],
            turns * response,
            np.zeros(number),
        ],
        axis=1,
    )
    terms[~good] = 0.0
    terms[~good, 5] = turns
    return terms


def _bias(sums: NDArray[np.float64], library: GalaxyLibrary, snr: float) -> ShearTest:
    number = len(sums)
    groups = min(_GROUPS, number // 2)
    # groups hold both sheared components
    labels = np.arange(number) // 4 % groups if number >= 4 * groups else np.arange(number) % groups
    by_component = np.zeros((2, groups, 6))
    np.add.at(by_component, (library.component, labels), sums)
    total = by_component.sum(axis=1)
    values = _estimate(total, library.gamma)
    left_out = np.array(
        [_estimate(total - by_component[:, group], library.gamma) for group in range(groups)]
    )
    error = np.sqrt((groups - 1) * left_out.var(axis=0))
    return ShearTest(
        m=float(values[0]),
        m_err=float(error[0]),
        m_by_component=values[3:5],
        m_by_component_err=error[3:5],
        c=values[1:3],
        c_err=error[1:3],
        response=float(total[:, 4].sum() / total[:, 0].sum()),
        pairs=int(sums[:, 0].sum()),
        failures=int(sums[:, 5].sum()),
        snr=snr,
    )


def _estimate(total: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """(m, c1, c2, m1, m2) from the sums of the galaxies sheared in component 1, component 2."""
    both = total.sum(axis=0)
    # each component is the sheared one for half of the galaxies, and the other for the rest
    sum1 = total[0, 2] + total[1, 3]
    sum2 = total[1, 2] + total[0, 3]
    m = [rows[1] / (2 * gamma * rows[4]) - 1 for rows in (both, *total)]
    return np.array([m[0], sum1 / (2 * both[4]), sum2 / (2 * both[4]), *m[1:]])
