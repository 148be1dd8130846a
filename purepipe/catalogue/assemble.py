"""The final catalogue: one row for each detection, whatever became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from purepipe.catalogue.table import build_table, column
from purepipe.errors import DataError

if TYPE_CHECKING:
    from astropy.table import Table


def assemble_catalogue(
    detections: Table, measured: Sequence[Table], *, tile: str, columns: Sequence[str]
) -> Table:
    """Join detections and measurements by NUMBER.

    Parameters
    ----------
    detections
        One row per object of the tile; NUMBER is unique. VIGNET is left out.
    measured
        Tables with NUMBER and the columns of one block of objects each.
    tile
        Number of the tile, written to TILE_ID.
    columns
        Names of the measured columns, so that a tile of which no block succeeded has them too.

    Returns
    -------
    One row per detection, in the order of the detections. Objects of a block that failed have
    missing values (NaN, NOT_ATTEMPTED) and FLAGS_UNIT = 1. The metadata name the tile and keep
    the SEX* values of the detection.

    Raises
    ------
    DataError
        NUMBER is not unique, or a measurement has no detection.
    """
    from astropy.table import vstack

    number = np.asarray(detections["NUMBER"])
    row_of = {int(n): row for row, n in enumerate(number)}
    if len(row_of) != len(number):
        raise DataError("NUMBER is not unique in the detections", key=f"tile {tile}")
    final = detections.copy()
    if "VIGNET" in final.colnames:
        final.remove_column("VIGNET")
    final.meta.pop("header", None)
    final.meta["TILE"] = tile
    failed = np.ones(len(final), dtype=np.int32)
    joined = vstack(list(measured), metadata_conflicts="silent") if measured else None
    rows = np.zeros(0, dtype=np.int64)
    if joined is not None:
        try:
            rows = np.array([row_of[int(n)] for n in joined["NUMBER"]], dtype=np.int64)
        except KeyError as error:
            raise DataError(
                "a measurement has no detection", key=f"tile {tile}", got=f"NUMBER {error}"
            ) from None
        if len(np.unique(rows)) != len(rows):
            raise DataError("an object was measured twice", key=f"tile {tile}")
    failed[rows] = 0
    final.add_columns(
        list(build_table({"TILE_ID": tile, "FLAGS_UNIT": failed}, rows=len(final)).columns.values())
    )
    for name in columns:
        item = column(name)
        values = item.blank(len(final))
        if joined is not None and values.dtype.kind == "U":
            values = values.astype(np.asarray(joined[name]).astype(str).dtype)  # as wide as needed
        if joined is not None:
            values[rows] = joined[name]
        final[name] = values
        final[name].unit = item.unit or None
        final[name].description = item.definition
    return final
