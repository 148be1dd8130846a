"""Masks: rules, rasteriser, regions, star catalogues."""

from purepipe.mask.build import (
    PlaneSummary,
    build_mask,
    mask_cards,
    mask_summary,
    star_regions,
    storage_dtype,
)
from purepipe.mask.raster import rasterise
from purepipe.mask.regions import (
    Region,
    draw_regions,
    polygons_from_weightwatcher,
    regions_from_ds9,
    regions_from_objects,
)
from purepipe.mask.stars import stars_in_field

__all__ = [
    "PlaneSummary",
    "Region",
    "build_mask",
    "draw_regions",
    "mask_cards",
    "mask_summary",
    "polygons_from_weightwatcher",
    "rasterise",
    "regions_from_ds9",
    "regions_from_objects",
    "star_regions",
    "stars_in_field",
    "storage_dtype",
]
