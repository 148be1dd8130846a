"""Catalogues of tiles joined to one; objects in overlaps are marked, none is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.catalogue import build_table
from purepipe.errors import DataError
from purepipe.survey.tiles import TileArea, area_of_objects, owners

if TYPE_CHECKING:
    from astropy.table import Table

# Key of a tile catalogue's metadata: ra, dec of the four corners, one after the other.
AREA = "TILEAREA"
_POSITIONS = (("XWIN_WORLD", "YWIN_WORLD"), ("X_WORLD", "Y_WORLD"), ("RA", "DEC"), ("RA", "Dec"))


def area_meta(area: TileArea) -> dict[str, list[float]]:
    """What `merge_tiles` looks for in the metadata of a tile's catalogue."""
    return {AREA: [value for corner in area.corners for value in corner]}


def merge_tiles(
    tables: Sequence[Table],
    *,
    columns: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Table:
    """All rows of the catalogues of tiles, in their order, with the column PRIMARY.

    An object belongs to the tile that covers it with the nearest centre. PRIMARY is 1 for objects
    in the catalogue of their own tile, and 0 for the other detections of overlaps: a sample of
    PRIMARY = 1 covers every part of the sky once.

    Parameters
    ----------
    tables
        Final catalogues, one for each tile, with TILE_ID and positions. The areas come from their
        metadata (`area_meta`); for a catalogue without, the extent of its objects stands in.
    columns
        Names of the columns to keep, in this order; all by default.
    meta
        Metadata of the new table; by default what all tables have alike.

    Raises
    ------
    DataError
        There is no catalogue; a tile comes twice, or a table holds several tiles; the columns
        differ, or a wanted one is missing.
    """
    from astropy.table import vstack

    if not tables:
        raise DataError("no catalogue to merge", remedy="Name the final catalogues of the tiles.")
    numbers = [_tile_number(table) for table in tables]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise DataError(
            "a tile comes twice", key="TILE_ID", got=twice, remedy="Name each catalogue once."
        )
    kept = [_with_columns(table, columns or tables[0].colnames, name, exact=columns is None)
            for table, name in zip(tables, numbers, strict=True)]  # fmt: skip
    merged = vstack(kept, metadata_conflicts="silent")
    merged.meta = _common(tables) if meta is None else dict(meta)
    _mark_primary(merged, tables, numbers)
    return merged


def positions(table: Table) -> tuple[Any, Any]:
    """Sky positions (degrees) of the objects of a catalogue under any of its names.

    Raises
    ------
    DataError
        The table has no sky positions.
    """
    for ra, dec in _POSITIONS:
        if ra in table.colnames and dec in table.colnames:
            return np.asarray(table[ra], np.float64), np.asarray(table[dec], np.float64)
    raise DataError(
        "the catalogue has no sky positions", got=", ".join(table.colnames[:10]),
        allowed=" or ".join(f"{ra}, {dec}" for ra, dec in _POSITIONS),
    )  # fmt: skip


def _common(tables: Sequence[Table]) -> dict[str, Any]:
    """The metadata that do not differ between the tables; those of one tile are left out."""
    first, *others = (dict(table.meta) for table in tables)
    return {
        key: value
        for key, value in first.items()
        if key not in (AREA, "TILE") and all(other.get(key) == value for other in others)
    }


def _mark_primary(merged: Table, tables: Sequence[Table], numbers: Sequence[str]) -> None:
    areas = []
    for table, number in zip(tables, numbers, strict=True):
        if AREA in table.meta:
            corners = np.reshape(np.array(table.meta[AREA], np.float64), (4, 2))
            areas.append(TileArea(number, tuple((float(a), float(d)) for a, d in corners)))
        elif len(table):
            areas.append(area_of_objects(number, *positions(table)))
        else:
            areas.append(TileArea(number, ((0.0, 0.0),) * 4))  # covers nothing
    own = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    ra, dec = (np.concatenate(axis) for axis in zip(*map(positions, tables), strict=True))
    owner = owners(ra, dec, areas)
    # Windowed positions may wander off their tile; such an object has no other home.
    primary = build_table({"PRIMARY": (owner == own) | (owner < 0)}, rows=len(merged))
    merged["PRIMARY"] = primary["PRIMARY"]


def _tile_number(table: Table) -> str:
    if "TILE_ID" not in table.colnames:
        raise DataError(
            "the catalogue does not name its tile", key="TILE_ID",
            got=", ".join(table.colnames[:8]), remedy="Give final catalogues of tiles.",
        )  # fmt: skip
    numbers = np.unique(np.asarray(table["TILE_ID"]).astype(str))
    if len(numbers) > 1:
        raise DataError(
            "the catalogue holds several tiles", key="TILE_ID", got=", ".join(numbers[:5]),
            remedy="Merge the catalogues of single tiles.",
        )  # fmt: skip
    if len(numbers) == 0:
        return str(table.meta.get("TILE", f"without objects {id(table)}"))
    return str(numbers[0])


def _with_columns(table: Table, wanted: Sequence[str], number: str, *, exact: bool) -> Table:
    missing = [name for name in wanted if name not in table.colnames]
    surplus = [name for name in table.colnames if name not in wanted] if exact else []
    if missing or surplus:
        raise DataError(
            "the columns of the catalogues differ" if exact else "a column is missing",
            key=f"tile {number}",
            got=", ".join([*(f"no {n}" for n in missing[:5]), *(f"also {n}" for n in surplus[:5])]),
            remedy="Name the columns to keep, or make the catalogues with one configuration.",
        )
    return table[list(wanted)]
