"""Columns computed from other columns: ellipses of moments, and their projection on the sky."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.wcs import WCS

Values = NDArray[Any]
# Prefix and suffix of the columns of one set of moments, e.g. ERRX2WIN_IMAGE.
KINDS = (("", ""), ("ERR", ""), ("", "WIN"), ("ERR", "WIN"))


def ellipse_columns(moments: dict[str, Values]) -> dict[str, Values]:
    """A, B, THETA, CXX, CYY, CXY in pixels for the errors and the windowed moments.

    `moments` holds X2.., Y2.., XY.. of all `KINDS` under their column names. The isophotal
    ellipse itself is measured with the footprint.
    """
    values: dict[str, Values] = {}
    for before, after in KINDS[1:]:
        x2, y2, xy = (moments[f"{before}{axes}{after}_IMAGE"] for axes in ("X2", "Y2", "XY"))
        a, b, theta = _axes(x2, y2, xy)
        with np.errstate(divide="ignore", invalid="ignore"):
            determinant = x2 * y2 - xy * xy
            coefficients = (y2 / determinant, x2 / determinant, -2 * xy / determinant)
        names = ("A", "B", "THETA", "CXX", "CYY", "CXY")
        for name, value in zip(names, (a, b, theta, *coefficients), strict=True):
            values[f"{before}{name}{after}_IMAGE"] = value
    return values


def world_columns(
    moments: dict[str, Values], wcs: WCS | None, x: Values, y: Values
) -> dict[str, Values]:
    """Moments and ellipses of all `KINDS` on the sky, degrees; NaN without world coordinates.

    `x`, `y` are the 0-based barycentres. The covariance enters the variances once, not twice, as
    in the original.
    """
    values: dict[str, Values] = {}
    l0, l1, l2, l3 = local_jacobian(wcs, x, y)
    for before, after in KINDS:
        x2, y2, xy = (moments[f"{before}{axes}{after}_IMAGE"] for axes in ("X2", "Y2", "XY"))
        lon2 = l0 * l0 * x2 + l1 * l1 * y2 + l0 * l1 * xy
        lat2 = l2 * l2 * x2 + l3 * l3 * y2 + l2 * l3 * xy
        both = l0 * l2 * x2 + l1 * l3 * y2 + (l0 * l3 + l1 * l2) * xy
        a, b, theta = _axes(lon2, lat2, both)
        theta = theta.astype(np.float32)
        north = np.where(theta > 0, np.float32(90), np.float32(-90)) - theta
        names = ("X2", "Y2", "XY", "A", "B", "THETA")
        for name, value in zip(names, (lon2, lat2, both, a, b, theta), strict=True):
            values[f"{before}{name}{after}_WORLD"] = value
        values[f"{before}THETA{after}_J2000"] = np.where(np.isnan(theta), np.nan, north)
    return values


def local_jacobian(wcs: WCS | None, x: Values, y: Values) -> tuple[Values, Values, Values, Values]:
    """Change of longitude (times cos latitude) and latitude per pixel in x and y, degrees."""
    if wcs is None or x.size == 0:
        empty = np.full(x.shape, np.nan)
        return empty, empty, empty, empty
    (lon, lat), (lon_x, lat_x), (lon_y, lat_y) = (
        wcs.pixel_to_sky(x + dx, y + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))
    )
    stretch = np.cos(np.radians(lat))
    lon_x, lon_y = (((other - lon + 180) % 360 - 180) * stretch for other in (lon_x, lon_y))
    return lon_x, lon_y, lat_x - lat, lat_y - lat


def _axes(x2: Values, y2: Values, xy: Values) -> tuple[Values, Values, Values]:
    """Major and minor axis, and position angle in degrees."""
    root = np.hypot((x2 - y2) / 2, xy)
    a = np.sqrt((x2 + y2) / 2 + root)
    b = np.sqrt(np.maximum((x2 + y2) / 2 - root, 0))
    theta = np.degrees(np.where(x2 == y2, np.pi / 4, np.arctan2(2 * xy, x2 - y2) / 2))
    return a, b, np.where(np.isnan(root), np.nan, theta)
