"""SPREAD_MODEL as Desai et al. (2012, ApJ 757, 83) define it: with the PSF itself.

ShapePipe replaces the PSF by a round Gaussian of its mean width, and weights only decide which
pixels count (see `purepipe.psf.spread`). Here the template is the image of the PSF, and pixels are
weighted by their inverse variances, as in SExtractor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from purepipe.errors import DataError
from purepipe.flags import SpreadFlag
from purepipe.psf.spread_nb import MASKED_VALUE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BATCH = 500  # stamps at once, to bound the memory


def spread_model_local(
    stamps: ArrayLike, weights: ArrayLike, psfs: ArrayLike, fwhm: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """SPREAD_MODEL with the local PSF, its error and `SpreadFlag` for every stamp.

    Parameters
    ----------
    stamps
        (n, h, w) background-subtracted stamps. Pixels at or below -1e29 and NaN are left out.
    weights
        (n, h, w) inverse variances; 0 leaves a pixel out.
    psfs
        (n, h, w) images of the PSF, each centred where its object is, or (h, w) for all.
    fwhm
        Full width at half maximum of the PSF, pixels, (n,) or one number.

    Returns
    -------
    spread, error, flags
        Arrays of length n; NaN and a flag where there is no result.

    Raises
    ------
    DataError
        Shapes that do not fit together.

    Notes
    -----
    With the PSF p and the disc d, an exponential of scale length FWHM/16 convolved with p, both of
    sum 1, and the inverse variances W, SPREAD_MODEL = (d W o)/(p W o) - (d W p)/(p W p) of an
    object o. The error follows from the variances of the two sums.
    """
    o = np.asarray(stamps)
    if o.ndim != 3 or np.shape(weights) != o.shape:
        raise DataError("stamps and weights must be stacks of one shape", key="weights",
                        got=np.shape(weights), allowed=o.shape)  # fmt: skip
    if np.shape(psfs) not in (o.shape, o.shape[1:]):
        raise DataError("a PSF for each stamp or one for all is needed", key="psfs",
                        got=np.shape(psfs), allowed=f"{o.shape} or {o.shape[1:]}")  # fmt: skip
    if np.shape(fwhm) not in ((), (len(o),)):
        raise DataError("one number or one per stamp is needed", key="fwhm",
                        got=np.shape(fwhm), allowed=f"() or ({len(o)},)")  # fmt: skip
    psf = np.broadcast_to(np.asarray(psfs), o.shape)
    width = np.broadcast_to(np.asarray(fwhm, dtype=np.float64), (len(o),))
    w = np.asarray(weights)
    found = [
        _batch(o[part], w[part], psf[part], width[part])
        for part in (slice(i, i + _BATCH) for i in range(0, len(o), _BATCH))
    ]
    if not found:
        return np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int32)
    spread, error, flags = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return spread, error, flags


def disc_of(psfs: NDArray[np.float64], fwhm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The PSFs convolved with exponential discs of scale length FWHM/16, on the same pixels.

    The transform of the disc, (1 + (2 pi r k)^2)^(-3/2), is exact; the PSF must fade within its
    stamp.
    """
    from scipy.fft import irfft2, rfft2

    height, width = psfs.shape[-2:]
    ky, kx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    radius = fwhm[:, None, None] / 16
    damping = (1 + (2 * np.pi * radius) ** 2 * (kx**2 + ky**2)) ** -1.5
    return np.asarray(irfft2(rfft2(psfs) * damping, s=(height, width)))


def _batch(
    o: NDArray[Any], w: NDArray[Any], psf: NDArray[Any], fwhm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    p = psf.astype(np.float64)
    with np.errstate(all="ignore"):
        total = p.sum(axis=(1, 2))
        usable = np.isfinite(total) & (total > 0) & np.isfinite(fwhm) & (fwhm > 0)
        p = np.where(usable[:, None, None], p / total[:, None, None], 0.0)
        d = disc_of(p, np.where(usable, fwhm, 1.0))
        good = (o > MASKED_VALUE) & (w > 0) & np.isfinite(w)
        weight = np.where(good, w, 0.0).astype(np.float64)
        image = np.where(good, o, 0.0).astype(np.float64)
        do, po, dp, pp, dd = (
            np.einsum("nij,nij,nij->n", a, weight, b)
            for a, b in ((d, image), (p, image), (d, p), (p, p), (d, d))
        )
        spread = do / po - dp / pp
        variance = dd * po**2 + pp * do**2 - 2 * dp * po * do
        error = np.sqrt(variance) / po**2
    flags = np.where(usable, 0, int(SpreadFlag.NO_PSF)).astype(np.int32)
    flags[usable & ~(po > 0)] |= int(SpreadFlag.NO_FLUX)
    flags[usable & ~(variance > 0)] |= int(SpreadFlag.NO_ERROR)
    flags[usable & ~(np.isfinite(po) & np.isfinite(do))] |= int(SpreadFlag.NOT_FINITE)
    missing = flags & ~int(SpreadFlag.NO_ERROR) != 0
    spread[missing] = np.nan
    error[flags != 0] = np.nan
    return spread, error, flags
