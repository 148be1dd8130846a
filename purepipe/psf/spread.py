"""SPREAD_MODEL: whether an object is more extended than the PSF.

The normalised linear discriminant between the PSF and a slightly larger disc (Desai et al. 2012,
ApJ 757, 83, eq. 2), with ShapePipe's templates: a round Gaussian PSF, and an exponential disc of
scale radius FWHM/16 convolved with it, both centred on the stamp and integrated over pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from purepipe.config.shapes import SpreadConfig
from purepipe.errors import DataError
from purepipe.flags import SpreadFlag
from purepipe.psf.spread_nb import spread_batch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# FWHM of a Gaussian over its sigma, with the digits that ShapePipe uses.
FWHM_OVER_SIGMA = 2.35482004503
# Gaussians that make the disc; 5 bring the convolved disc to 7e-11 of its peak.
_DISC_GAUSSIANS = 5


def spread_model(
    stamps: ArrayLike,
    weights: ArrayLike,
    sigma_psf: ArrayLike,
    *,
    pixel_scale: float = 1.0,
    original_sentinels: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """SPREAD_MODEL, its error and `SpreadFlag` for every object.

    Parameters
    ----------
    stamps
        Background-subtracted stamps centred on the objects, (n, h, w). Pixels at or below -1e29
        (written for masked pixels) and NaN are left out.
    weights
        Inverse variances of the pixels, (n, h, w); 0 leaves a pixel out.
    sigma_psf
        Adaptive-moment sigma of the PSF averaged over the object's epochs, one per stamp; NaN or
        not positive where no epoch has a PSF.
    pixel_scale
        Unit of `sigma_psf` per pixel: 1 for pixels, the pixel scale for arcsec. The templates
        scale with the PSF, so the result does not depend on it otherwise.
    original_sentinels
        Write what ShapePipe writes for failures, (-1, 1) without PSF and 1 for each value that
        cannot be computed, in place of NaN.

    Returns
    -------
    spread, error, flags
        Arrays of length n. A failure gives NaN and a flag.

    Raises
    ------
    DataError
        Shapes that do not fit together, or a pixel scale that is not positive.
    """
    stack, inverse_variance = _same_shape(stamps, weights)
    n = len(stack)
    if not (pixel_scale > 0 and np.isfinite(pixel_scale)):
        raise DataError("must be positive", key="pixel_scale", got=pixel_scale)
    sigma = np.asarray(sigma_psf, dtype=np.float64) / pixel_scale
    if sigma.ndim > 1 or (sigma.ndim == 1 and len(sigma) != n):
        raise DataError("one number or one per stamp is needed", key="sigma_psf",
                        got=f"shape {sigma.shape}", allowed=f"() or ({n},)")  # fmt: skip
    spread, error = np.full(n, np.nan), np.full(n, np.nan)
    flags = np.full(n, SpreadFlag.NOT_ATTEMPTED.value, dtype=np.int32)
    extra, shares = disc_gaussians()
    sigma = np.ascontiguousarray(np.broadcast_to(sigma, (n,)))
    spread_batch(stack, inverse_variance, sigma, extra, shares, spread, error, flags)
    if original_sentinels:
        spread = np.where(flags & SpreadFlag.NO_PSF, -1.0, np.where(np.isnan(spread), 1.0, spread))
        error = np.where(np.isnan(error), 1.0, error)
    return spread, error, flags


def spread_class(
    spread: ArrayLike,
    error: ArrayLike,
    config: SpreadConfig = SpreadConfig(),  # noqa: B008 - frozen
) -> NDArray[np.int16]:
    """SPREAD_CLASS: 0 star, 1 galaxy, 2 neither, -1 where there is no spread model.

    With c = spread + 2 error, a star has abs(c) below ``config.star_limit`` and a galaxy c above
    ``config.galaxy_limit``, both strictly.
    """
    spread, error = np.asarray(spread, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if spread.shape != error.shape:
        raise DataError("must have the shape of the spread", key="error", got=error.shape,
                        allowed=spread.shape)  # fmt: skip
    c = spread + 2 * error
    result = np.full(c.shape, 2, dtype=np.int16)
    result[c > config.galaxy_limit] = 1
    result[np.abs(c) < config.star_limit] = 0
    # (-1, 1) and (1, 1) are the original's words for "failed".
    failed = ~np.isfinite(c) | ((np.abs(spread) == 1) & (error == 1))
    result[failed] = -1
    return result


def disc_gaussians() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances, in units of the PSF's, and shares of the Gaussians that make the disc.

    An exponential disc of scale radius r is a mixture of round Gaussians whose variances follow
    a gamma distribution of shape 3/2 and scale 2 r^2 (the Laplace transform of exp(-sqrt(s))).
    Its generalised Gauss-Laguerre nodes converge fast, because r is small beside the PSF.
    """
    from scipy.special import roots_genlaguerre

    nodes, shares = roots_genlaguerre(_DISC_GAUSSIANS, 0.5)
    return 2 * (FWHM_OVER_SIGMA / 16) ** 2 * nodes, shares / shares.sum()


def _same_shape(
    stamps: ArrayLike, weights: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    stack, inverse_variance = np.asarray(stamps), np.asarray(weights)
    if stack.ndim != 3:
        raise DataError("a stack of stamps is needed", key="stamps", got=f"shape {stack.shape}",
                        allowed="(n, height, width)")  # fmt: skip
    if inverse_variance.shape != stack.shape:
        raise DataError("must have the shape of the stamps", key="weights",
                        got=inverse_variance.shape, allowed=stack.shape)  # fmt: skip
    single = stack.dtype.itemsize == 4 and inverse_variance.dtype.itemsize == 4
    dtype = np.float32 if single and stack.dtype.kind == "f" else np.float64
    return (
        np.ascontiguousarray(stack, dtype=dtype),
        np.ascontiguousarray(inverse_variance, dtype=dtype),
    )
