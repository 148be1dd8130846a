"""The headers of the CCDs of exposures, in the original's files but without pickles.

``headers-<exposure>.npy`` is an array of texts, one header for each CCD;
``log_exp_headers.sqlite`` holds them by exposure and CCD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from purepipe.errors import InputFileError
from purepipe.io.atomic import atomic_write
from purepipe.io.ccd_files import whole_cards
from purepipe.io.stamp_store import StampStore, write_stamp_store
from purepipe.survey import CCD

LOG_NAME = "log_exp_headers.sqlite"


def write_headers(path: Path, headers: Sequence[str]) -> None:
    """Write the headers of the CCDs of one exposure."""
    with atomic_write(path) as scratch, scratch.open("wb") as stream:
        np.save(stream, np.array(headers, dtype=str), allow_pickle=False)


def read_headers(path: Path) -> list[str]:
    """The headers that `write_headers` wrote.

    Raises
    ------
    InputFileError
        The file is missing, damaged, or holds Python pickles.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        pickled = "pickle" in str(error) or "Object arrays" in str(error)
        raise InputFileError(
            "the headers hold Python pickles, which can run any program when they are read"
            if pickled
            else f"the headers cannot be read: {error}",
            file=path, remedy="Split the exposure again with purepipe.",
        ) from error  # fmt: skip
    if array.ndim != 1 or array.dtype.kind != "U":
        raise InputFileError("this is no array of headers", file=path, got=array.dtype)
    return [whole_cards(str(text)) for text in array]


def write_wcs_log(path: Path, headers: Mapping[str, Sequence[str]]) -> None:
    """Write the headers of the CCDs of many exposures."""
    write_stamp_store(
        path,
        {
            exposure: {str(ccd): {"header": text} for ccd, text in enumerate(texts)}
            for exposure, texts in headers.items()
        },
    )


def wcs_log_path(path: Path) -> Path:
    """The file itself, or the one that ends in ``.sqlite`` where the tutorial's name is given."""
    other = path.with_suffix(".sqlite")
    return other if path.suffix == ".npy" and not path.exists() and other.exists() else path


def read_wcs_log(path: Path) -> Mapping[str, tuple[CCD, ...]]:
    """The CCDs of all exposures, in their order.

    The tutorial calls the file ``log_exp_headers.npy``; where there is none, the one with the
    ending ``.sqlite`` is taken.

    Raises
    ------
    InputFileError
        The file is missing or damaged, or holds Python pickles.
    DataError
        A header has no usable world coordinates.
    """
    place = wcs_log_path(path)
    stat = place.stat() if place.exists() else None
    return _read_log(place, None if stat is None else stat.st_mtime_ns)


@lru_cache(maxsize=2)
def _read_log(path: Path, changed: int | None) -> Mapping[str, tuple[CCD, ...]]:
    """Read once in each process, and again when the file has changed."""
    with StampStore(path) as store:
        return {
            exposure: tuple(
                CCD.from_header(exposure, int(ccd), whole_cards(str(entry["header"])))
                for ccd, entry in store[exposure].items()
            )
            for exposure in store
        }
