"""Some cards of a header, without parsing the others and without reading any pixel."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

from purepipe.io.images import damage_named, quiet
from purepipe.io.layout import CARD, HDULayout, open_input

# In a compressed HDU these describe the table that holds the image.
_OF_TABLE = ("XTENSION", "BITPIX", "NAXIS")
_OF_IMAGE = {"ZBITPIX": "BITPIX", "ZNAXIS": "NAXIS", "ZNAXIS1": "NAXIS1", "ZNAXIS2": "NAXIS2"}


def read_cards(path: Path, item: HDULayout, keywords: tuple[str, ...]) -> fits.Header:
    """The cards of an HDU whose keywords start with one of `keywords`, as an image's header.

    Of a compressed image, the cards of the image in it: its data are not read.

    Raises
    ------
    InputFileError
        The file cannot be read, or one of these cards is damaged.
    """
    with open_input(path) as stream:
        stream.seek(item.header_start)
        raw = stream.read(item.data_start - item.header_start).decode("latin-1")
    compressed = item.kind == "compressed image"
    kept = []
    for start in range(0, len(raw), CARD):
        card = raw[start : start + CARD]
        keyword = card[:8].rstrip()
        if compressed and keyword.startswith(_OF_TABLE):
            continue
        if compressed and keyword in _OF_IMAGE:
            keyword = _OF_IMAGE[keyword]
            card = f"{keyword:<8}{card[8:]}"
        if keyword.startswith(keywords):
            kept.append(card)
    with damage_named(path, item), quiet():
        header = fits.Header.fromstring("".join(kept))
        for parsed in header.cards:
            _ = parsed.value
        return header
