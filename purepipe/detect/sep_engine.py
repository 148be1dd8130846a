"""Segmentation by the library sep; the measurements are purepipe's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from purepipe.config.detect import DetectConfig
from purepipe.detect.footprints import (
    Catalogued,
    Thresholded,
    filtered_image,
    footprints_of_labels,
)  # fmt: skip
from purepipe.detect.planes import PreparedImage
from purepipe.detect.records_nb import NO_LIMIT
from purepipe.errors import AlgorithmError, DataError
from purepipe.flags import DetectFlag

PIXEL_STACK = 5_000_000


def find_objects_sep(
    prepared: PreparedImage, found: Thresholded, config: DetectConfig
) -> Catalogued:
    """Objects found, deblended and cleaned by sep, in sep's order."""
    flags, labels = _segmentation(prepared, found, config)
    filtered = filtered_image(prepared, config)
    footprints = footprints_of_labels(labels, filtered, found, prepared)
    footprints.objects["flags"] |= flags
    count = footprints.objects.size
    height = labels.shape[0]
    owner = labels + np.int32(1)
    owner[labels == 0] = 0
    for y, first, last in found.runs:
        row = owner[y, first : last + 1]
        row[row == 0] = 1
    footprints.objects["parent"] = np.arange(count) + 1
    return Catalogued(
        footprints=footprints,
        source=np.arange(count, dtype=np.int64),
        lines=np.tile(np.array([0, height, NO_LIMIT, -1, NO_LIMIT], np.int64), (count, 1)),
        labels=owner,
        returned=np.full((count + 2, 2), -1, np.int32),
        survivor=np.arange(count, dtype=np.int64),
    )


def _segmentation(
    prepared: PreparedImage, found: Thresholded, config: DetectConfig
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """SExtractor's flags of the objects that sep knows, and the map of labels."""
    import sep

    plane = prepared.plane
    threshold, error = float(found.common), None
    if found.local:
        threshold, error = config.threshold, np.sqrt(plane.variance)
    keep = sep.get_extract_pixstack()
    sep.set_extract_pixstack(max(keep, min(PIXEL_STACK, plane.image.size)))
    try:
        objects, labels = sep.extract(
            plane.image, threshold, err=error, minarea=config.min_area,
            filter_kernel=None if config.filter is None else found.mask, filter_type="conv",
            deblend_nthresh=config.deblend_levels, deblend_cont=config.deblend_contrast,
            clean=config.clean, clean_param=config.clean_efficiency, segmentation_map=True,
        )  # fmt: skip
    except Exception as error:
        if type(error) is not Exception:  # sep raises the class itself, others are not its own
            raise
        raise AlgorithmError(
            f"sep failed: {error}", remedy='Use engine="exact", or raise the threshold.'
        ) from error
    finally:
        sep.set_extract_pixstack(keep)
    if labels.shape != plane.image.shape:
        raise DataError("sep returned a map of another size", got=labels.shape)
    flags = np.zeros(len(objects), np.int16)
    flags[objects["flag"] & sep.OBJ_MERGED != 0] |= DetectFlag.BLENDED
    flags[objects["flag"] & sep.OBJ_DOVERFLOW != 0] |= DetectFlag.DEBLEND_OVERFLOW
    return flags, np.ascontiguousarray(labels, np.int32)
