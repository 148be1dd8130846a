"""Shape catalogues as ShapePipe's ngmix module leaves them: a table for each shear type."""

from __future__ import annotations

import os
from pathlib import Path

from astropy.table import Table

from purepipe.errors import InputFileError
from purepipe.io.bintable import to_table
from purepipe.io.images import open_hdu
from purepipe.io.layout import fits_layout

PathName = str | os.PathLike[str]
TYPES = ("1M", "1P", "2M", "2P", "NOSHEAR")


def read_shapes(path: PathName) -> dict[str, Table]:
    """The five tables of a shape catalogue by the name of their type.

    Raises
    ------
    InputFileError
        The file is missing or damaged, a type is missing, or the tables differ in length.
    """
    found = {item.name.upper(): item for item in fits_layout(path) if item.kind == "table"}
    missing = [name for name in TYPES if name not in found]
    if missing:
        raise InputFileError(
            "the shape catalogue lacks a type", file=path, got=", ".join(found) or "no table",
            allowed=", ".join(TYPES),
        )  # fmt: skip
    tables = {}
    for name in TYPES:
        with open_hdu(Path(path), found[name]) as hdu:
            tables[name] = to_table(hdu, path)
    lengths = {name: len(table) for name, table in tables.items()}
    if len(set(lengths.values())) > 1:
        raise InputFileError("the tables of the types differ in length", file=path, got=lengths)
    return tables
