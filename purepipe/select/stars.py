"""The stellar locus: which detections are stars fit for the PSF, without any configuration.

Stars have one size at all magnitudes, galaxies are larger and spread. The size is FWHM_IMAGE,
in logarithm; FLUX_RADIUS, where there is one, must agree. Among clean, bright objects the locus
is the densest interval of sizes that few smaller objects contradict; its centre is then refined
by the half-sample mode and by clipping, its dispersion is taken from the smaller side, where no
galaxies are, and what the larger side holds in excess lowers the upper limit.
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

# Half-width of the interval that is slid over the logarithm of the sizes.
_WINDOW = 0.05
# Relative error of FWHM_IMAGE at S/N 1, measured on simulated stars of 0.4 to 1.3 arcsec seeing.
_SIZE_NOISE = 1.5
# Smallest dispersion of the locus; SExtractor's sizes are no better.
_MIN_SCATTER = 0.006


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
        return (self.flags & ~StarFlag.RESERVED.value) == 0

    @property
    def fit(self) -> Bools:
        """The stars that serve the PSF fit."""
        return self.flags == 0

    @property
    def reserved(self) -> Bools:
        """The stars kept for validation."""
        return self.flags == StarFlag.RESERVED.value

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
        present: FLUX_RADIUS, MAG_AUTO, FLAGS, IMAFLAGS_ISO, ELLIPTICITY, and FLUX_MAX with the
        saturation level SEXSATLV and the background SEXBKGND of ``sources.meta``.
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
    _require_columns(sources)
    if len(sources) == 0:
        return StarSelection(np.zeros(0, dtype=np.int32), float("nan"), float("nan"))
    flags = _reasons_of_quality(sources, config)
    size = _logarithm(sources, "FWHM_IMAGE")
    snr = _ratio(_column(sources, "FLUX_AUTO"), _column(sources, "FLUXERR_AUTO"))
    clean = flags == 0
    if clean.sum() < max(config.min_stars, 1):
        raise _too_few(flags, config, unit)
    centre, scatter = _fit_locus(size[clean], snr[clean], config.clip)
    on_locus = _near_locus(size, snr, clean, centre, scatter, config.clip)
    if "FLUX_RADIUS" in sources.colnames:
        on_locus &= _radius_agrees(_logarithm(sources, "FLUX_RADIUS"), snr, on_locus & clean, config)
    flags[~on_locus & ~_has(flags, StarFlag.BAD_VALUE)] |= StarFlag.SIZE.value
    if np.count_nonzero(flags == 0) < config.min_stars:
        raise _too_few(flags, config, unit)
    flags[_draw_reserve(flags == 0, config.reserve_fraction, seed, unit)] = StarFlag.RESERVED.value
    fwhm = float(np.exp(centre))
    return StarSelection(flags, fwhm, fwhm * scatter)


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
    flags[snr < config.min_snr] |= StarFlag.FAINT.value
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
    if "FLUX_MAX" not in sources.colnames or not np.isfinite(level):
        return np.zeros(len(sources), dtype=np.bool_)
    background = float(sources.meta.get("SEXBKGND", 0.0))
    peak: Floats = _column(sources, "FLUX_MAX") + background
    return peak > config.saturation_fraction * level


def _fit_locus(size: Floats, snr: Floats, clip: float) -> tuple[float, float]:
    """Centre and dispersion at high S/N of the stellar locus, in logarithm of the size."""
    start = _densest_size(size, snr)
    near = np.abs(size - start) < 2 * _WINDOW
    centre, scatter = half_sample_mode(size[near]), _WINDOW / 2
    for _ in range(10):
        noise = _SIZE_NOISE / snr
        total = np.hypot(scatter, noise)
        member = np.abs(size - centre) < clip * total
        if not member.any():
            break
        previous = centre, scatter
        centre = _weighted_median(size[member], 1 / total[member] ** 2)
        scatter = _lower_scatter(size - centre, noise, clip * total)
        if previous == (centre, scatter):
            break
    return centre, scatter


def _densest_size(size: Floats, snr: Floats) -> float:
    """The size with most objects around it and few smaller ones; bright objects count more."""
    order = np.argsort(size, kind="stable")
    x = size[order]
    weight = 1 + np.log(np.maximum(snr[order] / snr.min(), 1.0))
    total = np.concatenate([[0.0], np.cumsum(weight)])
    inside = total[np.searchsorted(x, x + _WINDOW, "right")] - total[np.searchsorted(x, x - _WINDOW)]
    smaller = total[np.searchsorted(x, x - 2 * _WINDOW)]
    return float(x[np.argmax(inside - 0.5 * smaller)])


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _lower_scatter(offset: Floats, noise: Floats, limit: Floats) -> float:
    """Dispersion beyond the noise, from the objects smaller than the centre."""
    lower = (offset <= 0) & (offset > -limit)
    if np.count_nonzero(lower) < 3:
        return _WINDOW / 2
    spread = 1.4826 * np.median(np.abs(offset[lower]))
    excess = spread**2 - np.median(noise[lower]) ** 2
    return float(max(np.sqrt(max(excess, 0.0)), _MIN_SCATTER))


def _near_locus(
    size: Floats, snr: Floats, clean: Bools, centre: float, scatter: float, clip: float
) -> Bools:
    """Rows within the limits of size; the upper one shrinks where galaxies crowd above it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (size - centre) / np.hypot(scatter, _SIZE_NOISE / snr)
    upper = _upper_limit(z[clean], clip)
    return (z > -clip) & (z < upper)


def _upper_limit(z: Floats, clip: float) -> float:
    """Where the density of stars falls to that of galaxies just above the locus."""
    stars = np.count_nonzero(np.abs(z) < 1) / 0.683
    # Galaxies per unit of z next to the locus, taken as constant below it.
    galaxies = np.count_nonzero((z > clip + 0.5) & (z < clip + 3.5)) / 3.0
    if galaxies == 0 or stars == 0:
        return clip
    ratio = stars / np.sqrt(2 * np.pi) / galaxies
    return float(np.clip(np.sqrt(2 * np.log(max(ratio, 1.0))), 0.5, clip))


def _radius_agrees(radius: Floats, snr: Floats, member: Bools, config: StarConfig) -> Bools:
    """Rows whose FLUX_RADIUS is that of the members, within wider limits."""
    if np.count_nonzero(member) < 3:
        return np.ones(len(radius), dtype=np.bool_)
    centre = float(np.nanmedian(radius[member]))
    noise = _SIZE_NOISE / np.maximum(snr, 1e-30)
    offset = radius - centre
    scatter = _lower_scatter(offset[member], noise[member], np.full(member.sum(), 0.3))
    return np.abs(offset) < (config.clip + 1) * np.hypot(scatter, noise)


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


def _has(flags: NDArray[np.int32], flag: StarFlag) -> Bools:
    return (flags & flag.value) != 0


def _column(sources: Table, name: str) -> Floats:
    column: Any = sources[name]
    return np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)


def _logarithm(sources: Table, name: str) -> Floats:
    values = _column(sources, name)
    return np.log(np.where(values > 0, values, np.nan))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, NaN where the denominator is not positive."""
    positive = denominator > 0
    return np.where(positive, numerator, np.nan) / np.where(positive, denominator, 1.0)
