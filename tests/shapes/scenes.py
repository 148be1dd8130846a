"""Simulated stamps for the tests of the shapes room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCALE = 0.187


@dataclass(frozen=True)
class Scene:
    images: NDArray[np.float32]
    psfs: NDArray[np.float32]
    jacobians: NDArray[np.float64]
    sigmas: NDArray[np.float64]


def make_scene(
    *,
    objects: int = 6,
    epochs: int = 2,
    side: int = 51,
    snr: float = 30.0,
    seeing: float = 0.7,
    seed: int = 7,
) -> Scene:
    """Exponential galaxies behind Moffat PSFs on slightly different pixel grids."""
    import galsim

    rng = np.random.default_rng(seed)
    shape = (objects, epochs)
    images = np.zeros((*shape, side, side), np.float32)
    psfs = np.zeros_like(images)
    jacobians = np.zeros((*shape, 2, 2))
    fast = galsim.GSParams(folding_threshold=5e-3, maxk_threshold=1e-3)
    for i in range(objects):
        galaxy = galsim.Exponential(half_light_radius=rng.uniform(0.3, 0.7), gsparams=fast)
        galaxy = galaxy.shear(g1=rng.uniform(-0.3, 0.3), g2=rng.uniform(-0.3, 0.3))
        galaxy = galaxy.shift(*rng.uniform(-0.09, 0.09, 2)).withFlux(1000.0)
        for e in range(epochs):
            turn = rng.uniform(-0.03, 0.03)
            jac = SCALE * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            jac[0] *= 1 + rng.uniform(-0.004, 0.004)
            psf = galsim.Moffat(3.5, fwhm=seeing * (1 + 0.04 * e), gsparams=fast)
            psf = psf.shear(g1=0.02, g2=-0.01)
            wcs = galsim.JacobianWCS(*jac.ravel())
            images[i, e] = galsim.Convolve(galaxy, psf).drawImage(nx=side, ny=side, wcs=wcs).array
            psfs[i, e] = psf.drawImage(nx=side, ny=side, wcs=wcs).array
            jacobians[i, e] = jac
    sigma = np.sqrt((images.astype(float) ** 2).sum(axis=(1, 2, 3))) / snr
    images += (sigma[:, None, None, None] * rng.standard_normal(images.shape)).astype(np.float32)
    return Scene(images, psfs, jacobians, np.repeat(sigma[:, None], epochs, axis=1))
