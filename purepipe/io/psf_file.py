"""PSF models in PSFEx's ``.psf`` files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from purepipe.errors import DataError, InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.images import hdu_of, open_fits, quiet
from purepipe.io.layout import BLOCK, HDULayout, fits_layout
from purepipe.psf.model import PSFModel

TABLE = "PSF_DATA"
PathName = str | os.PathLike[str]


def read_psf(path: PathName, extension: int = 0) -> PSFModel:
    """The PSF model of one image extension.

    Parameters
    ----------
    path
        File written by PSFEx or by `write_psf`.
    extension
        0-based number of the image extension.

    Raises
    ------
    InputFileError
        The file is missing, truncated, no ``.psf`` file, or has no such extension; a keyword is
        missing, or the data do not fit the keywords.
    """
    with open_fits(path) as file:
        tables = [item for item in file.layout if item.name == TABLE]
        if not tables:
            raise InputFileError(
                f"this is no .psf file: it has no table {TABLE}", file=path,
                remedy="Give the file that PSFEx or purepipe wrote for the PSF model.",
            )  # fmt: skip
        if not 0 <= extension < len(tables):
            raise InputFileError(
                "the file has no such extension", file=path, got=extension,
                allowed=f"0 to {len(tables) - 1}",
            )  # fmt: skip
        with hdu_of(file, tables[extension]) as hdu:
            return _read_model(hdu, path, tables[extension])


def _read_model(hdu: fits.BinTableHDU, path: PathName, item: HDULayout) -> PSFModel:
    header, raw = hdu.header, hdu.data
    columns = {name: np.ravel(raw[name]).astype(np.float32) for name in raw.names}
    try:
        return _model(header, columns)
    except KeyError as error:
        raise InputFileError(
            "a keyword or column of the PSF model is missing", file=path,
            hdu=item.label, key=error.args[0],
            remedy="The file is damaged or of another program; make the model again.",
        ) from error  # fmt: skip
    except (ValueError, DataError) as error:
        raise InputFileError(
            f"data and keywords of the PSF model disagree: {error}", file=path,
            hdu=item.label, remedy="Make the model again.",
        ) from error  # fmt: skip


def count_models(path: PathName) -> int:
    """Number of PSF models (image extensions) in a ``.psf`` file."""
    return sum(item.name == TABLE for item in fits_layout(path))


def write_psf(
    path: PathName,
    models: PSFModel | Sequence[PSFModel],
    *,
    provenance: Mapping[str, str | int] | None = None,
) -> None:
    """Write PSF models as PSFEx does, one table per image extension; equal input, equal bytes.

    Numbers in the header keep 8 decimals (13 digits for the contexts), as in PSFEx. `samples` is
    not stored. `provenance` becomes cards of the primary header.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header(provenance or {}))])
    for model in [models] if isinstance(models, PSFModel) else models:
        hdus.append(_hdu(model))
    with atomic_write(path) as scratch, quiet():
        hdus.writeto(scratch)


def _model(header: fits.Header, columns: dict[str, NDArray[np.float32]]) -> PSFModel:
    axes = [header[f"PSFAXIS{i + 1}"] for i in range(header["PSFNAXIS"])]
    width, height, planes = (*axes, 1)[:3]
    contexts = range(1, header["POLNAXIS"] + 1)
    # PSFEx fills the array of coefficients polynomial term fastest, whatever its TDIM says.
    coeffs = columns.get("PSF_COEFFS")
    return PSFModel(
        mask=columns["PSF_MASK"].reshape(planes, height, width),
        coeffs=None if coeffs is None else coeffs.reshape(-1, planes),
        contexts=tuple(str(header[f"POLNAME{i}"]).strip() for i in contexts),
        offsets=tuple(float(header[f"POLZERO{i}"]) for i in contexts),
        scales=tuple(float(header[f"POLSCAL{i}"]) for i in contexts),
        groups=tuple(int(header[f"POLGRP{i}"]) for i in contexts),
        degrees=tuple(int(header[f"POLDEG{i}"]) for i in range(1, header["POLNGRP"] + 1)),
        loaded=int(header["LOADED"]),
        accepted=int(header["ACCEPTED"]),
        chi2=float(header["CHI2"]),
        fwhm=float(header["PSF_FWHM"]),
        sampling=float(header["PSF_SAMP"]),
    )


def _hdu(model: PSFModel) -> fits.BinTableHDU:
    planes, height, width = model.mask.shape
    arrays = [("PSF_MASK", model.mask, (width, height, planes))]
    if model.coeffs is not None:
        arrays.append(("PSF_COEFFS", model.coeffs, model.coeffs.shape))
    data = b"".join(array.astype(">f4").tobytes() for _, array, _ in arrays)
    cards = [
        fits.Card("XTENSION", "BINTABLE", "binary table extension"),
        fits.Card("BITPIX", 8),
        fits.Card("NAXIS", 2),
        fits.Card("NAXIS1", len(data), "bytes per row"),
        fits.Card("NAXIS2", 1, "number of rows"),
        fits.Card("PCOUNT", 0),
        fits.Card("GCOUNT", 1),
        fits.Card("TFIELDS", len(arrays), "fields per row"),
        fits.Card("EXTNAME", TABLE, "name of this table"),
        *_cards(model),
    ]
    for i, (name, array, shape) in enumerate(arrays, start=1):
        cards += [
            fits.Card(f"TTYPE{i}", name),
            fits.Card(f"TFORM{i}", f"{array.size}E"),
            fits.Card(f"TDIM{i}", f"({', '.join(str(n) for n in shape)})"),
        ]
    # From bytes, because the FITS library would change the order of the cards.
    return fits.BinTableHDU.fromstring(
        fits.Header(cards).tostring().encode() + data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
    )


def _cards(model: PSFModel) -> list[fits.Card]:
    """The keywords in PSFEx's order and number formats."""
    planes, height, width = model.mask.shape
    cards = [
        _number("LOADED", str(model.loaded), "stars loaded"),
        _number("ACCEPTED", str(model.accepted), "stars left in the fit"),
        _number("CHI2", f"{model.chi2:.8f}", "mean reduced chi-square"),
        _number("POLNAXIS", str(len(model.contexts)), "number of contexts"),
    ]
    values = zip(model.groups, model.contexts, model.offsets, model.scales, strict=True)
    for i, (group, name, offset, scale) in enumerate(values, start=1):
        cards += [
            _number(f"POLGRP{i}", str(group), "polynomial group"),
            _text(f"POLNAME{i}", name, "context"),
            _number(f"POLZERO{i}", f"{offset:.12E}", "zero point of the context"),
            _number(f"POLSCAL{i}", f"{scale:.12E}", "scale of the context"),
        ]
    cards.append(_number("POLNGRP", str(len(model.degrees)), "number of polynomial groups"))
    for i, degree in enumerate(model.degrees, start=1):
        cards.append(_number(f"POLDEG{i}", str(degree), "degree of the group"))
    cards += [
        _number("PSF_FWHM", f"{model.fwhm:.8f}", "FWHM that steered the fit, image pixels"),
        _number("PSF_SAMP", f"{model.sampling:.8f}", "size of a model pixel, image pixels"),
        _number("PSFNAXIS", "3", "dimensions of PSF_MASK"),
    ]
    for i, length in enumerate((width, height, planes), start=1):
        cards.append(_number(f"PSFAXIS{i}", str(length), "length of this axis"))
    return cards


def _number(key: str, digits: str, comment: str) -> Any:
    # From text, because the FITS library would shorten 1.00000000 to 1.0.
    return fits.Card.fromstring(f"{key:<8}= {digits:>20} / {comment}".ljust(80))


def _text(key: str, value: str, comment: str) -> Any:
    return fits.Card(key, value, comment)
