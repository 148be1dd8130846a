"""Cells of sky made ready for metadetection: five sheared images of each, and their noise.

The images are read on the relabelled lattice: pixel positions are those of the unsheared sky for
all types, only world coordinates know the shear. Several epochs on one lattice are combined in
Fourier space, each with the weight that the transform of its PSF deserves.

Valid for white noise and PSFs that are constant over the cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from purepipe.display import brief
from purepipe.errors import DataError
from purepipe.rng import generator
from purepipe.shapes.checks import shaped
from purepipe.shapes.images import SHEARS, shear_matrix

Floats = NDArray[np.float64]

FWHM_OF_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_CUT = math.log(1e6)  # modes where the squared target transform exceeds exp(-_CUT)
_RADII, _ANGLES = 160, 48


@dataclass(frozen=True, eq=False)
class CellTransfer:
    """What turns the transform of a cell into its sheared images; made once per PSF.

    Attributes
    ----------
    shape
        (ny, nx) of the cells.
    epochs
        (nepoch, ny, nx // 2 + 1) complex64: factors of the epochs' transforms in that of the
        deconvolved image.
    image, noise, smooth
        (5, ny, nx // 2 + 1) float32: factors for the transforms of the deconvolved image and of
        unit white noise, and of the detection filter.
    jacobians
        (5, 2, 2) sheared Jacobians.
    sigma_target, sigma_detect
        Widths of target PSF and detection filter, arcsec.
    variance_weight
        Variance of the weight of the moments, arcsec^2.
    rms_peak, rms_flux, rms_curvature
        Noise of the detection image, of the flux and of the curvature of the detection image,
        equal for all types.
    sigmas
        (nepoch,) noise of the pixels.
    step
        Size of the shears.
    """

    shape: tuple[int, int]
    epochs: NDArray[np.complex64] = field(repr=False)
    image: NDArray[np.float32] = field(repr=False)
    noise: NDArray[np.float32] = field(repr=False)
    smooth: NDArray[np.float32] = field(repr=False)
    jacobians: Floats = field(repr=False)
    sigma_target: float
    sigma_detect: float
    variance_weight: float
    rms_peak: float
    rms_flux: float
    rms_curvature: float
    sigmas: Floats
    step: float

    __repr__ = brief


def cell_transfer(
    psf: ArrayLike,
    jacobian: ArrayLike,
    sigma: ArrayLike,
    shape: tuple[int, int],
    *,
    offsets: ArrayLike | None = None,
    step: float = 0.01,
    weight_fwhm: float = 1.2,
    detect_fwhm: float = 0.6,
    add_noise: bool = True,
) -> CellTransfer:
    """Transfer functions and noise levels of cells with these PSFs and noise levels.

    Parameters
    ----------
    psf
        (n, n) or (nepoch, n, n), n odd, centred on the middle pixel, including the pixel.
    jacobian
        (2, 2) d(u, v)/d(x, y), arcsec per pixel, the same for all epochs.
    sigma
        Rms of the white pixel noise, of every epoch.
    shape
        (ny, nx) of the cells; products of small primes are fast.
    offsets
        (nepoch, 2) pixels (x, y) by which objects are moved in each epoch's image.
    step
        Size of the shears.
    weight_fwhm, detect_fwhm
        Widths of the weight of the moments and of the detection filter, arcsec.
    add_noise
        False leaves out the noise that makes the types alike; shears are then biased.

    Raises
    ------
    DataError
        A PSF is not odd and square, larger than the cell, or has no positive sum; the Jacobian is
        singular; a noise level is not positive; or the numbers of epochs differ.
    """
    stamps, jac, sigmas, moves = _check_epochs(psf, jacobian, sigma, offsets, shape)
    sigma_target, envelope = _target_and_envelope(stamps, jac, sigmas, step)
    kx, ky = np.meshgrid(
        2 * np.pi * np.fft.rfftfreq(shape[1]), 2 * np.pi * np.fft.fftfreq(shape[0])
    )
    epochs, noise_power = _combine(stamps, sigmas, moves, kx, ky)
    image, noise, smooth, jacobians = [], [], [], []
    sigma_detect, variance = detect_fwhm / FWHM_OF_SIGMA, (weight_fwhm / FWHM_OF_SIGMA) ** 2
    levels = (0.0, 0.0, 0.0)
    with np.errstate(invalid="ignore"):
        for kind, (g1, g2) in enumerate(SHEARS * step):
            sheared = shear_matrix(g1, g2) @ jac
            back = np.linalg.inv(sheared)
            q2 = (back[0, 0] * kx + back[1, 0] * ky) ** 2 + (back[0, 1] * kx + back[1, 1] * ky) ** 2
            inside = q2 < _CUT / sigma_target**2
            target = np.where(inside, np.exp(-0.5 * sigma_target**2 * q2), 0.0)
            smoothing = np.exp(-0.5 * sigma_detect**2 * q2)
            v = np.interp(q2, *envelope)
            rest = np.sqrt(np.where(inside, np.maximum(v - noise_power, 0.0), 0.0))
            image.append(target)
            noise.append(target * rest * float(add_noise))
            smooth.append(smoothing)
            jacobians.append(sheared)
            if kind == 0:
                power = target**2 * np.where(inside, v if add_noise else noise_power, 0.0)
                levels = _noise_levels(power, smoothing, q2, shape, jac, variance)
    return CellTransfer(
        shape=shape,
        epochs=epochs,
        image=np.asarray(image, np.float32),
        noise=np.asarray(noise, np.float32),
        smooth=np.asarray(smooth, np.float32),
        jacobians=np.asarray(jacobians),
        sigma_target=sigma_target,
        sigma_detect=sigma_detect,
        variance_weight=variance,
        rms_peak=levels[0],
        rms_flux=levels[1],
        rms_curvature=levels[2],
        sigmas=sigmas,
        step=step,
    )


def cell_images(
    image: ArrayLike,
    transfer: CellTransfer,
    *,
    seed: int,
    cell: object = 0,
    masks: ArrayLike | None = None,
    flip_noise: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measurement and detection images of the five types, (5, ny, nx) each.

    Parameters
    ----------
    image
        (ny, nx) or (nepoch, ny, nx), background subtracted, on one flux scale; treated as periodic.
    transfer
        From `cell_transfer`.
    seed, cell
        Name the stream of the added noise.
    masks
        As `image`; True is bad. A bad pixel receives the mean of the epochs in which it is good,
        and noise; or noise alone where it is bad in all.
    flip_noise
        Change the sign of the added noise.

    Raises
    ------
    DataError
        The image has another shape, or a pixel is not finite and not masked.
    """
    from scipy import fft

    pixels, bad = _check_cell(image, masks, transfer)
    sign = np.float32(-1.0 if flip_noise else 1.0)
    if bad is not None:
        pixels = _fill(pixels, bad, transfer.sigmas, sign, seed, cell)
    rng = generator(seed, "metadetection noise", cell)
    white = rng.standard_normal(transfer.shape, dtype=np.float32)
    spectrum = (fft.rfft2(pixels) * transfer.epochs).sum(axis=0)
    sheared = spectrum * transfer.image + fft.rfft2(sign * white) * transfer.noise
    measurement = fft.irfft2(sheared, s=transfer.shape)
    detection = fft.irfft2(sheared * transfer.smooth, s=transfer.shape)
    return measurement, detection


def _check_epochs(
    psf: ArrayLike,
    jacobian: ArrayLike,
    sigma: ArrayLike,
    offsets: ArrayLike | None,
    shape: tuple[int, int],
) -> tuple[Floats, Floats, Floats, Floats]:
    """PSFs of sum one, Jacobian, noise and offsets of the epochs."""
    stamps = np.asarray(psf, np.float64)
    stamps = stamps[None] if stamps.ndim == 2 else stamps
    if stamps.ndim != 3 or stamps.shape[1] != stamps.shape[2] or stamps.shape[1] % 2 == 0:
        raise DataError(
            "the PSF must be odd and square", key="psf", got=stamps.shape,
            allowed="(n, n) or (epochs, n, n), n odd",
        )  # fmt: skip
    total = stamps.sum(axis=(1, 2))
    if stamps.shape[1] > min(shape) or not (total > 0).all() or not np.isfinite(stamps).all():
        raise DataError(
            "the PSF must be smaller than the cell and have a positive sum", key="psf",
            got=f"{stamps.shape}, sum {total.min():.3g}", allowed=f"up to {min(shape)} pixels",
        )  # fmt: skip
    jac = shaped(jacobian, (2, 2), "jacobian")
    if not (np.isfinite(jac).all() and abs(np.linalg.det(jac)) > 1e-12):
        raise DataError("the Jacobian is singular", key="jacobian", got=jac.tolist())
    sigmas = np.atleast_1d(np.asarray(sigma, np.float64))
    if sigmas.shape != (len(stamps),) or not (np.isfinite(sigmas) & (sigmas > 0)).all():
        raise DataError(
            "every epoch needs its noise", key="sigma", got=sigmas.tolist(),
            allowed=f"{len(stamps)} positive numbers",
        )  # fmt: skip
    moves = np.zeros((len(stamps), 2))
    if offsets is not None:
        moves = shaped(offsets, (len(stamps), 2), "offsets")
    return stamps / total[:, None, None], jac, sigmas, moves


def _check_cell(
    image: ArrayLike, masks: ArrayLike | None, transfer: CellTransfer
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """(nepoch, ny, nx) pixels and which of them are bad."""
    pixels = np.asarray(image, np.float32)
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    whole = (len(transfer.epochs), *transfer.shape)
    bad = None
    if masks is not None:
        bad = np.asarray(masks, np.bool_)
        bad = bad[None] if bad.ndim == 2 else bad
        if bad.shape != whole:
            raise DataError(
                "the masks do not fit the images", key="masks", got=bad.shape, allowed=whole
            )
    finite = np.isfinite(pixels)
    if pixels.shape != whole or not (finite if bad is None else finite | bad).all():
        raise DataError(
            "the cell must have the shape of its transfer function and finite pixels", key="image",
            got=pixels.shape, allowed=whole, remedy="Mask the pixels that are not finite.",
        )  # fmt: skip
    return pixels, bad


def _fill(
    pixels: NDArray[np.float32],
    bad: NDArray[np.bool_],
    sigmas: Floats,
    sign: np.float32,
    seed: int,
    cell: object,
) -> NDArray[np.float32]:
    """Bad pixels replaced by the mean of the good epochs and noise, so that the noise is equal."""
    rng = generator(seed, "metadetection masks", cell)
    weights = np.where(bad, 0.0, 1.0 / sigmas[:, None, None] ** 2)
    total = weights.sum(axis=0)
    held = total > 0
    clean = np.where(bad, np.float32(0), pixels)
    mean = np.where(held, (weights * clean).sum(axis=0) / np.where(held, total, 1.0), 0.0)
    known = np.where(held, 1.0 / np.where(held, total, 1.0), 0.0)  # variance of the mean
    filled = clean
    for epoch, sigma in enumerate(sigmas):
        mine = bad[epoch]
        deviates = sign * rng.standard_normal(int(mine.sum()))
        missing = np.sqrt(np.maximum(sigma**2 - known[mine], 0.0))
        filled[epoch][mine] = mean[mine] + missing * deviates
    return filled


def _combine(
    stamps: Floats, sigmas: Floats, moves: Floats, kx: Floats, ky: Floats
) -> tuple[NDArray[np.complex64], Floats]:
    """Factors of the epochs in the deconvolved image of least noise, and its noise power."""
    spectra = np.stack([_psf_spectrum(stamp, kx, ky) for stamp in stamps])
    spectra *= np.exp(-1j * (kx * moves[:, 0, None, None] + ky * moves[:, 1, None, None]))
    weights = 1.0 / sigmas[:, None, None] ** 2
    noise_power = 1.0 / np.maximum((weights * np.abs(spectra) ** 2).sum(axis=0), 1e-30)
    factors = noise_power * weights * np.conj(spectra)
    return factors.astype(np.complex64), noise_power


def _psf_spectrum(stamp: Floats, kx: Floats, ky: Floats) -> NDArray[np.complex128]:
    pixels = np.arange(len(stamp)) - len(stamp) // 2
    wave_x = np.exp(-1j * np.outer(pixels, kx[0]))
    wave_y = np.exp(-1j * np.outer(ky[:, 0], pixels))
    spectrum: NDArray[np.complex128] = wave_y @ stamp @ wave_x
    return spectrum


def _target_and_envelope(
    stamps: Floats, jac: Floats, sigmas: Floats, step: float
) -> tuple[float, tuple[Floats, Floats]]:
    """Width of the target by the azgauss rule; nodes q^2 and values of the noise power V."""
    scale = math.sqrt(abs(np.linalg.det(jac)))
    q = np.linspace(0, np.pi / scale, _RADII)
    weight = (1.0 / sigmas**2).sum()
    mean = np.sqrt(_polar_power(stamps, jac, sigmas, q) / weight).mean(axis=1)
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
    power = _polar_power(stamps, jac, sigmas, radii * (1.0 + 1.02 * step))
    powers = 1.0 / np.maximum(power, 1e-12 * weight)
    envelope = 1.02 * np.maximum.accumulate(powers.max(axis=1))
    return float(sigma), (radii**2, envelope)


def _polar_power(stamps: Floats, jac: Floats, sigmas: Floats, q: Floats) -> Floats:
    """Sum of |P|^2/sigma^2 over the epochs on a polar grid of frequencies."""
    parts = [np.abs(_polar(p, jac, q)) ** 2 / s**2 for p, s in zip(stamps, sigmas, strict=True)]
    total: Floats = np.sum(parts, axis=0)
    return total


def _polar(stamp: Floats, jac: Floats, q: Floats) -> NDArray[np.complex128]:
    """Transform of the PSF on a polar grid of world frequencies, (radius, angle)."""
    phi = np.pi * np.arange(_ANGLES) / _ANGLES  # the other half is the complex conjugate
    world = q[:, None, None] * np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    kappa = (world @ jac).reshape(-1, 2)  # kappa = J^T q
    wave_x, wave_y = (_waves(kappa[:, axis], len(stamp) // 2) for axis in range(2))
    transform: NDArray[np.complex128] = ((wave_y @ stamp) * wave_x).sum(axis=1)
    return transform.reshape(len(q), _ANGLES)


def _waves(k: Floats, half: int) -> NDArray[np.complex128]:
    """exp(-i k p) for the pixels p from -half to half; products are faster than exponentials."""
    powers = np.cumprod(np.repeat(np.exp(-1j * k)[:, None], half, axis=1), axis=1)
    waves = np.empty((len(k), 2 * half + 1), np.complex128)
    waves[:, :half], waves[:, half], waves[:, half + 1 :] = powers[:, ::-1].conj(), 1.0, powers
    return waves


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
