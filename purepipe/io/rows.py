"""FITS images read and written a few rows at a time, so that the whole is never in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from purepipe.errors import DataError, StoreError
from purepipe.io.atomic import atomic_write
from purepipe.io.images import (
    STORED,
    card_text,
    clean_header,
    header_at,
    read_into,
    read_pixels,
    select_image,
)
from purepipe.io.layout import BLOCK, CARD, HDULayout, HDUName, fits_layout, is_zipped
from purepipe.wcs import WCS

# In the order that the standard asks for; BITPIX comes next.
_PRIMARY = {"SIMPLE": "T", "BITPIX": 8}
_EXTENSION = {"XTENSION": "'IMAGE   '", "BITPIX": 8}


@dataclass(frozen=True, eq=False)
class ImageRows:
    """An open image.

    Attributes
    ----------
    shape
        (ny, nx).
    read
        ``read(first, last)`` gives the rows [first, last) in the byte order of the file. The array
        is only valid until the next call.
    read_header
        Gives the header of its HDU.
    """

    shape: tuple[int, int]
    read: Callable[[int, int], NDArray[Any]]
    read_header: Callable[[], fits.Header]

    @cached_property
    def header(self) -> fits.Header:
        """Header of the HDU, read when it is first asked for."""
        return self.read_header()

    @property
    def wcs(self) -> WCS | None:
        """World coordinates; None where the header has none."""
        try:
            return WCS.from_header(self.header, self.shape)
        except DataError:
            return None


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
    if item.kind != "image" or item.scaled or item.bitpix not in STORED or is_zipped(path):
        pixels, header = read_pixels(path, item)
        yield ImageRows(shape, lambda first, last: pixels[first:last], lambda: header)
        return
    with FileIO(path) as stream:
        read = _reader(stream, path, item, np.dtype(STORED[item.bitpix]))
        yield ImageRows(shape, read, partial(header_at, path, item))


def _reader(
    stream: FileIO, path: Path, item: HDULayout, dtype: np.dtype[Any]
) -> Callable[[int, int], NDArray[Any]]:
    nx = (item.image_shape or (0, 0))[1]
    stored = np.empty((0, nx), dtype)

    def read(first: int, last: int) -> NDArray[Any]:
        nonlocal stored
        n = last - first
        if len(stored) < n:
            stored = np.empty((n, nx), dtype)
        start = item.data_start + first * nx * dtype.itemsize
        read_into(stream.fileno(), stored[:n].data.cast("B"), start, path, item)
        return stored[:n]

    return read


AddImage = Callable[..., AbstractContextManager[Callable[[NDArray[Any]], None]]]


@contextmanager
def images_by_rows(
    path: str | os.PathLike[str] | None, *, extensions: int = 0, durable: bool = True
) -> Iterator[AddImage]:
    """A function that adds images to a FITS file, which is complete or absent at the end.

    ``with add(shape, dtype, header) as write:`` starts an image, to which each ``write(rows)``
    adds rows. `header` holds the cards to be kept; it is read when all rows are written, so that
    what was learnt from them can be put into it. It may by then have grown by ``more_cards=``.

    Parameters
    ----------
    path
        Final name, where an earlier file is replaced; None for images that are not wanted.
    extensions
        Number of images to come as extensions; 0 for one image in the primary HDU.
    durable
        As for `purepipe.io.atomic.atomic_write`.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written, the disk is full, or no image was added.
    """
    if path is None:
        yield lambda *_, **__: nullcontext(lambda rows: None)
        return
    with atomic_write(path, durable=durable) as scratch, FileIO(scratch, "w") as stream:
        if extensions:
            cards = fits.Header([("NEXTEND", extensions, "number of extensions")])
            _write_all(stream, _header_bytes(cards, {**_PRIMARY, "NAXIS": 0, "EXTEND": "T"}, 1))
        yield partial(_added, stream, extension=extensions > 0)
        if stream.tell() == 0:
            raise StoreError("nothing was written", file=path)


@contextmanager
def _added(
    stream: FileIO,
    shape: tuple[int, int],
    dtype: DTypeLike,
    header: fits.Header,
    *,
    extension: bool,
    more_cards: int = 0,
) -> Iterator[Callable[[NDArray[Any]], None]]:
    stored = np.dtype(dtype).newbyteorder(">")
    structure: dict[str, Any] = dict(_EXTENSION if extension else _PRIMARY)
    structure["BITPIX"] = stored.itemsize * (-8 if stored.kind == "f" else 8)
    structure |= {"NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0]}
    structure |= {"PCOUNT": 0, "GCOUNT": 1} if extension else {}
    n_cards = len(structure) + len(clean_header(header)) + more_cards + 1
    blocks = -(-n_cards * CARD // BLOCK)
    start = stream.tell()
    stream.seek(start + blocks * BLOCK)
    buffer = np.empty((0, shape[1]), stored)

    def write(rows: NDArray[Any]) -> None:
        nonlocal buffer
        if len(buffer) < len(rows):
            buffer = np.empty(rows.shape, stored)
        np.copyto(buffer[: len(rows)], rows, casting="unsafe")
        _write_all(stream, buffer[: len(rows)].data.cast("B"))

    yield write
    _write_all(stream, memoryview(bytes(-shape[0] * shape[1] * stored.itemsize % BLOCK)))
    end = stream.tell()
    stream.seek(start)
    _write_all(stream, _header_bytes(header, structure, blocks))
    stream.seek(end)


def _write_all(stream: FileIO, data: memoryview) -> None:
    while len(data):
        data = data[stream.write(data) :]


def _header_bytes(header: fits.Header, structure: Mapping[str, Any], blocks: int) -> memoryview:
    """A header that fills a number of blocks."""
    cards = [f"{key:8}= {value:>20}".ljust(CARD) for key, value in structure.items()]
    text = "".join(cards) + card_text(clean_header(header))
    # Blank cards before the last one fill blocks that were reserved and not needed.
    text = text.ljust((blocks - 1) * BLOCK) + "END".ljust(CARD)
    return memoryview(text.ljust(blocks * BLOCK).encode("ascii"))
