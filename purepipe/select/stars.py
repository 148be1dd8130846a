"""The stellar locus: which detections are stars fit for the PSF, without any configuration.

Stars have one size at all magnitudes, galaxies are larger and spread. The size is the geometric
mean of FWHM_IMAGE and FLUX_RADIUS, or FWHM_IMAGE alone. Clean, bright objects define the locus of
stars (`purepipe.select.locus`), or a mixture of normal distributions does; SPREAD_MODEL and
CLASS_STAR, where they are, must not contradict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.catalogue.table import require_table
from purepipe.config.select import StarConfig
from purepipe.display import brief, card
from purepipe.errors import AlgorithmError, DataError, did_you_mean
from purepipe.flags import DetectFlag, StarFlag
from purepipe.rng import generator
from purepipe.select.locus import Sizes, fit_locus, star_probability
from purepipe.select.mixture import fit_mixture
from purepipe.select.neighbours import neighbour_light

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

# Relative errors at S/N 1 of FWHM_IMAGE, and of its geometric mean with FLUX_RADIUS, measured on
# simulated stars of 0.4 to 1.3 arcsec seeing.
_FWHM_NOISE = 1.5
_MEAN_NOISE = 1.1
# Bits of FLAGS for what neighbours do to an object.
_WITH_NEIGHBOURS = DetectFlag.CROWDED.value | DetectFlag.BLENDED.value
# Likelier ones are stars.
_MIN_PROBABILITY = 0.85
# Other classifiers are asked when so many members say what stars have, and SPREAD_MODEL is trusted
# to so much.
_FEWEST_TO_JUDGE = 5
_SPREAD_FLOOR = 0.001


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

    __repr__ = brief

    def _repr_html_(self) -> str:
        facts: list[tuple[str, object]] = [
            ("rows", f"{len(self.flags):,}"),
            ("stars", f"{np.count_nonzero(self.stars):,}"),
            ("FWHM", f"{self.fwhm:.3f} pixels, dispersion {self.width:.3f}"),
        ]
        return card("Star selection", [*facts, *self.counts().items()])


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
        present: X_IMAGE, Y_IMAGE (without them no star that FLAGS call crowded or deblended is
        taken), FLUX_RADIUS, MAG_AUTO, FLAGS, IMAFLAGS_ISO, ELLIPTICITY, CLASS_STAR, SPREAD_MODEL
        with SPREADERR_MODEL, and FLUX_MAX (or MU_MAX with SEXPXSCL and SEXMGZPT of
        ``sources.meta``) with the saturation level SEXSATLV and the background SEXBKGND of
        ``sources.meta``.
    config
        Limits; the defaults need no knowledge of the seeing.
    seed, unit
        Survey seed and name of the CCD, which fix the stars that are kept for validation; the
        seed also starts the fit of a mixture.

    Raises
    ------
    AlgorithmError
        Fewer than ``config.min_stars`` stars were found; the message counts the reasons.
        An empty table gives an empty selection instead.
    DataError
        A needed column is missing.
    """
    require_table(sources, "the sources")
    if len(sources) == 0:
        return StarSelection(np.zeros(0, dtype=np.int32), float("nan"), float("nan"))
    _require_columns(sources)
    flags = _reasons_of_quality(sources, config)
    n_clean = np.count_nonzero(flags == 0)
    if n_clean < config.min_stars:
        raise _too_few(flags, config, unit)
    if n_clean == 0:
        return StarSelection(flags, float("nan"), float("nan"))
    fwhm, scatter = _flag_sizes(sources, flags, config, seed)
    star = flags == 0
    if np.count_nonzero(star) < config.min_stars:
        raise _too_few(flags, config, unit)
    flags[_draw_reserve(star, config.reserve_fraction, seed, unit)] = StarFlag.RESERVED.value
    return StarSelection(flags, fwhm, fwhm * scatter)


def _flag_sizes(
    sources: Table, flags: NDArray[np.int32], config: StarConfig, seed: int
) -> tuple[float, float]:
    """Set SIZE in `flags` off the locus; return the locus' FWHM and relative dispersion."""
    clean = flags == 0
    snr = _ratio(_column(sources, "FLUX_AUTO"), _column(sources, "FLUXERR_AUTO"))
    snr = np.where(snr > 0, snr, np.nan)
    size, error = _log_size(sources, clean)
    sizes = Sizes(size, error / snr, snr, _terms(sources, snr))
    looked_at = sizes.take(clean)
    if config.method == "mixture":
        locus, probability = fit_mixture(looked_at, seed=seed)
    else:
        locus = fit_locus(looked_at, config.clip)
        z = locus.deviation(looked_at)
        probability = star_probability(z, looked_at, locus.scatter, config.clip)
    on_locus = np.abs(locus.deviation(sizes)) < config.clip
    on_locus[clean] &= probability > _MIN_PROBABILITY
    on_locus &= ~_contradicted(sources, clean & on_locus, config.clip)
    flags[~on_locus & ((flags & StarFlag.BAD_VALUE.value) == 0)] |= StarFlag.SIZE.value
    seen = clean & on_locus if np.any(clean & on_locus) else clean
    return float(np.median(np.exp(sizes.terms[seen] @ locus.coefficients))), locus.scatter


def _contradicted(sources: Table, member: Bools, clip: float) -> Bools:
    """Rows that SPREAD_MODEL or CLASS_STAR, where they are, call galaxies beside the members.

    Both are judged by their values for the members, as the zero of SPREAD_MODEL moves with the
    PSF model, and CLASS_STAR with the seeing that it was told.
    """
    wrong = np.zeros(len(member), dtype=np.bool_)
    if np.count_nonzero(member) < _FEWEST_TO_JUDGE:
        return wrong
    if {"SPREAD_MODEL", "SPREADERR_MODEL"} <= set(sources.colnames):
        spread = _column(sources, "SPREAD_MODEL")
        error = np.hypot(_column(sources, "SPREADERR_MODEL"), _SPREAD_FLOOR)
        wrong |= spread - np.nanmedian(spread[member]) > (clip + 1) * error
    if "CLASS_STAR" in sources.colnames:
        star = _column(sources, "CLASS_STAR")
        wrong |= star < np.nanmedian(star[member]) / 4
    return wrong


def _log_size(sources: Table, clean: Bools) -> tuple[Floats, float]:
    """Logarithm of the size, as FWHM in pixels, and its error at S/N 1.

    FLUX_RADIUS joins FWHM_IMAGE where there is one: noise, and the loss of faint wings, move them
    in opposite directions, a larger object moves both.
    """
    fwhm = _logarithm(sources, "FWHM_IMAGE")
    if "FLUX_RADIUS" not in sources.colnames:
        return fwhm, _FWHM_NOISE
    radius = _logarithm(sources, "FLUX_RADIUS")
    known = clean & np.isfinite(radius)
    if not known.any():
        return fwhm, _FWHM_NOISE
    ratio = np.median((fwhm - radius)[known])
    # A radius that is out by more than a factor e is of another object.
    radius = np.clip(radius + ratio, fwhm - 1, fwhm + 1)
    return np.where(np.isfinite(radius), (fwhm + radius) / 2, fwhm), _MEAN_NOISE


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
        detect[
            _alone(sources, (detect & _WITH_NEIGHBOURS != 0) & (flags == 0), config)
        ] &= ~_WITH_NEIGHBOURS
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


def _alone(sources: Table, rows: Bools, config: StarConfig) -> NDArray[np.intp]:
    """Those of the rows that their neighbours disturb but little, whatever FLAGS say."""
    asked = np.flatnonzero(rows)
    if not {"X_IMAGE", "Y_IMAGE"} <= set(sources.colnames):
        return asked[:0]
    x, y, flux, fwhm = (
        _column(sources, name) for name in ("X_IMAGE", "Y_IMAGE", "FLUX_AUTO", "FWHM_IMAGE")
    )
    light = neighbour_light(x, y, flux, fwhm, asked)
    return asked[light < config.neighbour_light]


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
        remedy="Lower ccd.stars.min_stars or the limit that excludes most.",
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
