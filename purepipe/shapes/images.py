"""Metacalibration images, for inspection and for other estimators; the fits do not need them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.shapes.checks import check_stamps, shaped
from purepipe.shapes.metacal import TYPES
from purepipe.shapes.transforms import lattice_period

# Shears of the types in units of the step.
SHEARS = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def shear_matrix(g1: float, g2: float) -> NDArray[np.float64]:
    """The area-preserving 2 x 2 matrix of a reduced shear."""
    return np.array([[1.0 + g1, g2], [g2, 1.0 - g1]]) / math.sqrt(1.0 - g1 * g1 - g2 * g2)


def metacal_images(
    images: ArrayLike,
    psfs: ArrayLike,
    jacobians: ArrayLike,
    sigma_target: ArrayLike,
    *,
    step: float = 0.01,
) -> NDArray[np.float64]:
    """Sheared and reconvolved stamps, (nobj, nepoch, 5, n, n), types as in `MetacalResult`.

    Parameters
    ----------
    images, psfs, jacobians
        As for `metacal_fit`.
    sigma_target
        (nobj, nepoch) width of the round Gaussian reconvolution PSF, arcsec; for instance
        ``metacal_fit(...).sigma_target``.
    step
        Size of the applied shears.

    Raises
    ------
    DataError
        Arrays do not belong together.

    Notes
    -----
    No noise is added. The stamp is taken as periodic with a margin of 13 pixels and zero beyond its
    edges, as GalSim's InterpolatedImage is zero there.
    """
    stamps, psf_stamps, jac = check_stamps(images, psfs, jacobians)
    sigma = shaped(sigma_target, stamps.shape[:2], "sigma_target")
    out = np.empty((*stamps.shape[:2], len(TYPES), *stamps.shape[2:]))
    for index in np.ndindex(stamps.shape[:2]):
        out[index] = _sheared(
            stamps[index], psf_stamps[index], jac[index], float(sigma[index]), step
        )
    return out


def _sheared(
    image: NDArray[np.float32],
    psf: NDArray[np.float32],
    jac: NDArray[np.float64],
    sigma: float,
    step: float,
) -> NDArray[np.float64]:
    """The five images of one stamp, by direct sums over all modes up to the Nyquist frequency."""
    side = image.shape[0]
    period = lattice_period(max(side, psf.shape[0]))
    modes = (period + 1) // 2
    m = np.arange(1 - modes, modes)
    kx, ky = np.meshgrid(m * (2 * np.pi / period), m * (2 * np.pi / period))
    ratio = _transform(image, kx[0]) / _transform(psf, kx[0]) * float(psf.sum(dtype=np.float64))
    pixels = np.arange(side) - (side - 1) / 2
    out = np.empty((len(TYPES), side, side))
    for kind, (g1, g2) in enumerate(SHEARS * step):
        shear = shear_matrix(g1, g2)
        qu, qv = np.einsum("ij,iyx->jyx", np.linalg.inv(shear @ jac), np.stack([kx, ky]))
        spectrum = ratio * np.exp(-0.5 * sigma**2 * (qu**2 + qv**2)) / period**2
        back = np.linalg.inv(shear @ jac) @ jac
        wave_x = np.exp(1j * np.outer((kx * back[0, 0] + ky * back[1, 0]).ravel(), pixels))
        wave_y = np.exp(1j * np.outer((kx * back[0, 1] + ky * back[1, 1]).ravel(), pixels))
        out[kind] = ((wave_y * spectrum.ravel()[:, None]).T @ wave_x).real
    return out


def _transform(image: NDArray[np.float32], k: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(ky, kx) transform of a stamp about its centre."""
    wave = np.exp(-1j * np.outer(np.arange(len(image)) - (len(image) - 1) / 2, k))
    transform: NDArray[np.complex128] = wave.T @ image.astype(np.float64) @ wave
    return transform
