"""The tile: exposures resampled onto one grid and averaged with their inverse variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from purepipe.simulate.stack_nb import add_resampled, repair
from purepipe.wcs import WCS

GRID_STEP = 64  # tile pixels between exact WCS evaluations; bicubic in between
EDGE = 8.0


@dataclass(frozen=True, eq=False)
class StackInput:
    """One CCD on its way into a tile.

    Attributes
    ----------
    image
        (ny, nx) float32, ADU, background subtracted.
    weight
        (ny, nx) float32, inverse variance, ADU^-2; 0 is bad.
    wcs
        World coordinates.
    flux_scale
        Factor from its ADU to those of the tile.
    """

    image: NDArray[np.float32]
    weight: NDArray[np.float32]
    wcs: WCS
    flux_scale: float


@dataclass(frozen=True, eq=False)
class Stack:
    """Running sums of a tile: weight times value, and weight."""

    wcs: WCS
    numerator: NDArray[np.float32]
    weight: NDArray[np.float32]

    @classmethod
    def empty(cls, wcs: WCS) -> Stack:
        """A stack without any input on the grid of `wcs`."""
        return cls(wcs, np.zeros(wcs.shape, np.float32), np.zeros(wcs.shape, np.float32))

    def image(self) -> NDArray[np.float32]:
        """The weighted mean; 0 where nothing contributed."""
        good = self.weight > 0
        image = np.zeros_like(self.numerator)
        np.divide(self.numerator, self.weight, out=image, where=good)
        return image


def add_ccd(stack: Stack, ccd: StackInput) -> None:
    """Resample one CCD with a Lanczos-3 kernel and add it to `stack`, in place.

    Flux is conserved: values are multiplied by the ratio of the pixel areas. The weight map is
    the inverse variance of a pixel in the units of the tile; as always after interpolation,
    neighbouring pixels are correlated and their dispersion is a little smaller.
    """
    box = _overlap(stack.wcs, ccd.wcs)
    if box is None:
        return
    x0, x1, y0, y1 = box
    x, y, area = _positions(stack.wcs, ccd.wcs, box)
    image = np.array(ccd.image, dtype=np.float32)
    repair(image, ccd.weight)
    add_resampled(
        stack.numerator[y0:y1, x0:x1],
        stack.weight[y0:y1, x0:x1],
        x, y, area, image, ccd.weight, float(ccd.flux_scale),
    )  # fmt: skip


def _overlap(tile: WCS, ccd: WCS) -> tuple[int, int, int, int] | None:
    """The part x0:x1, y0:y1 of the tile that contains the CCD, or None."""
    ny, nx = ccd.shape
    edge_x, edge_y = np.linspace(-0.5, nx - 0.5, 9), np.linspace(-0.5, ny - 0.5, 9)
    px = np.concatenate([edge_x, edge_x, np.full(9, -0.5), np.full(9, nx - 0.5)])
    py = np.concatenate([np.full(9, -0.5), np.full(9, ny - 0.5), edge_y, edge_y])
    x, y = tile.sky_to_pixel(*ccd.pixel_to_sky(px, py))
    if np.isnan(x).any():
        return None
    x0, x1 = max(int(x.min()) - 1, 0), min(int(x.max()) + 3, tile.shape[1])
    y0, y1 = max(int(y.min()) - 1, 0), min(int(y.max()) + 3, tile.shape[0])
    return (x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None


def _positions(
    tile: WCS, ccd: WCS, box: tuple[int, int, int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """CCD positions x, y of the tile pixels in `box`, and the CCD pixels that each covers."""
    from scipy.interpolate import RectBivariateSpline

    x0, x1, y0, y1 = box
    columns = np.linspace(x0 - EDGE, x1 + EDGE, (x1 - x0) // GRID_STEP + 5)
    rows = np.linspace(y0 - EDGE, y1 + EDGE, (y1 - y0) // GRID_STEP + 5)
    grid_x, grid_y = np.meshgrid(columns, rows)
    ccd_x, ccd_y = ccd.sky_to_pixel(*tile.pixel_to_sky(grid_x, grid_y))
    along_y, along_x = np.arange(y0, y1, dtype=float), np.arange(x0, x1, dtype=float)
    splines = [RectBivariateSpline(rows, columns, values) for values in (ccd_x, ccd_y)]
    x, y = (spline(along_y, along_x) for spline in splines)
    gradients = [
        [spline(along_y, along_x, dx=1), spline(along_y, along_x, dy=1)] for spline in splines
    ]
    (x_row, x_column), (y_row, y_column) = gradients
    return x, y, np.abs(x_column * y_row - x_row * y_column)
