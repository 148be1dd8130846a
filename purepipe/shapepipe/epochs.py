"""The objects of a tile with the CCDs that saw them, as its catalogue's EPOCH tables say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.errors import ConfigError, InputFileError, did_you_mean
from purepipe.io.ldac import read_epochs, read_ldac
from purepipe.shapepipe.headers import read_wcs_log
from purepipe.shapepipe.job import Record
from purepipe.survey import CCD, Epochs

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True, eq=False)
class TileCatalogue:
    """The catalogue of a tile, and the pairs of an object and a CCD that saw it."""

    table: Table
    epochs: Epochs
    ccds: tuple[CCD, ...]


def read_tile(path: Path, wcs_log: Path, positions: Sequence[str], record: Record) -> TileCatalogue:
    """A tile catalogue with EPOCH tables, and the positions of its objects on their CCDs.

    Parameters
    ----------
    positions
        Columns of right ascension and declination.
    record
        Told which exposures the file of world coordinates lacks.

    Raises
    ------
    InputFileError
        The catalogue has no EPOCH tables, or they do not fit it.
    ConfigError
        A position column is missing.
    """
    table, tables = read_ldac(path), read_epochs(path)
    if not tables:
        raise InputFileError(
            "the catalogue has no table EPOCH_0", file=path,
            remedy="Detect the objects with MAKE_POST_PROCESS = True.",
        )  # fmt: skip
    for name in positions:
        if name not in table.colnames:
            raise ConfigError(
                "the catalogue lacks a column", file=path, key="POSITION_PARAMS", got=name,
                remedy=did_you_mean(name, table.colnames),
            )  # fmt: skip
    log = read_wcs_log(wcs_log)
    rows, indices, ccds = _pairs(tables, log, len(table), path, record)
    ra, dec = (np.asarray(table[name], dtype=np.float64) for name in positions)
    x, y = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for index, ccd in enumerate(ccds):
        own = np.flatnonzero(indices == index)
        x[own], y[own] = ccd.wcs.sky_to_pixel(ra[rows[own]], dec[rows[own]])
    units = tuple((ccd.exposure, ccd.ccd) for ccd in ccds)
    return TileCatalogue(table, Epochs(rows, indices, x, y, len(table), units), ccds)


def _pairs(
    tables: Sequence[Table],
    log: Mapping[str, tuple[CCD, ...]],
    n_objects: int,
    path: Path,
    record: Record,
) -> tuple[Any, Any, tuple[CCD, ...]]:
    """Object and CCD of every pair, sorted by object, then in the order of the exposures."""
    ccds: list[CCD] = []
    rows, indices = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for table in tables:
        if len(table) != n_objects:
            raise InputFileError(
                "an EPOCH table has another number of rows than the catalogue", file=path,
                got=len(table), allowed=n_objects,
            )  # fmt: skip
        if n_objects == 0:
            continue
        exposure = str(table["EXP_NAME"][0]).strip()
        known = {ccd.ccd: ccd for ccd in log.get(exposure, ())}
        number = np.asarray(table["CCD_N"])
        for ccd in np.unique(number[number >= 0]):
            if int(ccd) not in known:
                record.note(f"{exposure}-{ccd}: its world coordinates are not known.")
                continue
            row = np.flatnonzero(number == ccd)
            rows.append(row)
            indices.append(np.full(len(row), len(ccds), dtype=np.int64))
            ccds.append(known[int(ccd)])
    row, index = np.concatenate(rows), np.concatenate(indices)
    order = np.lexsort((index, row))
    return row[order], index[order], tuple(ccds)


def by_object(
    tile: TileCatalogue, entries: Mapping[int, Mapping[str, Any]]
) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Object number to ``exposure-ccd`` to entry, from entries by number of the pair.

    Every object is there, also one without any entry.
    """
    objects: dict[str, dict[str, Mapping[str, Any]]] = {
        str(number): {} for number in np.asarray(tile.table["NUMBER"]).tolist()
    }
    keys = list(objects)
    for pair in sorted(entries):
        ccd = tile.ccds[int(tile.epochs.ccd_index[pair])]
        objects[keys[int(tile.epochs.row[pair])]][ccd.name] = entries[pair]
    return objects


def find_numbered_file(
    folder: Path, pattern: str, number: str, extension: str, record: Record
) -> Path:
    """The file ``<pattern>-<number><extension>`` in a folder or below it.

    Where there is none, but one file whose name is a part of the pattern, or has the pattern for a
    part, it is taken and noted: configurations name files as their version of the original did.

    Raises
    ------
    InputFileError
        No file, or more than one, has the number.
    """
    path = folder / f"{pattern}-{number}{extension}"
    if path.is_file():
        return path
    ending = f"-{number}{extension}"
    found = sorted(item for item in folder.rglob(f"*{ending}") if item.is_file())
    exact = [item for item in found if item.name == path.name]
    related = [item for item in found if _related(item.name.removesuffix(ending), pattern)]
    chosen = exact or related
    if len(chosen) != 1:
        what = (
            "more than one file has this number" if chosen else "no file has this name and number"
        )
        raise InputFileError(
            what,
            file=path, got=", ".join(str(item.name) for item in chosen) or None,
            allowed=f"one file {pattern}{ending}",
        )  # fmt: skip
    if not exact:
        name = chosen[0].name.removesuffix(ending)
        record.note(f"there is no {pattern}-<number>{extension}; {name}-<number> is taken.")
    return chosen[0]


def _related(name: str, pattern: str) -> bool:
    return name in pattern or pattern in name
