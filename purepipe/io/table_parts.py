"""Catalogues written in parts, so that the whole is never in memory; what headers alone tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits

from purepipe.errors import DataError, InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.bintable import header_to_meta, stored_rows
from purepipe.io.images import damage_named, quiet
from purepipe.io.layout import BLOCK, CARD, HDUName, open_input
from purepipe.io.tables import (
    PARQUET,
    PathName,
    arrow_table,
    explained_hdu,
    is_parquet,
    known_flags,
    read_table,
    select_table,
)

if TYPE_CHECKING:
    from astropy.table import Table

AddRows = Callable[["Table"], None]
BeginTable = Callable[["Table", str], AbstractContextManager[AddRows]]
_KINDS = {
    "L": "?", "B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8", "C": "c8",
    "M": "c16",
}  # fmt: skip
_OFFSET_KINDS = {"I": "u2", "J": "u4", "K": "u8"}  # the library makes others real numbers


@dataclass(frozen=True)
class TableOutline:
    """A table as its header describes it.

    Attributes
    ----------
    rows
        Number of rows.
    types
        Column -> type of its values, in the order of the columns.
    undefined
        Column -> integer that stands for no value.
    meta
        What `read_table` gives as the metadata of the table.
    """

    rows: int
    types: dict[str, np.dtype[Any]]
    undefined: dict[str, int]
    meta: dict[str, Any]


def table_outline(path: PathName, hdu: HDUName | None = None) -> TableOutline:
    """The columns, the number of rows and the metadata of a table, without its rows where FITS.

    Parameters
    ----------
    hdu
        Number or name of the FITS table; the first table when not given.

    Raises
    ------
    InputFileError
        The file is missing, of another format, or has no table, or a column has no name.
    """
    if is_parquet(path):
        table = read_table(path)
        types = {name: np.asarray(table[name]).dtype for name in table.colnames}
        return TableOutline(len(table), types, {}, dict(table.meta))
    item = select_table(path, hdu)
    with open_input(path) as stream:
        stream.seek(item.header_start)
        raw = stream.read(item.data_start - item.header_start)
    with damage_named(path, item), quiet():
        return _outline(fits.Header.fromstring(raw), path)


def _outline(header: fits.Header, path: PathName) -> TableOutline:
    """What a header says; the library parses those cards alone that are looked at."""
    types, undefined = {}, {}
    for number in range(1, int(header["TFIELDS"]) + 1):
        name = str(header.get(f"TTYPE{number}", "")).strip()
        if not name:
            raise InputFileError(
                f"column {number} of the table has no name", file=path, key=f"TTYPE{number}",
                remedy="Write the catalogue anew with a name for each column.",
            )  # fmt: skip
        types[name] = _type(header, number)
        if f"TNULL{number}" in header:
            undefined[name] = int(header[f"TNULL{number}"])
    return TableOutline(int(header["NAXIS2"]), types, undefined, header_to_meta(header))


def _type(header: fits.Header, number: int) -> np.dtype[Any]:
    match = re.fullmatch(r"\s*(\d*)([A-Z]).*", str(header[f"TFORM{number}"]))
    repeat, letter = (match.group(1), match.group(2)) if match else ("", "")
    if letter == "A":
        dim = re.match(r"\s*\(\s*(\d+)", str(header.get(f"TDIM{number}", "")))
        return np.dtype(f"U{dim.group(1) if dim else repeat or 1}")
    if header.get(f"TSCAL{number}", 1) != 1:
        return np.dtype("f8")
    kinds = _OFFSET_KINDS if header.get(f"TZERO{number}", 0) != 0 else _KINDS
    return np.dtype(kinds.get(letter, "f8"))


@contextmanager
def open_table(path: PathName, template: Table, *, extname: str = "RESULTS") -> Iterator[AddRows]:
    """A function that adds the rows of tables to a new catalogue, which is complete at the end.

    The file has the bytes that `write_table` gives for all rows at once, as FITS; as Parquet each
    part is a group of rows.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced at the end of the block.
    template
        A table without rows: the columns with their types, which all parts must have, and the
        metadata.

    Raises
    ------
    DataError
        A part has other columns, or values that do not fit; something cannot be stored.
    StoreError
        The folder is missing or cannot be written.
    """
    with open_tables(path) as begin, begin(template, extname) as add:
        yield add


@contextmanager
def open_tables(path: PathName) -> Iterator[BeginTable]:
    """A function that begins the next table of a new file, as `open_table` does its only one.

    It takes the template and the name of the table. A Parquet file holds one table.
    """
    with atomic_write(path) as scratch, quiet():
        if Path(path).suffix.lower() in PARQUET:
            yield lambda template, _: _parquet_parts(scratch, template)
            return
        with scratch.open("wb") as stream:
            stream.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
            yield lambda template, extname: _fits_parts(stream, path, template, extname)


def _like(table: Table, template: Table) -> Table:
    if table.colnames == template.colnames:
        return table
    other = sorted(set(table.colnames) ^ set(template.colnames))
    raise DataError("a part has other columns", key=", ".join(other[:5]) or "their order")


@contextmanager
def _fits_parts(
    stream: BinaryIO, path: PathName, template: Table, extname: str
) -> Iterator[AddRows]:
    hdu = explained_hdu(path, template, extname, known_flags(template))
    whole = BytesIO()  # the library orders the cards when it writes them
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(whole)
    header = whole.getvalue()[BLOCK:]
    places = range(0, len(header), CARD)
    card = next(place for place in places if header.startswith(b"NAXIS2  =", place))
    card += stream.tell()
    stream.write(header)
    total = 0

    def add(table: Table) -> None:
        nonlocal total
        stream.write(stored_rows(_like(table, template), hdu.columns).tobytes())
        total += len(table)

    yield add
    stream.write(bytes(-stream.tell() % BLOCK))
    stream.seek(card + 10)
    stream.write(f"{total:>20}".encode())
    stream.seek(0, 2)


@contextmanager
def _parquet_parts(scratch: Path, template: Table) -> Iterator[AddRows]:
    flags = known_flags(template)
    schema = arrow_table(scratch, template, flags).schema
    from pyarrow import parquet

    with parquet.ParquetWriter(scratch, schema) as writer:

        def add(table: Table) -> None:
            plain = _like(table, template).copy(copy_data=False)
            plain.meta = dict(template.meta)
            writer.write_table(arrow_table(scratch, plain, flags).cast(schema))

        yield add
