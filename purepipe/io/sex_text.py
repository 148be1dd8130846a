"""Text catalogues with SExtractor's columns and widths: ASCII, ASCII_HEAD, ASCII_SKYCAT."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

import numpy as np

from purepipe.catalogue.table import Columns
from purepipe.io.atomic import atomic_write
from purepipe.io.sex_formats import comment_of, print_format, unit_of

_BLOCK = 256
_SKYCAT_HEAD = """\
QueryResult

# Config entry for original catalog server:
serv_type: catalog
long_name: SExtractor catalog
short_name: SExCat
symbol: id diamond  8.0
# End config entry

"""


def write_sex_text(path: str | os.PathLike[str], kind: str, tables: Sequence[Columns]) -> None:
    """Write a text catalogue; the rows of all images follow each other.

    Parameters
    ----------
    path
        Final name.
    kind
        ``"ASCII"``, ``"ASCII_HEAD"`` or ``"ASCII_SKYCAT"``.
    tables
        One per image, with the same columns.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    with (
        atomic_write(path, durable=False) as scratch,
        scratch.open("w", encoding="ascii") as stream,
    ):
        stream.writelines(text_lines(kind, tables))


def text_lines(kind: str, tables: Sequence[Columns]) -> Iterator[str]:
    """The lines of a text catalogue, with their ends."""
    if kind == "ASCII_HEAD":
        yield from head_lines(tables[0])
    elif kind == "ASCII_SKYCAT":
        names = list(tables[0])
        # Skycat takes the first four columns for these, whatever they are.
        titles = ["id", "ra", "dec", "mag"][: len(names)] + names[4:]
        yield _SKYCAT_HEAD + "\t".join(titles) + "\n------------------\n"
    separator = " \t" if kind == "ASCII_SKYCAT" else " "
    for table in tables:
        for cells in table_cells(table, between=separator):
            yield separator.join(cells) + "\n"
    if kind == "ASCII_SKYCAT":
        yield "[EOD]"


def head_lines(table: Columns) -> Iterator[str]:
    """The comments of ASCII_HEAD: number of the first value, name, definition, unit."""
    number = 1
    for name, values in table.items():
        unit = f"[{unit_of(name)}]" if unit_of(name) else ""
        yield f"# {number:3d} {name:22.22} {comment_of(name):58.58}{unit}\n"
        number += math.prod(values.shape[1:])


def table_cells(table: Columns, between: str = " ") -> Iterator[list[str]]:
    """For each row, the text of each column; the values of a vector stand in one cell."""
    formats, columns, rows = [], [], 0
    for name, array in table.items():
        rows = len(array)
        # The width is counted, since -1 means nothing where there are no rows.
        values = np.asarray(array).reshape(rows, math.prod(array.shape[1:]))
        formats.append(between.join([print_format(name, values.dtype)] * values.shape[1]))
        columns.append(values)
    # By blocks: as Python numbers a column of stamps takes ten times its memory.
    for first in range(0, rows, _BLOCK):
        cells = [map(tuple, values[first : first + _BLOCK].tolist()) for values in columns]
        for row in zip(*cells, strict=True):
            yield [form % cell for form, cell in zip(formats, row, strict=True)]
