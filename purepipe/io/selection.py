"""The products of a selection as files, under the names that SETools gives them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from astropy.table import Table

from purepipe.errors import StoreError
from purepipe.io.atomic import atomic_write, write_text
from purepipe.io.ldac import write_ldac
from purepipe.io.tables import write_table

if TYPE_CHECKING:
    from purepipe.select.products import NewCatalogue, Products, Split


def write_products(
    folder: str | os.PathLike[str],
    products: Products,
    table: Table,
    *,
    number: str = "",
    report: str = "",
) -> list[Path]:
    """Write the products of a recipe; equal products give equal bytes.

    ``mask/<name><number>.fits`` and ``rand_split/<name>_ratio_20<number>.fits`` are FITS_LDAC
    catalogues with the columns, formats and image header of the input; ``new_cat/``, ``plot/`` and
    ``stat/`` hold the rest. A split with an empty part is not written, and an earlier one of the
    same name is removed.

    Parameters
    ----------
    folder
        Where the five folders are made.
    products
        From `purepipe.select.apply_recipe`.
    table
        The catalogue that the products were made of.
    number
        Number of the unit as in file names, such as ``"-2079614-9"``.
    report
        Text for ``report/selection<number>.txt``; none is written when it is empty.

    Returns
    -------
    The files, in the order of the recipe.

    Raises
    ------
    StoreError
        A folder or file cannot be written.
    DataError
        A column cannot be stored in FITS.
    """
    written = []
    for mask in products.masks.values():
        if mask.save:
            path = _place(folder, "mask", f"{mask.name}{number}.fits")
            write_ldac(path, table[mask.rows])
            written.append(path)
    for plot in products.plots:
        path = _place(folder, "plot", f"{plot.name}{number}.{plot.format}")
        with atomic_write(path) as scratch:
            scratch.write_bytes(plot.content)
        written.append(path)
    written += [_write_catalogue(folder, item, table, number) for item in products.catalogues]
    for split in products.splits:
        written += _write_split(folder, split, table, number)
    for item in products.statistics:
        path = _place(folder, "stat", f"{item.name}{number}.txt")
        write_text(path, item.text)
        written.append(path)
    if report:
        written.append(_place(folder, "report", f"selection{number}.txt"))
        write_text(written[-1], report)
    return written


def _write_catalogue(
    folder: str | os.PathLike[str], item: NewCatalogue, table: Table, number: str
) -> Path:
    if item.text is not None:
        path = _place(folder, "new_cat", f"{item.name}{number}.txt")
        write_text(path, item.text)
        return path
    path = _place(folder, "new_cat", f"{item.name}{number}.fits")
    new = Table(dict(item.columns))
    if item.format == "SEx_cat":
        write_ldac(path, new, str(table.meta.get("header", "")))
    else:
        write_table(path, new)
    return path


def _write_split(
    folder: str | os.PathLike[str], split: Split, table: Table, number: str
) -> list[Path]:
    paths = [_place(folder, "rand_split", f"{stem}{number}.fits") for stem in split.names]
    for path, rows in zip(paths, (split.drawn, split.rest), strict=True):
        if split.empty:
            path.unlink(missing_ok=True)
        else:
            write_ldac(path, table[rows])
    return [] if split.empty else paths


def _place(folder: str | os.PathLike[str], kind: str, name: str) -> Path:
    path = Path(folder) / kind / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder cannot be made: {error.strerror}", file=path.parent,
            remedy="Choose another output folder.",
        ) from error  # fmt: skip
    return path
