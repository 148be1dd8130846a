"""Exposures from files: image, weight and flag maps that belong together."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from purepipe.errors import DataError, InputFileError
from purepipe.exposure import Exposure, WeightKind, known_kind
from purepipe.io.images import card_text, header_at, quiet, read_pixels, select_image
from purepipe.io.layout import HDULayout, HDUName, fits_layout
from purepipe.wcs import WCS

PathName = str | os.PathLike[str]


@dataclass(frozen=True)
class HeaderKeywords:
    """Header keywords of the calibration, in order of preference.

    Attributes
    ----------
    gain
        Electrons per ADU; 0 (no photon noise) when absent.
    saturation
        ADU; infinite when absent.
    flux_scale
        Factor to the flux scale of the tile; 1 when absent.
    zero_point
        Magnitude of one ADU; 0 when absent.
    """

    gain: tuple[str, ...] = ("GAIN",)
    saturation: tuple[str, ...] = ("SATURATE",)
    flux_scale: tuple[str, ...] = ("FSCALE", "FLXSCALE")
    zero_point: tuple[str, ...] = ("MAGZP", "MAGZERO", "ZP", "PHOT_C")


def read_exposure(
    image_path: PathName,
    *,
    hdu: HDUName | None = None,
    weight_path: PathName | None = None,
    weight_kind: WeightKind | str | None = None,
    flag_path: PathName | None = None,
    zero_point: float | None = None,
    weight_hdu: HDUName | None = None,
    flag_hdu: HDUName | None = None,
    keywords: HeaderKeywords = HeaderKeywords(),
) -> Exposure:
    """One CCD or tile with its weight and flag maps, calibration and world coordinates.

    Parameters
    ----------
    image_path
        FITS file; `hdu` chooses the image in it (default: the first).
    weight_path, weight_kind
        Weight map and what its numbers mean; the kind is required with a weight.
    flag_path
        Integer map of external flags.
    zero_point
        Magnitude of one ADU; overrides the header.
    weight_hdu, flag_hdu
        Where they differ from `hdu`; a file with a single image needs none.
    keywords
        Header keywords of the calibration. A keyword that the HDU lacks is looked up in the
        primary header. What is nowhere keeps the default of `HeaderKeywords`.

    Raises
    ------
    InputFileError
        A file is missing, not FITS, truncated; an HDU is absent or has another size than the
        image; a calibration value is not a number.
    DataError
        A weight without kind.
    """
    layout = fits_layout(image_path)
    item = select_image(layout, hdu, image_path)
    array, header = read_pixels(Path(image_path), item)
    name = f"{Path(image_path).name}[{item.label}]"
    if weight_path is not None and weight_kind is None:
        raise DataError(
            "a weight map needs its kind", file=weight_path, key="weight_kind",
            allowed=", ".join(WeightKind),
            remedy="Say what the numbers mean; purepipe does not guess.",
        )  # fmt: skip
    weight = flags = None
    if weight_path is not None:
        weight = _companion(weight_path, weight_hdu, item, array.shape, image_path)
    if flag_path is not None:
        flags = whole_numbers(
            _companion(flag_path, flag_hdu, item, array.shape, image_path), flag_path
        )
    primary = header_at(Path(image_path), layout[0]) if item.index > 0 else header
    if zero_point is None:
        zero_point = _number((header, primary), keywords.zero_point, 0.0, image_path)
    return Exposure(
        image=array.astype(np.float32, copy=False),
        weight=weight,
        weight_kind=None if weight is None else known_kind(weight_kind),
        flags=flags,
        wcs=_coordinates(header, (array.shape[0], array.shape[1]), image_path),
        gain=_number((header, primary), keywords.gain, 0.0, image_path),
        saturation=_number((header, primary), keywords.saturation, math.inf, image_path),
        zero_point=float(zero_point),
        flux_scale=_number((header, primary), keywords.flux_scale, 1.0, image_path),
        name=name,
        header=card_text(header),
    )


def check_ccd_files(
    image: PathName, weight: PathName | None = None, flag: PathName | None = None
) -> list[tuple[int, str]]:
    """HDU number and EXTNAME of the CCDs that image, weight and flag files have in common.

    Only headers are read. The CCDs are tied by their order in the files.

    Raises
    ------
    InputFileError
        A file is missing, not FITS, truncated, without images; the files hold different numbers
        of CCDs, the same names in another order, or CCDs of different sizes.
    """
    ccds = [item for item in fits_layout(image) if item.image_shape]
    if not ccds:
        select_image(fits_layout(image), None, image)
    for path, what in ((weight, "weight"), (flag, "flag")):
        if path is not None:
            _compare(
                ccds, [item for item in fits_layout(path) if item.image_shape], image, path, what
            )
    return [(item.index, item.name) for item in ccds]


def _compare(
    ccds: list[HDULayout], others: list[HDULayout], image: PathName, path: PathName, what: str
) -> None:
    if len(ccds) != len(others):
        raise InputFileError(
            f"the {what} file holds another number of CCDs than {Path(image).name}", file=path,
            got=f"{len(others)} HDUs with images", allowed=str(len(ccds)),
            remedy="One of the two files is incomplete or of another exposure; fetch both again.",
        )  # fmt: skip
    names = {item.name.casefold() for item in ccds}
    same_names = names == {item.name.casefold() for item in others} and len(names) == len(ccds)
    for item, other in zip(ccds, others, strict=True):
        if same_names and item.name.casefold() != other.name.casefold():
            raise InputFileError(
                f"the CCDs are in another order than in {Path(image).name}", file=path,
                hdu=other.index, got=other.name, allowed=item.name,
                remedy="Sort the HDUs of the two files alike.",
            )  # fmt: skip
        if item.image_shape != other.image_shape:
            raise _wrong_size(path, other, item.image_shape or (0, 0), image)


def _wrong_size(
    path: PathName, item: HDULayout, shape: tuple[int, ...], image: PathName
) -> InputFileError:
    got = item.image_shape or (0, 0)
    return InputFileError(
        f"the map has another size than the image {Path(image).name}", file=path, hdu=item.label,
        got=f"{got[1]} x {got[0]} pixels", allowed=f"{shape[1]} x {shape[0]} pixels",
        remedy="Give the map that belongs to this CCD.",
    )  # fmt: skip


def _companion(
    path: PathName,
    hdu: HDUName | None,
    of: HDULayout,
    shape: tuple[int, ...],
    image_path: PathName,
) -> NDArray[Any]:
    """The weight or flag map of the image HDU `of`."""
    layout = fits_layout(path)
    images = [item for item in layout if item.image_shape]
    if hdu is None:
        # A file with one image can be meant for no other CCD; its HDU number does not matter.
        hdu = images[0].index if len(images) == 1 else of.index
    item = select_image(layout, hdu, path)
    if item.image_shape != shape:
        raise _wrong_size(path, item, shape, image_path)
    return read_pixels(Path(path), item)[0]


def whole_numbers(flags: NDArray[Any], path: PathName) -> NDArray[np.int32]:
    """External flags as int32, refused when a value would change."""
    converted = np.nan_to_num(flags, nan=0.5).astype(np.int64)
    limit = np.iinfo(np.int32)
    if not np.array_equal(converted, flags) or (
        converted.size and (converted.min() < limit.min or converted.max() > limit.max)
    ):
        raise InputFileError(
            "the flag map must hold whole numbers of at most 31 bits", file=path,
            got=f"{flags.dtype} values {flags.min()} to {flags.max()}",
            remedy="Give the flag map, not the weight map.",
        )  # fmt: skip
    whole: NDArray[np.int32] = converted.astype(np.int32)
    return whole


def _number(
    headers: Iterable[fits.Header], keys: tuple[str, ...], default: float, path: PathName
) -> float:
    for header in headers:
        for key in keys:
            if key not in header:
                continue
            value = header[key]
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InputFileError(
                    "the header value must be a number", file=path, key=key, got=repr(value),
                    remedy="Correct the header, or name another keyword for it.",
                )  # fmt: skip
            return float(value)
    return default


def _coordinates(header: fits.Header, shape: tuple[int, int], path: PathName) -> WCS | None:
    """World coordinates when the header has any; a damaged set is an error."""
    if not re.match(r"RA|DEC|.LON|.LAT", str(header.get("CTYPE1", ""))):
        return None
    try:
        with quiet():
            return WCS.from_header(header, shape)
    except DataError as error:
        error.file = str(path)
        raise
