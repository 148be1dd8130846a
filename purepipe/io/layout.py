"""Where the HDUs of a FITS file lie, found from the headers alone; truncated files are refused.

The FITS library only warns when data are missing at the end of a file, and hands out HDUs that do
not exist in full. Here the size that the headers promise is compared with the size of the file.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from purepipe.errors import InputFileError

BLOCK = 2880
CARD = 80
HDUName = int | str
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)  # what unpacking raises
# Structural keywords and the extension name; everything else is left to the FITS library.
_WANTED = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "EXTNAME", "NEXTEND",
    "ZIMAGE", "ZNAXIS", "TFIELDS", "BSCALE", "BZERO", "BLANK",
)  # fmt: skip


@dataclass(frozen=True)
class HDULayout:
    """One HDU of a FITS file.

    Attributes
    ----------
    index
        Number of the HDU, 0 is the primary one.
    name
        EXTNAME, or an empty string.
    kind
        ``"image"``, ``"compressed image"``, ``"table"`` or ``"empty"``.
    shape
        Array shape (NAXISn reversed); for a table (rows, bytes per row).
    header_start, data_start
        Positions in the file, bytes.
    data_size
        Bytes of data, without the padding.
    bitpix
        Type of the numbers in the file: bits, negative for floating point.
    scaled
        Whether the numbers in the file are not the values: they are to be multiplied by BSCALE or
        shifted by BZERO, or are integers of which one, BLANK, stands for no value.
    """

    index: int
    name: str
    kind: str
    shape: tuple[int, ...]
    header_start: int
    data_start: int
    data_size: int
    bitpix: int
    scaled: bool

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """(ny, nx) of an HDU that holds a two-dimensional image, else None."""
        if "image" not in self.kind:
            return None
        shape = self.shape
        while len(shape) > 2 and shape[0] == 1:  # axes of length 1 carry no information
            shape = shape[1:]
        return (shape[0], shape[1]) if len(shape) == 2 else None

    @property
    def label(self) -> str:
        """Number and name, for messages."""
        return f"{self.index} '{self.name}'" if self.name else str(self.index)


def fits_layout(path: str | os.PathLike[str]) -> tuple[HDULayout, ...]:
    """All HDUs of a FITS file (plain, ``.fz`` or ``.gz``), with their shapes.

    Raises
    ------
    InputFileError
        The file is missing, is not a FITS file, or ends before its data do.
    """
    path = Path(path)
    with open_input(path) as stream:
        return stream_layout(stream, path)


def stream_layout(stream: BinaryIO, path: Path) -> tuple[HDULayout, ...]:
    """`fits_layout` of a file that is open; `path` is for messages.

    Raises
    ------
    InputFileError
        As `fits_layout`.
    """
    try:
        size = stream.seek(0, os.SEEK_END)
        return tuple(_hdus(stream, size, path))
    except _DAMAGED as error:
        raise truncated(path, None, "the gzip stream ends early or is damaged") from error


def find_hdu(
    layout: tuple[HDULayout, ...], hdu: HDUName, path: str | os.PathLike[str]
) -> HDULayout:
    """The HDU of a number or an EXTNAME (upper and lower case are the same).

    Raises
    ------
    InputFileError
        There is none; the message lists those that exist.
    """
    for item in layout:
        if item.index == hdu or (isinstance(hdu, str) and item.name.casefold() == hdu.casefold()):
            return item
    names = ", ".join(item.label for item in layout[:50])
    raise InputFileError(
        "the HDU does not exist", file=path, hdu=hdu, allowed=names,
        remedy="Choose one of these HDUs, or check that the file is complete.",
    )  # fmt: skip


def is_zipped(path: Path) -> bool:
    """Whether a file is compressed by gzip."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A data file opened for reading; gzip is unpacked on the way.

    Raises
    ------
    InputFileError
        The file is missing, a folder, or cannot be read; what is unpacked of it ends early.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if zipped:
                with gzip.open(raw, "rb") as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield raw
    except FileNotFoundError as error:
        raise InputFileError(
            "the file does not exist", file=path, remedy="Check the path and the folder."
        ) from error
    except IsADirectoryError as error:
        raise InputFileError(
            "this is a folder, a file is needed", file=path, remedy="Name one file in it."
        ) from error
    except PermissionError as error:
        raise InputFileError(
            "the file cannot be read", file=path, remedy="Check its permissions."
        ) from error
    except _DAMAGED as error:
        raise truncated(path, None, "the gzip stream ends early or is damaged") from error


def _hdus(stream: BinaryIO, size: int, path: Path) -> Iterator[HDULayout]:
    position, index, promised = 0, 0, 0
    while position < size:
        stream.seek(position)
        first = stream.read(CARD)
        if index == 0 and not first.startswith(b"SIMPLE  ="):
            raise InputFileError(
                "this is not a FITS file", file=path, got=f"{first[:20]!r} at its start",
                remedy="Give a FITS image or table; other formats must be converted first.",
            )  # fmt: skip
        if index > 0 and not first.startswith(b"XTENSION"[: len(first)]):
            break  # the standard allows other records after the last HDU
        stream.seek(position)
        cards, data_start = _header(stream, position, path, index)
        hdu = _describe(cards, index, position, data_start)
        position = data_start + -(-hdu.data_size // BLOCK) * BLOCK
        if data_start + hdu.data_size > size:
            lost = data_start + hdu.data_size - size
            raise truncated(path, hdu.label, f"{lost} of {hdu.data_size} bytes are missing")
        if position > size:  # the data are whole, but HDUs may have followed
            raise truncated(path, hdu.label, f"its last block ends {position - size} bytes early")
        if index == 0:
            promised = _integer(cards, "NEXTEND", 0)
        yield hdu
        index += 1
    if index == 0:
        raise InputFileError(
            "this is not a FITS file", file=path, got="an empty file", remedy="Fetch it again."
        )
    if index <= promised:
        raise truncated(path, None, f"NEXTEND promises {promised} extensions, {index - 1} exist")


def truncated(path: Path, hdu: str | None, got: str) -> InputFileError:
    """The error about a FITS file that has ended too early."""
    return InputFileError(
        "the FITS file is truncated", file=path, hdu=hdu, got=got,
        remedy="Fetch or write the file again; its remaining data are not used.",
    )  # fmt: skip


def _header(stream: BinaryIO, position: int, path: Path, index: int) -> tuple[dict[str, str], int]:
    """The structural cards of the header at the current position, and where its data start."""
    cards: dict[str, str] = {}
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK and b"END     " not in block:
            raise truncated(path, str(index), "the header has no END card")
        position += BLOCK
        for start in range(0, len(block), CARD):
            card = block[start : start + CARD].decode("latin-1")
            keyword = card[:8].rstrip()
            if keyword == "END":
                return cards, position
            if keyword.startswith(_WANTED) and card[8:9] == "=":
                cards.setdefault(keyword, _value(card[9:]))


def _value(text: str) -> str:
    text = text.strip()
    if text.startswith("'"):
        end = text.find("'", 1)
        return text[1 : end if end > 0 else None].rstrip()
    return text.split("/", 1)[0].strip()


def _integer(cards: dict[str, str], key: str, default: int) -> int:
    try:
        return int(cards.get(key, default))
    except ValueError:
        return default


def _number(cards: dict[str, str], key: str, default: float) -> float:
    """A number; NaN, which equals nothing, where it cannot be read."""
    try:
        return float(cards.get(key, default))
    except ValueError:
        return math.nan


def _describe(cards: dict[str, str], index: int, start: int, data_start: int) -> HDULayout:
    axes = [_integer(cards, f"NAXIS{i + 1}", 0) for i in range(_integer(cards, "NAXIS", 0))]
    random_groups = cards.get("GROUPS") == "T" and bool(axes) and axes[0] == 0
    elements = math.prod(axes[1:] if random_groups else axes) if axes else 0
    width = abs(_integer(cards, "BITPIX", 8)) // 8
    heap, groups = _integer(cards, "PCOUNT", 0), _integer(cards, "GCOUNT", 1)
    size = width * groups * (heap + elements) if axes else 0
    extension = cards.get("XTENSION", "IMAGE")
    kind = "image"
    if cards.get("ZIMAGE") == "T":
        kind = "compressed image"
        axes = [_integer(cards, f"ZNAXIS{i + 1}", 0) for i in range(_integer(cards, "ZNAXIS", 0))]
    elif extension in ("BINTABLE", "TABLE", "A3DTABLE"):
        kind = "table"
    elif not axes or 0 in axes:
        kind = "empty"
    return HDULayout(
        index, cards.get("EXTNAME", ""), kind, tuple(reversed(axes)), start, data_start, size,
        _integer(cards, "BITPIX", 8),
        _number(cards, "BSCALE", 1.0) != 1.0 or _number(cards, "BZERO", 0.0) != 0.0
        or ("BLANK" in cards and _integer(cards, "BITPIX", 8) > 0),
    )  # fmt: skip
