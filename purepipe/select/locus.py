"""The stellar locus: where it lies among sizes, how wide it is, and which objects are its stars.

Sizes are natural logarithms. The locus starts at the smallest size that stands out among its
neighbours; it is refined by clipped fits, which follow the PSF over the CCD. Its dispersion is
taken from the smaller side, where no galaxies are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from purepipe.select.mode import half_sample_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

# Range of ln(size) within which the centre lies.
_WINDOW = 0.05
# The first size that stands out this much, relative to the one that does most, is the stars'.
_FIRST_PEAK = 0.6
# Dispersion of the locus at high S/N: where it is searched, what is assumed and how many stars
# that is worth, and the least and most allowed.
_SEARCHED_SCATTER = 0.01
_PRIOR_SCATTER = 0.015
_PRIOR_WEIGHT = 5
_MIN_SCATTER = 0.008
_MAX_SCATTER = 0.03
# Expected growth of the size with 1 / snr, and change from the centre of the CCD to its edge.
_TREND = 1.5
_VARIATION = 0.02
# Star probabilities. Similar S/N means a factor of about e^0.5; offsets in ln(size) from the
# locus, their grid and range; share of the stars whose sizes have the full noise.
_SNR_KERNEL = 0.5
_LOG_SNR = (0.0, 15.0)
_OFFSETS = (-0.3, 1.0)
_STEP = 0.002
_WINGS = 0.2
_ROUNDS = 8
# Galaxies are where others are, from this deviation on; everywhere else this share of them.
_FIRST_GALAXIES = 1.5
_FLOOR = 0.02


@dataclass(frozen=True, eq=False)
class Sizes:
    """Logarithms of sizes, their noise, S/N, and the terms that a star's size may depend on."""

    size: Floats
    noise: Floats
    snr: Floats
    terms: Floats

    def take(self, rows: Bools) -> Sizes:
        """The given rows."""
        return Sizes(self.size[rows], self.noise[rows], self.snr[rows], self.terms[rows])


@dataclass(frozen=True, eq=False)
class Locus:
    """Stars have ln(size) = terms @ coefficients, with a dispersion that grows with 1 / snr."""

    coefficients: Floats
    scatter: float

    def deviation(self, sizes: Sizes) -> Floats:
        """Offset from the locus in units of its dispersion."""
        offset: Floats = sizes.size - sizes.terms @ self.coefficients
        return offset / np.hypot(self.scatter, sizes.noise)


def fit_locus(sizes: Sizes, clip: float) -> Locus:
    """Fit the locus to clean objects by clipping around the first size that stands out."""
    start = _first_peak(sizes.size, sizes.noise)
    near = np.abs(sizes.size - start) < 2 * np.hypot(_SEARCHED_SCATTER, sizes.noise)
    coefficients = np.zeros(sizes.terms.shape[1])
    coefficients[0] = half_sample_mode(sizes.size[near])
    locus = Locus(coefficients, 2 * _SEARCHED_SCATTER)
    member = np.zeros(len(near), dtype=np.bool_)
    for _ in range(30):
        z = locus.deviation(sizes)
        likely = star_probability(z, sizes, locus.scatter, clip) > 0.5
        previous, member = member, (np.abs(z) < clip) & likely
        if not member.any() or np.array_equal(member, previous):
            break
        locus = _refine(sizes.take(member), locus)
    return locus


def _refine(members: Sizes, locus: Locus) -> Locus:
    """Centre, dependences and dispersion of the members of the locus.

    A least-squares fit in which every dependence is expected to be small, so that few stars
    cannot make it large.
    """
    error = np.hypot(locus.scatter, members.noise)
    centre = _weighted_median(members.size, 1 / error**2)
    expected = np.zeros(members.terms.shape[1])
    expected[0], expected[1] = centre, _TREND
    tolerance = np.full(len(expected), _VARIATION)
    tolerance[0], tolerance[1] = _WINDOW, _TREND
    design = np.vstack([members.terms / error[:, None], np.diag(1 / tolerance)])
    target = np.concatenate([members.size / error, expected / tolerance])
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    offset = members.size - members.terms @ coefficients
    return Locus(coefficients, _lower_scatter(offset, members.noise))


def _first_peak(size: Floats, noise: Floats) -> float:
    """The smallest size that stands out among its neighbours.

    Objects within two sigma of a trial size are compared with those from two to four sigma on
    either side, whose geometric mean is what galaxies, getting rarer toward small sizes, would
    leave there. Galaxies may outnumber the stars, but their sizes are larger and make no peak as
    narrow as the noise.
    """
    sigma = np.hypot(_SEARCHED_SCATTER, noise)
    trial = np.arange(size.min(), size.max() + _WINDOW, _WINDOW / 10)
    excess = np.empty(len(trial))
    for k, centre in enumerate(trial):
        z = (size - centre) / sigma
        inside = np.count_nonzero(np.abs(z) < 2)
        below = np.count_nonzero((z > -4) & (z <= -2))
        above = np.count_nonzero((z >= 2) & (z < 4))
        background = 2 * np.sqrt((below + 0.5) * (above + 0.5))
        excess[k] = (inside - background) / np.sqrt(inside + background)
    first = int(np.argmax(excess >= _FIRST_PEAK * excess.max()))
    return float(trial[first + np.argmax(excess[first : first + 10])])


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _lower_scatter(offset: Floats, noise: Floats) -> float:
    """Dispersion beyond the noise, from the objects smaller than the centre.

    Few objects say little: the guess counts as much as `_PRIOR_WEIGHT` of them.
    """
    lower = offset <= 0
    n = np.count_nonzero(lower)
    if n == 0:
        return _PRIOR_SCATTER
    excess = (1.4826 * np.median(-offset[lower])) ** 2 - np.median(noise[lower]) ** 2
    mean = (n * max(excess, 0.0) + _PRIOR_WEIGHT * _PRIOR_SCATTER**2) / (n + _PRIOR_WEIGHT)
    return float(np.clip(np.sqrt(mean), _MIN_SCATTER, _MAX_SCATTER))


def star_probability(z: Floats, sizes: Sizes, scatter: float, clip: float) -> Floats:
    """Probability that an object at deviation `z` of the locus is a star.

    Stars are normal in z, most as narrow as the smaller side of the locus shows, some as wide as
    expected. Galaxies are where others are, by size and S/N, each smeared by the noise and without
    the object itself; below the centre of the locus they die out. Both are counted among objects
    of similar S/N, and follow from the probabilities of the round before.
    """
    sigma = np.hypot(scatter, sizes.noise)
    grid = _CountGrid.around(np.log(sizes.snr), z * sigma, sigma)
    probability = np.where(np.abs(z) < clip, 0.9, 0.0)
    for _ in range(_ROUNDS):
        width = _core_width(z[(probability > 0.5) & (z < 0)])
        core = np.exp(-0.5 * (z / width) ** 2) / width
        shape = (1 - _WINGS) * core + _WINGS * np.exp(-0.5 * z * z)
        stars = grid.stars(probability) * shape / (np.sqrt(2 * np.pi) * sigma)
        galaxies = grid.galaxies((1 - probability) * (z > _FIRST_GALAXIES))
        galaxies *= np.clip(1 + z / clip, 0.0, 1.0)
        probability = stars / np.maximum(stars + galaxies, 1e-300)
    return probability


def _core_width(lower: Floats) -> float:
    """Width of the distribution of stars in units of the expected one."""
    n = len(lower)
    measured = 1.4826 * np.median(-lower) if n else 1.0
    square = (n * measured**2 + _PRIOR_WEIGHT) / (n + _PRIOR_WEIGHT)
    return float(np.clip(np.sqrt(square), 0.4, 1.2))


@dataclass(frozen=True, eq=False)
class _CountGrid:
    """Counts of objects on a grid of S/N and offset, smoothed to densities at the objects.

    Attributes
    ----------
    row, column
        Cell of each object.
    similar
        How much each row counts for another.
    smear
        Noise of the offsets in each row, cells.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    similar: Floats
    smear: Floats

    @classmethod
    def around(cls, log_snr: Floats, offset: Floats, sigma: Floats) -> _CountGrid:
        """The grid of some objects."""
        log_snr = np.clip(log_snr, *_LOG_SNR)
        row = ((log_snr - log_snr.min()) / (_SNR_KERNEL / 2)).astype(np.int64)
        column = ((np.clip(offset, *_OFFSETS) - _OFFSETS[0]) / _STEP).astype(np.int64)
        n = int(row.max()) + 1
        step = np.subtract.outer(np.arange(n), np.arange(n)) / 2
        mean = np.bincount(row, sigma, minlength=n) / np.maximum(np.bincount(row, minlength=n), 1)
        # Less than the noise, as the density of galaxies at the locus is that of a steep flank.
        smear = np.clip(0.7 * mean / _STEP, 0.5, (_OFFSETS[1] - _OFFSETS[0]) / _STEP)
        return cls(row, column, np.exp(-0.5 * step * step), smear)

    def stars(self, weight: Floats) -> Floats:
        """Number of stars of similar S/N beside each object."""
        total = self.similar @ np.bincount(self.row, weight, minlength=len(self.similar))
        number: Floats = np.maximum(total[self.row] - weight, 0.1)
        return number

    def galaxies(self, weight: Floats) -> Floats:
        """Density, in offset, of the galaxies of similar S/N at each object and beside it."""
        counts = np.zeros((len(self.similar), int((_OFFSETS[1] - _OFFSETS[0]) / _STEP) + 2))
        np.add.at(counts, (self.row, self.column), weight)
        number = (self.similar @ counts.sum(axis=1))[self.row]
        for row in np.flatnonzero(counts.any(axis=1)):
            counts[row] = gaussian_filter1d(counts[row], self.smear[row], mode="constant")
        density = (self.similar @ counts)[self.row, self.column]
        own = weight / (np.sqrt(2 * np.pi) * self.smear[self.row])
        found: Floats = np.maximum(density - own, 0) / _STEP + _FLOOR * (1 + number)
        return found
