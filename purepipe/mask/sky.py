"""Positions on the sky and on an image that contains only a few of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError
from purepipe.survey.headers import unit_vectors

if TYPE_CHECKING:
    from purepipe.wcs import WCS

# A position farther away than this is on no part of an image.
_HORIZON = 80.0


def separation(ra0: float, dec0: float, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Angular distance from one position to others, degrees, good for small angles too."""
    chord = np.linalg.norm(unit_vectors(ra, dec) - unit_vectors(ra0, dec0), axis=-1)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1))))


def offset_positions(
    lon: float, lat: float, west: ArrayLike, north: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (degrees) at offsets (arcsec) along great circles."""
    west, north = np.asarray(west, np.float64), np.asarray(north, np.float64)
    distance = np.radians(np.hypot(west, north) / 3600)
    position = np.arctan2(-west, north)
    lon0, lat0 = np.radians(lon), np.radians(lat)
    sin_lat = np.sin(lat0) * np.cos(distance)
    sin_lat = sin_lat + np.cos(lat0) * np.sin(distance) * np.cos(position)
    dlon = np.arctan2(
        np.sin(position) * np.sin(distance) * np.cos(lat0),
        np.cos(distance) - np.sin(lat0) * sin_lat,
    )
    return np.degrees(lon0 + dlon) % 360, np.degrees(np.arcsin(np.clip(sin_lat, -1, 1)))


def field_cone(wcs: WCS) -> tuple[float, float, float]:
    """Centre (ra, dec) and radius, in degrees, of the smallest cone around an image's centre."""
    ny, nx = wcs.shape
    ra, dec = wcs.pixel_to_sky(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))
    corners = wcs.footprint()
    radius = separation(float(ra[0]), float(dec[0]), corners[:, 0], corners[:, 1]).max()
    return float(ra[0]), float(dec[0]), float(radius)


def require_wcs(wcs: WCS | None, shape: tuple[int, int], what: str, name: str) -> WCS:
    """World coordinates that know the shape of their image.

    Raises
    ------
    DataError
        There are none.
    """
    if wcs is None:
        raise DataError(
            f"{what} cannot be placed: the image has no world coordinates", file=name,
            remedy="Give the exposure its WCS, or switch the rule off.",
        )  # fmt: skip
    return wcs if wcs.shape == shape else replace(wcs, shape=shape)


def project(wcs: WCS, ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """0-based pixel positions, also where the distortion cannot be inverted.

    Outside the image a distortion polynomial may have no inverse. What is drawn around such a
    place may still reach into the image, so the linear projection at the image centre stands in.
    Positions more than 80 degrees away give NaN.
    """
    x, y = wcs.sky_to_pixel(ra, dec)
    lost = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if len(lost):
        x[lost], y[lost] = _linear(wcs, np.asarray(ra)[lost], np.asarray(dec)[lost])
    return x, y


def _linear(
    wcs: WCS, ra: NDArray[Any], dec: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ny, nx = wcs.shape
    x0, y0 = (nx - 1) / 2, (ny - 1) / 2
    ra0, dec0, _ = field_cone(wcs)
    a, d = np.radians(ra - ra0), np.radians(dec)
    d0 = np.radians(dec0)
    depth = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    depth = np.where(depth > np.cos(np.radians(_HORIZON)), depth, np.nan)
    west = -np.cos(d) * np.sin(a) / depth
    north = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / depth
    offsets = np.degrees(np.stack([west, north])) * 3600
    dx, dy = np.linalg.solve(wcs.jacobian(x0, y0), offsets)
    return x0 + dx, y0 + dy
