"""Masks: rules, rasteriser, regions, star catalogues."""

from purepipe.mask.build import build_mask, storage_dtype
from purepipe.mask.ds9 import regions_from_ds9
from purepipe.mask.halos import star_regions
from purepipe.mask.raster import rasterise
from purepipe.mask.regions import (
    Region,
    draw_regions,
    polygons_from_weightwatcher,
    regions_from_objects,
)
from purepipe.mask.report import MaskReport, PlaneSummary, mask_summary, report_mask
from purepipe.mask.sky_map import SurveyMaps, flag_objects, flag_pixels, map_masks
from purepipe.mask.stars import stars_in_field

__all__ = [
    "MaskReport",
    "PlaneSummary",
    "Region",
    "SurveyMaps",
    "build_mask",
    "draw_regions",
    "flag_objects",
    "flag_pixels",
    "map_masks",
    "mask_summary",
    "polygons_from_weightwatcher",
    "rasterise",
    "regions_from_ds9",
    "regions_from_objects",
    "report_mask",
    "star_regions",
    "stars_in_field",
    "storage_dtype",
]
