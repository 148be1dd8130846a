"""Cones around images: the stars in them, and the cells of a divided sky that they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.mask import MaskConfig
from purepipe.errors import ConfigError
from purepipe.mask.halos import star_model
from purepipe.mask.sky import field_cone, separation
from purepipe.mask.stars import star_column

if TYPE_CHECKING:
    from astropy.table import Table

    from purepipe.wcs import WCS

# The brightest star of the night sky; none has a larger polygon.
BRIGHTEST = -1.5


def star_reach(mag: ArrayLike, config: MaskConfig | None = None) -> NDArray[np.float64]:
    """How far, in pixels, the halo or the spikes of each star reach; 0 for stars without mask.

    Parameters
    ----------
    mag
        Magnitudes; stars without one have that of ``config.unknown_mag``.
    config
        The mask, with its model polygons.
    """
    config = config or MaskConfig()
    mag = np.asarray(mag, dtype=np.float64)
    mag = np.where(np.isfinite(mag), mag, config.unknown_mag)
    reach = np.zeros(mag.shape)
    for name, item in (("halo", config.halo), ("spike", config.spike)):
        if item.make:
            radius = np.hypot(*star_model(name, item).T).max()
            size = np.abs(1.0 - item.scale * (mag - item.mag_pivot)) * radius
            reach = np.maximum(reach, np.where(mag < item.mag_limit, size, 0.0))
    return reach


def star_cone(wcs: WCS, config: MaskConfig | None = None) -> tuple[float, float, float]:
    """Centre and radius (degrees) of a cone with every star whose mask can reach an image."""
    ra, dec, radius = field_cone(wcs)
    return ra, dec, radius + float(star_reach(BRIGHTEST, config)) * wcs.pixel_scale / 3600


def stars_in_cone(stars: Table, wcs: WCS, config: MaskConfig | None = None) -> Table:
    """The rows of stars in the cone around an image, and of those outside whose mask reaches it.

    Parameters
    ----------
    stars
        Columns ra, dec (degrees) and mag.
    wcs
        World coordinates of the image, with its shape.
    config
        The mask, with its model polygons.

    Raises
    ------
    DataError
        A column is missing.
    """
    ra, dec, mag = (star_column(stars, name) for name in ("ra", "dec", "mag"))
    ra0, dec0, radius = field_cone(wcs)
    limit = radius + star_reach(mag, config) * wcs.pixel_scale / 3600
    # A comparison with NaN is false: stars without position are in no cone.
    return stars[separation(ra0, dec0, ra, dec) <= limit]


def sky_cells(
    ra: ArrayLike, dec: ArrayLike, size: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Band and number within the band of the cell of each position (degrees).

    Bands of declination are `size` degrees high, counted from the south pole; each is divided in
    right ascension into as many equal cells as make them about as wide.
    """
    bands, counts = _bands(size)
    band = np.floor((np.asarray(dec, np.float64) + 90) / size).astype(np.int64)
    band = np.clip(band, 0, bands - 1)
    number = np.floor((np.asarray(ra, np.float64) % 360) / 360 * counts[band]).astype(np.int64)
    return band, np.minimum(number, counts[band] - 1)


def cells_in_cone(ra: float, dec: float, radius: float, size: float) -> list[tuple[int, int]]:
    """Band and number of every cell that a cone may meet (all in degrees)."""
    bands, counts = _bands(size)
    lowest, highest = (
        int(np.clip(np.floor((edge + 90) / size), 0, bands - 1))
        for edge in (dec - radius, dec + radius)
    )
    cells: list[tuple[int, int]] = []
    for band in range(lowest, highest + 1):
        count = int(counts[band])
        if abs(dec) + radius >= 90:  # the cone holds a pole, and so every right ascension
            cells += [(band, number) for number in range(count)]
            continue
        half = np.degrees(np.arcsin(np.sin(np.radians(radius)) / np.cos(np.radians(dec))))
        first, last = (int(np.floor((ra + side) / 360 * count)) for side in (-half, half))
        last = min(last, first + count - 1)
        cells += [(band, number % count) for number in range(first, last + 1)]
    return cells


def _bands(size: float) -> tuple[int, NDArray[np.int64]]:
    """Number of bands, and number of cells in each."""
    if not 0.1 <= size <= 90:
        raise ConfigError(
            "the size of the cells is out of range", key="cell size", got=size,
            allowed="0.1 to 90 degrees",
        )  # fmt: skip
    bands = int(np.ceil(180 / size - 1e-9))
    middle = np.radians(-90 + size * (np.arange(bands) + 0.5))
    counts = np.round(360 * np.cos(np.minimum(middle, np.pi / 2)) / size)
    return bands, np.maximum(counts, 1).astype(np.int64)
