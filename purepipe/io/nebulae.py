"""Catalogues of nebulae for the mask: FITS, Parquet, ECSV and CSV tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.table import Table
from numpy.typing import NDArray

from purepipe.errors import InputFileError, did_you_mean
from purepipe.io.images import header_at
from purepipe.io.layout import fits_layout, open_input
from purepipe.io.tables import read_table

if TYPE_CHECKING:
    from purepipe.config import MaskConfig
    from purepipe.config.mask import MessierConfig, NGCConfig

PathName = str | os.PathLike[str]
_SIZES = ("size_X", "size_Y")
_DEFAULT_UNITS = {
    "ra": units.deg, "dec": units.deg, "angle": units.deg,
    "major": units.arcmin, "minor": units.arcmin,
}  # fmt: skip


def read_nebulae(path: PathName) -> Table:
    """Positions and full extents of nebulae; the format is told by the content of the file.

    Parameters
    ----------
    path
        FITS or Parquet table, ECSV or CSV. Columns ra, dec (degrees), major, and if known minor
        (arcmin) and angle (degrees from north to east); or, as ShapePipe has them, ra, dec,
        size_X, size_Y with units. Units are taken from TUNIT or TCUNI cards.

    Returns
    -------
    Table with float64 columns ra, dec (degrees), major (arcmin) and minor, angle where given, for
    `purepipe.mask.build_mask`. Of size_X and size_Y the larger is the major axis.

    Raises
    ------
    InputFileError
        The file is missing or damaged, a column is missing, or a unit is missing or wrong.
    """
    with open_input(path) as stream:
        start = stream.read(8)
    if start.startswith((b"SIMPLE", b"PAR1")):
        table = read_table(path)
        if start.startswith(b"SIMPLE"):
            _take_coordinate_units(table, path)
    else:
        table = _read_text(path)
    names = {name.casefold(): name for name in reversed(table.colnames)}
    found = Table()
    for key in ("ra", "dec"):
        found[key] = _values(table, names, key, path)
    if "major" not in names and all(size.casefold() in names for size in _SIZES):
        sizes = [_values(table, names, size, path) for size in _SIZES]
        found["major"] = np.maximum(*sizes)
    else:
        found["major"] = _values(table, names, "major", path)
    for key in ("minor", "angle"):
        if key in names:
            found[key] = _values(table, names, key, path)
    for key in found.colnames:
        found[key].unit = _DEFAULT_UNITS[key]
    return found


def read_configured_nebulae(config: MaskConfig) -> dict[str, Table]:
    """The tables that ``config.messier.catalogue`` and ``config.ngc.catalogue`` name.

    Only those of rules that are on; the result is passed as
    ``build_mask(exposure, stars, config, **read_configured_nebulae(config))``.

    Raises
    ------
    InputFileError
        As `read_nebulae`.
    """
    rules: dict[str, MessierConfig | NGCConfig] = {"messier": config.messier, "ngc": config.ngc}
    return {
        name: read_nebulae(rule.catalogue)
        for name, rule in rules.items()
        if rule.make and rule.catalogue is not None
    }


def _take_coordinate_units(table: Table, path: PathName) -> None:
    """Give the columns of a FITS table the units of their TCUNI cards."""
    item = next(item for item in fits_layout(path) if item.kind == "table")
    header = header_at(Path(path), item)
    for number in range(1, int(header.get("TFIELDS", 0)) + 1):
        name, unit = header.get(f"TTYPE{number}"), header.get(f"TCUNI{number}")
        if unit and name in table.colnames and table[name].unit is None:
            table[name].unit = units.Unit(str(unit), parse_strict="silent")


def _read_text(path: PathName) -> Table:
    from astropy.io import ascii as ascii_tables

    with open_input(path) as stream:
        raw = stream.read()
    kind = "ecsv" if raw.startswith(b"# %ECSV") else "csv"
    try:
        return ascii_tables.read(raw.decode("utf-8-sig").splitlines(), format=kind)
    except (ascii_tables.InconsistentTableError, ValueError, TypeError) as error:
        raise InputFileError(
            f"the table of nebulae cannot be read: {str(error).splitlines()[0]}", file=path,
            allowed="FITS, Parquet, ECSV, CSV",
            remedy="The first line of a CSV table must name the columns: ra,dec,major.",
        ) from error  # fmt: skip


def _values(table: Table, names: dict[str, str], key: str, path: PathName) -> NDArray[np.float64]:
    """A column in degrees, or in arcmin for an extent."""
    if key.casefold() not in names:
        raise InputFileError(
            "the table of nebulae lacks a column", file=path, key=key,
            got=", ".join(table.colnames),
            allowed="ra, dec, major, optionally minor, angle; or ra, dec, size_X, size_Y",
            remedy=did_you_mean(key, table.colnames) if table.colnames else None,
        )  # fmt: skip
    column: Any = table[names[key.casefold()]]
    wanted = _DEFAULT_UNITS.get(key, units.arcmin)
    unit = column.unit
    if unit is None and key in _SIZES:
        raise InputFileError(
            "the extent has no unit", file=path, key=key, allowed="a TCUNI or TUNIT card: arcmin",
            remedy="Without a unit the size on the sky is not known.",
        )  # fmt: skip
    try:
        factor = float((unit or wanted).to(wanted))
        values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
    except (units.UnitConversionError, TypeError, ValueError) as error:
        raise InputFileError(
            "the column does not hold angles", file=path, key=key,
            got=f"{column.dtype} in {unit or 'no unit'}", allowed=f"numbers in {wanted}",
        ) from error  # fmt: skip
    return np.asarray(values * factor, dtype=np.float64)
