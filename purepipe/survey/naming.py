"""Catalogues under the column names of other versions, and with the original's sentinels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.catalogue.aliases import V2_NAMES
from purepipe.catalogue.columns_shapes import TYPES
from purepipe.errors import ConfigError, DataError, did_you_mean
from purepipe.flags import NOT_ATTEMPTED_BIT, ShapeFlag
from purepipe.survey.numbering import tile_id

if TYPE_CHECKING:
    from astropy.table import Table

NAMINGS = ("purepipe", "v1", "v2")
# ShapePipe's order of the measured columns: group by group, in each group all types.
_GROUPS = ("T", "Tpsf", "SNR", "FLUX", "MAG", "FLAGS", "T_PSFo", "FLUX_ERR", "MAG_ERR", "ELL",
           "ELL_ERR", "ELL_PSFo", "T_ERR")  # fmt: skip
_V1_ORDER = (
    "N_EPOCH", "TILE_ID", "SPREAD_MODEL", "SPREADERR_MODEL", "SPREAD_CLASS", "NGMIX_N_EPOCH",
    "NGMIX_MOM_FAIL", *(f"NGMIX_{group}_{kind}" for group in _GROUPS for kind in TYPES),
    "NGMIX_MCAL_FLAGS",
)  # fmt: skip
# What ShapePipe writes for objects that were not measured.
_SENTINELS = {"ELL": -10.0, "ELL_ERR": -10.0, "ELL_PSFo": -10.0, "FLUX_ERR": -1.0, "MAG_ERR": -1.0,
              "T_ERR": 1e30, "FLAGS": 0}  # fmt: skip

_UNMEASURED = NOT_ATTEMPTED_BIT | int(ShapeFlag.NO_EPOCH)


def named(table: Table, naming: str | Mapping[str, str]) -> Table:
    """A copy of a final catalogue under other column names.

    Parameters
    ----------
    naming
        ``"purepipe"``: as it is. ``"v1"``: ShapePipe 1, with its order of columns, its types (all
        measured numbers are double, TILE_ID too; the text stays beside it as TILE_NAME), and
        purepipe's own columns after them. ``"v2"``: ShapePipe 2, whose columns hold one value
        each. Or a mapping of old to new names.

    Raises
    ------
    ConfigError
        The naming is unknown.
    DataError
        A mapping names a column that does not exist, or two columns get one name.
    """
    if not isinstance(naming, str):
        return _renamed(table, naming)
    if naming == "purepipe":
        return table.copy()
    if naming == "v1":
        return _as_v1(table)
    if naming == "v2":
        return _as_v2(table)
    raise ConfigError(
        "unknown names of columns", key="names", got=naming, remedy=did_you_mean(naming, NAMINGS)
    )


def with_sentinels(table: Table) -> Table:
    """A copy with the numbers that ShapePipe writes for what was not measured, in place of NaN.

    Ellipticities -10, errors of flux and magnitude -1, errors of size 1e30, everything else 0,
    also flags; a failed spread model is (-1, 1) and a galaxy. Only NGMIX_N_EPOCH > 0 then tells
    measured objects.
    """
    new = table.copy()
    for kind in TYPES:
        for group in _GROUPS:
            _replace_missing(new, f"NGMIX_{group}_{kind}", _SENTINELS.get(group, 0.0))
    for name in ("NGMIX_N_EPOCH", "NGMIX_MOM_FAIL", "NGMIX_MCAL_FLAGS"):
        _replace_missing(new, name, 0)
    _replace_missing(new, "SPREAD_MODEL", -1.0)
    _replace_missing(new, "SPREADERR_MODEL", 1.0)
    _replace_missing(new, "SPREAD_CLASS", 1)
    return new


def _replace_missing(table: Table, name: str, value: float) -> None:
    if name not in table.colnames:
        return
    values = np.asarray(table[name])
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    else:
        missing = (values < 0) | ((values.astype(np.int64) & _UNMEASURED) != 0)
    table[name][missing] = value


def _as_v1(table: Table) -> Table:
    new = table.copy()
    if "TILE_ID" in new.colnames:
        texts = np.asarray(new["TILE_ID"]).astype(str)
        numbers = {text: tile_id(text) for text in np.unique(texts)}
        new["TILE_NAME"] = texts
        new["TILE_NAME"].description = table["TILE_ID"].description
        new["TILE_ID"] = np.array([numbers[text] for text in texts], dtype=np.float64)
        new["TILE_ID"].description = "Parts of the tile number, joined by a dot."
    measured = [name for name in _V1_ORDER if name in new.colnames]
    own = _own_columns(new)
    detected = [name for name in new.colnames if name not in measured and name not in own]
    # Not by `new[names]`: it and its groups would hold each other, until garbage is collected.
    new = type(new)([new[name] for name in detected + measured + own], meta=new.meta)
    for name in detected + measured:
        kind = np.asarray(new[name]).dtype.kind
        number = name.startswith("NGMIX") and kind in "iu"
        if kind == "f" or number:
            _retype(new, name, np.dtype(np.float64))
    return new


def _own_columns(table: Table) -> list[str]:
    """Columns after TILE_ID that ShapePipe does not have, in their order."""
    names = list(table.colnames)
    start = names.index("TILE_ID") + 1 if "TILE_ID" in names else len(names)
    return [name for name in names[start:] if name not in _V1_ORDER]


def _as_v2(table: Table) -> Table:
    from astropy.table import Table as AstropyTable

    new = AstropyTable(meta=dict(table.meta))
    for name in table.colnames:
        column, names = table[name], V2_NAMES.get(name, (name,))
        values = np.asarray(column)
        parts = [values] if len(names) == 1 else list(np.moveaxis(values, -1, 0))
        for number, (alias, part) in enumerate(zip(names, parts, strict=True), start=1):
            _add(new, alias, np.ascontiguousarray(part), column)
            if len(names) > 1 and column.description:
                new[alias].description = f"{column.description} Component {number}."
    return new


def _add(table: Table, name: str, values: NDArray[Any], like: Any) -> None:
    if name in table.colnames:
        raise DataError("two columns get one name", key=name)
    table[name] = values
    table[name].unit, table[name].description = like.unit, like.description


def _renamed(table: Table, names: Mapping[str, str]) -> Table:
    new = table.copy()
    for old, alias in names.items():
        if old not in table.colnames:
            raise DataError(
                "the catalogue has no such column", key=old,
                remedy=did_you_mean(old, table.colnames),
            )  # fmt: skip
        if alias in new.colnames and alias != old:
            raise DataError("two columns get one name", key=alias)
        new.rename_column(old, alias)
    return new


def _retype(table: Table, name: str, dtype: np.dtype[Any]) -> None:
    old = table[name]
    values = np.asarray(old).astype(dtype)
    column = type(old)(values, name, unit=old.unit, description=old.description)
    table.replace_column(name, column)
