"""The CCDs of exposures: their headers, and the files of single CCDs that the original expects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from purepipe.errors import InputFileError, PurepipeError
from purepipe.io.exposures import check_ccd_files, whole_numbers
from purepipe.io.images import card_text, header_at, read_image, select_image, write_image
from purepipe.io.layout import fits_layout
from purepipe.io.tables import read_table, write_table
from purepipe.survey import CCD, CCDUnit, flag_type, split_exposure

PathName = str | os.PathLike[str]
_LOG_TABLE = "CCD_HEADERS"


def list_units(path: PathName, exposure: str) -> list[CCDUnit]:
    """The CCDs of a multi-extension exposure with their headers, numbered from 0.

    Raises
    ------
    InputFileError
        The file is missing, truncated, or holds no image.
    """
    layout = fits_layout(path)
    select_image(layout, None, path)
    images = [item for item in layout if item.image_shape]
    headers = [card_text(header_at(Path(path), item)) for item in images]
    primary = card_text(header_at(Path(path), layout[0]))
    hdus = [(item.index, item.name) for item in images]
    return split_exposure(exposure, hdus, headers, primary=primary)


def read_ccds(path: PathName, exposure: str) -> list[CCD]:
    """World coordinates, size and flux scale of every CCD of an exposure.

    Raises
    ------
    InputFileError
        The file is missing, truncated, or holds no image.
    DataError
        The header of a CCD lacks usable world coordinates; the message names the HDU.
    """
    ccds = []
    for unit in list_units(path, exposure):
        try:
            ccds.append(CCD.from_header(exposure, unit.ccd, unit.header))
        except PurepipeError as error:
            error.file, error.hdu = str(path), f"{unit.hdu} '{unit.extname}'"
            raise
    return ccds


def write_ccd_headers(path: PathName, units: Sequence[CCDUnit]) -> None:
    """Write the headers of many CCDs into one FITS table: exposure, CCD, header cards as text.

    It serves the purpose of the original's ``log_exp_headers.sqlite``, without pickles.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    table = Table()
    table["EXPOSURE"] = np.array([unit.exposure for unit in units], dtype=str)
    table["CCD"] = np.array([unit.ccd for unit in units], dtype=np.int32)
    table["HDU"] = np.array([unit.hdu for unit in units], dtype=np.int32)
    table["EXTNAME"] = np.array([unit.extname for unit in units], dtype=str)
    table["HEADER"] = np.array([unit.header for unit in units], dtype=str)
    write_table(path, table, extname=_LOG_TABLE)


def read_ccd_headers(path: PathName) -> list[CCDUnit]:
    """The CCDs that `write_ccd_headers` wrote, in the same order.

    Raises
    ------
    InputFileError
        The file is missing, truncated, or of another kind.
    """
    table = read_table(path, _LOG_TABLE)
    wanted = ["EXPOSURE", "CCD", "HDU", "EXTNAME", "HEADER"]
    if table.colnames != wanted:
        raise InputFileError(
            "not a table of CCD headers", file=path, got=", ".join(table.colnames),
            allowed=", ".join(wanted),
        )  # fmt: skip
    return [
        # The blanks at the end of the last card are lost in a FITS text.
        CCDUnit(str(row[0]), int(row[1]), int(row[2]), str(row[3]), whole_cards(str(row[4])))
        for row in table.iterrows()
    ]


def write_ccd_files(
    folder: PathName,
    exposure: str,
    *,
    image: PathName,
    weight: PathName | None = None,
    flag: PathName | None = None,
) -> list[Path]:
    """Write one file per CCD and map: ``image-<exposure>-<ccd>.fits`` and so on.

    Parameters
    ----------
    folder
        Where the files go; must exist. Earlier files of these names are replaced.
    exposure
        Exposure number.
    image, weight, flag
        Multi-extension files that belong together. Each new file has the image in its primary HDU
        with the header of the CCD. Flags are written as int16, as int32 when they need it.

    Returns
    -------
    The new files: images, then weights, then flags, each in the order of the CCDs.

    Raises
    ------
    InputFileError
        As `check_ccd_files`; or a flag map does not hold flags.
    StoreError
        The folder is missing or cannot be written.
    """
    check_ccd_files(image, weight, flag)
    written = []
    for kind, source in (("image", image), ("weight", weight), ("flag", flag)):
        if source is None:
            continue
        for unit in list_units(source, exposure):
            array, _ = read_image(source, unit.hdu)
            if kind == "flag":
                flags = whole_numbers(array, source)
                array = flags.astype(flag_type(flags))
            path = Path(folder) / f"{kind}-{unit.name}.fits"
            write_image(path, array, fits.Header.fromstring(unit.header))
            written.append(path)
    return written


def whole_cards(text: str) -> str:
    """Header cards with the blanks at the end of the last one, which texts of arrays lose."""
    return text.ljust(-(-len(text) // 80) * 80)
