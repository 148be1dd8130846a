"""Metadetection: detect and measure on each of the five sheared images of a cell of sky.

Metacalibration of stamps takes the list of detections as given; where galaxies blend, detection
itself responds to shear. Here everything after the pixels is repeated on every sheared image
(Sheldon et al. 2020, ApJ 902, 138).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import brief
from purepipe.errors import NothingToDo
from purepipe.shapes.calibrate import ShearEstimate
from purepipe.shapes.cells import CellTransfer, cell_images
from purepipe.shapes.metacal import TYPES

Floats = NDArray[np.float64]

_BORDER = 8  # pixels that a peak needs around it


@dataclass(frozen=True, eq=False)
class CellCatalogue:
    """Detections of one cell on one of its five images.

    Attributes
    ----------
    x, y
        0-based positions in pixels of the unsheared cell.
    flux, s2n
        Flux under the round Gaussian weight, and its S/N.
    e1, e2
        Components of the ellipticity of the weighted moments.
    size_ratio
        Trace of the moments over that of the PSF.
    sharpness
        Least curvature of the peak over its noise.
    prominence
        Least curvature over that of a point source of the same peak.
    weight
        Smooth selection weight, from 0 to 1.
    usable
        Whether flux and size are positive; without it shape and weight are 0.
    """

    x: Floats
    y: Floats
    flux: Floats
    s2n: Floats
    e1: Floats
    e2: Floats
    size_ratio: Floats
    sharpness: Floats
    prominence: Floats
    weight: Floats
    usable: NDArray[np.bool_]

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.x)


def metadetect(
    image: ArrayLike,
    transfer: CellTransfer,
    *,
    seed: int,
    cell: object = 0,
    masks: ArrayLike | None = None,
    margin: int = 20,
    guard: float = 12.0,
    threshold: float = 4.0,
    redetect: bool = True,
    flip_noise: bool = False,
) -> tuple[CellCatalogue, ...]:
    """Detections and their moments on each of the five images of a cell, one catalogue per type.

    Parameters
    ----------
    image, transfer, seed, cell, masks, flip_noise
        As for `cell_images`.
    margin
        Detections closer to the edge than this (pixels) are left out; the transforms are spoilt
        there, and neighbouring cells overlap by twice as much.
    guard
        Detections closer than this (pixels) to a pixel that is bad in all epochs are left out, by
        their unsheared position.
    threshold
        Least height of a peak, in units of its noise.
    redetect
        False measures all five images at the peaks of the unsheared one, as metacalibration of a
        catalogue does, which is biased where galaxies blend: for comparison.
    """
    measurement, detection = cell_images(
        image, transfer, seed=seed, cell=cell, masks=masks, flip_noise=flip_noise
    )
    usable = usable_area(transfer.shape, masks, margin, guard)
    return catalogues_of(
        measurement, detection, transfer, usable, threshold=threshold, redetect=redetect
    )


def usable_area(
    shape: tuple[int, int], masks: ArrayLike | None, margin: int, guard: float
) -> NDArray[np.bool_]:
    """Pixels away from the edges and from pixels that are bad in all epochs."""
    from scipy import ndimage

    inside = np.zeros(shape, np.bool_)
    inside[margin : shape[0] - margin, margin : shape[1] - margin] = True
    if masks is not None:
        lost = np.asarray(masks, np.bool_).reshape(-1, *shape).all(axis=0)
        if lost.any():
            inside &= ndimage.distance_transform_edt(~lost) >= guard
    return inside


def catalogues_of(
    measurement: NDArray[np.float32],
    detection: NDArray[np.float32],
    transfer: CellTransfer,
    usable: NDArray[np.bool_],
    *,
    threshold: float = 4.0,
    redetect: bool = True,
) -> tuple[CellCatalogue, ...]:
    """The catalogues of the five images from `cell_images`; the face of the kernels."""
    from purepipe.shapes.metadetect_nb import detect_and_measure, measure_at

    room = transfer.shape[0] * transfer.shape[1] // 9 + 1
    places, out = np.empty((room, 2), np.int64), np.empty((room, 8))
    catalogues: list[CellCatalogue] = []
    number = 0
    for kind in range(len(TYPES)):
        jac = transfer.jacobians[kind]
        if redetect or kind == 0:
            number = detect_and_measure(
                detection[kind], measurement[kind], jac, threshold * transfer.rms_peak,
                transfer.variance_weight, _BORDER, _taps(), places, out,
            )  # fmt: skip
        else:
            measure_at(measurement[kind], jac, transfer.variance_weight, out[:number])
        rows = out[:number]
        inside = usable[np.rint(rows[:, 1]).astype(int), np.rint(rows[:, 0]).astype(int)]
        catalogues.append(_catalogue(rows[inside].copy(), transfer))
    return tuple(catalogues)


def cell_sums(catalogues: Sequence[CellCatalogue]) -> Floats:
    """(5, 3) sums of w, w e1, w e2 of each type: all that the shear estimate needs of a cell."""
    return np.array(
        [[c.weight.sum(), (c.weight * c.e1).sum(), (c.weight * c.e2).sum()] for c in catalogues]
    )


def metadetect_shear(sums: ArrayLike, *, step: float = 0.01) -> ShearEstimate:
    """The mean shear of many cells, with jackknife errors over cells.

    Parameters
    ----------
    sums
        (ncell, 5, 3) from `cell_sums`.
    step
        Size of the shears.

    Raises
    ------
    NothingToDo
        No detection has a weight.
    """
    cells = np.asarray(sums, np.float64)
    if not (cells[:, :, 0].sum(axis=0) > 0).all():
        raise NothingToDo(
            "no detection has a weight", key="sums",
            remedy="Use deeper images or more cells.",
        )  # fmt: skip
    total = cells.sum(axis=0)
    shear, response, mean = shear_of_sums(total, step)
    number = len(cells)
    replicas = np.array([shear_of_sums(total - cell, step)[0] for cell in cells])
    cov = np.full((2, 2), np.nan)
    if number > 1:
        cov = (number - 1) ** 2 / number * np.cov(replicas, rowvar=False)
    return ShearEstimate(
        g=shear,
        cov=cov,
        response=response,
        shape_response=response,
        selection_response=np.zeros((2, 2)),
        mean_shape=mean,
        number=number,
        total=number,
        measured=number,
        replicas=replicas,
    )


def shear_of_sums(total: Floats, step: float) -> tuple[Floats, Floats, Floats]:
    """Shear, response and mean shape from the (5, 3) sums of all cells."""
    with np.errstate(invalid="ignore", divide="ignore"):
        e = total[:, 1:] / total[:, :1]
    response = np.stack([e[1] - e[2], e[3] - e[4]], axis=1) / (2 * step)
    try:
        return np.linalg.solve(response, e[0]), response, e[0]
    except np.linalg.LinAlgError:
        return np.full(2, np.nan), response, e[0]


def kaiser_sinc(x: Floats, half: float, beta: float) -> Floats:
    """A sinc under a Kaiser window of half-width `half`, continued smoothly beyond its end."""
    from scipy import special

    z = 1 - (x / half) ** 2
    root = beta * np.sqrt(np.abs(z))
    window: Floats = np.where(z >= 0, special.i0(root), special.j0(root)) / special.i0(beta)
    return np.sinc(x) * window


@functools.lru_cache(maxsize=1)
def _taps() -> Floats:
    """(3, PHASES + 1, TAPS) values, first and second derivatives of a Kaiser-windowed sinc."""
    from purepipe.shapes.metadetect_nb import PHASES, TAPS

    phase = np.arange(PHASES + 1)[:, None] / PHASES
    distance = phase - (np.arange(TAPS) - TAPS // 2 + 1)
    h = 1e-3

    # five-point differences of a smooth function: errors of 1e-10
    near = [kaiser_sinc(distance + k * h, TAPS / 2, 10.0) for k in (-2, -1, 0, 1, 2)]
    first = (near[0] - 8 * near[1] + 8 * near[3] - near[4]) / (12 * h)
    second = (-near[0] + 16 * near[1] - 30 * near[2] + 16 * near[3] - near[4]) / (12 * h * h)
    # derivatives of a constant vanish
    first -= first.mean(axis=1, keepdims=True)
    second -= second.mean(axis=1, keepdims=True)
    return np.stack([near[2] / near[2].sum(axis=1, keepdims=True), first, second])


def _catalogue(rows: Floats, transfer: CellTransfer) -> CellCatalogue:
    peak, curvature, flux, uu, uv, vv = rows[:, 2:].T
    size = uu + vv
    psf_size = 2.0 / (1.0 / transfer.sigma_target**2 + 1.0 / transfer.variance_weight)
    width2 = transfer.sigma_target**2 + transfer.sigma_detect**2
    with np.errstate(invalid="ignore", divide="ignore"):
        e1, e2 = (uu - vv) / size, 2.0 * uv / size
        s2n, ratio = flux / transfer.rms_flux, size / flux / psf_size
        sharpness, prominence = curvature / transfer.rms_curvature, curvature * width2 / peak
        weight = ramp((s2n - 7) / 8) * ramp((ratio - 1.1) / 0.25)
        weight *= ramp((sharpness - 0.7) / 3) * ramp((prominence - 0.1) / 0.25)
    usable = (size > 0) & (flux > 0)
    return CellCatalogue(
        x=rows[:, 0],
        y=rows[:, 1],
        flux=flux,
        s2n=s2n,
        e1=np.where(usable, e1, 0.0),
        e2=np.where(usable, e2, 0.0),
        size_ratio=ratio,
        sharpness=sharpness,
        prominence=prominence,
        weight=np.where(usable, weight, 0.0),
        usable=usable,
    )


def ramp(x: Floats) -> Floats:
    """Smooth step from 0 at x = 0 to 1 at x = 1; NaN gives 0."""
    t = np.clip(np.nan_to_num(x), 0.0, 1.0)
    ramp: Floats = t * t * (3.0 - 2.0 * t)
    return ramp
