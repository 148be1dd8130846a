"""Positions and directions on the sky: the header's system, FK5 J2000 and FK4 B1950."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.wcs import WCS

Values = NDArray[Any]
SYSTEMS = ("SKY", "J2000", "B1950")
_PAIRS = (
    ("X", "WORLD"), ("Y", "WORLD"), ("ALPHA", "SKY"), ("DELTA", "SKY"), ("ALPHA", "J2000"),
    ("DELTA", "J2000"), ("X", "FOCAL"), ("Y", "FOCAL"),
)  # fmt: skip


def is_on_sky(name: str) -> bool:
    """Whether a column needs world coordinates."""
    return name.endswith(("_WORLD", "_FOCAL", *(f"_{system}" for system in SYSTEMS)))


def sky_positions(
    wcs: WCS | None, x: Values, y: Values, kind: str, systems: Collection[str] = SYSTEMS
) -> dict[str, Values]:
    """World, celestial and focal-plane columns of 0-based positions; NaN without a WCS.

    `kind` is the infix of the names: nothing, ``"WIN"`` or ``"PEAK"``. B1950 is left out if it is
    not among the `systems`. Precession follows Lieske et al. (1977), B1950 Aoki et al. (1983);
    with the original it agrees to 1e-5 arcsec.
    """
    blank = np.full(x.shape, np.nan)
    names = [f"{axis}{kind}_{system}" for axis, system in _PAIRS]
    old = [f"{axis}{kind}_B1950" for axis in ("ALPHA", "DELTA") if "B1950" in systems]
    if wcs is None or x.size == 0:
        return dict.fromkeys([*names, *old], blank)
    lon, lat = wcs.pixel_to_sky(x, y)
    first, second = (lon, lat) if wcs.longitude_first else (lat, lon)
    year = wcs.equinox
    ra, dec = (lon, lat) if year == 2000 else _precessed(lon, lat, year, 2000.0)
    values = [first, second, lon, lat, ra, dec, *wcs.tangent_plane(x, y)]
    if old:
        values += _to_b1950(ra, dec, year)
    return dict(zip([*names, *old], values, strict=True))


def position_angles(
    wcs: WCS | None, theta: Values, lon: Values, lat: Values, systems: Collection[str] = SYSTEMS
) -> dict[str, Values]:
    """Angles east of north, degrees, by system, from angles from the first axis.

    `lon`, `lat` are the celestial positions in the system of the header. B1950 is left out if it
    is not among the `systems`.
    """
    if wcs is None or theta.size == 0:
        return dict.fromkeys(SYSTEMS, theta)
    native = theta
    if wcs.longitude_first:
        native = np.where(theta > 0, np.float32(90), np.float32(-90)) - theta
        native = np.where(np.isnan(theta), np.float32(np.nan), native)
    year, ra, dec, modern = wcs.equinox, lon, lat, native
    if year != 2000:
        pole = _precessed(np.zeros(1), np.full(1, 90.0), 2000.0, year)
        modern = native + _direction_of(pole, lon, lat)
        ra, dec = _precessed(lon, lat, year, 2000.0)
    angles = {"SKY": native, "J2000": modern}
    if "B1950" in systems:
        angles["B1950"] = (modern + _turn_to_b1950(ra, dec, year) + 90) % 180 - 90
    return angles


def _direction_of(pole: tuple[Values, Values], lon: Values, lat: Values) -> Values:
    """Position angle of a pole as seen from positions, degrees."""
    d_lon, pole_lat, lat = np.radians(pole[0] - lon), np.radians(pole[1]), np.radians(lat)
    east = np.cos(pole_lat) * np.sin(d_lon)
    north = np.cos(lat) * np.sin(pole_lat) - np.sin(lat) * np.cos(pole_lat) * np.cos(d_lon)
    return np.asarray(np.degrees(np.arctan2(east, north)))


def _turn_to_b1950(ra: Values, dec: Values, year: float) -> Values:
    """Angle at J2000 positions between the poles of J2000 and B1950, degrees.

    As in the original by the cosine rule from three distances, of which the declination in B1950
    contains the aberration terms of FK4 and the others do not: 1e-3 degrees off where the angle is
    small.
    """
    pole = _from_b1950(np.zeros(1), np.full(1, 90.0), year)
    new, old = np.radians(dec), np.radians(_to_b1950(ra, dec, year)[1])
    cosine = np.sin(np.radians(pole[1])) - np.sin(new) * np.sin(old)
    angle = np.arccos(np.clip(cosine / (np.cos(new) * np.cos(old)), -1, 1))
    return np.asarray(np.copysign(np.degrees(angle), _direction_of(pole, ra, dec)))


def _precessed(lon: Values, lat: Values, old: float, new: float) -> tuple[Values, Values]:
    """Coordinates of equinox `old` at equinox `new` (Julian years), degrees."""
    import erfa

    zeta, z, theta = erfa.prec76(2451545.0, (old - 2000) * 365.25, 2451545.0, (new - 2000) * 365.25)
    vector = erfa.s2c(np.radians(lon) + zeta, np.radians(lat))
    cos, sin = np.cos(theta), np.sin(theta)
    turned = np.stack(
        [
            cos * vector[..., 0] - sin * vector[..., 2],
            vector[..., 1],
            sin * vector[..., 0] + cos * vector[..., 2],
        ],
        axis=-1,
    )
    lon, lat = erfa.c2s(turned)
    return np.degrees(lon + z) % 360, np.degrees(lat)


def _to_b1950(lon: Values, lat: Values, year: float) -> tuple[Values, Values]:
    """FK4 B1950 from FK5 J2000, as for a star at rest observed in a year."""
    import erfa

    lon, lat, _, _ = erfa.fk54z(np.radians(lon), np.radians(lat), year)
    return np.degrees(lon) % 360, np.degrees(lat)


def _from_b1950(lon: Values, lat: Values, year: float) -> tuple[Values, Values]:
    import erfa

    lon, lat = erfa.fk45z(np.radians(lon), np.radians(lat), year)
    return np.degrees(lon), np.degrees(lat)
