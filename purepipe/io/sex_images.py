"""Images for ``purepipe sex``: every image of a file in turn, companions, check-images."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from purepipe._threads import in_threads
from purepipe.errors import InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.cards import (
    bitpix,
    card,
    card_number,
    change_card,
    data_blocks,
    find_card,
    header_block,
    split_cards,
)
from purepipe.io.layout import (
    CARD,
    HDULayout,
    find_hdu,
    fits_layout,
    is_zipped,
    open_input,
    truncated,
)

log = logging.getLogger(__name__)

_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
PIECE = 1 << 18  # pixels that are read at a time: they stay in the processor's cache
_SELECTED = re.compile(r"(.+)\[(\d+)\]")
WriteCheck = Callable[[NDArray[Any], Sequence[str]], None]


@dataclass(frozen=True)
class ImageName:
    """A FITS file and, as in ``file.fits[2]``, the number of one HDU of it."""

    path: Path
    hdu: int | None = None

    def __str__(self) -> str:
        """As on the command line."""
        return str(self.path) if self.hdu is None else f"{self.path}[{self.hdu}]"


def image_name(text: str) -> ImageName:
    """The file and the HDU that a word like ``file.fits[2]`` names."""
    match = _SELECTED.fullmatch(text)
    if match is None or Path(text).exists():
        return ImageName(Path(text))
    return ImageName(Path(match[1]), int(match[2]))


def images_of(name: ImageName) -> tuple[HDULayout, ...]:
    """The images to be processed: the selected HDU, or all HDUs with two-dimensional images.

    Raises
    ------
    InputFileError
        The file is missing, truncated or not FITS; the HDU is absent; there is no image.
    """
    layout = fits_layout(name.path)
    if name.hdu is not None:
        chosen: tuple[HDULayout, ...] = (find_hdu(layout, name.hdu, name.path),)
    else:
        chosen = layout
    images = tuple(_first_plane(item, name) for item in chosen if _is_image(item))
    if not images:
        raise InputFileError(
            "no HDU holds a two-dimensional image", file=name.path, hdu=name.hdu,
            got=", ".join(f"HDU {item.label}: {item.kind}" for item in chosen),
            remedy="Give the image, not a catalogue made from it.",
        )  # fmt: skip
    return images


def _is_image(item: HDULayout) -> bool:
    return "image" in item.kind and len(item.shape) >= 2 and 0 not in item.shape


def _first_plane(item: HDULayout, name: ImageName) -> HDULayout:
    """The image, or, as the original has it, the first plane of a cube."""
    if item.image_shape:
        return item
    log.warning(
        "%s: HDU %s has %d axes: only its first plane is used", name, item.label, len(item.shape)
    )
    return replace(item, shape=item.shape[-2:])


def companion_of(
    name: ImageName, images: Sequence[HDULayout], number: int, of: ImageName, total: int
) -> HDULayout:
    """The HDU of a weight, flag or detection file that belongs to image `number` (from 0).

    `images` are those of the file; `of` is the image file, in which `total` images are processed.

    Raises
    ------
    InputFileError
        The file holds fewer images, or several for one image.
    """
    if len(images) == 1 and total == 1:
        return images[0]
    if total == 1 and name.hdu is None:
        # The original takes the first one here, whichever HDU of the image was chosen.
        raise InputFileError(
            f"the file holds several images, and one is needed for {of}", file=name.path,
            got=f"{len(images)} images", remedy=f"Choose one, as in {name.path}[1].",
        )  # fmt: skip
    if number >= len(images):
        raise InputFileError(
            f"too few images for {of}", file=name.path, got=len(images), allowed=total,
            remedy="Give a file with one image for each image.",
        )  # fmt: skip
    return images[number]


def read_image_cards(name: ImageName, item: HDULayout) -> list[str]:
    """The cards of the header of an image, untouched, also those that break the standard."""
    if item.kind != "image":
        from purepipe.io.images import card_text, header_at  # slow to import

        return split_cards(card_text(header_at(name.path, item)))
    with open_input(name.path) as stream:
        stream.seek(item.header_start)
        return split_cards(stream.read(item.data_start - item.header_start).decode("latin-1"))


def read_float_image(name: ImageName, item: HDULayout, *, threads: int = 1) -> NDArray[np.float32]:
    """The pixels of an image, scaled, as float32."""
    kind = _plain_type(name, item)
    if kind is None:
        from purepipe.io.images import read_pixels  # slow to import

        return np.asarray(read_pixels(name.path, item)[0], np.float32)
    return _read_plain(name, item, kind, np.dtype(np.float32), threads)


def read_flag_image(name: ImageName, item: HDULayout, *, threads: int = 1) -> NDArray[np.integer]:
    """The pixels of a flag map, as at most 32 bits; those of a plain file in their own type.

    Raises
    ------
    InputFileError
        The numbers are not whole, or have more than 31 bits.
    """
    kind = _plain_type(name, item)
    if kind is not None:
        # Not mapped: a file that is cut while it is used would end the program.
        pixels = _read_plain(name, item, kind, kind.newbyteorder("="), threads)
    else:
        from purepipe.io.images import read_pixels  # slow to import

        pixels = read_pixels(name.path, item)[0]
    if np.can_cast(pixels.dtype, np.int32):
        return pixels
    from purepipe.io.exposures import whole_numbers  # slow to import

    return whole_numbers(pixels, name.path)


def _plain_type(name: ImageName, item: HDULayout) -> np.dtype[Any] | None:
    """Type of the pixels in the file; None for those that need the detour over the FITS library."""
    cards = read_image_cards(name, item)
    code = int(card_number(cards, "BITPIX") or 0)
    scaled = any(find_card(cards, keyword) is not None for keyword in ("BSCALE", "BZERO", "BLANK"))
    if item.kind != "image" or scaled or code not in _TYPES:
        return None
    return np.dtype(_TYPES[code])


def _read_plain(
    name: ImageName, item: HDULayout, kind: np.dtype[Any], wanted: np.dtype[Any], threads: int
) -> NDArray[Any]:
    """Pixels of a plain image, converted piece by piece: a large image is in memory once only."""
    pixels = np.empty(item.image_shape or (0, 0), wanted)
    flat = pixels.reshape(-1)

    def some(first: int, last: int) -> None:
        piece = np.empty(min(PIECE, last - first), kind)
        with open_input(name.path) as stream:
            stream.seek(item.data_start + first * kind.itemsize)
            for start in range(first, last, PIECE):
                part = piece[: min(PIECE, last - start)]
                count = cast(BufferedIOBase, stream).readinto(part.view(np.uint8).data)
                if count != part.nbytes:
                    raise truncated(name.path, item.label, "fewer bytes than before")
                flat[start : start + part.size] = part

    in_threads(some, flat.size, 1 if is_zipped(name.path) else threads)  # unpacked from its start
    return pixels


def read_external_header(path: Path, suffix: str, number: int) -> list[str]:
    """The cards of ``image.head`` for image `number` (from 0); none without such a file.

    Each image has its own part of the file, closed by END.

    Raises
    ------
    InputFileError
        The file cannot be read, or has too few parts.
    """
    head = (
        path.with_suffix(suffix) if suffix.startswith(".") else path.with_name(path.stem + suffix)
    )
    if not suffix or not head.is_file() or head == path:
        return []
    try:
        lines = head.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise InputFileError(
            f"the external header cannot be read: {error.strerror}", file=head
        ) from error
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.rstrip() == "END":
            parts.append([])
        elif line.strip():
            parts[-1].append(line[:CARD].ljust(CARD))
    if not parts[-1]:
        parts.pop()
    if number >= len(parts):
        raise InputFileError(
            "the external header has too few parts", file=head, got=len(parts),
            allowed=f"{number + 1} or more, each closed by END",
        )  # fmt: skip
    return parts[number]


def override_cards(cards: Sequence[str], extra: Sequence[str]) -> list[str]:
    """Header cards with those of an external header put in place or added at the end."""
    merged = list(cards)
    for line in extra:
        keyword = line[:8].rstrip()
        place = find_card(merged, keyword) if keyword else None
        if place is not None:
            merged[place] = line
        elif line[8:9] == "=":
            merged.append(line)
    return merged


def mesh_cards(cards: Sequence[str], mesh: tuple[int, int]) -> list[str]:
    """The header of an image of background meshes: coordinates of one value per mesh."""
    changed = list(cards)
    for axis, size in enumerate(mesh, start=1):
        reference = card_number(changed, f"CRPIX{axis}")
        if reference is not None:
            value = (reference - 0.5) / size + 0.5
            change_card(changed, f"CRPIX{axis}", value, form="20.12E")
        # The scale stands in CDELT beside PC, or in the columns of CD.
        for keyword in (f"CDELT{axis}", *(f"CD{row}_{axis}" for row in (1, 2))):
            step = card_number(changed, keyword)
            if step is not None:
                change_card(changed, keyword, step * size, form="20.12E")
    return changed


@contextmanager
def check_writer(path: str | os.PathLike[str], *, extensions: int = 0) -> Iterator[WriteCheck]:
    """A function ``write(array, cards)`` for the check-images of one file, in their order.

    Parameters
    ----------
    path
        Final name; the file is complete or absent.
    extensions
        Number of images to come as extensions; 0 for one image in the primary HDU.

    Raises
    ------
    StoreError
        The folder is missing or cannot be written.
    """
    with atomic_write(path, durable=False) as scratch, scratch.open("wb") as stream:
        if extensions:
            first = [
                card("SIMPLE", True, "FITS standard"),
                card("BITPIX", 8),
                card("NAXIS", 0),
                card("EXTEND", True, "images follow"),
                card("NEXTEND", extensions, "number of images"),
            ]
            stream.write(header_block(first))

        def write(array: NDArray[Any], cards: Sequence[str]) -> None:
            stream.write(header_block(_described(array, cards, extension=extensions > 0)))
            stream.writelines(data_blocks(array))

        yield write


def _described(array: NDArray[Any], cards: Sequence[str], *, extension: bool) -> list[str]:
    """The cards of an image header, made to describe this array."""
    # The last three describe an array that is not this one.
    gone: tuple[str, ...] = (
        "SIMPLE  ", "XTENSION", "BITPIX  ", "NAXIS", "PCOUNT  ", "GCOUNT  ", "BLANK   ", "CHECKSUM",
        "DATASUM ",
    )  # fmt: skip
    if not extension:
        gone += ("EXTNAME ",)
    kept = [line for line in cards if not line.startswith(gone)]
    for keyword, value in (("BZERO", 0.0), ("BSCALE", 1.0)):
        change_card(kept, keyword, value, form="20.8f")
    change_card(kept, "ORIGIN", "purepipe")
    height, width = array.shape
    start = card("XTENSION", "IMAGE", "image") if extension else card("SIMPLE", True, "FITS")
    first = [
        start,
        card("BITPIX", bitpix(array)),
        card("NAXIS", 2),
        card("NAXIS1", width),
        card("NAXIS2", height),
    ]
    if extension:
        first += [card("PCOUNT", 0), card("GCOUNT", 1)]
    return [*first, *kept]
