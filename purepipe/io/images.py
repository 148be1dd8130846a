"""FITS images: whole, by section, multi-extension or compressed; written atomically."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError, InputFileError, PurepipeError
from purepipe.io.atomic import atomic_write
from purepipe.io.compressed_rows import compressed_rows
from purepipe.io.layout import (
    BLOCK,
    HDULayout,
    HDUName,
    find_hdu,
    fits_layout,
    open_input,
    stream_layout,
)

# Types of the pixels of an image that is stored as it is, by BITPIX.
STORED = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
# Rows of a compressed image that are packed together: a section of some rows is read in few pieces.
_TILE_ROWS = 32


def read_image(
    path: str | os.PathLike[str], hdu: HDUName | None = None
) -> tuple[NDArray[Any], fits.Header]:
    """The pixels and the header of one two-dimensional image.

    Parameters
    ----------
    path
        FITS file: plain, tile-compressed (``.fz``) or gzipped.
    hdu
        HDU number (0 is the primary one) or EXTNAME; the first HDU with an image when not given.

    Returns
    -------
    array, header
        (ny, nx) array in native byte order, BSCALE and BZERO applied, and the header of the HDU.

    Raises
    ------
    InputFileError
        The file is missing, not FITS, truncated or damaged; the HDU is absent or has no image.
    """
    with open_fits(path) as file:
        item = select_image(file.layout, hdu, file.path)
        with hdu_of(file, item) as opened:
            return _native(opened.data.reshape(_shape(item))), _parsed(opened.header)


def read_section(
    path: str | os.PathLike[str], hdu: HDUName | None, y0: int, y1: int, x0: int, x1: int
) -> NDArray[Any]:
    """The pixels [y0:y1, x0:x1] of an image, without reading the rest of it.

    Parameters
    ----------
    path, hdu
        As for `read_image`.
    y0, y1, x0, x1
        0-based, the ends excluded; must lie inside the image.

    Raises
    ------
    InputFileError
        As `read_image`.
    DataError
        The section is empty or leaves the image.
    """
    with open_fits(path) as file:
        return section_of(file, hdu, y0, y1, x0, x1)


@dataclass(frozen=True, eq=False)
class FitsFile:
    """A FITS file held open by `open_fits`, so that several parts cost one opening.

    Attributes
    ----------
    path
        Its name.
    stream
        The open file.
    layout
        Its HDUs, as `fits_layout` finds them.
    hdus
        The FITS library's list, whose headers are read when asked for.
    """

    path: Path
    stream: BinaryIO
    layout: tuple[HDULayout, ...]
    hdus: fits.HDUList


@contextmanager
def open_fits(path: str | os.PathLike[str]) -> Iterator[FitsFile]:
    """A FITS file opened once; its layout is checked, its data are read later and in parts.

    Raises
    ------
    InputFileError
        The file is missing, not FITS, or truncated.
    """
    path = Path(path)
    with open_input(path) as stream:
        layout = stream_layout(stream, path)
        stream.seek(0)
        with damage_named(path, layout[0]), quiet():
            hdus = fits.open(stream, memmap=False, lazy_load_hdus=True)
        with hdus:
            yield FitsFile(path, stream, layout, hdus)


@contextmanager
def hdu_of(file: FitsFile, item: HDULayout) -> Iterator[Any]:
    """One HDU of an open file; damage found while it is read becomes an InputFileError."""
    with damage_named(file.path, item), quiet():
        if item.kind != "compressed image":
            yield file.hdus[item.index]
            return
        # Alone, because the library takes long over each compressed HDU before this one.
        with fits.open(BytesIO(_extension(file.stream, item)), memmap=False) as alone:
            yield alone[1]


@contextmanager
def rows_of(file: FitsFile, item: HDULayout, rows: tuple[int, int]) -> Iterator[Any]:
    """Some rows of a table of an open file, as an HDU; the others are not read.

    Raises
    ------
    DataError
        The table has no such rows.
    """
    count, width = item.shape
    first, last = rows
    if not 0 <= first <= last <= count:
        raise DataError(
            "the table has no such rows", file=file.path, hdu=item.label, got=f"{first} to {last}",
            allowed=f"0 to {count}",
        )  # fmt: skip
    with damage_named(file.path, item), quiet():
        file.stream.seek(item.header_start)
        raw = file.stream.read(item.data_start - item.header_start)
        header = fits.Header.fromstring(raw)
        header["NAXIS2"], header["PCOUNT"] = last - first, 0
        file.stream.seek(item.data_start + first * width)
        data = file.stream.read((last - first) * width)
        data = data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
        yield fits.BinTableHDU.fromstring(header.tostring().encode() + data)


def pixels_of(file: FitsFile, hdu: HDUName | None = None) -> NDArray[Any]:
    """The pixels of one image of an open file.

    Raises
    ------
    InputFileError
        As `read_image`.
    """
    item = select_image(file.layout, hdu, file.path)
    with hdu_of(file, item) as opened:
        return _native(opened.data.reshape(_shape(item)))


def shape_of(file: FitsFile, hdu: HDUName | None = None) -> tuple[int, int]:
    """(ny, nx) of an image of an open file."""
    return _shape(select_image(file.layout, hdu, file.path))


def section_of(
    file: FitsFile, hdu: HDUName | None, y0: int, y1: int, x0: int, x1: int
) -> NDArray[Any]:
    """`read_section` of an open file.

    Raises
    ------
    InputFileError, DataError
        As `read_section`.
    """
    item = select_image(file.layout, hdu, file.path)
    ny, nx = _shape(item)
    if not (0 <= y0 < y1 <= ny and 0 <= x0 < x1 <= nx):
        raise DataError(
            "the section is empty or leaves the image", file=file.path, hdu=item.label,
            got=f"[{y0}:{y1}, {x0}:{x1}]", allowed=f"within [0:{ny}, 0:{nx}]",
        )  # fmt: skip
    plain = item.kind == "image" and not item.scaled and item.bitpix in STORED
    if plain and isinstance(file.stream, BufferedReader):  # not one that unpacks gzip
        return _native(_stored_section(file, item, (y0, y1), (x0, x1), nx))
    if item.kind == "compressed image":
        with damage_named(file.path, item):
            rows = compressed_rows(file.stream, item, y0, y1)
        if rows is not None:
            return _native(rows[:, x0:x1])
    with hdu_of(file, item) as opened:
        extra = (0,) * (len(item.shape) - 2)
        return _native(opened.section[(*extra, slice(y0, y1), slice(x0, x1))])


def _stored_section(
    file: FitsFile, item: HDULayout, rows: tuple[int, int], columns: tuple[int, int], nx: int
) -> NDArray[Any]:
    """Pixels as they are stored; of rows that are not wanted whole, no more than that is read."""
    dtype = np.dtype(STORED[item.bitpix])
    (y0, y1), (x0, x1) = rows, columns
    section = np.empty((y1 - y0, x1 - x0), dtype)
    pieces = [section] if x1 - x0 == nx else section
    for number, piece in enumerate(pieces):
        start = item.data_start + ((y0 + number) * nx + x0) * dtype.itemsize
        read_into(file.stream.fileno(), piece.data.cast("B"), start, file.path, item)
    return section


def read_into(descriptor: int, wanted: memoryview, start: int, path: Path, item: HDULayout) -> None:
    """Fill a piece of memory with the bytes of a file from `start` on.

    Raises
    ------
    InputFileError
        The file ends before.
    """
    got = 0
    while got < len(wanted):
        more = os.preadv(descriptor, [wanted[got:]], start + got)
        if not more:
            raise InputFileError(
                "the file has become shorter while it was read", file=path, hdu=item.label,
                remedy="Another program writes to it; run again when that is done.",
            )  # fmt: skip
        got += more


def read_header(path: str | os.PathLike[str], hdu: HDUName | None = 0) -> fits.Header:
    """The header of one HDU; for a compressed image, the header of the image in it.

    Parameters
    ----------
    hdu
        HDU number or EXTNAME; None for the first HDU with an image, which is not the primary one
        in a compressed file.

    Raises
    ------
    InputFileError
        The file is missing, not FITS or truncated, or the HDU is absent.
    """
    path = Path(path)
    layout = fits_layout(path)
    item = select_image(layout, None, path) if hdu is None else find_hdu(layout, hdu, path)
    return header_at(path, item)


def image_shape(path: str | os.PathLike[str], hdu: HDUName | None = None) -> tuple[int, int]:
    """(ny, nx) of an image, from the headers alone; the first image when no HDU is named.

    Raises
    ------
    InputFileError
        As `read_image`.
    """
    path = Path(path)
    return _shape(select_image(fits_layout(path), hdu, path))


def list_ccds(path: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """HDU number and EXTNAME (possibly empty) of every two-dimensional image in a FITS file.

    Raises
    ------
    InputFileError
        The file is missing, not FITS, or truncated.
    """
    return [(item.index, item.name) for item in fits_layout(path) if item.image_shape]


def write_image(
    path: str | os.PathLike[str],
    array: ArrayLike,
    header: fits.Header | str | Mapping[str, Any] | None = None,
    *,
    compress: bool = False,
) -> None:
    """Write one image as a FITS file that is either complete or absent.

    Parameters
    ----------
    path
        Final name; an earlier file is replaced.
    array
        (ny, nx); integers and floats keep their type, truth values become uint8.
    header
        Cards to be kept: an astropy header, its cards as text, or keyword-value pairs. The cards
        that describe the array are made anew.
    compress
        Write a tile-compressed image (GZIP_2, lossless) in HDU 1 instead of a plain primary one.

    Raises
    ------
    DataError
        The array is not two-dimensional or not numeric.
    StoreError
        The folder is missing or cannot be written.
    """
    array = np.asarray(array)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise DataError(
            "only a two-dimensional image of numbers can be written", file=path,
            got=f"{array.dtype} of shape {array.shape}",
        )  # fmt: skip
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    kept = clean_header(header)
    if compress:
        image = fits.CompImageHDU(
            array, kept, compression_type="GZIP_2", quantize_level=0.0,
            tile_shape=(min(_TILE_ROWS, array.shape[0]), array.shape[1]),
            name=kept.get("EXTNAME", ""),
        )  # fmt: skip
        hdus = fits.HDUList([fits.PrimaryHDU(), image])
    else:
        hdus = fits.HDUList([fits.PrimaryHDU(array, kept)])
    with atomic_write(path) as scratch, quiet():
        hdus.writeto(scratch, output_verify="fix")
        if compress:
            _clear_timestamps(scratch)


def _clear_timestamps(path: Path) -> None:
    """Set the time of day in the gzip header of each tile to zero: equal input, equal bytes."""
    item = fits_layout(path)[1]
    with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
        rows = hdus[1].data.view(np.ndarray)
        offsets = rows["COMPRESSED_DATA"][:, 1].astype(np.int64)
        heap = item.data_start + int(hdus[1].header.get("THEAP", rows.nbytes))
    with path.open("r+b") as stream:
        for offset in offsets:
            stream.seek(heap + int(offset))
            if stream.read(2) == b"\x1f\x8b":
                stream.seek(heap + int(offset) + 4)  # RFC 1952: MTIME follows ID1, ID2, CM, FLG
                stream.write(b"\0\0\0\0")


def clean_header(header: fits.Header | str | Mapping[str, Any] | None) -> fits.Header:
    """A copy of a header without the cards that describe the array and its storage."""
    if header is None:
        return fits.Header()
    if isinstance(header, str):
        kept = fits.Header.fromstring(header)
    elif isinstance(header, fits.Header):
        kept = header.copy()
    else:
        kept = fits.Header()
        for key, value in header.items():
            kept[key] = value
    kept.strip()
    for key in ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM", "ZCMPTYPE"):
        kept.remove(key, ignore_missing=True, remove_all=True)
    return kept


def card_text(header: fits.Header) -> str:
    """The cards of a header as text, 80 characters each, without END and padding."""
    with quiet():
        return str(header.tostring(sep="", endcard=False, padding=False))


def select_image(
    layout: tuple[HDULayout, ...], hdu: HDUName | None, path: str | os.PathLike[str]
) -> HDULayout:
    """The HDU with a two-dimensional image: the one asked for, or the first."""
    if hdu is not None:
        item = find_hdu(layout, hdu, path)
        if item.image_shape is None:
            held = f"{item.kind} of shape {item.shape}" if item.shape else "no data"
            images = ", ".join(other.label for other in layout if other.image_shape)
            raise InputFileError(
                "the HDU holds no two-dimensional image", file=path, hdu=item.label, got=held,
                remedy=f"HDUs with images: {images}." if images else "The file holds no image.",
            )  # fmt: skip
        return item
    for item in layout:
        if item.image_shape is not None:
            return item
    raise InputFileError(
        "no HDU holds a two-dimensional image", file=path,
        got=", ".join(f"HDU {item.label}: {item.kind}" for item in layout),
        remedy="Give the image, not a catalogue made from it.",
    )  # fmt: skip


def _shape(item: HDULayout) -> tuple[int, int]:
    shape = item.image_shape
    assert shape is not None  # noqa: S101 - select_image has seen to it
    return shape


def read_pixels(path: Path, item: HDULayout) -> tuple[NDArray[Any], fits.Header]:
    """The pixels and the header of an image whose place is known."""
    with open_hdu(path, item) as opened:
        return _native(opened.data.reshape(-1, *_shape(item))[0]), _parsed(opened.header)


def header_at(path: Path, item: HDULayout) -> fits.Header:
    """The header of an HDU whose place is known."""
    if item.kind == "compressed image":
        with open_hdu(path, item) as opened:
            return _parsed(opened.header)
    with open_input(path) as stream:
        stream.seek(item.header_start)
        raw = stream.read(item.data_start - item.header_start)
    with damage_named(path, item), quiet():
        return _parsed(fits.Header.fromstring(raw))


@contextmanager
def open_hdu(path: Path, item: HDULayout) -> Iterator[Any]:
    """The HDU as the FITS library sees it; its complaints about damaged data become errors."""
    # Compressed HDUs alone, because the library takes long over each of them before this one.
    alone = item.kind == "compressed image"
    source = nullcontext(BytesIO(_alone(path, item))) if alone else open_input(path)
    number = 1 if alone else item.index
    # Read, not mapped: a mapped file that another program shortens ends the process. Opened here,
    # because the library leaves a damaged file open.
    with (
        damage_named(path, item),
        quiet(),
        source as stream,
        fits.open(stream, memmap=False, lazy_load_hdus=True) as hdus,
    ):
        yield hdus[number]


@contextmanager
def damage_named(path: str | os.PathLike[str], item: HDULayout) -> Iterator[None]:
    """Errors of the FITS library about one HDU, as InputFileError."""
    try:
        yield
    except PurepipeError:
        raise
    # For damaged bytes the library raises almost anything, also classes without a public name.
    except Exception as error:
        raise InputFileError(
            f"the HDU cannot be decoded: {error}", file=path, hdu=item.label,
            remedy="The file is damaged; fetch or write it again.",
        ) from error  # fmt: skip


def _parsed(header: fits.Header) -> fits.Header:
    """A copy whose cards were all read once, so that a damaged one is found here, not later."""
    for card in header.cards:
        _ = card.value
    return header.copy()


def _alone(path: Path, item: HDULayout) -> bytes:
    """A FITS file, in memory, of an empty primary HDU and one extension."""
    with open_input(path) as stream:
        return _extension(stream, item)


def _extension(stream: BinaryIO, item: HDULayout) -> bytes:
    stream.seek(item.header_start)
    raw = stream.read(item.data_start - item.header_start + item.data_size)
    primary: bytes = fits.PrimaryHDU().header.tostring().encode()
    return primary + raw.ljust(-(-len(raw) // BLOCK) * BLOCK, b"\0")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence about small offences against the standard; `fits_layout` finds the lost data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        yield


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
