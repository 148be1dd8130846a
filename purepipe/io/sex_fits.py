"""FITS catalogues with SExtractor's layout: FITS_LDAC, FITS_TPX and FITS_1.0."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from purepipe.catalogue.table import Columns
from purepipe.io.atomic import atomic_write
from purepipe.io.cards import HEADER_COLUMN, card, data_blocks, header_block
from purepipe.io.layout import CARD
from purepipe.io.sex_formats import comment_of, display_format, unit_of

Buffer = bytes | memoryview
_LETTERS = {"i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}


def write_sex_fits(
    path: str | os.PathLike[str],
    kind: str,
    tables: Sequence[Columns],
    headers: Sequence[Sequence[str]],
    run: Sequence[str],
) -> None:
    """Write a FITS catalogue as SExtractor lays it out.

    Parameters
    ----------
    path
        Final name.
    kind
        ``"FITS_LDAC"`` or ``"FITS_TPX"``: each table of objects follows one with the image header;
        ``"FITS_1.0"``: the values of the run stand in the primary header.
    tables
        One per image; columns must be registered.
    headers
        Per table, the cards of its image header.
    run
        Cards for the primary header of FITS_1.0.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    with atomic_write(path, durable=False) as scratch, scratch.open("wb") as stream:
        stream.write(header_block([*_primary(), *(run if kind == "FITS_1.0" else ())]))
        for table, header in zip(tables, headers, strict=True):
            if kind == "FITS_1.0":
                stream.writelines(_objects(table, "OBJECTS"))
                continue
            family = kind.removeprefix("FITS_")
            stream.writelines(_image_header(header, family))
            stream.writelines(_objects(table, f"{family}_OBJECTS"))


def _primary() -> list[str]:
    return [
        card("SIMPLE", True, "FITS standard"),
        card("BITPIX", 8),
        card("NAXIS", 0),
        card("EXTEND", True, "tables follow"),
    ]


def _start(width: int, rows: int, fields: int, name: str) -> list[str]:
    return [
        card("XTENSION", "BINTABLE", "binary table"),
        card("BITPIX", 8),
        card("NAXIS", 2),
        card("NAXIS1", width, "bytes per row"),
        card("NAXIS2", rows, "number of rows"),
        card("PCOUNT", 0),
        card("GCOUNT", 1),
        card("TFIELDS", fields, "columns"),
        card("EXTNAME", name),
    ]


def _image_header(header: Sequence[str], family: str) -> Iterator[Buffer]:
    """The table that holds the image header: LDAC in one row, TPX in one row per card."""
    text = "".join([*header, "END".ljust(CARD)])
    count = len(text) // CARD
    width, rows = (CARD, count) if family == "TPX" else (len(text), 1)
    cards = _start(width, rows, 1, f"{family}_IMHEAD")
    cards += [card("TTYPE1", HEADER_COLUMN), card("TFORM1", f"{width}A")]
    if family == "LDAC":
        cards.append(card("TDIM1", f"({CARD}, {count})"))
    yield header_block(cards)
    yield from data_blocks(np.frombuffer(text.encode("ascii", "replace"), np.uint8))


def _objects(table: Columns, name: str) -> Iterator[Buffer]:
    columns = [(key, np.asarray(values)) for key, values in table.items()]
    count = len(columns[0][1])
    row = np.dtype([(key, v.dtype.newbyteorder(">"), v.shape[1:]) for key, v in columns])
    cards = _start(row.itemsize, count, len(columns), name)
    for number, (key, values) in enumerate(columns, start=1):
        size = values.shape[1:]
        letter = _LETTERS[values.dtype.str[1:]]
        cards.append(card(f"TTYPE{number}", key, comment_of(key)))
        cards.append(card(f"TFORM{number}", f"{int(np.prod(size, dtype=int))}{letter}"))
        if len(size) > 1:
            cards.append(card(f"TDIM{number}", f"({', '.join(map(str, size[::-1]))})"))
        if unit_of(key):
            cards.append(card(f"TUNIT{number}", unit_of(key)))
        cards.append(card(f"TDISP{number}", display_format(key, values.dtype)))
    rows = np.empty(count, row)
    for key, values in columns:
        rows[key] = values
    yield header_block(cards)
    yield from data_blocks(rows.view(np.uint8).reshape(-1))
