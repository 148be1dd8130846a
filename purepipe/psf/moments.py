"""Adaptive moments: the elliptical Gaussian that matches an image best.

The weight function is an elliptical Gaussian, iterated until its centroid and moments equal those
that it measures (Bernstein & Jarvis 2002, AJ 123, 583; Hirata & Seljak 2003, MNRAS 343, 459).
Agrees with ``galsim.hsm.FindAdaptiveMom`` of default parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.display import brief
from purepipe.errors import DataError
from purepipe.flags import MomentsFlag
from purepipe.psf.moments_nb import fit_batch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Moments:
    """Adaptive moments of n stamps; a failed one has a flag and NaN everywhere.

    Attributes
    ----------
    x, y
        Centroid, 0-based pixels of the stamp.
    sigma
        Size det(M)^(1/4), pixels: the sigma of a round Gaussian.
    e1, e2
        Distortion (a^2 - b^2)/(a^2 + b^2), along the axes and along the diagonals.
    g1, g2
        The same ellipse as reduced shear, (a - b)/(a + b).
    amplitude
        Flux of the matched Gaussian, image units times pixels.
    rho4
        Weighted radial fourth moment; 2 for a Gaussian.
    flags
        `MomentsFlag`, 0 for success.
    iterations
        Passes over the stamp.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    sigma: NDArray[np.float64]
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    g1: NDArray[np.float64]
    g2: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    rho4: NDArray[np.float64]
    flags: NDArray[np.int32]
    iterations: NDArray[np.int32]

    __repr__ = brief


def adaptive_moments(
    images: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    guess_sigma: ArrayLike = 5.0,
    guess_x: ArrayLike | None = None,
    guess_y: ArrayLike | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 400,
) -> Moments:
    """Adaptive moments of every stamp of a stack.

    Parameters
    ----------
    images
        Background-subtracted stamps, (n, h, w).
    weights
        Same shape; only whether a weight is positive counts, as in galsim. Pixels without
        weight are left out and may hold any value, NaN included.
    guess_sigma
        First size of the weight function, pixels: one number or one per stamp.
    guess_x, guess_y
        First centroid, 0-based pixels: one number or one per stamp; default the stamp's centre.
    tolerance
        The iteration ends when no centroid (relative to the minor axis) and no second moment
        (relative to its square) moves more than this.
    max_iterations
        Passes after which a stamp is given up.

    Raises
    ------
    DataError
        Shapes that do not fit together, or a guess that is not finite or not positive.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:41, :41] - 20.0
    >>> found = adaptive_moments(np.exp(-(x**2 / 18 + y**2 / 8))[None])
    >>> round(float(found.sigma[0]) ** 2, 3), round(float(found.g1[0]), 3)
    (6.0, 0.2)
    """
    stack = _as_stack(images)
    n, height, width = stack.shape
    if weights is not None:
        stack = _without_bad_pixels(stack, weights)
    sigma = _per_stamp(guess_sigma, n, "guess_sigma")
    x = _per_stamp((width - 1) / 2 if guess_x is None else guess_x, n, "guess_x")
    y = _per_stamp((height - 1) / 2 if guess_y is None else guess_y, n, "guess_y")
    if np.any(sigma <= 0):
        raise DataError("sizes must be positive", key="guess_sigma", got=sigma.min())
    out = np.full((n, 7), np.nan)
    flags = np.full(n, MomentsFlag.NOT_ATTEMPTED.value, dtype=np.int32)
    iterations = np.zeros(n, dtype=np.int32)
    fit_batch(stack, x, y, sigma, float(tolerance), int(max_iterations), out, flags, iterations)
    return _to_moments(out, flags, iterations)


def _to_moments(
    out: NDArray[np.float64], flags: NDArray[np.int32], iterations: NDArray[np.int32]
) -> Moments:
    x, y, mxx, mxy, myy, amplitude, rho4 = out.T
    e1, e2 = (mxx - myy) / (mxx + myy), 2 * mxy / (mxx + myy)
    to_shear = 1 / (1 + np.sqrt(1 - e1**2 - e2**2))
    return Moments(
        x=x, y=y, sigma=(mxx * myy - mxy**2) ** 0.25,
        e1=e1, e2=e2, g1=e1 * to_shear, g2=e2 * to_shear,
        amplitude=amplitude, rho4=rho4, flags=flags, iterations=iterations,
    )  # fmt: skip


def _as_stack(images: ArrayLike) -> NDArray[Any]:
    array = np.asarray(images)
    if array.ndim != 3:
        raise DataError(
            "a stack of stamps is needed", key="images", got=f"shape {array.shape}",
            allowed="(n, height, width)", remedy="Write image[None] for one image.",
        )  # fmt: skip
    dtype = np.float32 if array.dtype.newbyteorder("=") == np.float32 else np.float64
    return np.ascontiguousarray(array, dtype=dtype)


def _without_bad_pixels(stack: NDArray[Any], weights: ArrayLike) -> NDArray[Any]:
    # Every moment is a sum of I w, so a pixel of value 0 is a pixel left out.
    good = np.asarray(weights) > 0
    if good.shape != stack.shape:
        raise DataError("must have the shape of the images", key="weights",
                        got=good.shape, allowed=stack.shape)  # fmt: skip
    return np.where(good, stack, stack.dtype.type(0))


def _per_stamp(value: ArrayLike, n: int, key: str) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != n):
        raise DataError("one number or one per stamp is needed", key=key,
                        got=f"shape {array.shape}", allowed=f"() or ({n},)")  # fmt: skip
    if not np.all(np.isfinite(array)):
        raise DataError("must be finite", key=key)
    return np.ascontiguousarray(np.broadcast_to(array, (n,)))
