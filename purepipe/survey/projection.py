"""Sky to pixels in bulk: a polynomial of the tangent plane, then corrected by the exact WCS.

The inverse of a distorted projection has no closed form. A cubic polynomial in tangent-plane
coordinates, fitted on a grid over one CCD, is good to a small fraction of a pixel. With P this
polynomial, t the plane coordinates of an object and F the exact projection of pixels to the plane,
each step x <- x + P(t) - P(F(x)) shrinks the error by the slope of P's residuals, about 1e-4 for
ordinary distortions; two steps then reach the rounding error. Every position is iterated by itself,
so that the result does not depend on the other objects of the call.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from purepipe.survey.headers import unit_vectors
from purepipe.wcs import WCS

_DEGREE = 3
_NODES = 12
# A correction (pixels) below which the next one is less than the rounding error.
_CONVERGED = 1e-6
# Positions that need more steps are left to the general inversion.
_STEPS = 10
_POWERS = tuple((i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i))

Plane = tuple[NDArray[np.float64], NDArray[np.float64]]


def tangent_plane(vectors: NDArray[np.float64], centre: NDArray[np.float64]) -> Plane:
    """Gnomonic coordinates (radians) of unit vectors around the unit vector `centre`."""
    # Any two directions orthogonal to the centre will do, also at a pole.
    helper = np.eye(3)[np.argmin(np.abs(centre))]
    east = np.cross(helper, centre)
    east /= np.linalg.norm(east)
    north = np.cross(centre, east)
    vx, vy, vz = (np.ascontiguousarray(vectors[:, i]) for i in range(3))
    depth = vx * centre[0] + vy * centre[1] + vz * centre[2]
    xi = (vx * east[0] + vy * east[1] + vz * east[2]) / depth
    eta = (vx * north[0] + vy * north[1] + vz * north[2]) / depth
    return xi, eta


def invert(
    wcs: WCS,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    plane: Plane,
    centre: NDArray[np.float64],
    area: tuple[int, int, int, int],
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """0-based pixel positions of the objects that may lie in `area`.

    Parameters
    ----------
    ra, dec
        Positions (degrees) in the neighbourhood of the CCD.
    plane
        Their coordinates in the tangent plane of `centre`.
    area
        (x0, x1, y0, y1), 1-based, both ends included.

    Returns
    -------
    inside, x, y
        Truth values for all objects; positions of those that are true, NaN where there is none.
    """
    polynomial, error = _fit(wcs, centre, area)
    x, y = polynomial(plane)
    margin = 1.0 + 3.0 * error
    inside = (x > area[0] - 1.5 - margin) & (x < area[1] - 0.5 + margin)
    inside &= (y > area[2] - 1.5 - margin) & (y < area[3] - 0.5 + margin)
    x, y, ra, dec = x[inside], y[inside], ra[inside], dec[inside]
    if len(x) == 0:
        return inside, x, y
    goal_x, goal_y = x.copy(), y.copy()
    active = np.arange(len(x))
    for _ in range(_STEPS):
        sky = wcs.pixel_to_sky(x[active], y[active])
        got_x, got_y = polynomial(tangent_plane(unit_vectors(*sky), centre))
        dx, dy = goal_x[active] - got_x, goal_y[active] - got_y
        x[active] += dx
        y[active] += dy
        active = active[~(np.hypot(dx, dy) < _CONVERGED)]
        if len(active) == 0:
            break
    for i in active:
        # One by one, for the same independence of the others.
        x[i], y[i] = wcs.sky_to_pixel(ra[i], dec[i])
    return inside, x, y


def _fit(
    wcs: WCS, centre: NDArray[np.float64], area: tuple[int, int, int, int]
) -> tuple[Callable[[Plane], Plane], float]:
    """The polynomial from the tangent plane to pixels, and its largest error on the grid."""
    nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)  # Chebyshev: no wild edges
    x0, x1, y0, y1 = area[0] - 1.5, area[1] - 0.5, area[2] - 1.5, area[3] - 0.5
    half_x, half_y = 0.52 * (x1 - x0), 0.52 * (y1 - y0)
    grid_x, grid_y = np.meshgrid((x0 + x1) / 2 + half_x * nodes, (y0 + y1) / 2 + half_y * nodes)
    x, y = grid_x.ravel(), grid_y.ravel()
    xi, eta = tangent_plane(unit_vectors(*wcs.pixel_to_sky(x, y)), centre)
    scale = max(float(np.abs(xi).max()), float(np.abs(eta).max()))
    u, v = xi / scale, eta / scale
    design = np.stack([u**i * v**j for i, j in _POWERS], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, np.stack([x, y], axis=1), rcond=None)
    error = float(np.abs(design @ coefficients - np.stack([x, y], axis=1)).max())
    table = np.zeros((2, _DEGREE + 1, _DEGREE + 1))
    for (i, j), pair in zip(_POWERS, coefficients, strict=True):
        table[:, i, j] = pair

    def polynomial(plane: Plane) -> Plane:
        u, v = plane[0] / scale, plane[1] / scale
        return _horner(table[0], u, v), _horner(table[1], u, v)

    return polynomial, error


def _horner(
    table: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of table[i, j] u^i v^j, element by element in a fixed order."""
    total = np.zeros_like(u)
    for i in range(_DEGREE, -1, -1):
        inner = np.full_like(u, table[i, _DEGREE - i])
        for j in range(_DEGREE - i - 1, -1, -1):
            inner = inner * v + table[i, j]
        total = total * u + inner
    return total
