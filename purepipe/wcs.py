"""World coordinates: one projection (TAN, SIP, TPV) used by every step.

Pixel positions are 0-based: the centre of the first pixel is (0, 0). The local Jacobian follows
the convention of the shape measurement: u grows towards west, v towards north, both in arcsec.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError
from purepipe.gnomonic import CARD, SINGULAR, Gnomonic, pixels_of, projected, read_gnomonic, sky_of

if TYPE_CHECKING:
    from astropy.io.fits import Header

ARCSEC = 3600.0
# Of the search for positions that a distortion moves: steps, and the length of the last, pixels.
_MOST_STEPS = 20
_TOLERANCE = 1e-8
_COMMENTARY = ("HISTORY ", "COMMENT ", " " * 8)
# Pole (right ascension, declination, J2000) of other systems, and their longitude of the
# north celestial pole; degrees. Galactic: ESA (1997), SP-1200, vol. 1; supergalactic: Lahav et al.
# (2000), MNRAS 312, 166, the pole at galactic longitude 47.37 and latitude 6.32.
_SYSTEMS = {
    "GLON": (192.85948123, 27.12825120, 122.93191859),
    "ELON": (270.0, 66.560709, 90.0),
    "SLON": (283.75409254, 15.70893678, 26.45033151),
}
# Cards of numbers without which there are no coordinates, with their value in quotes or plain.
_CARD = re.compile(
    r"((?:CRVAL|CRPIX|CDELT|CROTA)[12]|(?:CD|PC)[12]_[12]|PC00[12]00[12]|PV[12]_\d+"
    r"|EQUINOX|EPOCH) *= *(?:'([^']*)'|([^/']*))"
)
_EPOCHS = ("EQUINOX", "EPOCH")  # taken as not given where they are not understood
_MAY_BE_BLANK = ("CROTA", "CDELT")  # as many headers with a CD matrix have them
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class WCS:
    """Celestial coordinates of one image, made from FITS header cards.

    Attributes
    ----------
    cards
        FITS header cards as text (80 characters each, no line breaks).
    shape
        (ny, nx) of the image, or (0, 0) when unknown.
    """

    cards: str = field(repr=False)
    shape: tuple[int, int] = (0, 0)

    @classmethod
    def from_header(cls, header: Header | str, shape: tuple[int, int] | None = None) -> WCS:
        """World coordinates of a FITS header.

        Parameters
        ----------
        header
            An astropy header, or its cards as text.
        shape
            (ny, nx); taken from the NAXIS cards when not given.

        Raises
        ------
        DataError
            It is no header, has no celestial coordinates, they are singular, or one of their
            numbers is none. Numbers may stand in quotes, and have a D for the exponent.
        """
        if not isinstance(header, str) and not hasattr(header, "tostring"):
            raise DataError(
                "world coordinates need a header of astropy.io.fits, or its cards as text",
                got=type(header).__name__, remedy="Of a dictionary: astropy.io.fits.Header(cards).",
            )  # fmt: skip
        text = header if isinstance(header, str) else header.tostring(endcard=False, padding=False)
        lines = [text[start : start + CARD].ljust(CARD) for start in range(0, len(text), CARD)]
        lines = list(takewhile(lambda line: line.rstrip() != "END", lines))
        lines = [_with_number(line) for line in lines]
        if shape is None:
            shape = (_size(lines, "NAXIS2"), _size(lines, "NAXIS1"))
        wcs = cls("".join(line for line in lines if not line.startswith(_COMMENTARY)), shape)
        if not any(line.startswith("CTYPE1 ") for line in lines):
            raise DataError("the header has no celestial coordinates")  # without asking astropy
        if wcs._gnomonic is None:
            _ = wcs._astropy  # a header without coordinates is refused here, not later
        return wcs

    @cached_property
    def _gnomonic(self) -> Gnomonic | None:
        return read_gnomonic(self.cards)

    @cached_property
    def _astropy(self) -> Any:
        import warnings

        from astropy.io.fits import Header
        from astropy.wcs import WCS as AstropyWCS  # noqa: N811
        from astropy.wcs import FITSFixedWarning

        header = Header.fromstring(self.cards)
        _name_by_pv_cards(header)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FITSFixedWarning)
                wcs = AstropyWCS(header, relax=True)
            if wcs.naxis != 2 or not wcs.has_celestial:
                raise DataError("the header has no celestial coordinates")
            if abs(np.linalg.det(wcs.pixel_scale_matrix)) < 1e-30:
                raise DataError("the CD matrix is singular")
            if _is_flat(header):
                raise DataError(
                    "the distortion is singular: the linear terms of TPV are missing or zero",
                    key="PV1_1, PV2_1", remedy="Correct the header.",
                )  # fmt: skip
        except (ValueError, KeyError, np.linalg.LinAlgError) as error:
            # wcslib names its source files over several lines; the last says what is wrong.
            reason = str(error).strip().strip("'\"").splitlines()[-1].rstrip(".")
            raise DataError(f"the world coordinates cannot be used: {reason}") from error
        return wcs

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.cards, self.shape))

    def pixel_to_sky(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Right ascension and declination (degrees) of 0-based pixel positions.

        Galactic, ecliptic and supergalactic coordinates become those of J2000. The right ascension
        comes first, whichever axis of the header it is.
        """
        if self._gnomonic is not None:
            ra, dec = sky_of(self._gnomonic, _flat(x), _flat(y))
        else:
            lon, lat = self._astropy.all_pix2world(_flat(x), _flat(y), 0)
            if not self.longitude_first:
                lon, lat = lat, lon
            ra, dec = self._turned(lon, lat, equatorial=True)
        return np.asarray(ra).reshape(np.shape(x)), np.asarray(dec).reshape(np.shape(x))

    def tangent_plane(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Projected coordinates (degrees) of 0-based pixel positions, zero at CRVAL.

        The linear part of the transformation only: distortions are left out.
        """
        if self._gnomonic is not None:
            return projected(self._gnomonic, np.asarray(x, np.float64), np.asarray(y, np.float64))
        offset = np.stack([np.asarray(x), np.asarray(y)]) + 1.0
        offset -= self._astropy.wcs.crpix.reshape(2, *[1] * (offset.ndim - 1))
        first, second = np.tensordot(self._astropy.pixel_scale_matrix, offset, 1)
        return first, second

    def _turned(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64], *, equatorial: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of the header made equatorial (as they are in most headers), or back."""
        if self._astropy.wcs.lngtyp not in _SYSTEMS:
            return lon, lat
        ra, dec, node = _SYSTEMS[self._astropy.wcs.lngtyp]
        old, new = (node, ra) if equatorial else (ra, node)
        return _about_pole(lon, lat, old, new, dec)

    @property
    def longitude_first(self) -> bool:
        """Whether the first world axis is the longitude, as usual."""
        return self._gnomonic is not None or int(self._astropy.wcs.lng) == 0

    @property
    def equinox(self) -> float:
        """Equinox of the celestial coordinates, years; 2000 for ICRS or when none is given."""
        if self._gnomonic is not None:
            return self._gnomonic.equinox
        year = float(self._astropy.wcs.equinox)
        if self._astropy.wcs.lngtyp in _SYSTEMS or not np.isfinite(year):
            return 2000.0
        if self._astropy.wcs.radesys.strip() == "ICRS":
            return 2000.0
        return year

    def sky_to_pixel(
        self, ra: ArrayLike, dec: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """0-based pixel positions of sky positions (degrees).

        Positions on the other side of the sky, or so far away that the distortion cannot be
        inverted, give NaN. None depends, to the last bit, on which others are asked for.
        """
        ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        with np.errstate(all="ignore"):
            if self._gnomonic is not None:
                x, y = pixels_of(self._gnomonic, _flat(ra), _flat(dec))
            else:
                x, y = self._searched(_flat(ra), _flat(dec))
        return x.reshape(ra.shape), y.reshape(ra.shape)

    def _searched(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel positions by astropy, and by Newton's method where it knows of a distortion."""
        lon, lat = self._turned(ra, dec, equatorial=False)
        native = (lon, lat) if self.longitude_first else (lat, lon)
        x, y = (np.array(v) for v in self._astropy.wcs_world2pix(*native, 0))
        # Every position by itself: astropy's own search goes on until all have been found.
        wanted = np.flatnonzero(np.isfinite(x + y) & self._astropy.has_distortion)
        for _ in range(_MOST_STEPS if len(wanted) else 0):
            sky = self.pixel_to_sky(x[wanted], y[wanted])
            u, v = _tangent_offset(*sky, ra[wanted], dec[wanted])
            (a, b), (c, d) = np.moveaxis(self.jacobian(x[wanted], y[wanted]), 0, -1)
            dx, dy = (d * u - b * v) / (a * d - b * c), (a * v - c * u) / (a * d - b * c)
            x[wanted] += dx
            y[wanted] += dy
            wanted = wanted[~(np.hypot(dx, dy) < _TOLERANCE)]
        x[wanted] = y[wanted] = np.nan
        back_ra, back_dec = self.pixel_to_sky(x, y)
        # A projection may map the far hemisphere onto the near one.
        far = ~(_separation(ra, dec, back_ra, back_dec) < 1e-4)
        x[far] = y[far] = np.nan
        return x, y

    def jacobian(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Local Jacobian d(u, v)/d(x, y) at 0-based pixel positions.

        Returns
        -------
        (..., 2, 2) array, arcsec per pixel; u grows towards west, v towards north.
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        columns = []
        for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
            ra1, dec1 = self.pixel_to_sky(x + dx, y + dy)
            ra0, dec0 = self.pixel_to_sky(x - dx, y - dy)
            du, dv = _tangent_offset(ra0, dec0, ra1, dec1)
            columns.append(np.stack([du, dv], axis=-1))
        return np.stack(columns, axis=-1)

    def pixel_area(self, x: ArrayLike | None = None, y: ArrayLike | None = None) -> NDArray[Any]:
        """Area of the pixels at 0-based positions (default: the image centre), arcsec^2."""
        if x is None or y is None:
            x, y = (self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2
        return np.asarray(np.abs(np.linalg.det(self.jacobian(x, y))))

    @property
    def pixel_scale(self) -> float:
        """Square root of the pixel area at the image centre, arcsec."""
        return float(np.sqrt(self.pixel_area()))

    @property
    def parity(self) -> int:
        """+1 when east is to the left of a north-up image (the usual sky), -1 when mirrored."""
        centre = self.jacobian((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)
        return 1 if np.linalg.det(centre) > 0 else -1

    def footprint(self) -> NDArray[np.float64]:
        """(4, 2) right ascension and declination (degrees) of the corners of the image."""
        ny, nx = self.shape
        ra, dec = self.pixel_to_sky(
            np.array([-0.5, nx - 0.5, nx - 0.5, -0.5]), np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
        )
        return np.stack([ra, dec], axis=-1)


def leading_number(line: str) -> str:
    """A header card with what SExtractor reads of a coordinate: the number it begins with, else 0.

    Other cards are returned as they are.
    """
    key, value, _ = _coordinate(line)
    if not key:
        return line
    number = _NUMBER.match(value)
    return _card(key, number[0] if number else "0.0")


def _with_number(line: str) -> str:
    """A header card; a coordinate that stands in quotes becomes a number."""
    key, value, plain = _coordinate(line)
    if _NUMBER.fullmatch(value) and np.isfinite(float(value.upper().replace("D", "E"))):
        return line if plain else _card(key, value)
    if not key or key in _EPOCHS or (not value and key.startswith(_MAY_BE_BLANK)):
        return line
    raise DataError(
        "a coordinate of the header is not a number", key=key, got=repr(value),
        remedy="Correct the header.",
    )  # fmt: skip


def _coordinate(line: str) -> tuple[str, str, bool]:
    """Keyword and value of a card of coordinates, and whether it is plain; else empty texts."""
    found = _CARD.match(line)
    if found is None:
        return "", "", True
    key, quoted, plain = found.groups()
    value = (plain if quoted is None else quoted).strip()
    if key in _EPOCHS and value[:1] in ("J", "B"):
        return key, value[1:], False
    return key, value, quoted is None


def _card(key: str, number: str) -> str:
    return f"{key:8}= {number:>20}".ljust(CARD)


def _flat(values: ArrayLike) -> NDArray[np.float64]:
    flat: NDArray[np.float64] = np.array(values, dtype=np.float64, ndmin=1).ravel()
    return flat


def _about_pole(
    lon: NDArray[np.float64], lat: NDArray[np.float64], old: float, new: float, tilt: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates in another system, degrees.

    `old` and `new` are the longitudes, in the system of the input and of the output, of the other
    system's pole; `tilt` is the latitude of either pole in the other system.
    """
    angle, lat, dec = np.radians(old - lon), np.radians(lat), np.radians(tilt)
    along = np.sin(lat) * np.cos(dec) - np.cos(lat) * np.sin(dec) * np.cos(angle)
    across = np.cos(lat) * np.sin(angle)
    up = np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(angle)
    turned = np.degrees(np.arctan2(across, along))
    return (new + turned) % 360, np.degrees(np.arctan2(up, np.hypot(along, across)))


def _size(lines: Sequence[str], key: str) -> int:
    """The length of an axis; of the image, not of the table that holds a compressed one."""
    for keyword in ("Z" + key, key):
        for line in lines:
            if line.startswith(f"{keyword:8}="):
                number = line[9:].partition("/")[0].strip()
                return int(number) if number.isdigit() else 0
    return 0


def _name_by_pv_cards(header: Any) -> None:
    """Read TAN with PVi_j distortion terms as TPV, TPV without as TAN, as SExtractor and SCAMP."""
    given = [j for i in (1, 2) for j in range(40) if f"PV{i}_{j}" in header]
    for axis in (1, 2):
        ctype = str(header.get(f"CTYPE{axis}", ""))
        if ctype.endswith("-TAN") and any(given):
            header[f"CTYPE{axis}"] = ctype[:-3] + "TPV"
        elif ctype.endswith("-TPV") and not given:
            header[f"CTYPE{axis}"] = ctype[:-3] + "TAN"


def _is_flat(header: Any) -> bool:
    """Whether TPV maps the neighbourhood of the reference point onto a line, or a point."""
    if not str(header.get("CTYPE1", "")).endswith("-TPV"):
        return False
    a, b, c, d = (float(header.get(key, 0)) for key in ("PV1_1", "PV1_2", "PV2_1", "PV2_2"))
    return abs(a * c - b * d) <= SINGULAR


def _separation(
    ra0: NDArray[Any], dec0: NDArray[Any], ra1: NDArray[Any], dec1: NDArray[Any]
) -> NDArray[Any]:
    """Angular distance in degrees, good for small angles (haversine)."""
    r0, d0, r1, d1 = (np.radians(angle) for angle in (ra0, dec0, ra1, dec1))
    half = np.sin((d1 - d0) / 2) ** 2 + np.cos(d0) * np.cos(d1) * np.sin((r1 - r0) / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))))


def _tangent_offset(
    ra0: NDArray[Any], dec0: NDArray[Any], ra1: NDArray[Any], dec1: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Offset (west, north) in arcsec from position 0 to a nearby position 1.

    The declination of the midpoint sets the length of a degree of right ascension, which is good
    to second order: 2e-7 of the offset half an arcminute from a pole, 1e-10 at declination 70.
    """
    dra = np.radians((ra1 - ra0 + 180) % 360 - 180)
    d0, d1 = np.radians(dec0), np.radians(dec1)
    middle, half = (d0 + d1) / 2, (d1 - d0) / 2
    west = -2 * np.sin(dra / 2) * np.cos(middle) * np.cos(half)
    north = 2 * np.sin(half) * np.cos(half) + np.zeros_like(dra)
    return np.degrees(west) * ARCSEC, np.degrees(north) * ARCSEC
