"""Astropy tables to FITS binary tables and back, without losing a type, a unit or a byte."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from purepipe.errors import DataError, InputFileError

_LETTERS = {
    "b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D",
    "c8": "C", "c16": "M",
}  # fmt: skip
# FITS has no such integers; the standard stores them with an offset.
_OFFSETS = {"i1": ("B", -(2**7)), "u2": ("I", 2**15), "u4": ("J", 2**31), "u8": ("K", 2**63)}
_STRUCTURE = re.compile(
    r"XTENSION|SIMPLE|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|EXTNAME|EXTVER|EXTLEVEL|EXTEND|THEAP"
    r"|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|COMM)\d+|CHECKSUM|DATASUM|COMMENT|HISTORY|END|"
)
# One card holds, as JSON, what the eight letters of a keyword cannot say.
META_CARD = "PPMETA"


def to_table(hdu: Any, path: str | os.PathLike[str]) -> Table:
    """The rows of a binary-table HDU with native types.

    Units are kept as text in ``column.meta["TUNIT"]`` and display formats in
    ``column.meta["TDISP"]``, so that a table can be written back as it was. Definitions come from
    TCOMM cards or from the comments of the TTYPE cards. Integers that TNULL calls undefined are
    masked, and ``column.meta["TNULL"]`` keeps that value; scaled to real numbers, they are NaN.

    Raises
    ------
    InputFileError
        A column has variable length.
    """
    table = Table()
    for number, column in enumerate(hdu.columns, start=1):
        name = column.name
        if "P" in column.format or "Q" in column.format:
            raise InputFileError(
                "columns of variable length are not supported", file=path, hdu=hdu.name, key=name,
                remedy="Remove the column, or give it a fixed length.",
            )  # fmt: skip
        missing = _undefined(hdu.data, column)
        table[name] = _masked(_native(hdu.data[name]), missing)
        if missing is not None:
            table[name].meta["TNULL"] = int(column.null)
        comment = hdu.header.comments[f"TTYPE{number}"]
        definition = hdu.header.get(f"TCOMM{number}", comment)
        if definition:
            table[name].description = str(definition).strip()
        if column.unit:
            table[name].unit = units.Unit(column.unit, parse_strict="silent")
            table[name].meta["TUNIT"] = column.unit
        if column.disp:
            table[name].meta["TDISP"] = column.disp
    return table


def from_table(table: Table, name: str, *, long_comments: bool = False) -> fits.BinTableHDU:
    """A binary-table HDU named `name` with the columns of a table; ``table.meta`` is not used.

    Parameters
    ----------
    table
        Columns of numbers, truth values or ASCII text; more dimensions are allowed.
    long_comments
        Put every definition on a TCOMM card. Otherwise it becomes the comment of the TTYPE card,
        as SExtractor does, where it fits.

    Raises
    ------
    DataError
        A column cannot be stored: other types, text beyond ASCII, masked integers.
    """
    columns = [_column(table, key) for key in table.colnames]
    hdu = fits.BinTableHDU.from_columns(columns, nrows=len(table), name="")
    hdu.header["EXTNAME"] = (name, "name of this table")
    long: dict[str, str] = {}
    for number, key in enumerate(table.colnames, start=1):
        definition = _ascii(str(table[key].description or ""))
        if not definition:
            continue
        room = 80 - 10 - max(20, len(key) + 2) - 3
        if long_comments or len(definition) > room:
            long[str(number)] = definition
        else:
            hdu.header.comments[f"TTYPE{number}"] = definition
    if long:
        _insert_definitions(hdu.header, long)
    return hdu


def stored_rows(table: Table, columns: fits.ColDefs) -> NDArray[Any]:
    """The rows of a table as the bytes of a FITS table with given columns.

    Raises
    ------
    DataError
        A column cannot be stored, or only with loss.
    """
    rows = np.zeros(len(table), columns.dtype.newbyteorder(">"))
    for column in columns:
        array, into = _plain(table, column.name), rows[column.name]
        code = f"{array.dtype.kind}{array.dtype.itemsize}"
        if "TNULL" in table[column.name].meta and array.dtype.kind in "iu":
            array = np.ma.filled(array, table[column.name].meta["TNULL"])
        if code in _OFFSETS and column.bzero == _OFFSETS[code][1]:
            into[...] = (array.astype(object) - column.bzero).astype(into.dtype)
        elif array.dtype.kind == "b" and "L" in column.format:
            into[...] = np.where(array, ord("T"), ord("F"))
        elif _fits_into(array.dtype, into.dtype) and column.bzero in (None, "", 0):
            into[...] = array
        else:
            raise DataError(
                "the column has another type in this part of the table", key=column.name,
                got=array.dtype, allowed=into.dtype.newbyteorder("="),
            )  # fmt: skip
    return rows


def _fits_into(own: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    own, stored = own.newbyteorder("="), stored.newbyteorder("=")
    return own.kind != "b" and np.can_cast(own, stored, "safe")


def _insert_definitions(header: fits.Header, definitions: dict[str, str]) -> None:
    """Put a TCOMM card after the other cards of its column; the library's way is quadratic."""
    last: dict[str, int] = {}
    cards = list(header.cards)
    for place, card in enumerate(cards):
        match = re.fullmatch(r"T[A-Z]+(\d+)", card.keyword)
        if match:
            last[match.group(1)] = place
    after = {last[number]: number for number in definitions}
    ordered: list[fits.Card] = []
    for place, card in enumerate(cards):
        ordered.append(card)
        if place in after:
            number = after[place]
            ordered.append(fits.Card(f"TCOMM{number}", definitions[number]))
    header.clear()
    header.extend(ordered, strip=False, unique=False, bottom=True)


def meta_to_header(meta: dict[str, Any], header: fits.Header, path: object) -> None:
    """Store the values of ``table.meta`` as cards; `header_to_meta` reads them back.

    Raises
    ------
    DataError
        A value is neither a number, a text, a truth value nor a list or mapping of such.
    """
    others: dict[str, Any] = {}
    for key, value in meta.items():
        plain = value.item() if isinstance(value, np.generic) else value
        finite = not isinstance(plain, float) or math.isfinite(plain)
        short = isinstance(plain, (bool, int, float)) or (
            isinstance(plain, str) and len(plain) < 60 and plain.isascii() and plain.isprintable()
        )
        if short and finite and re.fullmatch(r"[A-Z0-9_-]{1,8}", key) and plain != "":
            header[key] = plain
        else:
            others[key] = plain
    if others:
        try:
            header[META_CARD] = json.dumps(others, sort_keys=True)
        except TypeError as error:
            raise DataError(
                f"the metadata of the table cannot be stored: {error}", file=path,
                key=", ".join(others), remedy="Keep numbers and texts only in table.meta.",
            ) from error  # fmt: skip


def header_to_meta(header: fits.Header) -> dict[str, Any]:
    """The values that `meta_to_header` stored, and every other card that is not structural."""
    meta: dict[str, Any] = {}
    # Values of the many structural cards are not looked at: the library takes long to parse them.
    for index, key in enumerate(header):
        if key == META_CARD:
            meta.update(json.loads(header[index]))
        elif not _STRUCTURE.fullmatch(key):
            meta[key] = header[index]
    return meta


def _undefined(data: fits.FITS_rec, column: fits.Column) -> NDArray[np.bool_] | None:
    """Where the stored integers are TNULL; None if nowhere."""
    if column.null in (None, ""):
        return None
    stored = data.view(np.ndarray)[column.name]
    missing = np.asarray(stored == int(column.null)) if stored.dtype.kind in "iu" else None
    return missing if missing is not None and missing.any() else None


def _masked(values: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    if missing is None:
        return values
    if values.dtype.kind == "f":
        return np.where(missing, np.nan, values).astype(values.dtype)
    return np.ma.MaskedArray(values, missing.reshape(values.shape))


def _native(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        text: NDArray[Any] = np.char.rstrip(array.astype(str)).astype(array.astype(str).dtype)
        return text
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _column(table: Table, key: str) -> fits.Column:
    array = _plain(table, key)
    shape = array.shape[1:]
    repeat = math.prod(shape)
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    dim = f"({', '.join(str(n) for n in reversed(shape))})" if len(shape) > 1 else None
    bzero = None
    if array.dtype.kind == "S":
        width = max(1, array.dtype.itemsize)
        form = f"{repeat * width}A"
        if shape:
            dim = f"({', '.join(str(n) for n in (width, *reversed(shape)))})"
    elif code in _OFFSETS:
        letter, bzero = _OFFSETS[code]
        form = f"{repeat}{letter}"
    elif code in _LETTERS:
        form = f"{repeat}{_LETTERS[code]}"
    else:
        raise DataError(
            "the column has a type that FITS cannot hold", key=key, got=array.dtype,
            allowed="numbers, truth values and ASCII text",
        )  # fmt: skip
    wanted = np.ma.is_masked(table[key]) or len(table) == 0
    null = table[key].meta.get("TNULL") if wanted else None
    if null is not None and array.dtype.kind in "iu":
        array = np.ma.filled(array, null + (bzero or 0))
    return fits.Column(
        key, format=form, unit=_unit(table, key), dim=dim, bzero=bzero, array=array,
        null=null if array.dtype.kind in "iu" else None, disp=table[key].meta.get("TDISP"),
    )  # fmt: skip


def _plain(table: Table, key: str) -> NDArray[Any]:
    """The values of a column, text as bytes; without mask, but for integers with a TNULL."""
    column = table[key]
    mask = getattr(column, "mask", None)
    array = np.asarray(getattr(column, "data", column))
    if isinstance(array, np.ma.MaskedArray) or (mask is not None and np.any(mask)):
        if array.dtype.kind == "f":
            array = np.ma.filled(column, np.nan)
        elif array.dtype.kind in "SU":
            array = np.ma.filled(column, "")
        elif "TNULL" in column.meta and array.dtype.kind in "iu":
            array = np.ma.asarray(column)
        else:
            raise DataError(
                "masked integers have no value to be written", key=key,
                remedy="Fill the column first.",
            )  # fmt: skip
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.ravel()):
        array = array.astype(str)
    if array.dtype.kind == "U":
        try:
            array = array.astype("S")
        except UnicodeEncodeError as error:
            raise DataError("FITS text must be ASCII", key=key, got=repr(error.object)) from error
    return array


def _unit(table: Table, key: str) -> str | None:
    """The text of the unit as it was read, unless the unit was changed since."""
    unit = table[key].unit
    if unit is None:
        return None
    text = table[key].meta.get("TUNIT")
    if text and units.Unit(text, parse_strict="silent") == unit:
        return str(text)
    try:
        return str(unit.to_string("fits"))
    except (ValueError, AttributeError):
        return str(unit)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
