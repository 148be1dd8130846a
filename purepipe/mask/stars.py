"""The stars of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError, did_you_mean
from purepipe.mask.sky import field_cone, project, separation

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS


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
    ra0, dec0, radius = field_cone(wcs)
    # A cheap cone first; twice the margin leaves room for distortion outside the image.
    cone = radius + 2 * margin_pix * wcs.pixel_scale / 3600
    rows = np.flatnonzero(separation(ra0, dec0, ra, dec) <= cone)
    if not len(rows):
        return rows, np.empty(0), np.empty(0)
    x, y = project(wcs, ra[rows], dec[rows])
    near = near_image(x, y, wcs.shape, margin_pix)
    return rows[near], x[near], y[near]


def near_image(
    x: NDArray[np.float64], y: NDArray[np.float64], shape: tuple[int, int], margin_pix: float
) -> NDArray[np.bool_]:
    """True for 0-based positions on an image or at most `margin_pix` outside it."""
    near = (x >= -0.5 - margin_pix) & (x <= shape[1] - 0.5 + margin_pix)
    near &= (y >= -0.5 - margin_pix) & (y <= shape[0] - 0.5 + margin_pix)
    return near


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
