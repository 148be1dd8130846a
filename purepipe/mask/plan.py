"""Everything of a mask that is known before its pixels are read, and how rows are drawn from it.

A mask is drawn a few rows at a time: each part stays in the processor's cache while all rules
write to it, and an image that lies in a file need not be held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.mask import MaskConfig, MessierConfig, NGCConfig
from purepipe.errors import ConfigError
from purepipe.exposure import WeightKind
from purepipe.flags import MaskFlag
from purepipe.mask import nebulae, rules
from purepipe.mask.halos import outline_stars
from purepipe.mask.raster import PackedPolygons, paint
from purepipe.mask.regions import PackedRegions, Region, inside_regions, pack_regions
from purepipe.mask.sky import require_wcs
from purepipe.mask.sky_map import PlacedMap, flag_rows, place_map

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS


@dataclass(frozen=True, eq=False)
class MaskPlan:
    """The shapes on one image, with their values, and the rules for its pixels.

    Attributes
    ----------
    shape
        (ny, nx) of the image.
    config
        Which rules, and how.
    stars
        Polygons around stars.
    nebulae
        Ellipses and their value.
    regions
        Further shapes, or None.
    sky
        A map of the sky, or None.
    """

    shape: tuple[int, int]
    config: MaskConfig
    stars: tuple[PackedPolygons, ...]
    nebulae: tuple[tuple[nebulae.Ellipses, int], ...]
    regions: PackedRegions | None
    sky: PlacedMap | None = None

    @property
    def largest(self) -> int:
        """Sum of the values of all rules: no pixel can have more, but for external flags."""
        config = self.config
        rules_of_stars = config.halo.flag + config.spike.flag
        rest = config.border_flag + config.messier.flag + config.ngc.flag + config.weight.flag
        return rules_of_stars + rest + config.sky.flag


@dataclass(frozen=True, eq=False)
class PixelRows:
    """Some rows of an image, as far as its planes are there.

    The image and the weight may have their bytes in the order of a file.
    """

    first: int
    image: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    weight_kind: WeightKind = WeightKind.INVERSE_VARIANCE
    flags: NDArray[np.int32] | None = None
    saturation: float = np.inf


def plan_mask(
    shape: tuple[int, int],
    wcs: WCS | None,
    stars: Table | None,
    config: MaskConfig,
    *,
    regions: Sequence[Region] = (),
    messier: Table | None = None,
    ngc: Table | None = None,
    sky_map: Any = None,
    name: str = "image",
) -> MaskPlan:
    """The shapes of a mask, placed on an image of which only the frame is known.

    Parameters and errors are those of `purepipe.mask.build_mask`; `name` is shown in messages.
    """
    compat = config.compat == "shapepipe"
    values = {"halo": config.halo.flag, "spike": config.spike.flag}
    outlines = outline_stars(wcs, shape, stars, config, name=name)
    return MaskPlan(
        shape=shape,
        config=config,
        stars=tuple(
            rules.pack_stars(polygons, values[kind], compat=compat)
            for kind, polygons in outlines.items()
        ),
        nebulae=tuple(_place_nebulae(shape, wcs, config, messier, ngc, name)),
        regions=pack_regions(regions, rule="centre") if regions else None,
        sky=_place_sky_map(shape, wcs, config, sky_map, name),
    )


def _place_sky_map(
    shape: tuple[int, int], wcs: WCS | None, config: MaskConfig, sky_map: Any, name: str
) -> PlacedMap | None:
    if sky_map is None and config.sky.map is not None:
        raise _not_passed("map of the sky", "mask.sky.map", config.sky.map, "sky_map=map")
    if sky_map is None:
        return None
    return place_map(sky_map, require_wcs(wcs, shape, "the map of the sky", name))


def _not_passed(what: str, key: str, path: Path, argument: str) -> ConfigError:
    return ConfigError(
        f"the {what} is named but was not passed", key=key, got=path,
        remedy=f"Read it and give it as {argument}.",
    )  # fmt: skip


def _place_nebulae(
    shape: tuple[int, int],
    wcs: WCS | None,
    config: MaskConfig,
    messier: Table | None,
    ngc: Table | None,
    name: str,
) -> Iterator[tuple[nebulae.Ellipses, int]]:
    kinds: tuple[tuple[str, MessierConfig | NGCConfig, Table | None], ...] = (
        ("messier", config.messier, messier),
        ("ngc", config.ngc, ngc),
    )
    for kind, item, table in kinds:
        if not item.make:
            continue
        if table is None and item.catalogue is not None:
            key = f"mask.{kind}.catalogue"
            raise _not_passed("catalogue", key, item.catalogue, f"{kind}=table")
        placed = require_wcs(wcs, shape, f"the {kind} objects", name)
        if table is None:
            table = nebulae.messier() if kind == "messier" else nebulae.ngc()
        compat = config.compat == "shapepipe"
        ellipses = nebulae.place_nebulae(
            table, placed, size_plus=item.size_plus, compat=compat, name=kind
        )
        if len(ellipses.x):
            yield ellipses, item.flag


def draw_rows(plan: MaskPlan, rows: PixelRows, out: NDArray[Any]) -> None:
    """Draw the rows of a mask into `out`, (n, nx) int32, whatever it holds.

    Without flags `out` may be of int16, if ``plan.largest`` fits.
    """
    if plan.config.compat == "shapepipe":
        _draw_as_shapepipe(plan, rows, out)
    else:
        _draw(plan, rows, out)
    if plan.regions is not None:
        inside = inside_regions(plan.regions, _shape(out), rows.first)
        mark(inside, int(MaskFlag.EXTERNAL), out)
    if plan.sky is not None:
        sky = plan.config.sky
        flags = flag_rows(plan.sky, rows.first, rows.first + len(out), outside=-1)
        plane = np.where(flags < 0, sky.outside, (flags & sky.bits) != 0)
        mark(plane, sky.flag, out)


def _draw(plan: MaskPlan, rows: PixelRows, out: NDArray[Any]) -> None:
    config = plan.config
    if rows.weight is None:
        out[...] = 0
    else:
        limits = config.weight
        good = rules.good_range(
            rows.weight_kind, limits.minimum, limits.maximum, mask_zero=limits.mask_zero
        )
        rules.or_outside(rows.weight, *good, limits.flag, out, fresh=True)
    if config.border_make:
        for part in _border(plan, config.border_width, rows.first, out):
            part |= config.border_flag
    for polygons in plan.stars:
        paint(polygons, out, rows.first)
    for ellipses, value in plan.nebulae:
        mark(_inside(ellipses, out, rows.first), value, out)
    if rows.image is not None:
        rules.or_missing(rows.image, int(MaskFlag.MISSING), out, zeros=config.missing.mask_zeros)
        if config.saturated:
            plane = rules.saturated(rows.image, rows.saturation)
            mark(plane, int(MaskFlag.SATURATED), out)
    if rows.flags is not None:
        out |= rules.external(rows.flags, bits=config.external_bits)


def _draw_as_shapepipe(plan: MaskPlan, rows: PixelRows, out: NDArray[Any]) -> None:
    """Add up the contributions as ShapePipe makes them."""
    config = plan.config
    # WeightWatcher ORs the weights and the polygons, and loses bits 8 to 15 of its map. It is not
    # called when there are no polygons.
    values = [item.flag for item in (config.halo, config.spike) if item.make]
    if rows.weight is None or not values:
        out[...] = 0
    else:
        limits = config.weight
        rules.or_outside(rows.weight, limits.minimum, limits.maximum, limits.flag, out, fresh=True)
        values.append(limits.flag)
    if values:
        for polygons in plan.stars:
            paint(polygons, out, rows.first)
        if 256 <= max(values) < 32768:
            out &= 255
    if config.border_make:
        # The slice of -0 pixels is the whole axis; and the configured value is never read.
        for part in _border(plan, config.border_width or max(plan.shape), rows.first, out):
            part += 4
    for ellipses, value in plan.nebulae:
        out += out.dtype.type(value) * _inside(ellipses, out, rows.first)
    if rows.flags is not None:
        out += rows.flags
    if rows.flags is not None or plan.largest >= 2**15:
        # The original adds 16-bit integers, which wrap.
        out <<= 16
        out >>= 16


def _border(
    plan: MaskPlan, width: int, first_row: int, out: NDArray[Any]
) -> Iterator[NDArray[Any]]:
    return rules.border_parts(out, width, n_rows=plan.shape[0], first_row=first_row)


def _inside(ellipses: nebulae.Ellipses, out: NDArray[Any], first_row: int) -> NDArray[np.bool_]:
    plane = np.zeros(out.shape, bool)
    nebulae.fill_nebulae(ellipses, plane, first_row)
    return plane


def mark(plane: NDArray[np.bool_], value: int, out: NDArray[Any]) -> None:
    """OR `value` into `out` where `plane` is true."""
    from purepipe.mask.raster_nb import or_plane

    or_plane(plane, value, out)


def _shape(out: NDArray[Any]) -> tuple[int, int]:
    return out.shape[0], out.shape[1]
