"""FITS_LDAC catalogues, as SExtractor writes them and PSFEx reads them.

A file holds, per image extension, a table LDAC_IMHEAD with the image header and a table
LDAC_OBJECTS with the detections; a tile catalogue may be followed by tables EPOCH_0, EPOCH_1, ...
that say which CCD of each exposure saw each object.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from purepipe.errors import DataError, InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.bintable import from_table, to_table
from purepipe.io.cards import HEADER_COLUMN
from purepipe.io.images import (
    FitsFile,
    card_text,
    damage_named,
    hdu_of,
    open_fits,
    open_hdu,
    quiet,
    rows_of,
)
from purepipe.io.layout import BLOCK, CARD, HDULayout, fits_layout

PathName = str | os.PathLike[str]


def read_ldac(path: PathName, extension: int = 0, *, rows: tuple[int, int] | None = None) -> Table:
    """The detections of one image extension of a FITS_LDAC catalogue.

    Parameters
    ----------
    path
        FITS_LDAC file.
    extension
        0-based number of the image extension; catalogues of single images have only 0.
    rows
        First row and the one after the last, from 0; only these are read. All rows by default.

    Returns
    -------
    Table with columns as in the file. ``meta`` holds the SEX* values of the image header as numbers
    and texts, and ``meta["header"]`` all its cards as text (80 characters each, without END).
    VIGNET has the shape (n, h, w) even where the file lacks its TDIM card.

    Raises
    ------
    InputFileError
        The file is missing, truncated, no FITS_LDAC catalogue, or has no such extension.
    DataError
        The catalogue has no such rows.
    """
    with open_fits(path) as file:
        layout = file.layout
        objects = [item for item in layout if item.name == "LDAC_OBJECTS"]
        if not 0 <= extension < len(objects):
            raise _no_extension(path, extension, len(objects))
        item = objects[extension]
        heads = [i for i in layout if i.name == "LDAC_IMHEAD" and i.index < item.index]
        with rows_of(file, item, rows) if rows else hdu_of(file, item) as hdu:
            table = to_table(hdu, path)
        cards = _read_cards(file, heads[-1]) if heads else ""
    if "VIGNET" in table.colnames and table["VIGNET"].ndim == 2:
        _square(table)
    if heads:
        with damage_named(path, heads[-1]):
            _attach_header(table, cards)
    return table


def count_extensions(path: PathName) -> int:
    """Number of image extensions in a FITS_LDAC catalogue."""
    return sum(item.name == "LDAC_OBJECTS" for item in fits_layout(path))


def read_epochs(path: PathName) -> list[Table]:
    """The tables EPOCH_0, EPOCH_1, ... of a tile catalogue, in order; empty when it has none."""
    found = {}
    for item in fits_layout(path):
        number = item.name.removeprefix("EPOCH_")
        if item.name.startswith("EPOCH_") and number.isdigit():
            with open_hdu(Path(path), item) as hdu:
                found[int(number)] = to_table(hdu, path)
    return [found[number] for number in sorted(found)]


def write_ldac(
    path: PathName,
    table: Table | Sequence[Table],
    header_cards: str | Sequence[str] | None = None,
    epochs: Sequence[Table] | None = None,
    *,
    provenance: Mapping[str, str | int] | None = None,
) -> None:
    """Write a FITS_LDAC catalogue; equal input gives equal bytes.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced when the new one is complete.
    table
        Detections; a sequence of tables makes a multi-extension catalogue.
    header_cards
        Cards of the image header as text, one text per table; ``meta["header"]`` of the tables
        when not given. SEX* values in ``meta`` are added to the cards, and win over them.
    epochs
        Tables EPOCH_k with columns NUMBER, EXP_NAME, CCD_N.
    provenance
        Cards for the primary header.

    Raises
    ------
    DataError
        A column cannot be stored in FITS, or numbers of tables and headers differ.
    StoreError
        The folder is missing or cannot be written.
    """
    tables = [table] if isinstance(table, Table) else list(table)
    if header_cards is None:
        texts = [str(item.meta.get("header", "")) for item in tables]
    else:
        texts = [header_cards] if isinstance(header_cards, str) else list(header_cards)
    if len(texts) != len(tables):
        raise DataError(
            "each table needs its own header", file=path, got=f"{len(texts)} headers",
            allowed=f"{len(tables)}",
        )  # fmt: skip
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header(provenance or {}))])
    for item, text in zip(tables, texts, strict=True):
        hdus.append(_header_hdu(_complete(text, item.meta)))
        hdus.append(from_table(item, "LDAC_OBJECTS"))
    for number, epoch in enumerate(epochs or ()):
        hdus.append(from_table(epoch, f"EPOCH_{number}"))
    with atomic_write(path) as scratch, quiet():
        hdus.writeto(scratch)


def _no_extension(path: PathName, extension: int, count: int) -> InputFileError:
    if count == 0:
        return InputFileError(
            "this is no FITS_LDAC catalogue: it has no table LDAC_OBJECTS", file=path,
            remedy="Let SExtractor write CATALOG_TYPE FITS_LDAC.",
        )  # fmt: skip
    return InputFileError(
        "the catalogue has no such extension", file=path, got=extension, allowed=f"0 to {count - 1}"
    )


def _square(table: Table) -> None:
    side = math.isqrt(table["VIGNET"].shape[1])
    if side * side != table["VIGNET"].shape[1]:
        return
    old = table["VIGNET"]
    new = Table.Column(np.asarray(old).reshape(-1, side, side), "VIGNET", unit=old.unit)
    new.description, new.meta = old.description, old.meta
    table.replace_column("VIGNET", new)


def _read_cards(file: FitsFile, item: HDULayout) -> str:
    """The header cards of an LDAC_IMHEAD table as text, up to END."""
    with hdu_of(file, item) as hdu:
        raw = hdu.data.view(np.ndarray).tobytes().decode("ascii", "replace")
    cards = [raw[start : start + CARD].ljust(CARD) for start in range(0, len(raw), CARD)]
    kept = []
    for card in cards:
        if card[:8].rstrip() == "END":
            break
        kept.append(card)
    return "".join(kept)


def _attach_header(table: Table, text: str) -> None:
    with quiet():
        header = fits.Header.fromstring(text)
        for card in header.cards:
            if card.keyword.startswith("SEX"):
                table.meta[card.keyword] = card.value
    table.meta["header"] = text


def _complete(text: str, meta: dict[str, Any]) -> str:
    """Header cards with the SEX* values of `meta` added; unchanged when they are there already."""
    with quiet():
        header = fits.Header.fromstring(text) if text else _bare_header()
        changed = not text
        for key, value in meta.items():
            plain = value.item() if isinstance(value, np.generic) else value
            if isinstance(plain, float) and not math.isfinite(plain):
                continue  # FITS headers hold finite numbers only
            if key.startswith("SEX") and (key not in header or header[key] != plain):
                header[key] = plain
                changed = True
        return card_text(header) if changed else text


def _bare_header() -> fits.Header:
    """The cards that a reader expects of any image header."""
    return fits.Header(
        [
            ("SIMPLE", True, "This is a FITS file"),
            ("BITPIX", 8),
            ("NAXIS", 2, "2D data"),
            ("NAXIS1", 1),
            ("NAXIS2", 1),
            ("EXTEND", True, "This file may contain FITS extensions"),
        ]
    )


def _header_hdu(text: str) -> fits.BinTableHDU:
    """LDAC_IMHEAD: one row with one column that holds all cards, closed by END."""
    text = text.rstrip()
    text = text.ljust(-(-len(text) // CARD) * CARD)
    if text[-CARD:].rstrip() != "END":
        text += "END".ljust(CARD)
    header = fits.Header(
        [
            ("XTENSION", "BINTABLE", "binary table extension"),
            ("BITPIX", 8),
            ("NAXIS", 2),
            ("NAXIS1", len(text), "bytes per row"),
            ("NAXIS2", 1, "number of rows"),
            ("PCOUNT", 0),
            ("GCOUNT", 1),
            ("TFIELDS", 1, "fields per row"),
            ("EXTNAME", "LDAC_IMHEAD", "name of this table"),
            ("TTYPE1", HEADER_COLUMN),
            ("TFORM1", f"{len(text)}A"),
            ("TDIM1", f"({CARD}, {len(text) // CARD})"),
        ]
    )
    data = text.encode("ascii", "replace")
    # From bytes, because the FITS library strips the blanks at the end of every text.
    return fits.BinTableHDU.fromstring(
        header.tostring().encode() + data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
    )
