"""Check-images and kernels of PSF models, as PSFEx writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from purepipe.errors import InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.images import open_hdu, quiet
from purepipe.io.layout import fits_layout
from purepipe.psf.model import PSFModel

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
        with quiet():
            source = fits.Header.fromstring(text)
            hdu = fits.PrimaryHDU(data) if single else fits.ImageHDU(data)
            if not single:
                hdu.header["EXTNAME"] = (f"chip{number:02d}", "name of this image")
            if data.ndim == 2:
                hdu.header.extend(_scaled_wcs(source, (data.shape[0], data.shape[1])))
        hdu.header["PSF_SAMP"] = (round(step, 8), "size of a model pixel, image pixels")
        hdus.append(hdu)
    with atomic_write(path) as scratch, quiet():
        hdus.writeto(scratch)


def ccd_shape(text: str) -> tuple[int, int] | None:
    """(ny, nx) of the CCD whose header cards `text` holds; None where they do not say."""
    with quiet():
        header = fits.Header.fromstring(text)
    size = header.get("NAXIS2"), header.get("NAXIS1")
    return (size[0], size[1]) if all(isinstance(n, int) and n > 1 for n in size) else None


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


def _scaled_wcs(source: fits.Header, shape: tuple[int, int]) -> list[tuple[str, Any, str]]:
    """World coordinates by which an image of `shape` lies on the sky where the CCD does."""
    ccd = ccd_shape(source.tostring(padding=False))
    if ccd is None or "CTYPE1" not in source:
        return []
    size = ccd[::-1]
    scale = shape[1] / size[0]
    cards: list[tuple[str, Any, str]] = []
    for card in source.cards:
        key, value = card.keyword, card.value
        if key in ("CRPIX1", "CRPIX2"):
            axis = int(key[-1]) - 1
            value = (value - size[axis] / 2) * scale + shape[1 - axis] / 2 + 0.5
        elif key.startswith(("CD1_", "CD2_", "CDELT")):
            value = value / scale
        elif not key.startswith(("CTYPE", "CRVAL", "PV1_", "PV2_", "EQUINOX", "RADESYS")):
            continue
        cards.append((key, value, card.comment))
    return cards
