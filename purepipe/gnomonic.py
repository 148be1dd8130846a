"""The projection of nearly all survey images, without a library: TAN, alone or as TAN-SIP or TPV.

Only headers that say nothing else are read here; `purepipe.wcs` leaves all others to astropy,
whose import takes longer than many a task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CARD = 80
Values = NDArray[np.float64]

# Cards that may bear on the coordinates; those of alternate descriptions (CTYPE1A) do not.
_MATTERS = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d+|(CD|PC|PV|PS)\d+_\d+|PC\d{6}|WCSAXES|NAXIS"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|[AB]_(ORDER|\d+_\d+)"
    r"|(CPDIS|CQDIS|D2IM|DP|DQ|AXISCORR).*"
)
_UNDERSTOOD = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT)[12]|(CD|PC)[12]_[12]|PV[12]_[123]?\d|WCSAXES|NAXIS"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|[AB]_(ORDER|\d_\d)"
)
_TEXT = re.compile(r" *'((?:[^']|'')*)' *(/.*)?")
_NUMBER = re.compile(r" *([+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?) *(/.*)?")
_KINDS = {
    ("RA---TAN", "DEC--TAN"): "TAN",
    ("RA---TPV", "DEC--TPV"): "TPV",
    ("RA---TAN-SIP", "DEC--TAN-SIP"): "SIP",
}
SINGULAR = 1e-10  # determinant of the linear terms of a distortion
_HIGHEST = 7  # degree of TPV
# Where the search for an undistorted position ends, pixels.
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Gnomonic:
    """A gnomonic projection with its distortion.

    Attributes
    ----------
    crpix
        Reference pixel, from 1.
    crval
        Its right ascension and declination, degrees.
    matrix
        (2, 2) degrees per pixel.
    sip
        (2, n, n) coefficients of u^p v^q that are added to pixel offsets, or None.
    tpv
        (2, 8, 8) coefficients of x^p y^q that replace the projected coordinates, or None.
    radial
        (2, 8) coefficients of r^p in TPV.
    equinox
        Of the celestial coordinates, years; 2000 for ICRS or when none is given.
    """

    crpix: tuple[float, float]
    crval: tuple[float, float]
    matrix: Values
    sip: Values | None
    tpv: Values | None
    radial: Values
    equinox: float


def read_gnomonic(cards: str) -> Gnomonic | None:
    """The projection that header cards describe; None if they ask for more, or are in doubt.

    Parameters
    ----------
    cards
        FITS header cards, 80 characters each.

    Notes
    -----
    Greisen & Calabretta (2002), A&A 395, 1061; Shupe et al. (2005), ASPC 347, 491 (SIP). TAN with
    PV cards is TPV, and TPV without any is TAN, as in SExtractor and SCAMP. Refused, hence None:
    other projections and units, turned native poles, a reference point at a pole, more axes, tables
    of distortions, CROTA, cards that occur twice or break the standard, and singular linear terms.
    """
    values = _relevant_values(cards)
    if values is None:
        return None
    kind = _kind(values)
    matrix = _matrix(values)
    numbers = [values.get(f"{key}{axis}") for key in ("CRPIX", "CRVAL") for axis in (1, 2)]
    if kind is None or matrix is None or not all(isinstance(item, float) for item in numbers):
        return None
    x, y, ra, dec = (float(item) for item in numbers if item is not None)
    year = _equinox(values)
    if not (0 <= ra < 360 and abs(dec) < 90 and year is not None):
        return None
    tpv, radial = _tpv(values) if kind == "TPV" else (None, np.zeros((2, _HIGHEST + 1)))
    sip = _sip(values) if kind == "SIP" else None
    if (kind == "TPV" and tpv is None) or (kind == "SIP" and sip is None):
        return None
    return Gnomonic((x, y), (ra, dec), matrix, sip, tpv, radial, year)


def projected(projection: Gnomonic, x: Values, y: Values) -> tuple[Values, Values]:
    """Coordinates in the plane of projection, degrees, of 0-based positions, undistorted."""
    u, v = x + 1 - projection.crpix[0], y + 1 - projection.crpix[1]
    (a, b), (c, d) = projection.matrix.tolist()
    return a * u + b * v, c * u + d * v


def sky_of(projection: Gnomonic, x: Values, y: Values) -> tuple[Values, Values]:
    """Right ascension (0 to 360) and declination, degrees, of 0-based pixel positions."""
    if projection.sip is not None:
        u, v = x + 1 - projection.crpix[0], y + 1 - projection.crpix[1]
        x = x + _polynomial(u, v, projection.sip[0])
        y = y + _polynomial(u, v, projection.sip[1])
    xi, eta = projected(projection, x, y)
    if projection.tpv is not None:
        r = np.hypot(xi, eta)
        first, second = projection.tpv
        xi, eta = (
            _polynomial(xi, eta, first) + _powers(r, projection.radial[0]),
            _polynomial(eta, xi, second) + _powers(r, projection.radial[1]),
        )
    xi, eta = np.radians(xi), np.radians(eta)
    dec = float(np.radians(projection.crval[1]))
    # Components of the direction, not normalised: along the meridian's equator, and to the pole.
    along = np.cos(dec) - eta * np.sin(dec)
    up = np.sin(dec) + eta * np.cos(dec)
    lon = projection.crval[0] + np.degrees(np.arctan2(xi, along))
    lon = np.where(lon < 0, lon + 360, np.where(lon >= 360, lon - 360, lon))
    return lon, np.degrees(np.arctan2(up, np.hypot(xi, along)))


def pixels_of(projection: Gnomonic, ra: Values, dec: Values) -> tuple[Values, Values]:
    """0-based pixel positions of (n,) right ascensions and declinations, degrees.

    NaN for positions 90 degrees or more from the reference point, which have none, and where the
    distortion cannot be inverted: it folds between the image and there. Every position is found
    by itself, to 1e-10 pixels but for rounding errors.
    """
    xi, eta = _on_plane(projection, ra, dec)
    (a, b), (c, d) = projection.matrix.tolist()
    determinant = a * d - b * c
    if projection.tpv is not None:
        first, second = projection.tpv
        step = _TOLERANCE * abs(determinant) ** 0.5
        xi, eta = _undistorted(xi, eta, np.stack([first, second.T]), projection.radial, step)
    u, v = (d * xi - b * eta) / determinant, (a * eta - c * xi) / determinant
    if projection.sip is not None:
        plane = projection.sip.copy()
        plane[0, 1, 0] += 1
        plane[1, 0, 1] += 1
        u, v = _undistorted(u, v, plane, np.zeros((2, 0)), _TOLERANCE)
    return u + (projection.crpix[0] - 1), v + (projection.crpix[1] - 1)


def _on_plane(projection: Gnomonic, ra: Values, dec: Values) -> tuple[Values, Values]:
    """Coordinates in the plane of projection, degrees; NaN for the other half of the sky."""
    ra0, dec0 = projection.crval
    turn, d, d0 = np.radians(ra - ra0), np.radians(dec), float(np.radians(dec0))
    # From differences of the angles, so that small offsets have small errors.
    north, cos = np.radians(dec - dec0), np.cos(d)
    bulge = 2 * cos * np.sin(turn / 2) ** 2
    depth = np.cos(north) - np.cos(d0) * bulge
    scale = np.degrees(1 / np.where(depth > 0, depth, np.nan))
    return cos * np.sin(turn) * scale, (np.sin(north) + np.sin(d0) * bulge) * scale


def _undistorted(
    x: Values, y: Values, plane: Values, radial: Values, tolerance: float
) -> tuple[Values, Values]:
    """The points that a distortion, as of `gnomonic_nb.distorted`, moves to some others."""
    from purepipe.gnomonic_nb import undistort

    linear = np.array([plane[:, 1, 0], plane[:, 0, 1]]).T
    if abs(np.linalg.det(linear)) <= SINGULAR:
        return np.full_like(x, np.nan), np.full_like(y, np.nan)
    inverse = np.linalg.inv(linear)
    used = [int(p + q) for _, p, q in np.argwhere(plane)]
    plane = np.tensordot(inverse, plane, 1)[:, : max(used) + 1, : max(used) + 1]
    radial = inverse @ radial if radial.any() else radial[:, :0]
    # Written out: a product of matrices has last bits that depend on the number of positions.
    (a, b), (c, d) = inverse.tolist()
    x, y = a * x + b * y, c * x + d * y
    undistort(x, y, np.ascontiguousarray(plane), np.ascontiguousarray(radial), tolerance)
    return x, y


def _powers(r: Values, coefficients: Values) -> Values:
    """Sum of coefficients times powers, by Horner's scheme."""
    total = np.zeros_like(r)
    for coefficient in coefficients[::-1].tolist():
        total = total * r + coefficient
    return total


def _polynomial(x: Values, y: Values, coefficients: Values) -> Values:
    """Sum of coefficients[p, q] x^p y^q."""
    total = np.zeros_like(x)
    for row in coefficients[::-1]:
        total = total * x + _powers(y, row) if row.any() else total * x
    return total


def _relevant_values(cards: str) -> dict[str, str | float] | None:
    """The values of the cards that matter; None if one of them is beyond this module."""
    values: dict[str, str | float] = {}
    for start in range(0, len(cards), CARD):
        line = cards[start : start + CARD]
        keyword = line[:8].rstrip()
        if not _MATTERS.fullmatch(keyword):
            continue
        value = _value(line[10:]) if line[8:10] == "= " else None
        if value is None or keyword in values or not _UNDERSTOOD.fullmatch(keyword):
            return None
        values[keyword] = value
    return values


def _value(text: str) -> str | float | None:
    number = _NUMBER.fullmatch(text.rstrip())
    if number:
        return float(number[1].upper().replace("D", "E"))
    quoted = _TEXT.fullmatch(text.rstrip())
    return quoted[1].replace("''", "'").rstrip() if quoted else None


def _kind(values: Mapping[str, str | float]) -> str | None:
    """TAN, TPV or SIP; None for other projections, axes, units or poles."""
    kind = _KINDS.get((str(values.get("CTYPE1")), str(values.get("CTYPE2"))))
    if values.get("NAXIS", 2) not in (0, 2) or values.get("WCSAXES", 2) != 2:
        return None
    if values.get("LONPOLE", 180) != 180 or isinstance(values.get("LATPOLE"), str):
        return None
    if any(values.get(f"CUNIT{axis}", "deg") not in ("deg", "") for axis in (1, 2)):
        return None
    has_pv = any(key.startswith("PV") for key in values)
    has_sip = any(key.startswith(("A_", "B_")) for key in values)
    if kind in ("TAN", "TPV"):
        kind = "TPV" if has_pv else "TAN"
    return None if (has_pv and kind == "SIP") or (has_sip and kind != "SIP") else kind


def _matrix(values: Mapping[str, str | float]) -> Values | None:
    """Degrees per pixel; None if the cards are contradictory, incomplete or singular."""
    places = [(row, column) for row in (1, 2) for column in (1, 2)]
    cd = [values.get(f"CD{row}_{column}") for row, column in places]
    pc = [values.get(f"PC{row}_{column}") for row, column in places]
    steps = [values.get("CDELT1"), values.get("CDELT2")]
    if any(isinstance(item, str) for item in (*cd, *pc, *steps)):
        return None
    has_cd, has_pc = (any(item is not None for item in items) for items in (cd, pc))
    if has_cd and not has_pc:
        matrix = np.array([item or 0.0 for item in cd], float).reshape(2, 2)
    elif not has_cd and None not in steps:
        unit = (1.0, 0.0, 0.0, 1.0)
        filled = [one if item is None else item for item, one in zip(pc, unit, strict=True)]
        matrix = np.array(filled, float).reshape(2, 2) * np.array(steps, float)[:, None]
    else:
        return None
    singular = abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]) < 1e-30
    return None if singular else matrix


def _equinox(values: Mapping[str, str | float]) -> float | None:
    """Equinox in years; None if a card is of the wrong type."""
    system = values.get("RADESYS", values.get("RADECSYS", ""))
    year = values.get("EQUINOX")
    if not isinstance(system, str) or isinstance(year, str):
        return None
    system = system.strip()
    if system == "ICRS":
        return 2000.0
    if year is None:
        return 1950.0 if system.startswith("FK4") else 2000.0
    return year


def _sip(values: Mapping[str, str | float]) -> Values | None:
    """Coefficients [axis, p, q] of SIP; None without an order for both axes."""
    orders = [values.get(f"{letter}_ORDER") for letter in "AB"]
    if not all(isinstance(item, float) and item in range(1, 10) for item in orders):
        return None
    sip = np.zeros((2, 10, 10))
    for axis, letter in enumerate("AB"):
        highest = int(orders[axis] or 0)
        for p in range(highest + 1):
            for q in range(highest + 1 - p):
                value = values.get(f"{letter}_{p}_{q}", 0.0)
                if isinstance(value, str):
                    return None
                sip[axis, p, q] = value
    return sip


def _tpv(values: Mapping[str, str | float]) -> tuple[Values | None, Values]:
    """Coefficients [axis, p, q] and [axis, power of r] of TPV; None without good linear terms."""
    plane, radial = np.zeros((2, _HIGHEST + 1, _HIGHEST + 1)), np.zeros((2, _HIGHEST + 1))
    for axis in (1, 2):
        number = 0
        for degree in range(_HIGHEST + 1):
            for q in range(degree + 1):
                plane[axis - 1, degree - q, q] = _coefficient(values, axis, number)
                number += 1
            if degree % 2:
                radial[axis - 1, degree] = _coefficient(values, axis, number)
                number += 1
    linear = all(isinstance(values.get(f"PV{axis}_1"), float) for axis in (1, 2))
    determinant = plane[0, 1, 0] * plane[1, 1, 0] - plane[0, 0, 1] * plane[1, 0, 1]
    usable = linear and abs(determinant) > SINGULAR and np.isfinite(plane).all()
    return (plane if usable else None), radial


def _coefficient(values: Mapping[str, str | float], axis: int, number: int) -> float:
    value = values.get(f"PV{axis}_{number}", 0.0)
    return value if isinstance(value, float) else np.nan
