"""Cones around images, and the stars in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.config.mask import MaskConfig
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
