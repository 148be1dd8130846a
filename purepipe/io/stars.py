"""Star catalogues for the mask: FITS, Parquet, ECSV, CSV, and the text of the CDS program."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import InputFileError
from purepipe.io.layout import open_input
from purepipe.io.tables import read_table

PathName = str | os.PathLike[str]
_NAMES = {
    "ra": ("ra", "ra_deg", "raj2000", "ra_icrs", "ra(j2000)", "alpha_j2000"),
    "dec": ("dec", "dec_deg", "dej2000", "decj2000", "de_icrs", "dec(j2000)", "delta_j2000"),
    "mag": ("mag", "magnitude", "gmag", "phot_g_mean_mag", "mag_auto"),
}
_CDS_MAGNITUDES = ("Fmag", "Jmag", "Vmag", "Nmag")
# The CDS program frames its table by three lines above the names and five below the stars.
_CDS_HEAD, _CDS_TAIL = 3, 5


def read_star_catalogue(path: PathName) -> Table:
    """Positions and magnitudes of stars; the format is told by the content of the file.

    Parameters
    ----------
    path
        FITS or Parquet table, ECSV or CSV with columns ra, dec (degrees) and mag (or their usual
        other names), or the text that the CDS program ``findgsc2.2`` prints.

    Returns
    -------
    Table with float64 columns ra, dec, mag. Stars without magnitude stay in it, with NaN.
    ``meta`` counts what was met: ``format``, ``n_without_mag``, ``n_without_position`` (left out)
    and ``n_not_stars`` (left out; only the CDS text classifies its entries).

    Raises
    ------
    InputFileError
        The file is missing or damaged, a column is missing, or positions are not on the sky.
    """
    with open_input(path) as stream:
        start = stream.read(65536)
    if start.startswith((b"SIMPLE  =", b"PAR1")):
        kind = "FITS" if start.startswith(b"S") else "Parquet"
        return _stars(_columns(read_table(path), path), path, kind)
    text = _text(path)
    if "RA(J2000)" in "".join(text.splitlines()[_CDS_HEAD : _CDS_HEAD + 1]):
        columns, others = _read_cds(text, path)
        return _stars(columns, path, "CDS text", others)
    kind = "ECSV" if text.startswith("# %ECSV") else "CSV"
    return _stars(_columns(_read_ascii(text, kind, path), path), path, kind)


def _text(path: PathName) -> str:
    with open_input(path) as stream:
        try:
            return stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputFileError(
                "the format of the star catalogue is not known", file=path,
                allowed="FITS, Parquet, ECSV, CSV, text of findgsc2.2",
            ) from error  # fmt: skip


def _read_ascii(text: str, kind: str, path: PathName) -> Table:
    from astropy.io import ascii as ascii_tables

    name = "ecsv" if kind == "ECSV" else "csv"
    comment = {} if kind == "ECSV" else {"comment": r"\s*#"}
    try:
        return ascii_tables.read(text.splitlines(), format=name, **comment)
    except (ascii_tables.InconsistentTableError, ValueError, TypeError) as error:
        raise InputFileError(
            f"the {kind} table cannot be read: {str(error).splitlines()[0]}", file=path,
            remedy="The first line must name the columns: ra,dec,mag.",
        ) from error  # fmt: skip


def _columns(table: Table, path: PathName) -> dict[str, NDArray[np.float64]]:
    """The columns ra, dec, mag by any of their names."""
    folded = {name.casefold(): name for name in reversed(table.colnames)}
    columns = {}
    for wanted, names in _NAMES.items():
        found = [folded[name] for name in names if name in folded]
        if not found:
            raise InputFileError(
                f"the star catalogue has no column {wanted}", file=path,
                got=", ".join(table.colnames), allowed=", ".join(names),
                remedy="Rename the column; positions are in degrees.",
            )  # fmt: skip
        columns[wanted] = _floats(table[found[0]], found[0], path)
    return columns


def _floats(column: Any, name: str, path: PathName) -> NDArray[np.float64]:
    values = np.ma.filled(np.ma.asarray(column).astype(object), np.nan)
    try:
        numbers: NDArray[np.float64] = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputFileError(
            "the column must hold numbers", file=path, key=name, got=str(error),
            remedy="Positions are in degrees, not in hours and minutes.",
        ) from error  # fmt: skip
    return numbers


def _read_cds(text: str, path: PathName) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Columns of the stars (class 0) in the CDS text, and the number of other entries."""
    lines = text.splitlines()
    names = _tokens(lines[_CDS_HEAD])
    needed = {"RA(J2000)", "Dec(J2000)", "Clas", *_CDS_MAGNITUDES}
    if not needed <= set(names):
        raise InputFileError(
            "columns of the CDS text are missing", file=f"{path}, line {_CDS_HEAD + 1}",
            got=", ".join(names), allowed=", ".join(sorted(needed)),
        )  # fmt: skip
    stars, others = [], 0
    for number, line in enumerate(lines[_CDS_HEAD + 1 : -_CDS_TAIL], start=_CDS_HEAD + 2):
        tokens = _tokens(line)
        if len(tokens) > len(names):
            raise InputFileError(
                "more values than columns", file=f"{path}, line {number}", got=len(tokens),
                allowed=len(names),
            )  # fmt: skip
        row = {name: _float(token) for name, token in zip(names, tokens, strict=False)}
        if row.get("Clas") != 0:
            others += 1
            continue
        magnitudes = [row.get(name, np.nan) for name in _CDS_MAGNITUDES]
        present = [value for value in magnitudes if not np.isnan(value)]
        mean = sum(present) / len(present) if present else np.nan
        stars.append((row.get("RA(J2000)", np.nan), row.get("Dec(J2000)", np.nan), mean))
    values = np.array(stars, dtype=np.float64).reshape(-1, 3)
    return {"ra": values[:, 0], "dec": values[:, 1], "mag": values[:, 2]}, others


def _tokens(line: str) -> list[str]:
    tokens = []
    for word in line.split(" "):
        parts = [part for part in re.split("[,#;]", word.strip()) if part]
        if parts:
            tokens.append(parts[-1])
    return tokens


def _float(token: str) -> float:
    try:
        return float(token)
    except ValueError:
        return float("nan")


def _stars(
    columns: dict[str, NDArray[np.float64]], path: PathName, kind: str, others: int = 0
) -> Table:
    ra, dec, mag = (np.where(np.isfinite(v), v, np.nan) for v in columns.values())
    good = ~np.isnan(ra) & ~np.isnan(dec)
    _check_range(ra[good], -360, 720, "right ascension", path)
    _check_range(dec[good], -90, 90, "declination", path)
    table = Table({"ra": ra[good] % 360, "dec": dec[good], "mag": mag[good]})
    table["ra"].unit = table["dec"].unit = "deg"
    table["mag"].unit = "mag"
    table.meta.update(
        format=kind,
        file=Path(path).name,
        n_without_mag=int(np.isnan(table["mag"]).sum()),
        n_without_position=int((~good).sum()),
        n_not_stars=others,
    )
    return table


def _check_range(values: ArrayLike, low: float, high: float, what: str, path: PathName) -> None:
    values = np.asarray(values)
    wrong = (values < low) | (values > high)
    if wrong.any():
        raise InputFileError(
            f"the {what} is not on the sky", file=path, got=f"{values[wrong][0]}",
            allowed=f"{low} to {high} degrees",
        )  # fmt: skip
