"""FITS images read and written a few rows at a time, so that the whole is never in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from purepipe.errors import InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.images import card_text, clean_header, header_at, read_pixels, select_image
from purepipe.io.layout import BLOCK, CARD, HDULayout, HDUName, fits_layout

# SIMPLE, BITPIX, NAXIS, NAXIS1, NAXIS2, END
_STRUCTURE = 6
_STORED = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True, eq=False)
class ImageRows:
    """An open image.

    Attributes
    ----------
    shape
        (ny, nx).
    header
        Of its HDU.
    read
        ``read(first, last)`` gives the rows [first, last) in native byte order. The array is only
        valid until the second call from then: one part can be used while the next is read.
    """

    shape: tuple[int, int]
    header: fits.Header
    read: Callable[[int, int], NDArray[Any]]


@contextmanager
def open_rows(path: str | os.PathLike[str], hdu: HDUName | None = None) -> Iterator[ImageRows]:
    """An image opened to be read by rows; a compressed or scaled one is read at once.

    Parameters
    ----------
    path
        FITS file.
    hdu
        HDU number or EXTNAME; the first HDU with an image when not given.

    Raises
    ------
    InputFileError
        The file is missing, not FITS, truncated or damaged; the HDU is absent or has no image.
    """
    path = Path(path)
    item = select_image(fits_layout(path), hdu, path)
    shape = item.image_shape or (0, 0)
    header = header_at(path, item)
    if item.kind != "image" or _is_scaled(header) or _is_zipped(path):
        pixels, header = read_pixels(path, item)
        yield ImageRows(shape, header, lambda first, last: pixels[first:last])
        return
    with FileIO(path) as stream:
        dtype = np.dtype(_STORED[int(header["BITPIX"])])
        yield ImageRows(shape, header, _reader(stream, path, item, dtype))


def _is_scaled(header: fits.Header) -> bool:
    return bool(header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0)


def _is_zipped(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _reader(
    stream: FileIO, path: Path, item: HDULayout, dtype: np.dtype[Any]
) -> Callable[[int, int], NDArray[Any]]:
    nx = (item.image_shape or (0, 0))[1]
    stored = np.empty((0, nx), dtype)
    native = [np.empty((0, nx), dtype.newbyteorder("=")) for _ in range(2)]

    def read(first: int, last: int) -> NDArray[Any]:
        nonlocal stored
        n = last - first
        native.reverse()
        if len(stored) < n:
            stored = np.empty((n, nx), dtype)
        if len(native[0]) < n:
            native[0] = np.empty((n, nx), native[0].dtype)
        stream.seek(item.data_start + first * nx * dtype.itemsize)
        wanted = stored[:n].data.cast("B")
        got = 0
        while got < len(wanted):
            more = stream.readinto(wanted[got:])
            if not more:
                raise InputFileError(
                    "the file has become shorter while it was read", file=path, hdu=item.label,
                    remedy="Another program writes to it; run again when that is done.",
                )  # fmt: skip
            got += more
        np.copyto(native[0][:n], stored[:n])
        return native[0][:n]

    return read


@contextmanager
def image_by_rows(
    path: str | os.PathLike[str],
    shape: tuple[int, int],
    dtype: DTypeLike,
    header: fits.Header,
    *,
    more_cards: int = 0,
    durable: bool = True,
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """A function ``write(rows)`` that adds rows to a FITS image, complete or absent at the end.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced.
    shape
        (ny, nx) of the image, which is the primary HDU.
    dtype
        Type of the stored pixels: uint8, int16, int32, float32 or float64.
    header
        Cards to be kept. It is read when all rows are written, so that their results can be
        added to it.
    more_cards
        How many cards will be added at most.
    durable
        As for `purepipe.io.atomic.atomic_write`.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written, or the disk is full.
    """
    stored = np.dtype(dtype).newbyteorder(">")
    buffer = np.empty((0, shape[1]), stored)
    size = shape[0] * shape[1] * stored.itemsize
    with atomic_write(path, durable=durable) as scratch, FileIO(scratch, "w") as stream:
        blocks = -(-(len(header) + more_cards + _STRUCTURE) * CARD // BLOCK)
        stream.seek(blocks * BLOCK)

        def write(rows: NDArray[Any]) -> None:
            nonlocal buffer
            if len(buffer) < len(rows):
                buffer = np.empty(rows.shape, stored)
            np.copyto(buffer[: len(rows)], rows, casting="unsafe")
            _write_all(stream, buffer[: len(rows)].data.cast("B"))

        yield write
        _write_all(stream, memoryview(bytes(-size % BLOCK)))
        stream.seek(0)
        _write_all(stream, memoryview(_primary_header(header, shape, stored, blocks)))


def _write_all(stream: FileIO, data: memoryview) -> None:
    while len(data):
        data = data[stream.write(data) :]


def _primary_header(
    header: fits.Header, shape: tuple[int, int], dtype: np.dtype[Any], blocks: int
) -> bytes:
    """The header of a primary image in a number of blocks."""
    bits = dtype.itemsize * (-8 if dtype.kind == "f" else 8)
    structure = {"SIMPLE": "T", "BITPIX": bits, "NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0]}
    cards = [f"{key:8}= {value:>20}".ljust(CARD) for key, value in structure.items()]
    cards.append(card_text(clean_header(header)))
    # Blank cards before the last one fill the room that was not needed.
    text = "".join(cards).ljust(blocks * BLOCK - CARD) + "END".ljust(CARD)
    return text.encode("ascii")
