"""An exposure made ready for detection: background subtracted, noise known, bad pixels mended."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from purepipe.config.detect import DetectConfig
from purepipe.detect import plane_nb as nb
from purepipe.detect.background import Background, estimate_background, in_threads
from purepipe.detect.records_nb import BIG, Plane
from purepipe.errors import DataError
from purepipe.exposure import Exposure, WeightKind

Image = NDArray[np.float32]

_KINDS = {
    WeightKind.MASK: nb.WEIGHT,
    WeightKind.RELATIVE: nb.WEIGHT,
    WeightKind.INVERSE_VARIANCE: nb.WEIGHT,
    WeightKind.VARIANCE: nb.VARIANCE,
    WeightKind.RMS: nb.RMS,
}


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image plane with its background and noise.

    Attributes
    ----------
    plane
        What the kernels see.
    background
        The background that was measured and, unless it was set by hand, subtracted.
    weight_factor
        Factor from the rms of the weight map to the measured rms; 0 without a weight map.
    """

    plane: Plane
    background: Background
    weight_factor: float


def prepare_image(
    exposure: Exposure, config: DetectConfig, *, interpolate: bool = True, threads: int = 1
) -> PreparedImage:
    """Background-subtracted image and variance map of an exposure, bad pixels interpolated.

    Pixels that are not finite count as bad; an exposure without weight map that has such pixels
    gets a weight map of ones and zeros.

    Raises
    ------
    DataError
        No pixel of the image or of the weight map can be used.
    """
    exposure.require_data()
    weight, kind = _weight(exposure, config)
    raw = None
    bad_level = _bad_level(kind, config)
    if weight is not None:
        raw = np.empty(exposure.shape, np.float32)
        nb.to_variance(weight, kind, 1.0, exposure.image, raw)
        if not (raw < bad_level).any():
            raise DataError(
                "no pixel has both a finite value and a usable weight", file=exposure.name,
                remedy="Check the weight map and weight_threshold.",
            )  # fmt: skip
    background = estimate_background(
        exposure.image, raw, config, bad_level=bad_level, threads=threads
    )
    factor, noise = _scaling(background, kind, config)
    image = _subtracted(exposure.image, background, threads)
    if config.weight_type == "background" and weight is None:
        raw = np.square(background.rms_image())
    elif weight is not None and factor != 1 and raw is not None:
        nb.to_variance(weight, kind, factor, exposure.image, raw)
    if raw is not None and config.interpolate and interpolate:
        max_x, max_y = config.interpolate_max
        nb.interpolate_bad(image, raw, np.float32(bad_level), max_x, max_y)
    weighted = raw is not None
    plane = Plane(
        image=image,
        variance=np.zeros((1, 1), np.float32) if raw is None else raw,
        weighted=weighted,
        bad_level=np.float32(bad_level),
        noise=np.float32(noise),
        noise2=np.float32(np.float32(noise) * np.float32(noise)),
        gain=float(max(exposure.gain, 0.0)),
        weight_gain=bool(config.weight_gain and weighted),
    )
    return PreparedImage(
        plane, replace(background, rms=noise), _written_factor(background, kind, weight is not None)
    )


def _weight(exposure: Exposure, config: DetectConfig) -> tuple[Image | None, int]:
    if config.weight_type == "map" and exposure.weight is not None:
        kind = _KINDS[exposure.weight_kind or WeightKind.RELATIVE]
        if exposure.weight_kind is WeightKind.MASK:
            return (exposure.weight != 0).astype(np.float32), kind
        return np.ascontiguousarray(exposure.weight).view(), kind
    finite = np.isfinite(exposure.image)
    if finite.all():
        return None, nb.WEIGHT
    return finite.astype(np.float32), nb.WEIGHT


def _bad_level(kind: int, config: DetectConfig) -> float:
    """Variance from which on a pixel is bad."""
    limit = config.weight_threshold
    if limit is None:
        return float(BIG)
    if kind == nb.WEIGHT:
        return float(np.float32(1 / limit)) if limit > 0 else float(BIG)
    return limit if kind == nb.VARIANCE else limit * limit


def _scaling(background: Background, kind: int, config: DetectConfig) -> tuple[float, float]:
    """Factor on the rms of the weight map, and the global noise."""
    factor = background.weight_factor
    if factor == 0 or kind == nb.RMS:
        return 1.0, background.rms
    if config.rescale_weights:
        return factor, background.rms
    return 1.0, float(np.float32(background.rms / factor))


def _written_factor(background: Background, kind: int, weighted: bool) -> float:
    if not weighted:
        return 0.0
    return 1.0 if kind == nb.RMS else background.weight_factor


def _subtracted(image: Image, background: Background, threads: int) -> Image:
    out = np.empty(image.shape, np.float32)

    def some_rows(first: int, last: int) -> None:
        for start in range(first, last, 256):
            end = min(start + 256, last)
            nb.subtract_rows(image, background.rows(start, end), start, end, out)

    in_threads(some_rows, image.shape[0], threads)
    return out
