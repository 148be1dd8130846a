"""Areas of tiles on the sky, and which of overlapping tiles an object belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError
from purepipe.survey.headers import unit_vectors
from purepipe.wcs import WCS

# Rounding of positions (radians, a micro-arcsecond) shall not put an object off every tile.
_EDGE = 5e-12


@dataclass(frozen=True)
class TileArea:
    """The part of the sky that a tile covers: a quadrilateral of great circles.

    The edges of an image with a tangential projection are great circles.

    Attributes
    ----------
    number
        Tile number, such as ``"051-231"``.
    corners
        (ra, dec) of the four corners in order, degrees.
    """

    number: str
    corners: tuple[tuple[float, float], ...]

    @property
    def vectors(self) -> NDArray[np.float64]:
        """(4, 3) unit vectors of the corners."""
        corners = np.array(self.corners)
        return unit_vectors(corners[:, 0], corners[:, 1])

    @property
    def centre(self) -> NDArray[np.float64]:
        """Unit vector of the centre."""
        total = self.vectors.sum(axis=0)
        return np.asarray(total / np.linalg.norm(total))


def tile_area(number: str, wcs: WCS) -> TileArea:
    """The area of a tile from its world coordinates."""
    corners = wcs.footprint()
    return TileArea(number, tuple((float(ra), float(dec)) for ra, dec in corners))


def area_of_objects(number: str, ra: ArrayLike, dec: ArrayLike) -> TileArea:
    """The smallest north-up tile that holds all positions (degrees); those not finite are ignored.

    Raises
    ------
    DataError
        No position is finite.
    """
    vectors = unit_vectors(ra, dec)
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    if len(vectors) == 0:
        raise DataError("no object of the tile has a sky position", key=number)
    middle = vectors.mean(axis=0)
    middle /= np.linalg.norm(middle)
    east = np.cross([0.0, 0.0, 1.0], middle)
    if np.linalg.norm(east) < 1e-9:  # at a pole every direction is as good
        east = np.array([0.0, 1.0, 0.0])
    east /= np.linalg.norm(east)
    north = np.cross(middle, east)
    depth = vectors @ middle
    xi, eta = vectors @ east / depth, vectors @ north / depth
    x0, x1, y0, y1 = xi.min(), xi.max(), eta.min(), eta.max()
    corners = [
        middle + x * east + y * north for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    ]  # fmt: skip
    return TileArea(number, tuple(_ra_dec(corner) for corner in corners))


def covered(area: TileArea, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.bool_]:
    """Whether each position (degrees) lies on the tile; False where it is not finite."""
    return _inside(area, unit_vectors(ra, dec))


def owners(ra: ArrayLike, dec: ArrayLike, areas: Sequence[TileArea]) -> NDArray[np.int64]:
    """Index of the tile that each position belongs to: of those that cover it, the nearest centre.

    -1 where no tile covers the position. Of centres equally far, the first in the list is taken.
    """
    vectors = unit_vectors(ra, dec)
    best = np.full(len(vectors), -2.0)
    owner = np.full(len(vectors), -1, dtype=np.int64)
    for index, area in enumerate(areas):
        closeness = vectors @ area.centre
        wins = _inside(area, vectors) & (closeness > best)
        best[wins], owner[wins] = closeness[wins], index
    return owner


def _inside(area: TileArea, vectors: NDArray[np.float64]) -> NDArray[np.bool_]:
    corners, centre = area.vectors, area.centre
    with np.errstate(invalid="ignore"):
        inside = vectors @ centre > 0
        for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            normal = np.cross(first, second)
            length = np.linalg.norm(normal)
            if length > 0:
                side = np.sign(normal @ centre)
                inside &= side * (vectors @ normal) / length >= -_EDGE
    return np.asarray(inside)


def _ra_dec(vector: NDArray[np.float64]) -> tuple[float, float]:
    x, y, z = (float(value) for value in vector)
    return float(np.degrees(np.arctan2(y, x))) % 360.0, float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )
