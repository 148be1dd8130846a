"""FITS headers as lists of cards of 80 characters, changed without touching the other cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.io.layout import BLOCK, CARD

HEADER_COLUMN = "Field Header Card"  # of LDAC: the header of an image in a table

# Of the FITS types that an array can have, the code BITPIX.
_BITPIX = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


def card(keyword: str, value: Any = None, comment: str = "", *, form: str | None = None) -> str:
    """One card; `form` prints a number (``"20.8f"``), otherwise its type says how."""
    if form is not None:
        text = f"{value:{form}}"
    elif isinstance(value, (bool, np.bool_)):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        quoted = value.replace("'", "''")
        text = f"{quoted:8}"
        text = f"'{text}'".ljust(20)
    else:
        text = f"{value:>20}"
    line = f"{keyword:8}= {text}"
    return (f"{line} / {comment}" if comment else line)[:CARD].ljust(CARD)


def split_cards(text: str) -> list[str]:
    """The cards of a header up to END; commentary and unknown cards are kept as they are."""
    cards = []
    for start in range(0, len(text), CARD):
        line = text[start : start + CARD].ljust(CARD)
        if line.rstrip() == "END":
            break
        cards.append(line)
    while cards and not cards[-1].strip():
        cards.pop()
    return cards


def find_card(cards: Sequence[str], keyword: str) -> int | None:
    """The index of the first card of a keyword."""
    start = f"{keyword:8}="
    return next((i for i, line in enumerate(cards) if line.startswith(start)), None)


def card_number(cards: Sequence[str], keyword: str) -> float | None:
    """The number that a card holds; None if it is absent or holds something else."""
    place = find_card(cards, keyword)
    if place is None:
        return None
    try:
        return float(cards[place][9:].split("/")[0].strip().replace("D", "E"))
    except ValueError:
        return None


def change_card(cards: list[str], keyword: str, value: Any, *, form: str | None = None) -> None:
    """Set the value of a card that exists, keeping its comment; other headers stay as they are."""
    place = find_card(cards, keyword)
    if place is not None:
        comment = cards[place][10:].partition("/")[2].strip()
        cards[place] = card(keyword, value, comment, form=form)


def header_block(cards: Sequence[str]) -> bytes:
    """Cards, END and padding."""
    text = "".join(cards) + "END"
    return text.encode("ascii", "replace").ljust(-(-len(text) // BLOCK) * BLOCK)


def data_blocks(array: NDArray[Any]) -> tuple[memoryview, bytes]:
    """An array in FITS byte order, and the zeros that fill its last block."""
    data = np.ascontiguousarray(array, array.dtype.newbyteorder(">"))
    return data.reshape(-1).view(np.uint8).data, b"\0" * (-data.nbytes % BLOCK)


def bitpix(array: NDArray[Any]) -> int:
    """The code BITPIX of the type of an array."""
    return _BITPIX[array.dtype.str[1:]]
