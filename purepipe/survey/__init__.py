"""What belongs together: numbering, exposures and CCDs, headers, epochs, stamps."""

from purepipe.survey.epochs import Epochs, epoch_tables, find_epochs
from purepipe.survey.headers import CCD, exposures_of_tile, parse_section
from purepipe.survey.numbering import (
    number_of,
    number_string,
    numbering_pattern,
    split_unit_name,
    tile_id,
    unit_name,
)
from purepipe.survey.split import CCDUnit, flag_type, split_exposure
from purepipe.survey.stamps import CCDPlanes, EpochStamps, cut_stamps, gather_stamps, rows_needed

__all__ = [
    "CCD",
    "CCDPlanes",
    "CCDUnit",
    "EpochStamps",
    "Epochs",
    "cut_stamps",
    "epoch_tables",
    "exposures_of_tile",
    "find_epochs",
    "flag_type",
    "gather_stamps",
    "number_of",
    "number_string",
    "numbering_pattern",
    "parse_section",
    "rows_needed",
    "split_exposure",
    "split_unit_name",
    "tile_id",
    "unit_name",
]
