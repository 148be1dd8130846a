"""Weight maps, flag maps and regions combined into one flag map and one weight map.

What WeightWatcher does as a program, on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.mask import CombineConfig
from purepipe.display import brief
from purepipe.errors import ConfigError, DataError
from purepipe.mask.plan import mark
from purepipe.mask.raster import pack, strips
from purepipe.mask.regions import PackedRegions, Region, inside_regions, pack_regions
from purepipe.mask.rules import or_outside, outside_range

# What a weight that is not a finite number counts as.
_NOT_A_WEIGHT = np.float32(-1e30)


@dataclass(frozen=True)
class Areas:
    """Unmasked fractions of the image, by the flag map and by the weight map."""

    flags: float
    weight: float


@dataclass(frozen=True, eq=False)
class Combined:
    """One flag map and one weight map.

    Attributes
    ----------
    flag_map
        (ny, nx) int32, all contributions bitwise OR-ed.
    weight_map
        (ny, nx) float32, zero where the pixel is useless.
    areas
        Unmasked fractions; None when not asked for.
    """

    flag_map: NDArray[np.int32]
    weight_map: NDArray[np.float32]
    areas: Areas | None = None

    __repr__ = brief


def combine(
    weights: Sequence[ArrayLike] = (),
    flags: Sequence[ArrayLike] = (),
    regions: Sequence[Sequence[Any]] = (),
    config: CombineConfig | None = None,
    *,
    rule: str = "weightwatcher",
    origin: int = 0,
) -> Combined:
    """One flag map and one weight map from many weight maps, flag maps and lists of regions.

    A weight out of range and a flag sharing a bit with ``flag_weight_masks`` make the output
    weight zero; the weight is that of the first map, 1 without any, times
    ``region_out_weights`` inside the regions.

    Parameters
    ----------
    weights
        (ny, nx) maps; not finite values count as -1e30.
    flags
        (ny, nx) integer maps.
    regions
        Lists of `Region` or of (n, 2) vertices, one list for each value of ``region_out_flags``.
    config
        Ranges, bits and output values; the defaults are WeightWatcher's.
    rule, origin
        How polygons are drawn, as for `purepipe.mask.raster.rasterise`; `origin` is for vertices
        only, a `Region` is 0-based always.

    Raises
    ------
    ConfigError
        Fewer values than maps, or than bits passed on, or than lists of regions.
    DataError
        No map at all, maps of different sizes, or a flag map that is not of integers.
    """
    config = config or CombineConfig()
    arrays = [np.asarray(item) for item in (*weights, *flags)]
    shape = _common_shape(arrays)
    plan = plan_combination(len(weights), len(flags), regions, config, rule=rule, origin=origin)
    flag_map, weight_map = np.zeros(shape, np.int32), np.ones(shape, np.float32)
    for first, last in strips(shape):
        rows = [item[first:last] for item in arrays]
        combine_rows(plan, rows, first, flag_map[first:last], weight_map[first:last])
    counts = count_areas(flag_map, weight_map, config)
    return Combined(flag_map, weight_map, areas(counts, flag_map.size, config))


@dataclass(frozen=True, eq=False)
class CombinePlan:
    """What is known of a combination before its maps are read.

    Attributes
    ----------
    config
        Ranges, bits and output values.
    n_weights
        How many of the maps are weights; they come first.
    regions
        One list of shapes for each value of ``region_out_flags``.
    """

    config: CombineConfig
    n_weights: int
    regions: tuple[PackedRegions, ...]


def plan_combination(
    n_weights: int,
    n_flags: int,
    regions: Sequence[Sequence[Any]],
    config: CombineConfig,
    *,
    rule: str = "weightwatcher",
    origin: int = 0,
) -> CombinePlan:
    """A combination of maps, to be made some rows at a time; all is as for `combine`."""
    _require_values(config, n_weights, n_flags, len(regions))
    return CombinePlan(
        config, n_weights, tuple(_pack(items, config, rule, origin) for items in regions)
    )


def combine_rows(
    plan: CombinePlan,
    maps: Sequence[NDArray[Any]],
    first_row: int,
    out_flags: NDArray[np.int32],
    out_weight: NDArray[np.float32] | None,
) -> None:
    """Combine the rows from `first_row` on of weight maps and then flag maps.

    Parameters
    ----------
    plan
        From `plan_combination`.
    maps
        (n, nx) each.
    out_flags, out_weight
        (n, nx): zeros and ones, into which the results are written. The second is None when no
        weights are wanted.

    Raises
    ------
    DataError
        A flag map is not of integers.
    """
    config = plan.config
    for number, weight in enumerate(maps[: plan.n_weights]):
        _add_weight(number, weight, config, out_flags, out_weight)
    first_bit = 0
    for number, flags in enumerate(maps[plan.n_weights :]):
        first_bit += _add_flags(number, flags, first_bit, config, out_flags, out_weight)
    shape = out_flags.shape[0], out_flags.shape[1]
    for number, regions in enumerate(plan.regions):
        inside = inside_regions(regions, shape, first_row)
        mark(inside, config.region_out_flags[number], out_flags)
        if out_weight is None:
            continue
        factors = config.region_out_weights
        out_weight[inside] *= np.float32(factors[min(number, len(factors) - 1)])
    if config.compat == "weightwatcher" and 128 <= _largest_value(config, plan.n_weights) < 32768:
        # The original keeps only the low byte of its 16-bit maps.
        out_flags &= 255


def flag_dtype(config: CombineConfig) -> type[np.generic]:
    """The type in which WeightWatcher writes the flag map: by the largest possible output value."""
    values = (*config.weight_out_flags, *config.flag_out_flags, *config.region_out_flags, 0)
    if max(values) < 128:
        return np.uint8
    return np.int16 if max(values) < 32768 else np.int32


def area_cards(found: Areas | None, config: CombineConfig) -> dict[str, list[tuple[str, Any, str]]]:
    """Header cards (keyword, value, comment) of the areas, for the ``"flag"`` and ``"weight"`` map.

    Empty lists when the areas were not asked for.
    """
    if found is None:
        return {"flag": [], "weight": []}
    bits = sum(config.area_flags)
    return {
        "flag": [
            ("EFF_AREA", found.flags, "unmasked fraction of the image"),
            ("FLAGAREA", bits, "bits that do not count as area"),
        ],
        "weight": [
            ("EFF_AREA", found.weight, "fraction of the image above WEIGAREA"),
            ("WEIGAREA", config.area_weight, "weight that does not count as area"),
        ],
    }


def _common_shape(maps: Sequence[ArrayLike]) -> tuple[int, int]:
    shapes = [np.shape(item) for item in maps]
    if not shapes:
        raise DataError(
            "there is no map to combine", remedy="Give at least one weight map or flag map."
        )
    for shape in shapes:
        if len(shape) != 2 or shape != shapes[0]:
            raise DataError(
                "all maps must be two-dimensional and of one size", got=shape, allowed=shapes[0]
            )
    return shapes[0][0], shapes[0][1]


def _require_values(config: CombineConfig, weights: int, flags: int, regions: int) -> None:
    bits = sum(bits.bit_count() for bits in config.flag_masks[:flags])
    needed = {
        "weight_min": weights,
        "weight_max": weights,
        "weight_out_flags": weights,
        "flag_weight_masks": flags,
        "flag_masks": flags,
        "flag_out_flags": bits,
        "region_out_flags": regions,
        "region_out_weights": min(regions, 1),
    }
    for name, count in needed.items():
        values = getattr(config, name)
        if len(values) < count:
            raise ConfigError(
                "too few values", key=f"combine.{name}", got=len(values), allowed=count,
                remedy="One value is needed for each map, list of regions, or bit passed on.",
            )  # fmt: skip


def _add_weight(
    number: int,
    weight: NDArray[Any],
    config: CombineConfig,
    out_flags: NDArray[np.int32],
    out_weight: NDArray[np.float32] | None,
) -> None:
    limits = config.weight_min[number], config.weight_max[number]
    if out_weight is None:
        or_outside(weight, *limits, config.weight_out_flags[number], out_flags)
        return
    weight = weight.astype(np.float32, copy=False)
    outside = outside_range(weight, *limits)
    mark(outside, config.weight_out_flags[number], out_flags)
    if number == 0:
        out_weight *= np.where(np.isfinite(weight), weight, _NOT_A_WEIGHT)
    out_weight[outside] = 0


def _add_flags(
    number: int,
    flags: NDArray[Any],
    first: int,
    config: CombineConfig,
    out_flags: NDArray[np.int32],
    out_weight: NDArray[np.float32] | None,
) -> int:
    """Translate the bits of one flag map; return how many output values were used."""
    if flags.dtype.kind not in "iub":
        raise DataError(f"flag map {number} is not of integers", got=flags.dtype)
    flags = flags.astype(np.int64)
    bits = [1 << bit for bit in range(31) if config.flag_masks[number] >> bit & 1]
    for bit, value in zip(bits, config.flag_out_flags[first:], strict=False):
        mark((flags & bit) != 0, value, out_flags)
    if out_weight is not None:
        out_weight[(flags & config.flag_weight_masks[number]) != 0] = 0
    return len(bits)


def _pack(items: Sequence[Any], config: CombineConfig, rule: str, origin: int) -> PackedRegions:
    overlap = "union" if config.region_union else "even-odd"
    whole = [item for item in items if isinstance(item, Region)]
    if whole and len(whole) < len(items):
        raise DataError("regions and bare vertices cannot be mixed in one list")
    if whole:
        return pack_regions(whole, rule=rule, overlap=overlap)
    return pack(items, 1, rule=rule, origin=origin, overlap=overlap), pack([], rule=rule)


def _largest_value(config: CombineConfig, weights: int) -> int:
    used = config.weight_out_flags if weights else ()
    return max((*used, *config.flag_out_flags, *config.region_out_flags, 0))


def count_areas(
    flags: NDArray[np.int32], weight: NDArray[np.float32] | None, config: CombineConfig
) -> NDArray[np.int64]:
    """Pixels of some rows that count as area: by the flag map, and by the weight map."""
    if not config.areas:
        return np.zeros(2, np.int64)
    flagged = np.count_nonzero(flags & np.int32(sum(config.area_flags)))
    heavy = 0 if weight is None else np.count_nonzero(weight > config.area_weight)
    return np.array([flags.size - flagged, heavy])


def areas(counts: NDArray[np.int64], n_pixels: int, config: CombineConfig) -> Areas | None:
    """The areas of a combination from the sum of its `count_areas`; None if not asked for."""
    if not config.areas:
        return None
    return Areas(1.0 - int(n_pixels - counts[0]) / n_pixels, int(counts[1]) / n_pixels)
