"""Images that the refinement of a PSF model is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]
# First index, number of weights and weights, along x and along y, of all stars.
Taps = tuple[_Array, _Array, _Array, _Array, _Array, _Array]


@dataclass(frozen=True)
class Grid:
    """The model grid and the vignettes that it is fitted to.

    Attributes
    ----------
    shape
        (h, w) of the model.
    vignet_shape
        (vh, vw) of the vignettes.
    step
        Size of a model pixel in image pixels, a float32 number.
    """

    shape: tuple[int, int]
    vignet_shape: tuple[int, int]
    step: float

    @property
    def inverse_step(self) -> float:
        """Image pixels in units of model pixels, rounded to single precision."""
        return float(np.float32(1.0 / self.step))

    @property
    def half_size(self) -> int:
        """Radius of the largest circle on the grid, model pixels."""
        return min(self.shape[0] // 2, self.shape[1] // 2)

    @property
    def radius2(self) -> NDArray[np.float64]:
        """(h, w) squared distance from the centre, model pixels."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        return np.asarray(
            (x - self.shape[1] // 2.0) ** 2 + (y - self.shape[0] // 2.0) ** 2, dtype=np.float64
        )


def free_pixels(constant: NDArray[np.float32], grid: Grid, number: int) -> NDArray[np.int64]:
    """Row and column (nb, 2) of the model pixels that the refinement may change.

    The `number` squared brightest pixels of the constant plane, those outside the largest circle
    or outside the vignettes taken away again (from PSFEx, mirrored tests included: they matter
    for even sizes only).
    """
    height, width = grid.shape
    brightness = np.abs(constant)
    count = min(number**2, brightness.size)
    threshold = np.partition(brightness, brightness.size - count, axis=None)[-count]
    iy, ix = np.mgrid[:height, :width]
    x, y = ix - width // 2, (height - 1 - iy) - height // 2
    reach_y, reach_x = (int((n - 1) / (2 * grid.step)) for n in grid.vignet_shape)
    free = brightness >= threshold
    free &= np.sqrt(x**2 + y**2) < grid.half_size + 0.5
    free &= np.abs((width - 1 - ix) - width // 2) <= reach_x
    free &= np.abs(iy - height // 2) <= reach_y
    return np.argwhere(free)


def edge_taper(grid: Grid, fwhm: float) -> NDArray[np.float64]:
    """Factor (h, w) that takes the model to zero at the edge of its largest circle."""
    outer = grid.half_size + 0.5
    width = max(float(np.float32(fwhm / grid.step)), 1.0)
    if width >= outer:
        width = outer / 2
    inner = outer - width
    r2 = grid.radius2
    factor = (outer**2 - r2) / (outer**2 - inner**2)
    return np.where(r2 >= inner**2, np.where(r2 >= outer**2, 0.0, factor), 1.0)


def gauss_laguerre(grid: Grid, n_max: int, scale: float) -> NDArray[np.float32]:
    """Polar Gauss-Laguerre functions on the model grid, (nb, h, w).

    Parameters
    ----------
    n_max
        Largest order; nb = (n_max + 1)(n_max + 2)/2, ordered by n, then m, cosine before sine.
    scale
        The functions have the scale ``scale * sqrt(n_max + 1)`` model pixels.

    Notes
    -----
    Massey & Refregier 2005, MNRAS 363, 197, with PSFEx's normalisation; averaged over 3x3 points
    per pixel.
    """
    from scipy.special import eval_genlaguerre

    beta = scale * math.sqrt(n_max + 1.0)
    offsets = np.array([-1.0, 0.0, 1.0]) / 3.0
    height, width = grid.shape
    y = (np.arange(height)[:, None] - height // 2 + offsets[None]).reshape(height, 1, 3, 1)
    x = (np.arange(width)[:, None] - width // 2 + offsets[None]).reshape(1, width, 1, 3)
    rho = (x**2 + y**2) / beta**2
    angle = np.arctan2(y, x)
    images = []
    for n in range(n_max + 1):
        for m in range(n % 2, n + 1, 2):
            k = (n - m) // 2
            product = math.prod(range(max(k, 1), (n + m) // 2 + 1))
            radial = (-1) ** k / (beta * math.sqrt(math.pi * product)) * rho ** (m / 2)
            radial = radial * eval_genlaguerre(k, m, rho) * np.exp(-rho / 2)
            images.append((radial * np.cos(m * angle)).mean(axis=(2, 3)))
            if m > 0:
                images.append((radial * np.sin(m * angle)).mean(axis=(2, 3)))
    return np.array(images, dtype=np.float32)


def fitted_to_grid(images: NDArray[Any], grid: Grid) -> NDArray[np.float32]:
    """Basis images (nb, h, w), cut or padded with zeros to the model grid, centre on centre."""
    result = np.zeros((len(images), *grid.shape), dtype=np.float32)
    source, target = [], []
    for size, wanted in zip(images.shape[1:], grid.shape, strict=True):
        low = min(size // 2, wanted // 2)
        high = min(size - size // 2, wanted - wanted // 2)
        source.append(slice(size // 2 - low, size // 2 + high))
        target.append(slice(wanted // 2 - low, wanted // 2 + high))
    result[:, target[0], target[1]] = images[:, source[0], source[1]]
    return result


def principal_components(images: NDArray[np.float64], number: int) -> NDArray[np.float32]:
    """Leading principal components (at most `number`, h, w) of images (n, h, w), not centred.

    Found one after the other by power iteration from a vector of ones, at most 200 steps each or
    until the unit vector moves by no more than 1e-6 (from PSFEx).
    """
    n, height, width = images.shape
    data = images.reshape(n, -1)
    components: list[NDArray[np.float64]] = []
    values: list[float] = []
    for _ in range(min(number, data.shape[1])):
        vector = np.ones(data.shape[1])
        for _ in range(200):
            product = data.T @ (data @ vector)
            for value, done in zip(values, components, strict=True):
                product -= value * done * (done @ vector)
            length = float(np.linalg.norm(product))
            if not length > 0:
                break
            moved = float(np.linalg.norm(product / length - vector))
            vector = product / length
            if moved <= 1e-6:
                break
        if not length > 1e-9 * max(values, default=0.0):  # the images are spanned: noise is left
            break
        components.append(vector)
        values.append(length)
    return np.array(components, dtype=np.float32).reshape(-1, height, width)
