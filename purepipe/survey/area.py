"""Parts of the sky, and which images touch them: the selection of a field from headers alone.

Everything happens in the tangent plane of the part of the sky, where great circles are straight
lines. The edges of a range of coordinates and of a circle are curves there; they are followed by
short straight pieces, which cut off 1e-5 of the radius of a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import ConfigError, PurepipeError
from purepipe.survey.headers import CCD, unit_vectors
from purepipe.survey.split import CCDUnit

_PIECES = 720  # of a circle, or of the outline of a box
_WIDEST = 60.0  # degrees from the centre of an area to its edge
_FARTHEST = np.cos(np.radians(85.0))

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SkyArea:
    """A part of the sky; made by `cone`, `box` or `polygon`.

    Attributes
    ----------
    centre
        Unit vector of a point inside, the centre of the tangent plane.
    outline
        (n, 2) coordinates of the corners in that plane.
    """

    centre: Points
    outline: Points


def cone(ra: float, dec: float, radius: float) -> SkyArea:
    """The circle around a position; all in degrees.

    Raises
    ------
    ConfigError
        A radius that is not positive or above 60 degrees, or a position off the sky.
    """
    _check_position(ra, dec)
    if not 0 < radius <= _WIDEST:
        raise ConfigError("not a radius of an area", key="cone", got=radius,
                          allowed=f"0 to {_WIDEST:g} degrees")  # fmt: skip
    centre = unit_vectors([ra], [dec])[0]
    angle = 2 * np.pi * np.arange(_PIECES) / _PIECES
    return SkyArea(centre, np.tan(np.radians(radius)) * np.stack([np.cos(angle), np.sin(angle)], 1))


def box(ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> SkyArea:
    """The range of right ascension and declination (degrees); 359 to 1 crosses RA 0.

    Raises
    ------
    ConfigError
        The range of declination is empty or off the sky, or the box is too large.
    """
    if not -90 <= dec_min < dec_max <= 90:
        raise ConfigError("not a range of declination", key="box", got=(dec_min, dec_max),
                          allowed="-90 to 90, the smaller first")  # fmt: skip
    width = (ra_max - ra_min) % 360 or 360.0
    if width > 2 * _WIDEST or dec_max - dec_min > 2 * _WIDEST:
        raise ConfigError(
            "the box is too large", key="box", got=(width, dec_max - dec_min),
            allowed=f"{2 * _WIDEST:g} degrees on a side", remedy="Divide it.",
        )  # fmt: skip
    s = np.linspace(0, 1, _PIECES // 4, endpoint=False)
    ra = ra_min + width * np.concatenate([s, np.ones_like(s), 1 - s, np.zeros_like(s)])
    dec = dec_min + (dec_max - dec_min) * np.concatenate(
        [np.zeros_like(s), s, np.ones_like(s), 1 - s]
    )
    centre = unit_vectors([ra_min + width / 2], [(dec_min + dec_max) / 2])[0]
    return _area(centre, unit_vectors(ra, dec), "box")


def polygon(corners: Sequence[tuple[float, float]]) -> SkyArea:
    """The polygon with the corners (ra, dec) in degrees, joined by great circles.

    Raises
    ------
    ConfigError
        Fewer than three corners, one off the sky, or a polygon that is too large.
    """
    if len(corners) < 3:
        raise ConfigError("a polygon needs three corners", key="polygon", got=len(corners))
    for ra, dec in corners:
        _check_position(ra, dec)
    vectors = unit_vectors(*np.array(corners, dtype=np.float64).T)
    total = vectors.sum(axis=0)
    return _area(total / max(float(np.linalg.norm(total)), 1e-12), vectors, "polygon")


def touches(area: SkyArea, footprint: ArrayLike) -> bool:
    """Whether an image touches the area.

    Parameters
    ----------
    footprint
        (n, 2) right ascension and declination (degrees) of its corners, as `WCS.footprint` gives.
    """
    corners = np.asarray(footprint, dtype=np.float64)
    vectors = unit_vectors(corners[:, 0], corners[:, 1])
    if not (vectors @ area.centre > _FARTHEST).all():
        return False
    other = _plane(area.centre, vectors)
    return bool(
        _crossing(area.outline, other).any()
        or _holds(area.outline, np.vstack([other, other.mean(axis=0)])).any()
        or _holds(other, np.vstack([area.outline, area.outline.mean(axis=0)])).any()
    )


def select_ccds(
    units: Sequence[CCDUnit], area: SkyArea
) -> tuple[list[CCDUnit], list[PurepipeError]]:
    """The CCDs or tiles that touch the area, from their headers, and what is wrong with others."""
    found, problems = [], []
    for unit in units:
        try:
            ccd = CCD.from_header(unit.exposure, unit.ccd, unit.header)
        except PurepipeError as error:
            problems.append(error)
            continue
        if touches(area, ccd.wcs.footprint()):
            found.append(unit)
    return found, problems


def _area(centre: Points, vectors: Points, kind: str) -> SkyArea:
    if not (vectors @ centre >= np.cos(np.radians(_WIDEST)) - 1e-9).all():
        raise ConfigError(
            "the area is too large", key=kind, remedy="Divide it.",
            allowed=f"{_WIDEST:g} degrees from the centre to the edge",
        )  # fmt: skip
    return SkyArea(centre, _plane(centre, vectors))


def _plane(centre: Points, vectors: Points) -> Points:
    helper = np.eye(3)[np.argmin(np.abs(centre))]
    east = np.cross(helper, centre)
    east /= np.linalg.norm(east)
    north = np.cross(centre, east)
    depth = vectors @ centre
    return np.stack([vectors @ east / depth, vectors @ north / depth], axis=1)


def _crossing(first: Points, second: Points) -> NDArray[np.bool_]:
    """(n, m): whether edge i of the first outline crosses edge j of the second."""
    a, b = first[:, None], np.roll(first, -1, axis=0)[:, None]
    c, d = second[None], np.roll(second, -1, axis=0)[None]
    return (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)


def _turn(a: Points, b: Points, c: Points) -> Points:
    return np.asarray(
        np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
            - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )
    )


def _holds(outline: Points, points: Points) -> NDArray[np.bool_]:
    """Whether the outline surrounds each point: an odd number of edges to the right of it."""
    x, y = points[:, None, 0], points[:, None, 1]
    x0, y0 = outline[None, :, 0], outline[None, :, 1]
    x1, y1 = np.roll(x0, -1, axis=1), np.roll(y0, -1, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray((((y0 > y) != (y1 > y)) & (x < edge)).sum(axis=1) % 2 == 1)


def _check_position(ra: float, dec: float) -> None:
    if not (np.isfinite(ra) and -90 <= dec <= 90):
        raise ConfigError("not a position on the sky", key="position", got=(ra, dec),
                          allowed="right ascension and declination in degrees")  # fmt: skip
