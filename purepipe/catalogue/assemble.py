"""The final catalogue: one row for each detection, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    final = detections.copy()
    if "VIGNET" in final.colnames:
        final.remove_column("VIGNET")
    final.meta.pop("header", None)
    final.meta["TILE"] = tile
    joined = vstack(list(measured), metadata_conflicts="silent") if measured else None
    rows = _rows(number, [] if joined is None else joined["NUMBER"], tile)
    failed = np.ones(len(final), dtype=np.int32)
    failed[rows] = 0
    final.add_columns(
        list(build_table({"TILE_ID": tile, "FLAGS_UNIT": failed}, rows=len(final)).columns.values())
    )
    for name in columns:
        item = column(name)
        values = item.blank(len(final))
        if joined is not None:
            if values.dtype.kind == "U":  # as wide as needed
                values = values.astype(np.asarray(joined[name]).astype(str).dtype)
            values[rows] = joined[name]
        if values.dtype.kind == "f":
            # The sign of a NaN depends on how the loop that made it was cut into vectors.
            values[np.isnan(values)] = np.nan
        final[name] = values
        final[name].unit = item.unit or None
        final[name].description = item.definition
    return final


def _rows(number: NDArray[Any], measured: Iterable[int], tile: str) -> NDArray[np.int64]:
    """Rows of the detections that the measurements belong to."""
    row_of = {int(n): row for row, n in enumerate(number)}
    if len(row_of) != len(number):
        raise DataError("NUMBER is not unique in the detections", key=f"tile {tile}")
    try:
        rows = np.array([row_of[int(n)] for n in measured], dtype=np.int64)
    except KeyError as error:
        raise DataError(
            "a measurement has no detection", key=f"tile {tile}", got=f"NUMBER {error}"
        ) from None
    if len(np.unique(rows)) != len(rows):
        raise DataError("an object was measured twice", key=f"tile {tile}")
    return rows
