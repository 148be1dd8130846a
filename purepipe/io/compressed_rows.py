"""Some rows of the compressed images that purepipe writes, unpacked without the FITS library.

The library takes several milliseconds to prepare for any compressed image. A mask is read once for
every block of objects, and of it a few rows only.
"""

from __future__ import annotations

import gzip
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from purepipe.io.layout import HDULayout

_TYPES = {8: ">u1", 16: ">i2", 32: ">i4"}
_DESCRIPTOR = 8  # bytes: length and place of a tile, 32 bits each
_SCALED = ("ZSCALE", "ZZERO", "ZBLANK", "BSCALE", "BZERO", "BLANK", "THEAP")


def compressed_rows(
    stream: BinaryIO, item: HDULayout, first: int, last: int
) -> NDArray[np.integer] | None:
    """Rows [first, last) of a compressed image.

    None for any image but one of integers without scaling, packed by GZIP_1 or GZIP_2 in tiles of
    whole rows, whose table holds nothing else: the FITS library reads those.

    Raises
    ------
    ValueError, OSError, EOFError, zlib.error
        The tiles are damaged.
    """
    stream.seek(item.header_start)
    header = fits.Header.fromstring(stream.read(item.data_start - item.header_start))
    if not _is_known(header):
        return None
    dtype, nx = np.dtype(_TYPES[header["ZBITPIX"]]), int(header["ZNAXIS1"])
    height = int(header.get("ZTILE2", 1))  # a row, where the header does not say
    low, high = first // height, -(-last // height)
    top = min(high * height, int(header["ZNAXIS2"]))
    lengths, places = _descriptors(stream, item, low, high)
    begin, end = int(places.min()), int((places + lengths).max())
    stream.seek(item.data_start + _DESCRIPTOR * int(header["NAXIS2"]) + begin)
    packed = stream.read(end - begin)
    rows = np.empty((top - low * height, nx), dtype.newbyteorder("="))
    for number, (length, place) in enumerate(zip(lengths, places - begin, strict=True)):
        part = rows[number * height : (number + 1) * height]
        raw = np.frombuffer(gzip.decompress(packed[place : place + length]), np.uint8)
        pixels = _joined(raw, dtype) if header["ZCMPTYPE"] == "GZIP_2" else raw.view(dtype)
        part[:] = pixels.reshape(part.shape)
    return rows[first - low * height : last - low * height]


def _joined(raw: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of which all first bytes come first, then all second ones, and so on."""
    planes = raw.reshape(dtype.itemsize, -1)
    numbers: NDArray[Any] = planes[0].astype(f"u{dtype.itemsize}")
    for plane in planes[1:]:
        numbers <<= 8
        numbers |= plane
    return numbers.view(dtype.newbyteorder("="))


def _is_known(header: fits.Header) -> bool:
    return (
        header.get("ZBITPIX") in _TYPES
        and header.get("ZCMPTYPE") in ("GZIP_1", "GZIP_2")
        and header.get("ZNAXIS") == 2
        and header.get("ZTILE1", header.get("ZNAXIS1")) == header.get("ZNAXIS1")
        and header.get("TFIELDS") == 1
        and str(header.get("TFORM1", "")).startswith("1PB")
        and not any(keyword in header for keyword in _SCALED)
    )


def _descriptors(
    stream: BinaryIO, item: HDULayout, low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lengths of the tiles and their places in the heap."""
    stream.seek(item.data_start + _DESCRIPTOR * low)
    pairs = np.frombuffer(stream.read(_DESCRIPTOR * (high - low)), ">i4").reshape(-1, 2)
    return pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
