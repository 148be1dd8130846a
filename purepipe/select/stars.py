"""The stellar locus: which detections are stars fit for the PSF, without any configuration.

Stars have one size at all magnitudes, galaxies are larger and spread. The size is FWHM_IMAGE,
in logarithm; FLUX_RADIUS, where there is one, must agree. Among clean, bright objects the locus
starts at the size that explains most of them as stars; it is refined by the half-sample mode and
by clipped fits, which follow the PSF over the CCD. Its dispersion is taken from the smaller side,
where no galaxies are, and the number of galaxies just above it decides how likely an object
within its limits is a star.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.config.select import StarConfig
from purepipe.errors import AlgorithmError, DataError, did_you_mean
from purepipe.flags import DetectFlag, StarFlag
from purepipe.rng import generator
from purepipe.select.mode import half_sample_mode

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

# Range of ln(size) within which the first guess lies.
_WINDOW = 0.05
# The stars make a peak at least this high relative to the highest, which may be galaxies.
_FIRST_PEAK = 0.25
# Relative error of FWHM_IMAGE at S/N 1, measured on simulated stars of 0.4 to 1.3 arcsec seeing.
_SIZE_NOISE = 1.5
# Dispersion at high S/N: what is assumed, how many stars that is worth, and the least allowed.
_PRIOR_SCATTER = 0.015
_PRIOR_WEIGHT = 5
_MIN_SCATTER = 0.008
_MAX_SCATTER = 0.03
# Star probabilities: similar S/N means a factor of about e^0.5.
_SNR_KERNEL = 0.5
_NODES = 64
_WITHIN_ONE_SIGMA = 0.6827
_MIN_PROBABILITY = 0.7
# Expected growth of the size with 1 / snr, and change from the centre of the CCD to its edge.
_TREND = 1.5
_VARIATION = 0.02


@dataclass(frozen=True, eq=False)
class StarSelection:
    """Which rows of a detection table are stars, and why the others are not.

    Attributes
    ----------
    flags
        `StarFlag` of every row: 0 a star for the PSF fit, RESERVED alone a star for validation.
    fwhm
        Centre of the stellar locus, pixels; NaN when there was no row to look at.
    width
        Its dispersion at high S/N, pixels; NaN when there was no row to look at.
    """

    flags: NDArray[np.int32]
    fwhm: float
    width: float

    @property
    def stars(self) -> Bools:
        """All stars, those kept for validation included."""
        return self.fit | self.reserved

    @property
    def fit(self) -> Bools:
        """The stars that serve the PSF fit."""
        return np.equal(self.flags, 0)

    @property
    def reserved(self) -> Bools:
        """The stars kept for validation."""
        return np.equal(self.flags, StarFlag.RESERVED.value)

    def counts(self) -> dict[str, int]:
        """Rows per reason; a row with two reasons counts twice."""
        return _counts(self.flags)


def find_stars(
    sources: Table,
    config: StarConfig = StarConfig(),  # noqa: B008 - frozen
    *,
    seed: int = 0,
    unit: str = "",
) -> StarSelection:
    """The stars of one CCD, with the reasons that exclude every other row.

    Parameters
    ----------
    sources
        Detections with SExtractor's columns: FWHM_IMAGE, FLUX_AUTO, FLUXERR_AUTO; used where
        present: X_IMAGE, Y_IMAGE, FLUX_RADIUS, MAG_AUTO, FLAGS, IMAFLAGS_ISO, ELLIPTICITY, and
        FLUX_MAX (or MU_MAX with SEXPXSCL and SEXMGZPT of ``sources.meta``) with the saturation
        level SEXSATLV and the background SEXBKGND of ``sources.meta``.
    config
        Limits; the defaults need no knowledge of the seeing.
    seed, unit
        Survey seed and name of the CCD, which fix the stars that are kept for validation.

    Raises
    ------
    AlgorithmError
        Fewer than ``config.min_stars`` stars were found; the message counts the reasons.
        An empty table gives an empty selection instead.
    DataError
        A needed column is missing.
    """
    if len(sources) == 0:
        return StarSelection(np.zeros(0, dtype=np.int32), float("nan"), float("nan"))
    _require_columns(sources)
    flags = _reasons_of_quality(sources, config)
    n_clean = np.count_nonzero(flags == 0)
    if n_clean < config.min_stars:
        raise _too_few(flags, config, unit)
    if n_clean == 0:
        return StarSelection(flags, float("nan"), float("nan"))
    fwhm, scatter = _flag_sizes(sources, flags, config.clip)
    star = flags == 0
    if np.count_nonzero(star) < config.min_stars:
        raise _too_few(flags, config, unit)
    flags[_draw_reserve(star, config.reserve_fraction, seed, unit)] = StarFlag.RESERVED.value
    return StarSelection(flags, fwhm, fwhm * scatter)


def _flag_sizes(sources: Table, flags: NDArray[np.int32], clip: float) -> tuple[float, float]:
    """Set SIZE in `flags` off the locus; return the locus' FWHM and relative dispersion."""
    clean = flags == 0
    snr = _ratio(_column(sources, "FLUX_AUTO"), _column(sources, "FLUXERR_AUTO"))
    snr = np.where(snr > 0, snr, np.nan)
    sizes = _Sizes(_logarithm(sources, "FWHM_IMAGE"), snr, _terms(sources, snr))
    locus = _fit_locus(sizes.take(clean), clip)
    deviation = locus.deviation(sizes)
    on_locus = np.abs(deviation) < clip
    on_locus[clean] &= _star_probability(deviation[clean], snr[clean], clip) > _MIN_PROBABILITY
    if "FLUX_RADIUS" in sources.colnames:
        radii = _Sizes(_logarithm(sources, "FLUX_RADIUS"), snr, sizes.terms)
        on_locus &= _radius_agrees(radii, on_locus & clean, clip)
    flags[~on_locus & ((flags & StarFlag.BAD_VALUE.value) == 0)] |= StarFlag.SIZE.value
    seen = clean & on_locus if np.any(clean & on_locus) else clean
    return float(np.median(np.exp(sizes.terms[seen] @ locus.coefficients))), locus.scatter


def _require_columns(sources: Table) -> None:
    for name in ("FWHM_IMAGE", "FLUX_AUTO", "FLUXERR_AUTO"):
        if name not in sources.colnames:
            raise DataError("column missing from the detections", key=name,
                            remedy=did_you_mean(name, sources.colnames))  # fmt: skip


def _reasons_of_quality(sources: Table, config: StarConfig) -> NDArray[np.int32]:
    """Flags of all reasons but the size."""
    n = len(sources)
    flags = np.zeros(n, dtype=np.int32)
    fwhm, flux = _column(sources, "FWHM_IMAGE"), _column(sources, "FLUX_AUTO")
    snr = _ratio(flux, _column(sources, "FLUXERR_AUTO"))
    bad = ~(np.isfinite(fwhm) & (fwhm > 0) & np.isfinite(snr))
    flags[bad] |= StarFlag.BAD_VALUE.value
    flags[(snr < config.min_snr) | (snr <= 0)] |= StarFlag.FAINT.value
    flags[~bad & ((fwhm < config.fwhm_range[0]) | (fwhm > config.fwhm_range[1]))] |= (
        StarFlag.SIZE.value
    )
    flags[_too_bright(sources, config)] |= StarFlag.BRIGHT.value
    if "FLAGS" in sources.colnames:
        detect = np.asarray(sources["FLAGS"]).astype(np.int64) & config.reject_flags
        flags[(detect & ~DetectFlag.SATURATED.value) != 0] |= StarFlag.BLENDED.value
        flags[(detect & DetectFlag.SATURATED.value) != 0] |= StarFlag.BRIGHT.value
    if "IMAFLAGS_ISO" in sources.colnames:
        image = np.asarray(sources["IMAFLAGS_ISO"]).astype(np.int64)
        flags[(image & config.reject_image_flags) != 0] |= StarFlag.MASKED.value
    if "ELLIPTICITY" in sources.colnames:
        ellipticity = _column(sources, "ELLIPTICITY")
        flags[~(ellipticity <= config.max_ellipticity)] |= StarFlag.SHAPE.value
    if "MAG_AUTO" in sources.colnames:
        magnitude = _column(sources, "MAG_AUTO")
        flags[magnitude < config.magnitudes[0]] |= StarFlag.BRIGHT.value
        flags[magnitude > config.magnitudes[1]] |= StarFlag.FAINT.value
    return flags


def _too_bright(sources: Table, config: StarConfig) -> Bools:
    """Rows whose peak comes near the saturation level."""
    level = float(sources.meta.get("SEXSATLV", np.inf))
    above = _peak(sources)
    if above is None or not np.isfinite(level):
        return np.zeros(len(sources), dtype=np.bool_)
    peak: Floats = above + float(sources.meta.get("SEXBKGND", 0.0))
    return peak > config.saturation_fraction * level


def _peak(sources: Table) -> Floats | None:
    """Brightest pixel above the background; from MU_MAX where there is no FLUX_MAX."""
    if "FLUX_MAX" in sources.colnames:
        return _column(sources, "FLUX_MAX")
    scale, zero_point = (sources.meta.get(key) for key in ("SEXPXSCL", "SEXMGZPT"))
    if "MU_MAX" not in sources.colnames or scale is None or zero_point is None:
        return None
    surface_brightness: Floats = 10 ** (-0.4 * (_column(sources, "MU_MAX") - zero_point))
    return surface_brightness * float(scale) ** 2


@dataclass(frozen=True, eq=False)
class _Locus:
    """Stars have ln(size) = terms @ coefficients, with a dispersion that grows with 1 / snr."""

    coefficients: Floats
    scatter: float

    def deviation(self, sizes: _Sizes) -> Floats:
        """Offset from the locus in units of its dispersion."""
        noise = _SIZE_NOISE / sizes.snr
        offset: Floats = sizes.size - sizes.terms @ self.coefficients
        return offset / np.hypot(self.scatter, noise)


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Logarithms of sizes, S/N, and the terms that a star's size may depend on."""

    size: Floats
    snr: Floats
    terms: Floats

    def take(self, rows: Bools) -> _Sizes:
        """The given rows."""
        return _Sizes(self.size[rows], self.snr[rows], self.terms[rows])


def _terms(sources: Table, snr: Floats) -> Floats:
    """1, the loss of wide wings at low S/N, and position on the CCD to second order."""
    columns = [np.ones(len(snr)), 1 / snr]
    if "X_IMAGE" in sources.colnames and "Y_IMAGE" in sources.colnames:
        x, y = (_to_unit_range(_column(sources, name)) for name in ("X_IMAGE", "Y_IMAGE"))
        columns += [x, y, x * x, x * y, y * y]
    return np.column_stack(columns)


def _to_unit_range(values: Floats) -> Floats:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return np.zeros(len(values))
    low, high = finite.min(), finite.max()
    scaled: Floats = (2 * values - low - high) / max(high - low, 1.0)
    return np.where(np.isfinite(scaled), scaled, 0.0)


def _fit_locus(sizes: _Sizes, clip: float) -> _Locus:
    """Fit the locus to clean objects by clipping around the densest size."""
    start = _first_peak(sizes.size, sizes.snr)
    near = np.abs(sizes.size - start) < _WINDOW
    coefficients = np.zeros(sizes.terms.shape[1])
    coefficients[0] = half_sample_mode(sizes.size[near])
    locus = _Locus(coefficients, _WINDOW / 2)
    member = np.zeros(len(near), dtype=np.bool_)
    for _ in range(30):
        z = locus.deviation(sizes)
        likely = _star_probability(z, sizes.snr, clip) > 0.5
        previous, member = member, (np.abs(z) < clip) & likely
        if not member.any() or np.array_equal(member, previous):
            break
        locus = _refine(sizes.take(member), locus)
    return locus


def _refine(members: _Sizes, locus: _Locus) -> _Locus:
    """Centre, dependences and dispersion of the members of the locus.

    A least-squares fit in which every dependence is expected to be small, so that few stars
    cannot make it large.
    """
    noise = _SIZE_NOISE / members.snr
    error = np.hypot(locus.scatter, noise)
    centre = _weighted_median(members.size, 1 / error**2)
    expected = np.zeros(members.terms.shape[1])
    expected[0], expected[1] = centre, _TREND
    tolerance = np.full(len(expected), _VARIATION)
    tolerance[0], tolerance[1] = _WINDOW, _TREND
    design = np.vstack([members.terms / error[:, None], np.diag(1 / tolerance)])
    target = np.concatenate([members.size / error, expected / tolerance])
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    offset = members.size - members.terms @ coefficients
    return _Locus(coefficients, _lower_scatter(offset, noise))


def _first_peak(size: Floats, snr: Floats) -> float:
    """The smallest size that many objects share.

    Every object votes with a Gaussian as wide as its size is uncertain. Galaxies may outnumber
    the stars, but they are larger: the first peak that is not far below the highest one counts.
    """
    width = np.hypot(_PRIOR_SCATTER, _SIZE_NOISE / snr)
    trial = np.arange(size.min(), size.max() + _WINDOW, _WINDOW / 10)
    z = (size[None, :] - trial[:, None]) / width[None, :]
    votes = (np.exp(-0.5 * z * z) / width).sum(axis=1)
    first = int(np.argmax(votes >= _FIRST_PEAK * votes.max()))
    return float(trial[first + np.argmax(votes[first : first + 10])])


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


def _star_probability(z: Floats, snr: Floats, clip: float) -> Floats:
    """Probability that an object at deviation `z` of the locus is a star.

    Stars are normal in z. Galaxies are counted just above the locus, in two steps; if they get
    rarer toward it they go on doing so, and below its centre they die out. Both are counted
    among objects of similar S/N.
    """
    x = np.log(snr)
    nodes = np.linspace(x.min(), x.max(), _NODES)
    step = np.subtract.outer(nodes, x) / _SNR_KERNEL
    kernel = np.exp(-0.5 * step * step)
    stars = np.interp(x, nodes, kernel @ (np.abs(z) < 1) / _WITHIN_ONE_SIGMA)
    near, far = (
        np.interp(x, nodes, kernel @ ((z > low) & (z < low + 1.5)))
        for low in (clip + 0.5, clip + 2.0)
    )
    slope = np.clip(np.log((far + 1) / (near + 1)) / 1.5, 0.0, None)
    galaxies = (near + far) / 3 * np.exp(slope * (np.minimum(z, clip) - clip - 2.0))
    density = stars * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    galaxies *= np.clip(1 + z / clip, 0.0, 1.0)
    probability: Floats = density / np.maximum(density + galaxies, 1e-300)
    return probability


def _radius_agrees(radii: _Sizes, member: Bools, clip: float) -> Bools:
    """Rows whose FLUX_RADIUS is that of the members, within limits wider by one sigma."""
    usable = member & np.isfinite(radii.size)
    if np.count_nonzero(usable) < 3:
        return np.ones(len(usable), dtype=np.bool_)
    centre = np.zeros(radii.terms.shape[1])
    locus = _refine(radii.take(usable), _Locus(centre, _PRIOR_SCATTER))
    return np.abs(locus.deviation(radii)) < clip + 1


def _draw_reserve(star: Bools, fraction: float, seed: int, unit: str) -> NDArray[np.intp]:
    """Rows of the stars that are kept for validation."""
    rows = np.flatnonzero(star)
    n = round(fraction * len(rows))
    return generator(seed, "reserve stars", unit).permutation(rows)[:n]


def _too_few(flags: NDArray[np.int32], config: StarConfig, unit: str) -> AlgorithmError:
    reasons = ", ".join(f"{name} {number}" for name, number in _counts(flags).items() if number)
    return AlgorithmError(
        "too few stars",
        file=unit or None,
        got=f"{np.count_nonzero(flags == 0)} of {len(flags)} detections; excluded by {reasons}",
        allowed=f"at least {config.min_stars}",
        remedy="Lower star.min_stars or the limit that excludes most.",
    )


def _counts(flags: NDArray[np.int32]) -> dict[str, int]:
    reasons = [item for item in StarFlag if item is not StarFlag.NOT_ATTEMPTED]
    return {str(item.name): int(np.count_nonzero(flags & item.value)) for item in reasons}


def _column(sources: Table, name: str) -> Floats:
    """A column as float64; NaN where it is masked or not finite."""
    column: Any = sources[name]
    values = np.array(np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan))
    values[~np.isfinite(values)] = np.nan
    return values


def _logarithm(sources: Table, name: str) -> Floats:
    values = _column(sources, name)
    return np.log(np.where(values > 0, values, np.nan))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, NaN where the denominator is not positive."""
    positive = denominator > 0
    return np.where(positive, numerator, np.nan) / np.where(positive, denominator, 1.0)
