"""HEALPix pixels of the sky (Gorski et al. 2005, ApJ 622, 759), in nested order.

Only what dividing a catalogue takes: the number and the centre of a pixel, and the pixels that a
cone meets. The sphere is cut into 12 faces of nside x nside pixels. A face is a square that stands
on its corner: x counts pixels towards the north-east, y towards the north-west.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import ConfigError
from purepipe.mask.sky import separation

# More would make millions of small cells.
LARGEST_NSIDE = 256
# Of the southern corner of each face: steps of a face from the north pole, in longitude eighths.
_SOUTH = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_LONGITUDE = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])


def pixel_numbers(nside: int, ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Numbers, in nested order, of the pixels at positions in degrees.

    Raises
    ------
    ConfigError
        `nside` is not a power of two from 1 to 256.
    """
    _check(nside)
    z = np.sin(np.radians(np.asarray(dec, np.float64)))
    quarter = np.asarray(ra, np.float64) % 360 / 90
    # 1 - |z| would lose its digits near the poles.
    colatitude = np.radians(90 - np.abs(np.asarray(dec, np.float64)))
    depth = nside * np.sqrt(6) * np.sin(colatitude / 2)
    face, x, y = np.where(
        np.abs(z) <= 2 / 3, _equatorial(nside, z, quarter), _polar(nside, z, quarter, depth)
    )
    number: NDArray[np.int64] = face * nside**2 + _spread(x) + 2 * _spread(y)
    return number


def _equatorial(
    nside: int, z: NDArray[np.float64], quarter: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Face, x and y of positions where the lines between the pixels are straight."""
    middle, height = nside * (quarter + 0.5), nside * z * 0.75
    falling = np.floor(middle - height).astype(np.int64)
    rising = np.floor(middle + height).astype(np.int64)
    west, east = falling // nside, rising // nside
    face = np.where(west == east, west % 4 + 4, np.where(west < east, west % 4, east % 4 + 8))
    return np.stack([face, rising % nside, nside - 1 - falling % nside])


def _polar(
    nside: int, z: NDArray[np.float64], quarter: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Face, x and y of positions at most `depth` rows of pixels from the nearer pole."""
    column = np.minimum(quarter.astype(np.int64), 3)
    along = quarter - column
    from_west, from_east = (
        np.minimum((part * depth).astype(np.int64), nside - 1) for part in (along, 1 - along)
    )
    north = np.stack([column, nside - 1 - from_east, nside - 1 - from_west])
    south = np.stack([column + 8, from_west, from_east])
    return np.where(z > 0, north, south)


@cache
def pixel_centres(nside: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination, in degrees, of the centres of all pixels.

    Raises
    ------
    ConfigError
        `nside` is not a power of two from 1 to 256.
    """
    _check(nside)
    face, inside = np.divmod(np.arange(12 * nside**2), nside**2)
    x, y = _gather(inside), _gather(inside >> 1)
    row = _SOUTH[face] * nside - x - y - 1  # from the north pole
    # Number of pixels in a quarter of the row.
    count = np.minimum(np.minimum(row, 4 * nside - row), nside)
    cap = count**2 / (3.0 * nside**2)
    z = np.where(row < nside, 1 - cap, cap - 1)
    z = np.where(count == nside, (2 * nside - row) * 2 / (3.0 * nside), z)
    ra = 45 * (_LONGITUDE[face] + (x - y) / count) % 360
    centres = ra, np.degrees(np.arcsin(z))
    for values in centres:
        values.flags.writeable = False
    return centres


def pixels_in_cone(nside: int, ra: float, dec: float, radius: float) -> NDArray[np.int64]:
    """Numbers, in nested order, of every pixel that a cone (degrees) may meet, and a few more."""
    distance = separation(ra, dec, *pixel_centres(nside))
    return np.flatnonzero(distance <= radius + _largest_radius(nside))


def _largest_radius(nside: int) -> float:
    """Degrees from the centre of a pixel to its farthest corner, at most.

    The longest pixels are those around the corner of a polar face, at z = 2/3.
    """
    corner = np.degrees(np.arcsin(1 - (1 - 1 / nside) ** 2 / 3))
    middle = np.degrees(np.arcsin(2 / 3))
    return float(separation(45 / nside, float(middle), 0.0, float(corner))[0])


def _check(nside: int) -> None:
    if not 1 <= nside <= LARGEST_NSIDE or nside & (nside - 1):
        raise ConfigError(
            "not a resolution of cells", key="nside", got=nside, allowed="1, 2, 4, 8, ... 256"
        )


def _spread(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits of small numbers at every second place."""
    total = np.zeros_like(values)
    for bit in range(LARGEST_NSIDE.bit_length()):
        total |= (values >> bit & 1) << 2 * bit
    return total


def _gather(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every second bit, close together."""
    total = np.zeros_like(values)
    for bit in range(LARGEST_NSIDE.bit_length()):
        total |= (values >> 2 * bit & 1) << bit
    return total
