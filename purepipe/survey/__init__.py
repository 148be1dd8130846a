"""What belongs together: numbering, exposures and CCDs, headers, epochs, stamps."""

from purepipe.survey.area import SkyArea, box, cone, polygon, select_ccds, touches
from purepipe.survey.epochs import Epochs, epoch_tables, find_epochs
from purepipe.survey.headers import (
    CCD,
    exposures_of_tile,
    parse_section,
    repeated_exposures,
)
from purepipe.survey.match import copy_neighbours, match_external, nearest_neighbours
from purepipe.survey.merge import area_meta, merge_tiles
from purepipe.survey.naming import named, with_sentinels
from purepipe.survey.numbering import (
    number_of,
    number_string,
    numbering_pattern,
    split_unit_name,
    tile_at,
    tile_centre,
    tile_id,
    unit_name,
)
from purepipe.survey.randoms import random_points
from purepipe.survey.split import CCDUnit, flag_type, split_exposure
from purepipe.survey.stamps import CCDPlanes, EpochStamps, cut_stamps, gather_stamps, part_needed
from purepipe.survey.tiles import TileArea, owners, tile_area

__all__ = [
    "CCD",
    "CCDPlanes",
    "CCDUnit",
    "EpochStamps",
    "Epochs",
    "SkyArea",
    "TileArea",
    "area_meta",
    "box",
    "cone",
    "copy_neighbours",
    "cut_stamps",
    "epoch_tables",
    "exposures_of_tile",
    "find_epochs",
    "flag_type",
    "gather_stamps",
    "match_external",
    "merge_tiles",
    "named",
    "nearest_neighbours",
    "number_of",
    "number_string",
    "numbering_pattern",
    "owners",
    "parse_section",
    "part_needed",
    "polygon",
    "random_points",
    "repeated_exposures",
    "select_ccds",
    "split_exposure",
    "split_unit_name",
    "tile_area",
    "tile_at",
    "tile_centre",
    "tile_id",
    "touches",
    "unit_name",
    "with_sentinels",
]
