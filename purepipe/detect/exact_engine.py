"""Segmentation as SExtractor does it, to the bit: components, deblending, cleaning, order."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.config.detect import DetectConfig
from purepipe.detect import components_nb, objects_nb
from purepipe.detect.columns import wanted_measurements
from purepipe.detect.footprints import (
    Catalogued,
    Footprints,
    Thresholded,
    line_buffer,
    masking_delay,
)
from purepipe.detect.planes import PreparedImage
from purepipe.detect.records_nb import OBJECT

log = logging.getLogger(__name__)


def _words(count: int) -> NDArray[np.int64]:
    return np.zeros(count, np.int64)


@dataclass(frozen=True, eq=False)
class Continuation:
    """What SExtractor carries from one image of a file to the next; each extraction changes it.

    Attributes
    ----------
    random
        State of the random numbers that divide blended objects; zeros before the first image.
    components
        Number of components found so far, for ID_PARENT.
    """

    random: NDArray[np.int64] = field(default_factory=lambda: _words(35))
    components: NDArray[np.int64] = field(default_factory=lambda: _words(1))


def find_footprints(
    prepared: PreparedImage,
    found: Thresholded,
    config: DetectConfig,
    *,
    after: Continuation | None = None,
    threads: int = 1,
) -> Footprints:
    """Deblended objects in the order of detection, before cleaning.

    `after` continues the random numbers and the numbers of parents of an earlier image.
    """
    after = after or Continuation()
    width = found.shape[1]
    starts, pixels, values, thresholds, one, flags, closings, ordered = _components(found, config)
    count, size = starts.size - 1, pixels.size
    cores = np.empty(size, np.int32)
    ends, tops = np.empty(size, np.int64), np.empty(size, np.float32)
    counts = np.empty(count, np.int64)

    def some(first: int, last: int) -> None:
        components_nb.deblend_components(
            starts, pixels, values, thresholds, width, config.deblend_levels,
            config.deblend_contrast, config.min_area, first, last, one, cores, ends, tops, counts,
            flags, ordered,
        )  # fmt: skip

    in_threads(some, count, threads)
    total = int(counts.sum())
    prints = Footprints(
        np.zeros(total, OBJECT), np.zeros(total + 1, np.int64), np.empty_like(pixels),
        np.empty_like(values), np.empty_like(thresholds),
    )  # fmt: skip
    objects_nb.assign_pixels(
        starts, pixels, values, thresholds, one, cores, ends, tops, counts, flags, closings,
        prepared.plane.image, prepared.plane.weighted, found.common, prints.objects, prints.starts,
        prints.pixels, prints.values, prints.thresholds, after.random,
        int(after.components[0]) + 1,
    )  # fmt: skip
    after.components[0] += count
    return prints


def _components(found: Thresholded, config: DetectConfig) -> tuple[Any, ...]:
    """Pixels of the components, their scan order, flags, last lines, whether the order is known."""
    parent = components_nb.join_runs(found.runs)
    limit = config.buffer_pixels
    if limit is not None and components_nb.most_held(found.runs, parent) + 1 >= limit:
        cut = components_nb.list_cut_components(
            found.runs, found.values, found.thresholds, config.min_area, found.shape, limit
        )
        flagged = np.count_nonzero(cut[5] & components_nb.MEMORY_OVERFLOW)
        if flagged:
            log.warning(
                "pixel stack overflow: %d components lost pixels (FLAGS 128), and what was left of "
                "others may be too small; raise MEMORY_PIXSTACK above %d", flagged, limit,
            )  # fmt: skip
        return *cut, True
    starts, pixels, values, thresholds = components_nb.list_components(
        found.runs, found.values, found.thresholds, parent, config.min_area, found.shape[1]
    )
    one: NDArray[np.int32] = np.empty(pixels.size, np.int32)
    flags: NDArray[np.int16] = np.zeros(starts.size - 1, np.int16)
    closings = components_nb.last_pixels(starts, pixels, found.shape[1])
    return starts, pixels, values, thresholds, one, flags, closings, False


def catalogue_objects(
    prints: Footprints,
    found: Thresholded,
    config: DetectConfig,
    *,
    two_images: bool = False,
    threads: int = 1,
) -> Catalogued:
    """Clean the objects, put them in output order and label the pixels.

    The isophotal fields of the objects must be filled; merging adds them up. `two_images` says
    that the objects will be measured on another image than that on which they were found.
    """
    count = prints.objects.size
    source = np.empty(count, np.int64)
    lines = np.empty((count, 5), np.int64)
    survivor = np.arange(count, dtype=np.int64)
    returned = np.full((count + 2, 2), -1, np.int32)
    settings = _order_settings(found, config, two_images)
    rows = objects_nb.order_objects(prints.objects, settings, source, lines, returned, survivor)
    objects_nb.resolve_survivors(survivor)
    labels = _labels(prints, found, threads)
    return Catalogued(prints, source[:rows], lines[:rows], labels, returned, survivor)


def _labels(prints: Footprints, found: Thresholded, threads: int) -> NDArray[np.int32]:
    """0 for the sky, 1 for pixels that were detected, k + 2 for those of object k."""
    labels: NDArray[np.int32] = np.zeros(found.shape, np.int32)

    def label_runs(first: int, last: int) -> None:
        components_nb.label_runs(found.runs, labels, first, last)

    def label_objects(first: int, last: int) -> None:
        components_nb.label_objects(prints.starts, prints.pixels, labels, first, last)

    in_threads(label_runs, found.runs.shape[0], threads)
    in_threads(label_objects, prints.objects.size, threads)
    return labels


def _order_settings(
    found: Thresholded, config: DetectConfig, two_images: bool
) -> tuple[int, int, int, int, int, int, int, bool, float, int]:
    height = found.shape[0]
    filtered = config.filter is not None
    mask_height = found.mask.shape[0]
    lines, margin = line_buffer(config)
    late = mask_height // 2 + 1 if filtered else 1
    delay = masking_delay(config, two_images)
    reach = wanted_measurements(config).reach(config)
    return (
        height, lines, margin, late, delay, reach, config.buffer_objects,
        config.clean, float(config.clean_efficiency), config.max_area,
    )  # fmt: skip
