"""Star catalogues: the stars of a field, and the text of the GSC 2.2 service."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError, InputFileError, did_you_mean
from purepipe.mask.sky import field_cone, project, separation

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS

log = logging.getLogger(__name__)

_BANDS = ("Fmag", "Jmag", "Vmag", "Nmag")
_NEEDED = ("RA(J2000)", "Dec(J2000)", *_BANDS, "Clas")


def stars_in_field(catalogue: Table, wcs: WCS, margin_pix: float = 0.0) -> Table:
    """The rows of a star catalogue on an image or at most `margin_pix` outside it.

    Parameters
    ----------
    catalogue
        Columns ra and dec in degrees (names in any case); other columns are carried along.
    wcs
        World coordinates of the image, with its shape.
    margin_pix
        How far outside the image stars are kept: the reach of the largest polygon.

    Returns
    -------
    Table with the same columns and order; positions that are not finite are left out.

    Raises
    ------
    DataError
        No column ra or dec, or a negative margin.
    """
    if not margin_pix >= 0:
        raise DataError(
            "the margin cannot be negative", key="margin_pix", got=margin_pix, allowed="0 or more"
        )
    rows, _, _ = select_stars(
        star_column(catalogue, "ra"), star_column(catalogue, "dec"), wcs, margin_pix
    )
    return catalogue[rows]


def select_stars(
    ra: NDArray[np.float64], dec: NDArray[np.float64], wcs: WCS, margin_pix: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows, and 0-based x and y, of the stars on an image or at most `margin_pix` outside it."""
    ny, nx = wcs.shape
    ra0, dec0, radius = field_cone(wcs)
    # A cheap cone first; twice the margin leaves room for distortion outside the image.
    cone = radius + 2 * margin_pix * wcs.pixel_scale / 3600
    rows = np.flatnonzero(separation(ra0, dec0, ra, dec) <= cone)
    if not len(rows):
        return rows, np.empty(0), np.empty(0)
    x, y = project(wcs, ra[rows], dec[rows])
    near = (x >= -0.5 - margin_pix) & (x <= nx - 0.5 + margin_pix)
    near &= (y >= -0.5 - margin_pix) & (y <= ny - 0.5 + margin_pix)
    return rows[near], x[near], y[near]


def star_column(table: Table, name: str) -> NDArray[np.float64]:
    """A column as float64, its name in any case; masked values become NaN, units are degrees.

    Raises
    ------
    DataError
        There is no such column (the nearest name is suggested), or it is not of numbers.
    """
    names = {column.casefold(): column for column in reversed(table.colnames)}
    if name.casefold() not in names:
        raise DataError(
            "the star catalogue lacks a column", key=name,
            allowed="ra, dec (degrees), mag",
            remedy=did_you_mean(name, table.colnames) if table.colnames else None,
        )  # fmt: skip
    column: Any = table[names[name.casefold()]]
    unit = getattr(column, "unit", None)
    factor = unit.to("deg") if name in ("ra", "dec") and unit is not None else 1.0
    try:
        values = np.ma.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            "the column does not hold numbers", key=name, got=column.dtype,
            remedy="Positions are needed in degrees; convert sexagesimal ones.",
        ) from error  # fmt: skip
    return np.asarray(np.ma.filled(values, np.nan) * factor, dtype=np.float64)


def parse_gsc(text: str, *, file: object = None) -> Table:
    """The stars of a GSC 2.2 listing, as the service's program prints it: ra, dec, mag, class.

    Three lines, the column names, the stars, five more lines. A listing whose last lines are stars
    too keeps them (ShapePipe would lose the last five). The magnitude is the mean of the bands
    that are given, NaN without any; the class is NaN when missing.

    Raises
    ------
    InputFileError
        No line of column names, a missing column, or a line with more values than columns.
    """
    from astropy.table import Table

    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines[:20]) if "RA(J2000)" in line), None)
    if start is None:
        raise InputFileError(
            "no line with the column names", file=file, allowed=", ".join(_NEEDED),
            remedy="Give a table with columns ra, dec and mag instead.",
        )  # fmt: skip
    names = _tokens(lines[start])
    for name in _NEEDED:
        if name not in names:
            raise InputFileError(
                "the star listing lacks a column", file=file, key=name, got=", ".join(names)
            )
    rows: list[tuple[float, ...]] = []
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = _tokens(line)
        if len(words) > len(names):
            raise InputFileError(
                f"line {number}: more values than columns", file=file,
                got=len(words), allowed=len(names),
            )  # fmt: skip
        record = dict(zip(names, map(_number, words), strict=False))
        rows.append(tuple(record.get(name, np.nan) for name in _NEEDED))
    return _mean_magnitudes(np.array(rows, dtype=np.float64).reshape(-1, len(_NEEDED)), Table)


def _mean_magnitudes(values: NDArray[np.float64], table: Any) -> Table:
    bands = values[:, 2:6]
    count = np.isfinite(bands).sum(axis=1)
    mag = np.where(count > 0, np.nansum(bands, axis=1) / np.maximum(count, 1), np.nan)
    return table({"ra": values[:, 0], "dec": values[:, 1], "mag": mag, "class": values[:, 6]})


def _tokens(line: str) -> list[str]:
    """Words between blanks; of each the last part after ``,``, ``#`` or ``;``."""
    words = []
    for word in line.split():
        parts = [part for part in re.split("[,#;]", word) if part]
        if parts:
            words.append(parts[-1])
    return words


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
