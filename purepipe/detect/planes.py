"""An exposure made ready for detection: background subtracted, noise known, bad pixels mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from purepipe.config.detect import DetectConfig
from purepipe.detect import background_nb
from purepipe.detect import weight_nb as nb
from purepipe.detect.background import (
    Background,
    background_of,
    in_threads,
    no_weight,
    read_only,
)  # fmt: skip
from purepipe.detect.records_nb import BIG, Plane
from purepipe.errors import DataError
from purepipe.exposure import Exposure, WeightKind

Image = NDArray[np.float32]
CHUNK = 64  # rows whose background is held at a time

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
    bad_level = _bad_level(kind, config)
    if not nb.has_good_pixel(exposure.image, weight, kind, np.float32(bad_level)):
        raise DataError(
            "no pixel has both a finite value and a usable weight", file=exposure.name,
            remedy="Check the weight map and weight_threshold.",
        )  # fmt: skip
    background = background_of(exposure.image, weight, kind, bad_level, config, threads)
    factor, noise = _scaling(background, kind, config)
    image, variance, bad = _prepared_rows(
        exposure.image, background, (weight, kind, factor, bad_level), threads
    )
    weighted = kind != nb.NONE
    if config.weight_type == "background" and not weighted:
        variance = background.rms_image()
        np.square(variance, out=variance)
        weighted = True
    elif weighted and config.interpolate and interpolate:
        max_x, max_y = config.interpolate_max
        nb.interpolate_bad(image, variance, bad, np.float32(bad_level), max_x, max_y, True)
    plane = Plane(
        image=image,
        variance=variance,
        weighted=weighted,
        bad_level=np.float32(bad_level),
        noise=np.float32(noise),
        noise2=np.float32(np.float32(noise) * np.float32(noise)),
        gain=float(max(exposure.gain, 0.0)),
        weight_gain=bool(config.weight_gain and weighted),
    )
    return PreparedImage(plane, replace(background, rms=noise), _written_factor(background, kind))


def _weight(exposure: Exposure, config: DetectConfig) -> tuple[Image, int]:
    """The weight map and what its numbers are."""
    if config.weight_type == "map" and exposure.weight is not None:
        if exposure.weight_kind is WeightKind.MASK:
            return read_only((exposure.weight != 0).astype(np.float32)), nb.WEIGHT
        return exposure.weight, _KINDS[exposure.weight_kind or WeightKind.RELATIVE]
    if all(np.isfinite(rows).all() for rows in _chunks(exposure.image)):
        return read_only(no_weight()), nb.NONE
    return read_only(np.isfinite(exposure.image).astype(np.float32)), nb.WEIGHT


def _chunks(image: Image) -> Iterator[Image]:
    return (image[first : first + CHUNK] for first in range(0, image.shape[0], CHUNK))


def _bad_level(kind: int, config: DetectConfig) -> float:
    """Variance from which on a pixel is bad."""
    limit = config.weight_threshold
    if limit is None or kind == nb.NONE:
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


def _written_factor(background: Background, kind: int) -> float:
    if kind == nb.NONE:
        return 0.0
    return 1.0 if kind == nb.RMS else background.weight_factor


def _prepared_rows(
    image: Image, background: Background, weights: tuple[Image, int, float, float], threads: int
) -> tuple[Image, Image, NDArray[np.int64]]:
    """Image minus background, variance, and the number of bad pixels of each row.

    `weights` is the map, its kind, the factor on its rms and the variance of bad pixels.
    """
    weight, kind, factor, bad_level = weights
    height, width = image.shape
    out = np.empty(image.shape, np.float32)
    variance = no_weight() if kind == nb.NONE else np.empty(image.shape, np.float32)
    bad = np.zeros(height, np.int64)
    scale = np.float32(factor * factor)
    bent = background_nb.spline_curvature(background.level_map)

    def some_rows(first: int, last: int) -> None:
        level = np.empty((CHUNK, width), np.float32)
        if background.constant is not None:
            level[:] = background.constant
        for start in range(first, last, CHUNK):
            end = min(start + CHUNK, last)
            if background.constant is None:
                background_nb.spline_rows(
                    background.level_map, bent, background.mesh, start, end, level
                )
            nb.prepare_rows(
                image, level[: end - start], weight, kind, scale, np.float32(bad_level), start, out,
                variance, bad,
            )  # fmt: skip

    in_threads(some_rows, height, threads)
    return out, variance, bad
