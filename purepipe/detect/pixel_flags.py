"""Columns that sum up flag maps and bad weights over the pixels of objects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.detect import DetectConfig
from purepipe.detect import pixel_flags_nb as nb
from purepipe.detect.footprints import Catalogued, filter_mask
from purepipe.detect.planes import PreparedImage

Values = NDArray[Any]
FLAG_COLUMNS = ("IMAFLAGS_ISO", "NIMAFLAGS_ISO")
WEIGHT_COLUMNS = ("NLOWWEIGHT_ISO", "NLOWDWEIGHT_ISO", "FLAGS_WEIGHT")
_KINDS = {"or": nb.OR, "and": nb.AND, "min": nb.MIN, "max": nb.MAX, "most": nb.MOST}


def pixel_flag_columns(
    names: Iterable[str],
    catalogued: Catalogued,
    maps: Sequence[NDArray[np.integer]],
    sought: PreparedImage,
    measured: PreparedImage,
    config: DetectConfig,
) -> dict[str, Values]:
    """The columns among `names` that come from flag maps and weights, for the catalogue rows."""
    wanted = set(names)
    columns: dict[str, Values] = {}
    if not wanted.isdisjoint(FLAG_COLUMNS):
        columns |= _flag_columns(wanted, catalogued, maps, config)
    if not wanted.isdisjoint(WEIGHT_COLUMNS):
        columns |= _weight_columns(catalogued, sought, measured, config)
    return {name: values for name, values in columns.items() if name in wanted}


def _flag_columns(
    wanted: Collection[str],
    catalogued: Catalogued,
    maps: Sequence[NDArray[np.integer]],
    config: DetectConfig,
) -> dict[str, Values]:
    """Combined flags and numbers of pixels, (rows, maps); without a map, one column of zeros.

    As in the original, what is no column is zero for all objects when cleaning merges them.
    """
    prints = catalogued.footprints
    shape = (max(len(maps), 1), prints.objects.size)
    values, counts = np.zeros(shape, np.uint32), np.zeros(shape, np.int32)
    # In the original a word is for one map only; the maps without a word are combined by "or".
    words = (*config.flag_type, *("or" for _ in maps))
    for flags, word, value, count in zip(maps, words, values, counts, strict=False):
        nb.object_flags(_flags_at(flags, prints.pixels), _KINDS[word], prints.starts, value, count)
        for name, numbers in zip(FLAG_COLUMNS, (value, count), strict=True):
            if name not in wanted:
                numbers[:] = 0
        nb.merge_flags(value, count, _KINDS[word], catalogued.survivor)
    return {
        "IMAFLAGS_ISO": values.view(np.int32).T[catalogued.source],
        "NIMAFLAGS_ISO": counts.T[catalogued.source],
    }


def _flags_at(flags: NDArray[np.integer], pixels: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Flags of pixels given by flat index; of a mapped file, no other pixel is read."""
    return flags.reshape(-1)[pixels].astype(np.int32).view(np.uint32)


def _weight_columns(
    catalogued: Catalogued, sought: PreparedImage, measured: PreparedImage, config: DetectConfig
) -> dict[str, Values]:
    """Numbers of pixels without weight (measurement), and near such pixels (detection).

    As in the original those of objects swallowed by cleaning are not counted, and none at all if
    the detection has no weights.
    """
    prints = catalogued.footprints
    bad, near = (np.zeros(prints.objects.size, np.int32) for _ in range(2))
    lists = prints.starts, prints.pixels
    if sought.plane.weighted and measured.plane.weighted:
        nb.count_bad_pixels(measured.plane.variance, measured.plane.bad_level, *lists, bad)
    if sought.plane.weighted:
        plane = sought.plane
        nb.count_doubtful_pixels(plane.variance, filter_mask(config), plane.bad_level, *lists, near)
    bad, near = bad[catalogued.source], near[catalogued.source]
    return {
        "NLOWWEIGHT_ISO": bad,
        "NLOWDWEIGHT_ISO": near,
        "FLAGS_WEIGHT": (1 * (bad > 0) + 2 * (near > 0)).astype(np.int16),
    }
