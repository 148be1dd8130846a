"""Check-images and kernels of PSF models, as PSFEx writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from numpy.typing import NDArray

from purepipe.errors import InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.images import card_text, open_hdu, quiet
from purepipe.io.layout import CARD, fits_layout
from purepipe.psf.model import PSFModel

_GEOMETRY = re.compile(
    r"NAXIS[12]|CTYPE[12]|CRVAL[12]|CRPIX[12]|CD[12]_[12]|CDELT[12]|PV[12]_\d+|EQUINOX|RADESYS"
)
PathName = str | os.PathLike[str]


def read_cube(path: PathName) -> NDArray[np.float64]:
    """The first cube of images (n, h, w) in a FITS file.

    Raises
    ------
    InputFileError
        The file is missing, damaged, or holds no three-dimensional image.
    """
    for item in fits_layout(path):
        if item.kind != "table" and len(item.shape) == 3:
            with open_hdu(Path(path), item) as hdu:
                return np.array(hdu.data, dtype=np.float64)
    raise InputFileError(
        "the file holds no cube of images", file=path,
        remedy="Store the basis images as one FITS image with three axes.",
    )  # fmt: skip


def write_check_images(
    path: PathName,
    images: Sequence[NDArray[np.float32]],
    *,
    sampling: Sequence[float],
    headers: Sequence[str] | None = None,
) -> None:
    """Write one image per image extension; a single one becomes the primary one.

    Parameters
    ----------
    path
        Final name.
    images
        Mosaics (h, w) or cubes; equal input gives equal bytes.
    sampling
        Size of a model pixel of each image, image pixels.
    headers
        Cards of the header of each CCD as text. Its world coordinates are scaled so that a mosaic
        covers the CCD.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    texts = headers if headers is not None else [""] * len(images)
    single = len(images) == 1
    hdus = fits.HDUList() if single else fits.HDUList([fits.PrimaryHDU()])
    if not single:
        hdus[0].header["NEXTEND"] = (len(images), "number of extensions")
    for number, (image, step, text) in enumerate(zip(images, sampling, texts, strict=True), 1):
        data = np.ascontiguousarray(image, dtype=np.float32)
        hdu = fits.PrimaryHDU(data) if single else fits.ImageHDU(data)
        if not single:
            hdu.header["EXTNAME"] = (f"chip{number:02d}", "name of this image")
        if data.ndim == 2:
            for key, value in _scaled_wcs(text, (data.shape[0], data.shape[1])).items():
                hdu.header[key] = value
        hdu.header["PSF_SAMP"] = (round(step, 8), "size of a model pixel, image pixels")
        hdus.append(hdu)
    with atomic_write(path) as scratch, quiet():
        hdus.writeto(scratch)


def ccd_shape(text: str) -> tuple[int, int] | None:
    """(ny, nx) of the CCD whose header cards `text` holds; None where they do not say."""
    cards = _geometry(text)
    size = cards.get("NAXIS2", 0), cards.get("NAXIS1", 0)
    return size if all(isinstance(n, int) and n > 1 for n in size) else None


def sound_geometry(text: str) -> str:
    """The header cards in `text` that state size and world coordinates; none if one is damaged."""
    header = fits.Header({"NAXIS": 2})
    for key, value in _geometry(text).items():
        header[key] = value
    return card_text(header)


def write_kernel(path: PathName, kernels: Sequence[PSFModel], beta: float) -> None:
    """Write homogenisation kernels, one cube (terms, h, w) per image extension.

    Parameters
    ----------
    path
        Final name.
    kernels
        From `homogenisation_kernel`.
    beta
        Moffat exponent of the target.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    single = len(kernels) == 1
    hdus = fits.HDUList() if single else fits.HDUList([fits.PrimaryHDU()])
    for kernel in kernels:
        hdu = fits.PrimaryHDU(kernel.mask) if single else fits.ImageHDU(kernel.mask)
        if not single:
            hdu.header["EXTNAME"] = ("HOMO_DATA", "name of this image")
        hdu.header.extend(_polynomial_cards(kernel))
        hdu.header["PSF_FWHM"] = (kernel.fwhm, "FWHM of the target, image pixels")
        hdu.header["PSF_BETA"] = (beta, "Moffat beta of the target")
        hdu.header["PSF_SAMP"] = (round(kernel.sampling, 8), "size of a model pixel, image pixels")
        hdus.append(hdu)
    with atomic_write(path) as scratch, quiet():
        hdus.writeto(scratch)


def _polynomial_cards(model: PSFModel) -> list[tuple[str, Any, str]]:
    cards: list[tuple[str, Any, str]] = [
        ("POLNAXIS", len(model.contexts), "number of contexts"),
    ]
    values = zip(model.groups, model.contexts, model.offsets, model.scales, strict=True)
    for i, (group, name, offset, scale) in enumerate(values, start=1):
        cards += [
            (f"POLGRP{i}", group, "polynomial group"),
            (f"POLNAME{i}", name, "context"),
            (f"POLZERO{i}", offset, "zero point of the context"),
            (f"POLSCAL{i}", scale, "scale of the context"),
        ]
    cards.append(("POLNGRP", len(model.degrees), "number of polynomial groups"))
    for i, degree in enumerate(model.degrees, start=1):
        cards.append((f"POLDEG{i}", degree, "degree of the group"))
    return cards


def _scaled_wcs(text: str, shape: tuple[int, int]) -> dict[str, Any]:
    """World coordinates by which an image of `shape` lies on the sky where the CCD does."""
    ccd = ccd_shape(text)
    cards = _geometry(text)
    if ccd is None or "CTYPE1" not in cards:
        return {}
    size = ccd[::-1]
    scale = shape[1] / size[0]
    for key, value in cards.items():
        if key.startswith("CRPIX"):
            axis = int(key[-1]) - 1
            cards[key] = (value - size[axis] / 2) * scale + shape[1 - axis] / 2 + 0.5
        elif key.startswith("CD"):
            cards[key] = value / scale
    return {key: value for key, value in cards.items() if not key.startswith("NAXIS")}


def _geometry(text: str) -> dict[str, Any]:
    """Size and world coordinates that header cards state; nothing if one of them is damaged."""
    found: dict[str, Any] = {}
    for start in range(0, len(text), CARD):
        card = text[start : start + CARD]
        key = card[:8].rstrip()
        if not _GEOMETRY.fullmatch(key):
            continue
        if not (card.isascii() and card.isprintable()):
            return {}
        try:
            with quiet():
                value = fits.Card.fromstring(card).value
        except (ValueError, VerifyError):
            return {}
        words = key.startswith(("CTYPE", "RADESYS"))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) if words else number):
            return {}
        found[key] = value
    return found
