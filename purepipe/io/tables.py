"""Catalogues as plain FITS tables or Parquet, with units, definitions and flags explained."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from purepipe import flags as flag_lists
from purepipe.errors import DataError, InputFileError, MissingPackageError
from purepipe.flags import DocumentedFlag
from purepipe.io.atomic import atomic_write
from purepipe.io.bintable import from_table, header_to_meta, meta_to_header, to_table
from purepipe.io.images import open_hdu, quiet
from purepipe.io.layout import HDULayout, HDUName, find_hdu, fits_layout, open_input

if TYPE_CHECKING:
    import pyarrow

PathName = str | os.PathLike[str]
PARQUET = (".parquet", ".pq")
# Which list of flags explains a column, by the column's name.
_FLAG_COLUMNS: tuple[tuple[str, type[DocumentedFlag]], ...] = (
    (r"FLAGS", flag_lists.DetectFlag),
    (r"IMAFLAGS_ISO|FLAGS_MASK", flag_lists.MaskFlag),
    (r"FLAGS_STAR", flag_lists.StarFlag),
    (r"FLAGS_PSF", flag_lists.PSFFlag),
    (r"(NGMIX_)?FLAGS_EPOCH", flag_lists.EpochFlag),
    (r"FLAGS_SHAPE|(NGMIX_)?(MCAL_)?FLAGS_(1P|1M|2P|2M|NOSHEAR)", flag_lists.ShapeFlag),
    (r"(NGMIX_)?MCAL_FLAGS", flag_lists.ShapeFlag),
    (r"MDET_FLAGS", flag_lists.MetadetectFlag),
)


def write_table(
    path: PathName,
    table: Table,
    *,
    extname: str = "RESULTS",
    flags: Mapping[str, type[DocumentedFlag]] | None = None,
) -> None:
    """Write a catalogue; a name that ends in ``.parquet`` or ``.pq`` chooses Parquet.

    Equal input gives equal bytes. Units and definitions of the columns and the values of
    ``table.meta`` go into the file; so does the meaning of every flag bit.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced when the new one is complete.
    table
        Columns of numbers, truth values or text.
    extname
        Name of the FITS table.
    flags
        Flag list of each flag column; the usual names are known.

    Raises
    ------
    DataError
        A column or a value of the metadata cannot be stored.
    MissingPackageError
        Parquet without pyarrow.
    StoreError
        The folder is missing or cannot be written.
    """
    known = {**known_flags(table), **(flags or {})}
    if Path(path).suffix.lower() in PARQUET:
        _write_parquet(path, table, known)
        return
    hdu = explained_hdu(path, table, extname, known)
    with atomic_write(path) as scratch, quiet():
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(scratch)


def explained_hdu(
    path: PathName, table: Table, extname: str, flags: Mapping[str, type[DocumentedFlag]]
) -> fits.BinTableHDU:
    """A table with its metadata, and with the meaning of every bit of its flag columns."""
    hdu = from_table(table, extname, long_comments=True)
    meta_to_header(dict(table.meta), hdu.header, path)
    for flag_class in dict.fromkeys(flags.values()):
        names = [name for name in flags if flags[name] is flag_class]
        for line in _explain(names, flag_class):
            hdu.header.add_comment(line)
    return hdu


def write_tables(path: PathName, tables: Mapping[str, Table]) -> None:
    """Write several FITS tables into one file, each under its name; equal input, equal bytes.

    Raises
    ------
    DataError, StoreError
        As `write_table`.
    """
    hdus = [from_table(table, name, long_comments=True) for name, table in tables.items()]
    for hdu, table in zip(hdus, tables.values(), strict=True):
        meta_to_header(dict(table.meta), hdu.header, path)
    with atomic_write(path) as scratch, quiet():
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(scratch)


def read_table(path: PathName, hdu: HDUName | None = None) -> Table:
    """A catalogue from a FITS table or a Parquet file, told apart by their content.

    Parameters
    ----------
    path
        File; FITS may be gzipped.
    hdu
        Number or name of the FITS table; the first table when not given.

    Raises
    ------
    InputFileError
        The file is missing, of another format, truncated, or has no such table.
    MissingPackageError
        Parquet without pyarrow.
    """
    if is_parquet(path):
        return _read_parquet(path)
    with open_hdu(Path(path), select_table(path, hdu)) as opened:
        table = to_table(opened, path)
        table.meta.update(header_to_meta(opened.header))
    return table


def is_parquet(path: PathName) -> bool:
    """Whether a file is a Parquet file, by its content."""
    with open_input(path) as stream:
        return bool(stream.read(4) == b"PAR1")


def select_table(path: PathName, hdu: HDUName | None = None) -> HDULayout:
    """Where in a FITS file a table lies: the first one, or the one that is named.

    Raises
    ------
    InputFileError
        The file is not FITS, or has no such table.
    """
    layout = fits_layout(path)
    tables = [item for item in layout if item.kind == "table"]
    if hdu is not None:
        item = find_hdu(layout, hdu, path)
    elif tables:
        item = tables[0]
    if not tables or item.kind != "table":
        names = ", ".join(other.label for other in tables)
        raise InputFileError(
            "there is no table here", file=path, hdu=hdu, got=None if hdu is None else item.kind,
            remedy=f"HDUs with tables: {names}." if names else "Give a catalogue, not an image.",
        )  # fmt: skip
    return item


def known_flags(table: Table) -> dict[str, type[DocumentedFlag]]:
    """The list of flags that explains each flag column of a table, by the columns' usual names."""
    found = {}
    for name in table.colnames:
        for pattern, flag_class in _FLAG_COLUMNS:
            if re.fullmatch(pattern, name):
                found[name] = flag_class
    return found


def _explain(names: list[str], flag_class: type[DocumentedFlag]) -> list[str]:
    lines = wrap(f"Bits of {', '.join(names)}:", 70, subsequent_indent="  ")
    for value, word, meaning in flag_lists.table(flag_class):
        lines += wrap(f"  {value} {word}: {meaning}", 70, subsequent_indent="    ")
    return lines


def _pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise MissingPackageError(
            "Parquet files need the package pyarrow",
            remedy="Install purepipe[parquet], or use a FITS table.",
        )


def _write_parquet(path: PathName, table: Table, flags: Mapping[str, type[DocumentedFlag]]) -> None:
    content = arrow_table(path, table, flags)
    from pyarrow import parquet

    with atomic_write(path) as scratch:
        parquet.write_table(content, scratch)


def arrow_table(
    path: PathName, table: Table, flags: Mapping[str, type[DocumentedFlag]]
) -> pyarrow.Table:
    """A table as Parquet holds it; `path` is for errors.

    Raises
    ------
    DataError
        A column or a value of the metadata cannot be stored.
    MissingPackageError
        There is no pyarrow.
    """
    _pyarrow()
    import pyarrow as pa

    arrays, fields = [], []
    for name in table.colnames:
        array, metadata = _arrow_column(table, name)
        if name in flags:
            metadata["flags"] = json.dumps(flag_lists.table(flags[name]))
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    meta = {k: v.item() if isinstance(v, np.generic) else v for k, v in table.meta.items()}
    try:
        text = json.dumps(meta, sort_keys=True)
    except TypeError as error:
        raise DataError(
            f"the metadata of the table cannot be stored: {error}", file=path,
            remedy="Keep numbers and texts only in table.meta.",
        ) from error  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata={"purepipe": text}))


def _arrow_column(table: Table, name: str) -> tuple[pyarrow.Array, dict[str, str]]:
    import pyarrow as pa

    column = table[name]
    values = np.asarray(column)
    metadata = {}
    if column.unit is not None:
        metadata["unit"] = str(column.unit)
    if column.description:
        metadata["definition"] = column.description
    if values.dtype.kind == "S":
        values = values.astype(str)
    if values.dtype.kind not in "biufU":
        raise DataError("the column has a type that cannot be stored", key=name, got=values.dtype)
    flat = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).reshape(-1)
    mask = np.ma.getmaskarray(np.ma.asarray(column)).reshape(-1)
    array = pa.array(flat, pa.string() if flat.dtype.kind == "U" else None, mask=mask)
    if values.ndim > 1:
        length = int(np.prod(values.shape[1:]))
        array = pa.FixedSizeListArray.from_arrays(array, length)
        metadata["shape"] = json.dumps(values.shape[1:])
    return array, metadata


def _read_parquet(path: PathName) -> Table:
    _pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        content = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(
            f"the Parquet file cannot be read: {error}", file=path,
            remedy="The file is damaged; fetch or write it again.",
        ) from error  # fmt: skip
    table = Table()
    for field in content.schema:
        metadata = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        chunk = content.column(field.name).combine_chunks()
        table[field.name] = _numpy(chunk, metadata)
        table[field.name].description = metadata.get("definition")
        if "unit" in metadata:
            table[field.name].unit = units.Unit(metadata["unit"], parse_strict="silent")
    table.meta.update(json.loads((content.schema.metadata or {}).get(b"purepipe", b"{}")))
    return table


def _numpy(array: pyarrow.Array, metadata: dict[str, str]) -> NDArray[Any]:
    import pyarrow as pa

    shape: tuple[int, ...] = (len(array),)
    if pa.types.is_fixed_size_list(array.type):
        shape += tuple(json.loads(metadata.get("shape", f"[{array.type.list_size}]")))
        array = array.flatten()
    values = np.asarray(array.to_numpy(zero_copy_only=False))
    if values.dtype.kind == "O":
        values = np.array(["" if item is None else str(item) for item in values], dtype=str)
    return values.reshape(shape)
