"""From one multi-extension exposure to its CCDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from purepipe.errors import DataError
from purepipe.survey.numbering import unit_name

# What a primary header says about itself, not about the CCDs.
_OWN = ("SIMPLE", "BITPIX", "NAXIS", "EXTEND", "NEXTEND", "CHECKSUM", "DATASUM", "EXTNAME",
        "EXTVER", "INHERIT", "COMMENT", "HISTORY", "CONTINUE", "END", "")  # fmt: skip


@dataclass(frozen=True)
class CCDUnit:
    """One CCD of an exposure file.

    Attributes
    ----------
    exposure, ccd
        Exposure number, and CCD number from 0 in the order of the file.
    hdu, extname
        Where the CCD is in the file.
    header
        Its cards as text, completed from the primary header where INHERIT says so.
    """

    exposure: str
    ccd: int
    hdu: int
    extname: str
    header: str

    @property
    def name(self) -> str:
        """Exposure and CCD: ``"2079614-9"``."""
        return unit_name(self.exposure, self.ccd)


def split_exposure(
    exposure: str, hdus: Sequence[tuple[int, str]], headers: Sequence[str], *, primary: str = ""
) -> list[CCDUnit]:
    """The CCDs of one exposure, numbered from 0 in the order of the file.

    Parameters
    ----------
    exposure
        Exposure number.
    hdus
        HDU number and EXTNAME of the images.
    headers
        Their header cards as text, in the same order.
    primary
        Cards of the primary header. A CCD whose header says ``INHERIT = T`` takes over what it
        does not say itself.

    Raises
    ------
    DataError
        The numbers of HDUs and headers differ.
    """
    if len(hdus) != len(headers):
        raise DataError("each CCD needs its header", got=len(headers), allowed=str(len(hdus)))
    return [
        CCDUnit(exposure, ccd, hdu, name, inherit(header, primary))
        for ccd, ((hdu, name), header) in enumerate(zip(hdus, headers, strict=True))
    ]


def inherit(header: str, primary: str) -> str:
    """Header cards with what ``INHERIT = T`` takes from the primary header."""
    from astropy.io.fits import Header

    own = Header.fromstring(header)
    if not primary or own.get("INHERIT") is not True:
        return header
    for card in Header.fromstring(primary).cards:
        if card.keyword not in own and card.keyword.rstrip("0123456789") not in _OWN:
            own.append(card)
    return str(own.tostring(endcard=False, padding=False))


def flag_type(flags: NDArray[np.integer]) -> type[np.int16] | type[np.int32]:
    """The smaller of int16 and int32 that holds every flag: values never wrap around.

    Raises
    ------
    DataError
        A value needs more than 32 bits.
    """
    low, high = (int(flags.min()), int(flags.max())) if flags.size else (0, 0)
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise DataError("a flag value needs more than 32 bits", got=f"{low} to {high}")
