"""Catalogues written in parts, so that the whole is never in memory; what headers alone tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from purepipe.errors import DataError, InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.bintable import header_to_meta, stored_rows
from purepipe.io.images import header_at, quiet
from purepipe.io.layout import BLOCK, CARD
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


def table_outline(path: PathName) -> TableOutline:
    """The columns, the number of rows and the metadata of a table, without its rows where FITS.

    Raises
    ------
    InputFileError
        The file is missing, of another format, or has no table, or a column has no name.
    """
    if is_parquet(path):
        table = read_table(path)
        types = {name: np.asarray(table[name]).dtype for name in table.colnames}
        return TableOutline(len(table), types, {}, dict(table.meta))
    header = header_at(Path(path), select_table(path))
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
    parquet = Path(path).suffix.lower() in PARQUET
    with atomic_write(path) as scratch, quiet():
        writer = _parquet_parts if parquet else _fits_parts
        with writer(scratch, template, extname) as add:
            yield lambda table: add(_like(table, template))


def _like(table: Table, template: Table) -> Table:
    if table.colnames == template.colnames:
        return table
    other = sorted(set(table.colnames) ^ set(template.colnames))
    raise DataError("a part has other columns", key=", ".join(other[:5]) or "their order")


@contextmanager
def _fits_parts(scratch: Path, template: Table, extname: str) -> Iterator[AddRows]:
    hdu = explained_hdu(scratch, template, extname, known_flags(template))
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(scratch)
    total = 0
    with scratch.open("r+b") as stream:
        header = stream.read()
        card = next(
            place for place in range(BLOCK, len(header), CARD)
            if header.startswith(b"NAXIS2  =", place)
        )  # fmt: skip

        def add(table: Table) -> None:
            nonlocal total
            stream.write(stored_rows(table, hdu.columns).tobytes())
            total += len(table)

        yield add
        stream.write(bytes(-stream.tell() % BLOCK))
        stream.seek(card + 10)
        stream.write(f"{total:>20}".encode())


@contextmanager
def _parquet_parts(scratch: Path, template: Table, _extname: str) -> Iterator[AddRows]:
    flags = known_flags(template)
    schema = arrow_table(scratch, template, flags).schema
    from pyarrow import parquet

    with parquet.ParquetWriter(scratch, schema) as writer:

        def add(table: Table) -> None:
            plain = table.copy(copy_data=False)
            plain.meta = dict(template.meta)
            writer.write_table(arrow_table(scratch, plain, flags).cast(schema))

        yield add
