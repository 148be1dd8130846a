"""The kernel that brings the PSF of an image to one Moffat profile everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from purepipe.config.psf import PSFConfig
from purepipe.errors import AlgorithmError
from purepipe.psf import polynomial
from purepipe.psf.basis import Grid, gauss_laguerre
from purepipe.psf.model import PSFModel

_SNAPSHOTS = 5  # positions per context at which the target is to be met


def homogenisation_kernel(model: PSFModel, config: PSFConfig) -> PSFModel:
    """The convolution kernel, varying like the PSF, that makes the PSF a round Moffat profile.

    Parameters
    ----------
    model
        PSF of the image.
    config
        ``homogenisation_number`` and ``homogenisation_scale`` of the Gauss-Laguerre functions
        that the kernel is made of; ``homogenisation_target``, FWHM (image pixels) and beta of the
        target.

    Returns
    -------
    A model of the same contexts whose planes are those of the kernel; the sum of its constant
    plane is 1, and ``fwhm`` that of the target.

    Raises
    ------
    AlgorithmError
        The PSF model is empty, or the normal equations have no solution.

    Notes
    -----
    Least squares over a grid of positions, as in PSFEx.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    if model.is_empty:
        raise AlgorithmError(
            "an empty PSF model cannot be homogenised", remedy="Leave this image out."
        )
    grid = Grid(model.shape, model.shape, model.sampling)
    basis = gauss_laguerre(grid, config.homogenisation_number, config.homogenisation_scale)
    target = moffat(grid, *config.homogenisation_target)
    convolved = _convolved(model.mask.astype(np.float64), basis.astype(np.float64))
    normal, right = _equations(convolved, target, model.powers)
    try:
        factor = cho_factor(normal, lower=True)
        solution = np.asarray(cho_solve(factor, right))
    except (LinAlgError, ValueError) as error:
        raise AlgorithmError(
            f"the homogenisation kernel has no solution: {error}",
            remedy="Lower psf.homogenisation_number.",
        ) from error
    coeffs = solution.reshape(len(basis), len(model.mask))
    planes = np.tensordot(coeffs.T, basis.astype(np.float64), axes=1)
    planes /= planes[0].sum()
    return replace(
        model, mask=planes.astype(np.float32), coeffs=None, fwhm=config.homogenisation_target[0]
    )


def moffat(grid: Grid, fwhm: float, beta: float) -> NDArray[np.float64]:
    """Round Moffat profile of peak 1 on the model grid; `fwhm` in image pixels."""
    alpha = fwhm / grid.step / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
    return np.asarray((1.0 + grid.radius2 / alpha**2) ** -beta)


def _convolved(planes: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each plane convolved with each basis image, (nc, nb, npix)."""
    from scipy.fft import irfft2, rfft2

    height, width = planes.shape[1:]
    padded = 2 * height, 2 * width
    first, second = rfft2(planes, s=padded), rfft2(basis, s=padded)
    result = np.empty((len(planes), len(basis), height * width))
    rows, columns = slice(height // 2, height // 2 + height), slice(width // 2, width // 2 + width)
    for k, transform in enumerate(first):
        images = irfft2(transform * second, s=padded)
        result[k] = images[:, rows, columns].reshape(len(basis), -1)
    return result


def _equations(
    convolved: NDArray[np.float64], target: NDArray[np.float64], powers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal matrix and right side over (basis image, polynomial term)."""
    nc, nb, npix = convolved.shape
    flat = convolved.reshape(nc * nb, npix)
    cross = (flat @ flat.T).reshape(nc, nb, nc, nb)
    towards = (flat @ target.ravel()).reshape(nc, nb)
    normal, right = np.zeros((nb, nc, nb, nc)), np.zeros((nb, nc))
    steps = (np.arange(_SNAPSHOTS) + 0.5) / _SNAPSHOTS - 0.5
    grids = np.meshgrid(*[steps] * powers.shape[1], indexing="ij")
    points = np.stack([g.ravel() for g in grids], axis=1) if grids else np.zeros((1, 0))
    for terms in polynomial.evaluate(points, powers):
        gram = np.einsum("k,kilj,l->ij", terms, cross, terms, optimize=True)
        normal += gram[:, None, :, None] * np.outer(terms, terms)[None, :, None, :]
        right += np.outer(terms @ towards, terms)
    return normal.reshape(nb * nc, nb * nc), right.ravel()
