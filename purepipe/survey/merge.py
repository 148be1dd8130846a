"""Catalogues of tiles joined to one; objects in overlaps are marked, none is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    homes = TileHomes(tuple(area_from_meta(table.meta) or area_of_table(table) for table in tables))
    numbers: set[str] = set()
    parts = []
    for index, table in enumerate(tables):
        wanted = columns or tables[0].colnames
        parts.append(homes.part(table, index, wanted, numbers, exact=columns is None))
    merged = vstack(parts, metadata_conflicts="silent")
    merged.meta = common_meta([dict(table.meta) for table in tables]) if meta is None else {**meta}
    return merged


@dataclass(frozen=True)
class TileHomes:
    """Which tile of a survey each object belongs to, for one tile's catalogue after the other.

    Attributes
    ----------
    areas
        Of all tiles, in their order.
    """

    areas: tuple[TileArea, ...]

    @cached_property
    def _near(self) -> list[list[int]]:
        """The tiles in the neighbourhood of each tile; objects wander by pixels, not by tiles."""
        from scipy.spatial import cKDTree

        centres = np.array([area.centre for area in self.areas])
        reach = np.array([
            np.linalg.norm(area.vectors - centre, axis=1).max()
            for area, centre in zip(self.areas, centres, strict=True)
        ])  # fmt: skip
        tree = cKDTree(centres)
        return [sorted(near) for near in tree.query_ball_point(centres, reach + 2 * reach.max())]

    def part(
        self, table: Table, index: int, columns: Sequence[str], numbers: set[str], *, exact: bool
    ) -> Table:
        """The wanted columns of the catalogue of one tile, with PRIMARY.

        Parameters
        ----------
        index
            Of the tile's area.
        numbers
            Of the tiles before; that of this tile is added.
        exact
            The table has no other columns.

        Raises
        ------
        DataError
            As `merge_tiles`.
        """
        number = _tile_number(table)
        if number in numbers:
            raise DataError(
                "a tile comes twice", key="TILE_ID", got=number, remedy="Name each catalogue once."
            )
        numbers.add(number)
        part = _with_columns(table, columns, number, exact=exact)
        near = self._near[index]
        owner = owners(*positions(table), [self.areas[other] for other in near])
        # Windowed positions may wander off their tile; such an object has no other home.
        own = (owner == near.index(index)) | (owner < 0)
        part["PRIMARY"] = build_table({"PRIMARY": own}, rows=len(part))["PRIMARY"]
        return part


def area_from_meta(meta: Mapping[str, Any]) -> TileArea | None:
    """The area that `area_meta` put into the metadata of a tile's catalogue, or None."""
    if AREA not in meta:
        return None
    corners = np.reshape(np.array(meta[AREA], np.float64), (4, 2))
    return TileArea("", tuple((float(ra), float(dec)) for ra, dec in corners))


def area_of_table(table: Table) -> TileArea:
    """The extent of the objects of a tile's catalogue; that of an empty one covers nothing."""
    if len(table) == 0:
        return TileArea("", ((0.0, 0.0),) * 4)
    return area_of_objects(_tile_number(table), *positions(table))


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


def common_meta(metas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The metadata that do not differ between tables; those of one tile are left out."""
    first, *others = metas
    return {
        key: value
        for key, value in first.items()
        if key not in (AREA, "TILE") and all(other.get(key) == value for other in others)
    }


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
    # Not by `table[names]`: it and its groups would hold each other, until garbage is collected.
    return type(table)([table[name] for name in wanted], meta=table.meta)
