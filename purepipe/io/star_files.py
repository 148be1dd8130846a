"""Star catalogues written for images, and large ones divided into cells of the sky.

A divided catalogue is a folder: ``cells.toml`` with the resolution, and for each HEALPix pixel (in
nested order) that has stars a folder ``face<number>/pixel<number>`` with FITS tables of columns
ra, dec, mag. A cone opens the few tables that it meets, and a catalogue that does not fit into
memory is added part by part.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from purepipe.errors import InputFileError, MissingPackageError, StoreError
from purepipe.io.atomic import write_text
from purepipe.io.config_file import read_toml, write_toml
from purepipe.io.tables import read_table, write_table
from purepipe.mask.healpix import LARGEST_NSIDE, pixel_numbers, pixels_in_cone
from purepipe.mask.stars import star_column

PathName = str | os.PathLike[str]
log = logging.getLogger(__name__)
_INDEX = "cells.toml"
_NAMES = ("ra", "dec", "mag")


def write_cds(path: PathName, stars: Table, *, comment: str = "") -> None:
    """Write stars as the text of the CDS program ``findgsc2.2``, which ShapePipe reads.

    The magnitude is stored as Fmag; the others are missing, so that their mean is the magnitude.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced.
    stars
        Columns ra, dec (degrees) and mag.
    comment
        For the first line of the file.

    Raises
    ------
    DataError
        A column is missing.
    StoreError
        The folder is missing or cannot be written.
    """
    columns = [star_column(stars, name).tolist() for name in _NAMES]
    lines = [f"# {' '.join(comment.split())}", "# positions in degrees", "#"]
    lines.append("#GSC2.2 ;RA(J2000) Dec(J2000) ; Fmag; Jmag; Vmag; Nmag; Clas;")
    for number, (ra, dec, mag) in enumerate(zip(*columns, strict=True)):
        brightness = repr(mag) if np.isfinite(mag) else "---"
        lines.append(f"P{number:08d} ; {ra!r} {dec:+} ; {brightness} ; --- ; --- ; --- ; 0 ;")
    lines += ["#", f"# {len(stars)} stars", "#", "#", "#"]
    write_text(path, "\n".join(lines) + "\n")


def write_star_cells(
    folder: PathName, tables: Iterable[Table], *, nside: int = 32
) -> dict[int, int]:
    """Divide star catalogues by HEALPix pixels; `read_star_cells` reads them.

    Parameters
    ----------
    folder
        New, or empty.
    tables
        Columns ra, dec (degrees) and mag; only one table at a time is held in memory.
    nside
        Resolution, a power of two up to 256; pixels of 32 are 1.8 degrees wide.

    Returns
    -------
    Number of stars by the number of the pixel, in nested order.

    Raises
    ------
    ConfigError
        `nside` is no such number.
    DataError
        A column is missing.
    StoreError
        The folder is not empty, or cannot be written.
    """
    pixel_numbers(nside, [], [])  # a wrong resolution is refused before anything is made
    folder = _empty_folder(folder)
    totals: dict[int, int] = {}
    for part, table in enumerate(tables):
        columns = [star_column(table, name) for name in _NAMES]
        placed = np.flatnonzero(np.isfinite(columns[0]) & np.isfinite(columns[1]))
        if len(placed) < len(table):
            log.warning("%d star(s) have no position and are left out", len(table) - len(placed))
        if not len(placed):
            continue
        numbers = pixel_numbers(nside, columns[0][placed], columns[1][placed])
        order = np.argsort(numbers, kind="stable")
        keys, starts = np.unique(numbers[order], return_index=True)
        for key, rows in zip(keys.tolist(), np.split(placed[order], starts[1:]), strict=True):
            place = folder / _cell_name(key, nside)
            place.mkdir(parents=True, exist_ok=True)
            values = {name: column[rows] for name, column in zip(_NAMES, columns, strict=True)}
            write_table(place / f"part{part:05d}.fits", Table(values), extname="STARS")
            totals[key] = totals.get(key, 0) + len(rows)
    stars = sum(totals.values())
    # Written last: a folder without it is not complete.
    index = {"pixels": "HEALPix, nested", "nside": nside, "cells": len(totals), "stars": stars}
    write_toml(folder / _INDEX, index)
    return totals


def read_star_cells(folder: PathName, ra: float, dec: float, radius: float) -> Table:
    """The stars of all cells that a cone meets: columns ra, dec (degrees), mag.

    Raises
    ------
    InputFileError
        The folder is not a complete divided catalogue, or a table in it is damaged.
    """
    folder = Path(folder)
    nside = _resolution(folder)
    parts = [
        read_table(path)
        for number in pixels_in_cone(nside, ra, dec, radius).tolist()
        for path in sorted((folder / _cell_name(number, nside)).glob("part*.fits"))
    ]
    for part in parts:
        part.meta.clear()
    return vstack(parts) if parts else Table({name: np.empty(0) for name in _NAMES})


def _resolution(folder: Path) -> int:
    """The nside of a divided catalogue."""
    index = folder / _INDEX
    entries = read_toml(index) if index.is_file() else {}
    if not entries:
        raise InputFileError(
            "this is no divided star catalogue, or an incomplete one", file=folder,
            remedy="Make it by `purepipe stars --split CATALOGUE --out FOLDER`.",
        )  # fmt: skip
    if "nside" not in entries:
        raise InputFileError(
            "this divided star catalogue is of an earlier version of purepipe", file=index,
            remedy="Divide it again by `purepipe stars --split CATALOGUE --out FOLDER`.",
        )  # fmt: skip
    nside = entries["nside"]
    powers = [1 << k for k in range(LARGEST_NSIDE.bit_length())]
    if isinstance(nside, bool) or nside not in powers:
        raise InputFileError(
            "the resolution of this divided star catalogue is damaged", file=index, key="nside",
            got=nside, allowed=f"a power of two from 1 to {LARGEST_NSIDE}",
            remedy="Divide it again by `purepipe stars --split CATALOGUE --out FOLDER`.",
        )  # fmt: skip
    return int(nside)


def query_stars(
    ra: float, dec: float, radius: float, *, catalogue: str = "I/355/gaiadr3", limit: float = 18.0
) -> Table:
    """Stars of a cone (degrees) from the VizieR service: columns ra, dec (degrees), mag.

    Parameters
    ----------
    catalogue
        VizieR's name of a catalogue with columns RA_ICRS, DE_ICRS, Gmag, such as Gaia's.
    limit
        Only stars brighter than this magnitude.

    Raises
    ------
    MissingPackageError
        astroquery is not installed.
    InputFileError
        The service does not answer, or the catalogue has no such columns.
    """
    try:
        vizier = import_module("astroquery.vizier")
    except ImportError:
        raise MissingPackageError(
            "on-line catalogues need the package astroquery",
            remedy="Run `pip install astroquery`, or give a file by --catalogue.",
        ) from None
    from astropy import units
    from astropy.coordinates import SkyCoord

    names = ["RA_ICRS", "DE_ICRS", "Gmag"]
    service = vizier.Vizier(columns=names, column_filters={"Gmag": f"<{limit}"}, row_limit=-1)
    try:
        found: Any = service.query_region(
            SkyCoord(ra, dec, unit="deg"), radius=radius * units.deg, catalog=catalogue
        )
    except OSError as error:  # whatever the network does
        raise InputFileError(
            f"the service does not answer: {error}", file=f"VizieR {catalogue}",
            remedy="Try again, or give a file by --catalogue.",
        ) from error  # fmt: skip
    if not len(found):
        return Table({name: np.empty(0) for name in _NAMES})
    missing = [name for name in names if name not in found[0].colnames]
    if missing:
        raise InputFileError(
            "the catalogue lacks columns", file=f"VizieR {catalogue}", got=found[0].colnames,
            allowed=", ".join(names),
        )  # fmt: skip
    values: list[Any] = [
        np.ma.filled(np.ma.asarray(found[0][name], float), np.nan) for name in names
    ]
    return Table(dict(zip(_NAMES, values, strict=True)))


def _empty_folder(folder: PathName) -> Path:
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
    except OSError as error:
        raise StoreError(
            f"the folder cannot be made: {error.strerror}", file=folder,
            remedy="Choose another output folder.",
        ) from error  # fmt: skip
    if full:
        raise StoreError(
            "the folder is not empty", file=folder,
            remedy="Name a new one; a divided catalogue is made at once.",
        )  # fmt: skip
    return folder


def _cell_name(number: int, nside: int) -> str:
    return f"face{number // nside**2:02d}/pixel{number:06d}"
