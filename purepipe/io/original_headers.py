"""CCD headers in the original pipeline's files, which hold Python pickles, read without unpickling.

Unpickling a file runs whatever its maker put in. Here the stream of instructions is only listed,
and the texts that follow the key ``header`` are picked from the list; nothing in the file is
executed, whatever it says.
"""

from __future__ import annotations

import os
import pickletools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from purepipe.errors import ConfigError, InputFileError
from purepipe.io.layout import open_input
from purepipe.survey import CCDUnit, number_of

_SQLITE = b"SQLite format 3\0"
_NPY = b"\x93NUMPY"
_CARD = 80
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_STORES = ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
_RECALLS = ("GET", "BINGET", "LONG_BINGET")


def read_original_headers(
    path: str | os.PathLike[str], *, allow_pickled: bool = False
) -> list[CCDUnit]:
    """The CCD headers of the original's ``headers-<exposure>.npy`` or ``log_exp_headers.sqlite``.

    Parameters
    ----------
    path
        One of the two kinds of files. The exposure number comes from the name of the first kind,
        and from the keys of the second.
    allow_pickled
        Must be True. The files hold pickles; they are searched for texts and never unpickled, but
        a text that such a file declares a header is believed.

    Returns
    -------
    CCDs in the order of the file, numbered from 0 in each exposure, with the HDU numbers that the
    original's split implies (CCD number + 1). Write them with `write_ccd_headers`.

    Raises
    ------
    ConfigError
        `allow_pickled` is not given.
    InputFileError
        The file is missing, of another kind, damaged, or holds no headers.
    """
    if not allow_pickled:
        raise ConfigError(
            "the file holds Python pickles, which are not read unless asked for", file=path,
            remedy="Pass allow_pickled=True if you trust who made it; nothing in it is executed.",
        )  # fmt: skip
    path = Path(path)
    with open_input(path) as stream:
        start = stream.read(16)
    if start.startswith(_NPY):
        exposures = {number_of(path): _npy_payload(path)}
    elif start == _SQLITE:
        exposures = _sqlite_payloads(path)
    else:
        raise InputFileError(
            "not a header file of the original", file=path, got=f"{start[:8]!r} at its start",
            allowed="headers-<exposure>.npy, log_exp_headers.sqlite",
        )  # fmt: skip
    units = []
    for exposure, payload in exposures.items():
        cards = _headers(payload, path, exposure)
        units += [
            CCDUnit(exposure, ccd, ccd + 1, "", _whole_cards(text))
            for ccd, text in enumerate(cards)
        ]
    return units


def _headers(payload: bytes, path: Path, exposure: str) -> list[str]:
    """The texts that follow the key ``header`` in a pickle."""
    try:
        texts = list(_values_of(payload, "header"))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise InputFileError(
            f"the pickle is damaged: {error}", file=path, key=exposure,
            remedy="Split the exposures again, and read their headers with list_units.",
        ) from error  # fmt: skip
    if not texts:
        raise InputFileError("no header found", file=path, key=exposure)
    return texts


def _values_of(payload: bytes, key: str) -> Iterator[str]:
    """Texts pushed directly after the text `key`, by a walk over the instructions."""
    memo: dict[Any, Any] = {}
    previous: Any = None  # the last value that was pushed, where it is a text
    for opcode, argument, _ in pickletools.genops(payload):
        name = opcode.name
        if name in _STORES:
            memo[len(memo) if name == "MEMOIZE" else argument] = previous
            continue
        if name in ("FRAME", "PROTO"):
            continue
        value = argument if name in _TEXTS else memo.get(argument) if name in _RECALLS else None
        if previous == key and isinstance(value, str):
            yield value
        previous = value


def _npy_payload(path: Path) -> bytes:
    with open_input(path) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version[0] > 1:
                read = np.lib.format.read_array_header_2_0
            read(stream)
        except ValueError as error:
            raise InputFileError(f"the array is damaged: {error}", file=path) from error
        return stream.read()


def _sqlite_payloads(path: Path) -> dict[str, bytes]:
    address = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            rows = connection.execute("SELECT key, value FROM unnamed ORDER BY rowid").fetchall()
    except sqlite3.DatabaseError as error:
        raise InputFileError(f"the store cannot be read: {error}", file=path) from error
    return {str(key): bytes(value) for key, value in rows}


def _whole_cards(text: str) -> str:
    """Cards of 80 characters, without the lines that some writers put between them."""
    lines = text.split("\n")
    if len(lines) > 1:
        text = "".join(line.ljust(_CARD) for line in lines if line.strip())
    return text.ljust(-(-len(text) // _CARD) * _CARD)
