"""The compiled search for the point that a distortion moves to a given place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from purepipe._jit import inner_kernel, kernel

Values = NDArray[np.float64]

_MOST_STEPS = 50
# Halvings of a step that leads no closer, or to where the distortion cannot be inverted.
_MOST_HALVINGS = 10
# So many tolerances from the goal rounding errors may be all that is left.
_ROUNDING = 1e4


@inner_kernel
def distorted(
    x: float, y: float, plane: Values, radial: Values
) -> tuple[float, float, float, float, float, float]:
    """A distorted point, and the derivatives of its coordinates: f, g, fx, fy, gx, gy.

    Coordinate k is the sum of ``plane[k, p, q] x^p y^q`` and of ``radial[k, p] r^p``.
    """
    f, g, fx, fy, gx, gy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    highest = plane.shape[1] - 1
    for p in range(highest, -1, -1):
        # Horner's scheme in y, and around it in x, for the sums and their slopes.
        a, b, ay, by = 0.0, 0.0, 0.0, 0.0
        for q in range(highest - p, -1, -1):
            ay, by = ay * y + a, by * y + b
            a, b = a * y + plane[0, p, q], b * y + plane[1, p, q]
        fx, gx = fx * x + f, gx * x + g
        fy, gy = fy * x + ay, gy * x + by
        f, g = f * x + a, g * x + b
    if radial.shape[1]:
        r = np.hypot(x, y)
        a, b, ar, br = 0.0, 0.0, 0.0, 0.0
        for p in range(radial.shape[1] - 1, -1, -1):
            ar, br = ar * r + a, br * r + b
            a, b = a * r + radial[0, p], b * r + radial[1, p]
        f, g = f + a, g + b
        if r > 0.0:
            fx, fy = fx + ar * x / r, fy + ar * y / r
            gx, gy = gx + br * x / r, gy + br * y / r
    return f, g, fx, fy, gx, gy


@kernel
def undistort(x: Values, y: Values, plane: Values, radial: Values, tolerance: float) -> None:
    """Replace points by those that the distortion moves to them; NaN where there is none.

    The distortion must be the identity to first order. Newton's method starts at the point
    itself and stays where the distortion does not fold, nor turn by a right angle, so that of
    several answers it is the one that belongs to the image. It ends with a step shorter than
    `tolerance`, or where rounding errors let it come no closer.
    """
    for i in range(x.size):
        goal_x, goal_y = x[i], y[i]
        at_x, at_y = goal_x - plane[0, 0, 0], goal_y - plane[1, 0, 0]
        x[i] = y[i] = np.nan
        f, g, fx, fy, gx, gy = distorted(at_x, at_y, plane, radial)
        for _ in range(_MOST_STEPS):
            determinant = fx * gy - fy * gx
            if not (determinant > 0.0 and fx + gy > 0.0):
                break
            f, g = goal_x - f, goal_y - g
            step_x, step_y = (gy * f - fy * g) / determinant, (fx * g - gx * f) / determinant
            if np.hypot(step_x, step_y) < tolerance:
                x[i], y[i] = at_x + step_x, at_y + step_y
                break
            before, whole = np.hypot(f, g), np.hypot(step_x, step_y)
            closer = False
            for _ in range(_MOST_HALVINGS):
                f, g, fx, fy, gx, gy = distorted(at_x + step_x, at_y + step_y, plane, radial)
                closer = np.hypot(goal_x - f, goal_y - g) < before
                closer = closer and fx * gy - fy * gx > 0.0 and fx + gy > 0.0
                if closer:
                    break
                step_x, step_y = step_x / 2, step_y / 2
            if not closer:
                if whole < _ROUNDING * tolerance:
                    x[i], y[i] = at_x, at_y
                break
            at_x, at_y = at_x + step_x, at_y + step_y
