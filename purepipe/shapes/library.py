"""Simulated stamps of known shear: what the shear test measures.

Isolated galaxies, half exponential and half de Vaucouleurs, seen in several epochs. Every galaxy
exists in four versions: sheared by plus and minus gamma in one component, intrinsic shape as drawn
and turned by 90 degrees.

With a sheared grid the pixels follow the shear of the galaxy while the PSF stays on the sky. A
galaxy then looks the same in pixel coordinates for plus and minus, and so does noise that is the
same in both, which stays white: far less scatter in the bias, and the same expectation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import brief
from purepipe.errors import ConfigError
from purepipe.rng import generator
from purepipe.shapes.images import shear_matrix

PIXEL_SCALE = 0.187
SIDE = 51
SEEING = (0.64, 0.70, 0.76)  # FWHM of the epochs, arcsec
RADII = (0.25, 0.9)  # half-light radii, arcsec
SHAPE_WIDTH, LARGEST_SHAPE = 0.22, 0.7  # of the Rayleigh distribution of intrinsic shapes


@dataclass(frozen=True, eq=False)
class GalaxyLibrary:
    """Noise-free stamps of known shear.

    Attributes
    ----------
    images
        (galaxy, sign, turn, epoch, n, n) float32: sign plus, minus; turn 0, 90 degrees.
    psfs, jacobians
        (component, sign, epoch, n, n) and (component, sign, epoch, 2, 2): those of galaxies that
        are sheared in this component with this sign.
    component
        (galaxy,) which component is sheared, 0 or 1.
    gamma
        Size of the shear.
    """

    images: NDArray[np.float32] = field(repr=False)
    psfs: NDArray[np.float32] = field(repr=False)
    jacobians: NDArray[np.float64] = field(repr=False)
    component: NDArray[np.int64] = field(repr=False)
    gamma: float

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.images)


def draw_library(
    galaxies: int,
    *,
    seed: int = 0,
    gamma: float = 0.02,
    psf_shape: tuple[float, float] = (0.02, 0.0),
    turns: int = 2,
    seeing: Sequence[float] = SEEING,
    jacobians: ArrayLike | None = None,
    radii: tuple[float, float] = RADII,
    shear_grid: bool = False,
) -> GalaxyLibrary:
    """Stamps of simulated galaxies, drawn with GalSim.

    Parameters
    ----------
    galaxies
        Number of galaxies; shapes Rayleigh with width 0.22 below 0.7, centres uniform within the
        pixel.
    seed
        Of the galaxies.
    gamma
        Shear of the versions.
    psf_shape
        Reduced shape of the Moffat PSFs (beta 3.5).
    turns
        2 draws every galaxy also turned by 90 degrees.
    seeing
        FWHM of each epoch, arcsec.
    jacobians
        (epoch, 2, 2); default: pixels of 0.187 arcsec that differ by rotation, scale and shear, as
        CCDs of a survey do.
    radii
        Limits of the half-light radii (arcsec), distributed log-uniformly.
    shear_grid
        Whether the pixel grid is sheared with the galaxy.

    Raises
    ------
    ConfigError
        The numbers of seeings and Jacobians differ.
    """
    import galsim

    # accurate to well below the bias that is tested for
    fast = galsim.GSParams(folding_threshold=1.5e-3, maxk_threshold=2e-4)
    rng = generator(seed, "shear test galaxies")
    frames = survey_jacobians(len(seeing)) if jacobians is None else np.asarray(jacobians, float)
    if frames.shape != (len(seeing), 2, 2):
        raise ConfigError(
            "every epoch needs a seeing and a Jacobian", key="jacobians", got=frames.shape,
            allowed=f"({len(seeing)}, 2, 2)",
        )  # fmt: skip
    moffats = [galsim.Moffat(3.5, fwhm=fwhm, gsparams=fast) for fwhm in seeing]
    moffats = [psf.shear(g1=psf_shape[0], g2=psf_shape[1]) for psf in moffats]
    # the PSF includes the pixel of the unsheared grid, whatever the grid
    psfs = [
        galsim.Convolve(psf, _frame(galsim, jac).toWorld(galsim.Pixel(1.0)), gsparams=fast)
        for psf, jac in zip(moffats, frames, strict=True)
    ]
    shears = gamma * np.array([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
    grids = np.array(
        [[[shear_matrix(*(g if shear_grid else 0 * g)) @ j for j in frames] for g in two]
         for two in shears]
    )  # fmt: skip
    images = np.empty((galaxies, 2, turns, len(psfs), SIDE, SIDE), np.float32)
    for galaxy in range(galaxies):
        profile, shape, shift = _random_galaxy(galsim, rng, galaxy % 2 == 0, radii, fast)
        component = galaxy // 2 % 2
        for sign, turn in np.ndindex(2, turns):
            sheared = profile.shear(g1=shape[0] * (1 - 2 * turn), g2=shape[1] * (1 - 2 * turn))
            place = shift
            if shear_grid:
                place = shear_matrix(*shears[component, sign]) @ shift
            g1, g2 = shears[component, sign]
            sheared = sheared.shear(g1=g1, g2=g2).shift(*place)
            for epoch, psf in enumerate(psfs):
                picture = galsim.Convolve(sheared, psf, gsparams=fast)
                grid = _frame(galsim, grids[component, sign, epoch])
                images[galaxy, sign, turn, epoch] = _draw(picture, grid)
    stamps = [[[_draw(p, _frame(galsim, j)) for p, j in zip(psfs, epochs, strict=True)]
               for epochs in signs] for signs in grids]  # fmt: skip
    return GalaxyLibrary(images, np.array(stamps), grids, np.arange(galaxies) // 2 % 2, gamma)


def survey_jacobians(epochs: int) -> NDArray[np.float64]:
    """(epoch, 2, 2) frames that differ by rotation, scale and shear, as CCDs of a survey do."""
    kinds = (
        (-0.03, 0.995, 0.004, 0.0), (0.0, 1.0, 0.0, -0.004), (0.03, 1.005, -0.004, 0.004),
    )  # fmt: skip
    out = []
    for epoch in range(epochs):
        turn, scale, g1, g2 = kinds[epoch % len(kinds)]
        rotation = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        out.append(PIXEL_SCALE * scale * np.array([[1 + g1, g2], [g2, 1 - g1]]) @ rotation)
    return np.array(out)


def _random_galaxy(
    galsim: Any, rng: np.random.Generator, disc: bool, radii: tuple[float, float], accuracy: Any
) -> Any:
    radius = radii[0] * (radii[1] / radii[0]) ** rng.uniform()
    kind = galsim.Exponential if disc else galsim.DeVaucouleurs
    while (size := rng.rayleigh(SHAPE_WIDTH)) > LARGEST_SHAPE:
        pass
    angle = rng.uniform(0, 2 * np.pi)
    shape = size * np.array([np.cos(angle), np.sin(angle)])
    shift = rng.uniform(-0.5, 0.5, 2) * PIXEL_SCALE
    return kind(half_light_radius=radius, flux=1.0, gsparams=accuracy), shape, shift


def _frame(galsim: Any, jac: NDArray[np.float64]) -> Any:
    return galsim.JacobianWCS(*jac.ravel())


def _draw(profile: Any, frame: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = profile.drawImage(
        nx=SIDE, ny=SIDE, wcs=frame, method="no_pixel"
    ).array
    return array
