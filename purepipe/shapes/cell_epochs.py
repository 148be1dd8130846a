"""Cells of a tile cut from exposures of any geometry, each resampled to the lattice of the cell.

Interpolation with a windowed sinc leaves white noise white below the cut of the transforms, and
acts on the image and its PSF alike.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import brief
from purepipe.errors import DataError
from purepipe.shapes.metadetect import kaiser_sinc

Floats = NDArray[np.float64]

_NODES = 6  # of the positions that a mapping is fitted to, along each axis
_BETA = 8.0  # of the window of the interpolation
_NOISE_GAIN = 6.0  # rms of white noise behind the filter (1, -2, 1) x (1, -2, 1)
_MAD = 1.482602218505602  # rms of Gaussian noise over its median absolute deviation


@dataclass(frozen=True)
class CellArea:
    """One cell of a tile.

    Attributes
    ----------
    number
        From 0, row by row.
    x0, y0
        Pixel of the tile (0-based) that is the cell's first; may lie off the tile.
    side
        Number of pixels along each axis.
    unique
        (x0, x1, y0, y1) edges of the area whose detections are the cell's own, 0-based pixel
        positions of the tile; the upper ones are excluded.
    """

    number: int
    x0: int
    y0: int
    side: int
    unique: tuple[float, float, float, float]

    @property
    def centre(self) -> tuple[float, float]:
        """Position of the middle on the tile, 0-based."""
        half = (self.side - 1) / 2
        return self.x0 + half, self.y0 + half

    def nodes(self) -> tuple[Floats, Floats]:
        """Positions on the tile at which the mapping to an exposure must be known."""
        place = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES) * (self.side - 1) / 2
        x, y = np.meshgrid(self.centre[0] + place, self.centre[1] + place)
        return x.ravel(), y.ravel()


@dataclass(frozen=True, eq=False)
class CellEpoch:
    """The pixels of one exposure around a cell.

    Attributes
    ----------
    image
        (ny, nx), background subtracted, on the flux scale of the tile.
    bad
        (ny, nx) True where a pixel is of no use.
    psf
        (n, n) PSF on the pixels of the exposure at the centre of the cell, n odd.
    jacobian
        (2, 2) d(u, v)/d(x, y) of the exposure there, arcsec per pixel.
    x, y
        Positions of the nodes of the cell on `image`, 0-based.
    name
        Exposure and CCD, for messages.
    """

    image: NDArray[np.float32]
    bad: NDArray[np.bool_]
    psf: NDArray[np.float32]
    jacobian: Floats
    x: Floats
    y: Floats
    name: str = ""

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Cell:
    """The epochs of a cell on one lattice.

    Attributes
    ----------
    images, masks
        (nepoch, side, side); True is bad.
    psfs
        (nepoch, n, n) on the lattice.
    sigmas
        (nepoch,) rms of the noise of a pixel.
    jacobian
        (2, 2) d(u, v)/d(x, y) of the lattice.
    names
        Of the epochs.
    offered
        Epochs that touch the cell.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.bool_]
    psfs: Floats
    sigmas: Floats
    jacobian: Floats
    names: tuple[str, ...]
    offered: int

    __repr__ = brief


def tile_cells(shape: tuple[int, int], side: int, margin: int) -> list[list[CellArea]]:
    """The cells of a tile of (ny, nx) pixels, row by row.

    Parameters
    ----------
    side, margin
        Side of a cell, and its rim that overlaps with the neighbours' own areas, pixels.
    """
    own = side - 2 * margin
    ny, nx = (math.ceil(n / own) for n in shape)
    return [
        [
            CellArea(
                j * nx + i, i * own - margin, j * own - margin, side,
                (i * own - 0.5, min((i + 1) * own, shape[1]) - 0.5,
                 j * own - 0.5, min((j + 1) * own, shape[0]) - 0.5),
            )
            for i in range(nx)
        ]
        for j in range(ny)
    ]  # fmt: skip


def gather_cell(
    area: CellArea, epochs: Sequence[CellEpoch], jacobian: ArrayLike, *, max_masked: float = 0.1
) -> Cell:
    """The epochs of a cell, resampled to its lattice.

    An epoch is left out when it lacks more than `max_masked` of the pixels that any epoch has, or
    its PSF or noise is of no use. Where a pixel of an exposure is bad, those of the lattice within
    two pixels are marked.

    Parameters
    ----------
    area
        From `tile_cells`.
    epochs
        The exposures that touch the cell.
    jacobian
        (2, 2) d(u, v)/d(x, y) of the tile at the centre of the cell.

    Raises
    ------
    DataError
        The arrays of an epoch do not fit each other.
    """
    jac = np.asarray(jacobian, np.float64)
    side = area.side
    images = np.zeros((len(epochs), side, side), np.float32)
    masks = np.ones((len(epochs), side, side), np.bool_)
    psfs, sigmas = [], np.full(len(epochs), np.nan)
    for k, epoch in enumerate(epochs):
        _check(epoch, side)
        scale = abs(np.linalg.det(jac) / np.linalg.det(epoch.jacobian))
        _resample_image(epoch, np.float32(scale), images[k], masks[k])
        psfs.append(scale * _resample_psf(epoch, jac))
        sigmas[k] = pixel_noise(epoch.image, epoch.bad) * math.sqrt(scale)
    usable = np.isfinite(sigmas) & (sigmas > 0)
    usable &= np.array([np.isfinite(p).all() and p.sum() > 0 for p in psfs], np.bool_)
    usable &= _covered(masks, usable, max_masked)
    kept = [int(k) for k in np.flatnonzero(usable)]
    return Cell(
        images[kept], masks[kept], np.array([psfs[k] for k in kept]), sigmas[kept], jac,
        tuple(epochs[k].name for k in kept), len(epochs),
    )  # fmt: skip


def pixel_noise(image: NDArray[np.float32], bad: NDArray[np.bool_]) -> float:
    """Rms of white noise from second differences, which leave little of objects; NaN without any.

    Median absolute deviation behind the filter of Immerkaer (1996, CVIU 64, 300).
    """
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    filtered = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    lost = bad | ~np.isfinite(image)
    near = lost[:-2] | lost[1:-1] | lost[2:]
    good = ~(near[:, :-2] | near[:, 1:-1] | near[:, 2:])
    if np.count_nonzero(good) < 100:
        return math.nan
    return float(_MAD * np.median(np.abs(filtered[good]))) / _NOISE_GAIN


def _check(epoch: CellEpoch, side: int) -> None:
    if epoch.image.shape != epoch.bad.shape or epoch.image.ndim != 2:
        raise DataError(
            "image and bad pixels of an epoch differ in size", file=epoch.name or None,
            got=epoch.bad.shape, allowed=epoch.image.shape,
        )  # fmt: skip
    psf = epoch.psf.shape
    if len(psf) != 2 or psf[0] != psf[1] or psf[0] % 2 == 0 or psf[0] > side:
        raise DataError(
            "the PSF must be odd, square and smaller than the cell", file=epoch.name or None,
            key="psf", got=psf, allowed=f"(n, n), n odd, up to {side}",
        )  # fmt: skip
    if epoch.x.shape != (_NODES**2,) or epoch.y.shape != (_NODES**2,):
        raise DataError(
            "the mapping of an epoch needs all nodes of the cell", file=epoch.name or None,
            got=(epoch.x.shape, epoch.y.shape), allowed=f"({_NODES**2},)",
            remedy="Transform CellArea.nodes().",
        )  # fmt: skip


def _covered(
    masks: NDArray[np.bool_], usable: NDArray[np.bool_], max_masked: float
) -> NDArray[np.bool_]:
    """Which epochs have nearly all of the pixels that any usable one has."""
    held = ~masks & usable[:, None, None]
    any_has = held.any(axis=0)
    lacking = np.count_nonzero(any_has & ~held, axis=(1, 2))
    return np.asarray((lacking <= max_masked * any_has.sum()) & held.any(axis=(1, 2)))


def _resample_image(
    epoch: CellEpoch, scale: np.float32, out: NDArray[np.float32],
    lost: NDArray[np.bool_],
) -> None:  # fmt: skip
    from purepipe.shapes.cell_epochs_nb import PAD, mend, resample

    if not (np.isfinite(epoch.x).all() and np.isfinite(epoch.y).all()) or epoch.image.size == 0:
        return
    bad = epoch.bad | ~np.isfinite(epoch.image)
    mended = np.empty(epoch.image.shape, np.float32)
    mend(np.ascontiguousarray(epoch.image, np.float32), bad, mended)
    cx, cy = _mapping(epoch.x, epoch.y)
    resample(np.pad(mended, PAD, mode="edge"), bad, cx, cy, sinc_taps(), out, lost)
    out *= scale


def _resample_psf(epoch: CellEpoch, jac: Floats) -> Floats:
    from purepipe.shapes.cell_epochs_nb import PAD, resample

    side = len(epoch.psf)
    half = (side - 1) / 2
    to_epoch = np.linalg.solve(epoch.jacobian, jac) * half
    cx, cy = np.zeros(10), np.zeros(10)
    cx[:3], cy[:3] = (half, *to_epoch[0]), (half, *to_epoch[1])
    out, lost = np.zeros((side, side), np.float32), np.zeros((side, side), np.bool_)
    stamp = np.pad(np.asarray(epoch.psf, np.float32), PAD)
    resample(stamp, np.zeros((side, side), np.bool_), cx, cy, sinc_taps(), out, lost)
    return out.astype(np.float64)


def _mapping(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Cubic polynomials through the nodes of a cell, whose axes run from -1 to 1."""
    coefficients = _design() @ np.stack([x, y], axis=1)
    return np.ascontiguousarray(coefficients[:, 0]), np.ascontiguousarray(coefficients[:, 1])


@functools.lru_cache(maxsize=1)
def _design() -> Floats:
    """(10, nodes) matrix that fits a polynomial of `cubic` to values at the nodes."""
    place = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    s, t = (axis.ravel() for axis in np.meshgrid(place, place))
    one = np.ones_like(s)
    terms = [one, s, t, s * s, s * t, t * t, s**3, s * s * t, s * t * t, t**3]
    return np.linalg.pinv(np.stack(terms, axis=1))


@functools.lru_cache(maxsize=1)
def sinc_taps() -> Floats:
    """(PHASES + 1, TAPS) values of a Kaiser-windowed sinc, each row of sum one."""
    from purepipe.shapes.cell_epochs_nb import PHASES, TAPS

    phase = np.arange(PHASES + 1)[:, None] / PHASES
    distance = phase - (np.arange(TAPS) - TAPS // 2 + 1)
    values = kaiser_sinc(distance, TAPS / 2, _BETA)
    taps: Floats = values / values.sum(axis=1, keepdims=True)
    return taps
