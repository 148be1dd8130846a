"""Finding objects: filter, threshold, and lists of the pixels of each object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.config.detect import DetectConfig
from purepipe.detect import footprint_nb, plane_nb
from purepipe.detect.planes import CHUNK, PreparedImage
from purepipe.detect.records_nb import OBJECT

Records = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Thresholded:
    """The pixels above the threshold on the filtered detection image, as horizontal runs.

    Attributes
    ----------
    shape
        (ny, nx) of the image.
    runs
        (n, 3) int32: row, first and last column, in reading order.
    values, thresholds
        Filtered value and threshold of every pixel of the runs, in reading order.
    mask
        The normalised filter.
    local, factor, common
        Whether thresholds follow the variance map, with `factor` times its root; otherwise every
        pixel has the threshold `common`.
    """

    shape: tuple[int, int]
    runs: NDArray[np.int32]
    values: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    mask: NDArray[np.float32]
    local: bool
    factor: np.float32
    common: np.float32


@dataclass(frozen=True, eq=False)
class Footprints:
    """Objects with the lists of their pixels; object k owns the slice starts[k]:starts[k+1].

    `pixels` are flat indices of the image; `values` those of the filtered image.
    """

    objects: Records
    starts: NDArray[np.int64]
    pixels: NDArray[np.int64]
    values: NDArray[np.float32]
    thresholds: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Catalogued:
    """Which objects are measured, in output order, and who owns which pixel.

    Attributes
    ----------
    footprints
        Objects in the order of detection.
    source
        For every row of the catalogue, its object.
    lines
        (rows, 5) range of image lines that the measurement of the row sees, the last line that
        was masked by then, the last column masked on the line after it, and the object whose
        arrival was next.
    labels
        (ny, nx) int32: 0 sky, 1 detected but no object, k + 2 object k.
    returned
        (labels, 2) the last line whose pixels are unmasked again (objects swallowed by cleaning),
        or -1, and the object whose arrival brought it about.
    survivor
        Per object, the one it is part of after cleaning; itself if it was not swallowed, -1 if
        it was dropped.
    """

    footprints: Footprints
    source: NDArray[np.int64]
    lines: NDArray[np.int64]
    labels: NDArray[np.int32]
    returned: NDArray[np.int32]
    survivor: NDArray[np.int64]


def filter_mask(config: DetectConfig) -> NDArray[np.float32]:
    """The detection filter as float32 rows, normalised; one pixel of value 1 without a filter."""
    if config.filter is None:
        return np.ones((1, 1), np.float32)
    mask = np.array(config.filter, np.float32)
    if not config.filter_normalised:
        return mask
    values = mask.astype(np.float64)
    total = float(np.abs(values).sum())
    return (values / total).astype(np.float32) if total > 0 else mask


def threshold_level(
    value: float, zero_point: float | None, kind: str, prepared: PreparedImage
) -> float:
    """A threshold in ADU.

    Parameters
    ----------
    value, zero_point
        A number; with a zero-point, a surface brightness in mag / arcsec^2.
    kind
        ``"relative"``: numbers are multiples of the global noise; else they are ADU.
    prepared
        The image to which it refers.
    """
    if zero_point is not None:
        return float(prepared.pixel_scale**2 * 10 ** (-0.4 * (value - zero_point)))
    return value * (1.0 if kind == "absolute" else float(prepared.plane.noise))


def threshold_image(
    prepared: PreparedImage, config: DetectConfig, *, threads: int = 1
) -> Thresholded:
    """The pixels of the filtered image above the detection threshold."""
    plane = prepared.plane
    mask = filter_mask(config)
    local = plane.weighted and config.threshold_type == "relative"
    # With weights, the original takes even a surface brightness for a multiple of the noise.
    factor = np.float32(config.threshold)
    common = np.float32(
        threshold_level(
            config.threshold, config.threshold_zero_point, config.threshold_type, prepared
        )
    )
    height, width = plane.image.shape
    found: dict[int, tuple[NDArray[Any], ...]] = {}

    def some_rows(first: int, last: int) -> None:
        filtered, limits = (np.empty((CHUNK, width), np.float32) for _ in range(2))
        on = np.empty((CHUNK, -(-width // 8) * 8), np.uint8)
        for start in range(first, last, CHUNK):
            found[start] = plane_nb.detect_rows(
                plane.image, plane.variance, mask, local, factor, common, start,
                min(start + CHUNK, last), filtered, limits, on,
            )  # fmt: skip

    in_threads(some_rows, height, threads)
    parts = [found[start] for start in sorted(found)]
    runs, values, thresholds = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Thresholded((height, width), runs, values, thresholds, mask, local, factor, common)


def filtered_image(
    prepared: PreparedImage, config: DetectConfig, *, threads: int = 1
) -> NDArray[np.float32]:
    """(ny, nx) float32: the background-subtracted image after the detection filter."""
    image, mask = prepared.plane.image, filter_mask(config)
    out = np.empty(image.shape, np.float32)

    def some_rows(first: int, last: int) -> None:
        plane_nb.filter_rows(image, mask, first, last, out)

    in_threads(some_rows, image.shape[0], threads)
    return out


def thresholds_at(
    found: Thresholded, prepared: PreparedImage, pixels: NDArray[np.int64], *, threads: int = 1
) -> NDArray[np.float32]:
    """Detection thresholds of pixels given by flat index."""
    out = np.empty(pixels.size, np.float32)

    def some(first: int, last: int) -> None:
        plane_nb.thresholds_of(
            pixels, prepared.plane.variance, found.mask, found.local, found.factor, found.common,
            first, last, out,
        )  # fmt: skip

    in_threads(some, pixels.size, threads)
    return out


def footprints_of_labels(
    labels: NDArray[np.int32],
    filtered: NDArray[np.float32],
    found: Thresholded,
    prepared: PreparedImage,
) -> Footprints:
    """Objects from a map of labels 1..n, each pixel list in reading order."""
    flat = labels.ravel()
    inside = np.flatnonzero(flat)
    order = np.argsort(flat[inside], kind="stable")
    pixels = inside[order].astype(np.int64)
    count = int(flat.max(initial=0))
    starts = np.searchsorted(flat[pixels], np.arange(1, count + 2)).astype(np.int64)
    values = filtered.ravel()[pixels]
    thresholds = thresholds_at(found, prepared, pixels)
    objects = np.zeros(count, OBJECT)
    plane = prepared.plane
    footprint_nb.measure_all(
        objects, starts, pixels, values, thresholds, plane.image, plane.weighted, found.common
    )
    return Footprints(objects, starts, pixels, values, thresholds)


def masking_delay(config: DetectConfig, two_images: bool) -> int:
    """Lines by which the masking of the measured image follows the detection.

    0 where it happens pixel by pixel: without a filter, and on an image that is not searched.
    """
    if config.filter is None or two_images:
        return 0
    return int(filter_mask(config).shape[0]) // 2 + 1


def line_buffer(config: DetectConfig) -> tuple[int, int]:
    """Lines that the original holds at a time, and how many are held beyond those searched."""
    ahead = 0 if config.filter is None else (filter_mask(config).shape[0] - 1) // 2
    extra = 0
    if config.back_photometry == "local":
        extra = config.back_thickness + config.buffer_lines // 4
    return config.buffer_lines + extra, max(ahead, extra) + 1
