"""Columns as data: a step builds its table from here, so that names and units have one home."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue.aliases import V2_NAMES
from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.flags import NOT_ATTEMPTED_BIT

if TYPE_CHECKING:
    from astropy.table import Table

# The modules that hold the columns of one step each.
_GROUPS = ("detect", "psf", "shapes", "metadetect", "survey", "final")
_COLUMNS: dict[str, Column] = {}
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Column:
    """One catalogue column.

    Attributes
    ----------
    name
        As in the files, SExtractor's or ShapePipe's where they have one.
    dtype
        NumPy type code, e.g. ``"f4"``, ``"f8"``, ``"i4"``, ``"i2"``, ``"U7"``.
    unit
        Unit string that FITS knows; empty for pure numbers.
    definition
        One sentence.
    source
        Where the formula comes from, e.g. ``"SExtractor manual, 'Windowed positions'"``.
    alias
        The same column's name in ShapePipe 2, when it differs; filled in by `register`. Two names
        for a pair that is two columns there.
    length
        Number of values of one row.
    """

    name: str
    dtype: str
    unit: str
    definition: str
    source: str = ""
    alias: str = ""
    length: int = 1

    def blank(self, rows: int) -> NDArray[Any]:
        """Values of `rows` rows that were not measured."""
        shape = (rows,) if self.length == 1 else (rows, self.length)
        return np.full(shape, self.missing, dtype=self.dtype)

    @property
    def missing(self) -> Any:
        """What stands for no measurement: NaN, the NOT_ATTEMPTED bit of flags, -1 of counts."""
        kind = np.dtype(self.dtype).kind
        if kind == "f":
            return np.nan
        if kind == "i":
            return NOT_ATTEMPTED_BIT if self.dtype == "i4" and "FLAG" in self.name else -1
        return 0 if kind in "ub" else ""


def register(columns: Iterable[Column]) -> None:
    """Add columns to the table; a name may have one definition only."""
    for item in columns:
        item = replace(item, alias=" ".join(V2_NAMES.get(item.name, ())))
        if _COLUMNS.setdefault(item.name, item) != item:
            raise ValueError(f"column {item.name} is defined twice")


def all_columns() -> Mapping[str, Column]:
    """Every column by name."""
    for group in _GROUPS:
        import_module(f"purepipe.catalogue.columns_{group}")
    return _COLUMNS


def column(name: str) -> Column:
    """The definition of one column.

    Raises
    ------
    ConfigError
        The name is unknown; the nearest name is suggested.
    """
    known = all_columns()
    if name not in known:
        raise ConfigError("unknown column", key=name, remedy=did_you_mean(name, known))
    return known[name]


def build_table(
    values: Mapping[str, NDArray[Any] | Any],
    *,
    rows: int | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Table:
    """An astropy table with the registered types, units and descriptions.

    Parameters
    ----------
    values
        Column name to array; scalars and None are broadcast (None: the column's missing value).
        Stamps, with two axes or more per row, are not copied if they have the registered type.
    rows
        Number of rows; taken from the first array when not given.
    meta
        Copied into ``table.meta``.

    Raises
    ------
    ConfigError
        A name is not in the column table.
    """
    from astropy.table import Column, Table

    table = Table(meta=dict(meta or {}))
    for name, data in typed_columns(values, rows=rows).items():
        item = column(name)
        stamps = data.ndim > 2  # too large to be copied
        table.add_column(
            Column(data, unit=item.unit or None, description=item.definition),
            name=name, copy=not stamps,
        )  # fmt: skip
    return table


def typed_columns(
    values: Mapping[str, NDArray[Any] | Any], *, rows: int | None = None
) -> dict[str, NDArray[Any]]:
    """The columns of `build_table` as arrays of the registered types, without units."""
    if rows is None:
        rows = next(len(v) for v in values.values() if v is not None and np.ndim(v) > 0)
    arrays = {}
    for name, array in values.items():
        item = column(name)
        if array is None:
            array = item.blank(rows)
        elif np.ndim(array) == 0:
            array = np.full(rows, array, dtype=item.dtype)
        arrays[name] = np.asarray(array).astype(item.dtype, copy=False)
    return arrays


def require_table(value: object, what: str) -> None:
    """Refuse what is no table, such as the result of a step in the place of its ``.table``.

    Raises
    ------
    DataError
        It has no named columns; `what` says what was to be given.
    """
    if not hasattr(value, "colnames"):
        raise DataError(
            f"{what} must be a table", got=type(value).__name__,
            remedy="Give its `.table`." if hasattr(value, "table") else "An astropy Table is one.",
        )  # fmt: skip
