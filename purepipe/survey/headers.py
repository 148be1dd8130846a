"""What the headers of exposures and tiles say: CCD areas, flux scales, input exposures."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from purepipe.config.survey import EpochConfig
from purepipe.errors import DataError
from purepipe.survey.numbering import unit_name
from purepipe.wcs import WCS

if TYPE_CHECKING:
    from astropy.io.fits import Header

_CARD = 80


@dataclass(frozen=True)
class CCD:
    """One CCD of one exposure, as far as its header tells.

    Attributes
    ----------
    exposure, ccd
        Exposure number and CCD number (from 0).
    wcs
        World coordinates.
    shape
        (ny, nx) of the image.
    flux_scale
        Factor to the flux scale of the tile (FSCALE).
    datasec
        (x0, x1, y0, y1) of the exposed pixels, 1-based, both ends included; None for all.
    """

    exposure: str
    ccd: int
    wcs: WCS
    shape: tuple[int, int]
    flux_scale: float = 1.0
    datasec: tuple[int, int, int, int] | None = None

    @classmethod
    def from_header(
        cls,
        exposure: str,
        ccd: int,
        header: Header | str,
        shape: tuple[int, int] | None = None,
    ) -> CCD:
        """A CCD from its FITS header: WCS, FSCALE, DATASEC.

        Cards given as text that were read before are not read again.

        Parameters
        ----------
        header
            An astropy header, or its cards as text.
        shape
            (ny, nx); from the NAXIS cards when not given.

        Raises
        ------
        DataError
            The header has no usable world coordinates, FSCALE is not a positive number, or
            DATASEC does not lie in the image.
        """
        if isinstance(header, str):
            return _from_cards(exposure, ccd, header, shape)
        return _from_header(exposure, ccd, header, shape)

    @property
    def name(self) -> str:
        """Exposure and CCD: ``"2079614-9"``."""
        return unit_name(self.exposure, self.ccd)

    @property
    def area(self) -> tuple[int, int, int, int]:
        """(x0, x1, y0, y1) of the exposed pixels, 1-based, both ends included."""
        return self.datasec or (1, self.shape[1], 1, self.shape[0])

    def exposed(self, size: tuple[int, int, int, int] | None = None) -> CCD:
        """The CCD with the exposed pixels `size` instead of DATASEC, as far as its image has them.

        Parameters
        ----------
        size
            (x0, x1, y0, y1), 1-based, both ends included; None keeps what the header says.

        Raises
        ------
        DataError
            The image has none of them.
        """
        if size is None:
            return self
        ny, nx = self.shape
        x0, x1, y0, y1 = size
        if nx and ny:  # known
            x0, x1, y0, y1 = max(x0, 1), min(x1, nx), max(y0, 1), min(y1, ny)
        if x0 > x1 or y0 > y1:
            raise DataError(
                "the exposed pixels of the configuration do not lie in the image", file=self.name,
                key="ccd_size", got=size, allowed=f"pixels of 1, {nx}, 1, {ny}",
                remedy="Correct tile.epochs.ccd_size (CCD_SIZE), or leave it out for DATASEC.",
            )  # fmt: skip
        return replace(self, datasec=(x0, x1, y0, y1))

    @cached_property
    def sky_circle(self) -> tuple[NDArray[np.float64], float]:
        """Unit vector of the centre of `area`, and radius (radians) of a circle around it."""
        return sky_circle(self.wcs, self.area)


@lru_cache(maxsize=1024)
def _from_cards(exposure: str, ccd: int, cards: str, shape: tuple[int, int] | None) -> CCD:
    """Every block of a tile asks for the same CCDs; the library takes milliseconds for each."""
    from astropy.io.fits import Header

    return _from_header(exposure, ccd, Header.fromstring(cards), shape)


def _from_header(exposure: str, ccd: int, header: Header, shape: tuple[int, int] | None) -> CCD:
    name = unit_name(exposure, ccd)
    try:
        wcs = WCS.from_header(header, shape)
    except DataError as error:
        error.file = error.file or name
        raise
    scale = header.get("FSCALE", 1.0)
    if isinstance(scale, (bool, str)) or not (math.isfinite(scale) and scale > 0):
        raise DataError(
            "the flux scale must be a positive number", file=name, key="FSCALE",
            got=repr(scale), remedy="Correct the header of the CCD.",
        )  # fmt: skip
    datasec = header.get("DATASEC")
    area = None if datasec is None else parse_section(str(datasec), wcs.shape, name=name)
    return CCD(exposure, ccd, wcs, wcs.shape, float(scale), area)


def sky_circle(wcs: WCS, area: tuple[int, int, int, int]) -> tuple[NDArray[np.float64], float]:
    """Unit vector and radius (radians) of a circle on the sky that holds a part of an image.

    Parameters
    ----------
    area
        (x0, x1, y0, y1), 1-based, both ends included.
    """
    x0, x1, y0, y1 = area[0] - 1.5, area[1] - 0.5, area[2] - 1.5, area[3] - 0.5
    xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
    edge = unit_vectors(
        *wcs.pixel_to_sky(
            np.array([xm, x0, xm, x1, x1, x1, xm, x0, x0]),
            np.array([ym, y0, y0, y0, ym, y1, y1, y1, ym]),
        )
    )
    distance = np.linalg.norm(edge[1:] - edge[0], axis=1).max()
    # Distortion bends the edges outwards by much less than this.
    return edge[0], float(1.05 * 2 * np.arcsin(min(distance / 2, 1.0)))


def unit_vectors(ra: Any, dec: Any) -> NDArray[np.float64]:
    """(n, 3) unit vectors of sky positions in degrees."""
    a, d = np.radians(np.ascontiguousarray(ra)), np.radians(np.ascontiguousarray(dec))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def parse_section(
    text: str, shape: tuple[int, int] = (0, 0), *, name: str = ""
) -> tuple[int, int, int, int]:
    """(x0, x1, y0, y1) of an image section such as ``[33:2080,1:4612]``.

    Parameters
    ----------
    shape
        (ny, nx) of the image that must hold it; (0, 0) when unknown.

    Raises
    ------
    DataError
        The text is no section, or it does not lie in the image.
    """
    match = re.fullmatch(r"\s*\[\s*(\d+):(\d+)\s*,\s*(\d+):(\d+)\s*\]\s*", text)
    if not match:
        raise DataError(
            "not an image section", file=name or None, key="DATASEC", got=repr(text),
            allowed="[x0:x1,y0:y1]", remedy="Correct or remove the card.",
        )  # fmt: skip
    x0, x1, y0, y1 = (int(group) for group in match.groups())
    ny, nx = shape
    if not (1 <= x0 <= x1 and 1 <= y0 <= y1) or (nx and x1 > nx) or (ny and y1 > ny):
        raise DataError(
            "the section does not lie in the image", file=name or None, key="DATASEC", got=text,
            allowed=f"[1:{nx},1:{ny}]", remedy="Correct or remove the card.",
        )  # fmt: skip
    return x0, x1, y0, y1


def exposures_of_tile(
    header_text: str,
    config: EpochConfig = EpochConfig(),  # noqa: B008 - frozen
) -> list[str]:
    """Numbers of the exposures that a tile was made of, in the order of its HISTORY cards.

    Parameters
    ----------
    header_text
        Cards of the tile's header, 80 characters each; line breaks between them are allowed.
    config
        `history_pattern`: a regular expression whose first group is the exposure number. Cards
        without a match are ignored; a number that comes again counts once.
    """
    return list(dict.fromkeys(_named_exposures(header_text, config)))


def repeated_exposures(
    header_text: str,
    config: EpochConfig = EpochConfig(),  # noqa: B008 - frozen
) -> list[str]:
    """Numbers of the exposures that the HISTORY cards of a tile name more than once.

    Arguments as for `exposures_of_tile`.
    """
    times = Counter(_named_exposures(header_text, config))
    return [number for number, count in times.items() if count > 1]


def _named_exposures(header_text: str, config: EpochConfig) -> list[str]:
    pattern = re.compile(config.history_pattern)
    texts = _history(header_text)
    numbers = [match.group(1) for text in texts for match in pattern.finditer(text)]
    return [number for number in numbers if number]


def _history(header_text: str) -> list[str]:
    """Texts of the HISTORY cards; one that fills its card goes on in the next."""
    if "\n" in header_text:
        cards = header_text.splitlines()
    else:
        cards = [header_text[i : i + _CARD] for i in range(0, len(header_text), _CARD)]
    texts: list[str] = []
    full = False
    for card in cards:
        if not card.startswith("HISTORY"):
            full = False
            continue
        content = card[8:_CARD]
        if full:
            texts[-1] += content.rstrip()
        else:
            texts.append(content.rstrip())
        full = len(content.rstrip()) == _CARD - 8
    return texts
