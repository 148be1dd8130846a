"""Matching of objects with an external catalogue on the sky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.catalogue import build_table
from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.survey.headers import unit_vectors

if TYPE_CHECKING:
    from astropy.table import Table

ARCSEC = 180 * 3600 / np.pi
_OWN = ("MATCHED", "distance")


def nearest_neighbours(
    ra: ArrayLike, dec: ArrayLike, other_ra: ArrayLike, other_dec: ArrayLike, *, tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest external position of each object, and its separation in arcsec.

    Parameters
    ----------
    ra, dec, other_ra, other_dec
        Positions, degrees.
    tolerance
        Separations (arcsec) below it, strictly, are matches.

    Returns
    -------
    index, separation
        -1 and NaN where no external position is close enough, or the own one is masked or not
        finite. One
        external position may match several objects; of two equally near the first is taken.
    """
    from scipy.spatial import cKDTree

    own, other = unit_vectors(*_degrees(ra, dec)), unit_vectors(*_degrees(other_ra, other_dec))
    index = np.full(len(own), -1, dtype=np.int64)
    separation = np.full(len(own), np.nan)
    here = np.flatnonzero(np.isfinite(own).all(axis=1))
    there = np.flatnonzero(np.isfinite(other).all(axis=1))
    if len(here) == 0 or len(there) == 0:
        return index, separation
    chord, found = cKDTree(other[there]).query(own[here])
    angle = 2 * np.arcsin(np.minimum(chord / 2, 1)) * ARCSEC
    close = angle < tolerance
    index[here[close]] = there[found[close]]
    separation[here[close]] = angle[close]
    return index, separation


def match_external(
    objects: Table,
    external: Table,
    *,
    tolerance: float = 0.3,
    positions: tuple[str, str] = ("XWIN_WORLD", "YWIN_WORLD"),
    external_positions: tuple[str, str] = ("ra", "dec"),
    columns: Sequence[str] | None = None,
    prefix: str = "",
    keep_all: bool = False,
    missing: float | None = None,
) -> Table:
    """The objects with the columns of their nearest external neighbour.

    Parameters
    ----------
    objects, external
        Catalogues with sky positions in degrees.
    tolerance
        Largest separation, arcsec; only what is closer matches.
    positions, external_positions
        Names of right ascension and declination in the two.
    columns
        External columns to copy; all but the positions by default.
    prefix
        Put before the names of all new columns.
    keep_all
        Keep objects without a match too.
    missing
        What stands in the copied columns of objects without a match, and where the external cell
        is masked. By default NaN for numbers with a fraction, -1 for integers (0 where unsigned),
        an empty text.

    Returns
    -------
    Own columns, copied columns, MATCHED (1 or 0) and distance (arcsec, NaN without a match).

    Raises
    ------
    ConfigError
        The tolerance is not positive.
    DataError
        A column is missing, or a new one has the name of an own one.
    """
    if not (tolerance > 0 and np.isfinite(tolerance)):
        raise ConfigError("must be a positive number of arcsec", key="tolerance", got=tolerance)
    _require(objects, positions, "objects")
    _require(external, [*external_positions, *(columns or ())], "external catalogue")
    if columns is None:
        columns = [name for name in external.colnames if name not in external_positions]
    _require_new([prefix + name for name in (*columns, *_OWN)], objects)
    index, separation = nearest_neighbours(
        *(objects[name] for name in positions), *(external[name] for name in external_positions),
        tolerance=tolerance,
    )  # fmt: skip
    rows = np.arange(len(index)) if keep_all else np.flatnonzero(index >= 0)
    matched = objects[rows]
    names = {name: prefix + name for name in columns}
    copy_neighbours(matched, external, index[rows], names=names, missing=missing)
    values = (index[rows] >= 0, separation[rows])
    own = build_table(dict(zip(_OWN, values, strict=True)), rows=len(rows))
    for name in _OWN:
        matched[prefix + name] = own[name]
    return matched


def copy_neighbours(
    objects: Table,
    external: Table,
    index: NDArray[np.int64],
    *,
    names: Mapping[str, str],
    missing: float | None = None,
) -> None:
    """Add the columns of each object's external neighbour to its table.

    Parameters
    ----------
    index
        The external row of each object; -1 where it has none.
    names
        What each copied column is called among the objects.
    missing
        As for `match_external`.
    """
    for source, name in names.items():
        values = np.ma.asarray(external[source])
        blank = {"f": np.nan, "i": -1}.get(values.dtype.kind, 0) if missing is None else missing
        fill: Any = "" if values.dtype.kind in "US" else blank
        copied = np.full((len(index), *values.shape[1:]), fill, dtype=values.dtype)
        copied[index >= 0] = np.ma.filled(values[index[index >= 0]], fill)
        objects[name] = copied
        column = objects[name]
        column.unit, column.description = external[source].unit, external[source].description


def _degrees(*values: ArrayLike) -> list[NDArray[np.float64]]:
    """Coordinates as numbers, NaN where they are masked."""
    return [np.ma.filled(np.ma.asarray(item, dtype=np.float64), np.nan) for item in values]


def _require_new(names: Sequence[str], objects: Table) -> None:
    clash = [name for name in names if name in objects.colnames]
    if not clash and len(set(names)) == len(names):
        return
    raise DataError(
        "a new column has the name of one that is there",
        key=clash[0] if clash else next(name for name in names if names.count(name) > 1),
        remedy="Choose a prefix, or other columns.",
    )


def _require(table: Table, names: Sequence[str], what: str) -> None:
    for name in names:
        if name not in table.colnames:
            raise DataError(
                f"the {what} has no such column" if what != "objects"
                else "the catalogue has no such column",
                key=name, remedy=did_you_mean(name, table.colnames),
            )  # fmt: skip
