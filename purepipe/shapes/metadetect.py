"""Metadetection: detect and measure on each of the five sheared images of a cell of sky.

Metacalibration of stamps takes the list of detections as given; where galaxies blend, detection
itself responds to shear. Here everything after the pixels is repeated on every sheared image
(Sheldon et al. 2020, ApJ 902, 138). The images are read on the relabelled lattice: pixel positions
are those of the unsheared sky for all types, only world coordinates know the shear.

Valid for one image with white noise, and a PSF that is constant over the cell.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.errors import DataError, NothingToDo
from purepipe.rng import generator
from purepipe.shapes.calibrate import ShearEstimate
from purepipe.shapes.images import SHEARS, shear_matrix
from purepipe.shapes.metacal import TYPES

Floats = NDArray[np.float64]

FWHM_OF_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_CUT = math.log(1e6)  # modes where the squared target transform exceeds exp(-_CUT)
_BORDER = 8  # pixels that a peak needs around it
_RADII, _ANGLES = 160, 48


@dataclass(frozen=True, eq=False)
class CellTransfer:
    """What turns the transform of a cell into its sheared images; made once per PSF.

    Attributes
    ----------
    shape
        (ny, nx) of the cells.
    image, noise, smooth
        (5, ny, nx // 2 + 1) float32: factors for the transforms of the image and of unit white
        noise, and of the detection filter.
    jacobians
        (5, 2, 2) sheared Jacobians.
    sigma_target, sigma_detect
        Widths of target PSF and detection filter, arcsec.
    variance_weight
        Variance of the weight of the moments, arcsec^2.
    rms_peak, rms_flux, rms_curvature
        Noise of the detection image, of the flux and of the curvature of the detection image,
        equal for all types.
    step
        Size of the shears.
    """

    shape: tuple[int, int]
    image: NDArray[np.complex64] = field(repr=False)
    noise: NDArray[np.float32] = field(repr=False)
    smooth: NDArray[np.float32] = field(repr=False)
    jacobians: Floats = field(repr=False)
    sigma_target: float
    sigma_detect: float
    variance_weight: float
    rms_peak: float
    rms_flux: float
    rms_curvature: float
    step: float


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

    def __len__(self) -> int:
        return len(self.x)


def cell_transfer(
    psf: ArrayLike,
    jacobian: ArrayLike,
    sigma: float,
    shape: tuple[int, int],
    *,
    step: float = 0.01,
    weight_fwhm: float = 1.2,
    detect_fwhm: float = 0.6,
    add_noise: bool = True,
) -> CellTransfer:
    """Transfer functions and noise levels of cells with one PSF and one noise level.

    Parameters
    ----------
    psf
        (n, n), n odd, centred on its middle pixel, including the pixel.
    jacobian
        (2, 2) d(u, v)/d(x, y), arcsec per pixel.
    sigma
        Rms of the white pixel noise.
    shape
        (ny, nx) of the cells; products of small primes are fast.
    step
        Size of the shears.
    weight_fwhm, detect_fwhm
        Widths of the weight of the moments and of the detection filter, arcsec.
    add_noise
        False leaves out the noise that makes the types alike; shears are then biased.

    Raises
    ------
    DataError
        The PSF is not odd and square, larger than the cell, or has no positive sum.
    """
    stamp = np.asarray(psf, np.float64)
    jac = np.asarray(jacobian, np.float64)
    if stamp.ndim != 2 or stamp.shape[0] != stamp.shape[1] or stamp.shape[0] % 2 == 0:
        raise DataError("the PSF must be odd and square", key="psf", got=stamp.shape)
    if len(stamp) > min(shape) or not stamp.sum() > 0 or not np.isfinite(stamp).all():
        raise DataError(
            "the PSF must be smaller than the cell and have a positive sum", key="psf",
            got=f"{stamp.shape}, sum {stamp.sum():.3g}", allowed=f"up to {min(shape)} pixels",
        )  # fmt: skip
    stamp = stamp / stamp.sum()
    sigma_target, envelope = _target_and_envelope(stamp, jac, step)
    spectrum = _psf_spectrum(stamp, shape)
    kx, ky = np.meshgrid(
        2 * np.pi * np.fft.rfftfreq(shape[1]), 2 * np.pi * np.fft.fftfreq(shape[0])
    )
    image, noise, smooth, jacobians = [], [], [], []
    sigma_detect, variance = detect_fwhm / FWHM_OF_SIGMA, (weight_fwhm / FWHM_OF_SIGMA) ** 2
    levels = (0.0, 0.0, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse_power = 1.0 / np.abs(spectrum) ** 2
        for kind, (g1, g2) in enumerate(SHEARS * step):
            sheared = shear_matrix(g1, g2) @ jac
            back = np.linalg.inv(sheared)
            q2 = (back[0, 0] * kx + back[1, 0] * ky) ** 2 + (back[0, 1] * kx + back[1, 1] * ky) ** 2
            inside = q2 < _CUT / sigma_target**2
            target = np.where(inside, np.exp(-0.5 * sigma_target**2 * q2), 0.0)
            smoothing = np.exp(-0.5 * sigma_detect**2 * q2)
            v = np.interp(q2, *envelope)
            rest = np.sqrt(np.where(inside, np.maximum(v - inverse_power, 0.0), 0.0))
            image.append(np.where(inside, target / spectrum, 0.0))
            noise.append(sigma * target * rest * float(add_noise))
            smooth.append(smoothing)
            jacobians.append(sheared)
            if kind == 0:
                total = np.where(inside, v if add_noise else inverse_power, 0.0)
                power = (sigma * target) ** 2 * total
                levels = _noise_levels(power, smoothing, q2, shape, jac, variance)
    return CellTransfer(
        shape=shape,
        image=np.asarray(image, np.complex64),
        noise=np.asarray(noise, np.float32),
        smooth=np.asarray(smooth, np.float32),
        jacobians=np.asarray(jacobians),
        sigma_target=sigma_target,
        sigma_detect=sigma_detect,
        variance_weight=variance,
        rms_peak=levels[0],
        rms_flux=levels[1],
        rms_curvature=levels[2],
        step=step,
    )


def cell_images(
    image: ArrayLike,
    transfer: CellTransfer,
    *,
    seed: int,
    cell: object = 0,
    flip_noise: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measurement and detection images of the five types, (5, ny, nx) each.

    Parameters
    ----------
    image
        (ny, nx), background subtracted; treated as periodic.
    transfer
        From `cell_transfer`.
    seed, cell
        Name the stream of the added noise.
    flip_noise
        Change the sign of the added noise.

    Raises
    ------
    DataError
        The image has another shape, or a pixel is not finite.
    """
    from scipy import fft

    pixels = np.asarray(image, np.float32)
    if pixels.shape != transfer.shape or not np.isfinite(pixels).all():
        raise DataError(
            "the cell must have the shape of its transfer function and finite pixels", key="image",
            got=pixels.shape, allowed=transfer.shape,
        )  # fmt: skip
    rng = generator(seed, "metadetection noise", cell)
    white = rng.standard_normal(transfer.shape, dtype=np.float32)
    spectrum, white_spectrum = fft.rfft2(pixels), fft.rfft2(-white if flip_noise else white)
    sheared = spectrum * transfer.image + white_spectrum * transfer.noise
    measurement = fft.irfft2(sheared, s=transfer.shape)
    detection = fft.irfft2(sheared * transfer.smooth, s=transfer.shape)
    return measurement, detection


def metadetect(
    image: ArrayLike,
    transfer: CellTransfer,
    *,
    seed: int,
    cell: object = 0,
    margin: int = 20,
    threshold: float = 4.0,
    flip_noise: bool = False,
) -> tuple[CellCatalogue, ...]:
    """Detections and their moments on each of the five images of a cell, one catalogue per type.

    Parameters
    ----------
    image, transfer, seed, cell, flip_noise
        As for `cell_images`.
    margin
        Detections closer to the edge than this (pixels) are left out; the transforms are spoilt
        there, and neighbouring cells overlap by twice as much.
    threshold
        Least height of a peak, in units of its noise.
    """
    from purepipe.shapes.metadetect_nb import detect_and_measure

    measurement, detection = cell_images(
        image, transfer, seed=seed, cell=cell, flip_noise=flip_noise
    )
    room = transfer.shape[0] * transfer.shape[1] // 9 + 1
    places, out = np.empty((room, 2), np.int64), np.empty((room, 8))
    catalogues = []
    for kind in range(len(TYPES)):
        number = detect_and_measure(
            detection[kind], measurement[kind], transfer.jacobians[kind],
            threshold * transfer.rms_peak, transfer.variance_weight, _BORDER, _taps(), places, out,
        )  # fmt: skip
        rows = out[:number]
        ny, nx = transfer.shape
        inside = (rows[:, 0] >= margin) & (rows[:, 0] < nx - margin)
        inside &= (rows[:, 1] >= margin) & (rows[:, 1] < ny - margin)
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
    shear, response, mean = _estimate(total, step)
    number = len(cells)
    replicas = np.array([_estimate(total - cell, step)[0] for cell in cells])
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


def _estimate(total: Floats, step: float) -> tuple[Floats, Floats, Floats]:
    with np.errstate(invalid="ignore", divide="ignore"):
        e = total[:, 1:] / total[:, :1]
    response = np.stack([e[1] - e[2], e[3] - e[4]], axis=1) / (2 * step)
    try:
        return np.linalg.solve(response, e[0]), response, e[0]
    except np.linalg.LinAlgError:
        return np.full(2, np.nan), response, e[0]


def _psf_spectrum(stamp: Floats, shape: tuple[int, int]) -> NDArray[np.complex128]:
    padded = np.zeros(shape)
    padded[: len(stamp), : len(stamp)] = stamp
    half = len(stamp) // 2
    return np.fft.rfft2(np.roll(padded, (-half, -half), axis=(0, 1)))


def _target_and_envelope(
    stamp: Floats, jac: Floats, step: float
) -> tuple[float, tuple[Floats, Floats]]:
    """Width of the target by the azgauss rule; nodes q^2 and values of the noise power V."""
    scale = math.sqrt(abs(np.linalg.det(jac)))
    q = np.linspace(0, np.pi / scale, _RADII)
    amplitude = np.abs(_polar(stamp, jac, q))
    mean = amplitude.mean(axis=1)
    below = np.flatnonzero(mean < 0.03)
    narrowest = math.sqrt(_CUT) * scale / np.pi
    sigma = narrowest
    if below.size:
        k = below[0]
        f = math.log(0.03 / mean[k - 1]) / math.log(mean[k] / mean[k - 1])
        crossing = q[k - 1] + f * (q[k] - q[k - 1])
        rule = math.sqrt(-2.0 * math.log(0.009)) / crossing * (1.0 + 2.0 * step)
        sigma = max(rule, narrowest)
    radii = np.linspace(0.0, 1.02 * math.sqrt(_CUT) / sigma, _RADII)
    # the sheared lattices read |P| at up to (1 + step) times the frequency
    powers = 1.0 / np.maximum(np.abs(_polar(stamp, jac, radii * (1.0 + 1.02 * step))), 1e-6) ** 2
    envelope = 1.02 * np.maximum.accumulate(powers.max(axis=1))
    return float(sigma), (radii**2, envelope)


def _polar(stamp: Floats, jac: Floats, q: Floats) -> NDArray[np.complex128]:
    """Transform of the PSF on a polar grid of world frequencies, (radius, angle)."""
    phi = np.pi * np.arange(_ANGLES) / _ANGLES  # the other half is the complex conjugate
    world = q[:, None, None] * np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    kappa = (world @ jac).reshape(-1, 2)  # kappa = J^T q
    pixels = np.arange(len(stamp)) - len(stamp) // 2
    wave_x, wave_y = (np.exp(-1j * np.outer(kappa[:, axis], pixels)) for axis in range(2))
    transform: NDArray[np.complex128] = ((wave_y @ stamp) * wave_x).sum(axis=1)
    return transform.reshape(len(q), _ANGLES)


def _noise_levels(
    power: Floats,
    smoothing: Floats,
    q2: Floats,
    shape: tuple[int, int],
    jac: Floats,
    variance: float,
) -> tuple[float, float, float]:
    """Noise of the detection image, of the flux and of the curvature (along u)."""
    twice = np.full(power.shape, 2.0)  # modes of the other half plane
    twice[:, 0] = 1.0
    if shape[1] % 2 == 0:
        twice[:, -1] = 1.0
    mean = twice * power / (shape[0] * shape[1])
    peak = float((mean * smoothing**2).sum())
    height = 2 * np.pi * variance / abs(np.linalg.det(jac))
    flux = float((mean * height**2 * np.exp(-variance * q2)).sum())
    # isotropic: <q_u^4> = 3/8 <q^4>
    curvature = float((mean * smoothing**2 * 0.375 * q2**2).sum())
    return math.sqrt(peak), math.sqrt(flux), math.sqrt(curvature)


@functools.lru_cache(maxsize=1)
def _taps() -> Floats:
    """(3, PHASES + 1, TAPS) values, first and second derivatives of a Kaiser-windowed sinc."""
    from scipy import special

    from purepipe.shapes.metadetect_nb import PHASES, TAPS

    beta, half = 10.0, TAPS / 2
    phase = np.arange(PHASES + 1)[:, None] / PHASES
    distance = phase - (np.arange(TAPS) - TAPS // 2 + 1)
    h = 1e-3

    def value(x: Floats) -> Floats:
        # continued smoothly beyond its end, where the outermost tap begins
        z = 1 - (x / half) ** 2
        root = beta * np.sqrt(np.abs(z))
        window: Floats = np.where(z >= 0, special.i0(root), special.j0(root)) / special.i0(beta)
        return np.sinc(x) * window

    # five-point differences of a smooth function: errors of 1e-10
    near = [value(distance + k * h) for k in (-2, -1, 0, 1, 2)]
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
        weight = _ramp((s2n - 7) / 8) * _ramp((ratio - 1.1) / 0.25)
        weight *= _ramp((sharpness - 0.7) / 3) * _ramp((prominence - 0.1) / 0.25)
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
    )


def _ramp(x: Floats) -> Floats:
    """Smooth step from 0 at x = 0 to 1 at x = 1; NaN gives 0."""
    t = np.clip(np.nan_to_num(x), 0.0, 1.0)
    ramp: Floats = t * t * (3.0 - 2.0 * t)
    return ramp
