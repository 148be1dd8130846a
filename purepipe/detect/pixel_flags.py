"""Columns that sum up flag maps and bad weights over the pixels of objects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.detect import DetectConfig
from purepipe.detect import pixel_flags_nb as nb
from purepipe.detect.footprints import Catalogued, filter_mask
from purepipe.detect.planes import PreparedImage
from purepipe.errors import DataError
from purepipe.exposure import Exposure

Values = NDArray[Any]
FLAG_COLUMNS = ("IMAFLAGS_ISO", "NIMAFLAGS_ISO")
WEIGHT_COLUMNS = ("NLOWWEIGHT_ISO", "NLOWDWEIGHT_ISO", "FLAGS_WEIGHT")
_KINDS = {"or": nb.OR, "and": nb.AND, "min": nb.MIN, "max": nb.MAX, "most": nb.MOST}


def usable_maps(given: Iterable[ArrayLike], exposure: Exposure) -> Iterable[NDArray[np.integer]]:
    """Flag maps as arrays, without any the flags of the exposure.

    Those of an iterator are taken and checked one by one, when they are needed.

    Raises
    ------
    DataError
        No maps; a map of another size or of other numbers than whole ones of 31 bits.
    """
    if not isinstance(given, Iterable):
        raise DataError(
            "flag_maps must be a sequence of maps", file=exposure.name, key="flag_maps",
            got=type(given).__name__, remedy="Give a list, as in flag_maps=[flags].",
        )  # fmt: skip
    if isinstance(given, Iterator):
        return map(partial(_usable_map, exposure=exposure), given)
    maps = [_usable_map(one, exposure) for one in given]
    return maps if maps or exposure.flags is None else [exposure.flags]


def _usable_map(given: ArrayLike, exposure: Exposure) -> NDArray[np.integer]:
    """A flag map as an array; see `usable_maps` for the errors."""
    flags = np.asarray(given)
    if flags.shape != exposure.shape:
        raise DataError(
            "image and flag map differ in size", file=exposure.name, got=flags.shape,
            allowed=exposure.shape,
        )  # fmt: skip
    if flags.dtype.kind not in "biu":
        raise DataError(
            "a flag map must hold whole numbers", file=exposure.name, got=flags.dtype,
            allowed="integers", remedy="Convert it, as in flags.astype(numpy.int32).",
        )  # fmt: skip
    if not np.can_cast(flags.dtype, np.int32):
        least, most, limit = int(flags.min()), int(flags.max()), np.iinfo(np.int32)
        if least < limit.min or most > limit.max:
            raise DataError(
                "a flag map must hold numbers of at most 31 bits", file=exposure.name,
                got=f"{flags.dtype} values {least} to {most}",
                allowed=f"{limit.min} to {limit.max}", remedy="Leave the higher bits out.",
            )  # fmt: skip
    return flags


def pixel_flag_columns(
    names: Iterable[str],
    catalogued: Catalogued,
    maps: Iterable[NDArray[np.integer]],
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
    maps: Iterable[NDArray[np.integer]],
    config: DetectConfig,
) -> dict[str, Values]:
    """Combined flags and numbers of pixels, (rows, maps); without a map, one column of zeros.

    As in the original, what is no column is zero for all objects when cleaning merges them.
    """
    prints = catalogued.footprints
    size = prints.objects.size
    columns = []
    # In the original a word is for one map only; the maps without a word are combined by "or".
    words = chain(config.flag_type, repeat("or"))
    # A loop over the maps would hold one while the next one is read.
    taken = map(partial(_flags_at, pixels=prints.pixels), maps)
    for flags, word in zip(taken, words, strict=False):
        value, count = np.zeros(size, np.uint32), np.zeros(size, np.int32)
        nb.object_flags(flags, _KINDS[word], prints.starts, value, count)
        for name, numbers in zip(FLAG_COLUMNS, (value, count), strict=True):
            if name not in wanted:
                numbers[:] = 0
        nb.merge_flags(value, count, _KINDS[word], catalogued.survivor)
        columns.append((value.view(np.int32)[catalogued.source], count[catalogued.source]))
    if not columns:
        none = np.zeros(catalogued.source.size, np.int32)
        columns.append((none, none))
    values, counts = zip(*columns, strict=True)
    return {"IMAFLAGS_ISO": np.stack(values, axis=1), "NIMAFLAGS_ISO": np.stack(counts, axis=1)}


def _flags_at(flags: NDArray[np.integer], pixels: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Flags of pixels given by flat index."""
    return flags.reshape(-1)[pixels].astype(np.int32).view(np.uint32)


def _weight_columns(
    catalogued: Catalogued, sought: PreparedImage, measured: PreparedImage, config: DetectConfig
) -> dict[str, Values]:
    """Numbers of pixels without weight (measurement), and near such pixels (detection).

    As in the original those of objects swallowed by cleaning are not counted, and none at all if
    either detection or measurement has no weights.
    """
    prints = catalogued.footprints
    bad, near = (np.zeros(prints.objects.size, np.int32) for _ in range(2))
    lists = prints.starts, prints.pixels
    if sought.plane.weighted and measured.plane.weighted:
        nb.count_bad_pixels(measured.plane.variance, measured.plane.bad_level, *lists, bad)
        plane = sought.plane
        nb.count_doubtful_pixels(plane.variance, filter_mask(config), plane.bad_level, *lists, near)
    bad, near = bad[catalogued.source], near[catalogued.source]
    return {
        "NLOWWEIGHT_ISO": bad,
        "NLOWDWEIGHT_ISO": near,
        "FLAGS_WEIGHT": (1 * (bad > 0) + 2 * (near > 0)).astype(np.int16),
    }
