"""Columns computed from other columns: ellipses of moments, and their projection on the sky."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from purepipe.detect.sky import SYSTEMS, position_angles
from purepipe.wcs import WCS

Values = NDArray[Any]
# The original takes no smaller determinant of moments in degrees^2, so that CXX_WORLD and its like
# are far too small; kept, because the columns are the original's.
LEAST_DETERMINANT = 1e-6
Jacobian = tuple[Values, Values, Values, Values]
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
        names = ("A", "B", "THETA", "CXX", "CYY", "CXY")
        for name, value in zip(names, (a, b, theta, *_coefficients(x2, y2, xy)), strict=True):
            values[f"{before}{name}{after}_IMAGE"] = value
        if not before:
            values[f"POLAR{after}_IMAGE"] = polarisation(a, b)
    return values


def world_columns(
    moments: dict[str, Values], jacobian: Jacobian, wcs: WCS | None, x: Values, y: Values,
    systems: Collection[str] = SYSTEMS,
) -> dict[str, Values]:  # fmt: skip
    """Moments and ellipses of all `KINDS` on the sky, degrees; NaN without world coordinates.

    `jacobian` and the 0-based barycentres `x`, `y` belong to the rows; angles in B1950 are left
    out if it is not among the `systems`. The covariance enters the variances once, not twice, as
    in the original; which, under a header whose first axis is the latitude, also takes the
    derivatives in reverse order.
    """
    values: dict[str, Values] = {}
    lon, lat = _celestial(wcs, x, y)
    l0, l1, l2, l3 = jacobian if wcs is None or wcs.longitude_first else jacobian[::-1]
    for before, after in KINDS:
        x2, y2, xy = (moments[f"{before}{axes}{after}_IMAGE"] for axes in ("X2", "Y2", "XY"))
        lon2 = l0 * l0 * x2 + l1 * l1 * y2 + l0 * l1 * xy
        lat2 = l2 * l2 * x2 + l3 * l3 * y2 + l2 * l3 * xy
        both = l0 * l2 * x2 + l1 * l3 * y2 + (l0 * l3 + l1 * l2) * xy
        a, b, theta = _axes(lon2, lat2, both)
        theta = theta.astype(np.float32)
        coefficients = _world_coefficients(lon2, lat2, both)
        for name, value in zip(
            ("X2", "Y2", "XY", "A", "B", "THETA", "CXX", "CYY", "CXY"),
            (lon2, lat2, both, a, b, theta, *coefficients),
            strict=True,
        ):
            values[f"{before}{name}{after}_WORLD"] = value
        for system, angle in position_angles(wcs, theta, lon, lat, systems).items():
            values[f"{before}THETA{after}_{system}"] = angle
        if not before:
            values[f"POLAR{after}_WORLD"] = polarisation(a, b)
    return values


def polarisation(a: Values, b: Values) -> Values:
    """(a^2 - b^2) / (a^2 + b^2)."""
    a2, b2 = np.square(a), np.square(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((a2 - b2) / (a2 + b2))


def _celestial(wcs: WCS | None, x: Values, y: Values) -> tuple[Values, Values]:
    if wcs is None or x.size == 0:
        return np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    return wcs.pixel_to_sky(x, y)


def local_jacobian(wcs: WCS | None, x: Values, y: Values) -> Jacobian:
    """Change of the world axes per pixel in x and y, degrees.

    The order is (first axis in x, first in y, second in x, second in y); longitudes are
    multiplied with the cosine of the latitude. NaN without world coordinates.
    """
    if wcs is None or x.size == 0:
        empty = np.full(x.shape, np.nan)
        return empty, empty, empty, empty
    axes = [wcs.pixel_to_sky(x + dx, y + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))]
    (lon, lat), (lon_x, lat_x), (lon_y, lat_y) = axes
    stretch = np.cos(np.radians(lat))
    lon_x, lon_y = (((other - lon + 180) % 360 - 180) * stretch for other in (lon_x, lon_y))
    if wcs.longitude_first:
        return lon_x, lon_y, lat_x - lat, lat_y - lat
    return lat_x - lat, lat_y - lat, lon_x, lon_y


def _coefficients(x2: Values, y2: Values, xy: Values) -> tuple[Values, Values, Values]:
    """CXX, CYY, CXY of the ellipse of second moments."""
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = x2 * y2 - xy * xy
        return y2 / determinant, x2 / determinant, -2 * xy / determinant


def _world_coefficients(x2: Values, y2: Values, xy: Values) -> tuple[Values, Values, Values]:
    """The same on the sky, with the original's least determinant (in degrees^4)."""
    cxx, cyy, cxy = _coefficients(x2, y2, xy)
    small = x2 * y2 - xy * xy < LEAST_DETERMINANT
    return (
        np.where(small, y2 / LEAST_DETERMINANT, cxx),
        np.where(small, x2 / LEAST_DETERMINANT, cyy),
        np.where(small, -1.99998 * xy / LEAST_DETERMINANT, cxy),
    )


def _axes(x2: Values, y2: Values, xy: Values) -> tuple[Values, Values, Values]:
    """Major and minor axis, and position angle in degrees."""
    root = np.hypot((x2 - y2) / 2, xy)
    a = np.sqrt((x2 + y2) / 2 + root)
    b = np.sqrt(np.maximum((x2 + y2) / 2 - root, 0))
    theta = np.degrees(np.where(x2 == y2, np.pi / 4, np.arctan2(2 * xy, x2 - y2) / 2))
    return a, b, np.where(np.isnan(root), np.nan, theta)
