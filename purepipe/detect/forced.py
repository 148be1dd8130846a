"""Measuring objects that others have found: a segmentation map, or positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.catalogue.requests import requested_columns
from purepipe.config.detect import DetectConfig
from purepipe.detect.classify import StarNetwork
from purepipe.detect.extract import (
    Detection,
    catalogue_numbers,
    classifiers,
    find_objects,
    measure_isophotes,
    numbered_segmentation,
)
from purepipe.detect.footprints import (
    Catalogued,
    Footprints,
    filtered_image,
    footprints_of_labels,
    threshold_image,
)
from purepipe.detect.photometry import measure_objects
from purepipe.detect.pixel_flags import pixel_flag_columns
from purepipe.detect.planes import prepare_images
from purepipe.detect.records_nb import NO_LIMIT
from purepipe.detect.segmentation import Segmentation
from purepipe.detect.spread import TabulatedPSF
from purepipe.detect.tabulate import detection_columns, detection_metadata
from purepipe.errors import ConfigError, DataError
from purepipe.exposure import Exposure

# An association finds objects of its own accord, others have found these.
_NOT_FORCED = ("VECTOR_ASSOC", "NUMBER_ASSOC")


def detect_sources(
    exposure: Exposure,
    config: DetectConfig = DetectConfig(),  # noqa: B008 - frozen
    *,
    threads: int = 1,
) -> Segmentation:
    """The segmentation map of an exposure: detection, deblending and cleaning alone.

    The numbers are those that `extract` gives the rows of its table.
    """
    sought, measured = prepare_images(exposure, None, config, threads=threads)
    found = threshold_image(sought, config, threads=threads)
    catalogued = find_objects(sought, measured, found, exposure, config, None, threads)
    return numbered_segmentation(catalogued, catalogue_numbers(catalogued), threads)


def measure(
    exposure: Exposure,
    where: Segmentation | ArrayLike | Any,
    config: DetectConfig = DetectConfig(),  # noqa: B008 - frozen
    *,
    detection: Exposure | None = None,
    psf: TabulatedPSF | None = None,
    network: StarNetwork | None = None,
    threads: int = 1,
) -> Detection:
    """Catalogue of objects that are given, with the columns of `extract`.

    Parameters
    ----------
    exposure
        Image to measure.
    where
        A `Segmentation`, a SegmentationImage of photutils or an (ny, nx) map of labels, zero for
        the sky; or (n, 2) positions x, y from 0. At a position stands a round object as large as
        the largest aperture, whose pixels go to the nearest position.
    config
        Apertures, masking, background and columns.
    detection
        Image on which shapes and Kron radii are measured; default: the exposure.
    psf, network
        Needed for SPREAD_MODEL and CLASS_STAR, as in `extract`.
    threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    Detection
        One row per label, in ascending order, or per position, in theirs.

    Raises
    ------
    DataError
        A map of another size, negative labels, or positions that are not finite or off the image.
    ConfigError
        A column of an association, which forced measurements do not have, or one that lacks what
        it needs (a PSF, a network).
    """
    names = [item.name for item in requested_columns(config)]
    for name in names:
        if name in _NOT_FORCED:
            raise ConfigError(
                "forced measurements do not have this column", key="detect.columns", got=name,
                remedy="Ask extract for it, or match the positions of its table.",
            )  # fmt: skip
    if detection is not None and detection.shape != exposure.shape:
        raise DataError(
            "detection and measurement image differ in size", file=detection.name,
            got=detection.shape, allowed=exposure.shape,
        )  # fmt: skip
    sought, measured = prepare_images(exposure, detection, config, threads=threads)
    found = threshold_image(sought, config, threads=threads)
    labels, positions = _given(where, exposure.shape, max(config.apertures) / 2)
    prints = footprints_of_labels(labels, filtered_image(sought, config), found, sought)
    if positions is not None:
        _make_round(prints.objects, positions, max(config.apertures) / 2)
    catalogued = _as_catalogued(prints, labels)
    measure_isophotes(prints, sought, measured, exposure, config, threads)
    results = measure_objects(
        catalogued, sought, measured, config, saturation=exposure.saturation, threads=threads
    )
    maps = [] if exposure.flags is None else [exposure.flags]
    extra = pixel_flag_columns(names, catalogued, maps, sought, measured, config)
    extra |= classifiers(
        catalogued, results.objects, measured, config, network=network, psf=psf,
        saturation=exposure.saturation, threads=threads,
    )  # fmt: skip
    columns = detection_columns(results, exposure, config, extra)
    meta = detection_metadata(results, exposure, measured, sought, config)
    numbers = catalogue_numbers(catalogued)
    return Detection(
        columns, meta, measured.background,
        numbered_segmentation(catalogued, numbers, threads),
    )  # fmt: skip


def _given(
    where: Any, shape: tuple[int, int], radius: float
) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
    """Labels 1, 2, ... of the pixels, and the positions if such were given."""
    if isinstance(where, Segmentation):
        return _consecutive(where.data, shape), None
    values = np.asarray(getattr(where, "data", where))
    if values.ndim == 2 and values.shape[1] == 2 and values.shape != shape:
        return _discs(values.astype(np.float64), shape, radius)
    if values.ndim == 2 and values.dtype.kind in "iub":
        return _consecutive(values, shape), None
    raise DataError(
        "neither a segmentation map nor positions", key="where",
        got=f"shape {values.shape} of {values.dtype}",
        allowed=f"integers of shape {shape}, or (n, 2) numbers",
    )  # fmt: skip


def _consecutive(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.int32]:
    if labels.shape != shape:
        raise DataError(
            "segmentation map and image differ in size", key="where", got=labels.shape,
            allowed=shape,
        )  # fmt: skip
    if labels.size and labels.min() < 0:
        raise DataError("labels must not be negative", key="where", got=int(labels.min()))
    known = np.unique(labels)
    ranks = np.searchsorted(known[known > 0], labels) + 1
    return np.where(labels > 0, ranks, 0).astype(np.int32)


def _discs(
    positions: NDArray[np.float64], shape: tuple[int, int], radius: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Discs around positions; every pixel goes to the nearest position."""
    from scipy.spatial import KDTree

    labels = np.zeros(shape, np.int32)
    if not len(positions):
        return labels, positions
    size = np.array([shape[1], shape[0]])
    if not (np.isfinite(positions) & (positions >= -0.5) & (positions < size - 0.5)).all():
        raise DataError(
            "positions must lie on the image", key="where",
            allowed=f"x below {shape[1] - 0.5}, y below {shape[0] - 0.5}, from -0.5",
        )  # fmt: skip
    yy, xx = np.indices(shape)
    distance, nearest = KDTree(positions).query(
        np.column_stack([xx.ravel(), yy.ravel()]), distance_upper_bound=radius
    )
    labels.ravel()[np.isfinite(distance)] = nearest[np.isfinite(distance)] + 1
    columns, rows = np.floor(positions + 0.5).astype(int).T
    labels[rows, columns] = np.arange(len(positions)) + 1  # a small disc may hold no pixel
    if len(np.unique(rows * shape[1] + columns)) < len(positions):
        raise DataError("two positions lie in the same pixel", key="where")
    return labels, positions


def _make_round(objects: NDArray[Any], positions: NDArray[np.float64], radius: float) -> None:
    """Put round objects at the positions, whatever their pixels say."""
    variance = radius * radius / 4
    objects["x"], objects["y"] = positions[:, 0], positions[:, 1]
    objects["x2"], objects["y2"], objects["xy"] = variance, variance, 0
    objects["a"] = objects["b"] = radius / 2
    objects["theta"] = objects["cxy"] = objects["singular"] = 0
    objects["cxx"] = objects["cyy"] = 1 / variance


def _as_catalogued(prints: Footprints, labels: NDArray[np.int32]) -> Catalogued:
    """Every object in its own row, seeing the whole image."""
    count = prints.objects.size
    prints.objects["parent"] = np.arange(count) + 1
    return Catalogued(
        footprints=prints,
        source=np.arange(count, dtype=np.int64),
        lines=np.tile(np.array([0, labels.shape[0], NO_LIMIT, -1, NO_LIMIT], np.int64), (count, 1)),
        labels=np.where(labels > 0, labels + np.int32(1), np.int32(0)),
        returned=np.full((count + 2, 2), -1, np.int32),
        survivor=np.arange(count, dtype=np.int64),
    )
