"""The stars of a PSF fit: selection, pixel weights, centres, contexts, prepared as by PSFEx."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.errors import DataError, did_you_mean
from purepipe.flags import PSFFlag
from purepipe.psf.hidden import is_hidden

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

BAD_PIXEL = np.float32(-1e30)
LIMIT = 1e15
FWHM_PER_SIGMA = 2.35  # the original's rounded value; part of the definition
_ELEMENT = re.compile(r"(.*?)[(\[](\d+)[)\]]")


@dataclass(frozen=True, eq=False)
class Samples:
    """Stars in the order of the input table, all rows; n of them.

    Attributes
    ----------
    flags
        (n,) int32 PSFFlag; the good stars have 0.
    vignets, weights
        (n, vh, vw) float32 images and inverse variances; bad pixels have value and weight 0.
    flux, fwhm, snr, ellipticity
        (n,) float32; `fwhm` is twice FLUX_RADIUS, pixels.
    x, y
        (n,) values of the centre columns (first pixel centre = 1).
    dx, dy
        (n,) float32 offset of the star from the centre of the pixel ``(vh // 2, vw // 2)``.
    noise2, gain
        (n,) float32 variance of the background (ADU^2) and gain (e-/ADU) of the star's image.
    names
        Names of the contexts.
    contexts
        (n, number of contexts) raw values.
    offsets, scales
        Zero point and scale of each context, over all rows, rejected ones included.
    fwhm_set
        FWHM that steers the fit, pixels.
    """

    flags: NDArray[np.int32]
    vignets: NDArray[np.float32]
    weights: NDArray[np.float32]
    flux: NDArray[np.float32]
    fwhm: NDArray[np.float32]
    snr: NDArray[np.float32]
    ellipticity: NDArray[np.float32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    dx: NDArray[np.float32]
    dy: NDArray[np.float32]
    noise2: NDArray[np.float32]
    gain: NDArray[np.float32]
    names: tuple[str, ...]
    contexts: NDArray[np.float64]
    offsets: NDArray[np.float64]
    scales: NDArray[np.float64]
    fwhm_set: float

    def __len__(self) -> int:
        return len(self.flags)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Stars without any flag."""
        return np.asarray(self.flags == 0)

    @property
    def normalised(self) -> NDArray[np.float64]:
        """(n, number of contexts) contexts between -0.5 and 0.5."""
        return (self.contexts - self.offsets) / self.scales

    def with_centres(self, dx: NDArray[np.float32], dy: NDArray[np.float32]) -> Samples:
        """A copy with other centres."""
        return replace(self, dx=dx, dy=dy)

    def with_flags(self, flags: NDArray[np.int32]) -> Samples:
        """A copy with other flags."""
        return replace(self, flags=flags)


@dataclass(frozen=True)
class FWHMRange:
    """Allowed range of the stellar FWHM and the FWHM that steers the fit, pixels."""

    low: float
    high: float
    mode: float


def load_samples(stars: Table, config: PSFConfig, *, fwhm: FWHMRange | None = None) -> Samples:
    """The stars of one catalogue, selected, weighted and centred.

    Parameters
    ----------
    stars
        Detections with VIGNET (n, h, w), the columns that `config` names, FLUX_RADIUS and
        SNR_WIN; ``meta`` holds SEXBKDEV (ADU) and SEXGAIN (e-/ADU). FLAGS, FLAGS_WEIGHT,
        IMAFLAGS_ISO and ELONGATION are used where present.
    config
        Selection and names.
    fwhm
        Range of FWHM, when it is known from elsewhere.

    Raises
    ------
    DataError
        A column or a header value is missing or has another shape, or there is no row.
    """
    from purepipe.psf.samples_nb import pixel_weights, recentre

    _require_rows(stars, config)
    noise, gain = _header_number(stars, "SEXBKDEV"), _header_number(stars, "SEXGAIN")
    if not noise > 0:
        raise DataError(
            "the background noise must be positive", key="SEXBKDEV", got=noise,
            remedy="Measure the catalogue on an image with noise.",
        )  # fmt: skip
    n = len(stars)
    fwhm = fwhm or fwhm_range([stars], config)
    noise2 = np.full(n, np.float32(np.float64(np.float32(noise)) ** 2), dtype=np.float32)
    gains = np.full(n, gain, dtype=np.float32)
    vignets, bad = _vignets(stars)
    columns = _star_columns(stars, config)
    names, contexts = _contexts(stars, config)
    flags = _selection_flags(stars, columns, fwhm, config)
    flags |= _pixel_flags(bad, config)
    usable = np.isfinite(contexts).all(axis=1)
    # Single precision must hold the squared flux and the pixels in units of it.
    flux = columns["flux"].astype(np.float64)
    usable &= (flux > 1 / LIMIT) & (flux < LIMIT)
    usable &= np.abs(vignets).max(axis=(1, 2)) < 1e10 * np.where(np.isfinite(flux), flux, 0.0)
    flags[~usable] |= PSFFlag.BAD_VALUE
    offsets, scales = context_range(names, contexts)
    weights = np.zeros_like(vignets)
    accuracy2 = float(np.float32(config.accuracy**2))
    pixel_weights(vignets, bad, noise2, gains, accuracy2, weights)
    dx, dy = (_first_offset(columns[key]) for key in ("x", "y"))
    recentre(vignets, weights, columns["fwhm"], flags == 0, dx, dy)
    flags[~(np.isfinite(dx) & np.isfinite(dy))] |= PSFFlag.BAD_VALUE
    return Samples(
        flags=flags, vignets=vignets, weights=weights, dx=dx, dy=dy, noise2=noise2, gain=gains,
        names=names, contexts=contexts, offsets=offsets, scales=scales, fwhm_set=fwhm.mode,
        **columns,
    )  # fmt: skip


def pool(samples: Sequence[Samples]) -> Samples:
    """The stars of several images as one sample, with one range of contexts."""
    sizes = {part.vignets.shape[1:] for part in samples}
    if len(sizes) != 1:
        raise DataError(
            "vignettes of different sizes cannot be fitted together", key="VIGNET",
            got=sorted(sizes), remedy="Extract all catalogues with one VIGNET size.",
        )  # fmt: skip
    first = samples[0]
    merged: dict[str, Any] = {}
    for name, value in vars(first).items():
        if isinstance(value, np.ndarray) and name not in ("offsets", "scales"):
            merged[name] = np.concatenate([getattr(part, name) for part in samples])
    offsets, scales = context_range(first.names, merged["contexts"])
    smallest = min(part.fwhm_set for part in samples)
    return replace(first, **merged, offsets=offsets, scales=scales, fwhm_set=smallest)


def fwhm_range(tables: Sequence[Table], config: PSFConfig) -> FWHMRange:
    """Allowed range of twice FLUX_RADIUS, and the FWHM that steers the fit.

    Without `config.autoselect` the configured range and its middle. With it, the mode of the
    bright, round, unflagged detections is found by shrinking windows over the sorted sizes, and
    the range is what `config.max_fwhm_spread` allows around it (from PSFEx).
    """
    low, high = (float(np.float32(limit)) for limit in config.fwhm_range)
    if not config.autoselect:
        return FWHMRange(low, high, float(np.float32((low + high) / 2)))
    sizes = np.sort(np.concatenate([_candidate_sizes(table, config) for table in tables]))
    mode = _mode(sizes, config)
    if mode is None:
        mode = FWHM_PER_SIGMA * 1.5
        log.warning("no detection is good enough for the FWHM range: FWHM = %.3f assumed", mode)
        return FWHMRange(mode, mode, mode)
    spread = math.sqrt(1.0 + config.max_fwhm_spread)
    limits = [float(np.float32(limit)) for limit in (mode / spread, mode * spread)]
    return FWHMRange(max(limits[0], low), min(limits[1], high), mode)


def _candidate_sizes(table: Table, config: PSFConfig) -> NDArray[np.float32]:
    """Twice FLUX_RADIUS of the rows that enter the search for the mode."""
    size = _fwhm(table)
    keep = _column(table, "SNR_WIN", np.float32) > config.min_snr
    keep &= (size >= config.fwhm_range[0]) & (size < config.fwhm_range[1])
    if "FLAGS" in table.colnames:
        keep &= (np.asarray(table["FLAGS"]).astype(np.int64) & config.flag_mask) == 0
    if "ELONGATION" in table.colnames:
        worst = config.max_ellipticity
        limit = (1 + worst) / (1 - worst) if worst < 1 else 100.0
        keep &= _column(table, "ELONGATION", np.float32) < limit
    return size[keep]


def _mode(sizes: NDArray[np.float32], config: PSFConfig) -> float | None:
    """Mode of sorted sizes by windows that shrink until they are narrow enough."""
    if len(sizes) == 0:
        return None
    if len(sizes) < 4:  # the original's result is undefined here
        return float(np.median(sizes))
    mode, width, steps = 0.0, math.inf, len(sizes) // 4
    while width > config.max_fwhm_spread / 2 and steps > 0:
        differences = sizes[steps:] - sizes[:-steps]
        best = int(np.argmin(differences))
        mode = float(np.float32((sizes[best] + sizes[best + steps]) / np.float32(2)))
        if mode <= 0:
            break
        width = float(differences[best]) / mode
        steps //= 2
    return mode


def context_range(
    names: Sequence[str], contexts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Zero point and scale of each context: middle and width of the range of all rows."""
    usable = contexts[np.isfinite(contexts).all(axis=1)]
    if len(usable) == 0:
        return np.zeros(contexts.shape[1]), np.ones(contexts.shape[1])
    low, high = usable.min(axis=0), usable.max(axis=0)
    scales = high - low
    for name, scale in zip(names, scales, strict=True):
        if scale == 0 and len(usable) > 1 and not is_hidden(name):
            log.warning("all stars have the same %s: the PSF model does not depend on it", name)
    # With scale 1 all normalised values are 0, and so are the terms of this context.
    return (low + high) / 2, np.where(scales > 0, scales, 1.0)


def _require_rows(stars: Table, config: PSFConfig) -> None:
    if len(stars) == 0:
        raise DataError(
            "the star catalogue is empty",
            remedy="Relax the star selection, or leave this CCD out of the PSF fit.",
        )
    if config.geometric_maps:
        raise DataError(
            "correction by VIGNET_DGEOX and VIGNET_DGEOY maps is not supported",
            key="psf.geometric_maps", remedy="Set it to false (PSF_DGEOCORRECT N).",
        )  # fmt: skip


def _header_number(stars: Table, key: str) -> float:
    try:
        value = float(stars.meta[key])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            "the star catalogue does not state this number", key=key,
            got=repr(stars.meta.get(key, "nothing")),
            remedy=f"Set stars.meta[{key!r}]; SExtractor writes it to the LDAC header.",
        ) from None  # fmt: skip
    if not math.isfinite(value):
        raise DataError("a finite number is needed", key=key, got=value)
    return value


def _column(table: Table, key: str, dtype: type[np.generic]) -> NDArray[Any]:
    """One column as numbers; ``NAME(n)`` picks an element, other vectors give their first."""
    match = _ELEMENT.fullmatch(key)
    name, element = (match[1], int(match[2])) if match else (key, 1)
    if name not in table.colnames:
        raise DataError(
            "the star catalogue lacks a column", key=name,
            remedy=did_you_mean(name, table.colnames) + " Add it to the output parameters.",
        )  # fmt: skip
    column = table[name]
    values = np.asarray(column.filled(np.nan) if hasattr(column, "filled") else column)
    values = values.reshape(len(values), -1)
    if not 1 <= element <= values.shape[1]:
        raise DataError(
            "the column has no such element",
            key=key,
            got=element,
            allowed=f"1 to {values.shape[1]}",
        )
    return np.ascontiguousarray(values[:, element - 1], dtype=dtype)


def _vignets(stars: Table) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vignettes with bad pixels at 0, and where they are bad."""
    if "VIGNET" not in stars.colnames:
        raise DataError(
            "the star catalogue holds no vignettes", key="VIGNET",
            remedy="Add VIGNET(51,51) to the output parameters of the extraction.",
        )  # fmt: skip
    vignets = np.array(stars["VIGNET"], dtype=np.float32, order="C")
    if vignets.ndim != 3 or 0 in vignets.shape:
        raise DataError(
            "vignettes must be images", key="VIGNET", got=vignets.shape, allowed="(n, h, w)"
        )
    bad = ~(np.abs(vignets) < -BAD_PIXEL)  # a NaN is bad too
    vignets[bad] = 0.0
    return vignets, bad


def _star_columns(stars: Table, config: PSFConfig) -> dict[str, NDArray[Any]]:
    x_key, y_key = config.center_keys
    elongation = (
        _column(stars, "ELONGATION", np.float32)
        if "ELONGATION" in stars.colnames
        else np.ones(len(stars), np.float32)
    )
    one = np.float32(1)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        ellipticity = (elongation - one) / (elongation + one)
    return {
        "x": _column(stars, x_key, np.float64),
        "y": _column(stars, y_key, np.float64),
        "flux": _column(stars, config.flux_key, np.float32),
        "fwhm": _fwhm(stars),
        "snr": _column(stars, "SNR_WIN", np.float32),
        "ellipticity": ellipticity,
    }


def _fwhm(table: Table) -> NDArray[np.float32]:
    """Twice FLUX_RADIUS; an absurd one becomes infinite and passes no cut."""
    with np.errstate(over="ignore"):
        return np.asarray(np.float32(2) * _column(table, "FLUX_RADIUS", np.float32))


def _contexts(stars: Table, config: PSFConfig) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and raw values (n, number of contexts)."""
    if config.is_constant:
        return (), np.zeros((len(stars), 0))
    columns = []
    for key in config.context_keys:
        if key.startswith(":"):
            columns.append(np.full(len(stars), _header_number(stars, key[1:])))
        else:
            columns.append(_column(stars, key, np.float64))
    return tuple(config.context_keys), np.stack(columns, axis=1)


def _selection_flags(
    stars: Table, columns: dict[str, NDArray[Any]], fwhm: FWHMRange, config: PSFConfig
) -> NDArray[np.int32]:
    """Reasons why a row is no star of the fit; a NaN never passes a cut."""
    flags = np.zeros(len(stars), dtype=np.int32)
    for name, mask, bit in (
        ("FLAGS", config.flag_mask, PSFFlag.DETECT_FLAGS),
        ("FLAGS_WEIGHT", config.weight_flag_mask, PSFFlag.WEIGHT_FLAGS),
        ("IMAFLAGS_ISO", config.image_flag_mask, PSFFlag.IMAGE_FLAGS),
    ):
        if mask and name in stars.colnames:
            flags[(np.asarray(stars[name]).astype(np.int64) & mask) != 0] |= bit
    flags[~(columns["snr"] >= np.float32(config.min_snr))] |= PSFFlag.FAINT
    size = columns["fwhm"].astype(np.float64)
    flags[~((size >= fwhm.low) & (size <= fwhm.high))] |= PSFFlag.SIZE
    flags[~(columns["ellipticity"] <= np.float32(config.max_ellipticity))] |= PSFFlag.ELLIPTICITY
    finite = np.isfinite(columns["x"]) & np.isfinite(columns["y"])
    flags[~finite] |= PSFFlag.BAD_VALUE
    return flags


def _pixel_flags(bad: NDArray[np.bool_], config: PSFConfig) -> NDArray[np.int32]:
    count = bad.reshape(len(bad), -1).sum(axis=1)
    flags = np.zeros(len(bad), dtype=np.int32)
    if config.badpixel_filter:
        flags[count > config.max_badpixels] |= PSFFlag.BAD_PIXELS
    flags[count == bad[0].size] |= PSFFlag.BAD_PIXELS  # nothing to fit
    return flags


def _first_offset(position: NDArray[np.float64]) -> NDArray[np.float32]:
    position = np.where(np.isfinite(position), position, 0.0)
    return (position - np.trunc(position + 0.49999)).astype(np.float32)
