"""Masks as FITS images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError, InputFileError
from purepipe.io.images import clean_header, quiet, read_image, write_image
from purepipe.mask.build import storage_dtype
from purepipe.mask.report import report_mask

if TYPE_CHECKING:
    from purepipe.config import MaskConfig
    from purepipe.exposure import Exposure

PathName = str | os.PathLike[str]


def write_mask(
    path: PathName,
    mask: ArrayLike,
    exposure: Exposure,
    config: MaskConfig,
    *,
    compress: bool = True,
) -> None:
    """Write a mask with the header of its image and what each rule of the mask did.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced.
    mask
        (ny, nx) integers of `purepipe.flags.MaskFlag`; stored as int16, or as int32 where a bit
        needs it.
    exposure
        The image that was masked. Its header cards are copied, and its world coordinates where
        the header lacks them.
    config
        How the mask was made; the rules, their values and numbers of pixels become cards.
    compress
        Write a tile-compressed image in HDU 1 instead of a plain primary one.

    Raises
    ------
    DataError
        The mask is not of integers, or not of the size of the image.
    StoreError
        The folder is missing or cannot be written.
    """
    values = np.asarray(mask)
    if values.dtype.kind not in "iub" or values.shape != exposure.shape:
        raise DataError(
            "a mask needs one integer for each pixel of its image", file=path,
            got=f"{values.dtype} of shape {values.shape}",
            allowed=f"integers of shape {exposure.shape}",
        )  # fmt: skip
    values = values.astype(np.int32)
    header = _header(exposure)
    for keyword, value, comment in report_mask(values, config, image=exposure.image).cards():
        header.set(keyword, value, comment)
    write_image(path, values.astype(storage_dtype(values)), header, compress=compress)


def read_mask(path: PathName, hdu: int | str | None = None) -> NDArray[np.int32]:
    """The bits of a mask as (ny, nx) int32; the first image of the file when no HDU is named.

    Raises
    ------
    InputFileError
        The file is missing or damaged, or its image is not of whole numbers.
    """
    values, _ = read_image(path, hdu)
    if values.dtype.kind not in "iu":
        raise InputFileError(
            "a mask must hold integers", file=path, got=values.dtype,
            remedy="Give the flag map, not the image or the weight.",
        )  # fmt: skip
    return values.astype(np.int32)


def _header(exposure: Exposure) -> fits.Header:
    """The header of the image, completed by its world coordinates."""
    header = clean_header(exposure.header or None)
    if exposure.wcs is None:
        return header
    with quiet():
        cards: list[Any] = list(clean_header(exposure.wcs.cards).cards)
    for card in cards:
        if card.keyword not in header:
            header.append(card)
    return header


def mask_name(number: str, prefix: str = "pipeline") -> Path:
    """The file name that ShapePipe gives to a mask: ``pipeline_flag-2079614-9.fits``."""
    stem = f"{prefix}_flag" if prefix and prefix.casefold() != "none" else "flag"
    return Path(f"{stem}{number}.fits")
