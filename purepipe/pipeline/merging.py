"""Catalogues of tiles joined to one file, a tile in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.errors import ConfigError, DataError
from purepipe.io.table_parts import BeginTable, TableOutline, open_tables, table_outline
from purepipe.io.tables import read_table
from purepipe.survey.merge import TileHomes, area_from_meta, area_of_table, common_meta

if TYPE_CHECKING:
    from astropy.table import Table


_KINDS = {"i": "integers", "u": "integers", "f": "real numbers", "U": "texts", "b": "truth values"}


@dataclass(frozen=True)
class Merged:
    """What became of the objects of tiles that were joined.

    Attributes
    ----------
    objects
        Rows of all catalogues.
    primary
        Those in the catalogue of the tile that they belong to.
    written
        Rows of the new catalogue.
    """

    objects: int
    primary: int
    written: int


def merge_files(
    paths: Sequence[Path],
    out: Path,
    *,
    columns: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    primary_only: bool = False,
    change: Callable[[Table], Table] | None = None,
    most: int | None = None,
    beside: Sequence[str] = (),
) -> Merged:
    """Write the catalogues of tiles as one, with the column PRIMARY of `merge_tiles`.

    Parameters
    ----------
    paths
        One catalogue for each tile, FITS or Parquet.
    out
        The new catalogue; ``.parquet`` chooses Parquet.
    columns, meta
        As for `merge_tiles`.
    primary_only
        Leave out objects that belong to another tile.
    change
        Applied to the table of each tile at the end, and to a table without rows.
    most
        Most objects to join.
    beside
        Names of further tables in each file, whose rows are joined as they are; for FITS.

    Raises
    ------
    ConfigError
        There are more objects than `most`.
    DataError, InputFileError
        A file cannot be used, or the catalogues cannot be merged; nothing is written.
    """
    if not paths:
        raise DataError("no catalogue to merge", remedy="Name the final catalogues of the tiles.")
    outlines = _outlines(paths, most)
    _require_equal_kinds(paths, outlines)
    homes = TileHomes(tuple(
        area_from_meta(outline.meta) or area_of_table(read_table(path))
        for path, outline in zip(paths, outlines, strict=True)
    ))  # fmt: skip
    wanted = columns or list(outlines[0].types)
    kept = common_meta([outline.meta for outline in outlines]) if meta is None else dict(meta)
    change = change or _unchanged

    def part(table: Table, index: int, numbers: set[str]) -> Table:
        new = homes.part(table, index, wanted, numbers, exact=columns is None)
        new.meta = dict(kept)
        return new

    first = read_table(paths[0])
    template = change(part(_without_rows(first, outlines), 0, set()))
    primary = written = 0
    numbers: set[str] = set()
    with open_tables(out) as begin:
        with begin(template, "RESULTS") as add:
            for index, path in enumerate(paths):
                table = part(first if index == 0 else read_table(path), index, numbers)
                _require_equal_shapes(path, table, first)
                own = np.asarray(table["PRIMARY"]) == 1
                primary += int(np.count_nonzero(own))
                table = change(table[own] if primary_only else table)
                written += len(table)
                add(table)
        for name in beside:
            _join(begin, paths, name, kept)
    return Merged(sum(outline.rows for outline in outlines), primary, written)


def _join(begin: BeginTable, paths: Sequence[Path], name: str, meta: Mapping[str, Any]) -> None:
    """Write the rows of all tables of one name."""
    template = _without_rows(
        read_table(paths[0], name), [table_outline(path, name) for path in paths]
    )
    template.meta = dict(meta)
    with begin(template, name) as add:
        for path in paths:
            add(read_table(path, name))


def _unchanged(table: Table) -> Table:
    return table


def _outlines(paths: Sequence[Path], most: int | None) -> list[TableOutline]:
    outlines, objects = [], 0
    for path in paths:
        outlines.append(table_outline(path))
        objects += outlines[-1].rows
        if most is not None and objects > most:
            raise ConfigError(
                f"{len(outlines)} of {len(paths)} catalogues hold more objects than may be joined",
                key="--max-objects", got=objects, allowed=most,
                remedy="Merge neighbouring tiles in parts, or raise it if the disk is large"
                " enough.",
            )  # fmt: skip
    return outlines


def _require_equal_kinds(paths: Sequence[Path], outlines: Sequence[TableOutline]) -> None:
    """Refuse columns that no type holds without change; a real number is no identifier."""
    for path, outline in zip(paths, outlines, strict=True):
        for name, dtype in outline.types.items():
            kind, expected = (_KINDS.get(t.kind, t.kind) for t in (
                dtype, outlines[0].types.get(name, dtype)
            ))  # fmt: skip
            if kind != expected:
                raise DataError(
                    "the types of a column differ between the catalogues", file=path, key=name,
                    got=kind, allowed=f"{expected}, as in {paths[0].name}",
                    remedy="Make the catalogues with one configuration.",
                )  # fmt: skip


def _require_equal_shapes(path: Path, table: Table, first: Table) -> None:
    """Refuse columns whose values have another shape than those of the first catalogue."""
    for name in table.colnames:
        if name not in first.colnames:
            continue
        shape, expected = (np.asarray(t[name]).shape[1:] for t in (table, first))
        if shape != expected:
            raise DataError(
                "the shapes of a column differ between the catalogues", file=path, key=name,
                got=shape, allowed=expected, remedy="Make the catalogues with one configuration.",
            )  # fmt: skip


def _without_rows(table: Table, outlines: Sequence[TableOutline]) -> Table:
    """The columns of the first catalogue, with types that hold the values of all."""
    template = table[:0].copy()
    for name in template.colnames:
        types = [outline.types[name] for outline in outlines if name in outline.types]
        kinds = {dtype.kind == "U" for dtype in types}
        old = template[name]
        if len(kinds) == 1:
            wide = np.result_type(*types)
            shape = np.asarray(old).shape
            new = type(old)(np.zeros(shape, wide), name, unit=old.unit, description=old.description)
            new.meta.update(old.meta)
            template.replace_column(name, new)
        undefined = [o.undefined[name] for o in outlines if name in o.undefined]
        if undefined:
            template[name].meta["TNULL"] = undefined[0]
    return template
